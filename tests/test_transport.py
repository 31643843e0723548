"""Optimal transport: linear programming and POT agree, and the gradient chooses what the pool lacks."""

import itertools

import numpy as np
import polars as pl
import pytest
from scipy.optimize import linprog
from scipy.stats import kendalltau
from support_vectors import modes, rows_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.scorers.target import optimal_transport as transport
from winnow.scorers.target.got_d import GotD
from winnow.testing.in_memory import MemorySource, run_whole


def linear(cost):
    """(value, f, g) by linear programming, uniform masses."""
    n, m = cost.shape
    rows = np.zeros((n + m, n * m))
    for i in range(n):
        rows[i, i * m : (i + 1) * m] = 1
    for j in range(m):
        rows[n + j, j::m] = 1
    solved = linprog(cost.ravel(), A_eq=rows, b_eq=np.r_[np.full(n, 1 / n), np.full(m, 1 / m)], method="highs")
    return solved.fun, solved.eqlin.marginals[:n], solved.eqlin.marginals[n:]


def distances(seed, n=30, m=12):
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(n, 2)), draw.normal(size=(m, 2)) + 0.5
    return np.linalg.norm(x[:, None] - y[None, :], axis=-1)


def test_what_the_pool_lacks_has_the_lowest_gradient():
    cost = np.abs(np.array([0.0, 0, 0, 1])[:, None] - np.array([0.0, 0, 1, 1])[None, :])
    value, _f, _ = linear(cost)
    assert value == pytest.approx(0.25)
    found = transport.sinkhorn(cost, epsilon=0.005, tolerance=1e-7)
    assert found.value == pytest.approx(0.25, abs=1e-3)
    gradient = transport.calibrated(found.source)
    assert gradient == pytest.approx([1 / 3, 1 / 3, 1 / 3, -1], abs=0.02)
    for point in (0, 3):  # central differences: mass to the point, evenly from the others
        moved = np.full(4, -1 / 3)
        moved[point] = 1.0
        step = 1e-4
        more, less = (
            transport.sinkhorn(cost, epsilon=0.005, source=0.25 + sign * step * moved, tolerance=1e-7).value
            for sign in (1, -1)
        )
        assert (more - less) / (2 * step) == pytest.approx(gradient[point], abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_potentials_is_that_of_the_linear_program(seed):
    cost = distances(seed)
    value, f, g = linear(cost)
    found = transport.sinkhorn(cost, epsilon=0.01 * float(np.median(cost)), tolerance=1e-5)
    assert kendalltau(found.source, f).statistic > 0.94
    assert found.value == pytest.approx(value, rel=0.03)
    assert np.allclose(transport.extend(cost, g, epsilon=0), f, atol=1e-9)  # the hard transform is exact


def test_pot_gives_the_same_potentials_and_value():
    ot = pytest.importorskip("ot")
    cost = distances(5)
    epsilon = 0.05 * float(np.median(cost))
    plan, log = ot.sinkhorn(
        np.full(30, 1 / 30), np.full(12, 1 / 12), cost, epsilon, method="sinkhorn_log", numItermax=20_000,
        stopThr=1e-12, log=True,
    )  # fmt: skip
    found = transport.sinkhorn(cost, epsilon=epsilon, tolerance=1e-10, max_iterations=50_000)
    assert found.value == pytest.approx(float((plan * cost).sum()), abs=1e-6)
    theirs = epsilon * np.asarray(log["log_u"])
    assert np.allclose(found.source - found.source.mean(), theirs - theirs.mean(), atol=1e-5)


def test_a_potential_of_half_the_points_extends_to_all_of_them():
    cost = distances(2, n=60)
    epsilon = 0.02 * float(np.median(cost))
    whole = transport.sinkhorn(cost, epsilon=epsilon, tolerance=1e-6)
    half = transport.sinkhorn(cost[::2], epsilon=epsilon, tolerance=1e-6)
    extended = transport.extend(cost, half.target, epsilon=epsilon)
    assert kendalltau(extended, whole.source).statistic > 0.85
    assert np.allclose(transport.extend(cost, whole.target, epsilon=epsilon) - whole.source, 0, atol=1e-3)


def test_a_constant_changes_no_gradient_and_equal_samples_have_none():
    cost = distances(3)
    found = transport.sinkhorn(cost, epsilon=0.1, tolerance=1e-8)
    shifted = transport.calibrated(found.source + 7.5)
    assert np.allclose(shifted, transport.calibrated(found.source))
    draw = np.random.default_rng(1).normal(size=(300, 2))
    same = np.linalg.norm(draw[:, None] - draw[None, :], axis=-1)
    moved = np.linalg.norm(draw[:, None] - (2 * draw + 1)[None, :], axis=-1)
    flat, steep = (
        transport.calibrated(transport.sinkhorn(c, epsilon=0.1, tolerance=1e-5).source).std() for c in (same, moved)
    )
    assert flat < 0.1 * steep
    assert transport.calibrated(np.array([2.0])).tolist() == [0.0]


def test_masses_that_make_no_problem_are_refused():
    cost = distances(1)
    for bad in ({"source": np.zeros(30)}, {"target": np.full(11, 1 / 11)}, {"source": np.full(30, 1.0)}):
        with pytest.raises(DataError, match="mass"):
            transport.sinkhorn(cost, epsilon=0.1, **bad)
    with pytest.raises(DataError, match="finite"):
        transport.sinkhorn(np.where(cost > 1, np.inf, cost), epsilon=0.1)


def got_d(op, pool, target, tmp_path, parts=1, notes=None):
    cuts = np.linspace(0, pool.height, parts + 1).astype(int)
    pieces = [pool[a:b] for a, b in itertools.pairwise(cuts)]
    ctx = Context(seed=1, work=tmp_path, refs={"target": MemorySource(rows=target)}, notes=notes)
    return pl.concat(run_whole(op, pieces, ctx))["got_d"]


def test_the_rare_half_of_the_target_is_pulled_first_and_contrast_turns_the_sign(tmp_path):
    pool, target = rows_of(modes([180, 20, 60], 1)), rows_of(modes([30, 30], 2), first=1)
    notes = {}
    value = got_d(GotD(target="t", center=False), pool, target, tmp_path, notes=notes).to_numpy()
    assert value[180:200].min() > value[:180].max()  # what the target has and the pool lacks, not the nearest
    assert value[200:].max() < value[180:200].min()
    assert notes["value"] > 0
    other = got_d(GotD(target="t", center=False, contrast=True), pool, target, tmp_path).to_numpy()
    assert np.allclose(other, -value)


def test_parts_do_not_matter_and_a_subsample_keeps_the_order(tmp_path):
    pool, target = rows_of(modes([180, 20, 60], 1)), rows_of(modes([30, 30], 2), first=1)
    whole = got_d(GotD(target="t"), pool, target, tmp_path)
    assert np.allclose(got_d(GotD(target="t"), pool, target, tmp_path, parts=4), whole, atol=1e-4)
    some = got_d(GotD(target="t", sample=130, target_sample=40), pool, target, tmp_path)
    assert kendalltau(some, whole).statistic > 0.7


def test_the_default_orders_documents_as_the_exact_dual_does(tmp_path):
    draw = np.random.default_rng(7)
    centres = draw.normal(size=(8, 128))

    def sample(size, shares):
        return centres[draw.choice(8, size, p=shares)] + draw.normal(size=(size, 128))

    sizes = (151, 41)  # without a common divisor, so that the dual is unique
    pool, target = (
        rows_of(sample(n, draw.dirichlet(np.full(8, a))), first=a) for n, a in zip(sizes, (2, 1), strict=True)
    )
    grids = [np.stack([np.frombuffer(cell, dtype="<i2") for cell in rows["vector"]]) / 2048 for rows in (pool, target)]
    _, f, _ = linear(1 - grids[0] @ grids[1].T)
    found, blurred = (
        kendalltau(got_d(GotD(target="t", center=False, **fields), pool, target, tmp_path), -f).statistic
        for fields in ({}, {"epsilon": 0.05})
    )
    assert found > 0.93
    assert blurred < 0.88


def test_documents_without_a_vector_have_no_value_and_an_empty_target_is_refused(tmp_path):
    vectors = modes([6, 4], 1)
    vectors[2] = 0
    found = got_d(GotD(target="t"), rows_of(vectors), rows_of(modes([3], 2), first=1), tmp_path)
    assert found.is_null().arg_true().to_list() == [2]
    with pytest.raises(DataError, match="none of the target's 2 documents"):
        got_d(GotD(target="t"), rows_of(vectors), rows_of(np.zeros((2, 16)), first=1), tmp_path)
    nothing = rows_of(vectors)[:0]
    assert got_d(GotD(target="t"), nothing, rows_of(modes([3], 2), first=1), tmp_path).len() == 0


@pytest.mark.parametrize(("field", "value"), [("epsilon", 0.0), ("sample", 0), ("target_sample", 0)])
def test_numbers_without_sense_are_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        GotD(target="t", **{field: value}).validate()
