"""Documents with planted copies of known similarity, and what a deduplication made of them. Shares no code with winnow.

A copy is made by one kind of edit, as often as brings the Jaccard index of the two sets of word 5-grams nearest to a wanted
one; the index is then counted exactly. Pairs share nothing with each other, and single documents have no copy.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NGRAM = 5
LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
LINE = 12  # words


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two documents by name: what was done to the second, and how alike they are."""

    one: str
    two: str
    kind: str
    jaccard: float
    better: str  # which of them has the higher `quality`


@dataclass(kw_only=True)
class Planted:
    """Records in random order, and the pairs among them."""

    records: list[dict[str, object]] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """The distinct word 5-grams of a text."""
    words = re.findall(r"\w+", text.lower())
    return frozenset(tuple(words[at : at + NGRAM]) for at in range(max(1, len(words) - NGRAM + 1)))


def jaccard(one: str, two: str) -> float:
    """Share of the 5-grams of either text that both have."""
    a, b = shingles(one), shingles(two)
    return len(a & b) / len(a | b)


def laid_out(words: Sequence[str], width: int = LINE) -> str:
    """Words as lines."""
    return "\n".join(" ".join(words[at : at + width]) for at in range(0, len(words), width))


class Words:
    """Invented words, some of them frequent, as in texts."""

    def __init__(self, draw: random.Random) -> None:
        letters = "abcdefghijklmnoprstuvwxyz"
        self.known = ["".join(draw.choices(letters, k=draw.randrange(3, 11))) for _ in range(20_000)]
        self.weights = [1 / (rank + 10) for rank in range(len(self.known))]

    def some(self, draw: random.Random, number: int) -> list[str]:
        """So many words."""
        return draw.choices(self.known, self.weights, k=number)


def substituted(words: list[str], fresh: list[str], places: list[int], times: int) -> list[str]:
    """Words replaced by others."""
    out = list(words)
    for at, place in enumerate(places[:times]):
        out[place] = fresh[at]
    return out


def inserted(words: list[str], fresh: list[str], places: list[int], times: int) -> list[str]:
    """Words put in between."""
    put = dict(zip(places[:times], fresh, strict=False))
    return [w for at, word in enumerate(words) for w in ([put[at], word] if at in put else [word])]


def deleted(words: list[str], fresh: list[str], places: list[int], times: int) -> list[str]:
    """Words left out."""
    gone = set(places[:times])
    return [word for at, word in enumerate(words) if at not in gone]


def reordered(words: list[str], fresh: list[str], places: list[int], times: int) -> list[str]:
    """Pieces in another order."""
    cuts = [0, *sorted(places[:times]), len(words)]
    pieces = [words[a:b] for a, b in itertools.pairwise(cuts)]
    return [word for piece in [*pieces[1::2], *pieces[::2]] for word in piece]


def wrapped(words: list[str], fresh: list[str], places: list[int], times: int) -> list[str]:
    """Other text before, in whole lines, and behind."""
    before = times // 2 // LINE * LINE
    return [*fresh[:before], *words, *fresh[before:times]]


KINDS: Mapping[str, Callable[[list[str], list[str], list[int], int], list[str]]] = {
    "substitution": substituted, "insertion": inserted, "deletion": deleted, "reordering": reordered, "wrapping": wrapped,
}  # fmt: skip


def edited(words: list[str], kind: str, wanted: float, made: Words, draw: random.Random) -> list[str]:
    """A copy whose Jaccard index with the words is as near to `wanted` as one more or one less edit can bring it."""
    edit, most = KINDS[kind], 3 * len(words) if kind == "wrapping" else len(words) - 1
    fresh, places = made.some(draw, 3 * len(words)), draw.sample(range(1, len(words)), len(words) - 1)
    whole = laid_out(words)

    def reached(times: int) -> float:
        return jaccard(whole, laid_out(edit(words, fresh, places, times)))

    low, high = 1, most
    while low < high:  # more edits, less in common
        middle = (low + high) // 2
        low, high = (middle + 1, high) if reached(middle) > wanted else (low, middle)
    best = min((n for n in (low - 1, low) if n > 0), key=lambda n: abs(reached(n) - wanted))
    return edit(words, fresh, places, best)


def planted(each: int, *, seed: int = 1, levels: Iterable[float] = LEVELS, singles: int = 200) -> Planted:
    """`each` pairs of every kind at every level, as many that differ in white space alone, and single documents."""
    draw = random.Random(seed)
    words, out = Words(draw), Planted()

    def put(name: str, text: str, quality: float) -> None:
        out.records.append({"id": name, "text": text, "quality": quality})

    wanted = [(kind, level) for kind in KINDS for level in levels for _ in range(each)]
    for number, (kind, level) in enumerate([*wanted, *[("white space", 1.0)] * each]):
        own = words.some(draw, draw.randrange(150, 500))
        one = laid_out(own)
        two = laid_out(own, 17) if kind == "white space" else laid_out(edited(own, kind, level, words, draw))
        names = (f"{number}a", f"{number}b")
        better = draw.choice(names)
        for name, text in zip(names, (one, two), strict=True):
            put(name, text, 0.9 if name == better else 0.1)
        out.pairs.append(Pair(one=names[0], two=names[1], kind=kind, jaccard=jaccard(one, two), better=better))
    for number in range(singles):
        put(f"s{number}", laid_out(words.some(draw, draw.randrange(150, 500))), draw.random())
    draw.shuffle(out.records)
    return out


@dataclass(frozen=True, kw_only=True)
class Score:
    """Pairs and removals against the pairs that are alike enough; shares in [0, 1]."""

    precision: float
    recall: float
    f1: float
    removal_f1: float
    better_kept: float  # of the pairs of which one was rightly removed


def score(truth: Planted, removed: set[str], threshold: float, pairs: set[frozenset[str]] | None = None) -> Score:
    """A method's answer: which documents it removed and, where it says so, which pairs it found.

    Without `pairs`, two planted documents are a pair that was found where one of them is gone.
    """
    alike = {frozenset((p.one, p.two)) for p in truth.pairs if p.jaccard >= threshold}
    found = pairs if pairs is not None else {
        frozenset((p.one, p.two)) for p in truth.pairs if {p.one, p.two} & removed
    } | {frozenset((name,)) for name in removed if name.startswith("s")}  # fmt: skip
    true = [p for p in truth.pairs if p.jaccard >= threshold and len({p.one, p.two} & removed) == 1]
    better = sum(p.better not in removed for p in true)
    precision, recall = ratio(len(found & alike), len(found)), ratio(len(found & alike), len(alike))
    right, gone = ratio(len(true), len(removed)), ratio(len(true), len(alike))
    return Score(precision=precision, recall=recall, f1=harmonic(precision, recall), removal_f1=harmonic(right, gone),
                 better_kept=ratio(better, len(true)))  # fmt: skip


def ratio(part: int, whole: int) -> float:
    """A share; 0 of nothing."""
    return part / whole if whole else 0.0


def harmonic(one: float, two: float) -> float:
    """The harmonic mean."""
    return 2 * one * two / (one + two) if one + two else 0.0


def chance(similarity: float, bands: int, rows: int) -> float:
    """That two documents of this Jaccard index share a band of their MinHash signatures."""
    return 1 - (1 - similarity**rows) ** bands


def tail(found: int, trials: int, share: float) -> float:
    """The probability, two-sided, of so far a count in so many trials of this mean probability (an upper bound where
    the trials' probabilities differ: their sum varies less).
    """
    share = min(max(share, 1e-12), 1 - 1e-12)
    logs = [
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(share) + (trials - k) * math.log1p(-share)
        for k in range(trials + 1)
    ]  # fmt: skip
    below = sum(math.exp(v) for v in logs[: found + 1])
    above = sum(math.exp(v) for v in logs[found:])
    return min(1.0, 2 * min(below, above))
