"""Shares from runs: planted surfaces are found, noise is not, optima carry a certificate, and bad tables are named."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from support_mixing import PACKS, away, drawn, fitted, remarks, table_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import build
from winnow.trainers.mixing import simplex
from winnow.trainers.mixing.crossvalidate import Quality, folds_of, left_out, quality, rank_correlation
from winnow.trainers.mixing.exponential import fit_law
from winnow.trainers.mixing.hull import beyond
from winnow.trainers.mixing.mixing_law import MixingLaw
from winnow.trainers.mixing.regmix import RegMix
from winnow.trainers.mixing.runs import FILE, load
from winnow.trainers.mixing.runs_table import RunsTable
from winnow.trainers.mixing.swarm import Swarm
from winnow.trainers.mixing.trees import fit_plane, fit_trees

BEST = np.asarray([0.5, 0.3, 0.15, 0.05])


def bowl(shares, seed=0, noise=0.01):
    """Losses with their minimum at BEST."""
    return 2 + 3 * ((shares - BEST) ** 2).sum(axis=1) + noise * np.random.default_rng(seed).standard_normal(len(shares))


def exponentials(shares, seed=0, noise=0.0):
    """Two targets that want different values, f64[n, 2]."""
    rates = np.asarray([[0.2, -1.5, 0.6, 0.9], [-1.2, 0.4, 0.8, 0.9]])
    clean = np.asarray([1.5, 2.0]) + np.exp(shares @ rates.T)
    return clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)


def lowest(f, k=4, steps=40):
    """The best mixture of a grid of the simplex, by its value."""
    grid = np.asarray([(a, b, c, steps - a - b - c) for a in range(steps + 1) for b in range(steps + 1 - a)
                       for c in range(steps + 1 - a - b)]) / steps  # fmt: skip
    return grid[np.argmin(f(grid))]


def test_regmix_finds_the_bottom_of_a_bowl(tmp_path):
    shares = drawn(256, 4)
    found, notes = fitted(RegMix(runs="t", simulated=20_000), table_of(shares, bowl(shares)), tmp_path,
                          prior={"a": 1, "b": 1, "c": 1, "d": 1})  # fmt: skip
    assert away(found["weights"], BEST) < 0.08
    assert sum(found["weights"].values()) == pytest.approx(1)
    assert found["objective"]["spearman"] > 0.95
    assert found["predicted"]["t0"] < found["predicted_prior"]["t0"]
    assert "chosen" not in found
    assert "lies outside" not in remarks(notes)


def test_a_plane_goes_to_a_corner_and_says_that_it_left_the_runs(tmp_path):
    shares = drawn(64, 4, alpha=20.0)
    found, notes = fitted(RegMix(runs="t", model="linear", simulated=5_000), table_of(shares, 3 - shares[:, 1]), tmp_path,
                          prior={"a": 1, "b": 1, "c": 1, "d": 1})  # fmt: skip
    assert found["weights"]["b"] > 0.8
    assert "lies outside of the sampled ones" in remarks(notes)


@pytest.mark.parametrize("operator", [RegMix(runs="t", simulated=2_000), Swarm(runs="t"), MixingLaw(runs="t")],
                         ids=lambda o: o.name)  # fmt: skip
def test_losses_that_do_not_depend_on_the_mixture_give_the_prior_and_a_remark(operator, tmp_path):
    shares = drawn(96, 4)
    noise = 3 + 0.05 * np.random.default_rng(5).standard_normal(96)
    found, notes = fitted(operator, table_of(shares, noise), tmp_path, prior={"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1})
    assert away(found["weights"], [0.4, 0.3, 0.2, 0.1]) < 1e-9
    assert away(found["chosen"], [0.4, 0.3, 0.2, 0.1]) > 0.01
    assert "no better than by their mean" in remarks(notes)
    assert "train more or longer runs" in remarks(notes)


def test_noise_is_taken_for_a_signal_in_few_of_many_pools():
    taken = 0
    for seed in range(100):
        shares = drawn(48, 4, seed=seed)
        losses = 3 + 0.05 * np.random.default_rng(1_000 + seed).standard_normal(48)
        found = left_out(fit_plane, shares, losses, folds=5, seed=seed)
        taken += quality(found[0], losses, found[1]).tells
    assert taken <= 5


@pytest.mark.parametrize("kl", [0.0, 0.05])
def test_the_log_linear_optimum_is_that_of_a_grid(kl, tmp_path):
    shares = drawn(80, 4)
    prior = np.full(4, 0.25)
    found, _ = fitted(Swarm(runs="t", kl=kl), table_of(shares, exponentials(shares)), tmp_path,
                          prior=dict.fromkeys("abcd", 1.0))  # fmt: skip

    def value(grid):
        divergence = np.where(grid > 0, grid * np.log(np.maximum(grid, 1e-12) / prior), 0).sum(axis=1)
        return exponentials(grid).mean(axis=1) + kl * divergence

    assert away(found["weights"], lowest(value)) < 0.03
    assert found["gap"] < 1e-5
    assert found["objective_at_optimum"] <= value(lowest(value)[None])[0] + 1e-4


def test_the_mixing_law_is_recovered_with_its_constants(tmp_path):
    shares = drawn(60, 4)
    found, _ = fitted(MixingLaw(runs="t", targets={"t0": 1.0}), table_of(shares, exponentials(shares)), tmp_path)
    law = found["laws"]["t0"]
    assert law["floor"] == pytest.approx(1.5, abs=0.05)
    assert law["rates"]["b"] == pytest.approx(-1.5, abs=0.1)
    assert found["fit"]["t0"]["relative_error"] < 1e-3
    assert found["weights"]["b"] > 0.98


def test_one_wild_run_does_not_bend_the_law():
    shares = drawn(60, 4)
    losses = exponentials(shares)[:, 0]
    clean = fit_law(shares, losses)(shares)
    losses[7] += 5
    assert np.abs(fit_law(shares, losses)(shares) - clean)[np.arange(60) != 7].max() < 0.05


def test_the_law_is_nested_over_tokens(tmp_path):
    shares, points = drawn(40, 4), np.asarray([0, 1_000, 2_000, 4_000, 8_000, 16_000])
    floor, scale = exponentials(shares)[:, 0] - 0.5, 30.0
    curves = floor[:, None] + scale * np.maximum(points, 300)[None, :] ** -0.5
    runs = table_of(shares, curves[:, -1], points=points, curves=curves[:, None, :])
    found, _ = fitted(MixingLaw(runs="t", at_tokens=1_000_000), runs, tmp_path)
    late = floor + scale * 1_000_000**-0.5
    even = late[np.abs(shares - 0.25).sum(axis=1).argmin()]
    assert found["predicted_prior"]["t0"] == pytest.approx(even, abs=0.1)
    assert found["predicted"]["t0"] < late.min() + 0.1
    with pytest.raises(DataError, match="0 points of loss"):
        fitted(MixingLaw(runs="t", at_tokens=10**6), table_of(shares, floor), tmp_path)


def test_the_divergence_keeps_shares_near_the_prior(tmp_path):
    shares = drawn(80, 4)
    table = table_of(shares, exponentials(shares))
    near = [
        away(
            fitted(Swarm(runs="t", kl=kl), table, tmp_path, prior=dict.fromkeys("abcd", 1.0))[0]["weights"], [0.25] * 4
        )
        for kl in (0.0, 0.1, 1.0, 100.0)
    ]
    assert near == sorted(near, reverse=True)
    assert near[0] > 0.4
    assert near[-1] < 0.01


def test_caps_hold_and_are_named(tmp_path):
    shares = drawn(80, 4)
    sizes = {"a": 1_000.0, "b": 50.0, "c": 1_000.0, "d": 1_000.0}
    operator = Swarm(runs="t", kl=0.0, targets=("t0",), budget=Budget(1_000, "tokens"), sizes=sizes)
    found, notes = fitted(operator, table_of(shares, exponentials(shares)), tmp_path)
    assert found["weights"]["b"] == pytest.approx(0.2, abs=1e-6)  # 4 x 50 of 1,000
    assert found["epochs"]["b"] == pytest.approx(4)
    assert "b: at the cap of 4 epochs in 1,000 tokens" in remarks(notes)
    capped, _ = fitted(RegMix(runs="t", targets=("t0",), budget=Budget(1_000, "tokens"), sizes=sizes, simulated=3_000),
                       table_of(shares, exponentials(shares)), tmp_path)  # fmt: skip
    assert capped["weights"]["b"] <= 0.2 + 1e-9
    few = Swarm(runs="t", budget=Budget(100_000, "tokens"), sizes=sizes)
    with pytest.raises(DataError, match=r"12\.2% of the budget"):
        fitted(few, table_of(shares, exponentials(shares)), tmp_path)
    with pytest.raises(ConfigError, match="without the tokens of every value"):
        fitted(Swarm(runs="t", budget=Budget(1_000, "tokens")), table_of(shares, exponentials(shares)), tmp_path)


def test_sizes_of_a_pool_in_another_unit_cap_nothing_in_tokens(tmp_path):
    shares = drawn(20, 4)
    about = {"sizes": dict.fromkeys("abcd", 9_000), "prior": dict.fromkeys("abcd", 1.0), "unit": "bytes"}
    with pytest.raises(ConfigError, match="without the tokens of every value"):
        fitted(
            Swarm(runs="t", budget=Budget(1_000, "tokens")), table_of(shares, exponentials(shares)), tmp_path, **about
        )


def test_a_share_of_one_is_at_no_cap_unless_there_is_one():
    fit, told, shares = Swarm(runs="t", budget=Budget(1_000, "tokens")), [], np.eye(2)
    knows = Quality(spearman=0.9, rmse=0.1, rmse_of_mean=1.0, relative_error=0.1, runs=50)
    for cap in (1.0, 0.8):
        runs = SimpleNamespace(values=("a", "b"), shares=shares)
        asked = SimpleNamespace(runs=runs, caps=np.array([cap, 1.0]), budget=1_000)
        lines: list[str] = []
        fit.tell(SimpleNamespace(remark=lines.append), asked, np.array([cap, 1 - cap]), knows, {})
        told.append(lines)
    assert told[0] == []
    assert [line.partition(" in ")[0] for line in told[1]] == ["a: at the cap of 4 epochs"]


def test_the_pool_of_the_runs_says_prior_and_sizes(tmp_path):
    shares = drawn(80, 4)
    sizes = {"a": 4_000, "b": 3_000, "c": 2_000, "d": 1_000}
    prior = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}
    found, _ = fitted(Swarm(runs="t", kl=100.0, budget=Budget(20_000, "tokens")), table_of(shares, exponentials(shares)),
                      tmp_path, sizes=sizes, prior=prior, unit="tokens")  # fmt: skip
    assert away(found["weights"], list(prior.values())) < 0.01
    assert found["epochs"]["a"] == pytest.approx(2, abs=0.05)


def test_frozen_values_keep_their_proportions_and_need_fewer_runs(tmp_path):
    two = drawn(24, 2, seed=3)
    shares = np.column_stack([two[:, 0] * 0.5, two[:, 1], two[:, 0] * 0.3, two[:, 0] * 0.2])  # a, c and d are frozen
    losses = np.column_stack([2 + np.exp(-2 * shares[:, 1]), 1 + np.exp(0.9 * shares[:, 1])])
    frozen = {"a": 5.0, "c": 3.0, "d": 2.0}
    found, _ = fitted(Swarm(runs="t", frozen=frozen, kl=0.0), table_of(shares, losses), tmp_path)
    rest = 1 - found["weights"]["b"]
    assert [found["weights"][v] for v in "acd"] == pytest.approx([0.5 * rest, 0.3 * rest, 0.2 * rest])
    assert found["weights"]["b"] == pytest.approx(np.log(2 / 0.9) / 2.9, abs=0.01)
    fitted(Swarm(runs="t", frozen=frozen), table_of(shares[:6], losses[:6]), tmp_path)  # two values: 4 runs are enough
    with pytest.raises(DataError, match="in other proportions"):
        fitted(Swarm(runs="t", frozen=frozen), table_of(drawn(24, 4), losses), tmp_path)
    with pytest.raises(DataError, match="no share of 'x'"):
        fitted(Swarm(runs="t", frozen={"x": 1.0, "a": 1.0}), table_of(shares, losses), tmp_path)


def test_the_scarcest_frozen_value_caps_all_of_them(tmp_path):
    two = drawn(24, 2, seed=3)
    shares = np.column_stack([two[:, 0] * 0.5, two[:, 1], two[:, 0] * 0.3, two[:, 0] * 0.2])
    losses = 2 + np.exp(-1 + 2 * shares[:, 1])  # b only hurts
    sizes = {"a": 75.0, "b": 1e6, "c": 1e6, "d": 1e6}
    operator = Swarm(
        runs="t", kl=0.0, frozen={"a": 5.0, "c": 3.0, "d": 2.0}, budget=Budget(1_000, "tokens"), sizes=sizes
    )
    found, _ = fitted(operator, table_of(shares, losses), tmp_path)
    assert found["weights"]["a"] == pytest.approx(0.3, abs=1e-6)  # 4 x 75 of 1,000
    assert found["weights"]["b"] == pytest.approx(0.4, abs=1e-6)
    assert found["epochs"]["a"] == pytest.approx(4)


def test_a_fit_is_the_same_twice_and_depends_on_its_seed(tmp_path):
    shares = drawn(60, 4)
    table = table_of(shares, bowl(shares))
    one, again, other = (fitted(RegMix(runs="t", simulated=2_000), table, tmp_path, seed=s)[0] for s in (1, 1, 2))
    assert one == again
    assert one["weights"] != other["weights"]


# --- the table ---------------------------------------------------------------------------------------------------------


def written(tmp_path, frame, name="runs.csv"):
    path = tmp_path / name
    (frame.write_csv if name.endswith("csv") else frame.write_parquet)(path)
    return str(path)


def read(tmp_path, frame, **fields):
    operator = build(RunsTable, {"files": [written(tmp_path, frame)], **fields}, where="stages.t")
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    return operator.run(Context(seed=0, work=out)), load(out / FILE)


GOOD = pl.DataFrame({"name": ["x", "y", "z"], "share_web": [0.5, 0.2, 0.9], "share_books": [0.5, 0.8, 0.1],
                     "loss_wiki": [3.0, 3.1, 3.2], "D": [10, 10, 20]})  # fmt: skip


def test_a_users_table_is_read(tmp_path):
    told, runs = read(tmp_path, GOOD, id="name", tokens="D")
    assert told == {"runs": 3, "values": ["books", "web"], "targets": ["wiki"]}
    assert runs.names == ("x", "y", "z")
    assert runs.shares.tolist() == [[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]]
    assert runs.tokens.tolist() == [10, 10, 20]


@pytest.mark.parametrize(
    ("change", "fields", "says"),
    [
        ({"share_web": [0.5, 0.2, 0.5]}, {}, "run 'z' add up to 0.6"),
        ({"share_web": [50.0, 20.0, 90.0], "share_books": [50.0, 80.0, 10.0]}, {}, "add up to 100, and 3 of 3"),
        ({"share_web": [0.5, 1.2, 0.9], "share_books": [0.5, -0.2, 0.1]}, {}, "run 'y' has a share of 'books' of -0.2"),
        ({"loss_wiki": [3.0, None, 3.2]}, {}, "run 'y' has a loss on 'wiki' of nan"),
        ({"loss_wiki": [3.0, 0.0, 3.2]}, {}, "run 'y' has a loss on 'wiki' of 0"),
        ({}, {"shares": "w_*"}, "no column matches 'w_*'"),
        ({}, {"tokens": "tok"}, "no column is called 'tok'"),
        ({"D": ["a", "b", "c"]}, {"tokens": "D"}, "not a number"),
        ({}, {"unique": "share_w*"}, "'share_wbooks' is missing"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_by_run_and_column(change, fields, says, tmp_path):
    frame = GOOD.with_columns(**{name: pl.Series(values) for name, values in change.items()})
    with pytest.raises(DataError) as error:
        read(tmp_path, frame, **{"id": "name", **fields})
    assert says in str(error.value)


def test_one_run_more_values_than_runs_and_a_constant_loss_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 run: nothing can be fitted"):
        read(tmp_path, GOOD.head(1))
    shares = drawn(4, 4)
    for operator in (RegMix(runs="t"), Swarm(runs="t")):
        with pytest.raises(DataError, match=f"4 runs for 4 values: {operator.name} needs"):
            fitted(operator, table_of(shares, bowl(shares)), tmp_path)
    shares = drawn(20, 4)
    with pytest.raises(DataError, match="is 3 in all 20 runs"):
        fitted(RegMix(runs="t"), table_of(shares, np.full(20, 3.0)), tmp_path)
    with pytest.raises(DataError, match="no loss on 'wiki'"):
        fitted(RegMix(runs="t", targets=("wiki",)), table_of(shares, bowl(shares)), tmp_path)
    with pytest.raises(DataError, match="no share of 'x'"):
        fitted(RegMix(runs="t", prior={"x": 1.0}), table_of(shares, bowl(shares)), tmp_path)


@pytest.mark.parametrize(
    ("cls", "fields", "says"),
    [
        (RunsTable, {"files": ["a.csv"], "shares": "share"}, "has not one star"),
        (RunsTable, {"files": ["a.csv", "b.csv"]}, "joined by nothing"),
        (RegMix, {"runs": "t", "folds": 1}, "leave nothing out"),
        (RegMix, {"runs": "t", "best": 0}, "the best 0 of"),
        (RegMix, {"runs": "t", "max_repeats": 2.0}, "max_repeats has no effect without budget"),
        (RegMix, {"runs": "t", "targets": {"a": 0.0}}, "no target has a weight"),
        (RegMix, {"runs": "t", "prior": {"a": -1.0}}, "prior has -1"),
        (Swarm, {"runs": "t", "kl": -1.0}, "kl is -1"),
        (Swarm, {"runs": "t", "frozen": {"a": 1.0}}, "two values or more"),
        (Swarm, {"runs": "t", "budget": "10%"}, "in tokens"),
        (MixingLaw, {"runs": "t", "at_tokens": -1}, "at_tokens is -1"),
    ],
)
def test_fields_that_cannot_work_are_refused(cls, fields, says):
    with pytest.raises(ConfigError) as error:
        build(cls, fields, where="stages.s")
    assert says in str(error.value)


def test_two_files_are_joined_by_the_run(tmp_path):
    one = written(tmp_path, GOOD.select("name", "^share.*$"), "shares.csv")
    two = written(tmp_path, GOOD.select("name", "loss_wiki").reverse(), "losses.parquet")
    operator = RunsTable(files=(one, two), id="name")
    operator.run(Context(seed=0, work=tmp_path))
    assert load(tmp_path / FILE).losses[:, 0].tolist() == [3.0, 3.1, 3.2]
    less = written(tmp_path, GOOD.select("name", "loss_wiki").head(2), "less.csv")
    with pytest.raises(DataError, match="2 are in both"):
        RunsTable(files=(one, less), id="name").run(Context(seed=0, work=tmp_path))


# --- pieces ------------------------------------------------------------------------------------------------------------


def test_keyed_draws_have_the_moments_of_dirichlet_and_do_not_depend_on_their_neighbours():
    alpha = np.asarray([0.02, 0.5, 1.0, 4.0])
    names = ["w", "x", "y", "z"]
    got = simplex.dirichlet(alpha, names, first=0, count=20_000, seed=3, salt="s")
    mean, total = alpha / alpha.sum(), alpha.sum()
    assert np.allclose(got.sum(axis=1), 1)
    assert np.abs(got.mean(axis=0) - mean).max() < 0.01
    assert np.abs(got.var(axis=0) - mean * (1 - mean) / (total + 1)).max() < 0.01
    assert (simplex.dirichlet(alpha, names, first=100, count=5, seed=3, salt="s") == got[100:105]).all()
    turned = simplex.dirichlet(alpha[::-1], names[::-1], first=0, count=5, seed=3, salt="s")
    assert np.allclose(turned[:, ::-1], got[:5])
    tiny = simplex.dirichlet(np.full(3, 1e-4), names[:3], first=0, count=100, seed=3, salt="s")
    assert np.isfinite(tiny).all()
    assert (simplex.dirichlet(np.asarray([0.0, 1.0]), names[:2], first=0, count=3, seed=0, salt="s")[:, 0] == 0).all()


def test_the_nearest_shares_within_caps():
    caps = np.asarray([0.2, 1.0, 0.3])
    found = simplex.within(np.asarray([[0.9, 0.05, 0.05], [0.1, 0.6, 0.3]]), caps)
    assert np.allclose(found.sum(axis=1), 1)
    assert (found <= caps + 1e-12).all()
    assert np.allclose(found[1], [0.1, 0.6, 0.3])
    assert np.allclose(found[0], [0.2, 0.5, 0.3], atol=1e-9)
    with pytest.raises(DataError, match=r"are 60\.0% of the budget"):
        simplex.within(np.asarray([0.5, 0.5]), np.asarray([0.3, 0.3]))


def test_the_gap_bounds_the_distance_to_the_optimum():
    goal, caps = np.asarray([0.7, 0.2, 0.1]), np.asarray([0.5, 1.0, 1.0])
    found = simplex.minimise(lambda p: (float(((p - goal) ** 2).sum()), 2 * (p - goal)), np.full(3, 1 / 3), caps)
    assert np.allclose(found.shares, [0.5, 0.3, 0.2], atol=1e-5)
    assert found.gap < 1e-6
    assert simplex.least(np.asarray([3.0, 1.0, 2.0]), np.asarray([1.0, 0.4, 0.5])).tolist() == pytest.approx(
        [0.1, 0.4, 0.5]
    )


def test_a_solver_that_stops_short_is_polished_to_the_optimum(monkeypatch):
    goal = np.asarray([0.6, 0.3, 0.1])
    begin = np.asarray([0.1, 0.1, 0.8])
    monkeypatch.setattr("scipy.optimize.minimize", lambda *_, **__: SimpleNamespace(x=begin))
    found = simplex.minimise(lambda p: (float(((p - goal) ** 2).sum()) + 1, 2 * (p - goal)), begin, np.ones(3))
    assert np.allclose(found.shares, goal, atol=1e-3)
    assert found.gap <= 1e-6


def test_how_far_a_mixture_lies_beyond_the_runs():
    corners = np.asarray([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.2, 0.4, 0.4]])
    assert beyond(np.asarray([0.4, 0.3, 0.3]), corners) == pytest.approx(0, abs=1e-9)
    assert beyond(np.asarray([0.9, 0.05, 0.05]), corners) == pytest.approx(0.4)


def test_folds_are_even_and_a_fit_never_sees_what_it_is_asked():
    fold = folds_of(23, 5, seed=1)
    assert sorted(np.bincount(fold).tolist()) == [4, 4, 5, 5, 5]
    assert (fold == folds_of(23, 5, seed=1)).all()
    assert (fold != folds_of(23, 5, seed=2)).any()
    shares, losses = drawn(23, 3), np.arange(23.0) + 1

    def fit(x, y):
        known = {tuple(row): value for row, value in zip(x, y, strict=True)}
        return lambda at: np.asarray([known.get(tuple(row), -1.0) for row in at])

    predicted, mean = left_out(fit, shares, losses, folds=5, seed=1)
    assert (predicted == -1).all()
    assert mean[0] == pytest.approx(losses[fold != fold[0]].mean())
    assert rank_correlation(losses, np.ones(23)) is None


def test_a_fit_tells_something_only_with_smaller_errors_and_ranks_beyond_chance():
    losses = np.linspace(2.0, 3.0, 40)
    assert quality(losses + 0.01, losses, 2.5).tells
    assert not quality(2.5 + 9 * (losses - 2.5), losses, 2.5).tells  # ranks alone
    shuffled = losses.copy()
    shuffled[::2] = 2.5
    shuffled[1::2] = 2.5 + 0.2 * (losses[1::2][::-1] - 2.5)
    assert not quality(shuffled, losses, 2.5).tells
    assert not quality(np.full(40, 2.5), losses, 9.0).tells  # a constant has no ranks


# --- published runs ----------------------------------------------------------------------------------------------------


def regmix_tables(*names):
    pack = PACKS / "m_regmix.tar.xz"
    if not pack.exists():
        pytest.skip(f"{pack} is absent")
    with tarfile.open(pack) as tar:
        return [pl.read_csv(io.BytesIO(tar.extractfile(f"m_regmix/data/{n}.csv").read())) for n in names]


@pytest.mark.packs
def test_trees_on_the_512_published_runs_rank_the_256_others():
    x, y, tx, ty, large = regmix_tables("train_mixture_1m", "train_pile_loss_1m", "test_mixture_1m", "test_pile_loss_1m",
                                        "test_pile_loss_60m")  # fmt: skip
    target = "metric/the_pile_pile_cc_val_loss"
    predict = fit_trees(x.drop("index").to_numpy(), y[target].to_numpy())
    at = tx.drop("index").to_numpy()
    assert rank_correlation(predict(at), ty[target].to_numpy()) > 0.98
    assert rank_correlation(predict(at), large[target].to_numpy()) > 0.97
