"""Greedy selectors against brute force, plain greedy written out, and the libraries that have them."""

import itertools
import warnings

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import put_corpus, run, texts

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.pipeline.measure.knn_graph import KnnGraph
from winnow.selectors.coverage import ingenious, lazy_greedy, lazy_greedy_parts
from winnow.selectors.coverage.facility_location import FacilityLocation, certificate
from winnow.selectors.coverage.graph_cut import GraphCut
from winnow.selectors.coverage.herding import Herding
from winnow.selectors.coverage.ingenious import Ingenious
from winnow.selectors.coverage.k_center_greedy import KCenterGreedy
from winnow.selectors.coverage.log_det import LogDet
from winnow.selectors.coverage.picking import ONE
from winnow.testing.in_memory import run_whole

EULER = 1 - 1 / np.e
ON_GRAPHS = (FacilityLocation, GraphCut, Ingenious)
ON_VECTORS = (LogDet, KCenterGreedy, Herding)
METHODS = ("lazy", "threshold", "stochastic", "partitioned")


def directions(count, dim=16, *, clusters=12, noise=0.6, seed=0):
    draw = np.random.default_rng(seed)
    reals = draw.normal(size=(clusters, dim))[draw.integers(clusters, size=count)] + noise * draw.normal(
        size=(count, dim)
    )
    return knn.to_grid(pa.FixedSizeListArray.from_arrays(pa.array(reals.ravel()), dim))[0]


def rows_of(grid, cost=None, k=8):
    """Documents with vectors, costs and the exact graph of their vectors as they are."""
    ids = pl.Series([i.to_bytes(16, "big") for i in range(len(grid))], dtype=pl.Binary)
    cells = pl.Series([row.astype("<i2").tobytes() if row.any() else None for row in grid], dtype=pl.Binary)
    costs = pl.Series([1] * len(grid) if cost is None else list(cost), dtype=pl.Int64)
    rows = pl.DataFrame({"doc_id": ids, "vector": cells, "token_count": costs, "text_bytes": 4 * costs})
    (graph,) = run_whole(KnnGraph(k=k, center=False), rows, Context(seed=7, work=None))
    return pl.concat([rows, graph], how="horizontal")


def solve(op, rows, seed=7):
    """(the operator's columns in row order, what it noted)."""
    notes = {}
    parts = [rows] if isinstance(rows, pl.DataFrame) else rows
    out = run_whole(op, parts, Context(seed=seed, work=None, notes=notes))
    return pl.concat(out), notes


def picked(out):
    return out.with_row_index().filter("kept").sort("rank_selected")["index"].to_list()


def graph_of(grid, k):
    """The symmetric graph of the exact lists, and it as a dense matrix."""
    found = knn.exact(grid, k)
    real = found.ids != knn.EMPTY
    starts = np.concatenate([[0], np.cumsum(real.sum(axis=1))])
    graph = lazy_greedy.symmetric(starts, found.ids[real].astype(np.int64), found.similarities[real], one=ONE)
    dense = np.zeros((len(grid), len(grid)), dtype=np.int64)
    dense[np.repeat(np.arange(len(grid)), np.diff(graph.starts)), graph.indices] = graph.similarities
    np.fill_diagonal(dense, ONE)
    return graph, dense


def docs(count):
    return Budget(count, "docs")


# facility location


@pytest.mark.slow
def test_apricot_finds_the_same_documents_the_same_gains_and_the_same_value():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from apricot import FacilityLocationSelection
        from scipy.sparse import csr_matrix
    grid = directions(700, 24, clusters=40, seed=3)
    _, dense = graph_of(grid, 16)
    out, _ = solve(FacilityLocation(budget=docs(70), method="lazy"), rows_of(grid, k=16))
    theirs = FacilityLocationSelection(70, metric="precomputed", optimizer="lazy").fit(csr_matrix(dense / ONE))
    order = picked(out)
    assert order == theirs.ranking.tolist()
    assert out["gain"].gather(order).to_numpy() == pytest.approx(theirs.gains, abs=1e-9)
    assert out["coverage"].sum() == pytest.approx(theirs.gains.sum(), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 4), st.integers(1, 6))
def test_every_method_reaches_its_share_of_the_optimum_and_no_bound_is_broken(seed, count, budget, k):
    grid = directions(count, 6, clusters=3, seed=seed)
    _, dense = graph_of(grid, k)
    full = np.clip(grid.astype(np.int64) @ grid.astype(np.int64).T, 0, ONE)
    np.fill_diagonal(full, ONE)
    sets = [list(c) for c in itertools.combinations(range(count), min(budget, count))]
    best, best_full = (max(m[c].max(axis=0).sum() for c in sets) / ONE for m in (dense, full))
    rows = rows_of(grid, k=k)
    for method in METHODS:
        fields = {"num_parts": 2} if method == "partitioned" else {}
        out, notes = solve(FacilityLocation(budget=docs(budget), method=method, epsilon=0.1, **fields), rows)
        found = notes["certificate"]
        order = picked(out)
        assert found["value"] == pytest.approx(dense[order].max(axis=0).sum() / ONE)
        assert found["value"] <= best + 1e-9 <= found["upper"] + 2e-9
        assert best_full <= found["dense_upper"] + 1e-9
        share = {"lazy": EULER, "threshold": EULER - 0.1}.get(method, 0.0)
        assert found["value"] >= share * best - 1e-9


def test_samples_reach_their_share_on_average():
    for seed in range(4):
        grid = directions(11, 6, clusters=3, seed=seed)
        graph, dense = graph_of(grid, 4)
        best = max(dense[list(c)].max(axis=0).sum() for c in itertools.combinations(range(11), 3))
        found = [lazy_greedy.by_sampling(graph, cost=np.ones(11, dtype=np.int64), budget=3, per_cost=False, epsilon=0.1, seed=lot)
                 for lot in range(40)]  # fmt: skip
        assert np.mean([p.gains.sum() for p in found]) >= (EULER - 0.1) * best
        assert len({tuple(p.order) for p in found}) > 1  # another seed is another sample


def test_the_worked_example_of_greedy_against_the_optimum():
    """Greedy takes rows 2 and 0 (value 2.2), the best are 0 and 3 (2.4)."""
    weights = np.array([[0.6, 0.6, 0, 0], [0, 0.5, 0.5, 0], [0.5, 0, 0.5, 0.5], [0, 0, 0.6, 0.6]])
    whole = np.rint(weights * 1000).astype(np.int64)
    entries = [np.array([(j << 32) | int(whole[i, j]) for j in range(4) if whole[i, j]]) for i in range(4)]
    starts = np.concatenate([[0], np.cumsum([len(e) for e in entries])])
    graph = lazy_greedy.Graph(starts=starts, entries=np.concatenate(entries),
                              owner=np.arange(4, dtype=np.int32), one=0, rows=4)  # fmt: skip
    picks = lazy_greedy.greedy(graph, cost=np.ones(4, dtype=np.int64), budget=2, per_cost=False)
    assert picks.order.tolist() == [2, 0]
    assert picks.gains.sum() == 2200
    assert max(lazy_greedy.value(graph, np.array(c)) for c in itertools.combinations(range(4), 2)) == 2400


@pytest.mark.parametrize("tokens", [40, 900, 20_000])
def test_threshold_and_samples_stay_near_greedy_and_within_the_budget(tokens):
    grid = directions(600, 16, clusters=60)
    cost = np.random.default_rng(0).integers(1, 60, size=600)
    rows = rows_of(grid, cost)
    want = solve(FacilityLocation(budget=Budget(tokens, "tokens"), method="lazy"), rows)[1]["certificate"]["value"]
    for method, share in (("threshold", 0.99), ("stochastic", 0.9), ("partitioned", 0.97)):
        op = FacilityLocation(budget=Budget(tokens, "tokens"), method=method)
        out, notes = solve(op, rows)
        order = picked(out)
        assert cost[order].sum() <= tokens
        if tokens > 100:
            assert notes["certificate"]["value"] >= share * want
        assert notes["certificate"]["ratio"] <= 1
        both = pl.concat([rows, out], how="horizontal")
        assert certificate(both, op.budget).upper == pytest.approx(notes["certificate"]["upper"])
        assert out.equals(solve(op, rows)[0])


def test_a_smaller_budget_is_a_prefix_for_the_threshold_method_too():
    rows = rows_of(directions(300))
    last = []
    for budget in (3, 20, 77):
        now = picked(solve(FacilityLocation(budget=docs(budget), method="threshold"), rows)[0])
        assert now[: len(last)] == last
        last = now


@pytest.mark.parametrize("per_cost", [True, False])
def test_one_part_gives_what_greedy_gives_and_more_parts_nearly_so(per_cost):
    grid = directions(800, 16, clusters=50, seed=5)
    cost = np.random.default_rng(1).integers(1, 90, size=800)
    rows = rows_of(grid, cost).with_columns(shelf=pl.int_range(800) // 400)
    common = {"budget": Budget(4000, "tokens"), "cost_aware": per_cost}
    want, notes = solve(FacilityLocation(**common, method="lazy"), rows)
    one, same = solve(FacilityLocation(**common, method="partitioned", num_parts=1), rows)
    assert one.equals(want)
    assert same["certificate"] == notes["certificate"]
    value = notes["certificate"]["value"]
    for fields in ({"num_parts": 8}, {"part": "shelf"}):
        _, found = solve(FacilityLocation(**common, method="partitioned", **fields), rows)
        assert found["certificate"]["value"] > 0.98 * value
        assert found["parts"]["second_round_rows"] < 800


def test_grown_parts_are_balanced_and_follow_the_graph():
    grid = directions(900, 16, clusters=9, noise=0.15)
    rows = rows_of(grid)
    _, dense = graph_of(grid, 8)
    lists = lazy_greedy.Lists(starts=np.arange(901) * 8, neighbours=np.stack(rows["neighbors"].to_list()).astype(np.int32).ravel(),
                              similarities=np.stack(rows["similarities"].to_list()).ravel(),
                              unlisted=np.zeros(900, dtype=np.int32), one=ONE)  # fmt: skip
    parts = lazy_greedy_parts.grown(lists, np.arange(0, 900, 150))
    sizes = np.bincount(parts, minlength=6)
    assert sizes.sum() == 900
    assert sizes.max() <= 151
    edges = np.argwhere(dense > 0)
    assert (parts[edges[:, 0]] == parts[edges[:, 1]]).mean() > 0.5  # of random parts: 1 in 6


def test_gains_from_lists_are_those_of_the_graph():
    draw = np.random.default_rng(2)
    ids = draw.integers(-1, 60, size=(60, 7)).astype(np.int32)  # itself, doubles and strangers among them
    values = draw.integers(-50, 1000, size=(60, 7)).astype(np.int32)
    starts = np.arange(61) * 7
    coverage = draw.integers(0, 900, size=60).astype(np.int32)
    from winnow.selectors.coverage import lazy_greedy_kernels as kernels

    graph = lazy_greedy.symmetric(starts, ids.ravel(), values.ravel(), one=1000)
    both = np.stack([coverage, coverage[::-1]])
    found = kernels.gains_of_lists(starts, ids.ravel(), values.ravel(), 1000, both, lazy_greedy.NOBODY)
    for one, of in zip(both, found, strict=True):
        assert of.tolist() == kernels.gains(*graph.parts, one, lazy_greedy.NOBODY).tolist()


@pytest.mark.parametrize("per_cost", [True, False])
def test_when_everyone_asks_the_sampled_demand_is_dense_greedy(per_cost):
    grid = directions(160, 12, clusters=9, seed=4)
    cost = np.random.default_rng(2).integers(1, 40, size=160)
    dense = np.clip(grid.astype(np.int64) @ grid.astype(np.int64).T, 0, ONE)
    np.fill_diagonal(dense, ONE)
    order, covered, spent, gone, limit = [], np.zeros(160, dtype=np.int64), 0, set(), 300
    while len(gone) < 160:
        gain = np.maximum(dense - covered, 0).sum(axis=1)
        key = gain / cost if per_cost else gain.astype(float)
        key[list(gone)] = -1
        best = int(np.argmax(key))
        gone.add(best)
        if spent + cost[best] > 300 or cost[best] > limit:
            if cost[best] <= limit and 300 - spent <= 3:
                break
            limit = min(limit, 300 - spent) if cost[best] <= limit else limit
            continue
        order.append(best)
        spent += cost[best]
        covered = np.maximum(covered, dense[best])
    op = FacilityLocation(
        budget=Budget(300, "tokens"), method="sampled", demand=160, cost_aware=per_cost, demand_by="docs"
    )
    out, notes = solve(op, rows_of(grid, cost).drop("node", "neighbors", "similarities"))
    assert picked(out) == order
    assert (out["coverage"] * ONE).round().cast(pl.Int64).to_list() == covered.tolist()
    assert notes["certificate"]["value"] == pytest.approx(notes["value"]) == pytest.approx(covered.sum() / ONE)
    assert out["gain"].gather(order).sum() == pytest.approx(covered.sum() / ONE)
    assert 0.5 < notes["certificate"]["ratio"] <= 1


def test_a_sample_of_the_demand_covers_nearly_as_well_as_all_of_it_and_better_than_short_lists():
    grid = directions(2500, 24, clusters=60, noise=0.5, seed=8)
    rows = rows_of(grid, k=4)
    value = {}
    for name, fields in (("all", {"method": "sampled", "demand": 2500}), ("some", {"method": "sampled", "demand": 500}),
                         ("lists", {"method": "lazy"})):  # fmt: skip
        out, notes = solve(FacilityLocation(budget=docs(5), **fields), rows)
        kept = picked(out)
        value[name] = np.clip(grid.astype(np.int64) @ grid[kept].astype(np.int64).T, 0, ONE).max(axis=1).sum()
    assert 0.93 * value["all"] < value["some"] < 1.01 * value["all"]
    assert value["lists"] < value["some"]
    assert "method: auto" in notes["summary"]  # which the last one, on lists, is told


# graph cut


@pytest.mark.slow
def test_apricot_cuts_the_graph_at_the_same_documents():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from apricot import GraphCutSelection
    grid = directions(400, seed=4)
    _, dense = graph_of(grid, 12)
    out, _ = solve(GraphCut(budget=docs(40), redundancy=0.4), rows_of(grid, k=12))
    # apricot: 1 / 0.4 of the same function
    theirs = GraphCutSelection(40, metric="precomputed", optimizer="naive", alpha=2.5).fit(dense / ONE)
    order = picked(out)
    assert value_of_cut(dense, order, 0.4) == pytest.approx(value_of_cut(dense, theirs.ranking.tolist(), 0.4), rel=1e-6)
    assert order == theirs.ranking.tolist()


def value_of_cut(dense, order, redundancy):
    return (dense[:, order].sum() - redundancy * dense[np.ix_(order, order)].sum()) / ONE


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 4), st.sampled_from([0.0, 0.3, 0.5]))
def test_the_graph_cut_reaches_its_share_and_its_bound_holds(seed, count, budget, redundancy):
    grid = directions(count, 6, clusters=3, seed=seed)
    _, dense = graph_of(grid, 4)
    out, notes = solve(GraphCut(budget=docs(budget), redundancy=redundancy), rows_of(grid, k=4))
    order = picked(out)
    value = value_of_cut(dense, order, redundancy)
    best = max(
        value_of_cut(dense, list(c), redundancy) for c in itertools.combinations(range(count), min(budget, count))
    )
    assert notes["value"] == pytest.approx(value)
    assert value >= EULER * best - 1e-9
    assert best <= notes["certificate"]["upper"] + 1e-9


@pytest.mark.parametrize("redundancy", [0.4, 1.5])
def test_the_graph_cut_takes_what_plain_greedy_takes_and_stops_where_the_value_would_fall(redundancy):
    grid = directions(150, seed=9)
    cost = np.random.default_rng(3).integers(1, 30, size=150)
    _, dense = graph_of(grid, 10)
    order, spent, gone, limit = [], 0, set(), 1500
    while len(gone) < 150:
        gain = dense.sum(axis=0) - redundancy * (2 * dense[order].sum(axis=0) + ONE)
        key = gain / cost
        key[list(gone)] = -np.inf
        best = int(np.argmax(key))
        gone.add(best)
        if gain[best] <= 0:
            break
        if spent + cost[best] > 1500 or cost[best] > limit:
            if cost[best] <= limit and 1500 - spent <= 15:
                break
            limit = min(limit, 1500 - spent) if cost[best] <= limit else limit
            continue
        order.append(best)
        spent += cost[best]
    out, _ = solve(GraphCut(budget=Budget(1500, "tokens"), redundancy=redundancy), rows_of(grid, cost, k=10))
    assert picked(out) == order
    assert len(order) > 20


# log det


def log_det(grid, order, ridge=1.0):
    some = grid[order] / 2048
    return np.linalg.slogdet(np.eye(len(order)) + some @ some.T / ridge)[1] if order else 0.0


@pytest.mark.parametrize("cls", ON_GRAPHS[:2])
def test_a_few_rows_of_a_large_graph_are_looked_up_among_themselves(cls):
    """Memory goes with the rows: numbers near the largest give the lists that small numbers give."""
    rows = rows_of(directions(90, seed=4), k=6)
    far = rows.with_columns(
        pl.col("node").cast(pl.Int64).add(2**32 - 200).cast(pl.UInt32),
        pl.col("neighbors").list.eval(pl.element().cast(pl.Int64).add(2**32 - 200).cast(pl.UInt32)),
    )
    near, _ = solve(cls(budget=docs(20)), rows[10:])  # lists name rows that are not there
    answer, _ = solve(cls(budget=docs(20)), far[10:])
    assert picked(answer) == picked(near)


@pytest.mark.parametrize(("count", "dim", "ridge"), [(120, 16, 1.0), (120, 40, 0.05), (60, 8, 3.0)])
def test_log_det_takes_what_plain_greedy_takes_below_and_above_the_dimension(count, dim, ridge):
    grid = directions(count, dim, seed=6)
    order = []
    for _ in range(30):
        gains = [log_det(grid, [*order, i], ridge) if i not in order else -1 for i in range(count)]
        order.append(int(np.argmax(np.round(gains, 9))))
    out, notes = solve(LogDet(budget=docs(30), ridge=ridge, center=False), rows_of(grid))
    found = picked(out)
    assert log_det(grid, found, ridge) == pytest.approx(log_det(grid, order, ridge), rel=1e-6)
    assert found[:3] == order[:3]
    assert out["gain"].gather(found).sum() == pytest.approx(log_det(grid, found, ridge), rel=1e-9)
    open_row = next(i for i in range(count) if i not in found)
    assert out["gain"][open_row] == pytest.approx(
        log_det(grid, [*found, open_row], ridge) - log_det(grid, found, ridge)
    )
    assert notes["evaluations"] < count * 30


def test_log_det_of_another_library_is_the_same_to_a_millionth():
    """Frozen from submodlib-py 0.0.3: LogDeterminantFunction, lambdaVal 1, NaiveGreedy, on these grid vectors."""
    cells = np.random.default_rng(11).integers(-9, 10, size=(60, 12)).astype(float)
    grid, _ = knn.to_grid(pa.FixedSizeListArray.from_arrays(pa.array(cells.ravel()), 12))
    out, notes = solve(LogDet(budget=docs(10), center=False), rows_of(grid))
    assert picked(out) == [45, 12, 8, 47, 50, 14, 53, 15, 40, 31]
    assert notes["certificate"]["value"] == pytest.approx(6.597514730046968, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 4))
def test_log_det_reaches_its_share_and_its_bound_holds(seed, count, budget):
    grid = directions(count, 5, clusters=3, seed=seed)
    out, notes = solve(LogDet(budget=docs(budget), center=False), rows_of(grid))
    best = max(log_det(grid, list(c)) for c in itertools.combinations(range(count), min(budget, count)))
    assert log_det(grid, picked(out)) >= EULER * best - 1e-9
    assert best <= notes["certificate"]["upper"] + 1e-9


# k-center and herding


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 4))
def test_k_center_is_within_twice_the_least_radius_and_says_the_truth(seed, count, budget):
    grid = directions(count, 5, clusters=3, seed=seed)
    apart = np.sqrt(((grid[:, None].astype(np.int64) - grid[None]) ** 2).sum(axis=2)) / 2048
    out, notes = solve(KCenterGreedy(budget=docs(budget), center=False), rows_of(grid))
    order = picked(out)
    radius = apart[order].min(axis=0).max()
    best = min(apart[list(c)].min(axis=0).max() for c in itertools.combinations(range(count), min(budget, count)))
    assert notes["radius"]["value"] == pytest.approx(radius)
    assert notes["radius"]["lower"] - 1e-9 <= best
    assert radius <= 2 * best + 1e-9


def test_k_center_takes_the_farthest_row_every_time_the_first_of_equals():
    grid = np.concatenate([directions(200, 8), directions(200, 8)])  # every row twice
    squares = ((grid[:, None].astype(np.int64) - grid[None]) ** 2).sum(axis=2)
    order = [int(np.argmax(grid.astype(np.int64) @ grid.sum(axis=0).astype(np.int64)))]
    gains = [2.0]
    for _ in range(39):
        near = squares[order].min(axis=0)
        order.append(int(np.argmax(near)))
        gains.append(np.sqrt(near.max()) / 2048)
    out, _ = solve(KCenterGreedy(budget=docs(40), center=False), rows_of(grid))
    assert picked(out) == order
    assert out["gain"].gather(order).to_list() == pytest.approx(gains)
    everything, _ = solve(KCenterGreedy(budget=docs(400), center=False), rows_of(grid))
    assert everything["kept"].sum() == 200  # copies are not taken


@pytest.mark.parametrize("seed", range(4))
def test_k_center_counts_what_it_passed_over_as_left_out(seed):
    draw = np.random.default_rng(seed)
    grid = directions(60, 5, clusters=4, seed=seed)
    cost = np.where(draw.random(60) < 0.3, 500, draw.integers(5, 60, 60))
    apart = np.sqrt(((grid[:, None].astype(np.int64) - grid[None]) ** 2).sum(axis=2)) / 2048
    out, notes = solve(KCenterGreedy(budget=Budget(300, "tokens"), center=False), rows_of(grid, cost))
    order = picked(out)
    assert not set(order) & set(np.flatnonzero(cost > 300).tolist())
    assert notes["radius"]["value"] == pytest.approx(apart[order].min(axis=0).max())
    among = apart[np.ix_(order, order)][~np.eye(len(order), dtype=bool)].min()
    assert notes["radius"]["lower"] <= min(among, notes["radius"]["value"]) / 2 + 1e-6
    assert notes["filled"] == pytest.approx(cost[order].sum() / 300)


@pytest.mark.parametrize("cls", ON_VECTORS)
def test_selections_on_vectors_walk_on_past_what_does_not_fit(cls):
    cost = np.random.default_rng(5).integers(1, 90, size=80)
    out, notes = solve(cls(budget=Budget(400, "tokens")), rows_of(directions(80), cost))
    left = 400 - int(cost[picked(out)].sum())
    assert 0 <= left <= 4 or (cost[~out["kept"].to_numpy()] > left).all()
    assert notes["filled"] == (400 - left) / 400 > 0.9


def test_herding_takes_what_plain_herding_takes_and_beats_chance():
    grid = directions(300, 12, seed=8)
    unit = grid / 2048
    mean, order, total = unit.mean(axis=0), [], np.zeros(12)
    for step in range(25):
        score = unit @ ((step + 1) * mean - total)
        score[order] = -np.inf
        order.append(int(np.argmax(score)))
        total += unit[order[-1]]
    out, notes = solve(Herding(budget=docs(25)), rows_of(grid))
    assert picked(out) == order
    away = np.linalg.norm(unit[order].mean(axis=0) - mean)
    assert notes["distance"]["last"] == pytest.approx(away)
    assert out["gain"].drop_nulls().sum() == pytest.approx((mean**2).sum() - away**2)
    draw = np.random.default_rng(0)
    chance = [np.linalg.norm(unit[draw.choice(300, 25, replace=False)].mean(axis=0) - mean) for _ in range(50)]
    assert away < 0.3 * min(chance)
    whole, _ = solve(Herding(budget=docs(300)), rows_of(grid))
    assert sorted(picked(whole)) == list(range(300))  # each once


# ingenious


def test_the_odds_of_the_taylor_softmax():
    odds = ingenious.taylor(np.array([2.0, 1.0, 0.0]))
    found = ingenious.shares(odds, np.zeros(3, dtype=np.int64))
    assert found == pytest.approx([0.58823529, 0.29411765, 0.11764706])
    assert ingenious.shares(odds, np.array([0, 1, 1])) == pytest.approx([1, 2.5 / 3.5, 1 / 3.5])


def test_gains_are_those_of_greedy_over_everything():
    grid = directions(250, seed=2)
    rows = rows_of(grid)
    out, _ = solve(Ingenious(budget=docs(50)), rows)
    graph, _ = graph_of(grid, 8)
    picks = lazy_greedy.greedy(graph, cost=np.ones(250, dtype=np.int64), budget=250, per_cost=False)
    want = np.zeros(250)
    want[picks.order] = picks.gains / ONE
    assert out["gain"].to_numpy() == pytest.approx(want)
    assert out["gain"].sum() == pytest.approx(250)  # everything is covered in the end
    assert out["prob"].sum() == pytest.approx(1)
    assert (out["prob"] > 0).all()
    order = np.argsort(-want, kind="stable")
    assert (np.diff(out["prob"].to_numpy()[order]) <= 0).all()


def test_redraws_differ_but_have_the_same_odds():
    rows = rows_of(directions(60, seed=1))
    out, notes = solve(Ingenious(budget=docs(12), redraws=600, temperature=2.0), rows)
    sets = [set(out.with_row_index().explode("drawn").filter(pl.col("drawn") == r)["index"]) for r in range(600)]
    assert {len(s) for s in sets} == {12}
    assert notes["redraws"]["kept"] == [12] * 600
    assert len({frozenset(s) for s in sets}) > 590
    times = out["weight"].to_numpy()
    assert times.sum() == 600 * 12
    halves = [np.bincount([i for s in part for i in s], minlength=60) / 300 for part in (sets[:300], sets[300:])]
    assert np.abs(halves[0] - halves[1]).max() < 0.2
    assert np.corrcoef(times, out["prob"])[0, 1] > 0.9
    assert out["kept"].to_list() == (times > 0).tolist()
    one, _ = solve(Ingenious(budget=docs(12), temperature=2.0), rows)
    assert set(picked(one)) == sets[0]  # the first redraw does not depend on how many there are
    other, _ = solve(Ingenious(budget=docs(12), temperature=2.0), rows, seed=8)
    assert set(picked(other)) != sets[0]


def test_groups_have_gains_odds_and_budgets_of_their_own():
    grid = directions(90, seed=3)
    rows = rows_of(grid).with_columns(shelf=pl.int_range(90) % 3, all=pl.lit(5))
    out, _ = solve(Ingenious(budget=docs(31), group="shelf"), rows)
    both = pl.concat([rows, out], how="horizontal")
    counts = both.group_by("shelf").agg(pl.col("kept").sum(), pl.col("prob").sum(), pl.col("gain").sum()).sort("shelf")
    assert counts["kept"].to_list() == [11, 10, 10]  # the largest remainder, ties by value
    assert counts["prob"].to_list() == pytest.approx([1.0] * 3)
    assert counts["gain"].to_list() == pytest.approx([30.0] * 3)
    whole, _ = solve(Ingenious(budget=docs(31), group="all"), rows)
    assert whole.equals(solve(Ingenious(budget=docs(31)), rows)[0])


@pytest.mark.parametrize(("sizes", "budget", "want"), [([3, 3, 3], 5, [2, 2, 1]), ([10, 1], 5, [5, 0]), ([0, 4], 3, [0, 3]),
                                                       ([7], 9, [9]), ([], 4, []), ([0], 4, [4])])  # fmt: skip
def test_largest_remainders_add_up_to_the_budget(sizes, budget, want):
    assert ingenious.largest_remainders(np.array(sizes, dtype=np.int64), budget).tolist() == want


def test_normalised_gains_lie_between_0_and_1():
    rows = rows_of(directions(80))
    for normalise in ("max", "rank"):
        out, _ = solve(Ingenious(budget=docs(9), normalise=normalise), rows)
        ratio = out["prob"].max() / out["prob"].min()
        assert 1.5 < ratio <= 2.5  # odds from 1 to 2.5


# all of them


def everywhere(budget):
    return [
        *(cls(budget=budget) for cls in (*ON_GRAPHS, *ON_VECTORS)),
        *(FacilityLocation(budget=budget, method=m) for m in (*METHODS, "sampled")),
    ]


@pytest.mark.parametrize("op", everywhere(docs(12)), ids=lambda op: f"{op.name}-{getattr(op, 'method', '')}")
def test_selections_do_not_depend_on_parts_and_twins_are_taken_in_the_order_of_their_ids(op):
    grid = directions(90, seed=1)
    grid[45:] = grid[:45]
    rows = rows_of(grid, k=50)
    want, _ = solve(op, rows)
    shuffled = rows.with_columns(want).sample(fraction=1.0, shuffle=True, seed=2)
    found, _ = solve(op, [shuffled.select(rows.columns)[a:b] for a, b in ((0, 1), (1, 40), (40, 90))])
    assert found.equals(shuffled.select(found.columns))
    if op.name in ("facility_location", "k_center_greedy") and getattr(op, "method", "") != "stochastic":
        assert max(picked(want)) < 45


@pytest.mark.parametrize("op", everywhere(Budget(1, "tokens")), ids=lambda op: f"{op.name}-{getattr(op, 'method', '')}")
def test_an_empty_pool_a_zero_budget_and_a_document_above_the_budget_are_answered(op):
    import dataclasses

    grid = directions(30)
    rows = rows_of(grid, [100] * 30)
    out, _ = solve(op, rows)
    assert not out["kept"].any()
    empty, notes = solve(op, rows[:0])
    assert empty.height == 0
    assert empty.schema == out.schema
    assert all("nan" not in str(v) for v in notes.values())
    one, _ = solve(dataclasses.replace(op, budget=Budget(0.01, "share")), rows)  # of 30: 0.3 documents
    assert one["kept"].sum() == 1
    alone, _ = solve(dataclasses.replace(op, budget=docs(5)), rows_of(grid[:1]))
    assert alone["kept"].to_list() == [True]  # one row is its own mean, and stays as it is


@pytest.mark.parametrize("op", everywhere(docs(500)), ids=lambda op: f"{op.name}-{getattr(op, 'method', '')}")
def test_more_documents_than_there_are_giant_clusters_islands_and_rows_without_vectors(op):
    grid = np.concatenate([np.repeat(directions(1), 60, axis=0), directions(20, clusters=20, seed=2)])
    grid[[3, 70]] = 0
    out, _ = solve(op, rows_of(grid, k=6))
    assert not out["kept"][3]
    assert not out["kept"][70]
    assert out["gain"].is_null().gather([3, 70]).all()
    kept = out["kept"].sum()
    assert kept <= 78
    if op.name in ("herding", "ingenious"):
        assert kept == 78
    if op.name == "k_center_greedy":
        assert kept == 20  # one of the giant cluster
    rank = out["rank_selected"].drop_nulls().sort().to_list()
    assert rank == list(range(kept))


@pytest.mark.parametrize("cls", ON_VECTORS)
def test_vectors_with_nan_are_refused(cls):
    rows = pl.DataFrame({"doc_id": [i.to_bytes(16, "big") for i in range(3)],
                         "vector": pl.Series([[1.0, 2.0], [float("nan"), 1.0], [0.5, 0.5]], dtype=pl.Array(pl.Float32, 2))})  # fmt: skip
    with pytest.raises(DataError, match="NaN"):
        solve(cls(budget=docs(2)), rows)


@pytest.mark.parametrize("cls", ON_VECTORS)
@pytest.mark.parametrize("kind", [pl.Array(pl.Float32, 16), pl.List(pl.Float64)])
def test_vectors_may_be_lists_of_floats(cls, kind):
    grid = directions(40)
    rows = rows_of(grid)
    reals = pl.Series((grid / 2048).tolist(), dtype=kind)
    want = picked(solve(cls(budget=docs(1)), rows)[0])
    assert picked(solve(cls(budget=docs(1)), rows.with_columns(vector=reals))[0]) == want


@pytest.mark.parametrize(
    "op", everywhere(Budget(300, "tokens")), ids=lambda op: f"{op.name}-{getattr(op, 'method', '')}"
)
def test_no_token_budget_is_overrun_and_the_cost_must_be_known(op):
    cost = np.random.default_rng(0).integers(0, 50, size=80)
    rows = rows_of(directions(80), cost).with_columns(token_count=pl.when(pl.int_range(80) != 9).then("token_count"))
    out, _ = solve(op, rows)
    assert 0 < rows["token_count"].filter(out["kept"]).sum() <= 300
    assert not out["kept"][9]
    with pytest.raises(DataError, match="token_count"):
        solve(op, rows.with_columns(token_count=pl.lit(-1)))


@pytest.mark.parametrize(
    "op",
    [
        GraphCut(budget=docs(1), redundancy=-0.1),
        GraphCut(budget=Budget(1, "epochs")),
        LogDet(budget=docs(1), ridge=0.0),
        Ingenious(budget=docs(1), redraws=0),
        Ingenious(budget=docs(1), temperature=float("nan")),
        KCenterGreedy(budget=Budget(1, "epochs")),
        Herding(budget=Budget(2, "epochs")),
        FacilityLocation(budget=docs(1), epsilon=1.0),
        FacilityLocation(budget=docs(1), part="shelf"),
        FacilityLocation(budget=docs(1), method="sampled", demand=0),
        FacilityLocation(budget=docs(1), method="partitioned", num_parts=-1),
    ],
)
def test_fields_that_cannot_work_are_refused(op):
    with pytest.raises(ConfigError):
        op.validate()


RECIPE = """
stages:
  docs:  {use: jsonl, files: "raw/*.jsonl"}
  tok:   {use: count_tokens, inputs: docs}
  vec:   {use: ngram_vectors, inputs: docs, dim: 64}
  graph: {use: knn_graph, inputs: vec, k: 8}
  fl:    {use: facility_location, inputs: [docs, graph, tok], budget: 900 tokens}
  parts: {use: facility_location, inputs: [docs, graph, tok], budget: 900 tokens, method: partitioned}
  asked: {use: facility_location, inputs: [docs, vec, tok], budget: 900 tokens, method: sampled, demand: 40}
  cut:   {use: graph_cut, inputs: [docs, graph, tok], budget: 900 tokens}
  draws: {use: ingenious, inputs: [docs, graph, tok], budget: 900 tokens, redraws: 3}
  det:   {use: log_det, inputs: [docs, vec, tok], budget: 900 tokens}
  far:   {use: k_center_greedy, inputs: [docs, vec, fl], budget: 5 docs}
  herd:  {use: herding, inputs: [docs, vec, tok], budget: 900 tokens}
"""
SELECTIONS = ("fl", "parts", "asked", "cut", "draws", "det", "far", "herd")


def test_any_layout_and_a_resumed_run_give_the_same_digests(tmp_path):
    documents = texts(90)
    one = put_corpus(tmp_path / "one" / "raw", documents, 1).parent
    plain = run(RECIPE, one, tmp_path / "a", batch_rows=1000, buckets=1)
    cut = run(RECIPE, one, tmp_path / "b", batch_rows=7, buckets=8, part_bytes=6_000)
    assert len(cut.of("docs").parts) > 3
    assert {s: cut.digests[s] for s in SELECTIONS} == {s: plain.digests[s] for s in SELECTIONS}
    for stage in SELECTIONS:
        assert 0 < plain.table(stage, "kept")["kept"].to_pylist().count(True) < 90
    assert 0 < plain.metrics["fl"]["certificate"]["ratio"] <= 1
    run(RECIPE, one, tmp_path / "c", until="cut")
    rest = run(RECIPE, one, tmp_path / "c")
    assert set(rest.computed) == {"fl", "parts", "asked", "draws", "det", "far", "herd"}
    assert rest.digests == plain.digests
