"""Near-duplicates: exact similarities, no pair below the threshold, the same clusters for any layout."""

from __future__ import annotations

import ctypes
import itertools
import random
import sysconfig
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.components import components
from winnow.core.operators import Context, Scope
from winnow.core.words.hashing import ngram_hashes, text_hash
from winnow.pipeline.dedup import minhash_kernels, minhash_pairs
from winnow.pipeline.dedup.locate import addresses
from winnow.pipeline.dedup.minhash import MinHash
from winnow.pipeline.dedup.minhash_clusters import Clusters
from winnow.pipeline.dedup.minhash_pairs import Pairs
from winnow.pipeline.dedup.minhash_signatures import Signatures
from winnow.testing.in_memory import run_group, run_linked, run_map

CONTEXT = Context(seed=0, work=Path())
NAMES = [f"{a}{b}{c}" for a in "bdfgk" for b in ("al", "or", "un", "ex") for c in ("ta", "mi", "so", "pe", "ru")]


class Edges:
    """The pairs stage as a reference."""

    counts: ClassVar[dict[str, int]] = {}

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows

    def frame(self, *columns: str, where_kept: bool = False) -> pl.DataFrame:
        return self.rows.select(columns)


def documents(texts: list[str | None]) -> pl.DataFrame:
    names = pa.array([f"doc{i}" for i in range(len(texts))], pa.large_string())
    doc_id = pl.Series(text_hash(names).cast(pa.large_binary()))
    return pl.DataFrame({"doc_id": doc_id, "text": pl.Series(texts, dtype=pl.String)})


def signed(rows: pl.DataFrame, op: Signatures | None = None) -> pl.DataFrame:
    return pl.concat([rows, run_map(op or Signatures(), rows, CONTEXT)], how="horizontal")


def cut(rows: pl.DataFrame, parts: int) -> list[pl.DataFrame]:
    edges = [rows.height * at // parts for at in range(parts + 1)]
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]


def run(rows: pl.DataFrame, op: MinHash | None = None, parts: int = 1, buckets: int = 4):
    """(pairs sorted, doc_id with the outputs in doc_id order) of texts, through the three sub-stages."""
    op = op or MinHash()
    scope = Scope(stage="u", inputs=("docs",), where=None, seed=0, lookup=None, space=None)
    stages = {sub.name: sub.operator for sub in op.expand(scope)}
    pieces = [signed(piece, stages["signatures"]) for piece in cut(rows, parts)]
    pairs = run_group(stages["pairs"], pieces, buckets, CONTEXT)[0].sort("a", "b")
    solved = run_linked(stages["clusters"], pieces, replace(CONTEXT, refs={"pairs": Edges(pairs)}))
    return pairs, pl.concat([rows.select("doc_id"), pl.concat(solved)], how="horizontal").sort("doc_id")


def shingle_sets(texts: list[str | None], n: int = 5) -> list[set[int]]:
    offsets, found = ngram_hashes(pa.array(texts, pa.large_string()), n)
    return [set(found[a:b].tolist()) for a, b in itertools.pairwise(offsets)]


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


@cache
def planted() -> tuple[tuple[str, ...], dict[tuple[int, int], float]]:
    """Texts of ~200 words with near-copies of growing distance, and all similarities of pairs above 0.3."""
    rng = random.Random(11)
    texts = []
    for _ in range(100):
        words = [rng.choice(NAMES) for _ in range(rng.randrange(120, 260))]
        texts.append(" ".join(words))
        for changes in (1, 2, 4, 7):
            copy = list(words)
            for at in rng.sample(range(len(copy)), changes):
                copy[at] = rng.choice(NAMES)
            texts.append(" ".join(copy))
    sets = shingle_sets(texts)
    near = {(i, j): jaccard(sets[i], sets[j]) for i, j in itertools.combinations(range(len(sets)), 2)}
    return tuple(texts), {pair: value for pair, value in near.items() if value > 0.3}


def stdlib_texts(count: int) -> list[str]:
    root = Path(sysconfig.get_paths()["stdlib"])
    return [p.read_text("utf-8", "replace") for p in sorted(root.glob("*.py"))[:count]]


def by_index(pairs: pl.DataFrame, rows: pl.DataFrame) -> dict[tuple[int, int], float]:
    at = {doc: i for i, doc in enumerate(rows["doc_id"].to_list())}
    out = {}
    for a, b, value in pairs.select("a", "b", "jaccard").rows():
        first, second = sorted((at[a], at[b]))
        assert (first, second) not in out
        assert a < b
        out[first, second] = value
    return out


# ---- signatures


def test_shingles_are_the_sorted_sets_of_the_texts_ngrams():
    texts = [*stdlib_texts(40), "", None, "two words", "a b a b a b a b a b a b", "!?"]
    rows = signed(documents(texts))
    assert rows["shingles"].to_list() == [sorted(s) for s in shingle_sets(texts)]
    assert rows["num_shingles"].to_list() == [len(s) for s in shingle_sets(texts)]
    no_words = [text is None or text in {"", "!?"} for text in texts]
    assert rows["signature"].is_null().to_list() == no_words


def test_signature_slots_agree_as_often_as_the_sets_overlap():
    texts, near = planted()
    rows = signed(documents(list(texts)))
    slots = np.frombuffer(b"".join(rows["signature"].to_list()), dtype=np.uint32).reshape(-1, 112)
    errors = np.array([(slots[i] == slots[j]).mean() - value for (i, j), value in near.items()])
    assert abs(errors.mean()) < 0.01
    assert np.sqrt((errors**2).mean()) < 0.045  # sqrt(J (1 - J) / 112) is 0.047 at most


@pytest.mark.parametrize("words", [3, 12, 40])
def test_signatures_of_short_texts_are_unbiased_too(words):
    rng = random.Random(words)
    errors = []
    texts = []
    for _ in range(300):
        base = [rng.choice(NAMES) for _ in range(words)]
        texts += [" ".join(base), " ".join([*base[:-1], rng.choice(NAMES)])]
    rows = signed(documents(texts), Signatures(ngram=1))
    sets = shingle_sets(texts, 1)
    slots = np.frombuffer(b"".join(rows["signature"].to_list()), dtype=np.uint32).reshape(-1, 112)
    for at in range(0, len(texts), 2):
        errors.append((slots[at] == slots[at + 1]).mean() - jaccard(sets[at], sets[at + 1]))
    assert abs(np.mean(errors)) < 0.012
    assert np.sqrt(np.mean(np.square(errors))) < 0.06


def test_signatures_do_not_depend_on_the_batch():
    rows = documents([*stdlib_texts(20), "", "one", None])
    whole = run_map(Signatures(), rows, CONTEXT)
    assert all(run_map(Signatures(), rows, CONTEXT, size).equals(whole) for size in (1, 7))


# ---- pairs


def test_every_pair_carries_the_exact_similarity_and_none_is_below_the_threshold():
    texts, near = planted()
    for threshold in (0.6, 0.75, 0.9):
        rows = documents(list(texts))
        found = by_index(run(rows, MinHash(threshold=threshold))[0], rows)
        assert found
        assert min(found.values()) >= threshold
        assert all(value == near[pair] for pair, value in found.items())


def test_a_threshold_that_is_met_exactly_is_enough():
    rows = documents(["a b c d e f g", "a b c d e f g h"])  # 3 of 4 shingles
    op = MinHash(num_bands=112, rows_per_band=1)
    assert run(rows, replace(op, threshold=0.75))[0]["jaccard"].to_list() == [0.75]
    assert run(rows, replace(op, threshold=float(np.nextafter(0.75, 1))))[0].height == 0


def test_planted_near_duplicates_are_found_as_often_as_banding_promises():
    texts, near = planted()
    rows = documents(list(texts))
    found = by_index(run(rows, MinHash(threshold=0.5))[0], rows)
    for low, high in ((0.7, 0.8), (0.8, 0.9), (0.9, 1.0)):
        values = [value for value in near.values() if low <= value < high]
        hits = sum(low <= value < high for value in found.values())
        promised = np.mean([1 - (1 - value**8) ** 14 for value in values])
        assert len(values) > 50
        assert hits / len(values) > promised - 0.06


def test_identical_texts_are_always_found():
    rows = documents(["one two three four five six", "ONE two  three, four five six", "x y", "x y"])
    assert run(rows)[0]["jaccard"].to_list() == [1.0, 1.0]


def test_pairs_and_clusters_do_not_depend_on_buckets_parts_or_order():
    texts, _ = planted()
    rows = documents(list(texts))
    expected = run(rows)
    assert expected[0].height > 100
    for parts, buckets in ((1, 1), (3, 8), (8, 64)):
        mixed = rows.sample(fraction=1.0, shuffle=True, seed=parts)
        found = run(mixed, parts=parts, buckets=buckets)
        assert found[0].equals(expected[0])
        assert found[1].equals(expected[1])


def test_a_group_above_the_cap_is_thinned_but_stays_one_cluster():
    rng = random.Random(2)
    base = [rng.choice(NAMES) for _ in range(150)]
    texts = []
    for _ in range(3 * minhash_pairs.FULL_GROUP):
        copy = list(base)
        copy[rng.randrange(150)] = rng.choice(NAMES)
        texts.append(" ".join(copy))
    for linkage in ("leader", "components"):
        pairs, solved = run(documents(texts), MinHash(threshold=0.8, linkage=linkage))
        assert pairs["group_rows"].max() > minhash_pairs.FULL_GROUP
        assert pairs.height < len(texts) * (len(texts) - 1) / 4
        assert solved["kept"].sum() == 1
    assert run(documents(texts), MinHash(threshold=0.8), parts=5, buckets=64)[0].equals(pairs)


def test_all_pairs_of_a_group_above_the_cap_come_where_they_are_asked_for():
    rows = documents(["the same few words again and again"] * (minhash_pairs.FULL_GROUP + 20))
    found = run(rows, MinHash(all_pairs=True))[0]
    assert found.height == rows.height * (rows.height - 1) // 2
    assert run(rows, MinHash(all_pairs=True), parts=3, buckets=5)[0].equals(found)
    assert run(rows)[0].height < found.height


def test_a_hundred_thousand_equal_documents_cost_what_they_are_and_not_their_square():
    rows = 100_000
    same = np.arange(112, dtype=np.uint32)
    address = np.full(rows, same.ctypes.data, dtype=np.uint64)
    size = np.full(rows, 112, dtype=np.int64)
    key = np.full(rows, minhash_kernels.band_keys(address[:1], 14, 8)[0, 0], dtype=np.uint64)
    shape = (14, 8, minhash_pairs.FULL_GROUP, minhash_pairs.NEIGHBOURS)
    left, right, score, candidates = minhash_kernels.verified_pairs(key, key, address, address, size, shape, 0.75)
    assert candidates == len(left) < (minhash_pairs.NEIGHBOURS + 1) * rows
    assert (score == 1.0).all()
    assert set(range(1, rows)) <= set(right[left == 0].tolist())


def test_documents_of_one_ngram_are_remarked_with_their_share():
    op = Signatures(ngram=5)
    counts: dict = {}
    texts = pa.array(["one two", "three", "one two three four five", "a b c d e f", None, ""], pa.large_string())
    op.open(Context(seed=0, work=Path(), counts=counts))(pa.RecordBatch.from_arrays([texts], names=["text"]))
    (said,) = op.remarks({**counts, "ok": 4}, {})
    assert "3 of 4 documents (75.0%) have 5 words or fewer: one n-gram" in said
    assert op.remarks({"single_shingle": 3, "ok": 1000}, {}) == op.remarks({}, {}) == ()


def test_in_a_group_above_the_cap_every_row_meets_the_first_and_its_next_neighbours():
    rows = documents(["the same few words again and again"] * (minhash_pairs.FULL_GROUP + 40))
    order = sorted(rows["doc_id"].to_list())
    expected = [(order[0], b) for b in order[1:]]
    for at, a in enumerate(order[1:], start=1):
        expected += [(a, b) for b in order[at + 1 : at + 1 + minhash_pairs.NEIGHBOURS]]
    assert run(rows)[0].select("a", "b").rows() == sorted(expected)
    small = documents(["the same few words again and again"] * 40)
    assert run(small)[0].height == 40 * 39 / 2


def test_values_are_located_in_every_form_a_column_can_have():
    lists = pa.array([[9], [1, 2], None, [], [3, 4, 5]], pa.large_list(pa.uint32()))
    forms = [lists.slice(1), lists.slice(1).cast(pa.list_(pa.uint32())), pa.chunked_array([lists.slice(1)])]
    for form in forms:
        found = addresses(form, np.array([3, 0, 2]))
        words = [ctypes.string_at(int(a), int(n) * 4) for a, n in zip(found.address, found.size, strict=True)]
        assert words == [np.array(v, dtype=np.uint32).tobytes() for v in ([3, 4, 5], [1, 2], [])]
        with pytest.raises(DataError, match="no value"):
            addresses(form, np.array([1]))
        with pytest.raises(DataError, match="row 4"):
            addresses(form, np.array([4]))
    fixed = pa.array([b"a" * 8, b"b" * 8, b"c" * 8], pa.binary(8)).slice(1)
    for binary in (fixed, fixed.cast(pa.binary()), fixed.cast(pa.large_binary())):
        found = addresses(binary, np.array([1, 0]))
        assert [ctypes.string_at(int(a), 8) for a in found.address] == [b"c" * 8, b"b" * 8]
        assert found.size.tolist() == [2, 2]
    with pytest.raises(DataError, match="32-bit"):
        addresses(pa.array([[1]]).cast(pa.large_list(pa.int64())), np.array([0]))


def test_signatures_of_another_size_are_refused():
    rows = signed(documents(["a b c", "a b c"]), Signatures(num_hashes=16))
    with pytest.raises(DataError, match="112 hashes"):
        run_group(Pairs(), [rows], 2, CONTEXT)


# ---- clusters


def reference_clusters(rows: pl.DataFrame, pairs: pl.DataFrame) -> dict[bytes, frozenset[bytes]]:
    group = {doc: {doc} for doc in rows["doc_id"].to_list()}
    for a, b in pairs.select("a", "b").rows():
        merged = group[a] | group[b]
        for doc in merged:
            group[doc] = merged
    return {doc: frozenset(members) for doc, members in group.items()}


@pytest.mark.parametrize("keeper", ["longest", "smallest_id"])
def test_one_document_of_every_cluster_is_kept_and_the_others_know_it(keeper):
    texts, _ = planted()
    rows = documents(list(texts))
    pairs, solved = run(rows, MinHash(keeper=keeper, linkage="components"))
    sets = dict(zip(rows["doc_id"].to_list(), shingle_sets(list(texts)), strict=True))
    clusters = reference_clusters(rows, pairs)
    assert max(len(members) for members in clusters.values()) > 2
    for doc, kept, cluster, size, score, chained in solved.rows():
        members = clusters[doc]
        rank = (lambda d: (-len(sets[d]), d)) if keeper == "longest" else (lambda d: d)
        best = min(members, key=rank)
        assert kept == (doc == best)
        assert cluster == (best if len(members) > 1 else None)
        assert size == len(members)
        assert score == (None if kept else jaccard(sets[doc], sets[best]))
        assert chained == (not kept and score < 0.75)


def test_chains_are_dropped_and_flagged():
    rng = random.Random(4)
    words = [f"w{rng.randrange(10**9)}" for _ in range(140)]
    rows = documents([" ".join(words[at : at + 100]) for at in range(0, 40, 10)])
    _, solved = run(rows, MinHash(threshold=0.8, num_bands=112, rows_per_band=1, linkage="components"))
    assert solved["kept"].sum() == 1
    assert solved["chained"].any()
    assert (solved.filter("chained")["keeper_jaccard"] < 0.8).all()


@pytest.mark.parametrize("keeper", ["longest", "smallest_id"])
def test_a_leader_stands_for_every_dropped_document(keeper):
    texts, _ = planted()
    rng = random.Random(6)
    chain = [f"w{rng.randrange(10**9)}" for _ in range(140)]
    texts = [*texts, *(" ".join(chain[at : at + 100]) for at in range(0, 40, 10))]
    rows = documents(texts)
    op = MinHash(keeper=keeper, num_bands=56, rows_per_band=2)
    pairs, solved = run(rows, op)
    sets = dict(zip(rows["doc_id"].to_list(), shingle_sets(texts), strict=True))
    kept = set(solved.filter("kept")["doc_id"].to_list())
    members = Counter(solved["cluster"].drop_nulls().to_list())
    rank = (lambda d: (-len(sets[d]), d)) if keeper == "longest" else (lambda d: d)
    for doc, is_kept, cluster, size, score, chained in solved.rows():
        assert not chained
        if is_kept:
            assert size == max(1, members[doc])
            continue
        assert cluster in kept
        assert rank(cluster) < rank(doc), "the one that is kept comes first"
        assert score == jaccard(sets[doc], sets[cluster])
        assert score >= 0.75
    both = [(a, b) for a, b in pairs.select("a", "b").rows() if a in kept and b in kept]
    assert both == [], "no two kept documents are a verified pair"
    assert len(kept) > run(rows, replace(op, linkage="components"))[1]["kept"].sum(), "chains are cut"
    assert run(rows, op, parts=5, buckets=64)[1].equals(solved)


def test_masked_and_wordless_rows_are_nobodys_duplicate():
    rows = documents(["a b c d e f", "a b c d e f", None, "", "?", "!"])
    pairs, solved = run(rows)
    assert pairs.height == 1
    assert solved["minhash_cluster_size"].sum() == 2 * 2 + 4
    assert solved.filter(pl.col("minhash_cluster_size") == 1)["kept"].all()


def test_no_rows_at_all_are_answered():
    pairs, solved = run(documents(["a"]).clear())
    assert (pairs.height, solved.height) == (0, 0)


def test_outputs_have_the_declared_names():
    pairs, solved = run(documents(["a b", "a b", "c"]))
    assert pairs.columns == list(Pairs().outputs())
    assert solved.columns[1:] == list(Clusters().outputs())
    assert list(MinHash().outputs()) == list(Clusters().outputs())


def test_a_pair_that_names_a_stranger_is_an_error():
    rows = signed(documents(["a", "b"]))
    edge = pl.DataFrame({"a": rows["doc_id"][:1], "b": pl.Series([b"\xff" * 16])})
    with pytest.raises(DataError, match="ffffffff"):
        run_linked(Clusters(), [rows], replace(CONTEXT, refs={"pairs": Edges(edge)}))


def test_components_are_the_smallest_members_in_any_order_of_edges():
    rng = np.random.default_rng(8)
    left, right = rng.integers(0, 500, 300), rng.integers(0, 500, 300)
    found = components(500, left, right)
    group = {row: {row} for row in range(500)}
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        for member in group[a] | group[b]:
            group[member] = group[a] = group[b] = group[a] | group[b]
            group[member].update(group[a])
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        assert found[a] == found[b]
    assert (found <= np.arange(500)).all()
    assert (found[found] == found).all()
    order = rng.permutation(300)
    assert (components(500, right[order], left[order]) == found).all()
    with pytest.raises(IndexError, match="500"):
        components(500, np.array([500]), np.array([0]))


# ---- the recipe


def test_a_changed_threshold_keeps_the_signatures_and_the_mask_reaches_first_and_last():
    scope = Scope(stage="u", inputs=("docs",), where="kept_clean", seed=0, lookup=None, space=None)
    one, two = (MinHash(threshold=t, keeper="smallest_id").expand(scope) for t in (0.7, 0.8))
    assert one[0].operator == two[0].operator
    assert one[1].operator != two[1].operator
    assert [sub.where for sub in one] == ["kept_clean", None, "kept_clean", "kept_clean"]
    assert ".signatures" in one[1].inputs
    assert one[2].refs == {"pairs": ".pairs"}


@pytest.mark.parametrize("field", ["threshold", "ngram", "num_bands", "rows_per_band"])
def test_values_that_cannot_work_are_refused_by_name(field):
    with pytest.raises(ConfigError, match=field):
        MinHash(**{field: 0}).validate()
