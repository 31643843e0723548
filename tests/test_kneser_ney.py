"""Modified Kneser-Ney: counts, discounts and probabilities against a plain implementation by its definition."""

import math
import random
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest

from winnow.core.errors import DataError
from winnow.core.words.backoff_model import TextForm
from winnow.scorers import kneser_ney
from winnow.scorers.kneser_ney import Counts

DOCUMENT = TextForm(sentences="document")


def strings(texts) -> pa.Array:
    return pa.array(texts, pa.large_string())


def zipfian(count: int, seed: int, *, kinds=60, length=25) -> list[str]:
    """Texts whose words depend on the one before, so that n-grams of every order come back."""
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        words, last = [], 0
        for _ in range(draw.randrange(1, length)):
            last = min(int(draw.paretovariate(0.7)), kinds) if draw.random() < 0.5 else (last * 7 + 3) % kinds
            words.append(f"w{last}")
        texts.append(" ".join(words))
    return texts


class Plain:
    """The estimator as its paper defines it, with dictionaries; lmplz's conventions at <s>, <unk> and pruning."""

    def __init__(self, sentences: list[list[str]], order: int, prune=()):
        self.order = order
        raw = Counter()
        for words in sentences:
            padded = ["<s>", *words, "</s>"]
            for at in range(1, len(padded)):
                for n in range(1, order + 1):
                    if at - n + 1 >= 0:
                        raw[tuple(padded[at - n + 1 : at + 1])] += 1
        self.raw, self.adjusted = raw, {}
        lefts = defaultdict(set)
        for gram in raw:
            if len(gram) > 1:
                lefts[gram[1:]].add(gram[0])
        for gram in raw:
            full = len(gram) == order or gram[0] == "<s>"
            self.adjusted[gram] = raw[gram] if full else len(lefts[gram])
        self.vocabulary = {g[0] for g in raw if len(g) == 1} | {"<unk>"}
        self.discounts = [self.discounts_of(n) for n in range(1, order + 1)]
        least = (list(prune) or [0]) + [(list(prune) or [0])[-1]] * order
        self.kept = {g for g in raw if len(g) == 1 or raw[g] > least[len(g) - 1]}
        self.behind = defaultdict(list)
        for gram in raw:
            self.behind[gram[:-1]].append(gram)

    def discounts_of(self, n: int) -> list[float]:
        num = Counter(a for g, a in self.adjusted.items() if len(g) == n)
        if not (num[1] and num[2] and num[3]):
            return [0.5, 1, 1.5]
        y = num[1] / (num[1] + 2 * num[2])
        found = [j - (j + 1) * y * num[j + 1] / num[j] for j in (1, 2, 3)]
        return found if min(found) >= 0 else [0.5, 1, 1.5]

    def prob(self, history: tuple, word: str) -> float:
        """p(word | history), by the recursion."""
        below = self.prob(history[1:], word) if history else 1 / len(self.vocabulary)
        grams = self.behind[history]
        if not grams:
            return below
        total, gamma, own = 0, 0.0, 0.0
        for gram in grams:
            a = self.adjusted[gram]
            less = self.discounts[len(history)][min(a, 3) - 1]
            total += a
            gamma += less if gram in self.kept else a
            if gram[-1] == word and gram in self.kept:
                own = a - less
        return own / total + gamma / total * below

    def log10(self, words: list[str]) -> list[float]:
        known = ["<s>", *(w if w in self.vocabulary else "<unk>" for w in words), "</s>"]
        return [
            math.log10(self.prob(tuple(known[max(0, at - self.order + 1) : at]), known[at]))
            for at in range(1, len(known))
        ]


def fitted(texts, order, *, form=DOCUMENT, prune=(), pieces=1):
    counts = Counts(order=order, form=form)
    for piece in range(pieces):
        counts.add(strings(texts[piece::pieces]))
    return counts.estimate(prune)


@pytest.mark.parametrize(("order", "prune"), [(1, ()), (2, ()), (3, ()), (4, ()), (6, ()), (3, (0, 0, 1)), (4, (0, 1, 1, 2)),
                                              (5, (0, 2))])  # fmt: skip
def test_probabilities_are_those_of_the_definition(order, prune):
    texts, others = zipfian(250, order), [*zipfian(40, 99, kinds=80), "w1 zzz w2", "zzz zzz", "w3"]
    estimate = fitted(texts, order, prune=prune)
    plain = Plain([t.split() for t in texts], order, prune)
    np.testing.assert_allclose(estimate.discounts, plain.discounts, rtol=1e-12)
    assert estimate.counts() == [
        sum(len(g) == n for g in plain.kept) + 2 * (n == 1) for n in range(1, order + 1)
    ]  # <unk> and <s> beside the words
    model = estimate.model(DOCUMENT)
    starts, each = model.token_nats(strings(others))
    for row, text in enumerate(others):
        wanted = -np.array(plain.log10(text.split())) * math.log(10)
        np.testing.assert_allclose(each[starts[row] : starts[row + 1]], wanted, rtol=2e-6)


@pytest.mark.parametrize("prune", [(), (0, 1, 1, 2)])
def test_probabilities_behind_any_history_add_up_to_one(prune):
    texts = zipfian(200, 5, kinds=40)
    model = fitted(texts, 4, prune=prune).model(DOCUMENT)
    words = sorted({w for t in texts for w in t.split()})
    draw = random.Random(1)
    histories = ["zzz", "zzz w3", *texts[:10]]
    histories += [" ".join(draw.choice(words) for _ in range(draw.randrange(1, 6))) for _ in range(40)]
    for history in histories:
        continued = [f"{history} {word}" for word in [*words, "zzz"]]
        starts, each = model.token_nats(strings(continued))
        place = len(history.split())
        total = np.exp(-each[starts[:-1] + place].astype(np.float64)).sum()
        end = model.token_nats(strings([history]))[1][-1]
        assert total + math.exp(-end) == pytest.approx(1, abs=2e-6)


def test_the_table_does_not_depend_on_pieces_or_order():
    texts = zipfian(300, 7)
    tables = [
        fitted(some, 4, pieces=pieces).model(DOCUMENT).table
        for some, pieces in ((texts, 1), (texts, 7), (texts[::-1], 3), ([None, "", *texts, " \n "], 2))
    ]
    assert all(np.array_equal(tables[0], other) for other in tables[1:])


def test_blocks_and_growth_change_nothing(monkeypatch):
    texts = zipfian(300, 8)
    whole = fitted(texts, 5).model(DOCUMENT).table
    monkeypatch.setattr(kneser_ney, "BLOCK", 3)
    np.testing.assert_array_equal(fitted(texts, 5).model(DOCUMENT).table, whole)
    monkeypatch.setattr(kneser_ney, "FIRST_ROOM", 8)
    np.testing.assert_array_equal(fitted(texts, 5).model(DOCUMENT).table, whole)


def test_lines_are_sentences():
    texts = ["w1 w2\nw3 w1\n\nw2", "w3 w3\r\nw1 w2"] * 3 + zipfian(100, 2)
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    line = fitted(texts, 3, form=TextForm()).model(DOCUMENT).table
    np.testing.assert_array_equal(line, fitted(lines, 3).model(DOCUMENT).table)


def test_markers_in_the_texts_are_left_out_and_counted():
    texts = zipfian(100, 3)
    marked = [t.replace("w3 ", "w3 <s> </s> <unk> ") for t in texts]
    counts = Counts(order=3, form=DOCUMENT)
    counts.add(strings(marked))
    assert counts.skipped == 3 * sum(t.count("w3 ") for t in texts) > 0
    np.testing.assert_array_equal(counts.estimate().model(DOCUMENT).table, fitted(texts, 3).model(DOCUMENT).table)


def test_discounts_that_cannot_be_estimated_are_those_of_the_fallback():
    estimate = fitted(["a b c d e f g"], 3)
    assert estimate.estimated == (False,) * 3
    np.testing.assert_array_equal(estimate.discounts, [[0.5, 1, 1.5]] * 3)
    plain = Plain([list("abcdefg")], 3)
    found = -estimate.model(DOCUMENT).token_nats(strings(["a b d q"]))[1] / math.log(10)
    np.testing.assert_allclose(found, plain.log10(list("abdq")), rtol=2e-6)


def test_counts_of_counts_and_discounts_by_hand():
    """n1..n4 = 4, 3, 2, 1: Y = 4 / 10, D = (1 - 2 Y 3/4, 2 - 3 Y 2/3, 3 - 4 Y 1/2)."""
    found, estimated = kneser_ney.discounts_of(np.array([7, 4, 3, 2, 1]))
    assert estimated
    np.testing.assert_allclose(found, [0.4, 1.2, 2.2], rtol=1e-12)
    assert not kneser_ney.discounts_of(np.array([0, 9, 1, 9, 0]))[1]  # D2 below 0


def test_no_token_is_refused():
    with pytest.raises(DataError, match="no text holds a token"):
        fitted(["", " \n", None], 3)
