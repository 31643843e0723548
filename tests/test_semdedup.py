"""SemDeDup, D4 and redundancy: who is removed is what the definitions say, in tiles or not, for any layout."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import put_corpus, run, texts
from support_vectors import modes, rows_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import earlier_neighbours, knn
from winnow.core.numerics.earlier_neighbours import before
from winnow.core.operators import Context
from winnow.pipeline.dedup import exemplar_cells, redundancy, redundancy_kernels
from winnow.pipeline.dedup.redundancy import Redundancy
from winnow.pipeline.dedup.semdedup import SemDeDup
from winnow.pipeline.measure.clusters import Clusters
from winnow.selectors.balance.d4 import D4
from winnow.testing.in_memory import run_whole


def solved(op, rows, parts=1, notes=None):
    op.validate()
    cuts = np.linspace(0, rows.height, parts + 1).astype(int)
    pieces = [rows[a:b] for a, b in itertools.pairwise(cuts)]
    return rows.hstack(pl.concat(run_whole(op, pieces, Context(seed=1, work=None, notes=notes))))


def sorted_rows(vectors, first=0, **columns):
    return rows_of(vectors, first).sort("doc_id").with_columns(**columns)


def three(order=(0, 1, 2)):
    """Unit vectors a, b, c with cosines .96, .96 and about .86, ascending by doc_id; similarities say the order."""
    angles = np.arccos(0.96) * np.arange(3)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)[list(order)]
    near = [0.1 * (1 + i) for i in order]
    rows = rows_of(vectors)
    return rows.with_columns(doc_id=rows["doc_id"].sort(), cluster=pl.lit(0), cluster_similarity=pl.Series(near))


def test_a_document_is_compared_with_removed_ones_too():
    found = solved(SemDeDup(eps=0.05), three())
    assert found["kept"].to_list() == [True, False, False]
    assert found["semdedup_similarity"].to_list() == pytest.approx([None, 0.96, 0.96], abs=1e-3)
    assert solved(Redundancy(distance=0.05), three())["kept"].to_list() == [True, False, True]


def test_the_verdict_goes_by_the_order_and_not_by_doc_id():
    assert solved(SemDeDup(eps=0.05), three((2, 0, 1)))["kept"].to_list() == [False, True, False]
    assert solved(SemDeDup(eps=0.05, order="easy"), three((2, 0, 1)))["kept"].to_list() == [True, False, False]
    kept = {tuple(solved(SemDeDup(eps=0.05, order="random", salt=str(i)), three())["kept"]) for i in range(12)}
    assert len(kept) > 1


def test_an_eps_of_0_removes_nothing_and_a_larger_one_more():
    rows = sorted_rows(np.repeat(modes([30, 20], 1), 2, axis=0), cluster=pl.lit(3), cluster_similarity=pl.lit(0.5))
    kept = [solved(SemDeDup(eps=e), rows)["kept"].sum() for e in (0.0, 1e-9, 0.1, 0.5, 2.0)]
    assert kept[0] == 100
    assert kept[1] == 50  # of every pair of equal vectors one is left
    assert kept[1:] == sorted(kept[1:], reverse=True)
    assert kept[-1] == 1


def naive(grid, home, order):
    unit = grid / np.linalg.norm(grid.astype(float), axis=1, keepdims=True)
    out = np.full(len(grid), -np.inf)
    for at, j in enumerate(order):
        out[j] = max((unit[i] @ unit[j] for i in order[:at] if home[i] == home[j]), default=-np.inf)
    return out


@pytest.mark.parametrize("tile", [1, 7, 1024])
def test_tiles_give_the_full_matrix(monkeypatch, tile):
    monkeypatch.setattr(earlier_neighbours, "TILE", tile)
    draw = np.random.default_rng(1)
    grid = draw.integers(-2000, 2000, size=(90, 8)).astype(np.int16)
    home = draw.integers(0, 3, size=90)
    order = np.lexsort((draw.permutation(90), home))
    assert before(grid, home, order) == pytest.approx(naive(grid, home, order), abs=1e-12)


def test_one_giant_cluster_is_worked_through_in_tiles():
    rows = sorted_rows(modes([2500], 1), cluster=pl.lit(0), cluster_similarity=pl.lit(0.5))
    notes = {}
    found = solved(SemDeDup(eps=0.01), rows, notes=notes)
    assert notes["largest_cluster"] == 2500
    assert notes["kept_at"]["0.01"] == found["kept"].sum()
    assert found["semdedup_similarity"].null_count() == 1


def test_a_share_is_kept_exactly_and_is_the_same_as_its_eps():
    rows = sorted_rows(modes([60, 41], 2), cluster=pl.int_range(101) % 2, cluster_similarity=pl.lit(0.5))
    found = solved(SemDeDup(share=0.3), rows)
    assert found["kept"].sum() == 30
    limit = found.filter("kept")["semdedup_similarity"].max()
    by_eps = solved(SemDeDup(eps=1 - limit), rows)
    assert by_eps["kept"].equals(found["kept"])


def test_a_keeper_orders_a_cluster_nulls_last():
    rows = sorted_rows(np.repeat(modes([12], 1), 5, axis=0), cluster=pl.lit(0), q=pl.int_range(60) * 7 % 11)
    rows = rows.with_columns(q=pl.when(pl.col("q") > 2).then("q"))
    found = rows.with_columns(solved(SemDeDup(eps=1e-9, keeper="q desc"), rows)["kept"])
    best = found.sort(pl.col("q").fill_null(-1), "doc_id", descending=[True, False])
    expected = best.unique("vector", keep="first", maintain_order=True)["doc_id"]
    assert set(found.filter("kept")["doc_id"]) == set(expected)
    for wrong in ("longest", "length(text)", "q desc,"):
        with pytest.raises(ConfigError):
            SemDeDup(eps=0.1, keeper=wrong).validate()


def test_documents_without_vector_or_cluster_are_counted_and_not_kept():
    vectors = modes([12], 1)
    vectors[3] = 0
    rows = rows_of(vectors).with_columns(
        cluster=pl.when(pl.int_range(12) == 5).then(None).otherwise(0), cluster_similarity=pl.lit(0.5)
    )
    notes = {}
    found = solved(SemDeDup(eps=0.0), rows, notes=notes)
    assert notes["excluded"] == 2
    assert sorted(found.with_row_index().filter(~pl.col("kept"))["index"]) == [3, 5]
    assert solved(SemDeDup(eps=0.1), rows[:0]).height == 0
    lost = rows.with_columns(cluster_similarity=pl.lit(None, pl.Float64))
    with pytest.raises(DataError, match="cluster_similarity"):
        solved(SemDeDup(eps=0.1), lost)
    bad = rows_of(modes([2], 1)).with_columns(
        vector=pl.Series([[1.0, float("nan")], [1.0, 0.0]]), cluster=0, cluster_similarity=0.5
    )
    with pytest.raises(DataError, match="NaN"):
        solved(SemDeDup(eps=0.1), bad)


@pytest.mark.parametrize("share", [0.1, 0.37, 0.6, 0.75])
def test_d4_keeps_its_share(share):
    rows = sorted_rows(modes([90, 70, 43], 1))
    notes = {}
    found = solved(D4(share=share, clusters=5), rows, notes=notes)
    assert abs(found["kept"].sum() - share * 203) <= 1
    assert notes["duplicates"] + notes["prototypes"] + found["kept"].sum() == 203
    assert found["d4_removed_by"].null_count() == found["kept"].sum()


def test_a_ball_of_copies_contributes_one_document_to_d4():
    vectors = np.concatenate([modes([60, 60], 3, dim=24), np.tile(modes([0, 0, 1], 3, dim=24), (40, 1))])
    rows = rows_of(vectors).with_columns(ball=pl.int_range(160) >= 120).sort("doc_id")
    found = solved(D4(share=0.7, dedup_share=0.75, clusters=4), rows)
    assert found.filter("ball")["kept"].sum() <= 1
    assert found.filter(pl.col("d4_removed_by") == "duplicate")["ball"].sum() == 39


def test_removing_prototypes_before_the_duplicates_is_another_selection():
    vectors = np.concatenate([modes([60, 60], 3, dim=24), np.tile(modes([0, 0, 1], 3, dim=24), (40, 1))])
    rows = rows_of(vectors).sort("doc_id")
    found = solved(D4(share=0.5, dedup_share=0.75, clusters=4), rows)
    only = solved(D4(share=0.75, dedup_share=0.75, clusters=4), rows)  # nothing is left to be a prototype
    assert (only["d4_removed_by"] == "duplicate").sum() == only["d4_removed_by"].is_not_null().sum() == 40
    assert found.filter(pl.col("d4_removed_by") == "duplicate")["doc_id"].equals(
        only.filter(~pl.col("kept"))["doc_id"])  # fmt: skip
    near = solved(Clusters(num=4), rows)["cluster_similarity"]
    far = rows.hstack([near]).sort("cluster_similarity", "doc_id").head(120).sort("doc_id")  # prototypes go first
    other = solved(D4(share=0.667, dedup_share=0.667, clusters=4), far.drop("cluster_similarity")).filter("kept")
    assert other.height == found["kept"].sum() == 80
    assert set(other["doc_id"]) != set(found.filter("kept")["doc_id"])


def plain_exemplars(far, distance):
    by = []
    for j in range(len(far)):
        by.append(next((i for i in range(j) if by[i] < 0 and far[i, j] <= distance), -1))
    return by


def test_four_codes_by_hand():
    rows = rows_of(modes([4], 1)).with_columns(code=pl.Series([0b0, 0b1, 0b11, 0b1111111], dtype=pl.UInt64))
    rows = rows.with_columns(doc_id=rows["doc_id"].sort())
    for distance, kept in ((6, [True, False, False, True]), (-1, [True] * 4), (64, [True, False, False, False])):
        found = solved(Redundancy(distance=distance, metric="hamming", column="code"), rows)
        assert found["kept"].to_list() == kept
    assert found["exemplar"].to_list() == [None, *[rows["doc_id"][0]] * 3]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300), max_size=40), st.integers(-1, 20))
def test_codes_agree_with_a_plain_loop(codes, distance):
    far = np.array([[(a ^ b).bit_count() for b in codes] for a in codes]).reshape(len(codes), len(codes))
    found = redundancy.hamming(np.array(codes, dtype=np.uint64), distance)
    assert found.tolist() == plain_exemplars(far, distance)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300), max_size=60), st.integers(0, 10), st.integers(0, 63),
    st.integers(0, 2),
)  # fmt: skip
def test_comparing_codes_that_nearly_share_a_band_finds_what_comparing_all_finds(codes, distance, bit, flips):
    codes = np.array([*codes, *(c ^ (1 << bit) for c in codes), *(c ^ 0x8101 for c in codes)], dtype=np.uint64)
    found = redundancy_kernels.banded_exemplars(codes, distance, distance // (flips + 1) + 1)
    assert np.array_equal(found, redundancy_kernels.hamming_exemplars(codes, distance))


def test_many_codes_are_compared_in_bands(monkeypatch):
    draw = np.random.default_rng(1)
    codes = draw.integers(0, 2**63, size=3000, dtype=np.uint64) & np.uint64(0x0F0F0F0F0F0F0F0F)
    codes[1000:2000] = codes[:1000] ^ (np.uint64(1) << draw.integers(0, 64, size=1000).astype(np.uint64))
    for distance in (-1, 0, 3, 6, 10, 20, 64):
        found = redundancy.hamming(codes, distance)
        assert np.array_equal(found, redundancy_kernels.hamming_exemplars(codes, distance))
    assert [redundancy.bands_for(n, 6) for n in (100, 3000, 10**6)] == [0, 7, 4]
    assert redundancy.bands_for(10**6, 64) == redundancy.bands_for(10**6, -1) == 0
    monkeypatch.setattr(redundancy_kernels, "hamming_exemplars", None)
    assert (redundancy.hamming(codes, 6) < 0).sum() > 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 9999), st.integers(0, 40), st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.2]), st.sampled_from([3, 1024])
)
def test_exemplars_are_apart_and_cover_the_removed(seed, num, distance, block):
    draw = np.random.default_rng(seed)
    grid = np.repeat(draw.integers(-2000, 2000, size=(num, 4)), 2, axis=0).astype(np.int16)
    unit = grid / np.maximum(np.linalg.norm(grid.astype(float), axis=1, keepdims=True), 1)
    far = 1 - unit @ unit.T if num else np.zeros((0, 0))
    before_block, redundancy.BLOCK = redundancy.BLOCK, block
    try:
        by = redundancy.cosine(grid, distance)
    finally:
        redundancy.BLOCK = before_block
    kept = np.flatnonzero(by < 0)
    assert all(far[a, b] > distance - 1e-9 for a, b in itertools.combinations(kept, 2))
    assert all(far[j, i] <= distance + 1e-9 and by[i] < 0 for j, i in enumerate(by) if i >= 0)


@pytest.mark.parametrize("distance", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("kind", ["clusters", "copies", "anywhere", "zeros"])
def test_cells_rule_nothing_out_that_all_pairs_would_find(monkeypatch, distance, kind):
    draw = np.random.default_rng(7)
    vectors = draw.normal(size=(1200, 24))
    if kind != "anywhere":
        vectors = draw.normal(size=(40, 24))[draw.integers(0, 40, size=1200)] + 0.3 * vectors
    if kind == "copies":
        vectors = vectors[draw.integers(0, 300, size=1200)]
    grid = np.rint(2048 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.int16)
    if kind == "zeros":
        grid[::7] = 0
    plain = redundancy.cosine(grid, distance)
    monkeypatch.setattr(exemplar_cells, "_LEAST_ROWS", 100)
    monkeypatch.setattr(exemplar_cells, "_PRICE", 0.0)
    made = []
    monkeypatch.setattr(redundancy, "Cells", lambda *given: made.append(exemplar_cells.Cells(*given)) or made[-1])
    assert np.array_equal(redundancy.cosine(grid, distance), plain)
    assert made[0].looked > 0
    monkeypatch.setattr(exemplar_cells, "_PRICE", 1e9)  # given up after the first rows: the rest by all pairs
    assert np.array_equal(redundancy.cosine(grid, distance), plain)
    assert not made[1].pays


def test_groups_are_apart_the_best_stands_for_the_others_and_parts_do_not_matter():
    vectors = np.tile(modes([1], 1), (60, 1))
    rows = sorted_rows(vectors, site=pl.int_range(60) % 4, score=(pl.int_range(60) * 7 % 60).cast(pl.Float64))
    rows = rows.with_columns(site=pl.when(pl.int_range(60) == 8).then(None).otherwise("site"))
    op, notes = Redundancy(distance=0.01, per=("site",), by="score"), {}
    found = solved(op, rows, notes=notes)
    assert notes["excluded"] == 1
    best = rows.drop_nulls("site").group_by("site").agg(pl.col("doc_id").sort_by("score").last()).sort("site")
    assert found.filter("kept").sort("site")["doc_id"].to_list() == best["doc_id"].to_list()
    assert found.filter(pl.col("site") == 1)["exemplar"].drop_nulls().unique().to_list() == [best["doc_id"][1]]
    assert solved(op, rows, parts=5).equals(found)
    lost = rows.with_columns(score=pl.when(pl.col("score") > 3).then(float("nan")).otherwise("score"))
    assert solved(op, lost).filter("kept")["score"].is_not_nan().all()


@pytest.mark.parametrize("op", [SemDeDup(eps=0.1), D4(share=0.5), Redundancy(distance=0.1), Clusters(num=5)])
def test_no_documents_one_document_and_zero_vectors(op):
    extra = {"cluster": pl.lit(0), "cluster_similarity": pl.lit(0.5)} if isinstance(op, SemDeDup) else {}
    for vectors, rows in ((modes([1], 1), 1), (modes([1], 1), 0), (np.zeros((3, 16)), 3)):
        found = solved(op, rows_of(vectors).with_columns(**extra)[:rows])
        if not isinstance(op, Clusters):
            assert found["kept"].sum() <= vectors.any(axis=1).sum()
    assert solved(op, rows_of(np.zeros((3, 16))).with_columns(**extra)).height == 3


@pytest.mark.parametrize(
    "op",
    [
        SemDeDup(), SemDeDup(eps=0.1, share=0.5), SemDeDup(eps=-0.1), SemDeDup(share=0.0), D4(share=0.9), D4(share=0.0),
        D4(share=0.5, clusters=-1), Redundancy(distance=-0.1), Redundancy(distance=65, metric="hamming"),
        Redundancy(distance=1.5, metric="hamming"),
    ],
)  # fmt: skip
def test_numbers_without_sense_are_refused(op):
    with pytest.raises(ConfigError):
        op.validate()


def test_codes_that_are_no_whole_numbers_are_refused():
    rows = rows_of(modes([3], 1)).with_columns(code=pl.lit(0.5))
    with pytest.raises(DataError, match="whole"):
        solved(Redundancy(distance=3, metric="hamming", column="code"), rows)


def test_signed_codes_are_the_same_bits():
    codes = pl.Series([2**63, 2**64 - 1, 0], dtype=pl.UInt64)
    signed = pl.Series(codes.to_numpy().view(np.int64))
    assert np.array_equal(redundancy.codes_of(codes), redundancy.codes_of(signed))


def test_equal_documents_have_a_cosine_of_one_on_the_grid():
    grid, _ = knn.to_grid(pl.Series([[0.3, 0.7, 0.11]] * 4, dtype=pl.Array(pl.Float64, 3)).to_arrow())
    most = before(grid, np.zeros(4, dtype=np.int64), np.arange(4))
    assert most[1:] == pytest.approx(1.0, abs=1e-15)
    assert (most <= 1).all()


RECIPE = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl"}
  vec: {use: ngram_vectors, inputs: docs, dim: 64}
  topics: {use: clusters, inputs: vec, num: 6}
  even: {use: cluster_balanced, inputs: topics, budget: 20 docs}
  unique: {use: semdedup, inputs: [vec, topics], eps: 0.1}
  proto: {use: d4, inputs: vec, share: 0.5, clusters: 6}
  apart: {use: redundancy, inputs: [vec, topics], distance: 0.1, per: [cluster]}
"""


def test_every_layout_gives_the_same_stages_and_nothing_is_done_twice(tmp_path):
    put_corpus(tmp_path / "raw", texts(60, seed=1), 2)
    options = [{}, {"part_bytes": 2000, "batch_rows": 7}, {"part_bytes": 5000}]
    found = [run(RECIPE, tmp_path, tmp_path / f"out{i}", **o).digests for i, o in enumerate(options)]
    names = ("topics", "even", "unique", "proto", "apart")
    assert [[f[n] for n in names] for f in found[1:]] == [[found[0][n] for n in names]] * 2
    assert run(RECIPE, tmp_path, tmp_path / "out0").computed == {}
