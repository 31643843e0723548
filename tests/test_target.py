"""BETR and SimCore: ranks, rounds and stops are what the definitions say, for any layout."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import put_corpus, run, texts
from support_vectors import modes, rows_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.scorers.target.betr import Betr
from winnow.scorers.target.got_d import GotD
from winnow.selectors.target.simcore import SimCore, nearest_documents, rounds
from winnow.testing.in_memory import MemorySource, run_whole


def solved(op, pool, target, tmp_path, parts=1, notes=None):
    cuts = np.linspace(0, pool.height, parts + 1).astype(int)
    ctx = Context(seed=1, work=tmp_path, refs={"target": MemorySource(rows=target)}, notes=notes)
    pieces = [pool[a:b] for a, b in itertools.pairwise(cuts)]
    return pl.concat([a.hstack(b.select("doc_id")) for a, b in zip(run_whole(op, pieces, ctx), pieces, strict=True)])


def grids(similarity):
    """Documents and centres in space whose cosines are `similarity` [documents, centres], up to scale."""
    sims = np.asarray(similarity, dtype=float)
    count = sims.shape[1]
    rest = np.sqrt(np.maximum(1 - (sims**2).sum(axis=1), 0))
    docs = np.zeros((len(sims), count + len(sims)))
    docs[:, :count] = sims
    docs[np.arange(len(sims)), count + np.arange(len(sims))] = rest
    return (
        np.rint(docs * knn.UNIT).astype(np.int16),
        np.rint(np.eye(count, count + len(sims)) * knn.UNIT).astype(np.int16),
    )


def test_two_rounds_of_two_centres_take_what_the_definition_says():
    pool, centres = grids([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.85, 0.75], [0.0, 0.1]])
    (one, values, first), (two, _, second), *_ = rounds(pool, centres)
    assert one.tolist() == [0, 3]
    assert values == pytest.approx([0.9, 0.75], abs=1e-3)
    assert two.tolist() == [1, 2]
    assert (first, second) == pytest.approx((0.825, 0.75), abs=1e-3)


def test_two_centres_that_name_one_document_take_it_once():
    pool, centres = grids([[0.7, 0.7], [0.6, 0.1], [0.1, 0.5]])
    taken = [r[0].tolist() for r in rounds(pool, centres)]
    assert taken[0] == [0]
    assert taken[1] == [1, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 6))
def test_rounds_agree_with_a_plain_loop(seed, num, centres):
    draw = np.random.default_rng(seed)
    pool = draw.integers(-3, 4, size=(num, 4)).astype(np.int16)
    middle = draw.integers(-3, 4, size=(centres, 4)).astype(np.int16)
    similar = middle.astype(int) @ pool.T.astype(int)
    used, want = set(), []
    while len(used) < num:
        free = [i for i in range(num) if i not in used]
        picks = {min(free, key=lambda i: (-row[i], i)) for row in similar}
        used |= picks
        want.append(picks)
    assert [set(r[0].tolist()) for r in rounds(pool, middle)] == want


def test_lists_longer_than_one_block_are_merged(monkeypatch):
    monkeypatch.setattr("winnow.selectors.target.simcore.BLOCK", 7)
    draw = np.random.default_rng(1)
    pool, centres = (
        draw.integers(-9, 9, size=(50, 4)).astype(np.int16),
        draw.integers(-9, 9, size=(3, 4)).astype(np.int16),
    )
    ids, values = nearest_documents(pool, centres, 11)
    truth = centres.astype(int) @ pool.T.astype(int)
    for row, found, value in zip(truth, ids, values, strict=True):
        order = sorted(range(50), key=lambda i: (-row[i], i))[:11]
        assert found.tolist() == order
        assert value.tolist() == [row[i] for i in order]


def test_as_many_centres_as_target_texts_cover_the_target_as_well_as_anything_can(tmp_path):
    pool, target = rows_of(modes([40, 40, 40], 1)), rows_of(modes([5, 0, 5], 2), first=1)
    found = solved(SimCore(target="t", budget=Budget(120, "docs"), center=False), pool, target, tmp_path)
    grid, _ = knn.to_grid(pool["vector"].to_arrow(compat_level=pl.CompatLevel.oldest()))
    right, _ = knn.to_grid(target["vector"].to_arrow(compat_level=pl.CompatLevel.oldest()))
    truth = right.astype(int) @ grid.T.astype(int)
    first = found.with_row_index().filter(pl.col("simcore_round") == 0)["index"].to_numpy()
    assert (truth[:, first].max(axis=1) == truth.max(axis=1)).all()


@pytest.mark.parametrize("parts", [1, 4])
def test_the_budget_is_kept_and_parts_do_not_matter(tmp_path, parts):
    pool, target = rows_of(modes([60, 60], 1)).sort("doc_id"), rows_of(modes([9], 2), first=1)
    pool = pool.with_columns(token_count=pl.int_range(5, 5 + pool.height))
    op = SimCore(target="t", budget=Budget(2_000, "tokens"), centres=4)
    found = solved(op, pool, target, tmp_path, parts).join(pool, on="doc_id")
    whole = solved(op, pool, target, tmp_path)
    assert found["doc_id"].equals(whole["doc_id"])
    assert found["kept"].equals(whole["kept"])
    spent = found.filter("kept")["token_count"].sum()
    assert 2_000 - 125 < spent <= 2_000
    assert found.filter(~pl.col("kept"))["simcore_round"].null_count() == found.height - found["kept"].sum()


def test_it_stops_where_similarity_falls_and_never_where_it_is_constant(tmp_path):
    near, far = modes([30], 1), modes([0, 200], 2)
    pool, target = rows_of(np.concatenate([near, far])), rows_of(modes([6], 3), first=1)
    op = SimCore(target="t", budget=Budget(230, "docs"), stop_ratio=0.9, patience=3, centres=6, center=False)
    notes = {}
    found = solved(op, pool, target, tmp_path, notes=notes)
    assert 3 <= found["kept"].sum() <= 30
    assert notes["rounds"] >= 3
    alike = rows_of(np.tile(modes([1], 1), (400, 1)))
    capped = solved(op, alike, rows_of(modes([1], 4), first=1), tmp_path)
    assert capped["kept"].sum() == 50  # the cap per target text


def test_budgets_below_one_document_and_more_than_there_is(tmp_path):
    pool, target = rows_of(modes([10], 1)), rows_of(modes([2], 2), first=1)
    pool = pool.with_columns(token_count=pl.lit(100))
    for budget, kept in ((99, 0), (100, 1), (10_000, 10)):
        op = SimCore(target="t", budget=Budget(budget, "tokens"))
        assert solved(op, pool, target, tmp_path)["kept"].sum() == kept


def test_ranks_are_counted_by_hand(tmp_path):
    pool, centres = grids([[0.9, 0.1], [0.2, 0.9], [0.5, 0.5], [0.1, 0.2]])
    cells = [row.tobytes() for row in pool]
    docs = pl.DataFrame({"doc_id": [bytes([i]) * 16 for i in range(4)], "vector": cells})
    target = pl.DataFrame({"doc_id": [b"x" * 16, b"y" * 16], "vector": [row.tobytes() for row in centres]})
    best = solved(Betr(target="t", center=False), docs, target, tmp_path)["betr_score"].to_list()
    assert best == [1.0, 1.0, 1 - 1 / 4, 1 - 2 / 4]
    mean = solved(Betr(target="t", center=False, aggregate="mean"), docs, target, tmp_path)["betr_score"].to_list()
    assert mean == [1 - 1.5 / 4, 1 - 1 / 4, 1 - 1 / 4, 1 - 2.5 / 4]


def test_documents_like_the_target_rank_first_for_any_layout(tmp_path):
    pool, target = rows_of(modes([80, 20], 1)), rows_of(modes([0, 12], 2), first=1)
    score = solved(Betr(target="t", aggregate="mean"), pool, target, tmp_path)["betr_score"].to_numpy()
    assert score[80:].min() > score[:80].max()
    again = solved(Betr(target="t", aggregate="mean"), pool, target, tmp_path, parts=3)["betr_score"].to_numpy()
    assert np.array_equal(score, again)


@pytest.mark.parametrize("op", [Betr(target="t"), SimCore(target="t", budget=Budget(5, "docs"))])
def test_rows_without_a_vector_are_left_out_and_targets_without_one_refused(tmp_path, op):
    vectors = modes([8], 1)
    vectors[3] = 0
    found = solved(op, rows_of(vectors), rows_of(modes([2], 2), first=1), tmp_path)
    column = "betr_score" if isinstance(op, Betr) else "simcore_round"
    assert found[column][3] is None
    with pytest.raises(DataError, match="target"):
        solved(op, rows_of(vectors), rows_of(np.zeros((2, 16)), first=1), tmp_path)
    assert solved(op, rows_of(vectors)[:0], rows_of(modes([2], 2), first=1), tmp_path).height == 0
    with pytest.raises(DataError, match="dimensions"):
        solved(op, rows_of(vectors), rows_of(modes([2], 2, dim=8), first=1), tmp_path)


SELECTORS = [Betr(target="t"), SimCore(target="t", budget=Budget(5, "docs")), GotD(target="t")]


@pytest.mark.parametrize("op", SELECTORS, ids=lambda op: op.name)
def test_a_target_without_documents_and_vectors_that_are_no_numbers_are_refused(tmp_path, op):
    pool, target = rows_of(modes([8], 1)), rows_of(modes([2], 2), first=1)
    with pytest.raises(DataError, match="none of the target's 0 documents"):
        solved(op, pool, target[:0], tmp_path)
    bad = pool.with_columns(vector=pl.Series([[1.0, float("nan")]] * 8, dtype=pl.Array(pl.Float32, 2)))
    with pytest.raises(DataError, match="NaN"):
        solved(op, bad, target, tmp_path)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("op", SELECTORS, ids=lambda op: op.name)
def test_a_pool_of_copies_has_finite_values_and_ties_go_by_doc_id(tmp_path, op, center):
    alike = rows_of(np.tile(modes([1], 1), (9, 1)))
    found = solved(replace(op, center=center), alike, rows_of(modes([3], 2), first=1), tmp_path)
    if isinstance(op, SimCore):
        kept = found.filter("kept")["doc_id"].sort().to_list()
        assert kept == alike["doc_id"].sort().to_list()[: len(kept)]
        assert len(kept) in (0, 5)  # centred copies have no direction, but are rows like others
    else:
        value = found[next(iter(op.outputs()))]
        assert np.isfinite(value.to_numpy()).all()
        if isinstance(op, GotD):
            assert value.n_unique() == 1


def test_a_target_that_is_the_pool_pulls_nothing_more_than_anything_else(tmp_path):
    pool = rows_of(modes([40, 25], 1))
    assert set(solved(Betr(target="t"), pool, pool, tmp_path)["betr_score"]) == {1.0}  # everyone is its own nearest
    rounds_of = solved(SimCore(target="t", budget=Budget(65, "docs")), pool, pool, tmp_path)["simcore_round"]
    assert set(rounds_of) == {0}
    same, other = (solved(GotD(target="t"), pool, t, tmp_path)["got_d"].std() for t in (pool, rows_of(modes([0, 30], 3), first=1)))  # fmt: skip
    assert same < 0.1 * other


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_rounds_are_less_and_less_similar_and_cover_the_target_more_and_more(seed):
    draw = np.random.default_rng(seed)
    pool, centres = (draw.integers(-40, 41, size=(n, 5)).astype(np.int16) for n in (30, 4))
    similar = centres.astype(int) @ pool.T.astype(int)
    means, chosen, value = [], [], []
    for picked, _, mean in rounds(pool, centres):
        means.append(mean)
        chosen += picked.tolist()
        value.append(similar[:, chosen].max(axis=1).sum())
    assert (np.diff(means) <= 1e-12).all()
    assert (np.diff(value) >= 0).all()
    assert value[0] == similar.max(axis=1).sum()  # each centre's nearest is in the first round


@pytest.mark.parametrize(("field", "value"), [("centres", 0), ("patience", 0), ("stop_ratio", 1.5)])
def test_numbers_without_sense_are_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        SimCore(target="t", budget=Budget(1, "docs"), **{field: value}).validate()


RECIPE = """
stages:
  refs: {use: jsonl, files: "more/*.jsonl"}
  docs: {use: jsonl, files: "raw/*.jsonl"}
  size: {use: count_tokens, inputs: docs}
  vec: {use: ngram_vectors, inputs: docs, dim: 64}
  like: {use: ngram_vectors, inputs: refs, dim: 64}
  odds: {use: dsir, inputs: docs, target: refs, min_words: 5}
  drawn: {use: dsir_resample, inputs: [docs, odds], budget: 30%}
  rank: {use: betr, inputs: vec, target: like}
  near: {use: simcore, inputs: vec, target: like, budget: 400 tokens, centres: 5}
  best: {use: top_k, inputs: [docs, rank], by: betr_score, budget: 10 docs}
"""


def test_every_layout_gives_the_same_stages(tmp_path):
    put_corpus(tmp_path / "raw", texts(60, seed=1), 2)
    put_corpus(tmp_path / "more", texts(15, seed=2), 1)
    options = [{}, {"part_bytes": 2000, "batch_rows": 7}, {"part_bytes": 5000, "workers": 2}]
    found = [run(RECIPE, tmp_path, tmp_path / f"out{i}", **o).digests for i, o in enumerate(options)]
    names = ("odds", "drawn", "rank", "near", "best")
    assert [[f[n] for n in names] for f in found[1:]] == [[found[0][n] for n in names]] * 2
