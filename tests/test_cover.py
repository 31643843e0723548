"""Coverage by all pairs: small clusters beside a large one, budgets in tokens, and what is said of a selection."""

import itertools
import json
import random
import re

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import winnow as w
from winnow.core.numerics import knn
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.pipeline.measure.knn_graph import KnnGraph
from winnow.selectors.coverage import dense_check, lazy_greedy, sampled_demand
from winnow.selectors.coverage.facility_location import ONE, FacilityLocation, certificate
from winnow.testing.in_memory import run_whole

RECIPE = """
seed: 1
stages:
  docs: {use: jsonl, files: docs.jsonl}
  vec: {use: ngram_vectors, inputs: docs}
  near: {use: knn_graph, inputs: vec, k: 16}
  far: {use: knn_graph, inputs: vec, k: 64}
  few: {use: facility_location, inputs: [docs, near], budget: 3.5%}
  same: {use: facility_location, inputs: [docs, far], budget: 3.5%}
  more: {use: facility_location, inputs: [docs, near], budget: 30 docs}
  tokens: {use: facility_location, inputs: [docs, near], budget: 2300 tokens}
"""


def clusters(sizes, dim=24, noise=0.7, seed=0):
    """(vectors on the grid, number of each row's cluster), shuffled."""
    draw = np.random.default_rng(seed)
    number = draw.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = draw.normal(size=(len(sizes), dim))
    reals = centres[number] + noise * draw.normal(size=(len(number), dim))
    return knn.to_grid(pa.FixedSizeListArray.from_arrays(pa.array(reals.ravel()), dim))[0], number


def rows_of(grid, cost=None, k=8, *, center=True):
    cost = np.ones(len(grid), dtype=np.int64) if cost is None else cost
    rows = pl.DataFrame(
        {
            "doc_id": pl.Series([i.to_bytes(16, "big") for i in range(len(grid))], dtype=pl.Binary),
            "vector": pl.Series([row.astype("<i2").tobytes() for row in grid], dtype=pl.Binary),
            "token_count": cost,
            "text_bytes": 4 * cost,
        }
    )
    (graph,) = run_whole(KnnGraph(k=k, center=center), rows, Context(seed=7, work=None))
    return pl.concat([rows, graph], how="horizontal")


def solve(rows, budget, **fields):
    """(columns, metrics)."""
    notes = {}
    parts = [rows] if isinstance(rows, pl.DataFrame) else rows
    op = FacilityLocation(budget=Budget.parse(budget), **fields)
    out = run_whole(op, parts, Context(seed=7, work=None, notes=notes))
    return pl.concat(out), notes


def picked(out):
    return out.with_row_index().filter("kept").sort("rank_selected")["index"].to_list()


def all_pairs(grid):
    dense = np.clip(grid.astype(np.int64) @ grid.astype(np.int64).T, 0, ONE)
    np.fill_diagonal(dense, ONE)
    return dense


def dense_greedy(dense, cost, budget, weight):
    """Plain greedy by all pairs, everything evaluated at every step; what does not fit is passed over."""
    covered, order, spent, open_ = np.zeros(dense.shape[1], dtype=np.int64), [], 0, np.ones(len(dense), dtype=bool)
    while open_.any() and spent < budget:
        gain = (np.maximum(dense - covered, 0) * weight).sum(axis=1)
        best = int(np.argmax(np.where(open_, gain / cost, -1.0)))
        open_[best] = False
        if spent + cost[best] <= budget:
            order.append(best)
            spent += cost[best]
            covered = np.maximum(covered, dense[best])
    return order


def coverage(dense, order, weight):
    return float(np.average(dense[order].max(axis=0) / ONE, weights=weight))


def test_twelve_clusters_are_covered_one_of_which_has_nearly_everything(tmp_path, monkeypatch):
    """One of 400 documents, eleven of 5: lists alone take from 3 (k = 16) or 4 (k = 64) of them."""
    monkeypatch.chdir(tmp_path)
    rng, number = random.Random(5), {}
    with open("docs.jsonl", "w") as file:
        for c in range(12):
            words = [f"c{c}w{i}" for i in range(60)]
            file.writelines(
                json.dumps({"text": " ".join(rng.choice(words) for _ in range(100))}) + "\n"
                for _ in range(5 if c else 400)
            )
    (tmp_path / "r.yaml").write_text(RECIPE)
    w.run_recipe("r.yaml", out="runs")
    found = w.open("runs")
    texts = found.text("docs").collect()
    for stage in ("few", "same", "more", "tokens"):
        kept = found.frame(stage, ["kept"]).filter("kept").collect().join(texts, on="doc_id")["text"]
        number[stage] = len({re.match(r"c\d+", text)[0] for text in kept})
        said = found.metrics(stage)["dense"]
        assert said["greedy"] * 0.99 <= said["coverage"] > said["length_matched"]
    assert number == {"few": 12, "same": 12, "more": 12, "tokens": 12}


def test_a_pool_larger_than_its_demand_is_covered_from_its_first_picks_on():
    grid, number = clusters([1000] + [5] * 11, noise=0.5)
    rows = rows_of(grid, k=16)
    out, notes = solve(rows, "40 docs", demand=400)
    assert notes["method"] == "dense start, lazy"
    assert notes["first_picks"] == 10
    assert len(set(number[picked(out)])) == 12
    alone, _ = solve(rows, "40 docs", method="lazy")
    assert len(set(number[picked(alone)])) < 12


@pytest.mark.parametrize("unit", ["docs", "tokens"])
@pytest.mark.parametrize("k", [6, 24])
@pytest.mark.parametrize("share", [0.015, 0.06])
def test_it_reaches_nearly_what_greedy_by_all_pairs_reaches(unit, k, share):
    grid, _ = clusters([int(120 / (i + 1) ** 0.8) + 2 for i in range(40)], seed=3)
    cost = np.random.default_rng(1).lognormal(4, 1, size=len(grid)).astype(np.int64) + 1
    by = cost if unit == "tokens" else np.ones_like(cost)
    dense, budget = all_pairs(grid), int(by.sum() * share)
    out, notes = solve(rows_of(grid, cost, k=k), f"{budget} {unit}", demand=320)
    want = coverage(dense, dense_greedy(dense, by, budget, by), by)
    got = coverage(dense, picked(out), by)
    assert by[picked(out)].sum() <= budget
    assert got > 0.975 * want
    assert got == pytest.approx(notes["dense"]["coverage"], abs=0.03)  # of 1,000 held-out documents
    assert notes["dense"]["coverage"] > max(notes["dense"]["random"], notes["dense"]["length_matched"])


def test_a_token_budget_is_not_spent_on_short_documents_unless_documents_ask():
    grid, _ = clusters([20] * 30, seed=5)
    cost = np.random.default_rng(2).lognormal(5, 1, size=len(grid)).astype(np.int64) + 1
    rows, dense, budget = rows_of(grid, cost), all_pairs(grid), int(cost.sum() * 0.3)
    out, notes = solve(rows, f"{budget} tokens", demand=240)
    short, other = solve(rows, f"{budget} tokens", demand=240, demand_by="docs")
    assert 1.3 * cost[picked(short)].mean() < cost[picked(out)].mean()
    assert coverage(dense, picked(out), cost) > coverage(dense, picked(short), cost)
    assert notes["dense"]["length_ratio"] == pytest.approx(cost[picked(out)].mean() / cost.mean())
    assert "short" in other["remarks"][0]
    assert "length_matched" in other["remarks"][0]


def test_what_is_said_of_a_selection_is_so():
    grid, _ = clusters([60] * 10, seed=6)
    cost = np.random.default_rng(3).integers(1, 50, size=600)
    rows, dense = rows_of(grid, cost), all_pairs(grid)
    pool = dense_check.Pool(
        grid=grid, cost=cost, weight=cost.astype(np.int32), length=cost, unit="tokens",
        doc_id=rows["doc_id"], salt="",
    )  # fmt: skip
    held, order = np.arange(0, 600, 3), np.array([1, 5, 9, 300, 411])
    found = dense_check.check(pool, order, held, budget=200, per_cost=True, known=False)
    mean = np.average(dense[np.ix_(order, held)].max(axis=0) / ONE, weights=cost[held])
    assert found.coverage == pytest.approx(mean)
    assert found.length_ratio == pytest.approx(cost[order].mean() / cost.mean())
    for_them = dense_greedy(dense[:, held], cost, 200, cost[held])
    best = np.average(dense[np.ix_(for_them, held)].max(axis=0) / ONE, weights=cost[held])
    assert best * 0.99 < found.greedy < best * 1.01
    chance = [dense_check._within(pool, 200, f"random{d}") for d in range(3)]
    assert all(0 < cost[some].sum() <= 200 for some in chance)
    assert len({tuple(some) for some in chance}) == 3
    like = dense_check._matched(pool, order, "matched0")
    assert len(like) == len(order)
    assert abs(np.sort(cost[like]) - np.sort(cost[order])).max() <= 5  # within a twentieth of the lengths


def test_a_selection_no_better_than_chance_is_told():
    grid, _ = clusters([100] * 6, seed=7)
    rows = rows_of(grid)
    pool = dense_check.Pool(
        grid=grid, cost=np.ones(600, dtype=np.int64), weight=lazy_greedy.NOBODY, length=np.ones(600, dtype=np.int64),
        unit="bytes", doc_id=rows["doc_id"], salt="",
    )  # fmt: skip
    notes, order = {}, np.arange(2)
    found = dense_check.Check(held_out=9, coverage=0.2, random=0.3, length_matched=0.25, greedy=None, length_ratio=1.0)
    dense_check.tell(found, pool, order, Context(seed=0, work=None, notes=notes))
    assert "covers 20.0% of 9 held-out documents, random ones of the same lengths 25.0%" in notes["remarks"][0]


def test_a_smaller_budget_is_a_prefix_across_the_first_picks():
    grid, _ = clusters([50] * 12, seed=8)
    cost = np.random.default_rng(4).integers(1, 30, size=600)
    rows, last = rows_of(grid, np.ones_like(cost)), []
    for docs in (2, 5, 6, 40, 300):
        now = picked(solve(rows, f"{docs} docs", demand=200)[0])
        assert now[: len(last)] == last
        assert len(now) == docs
        last = now


def test_any_layout_gives_the_same_selection_beyond_the_demand():
    grid, _ = clusters([40] * 10, seed=9)
    cost = np.random.default_rng(5).integers(1, 30, size=400)
    rows = rows_of(grid, cost)
    want, _ = solve(rows, "900 tokens", demand=120)
    shuffled = rows.with_columns(want).sample(fraction=1.0, shuffle=True, seed=2)
    found, _ = solve([shuffled.select(rows.columns)[a:b] for a, b in ((0, 1), (1, 150), (150, 400))], "900 tokens",
                     demand=120)  # fmt: skip
    assert found.equals(shuffled.select(found.columns))


@pytest.mark.parametrize("seed", range(4))
def test_no_selection_is_worth_more_than_the_bound_as_the_method_counts(seed):
    """Of eleven documents all choices are tried: first picks by all pairs, then listed pairs, weighted by cost."""
    grid, _ = clusters([4, 4, 3], dim=6, seed=seed)
    cost = np.random.default_rng(seed).integers(1, 9, size=11)
    rows = rows_of(grid, cost, k=3)
    out, notes = solve(rows, "14 tokens", demand=4)
    order, dense = picked(out), all_pairs(grid)
    first = dense[order[: notes["first_picks"]]].max(axis=0)
    listed = np.zeros_like(dense)
    for row, names in enumerate(rows["neighbors"].to_list()):
        listed[row, names] = listed[names, row] = dense[row, names]
    np.fill_diagonal(listed, ONE)
    scale = 11 / cost.sum() / ONE

    def worth(chosen):
        return float((np.maximum(first, listed[list(chosen)].max(axis=0)) * cost).sum() * scale)

    fits = [c for n in range(1, 12) for c in itertools.combinations(range(11), n) if cost[list(c)].sum() <= 14]
    assert notes["certificate"]["value"] == pytest.approx(worth(order))
    assert max(map(worth, fits)) <= notes["certificate"]["upper"] + 1e-9
    assert out["gain"].gather(order).sum() == pytest.approx(notes["certificate"]["value"])
    said = certificate(pl.concat([rows, out], how="horizontal"), Budget(14, "tokens"))
    assert said.value == pytest.approx(notes["certificate"]["value"])
    assert said.upper == pytest.approx(notes["certificate"]["upper"])


@pytest.mark.parametrize("method", ["lazy", "threshold", "stochastic", "partitioned"])
def test_weights_count_in_every_method(method):
    """Two clusters: ten documents that ask for 1, two that ask for 1,000. One pick goes where it counts."""
    grid, number = clusters([10, 2], dim=8, noise=0.2, seed=1)
    cost = np.where(number == 0, 1, 1000)
    fields = {"num_parts": 1} if method == "partitioned" else {"epsilon": 0.01} if method == "stochastic" else {}
    rows = rows_of(grid, cost, k=11, center=False)
    out, notes = solve(rows, "1000 tokens", method=method, cost_aware=False, **fields)
    first = picked(out)[0]
    assert number[first] == 1
    by_docs, _ = solve(rows, "1000 tokens", method=method, cost_aware=False, demand_by="docs", **fields)
    assert number[picked(by_docs)[0]] == 0
    dense, order = all_pairs(grid), picked(out)
    assert notes["certificate"]["value"] == pytest.approx(coverage(dense, order, cost) * 12)
    assert (
        notes["certificate"]["value"] <= notes["certificate"]["upper"] <= notes["certificate"]["dense_upper"] * 1.0001
    )


@pytest.mark.parametrize("dim", [3, 4, 7, 64])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_search_by_all_pairs_is_greedy_in_whole_numbers(dim, weighted):
    draw = np.random.default_rng(dim)
    real = draw.normal(size=(700, dim))
    grid = np.rint(real / np.linalg.norm(real, axis=1, keepdims=True) * 2048).astype(np.int16)
    asked = np.sort(draw.permutation(700)[:300])  # more than are summed at once
    cost = draw.integers(1, 9, size=700)
    weight = draw.integers(1, 50, size=700).astype(np.int32) if weighted else lazy_greedy.NOBODY
    found = sampled_demand.start(
        grid, asked, np.arange(700), cost=cost, budget=10_000, per_cost=False, weight=weight, most=12
    )
    whole = grid.astype(np.int64)
    similar = np.minimum(whole @ whole[asked].T, ONE)
    similar[asked, np.arange(300)] = ONE
    mass = weight[asked].astype(np.int64) if weighted else np.ones(300, dtype=np.int64)
    covered, order = np.zeros(300, dtype=np.int64), []
    while len(order) < len(found.order):
        gain = (np.maximum(similar - covered, 0) * mass).sum(axis=1)
        gain[order] = -1
        order.append(int(gain.argmax()))
        covered = np.maximum(covered, similar[order[-1]])
    assert len(order) == 12
    assert found.order.tolist() == order
