"""Planted copies of known similarity: every method finds what it promises, and the better copy stays."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
UNLIKELY = 1e-6  # a count so far out does not happen by chance


@pytest.fixture(scope="module")
def bench():
    before = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS))
    import bench_planted
    import planted

    yield bench_planted, planted
    sys.path[:] = before
    for name in ("bench_planted", "planted"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def truth(bench):
    return bench[1].planted(3, seed=4, singles=60)


@pytest.fixture(scope="module")
def texts(truth):
    return {record["id"]: record["text"] for record in truth.records}


@pytest.fixture(scope="module")
def answered(bench, truth, tmp_path_factory):
    """Name of a method -> (removed, pairs)."""
    held = {}

    def answer(name):
        if name not in held:
            held[name] = bench[0].by_winnow(truth, bench[0].RECIPES[name], tmp_path_factory.mktemp("planted"))
        return held[name]

    return answer


def test_copies_are_as_alike_as_was_wanted(bench, truth):
    _, planted = bench
    levels = [level for _ in planted.KINDS for level in planted.LEVELS for _ in range(3)]
    far = [abs(p.jaccard - level) for p, level in zip(truth.pairs, levels, strict=False) if level < 0.99]
    assert max(far) < 0.06
    assert sum(far) / len(far) < 0.01
    assert [p.jaccard for p in truth.pairs if p.kind == "white space"] == [1.0] * 3
    assert {p.kind for p in truth.pairs} == {*planted.KINDS, "white space"}
    others = [p.jaccard for p in truth.pairs[: len(levels)]]
    assert min(others) < 0.31
    assert max(others) < 1


def test_equal_texts_are_found_by_the_form_in_which_they_are_equal_and_no_other(answered, truth):
    white = {p for p in truth.pairs if p.kind == "white space"}
    assert answered("`exact`")[0] == set()
    removed, _ = answered("`exact`, `form: no_space`")
    assert removed == {p.one if p.better == p.two else p.two for p in white}


@pytest.mark.parametrize(("name", "bands", "rows"), [("`minhash`", 14, 8), ("`minhash`, 28 bands of 6", 28, 6)])
def test_minhash_finds_no_wrong_pair_and_as_many_as_its_bands_promise(bench, answered, truth, name, bands, rows):
    program, planted = bench
    removed, pairs = answered(name)
    alike = {frozenset((p.one, p.two)): p for p in truth.pairs if p.jaccard >= program.THRESHOLD}
    assert pairs <= set(alike)
    for low, high in ((0.75, 0.8), (0.8, 0.9), (0.9, 1.01)):
        there = [p for p in alike.values() if low <= p.jaccard < high]
        promised = sum(planted.chance(p.jaccard, bands, rows) for p in there) / len(there)
        found = sum(frozenset((p.one, p.two)) in pairs for p in there)
        assert len(there) > 10
        assert planted.tail(found, len(there), promised) > UNLIKELY, (low, found, len(there), promised)
    score = planted.score(truth, removed, program.THRESHOLD, pairs)
    assert score.precision == score.better_kept == 1
    assert score.removal_f1 == score.f1


def test_every_kind_of_edit_is_found_alike(bench, answered, truth):
    """What was done to a copy plays no part: only how alike it is."""
    program, planted = bench
    _, pairs = answered("`minhash`")
    for kind in planted.KINDS:
        there = [p for p in truth.pairs if p.kind == kind and p.jaccard >= program.THRESHOLD]
        promised = sum(planted.chance(p.jaccard, 14, 8) for p in there) / len(there)
        found = sum(frozenset((p.one, p.two)) in pairs for p in there)
        assert planted.tail(found, len(there), promised) > UNLIKELY, (kind, found, len(there), promised)


def test_without_an_order_the_longer_copy_stays_and_not_the_better_one(bench, answered, truth, texts):
    program, planted = bench
    removed, pairs = answered("`minhash`, `keeper: longest`")
    assert pairs == answered("`minhash`")[1]
    sizes = {name: len(planted.shingles(text)) for name, text in texts.items()}
    for pair in truth.pairs:
        if len({pair.one, pair.two} & removed) == 1:
            stays = pair.two if pair.one in removed else pair.one
            gone = pair.one if pair.one in removed else pair.two
            assert sizes[stays] >= sizes[gone]
    found = planted.score(truth, removed, program.THRESHOLD, pairs)
    trials = round(found.recall * sum(p.jaccard >= program.THRESHOLD for p in truth.pairs))
    assert planted.tail(round(found.better_kept * trials), trials, 0.5) > UNLIKELY


def test_what_a_kept_copy_does_not_hold_is_not_removed(bench, answered, truth, texts):
    _, planted = bench
    removed, _ = answered("`minhash`, `contained: 0.9`")
    assert removed
    for pair in truth.pairs:
        if {pair.one, pair.two} & removed:
            stays, gone = (pair.two, pair.one) if pair.one in removed else (pair.one, pair.two)
            own = planted.shingles(texts[gone])
            assert len(own & planted.shingles(texts[stays])) >= 0.9 * len(own)


@pytest.mark.parametrize(("name", "bits"), [("`simhash`, 3 bits", 3), ("`simhash`, 8 bits", 8)])
def test_simhash_finds_as_many_pairs_as_the_angle_of_their_words_says(bench, answered, truth, texts, name, bits):
    _, planted = bench
    removed, _ = answered(name)

    def counts(text):
        words = re.findall(r"\w+", text)
        return Counter(itertools.pairwise(words))

    for low, high in ((0.3, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.01)):
        there = [p for p in truth.pairs if low <= p.jaccard < high]
        expected, found = 0.0, 0
        for pair in there:
            one, two = counts(texts[pair.one]), counts(texts[pair.two])
            product = sum(one[gram] * two[gram] for gram in one)
            cosine = product / math.sqrt(sum(v * v for v in one.values()) * sum(v * v for v in two.values()))
            differ = math.acos(min(1.0, cosine)) / math.pi
            expected += sum(math.comb(64, k) * differ**k * (1 - differ) ** (64 - k) for k in range(bits + 1))
            found += bool({pair.one, pair.two} & removed)
        assert planted.tail(found, len(there), expected / len(there)) > UNLIKELY, (low, found, expected)


def test_repeated_lines_remove_those_whose_lines_the_better_copy_has(answered, truth, texts):
    removed, _ = answered("`repeated_lines`, 3/4 gone")
    clear = 0
    for pair in truth.pairs:
        gone = pair.one if pair.better == pair.two else pair.two
        stands = {line.strip() for line in texts[pair.better].split("\n")}
        lines = texts[gone].split("\n")
        share = sum(len(line) + 1 for line in lines if line.strip() in stands) / sum(len(line) + 1 for line in lines)
        assert pair.better not in removed
        if abs(share - 0.75) > 0.02:
            clear += 1
            assert (gone in removed) == (share > 0.75), (pair, share)
    assert clear > 100
    assert removed


def test_repeated_substrings_find_what_is_contained_whatever_else_there_is(bench, answered, truth, texts):
    _, planted = bench
    removed, _ = answered("`repeated_substrings`, 3/4 gone")
    for pair in truth.pairs:
        assert pair.better not in removed
        if pair.kind == "wrapping" and pair.better == pair.two:  # all of the shorter one stands in the longer one
            assert pair.one in removed
        worse = pair.one if pair.better == pair.two else pair.two
        own, held = planted.shingles(texts[worse]), planted.shingles(texts[pair.better])
        if len(own & held) / len(own) < 0.4:
            assert worse not in removed


def test_vectors_find_the_near_copies_and_never_drop_the_better_one(bench, answered, truth):
    _, planted = bench
    removed, _ = answered("`semdedup`, `eps: 0.1`")
    near = [p for p in truth.pairs if p.jaccard >= 0.9]
    found = sum({p.one, p.two} & removed != set() for p in near)
    assert planted.tail(found, len(near), 0.99) > UNLIKELY
    assert not {p.better for p in truth.pairs} & removed


@pytest.mark.peer
@pytest.mark.parametrize(("module", "name"), [("datasketch", "datasketch `MinHashLSH(0.75)`"),
                                             ("rensa", "rensa `RMinHashLSH`, 16 bands")])  # fmt: skip
def test_minhash_is_at_least_as_right_as_its_peers(bench, answered, truth, module, name):
    pytest.importorskip(module)
    program, planted = bench
    mine = planted.score(truth, *reordered(answered("`minhash`"), program.THRESHOLD))
    theirs = planted.score(truth, *reordered(program.PEERS[name](truth), program.THRESHOLD))
    assert mine.precision >= theirs.precision
    assert mine.f1 > theirs.f1 - 0.02
    assert mine.better_kept > theirs.better_kept


def reordered(answer, threshold):
    removed, pairs = answer
    return removed, threshold, pairs


def test_the_scores_are_those_counted_by_hand(bench):
    _, planted = bench
    pairs = [planted.Pair(one=f"{n}a", two=f"{n}b", kind="x", jaccard=j, better=f"{n}a")
             for n, j in enumerate((0.9, 0.8, 0.5))]  # fmt: skip
    some = planted.Planted(pairs=pairs)
    found = planted.score(some, {"0b", "2b", "s1"}, 0.75, {frozenset(("0a", "0b")), frozenset(("2a", "2b"))})
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.removal_f1 == pytest.approx(2 * (1 / 3) * 0.5 / (1 / 3 + 0.5))
    assert found.better_kept == 1
    assert planted.score(some, {"0a", "1b"}, 0.75).better_kept == 0.5
    assert planted.score(some, {"s1"}, 0.75).precision == 0
    assert planted.tail(5, 10, 0.5) == 1
    assert planted.tail(10, 10, 0.5) == pytest.approx(2 / 1024)
    assert planted.chance(1.0, 14, 8) == 1
