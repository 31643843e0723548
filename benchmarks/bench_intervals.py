"""What the intervals of a comparison promise, by simulation: coverage, false verdicts of a family, and power.

    python benchmarks/bench_intervals.py              # the table of docs/decisions.md, some minutes
    python benchmarks/bench_intervals.py --runs 500   # a look

Every case simulates whole comparisons: a baseline, arms that draw anew for every seed or have one selection, a noise of
training and one of the draw, text in common, and a target that is read in part. The kernels are those of the product.
Needs numpy and scipy; the same functions are run by tests/test_interval_simulation.py.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from winnow.trainers.compare import dunnett, intervals, item_noise, power
from winnow.trainers.compare import variance_components as parts

Floats = npt.NDArray[np.float64]
NOISES = ("normal", "skewed", "heavy")  # skewed: gamma of shape 4 (skewness 1); heavy: t with 5 degrees of freedom
MOST_NOISES = (*NOISES, "exponential")  # skewness 2, beyond what averages over documents show


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of comparison. `draw` is the share of the draw in the variance of a run, in [0, 1]."""

    seeds: int
    arms: int
    fixed: bool  # whether the arms have one selection each
    controls: int = 1  # further labels that draw anew
    draw: float = 0.8
    common: float = 0.0  # text that any two draws have in common
    noise: str = "normal"
    effect: float = 0.0  # of the first arm, in standard deviations of a run
    wild: float = 1.0  # factor on the standard deviation of the first arm
    items: tuple[int, int] = (0, 0)  # read, and of the whole target; (0, 0): all of it is read


@dataclass(frozen=True, kw_only=True)
class Found:
    """Shares of the simulated comparisons."""

    covered: float  # intervals of all arms that hold the truth
    family: float  # comparisons with any verdict on an arm that does not differ, after adjusting
    found: float  # comparisons in which the first arm has a verdict, after adjusting
    half: float  # median half-width, in standard deviations of a run


def noise_of(generator: np.random.Generator, shape: tuple[int, ...], kind: str) -> Floats:
    """Noise of mean 0 and variance 1."""
    if kind == "skewed":
        return (generator.gamma(4.0, size=shape) - 4) / 2
    if kind == "heavy":
        return generator.standard_t(5, size=shape) / np.sqrt(5 / 3)
    if kind == "exponential":
        return generator.exponential(size=shape) - 1
    return generator.normal(size=shape)


def simulate(case: Case, question: str, *, runs: int, seed: int = 0) -> Found:
    """Comparisons of one kind, asked of the `method` or of the `selection` (of fixed arms)."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    n, drawn = case.seeds, 1 + case.controls + (0 if case.fixed else case.arms)
    labels = 1 + case.controls + case.arms
    is_fixed = np.arange(labels) >= drawn
    scores = np.sqrt(1 - case.draw) * noise_of(generator, (runs, labels, n), case.noise)
    draws = np.sqrt(case.draw) * noise_of(generator, (runs, labels, n), case.noise)
    draws[:, is_fixed] = draws[:, is_fixed, :1] if question == "method" else 0.0  # nothing: no selection differs
    draws *= np.sqrt(1 - case.common)  # what all draws share moves arms and baseline alike
    first = 1 + case.controls
    scores[:, first] *= case.wild
    draws[:, first] *= case.wild
    scores = scores + draws
    scores[:, first] += case.effect
    truth = np.where(np.arange(case.arms) == 0, case.effect, 0.0)[None, :]
    differences = scores[:, first:].mean(axis=2) - scores[:, :1].mean(axis=2)
    extra = _items(generator, case, runs)
    return _judged(case, question, scores, differences + extra[0], extra[1], truth)


def _items(generator: np.random.Generator, case: Case, runs: int) -> tuple[Floats, tuple[Floats, float]]:
    """(what the sampled items add to each difference f64[runs, arms], (its estimated variance f64[runs, arms], df))."""
    read, found = case.items
    if not read:
        return np.zeros((runs, case.arms)), (np.zeros((runs, case.arms)), 1.0)
    added, variances = np.zeros((runs, case.arms)), np.zeros((runs, case.arms))
    for run, arm in itertools.product(range(runs), range(case.arms)):
        sizes = generator.lognormal(0, 0.8, found)
        own = sizes * generator.normal(0, 1.5, found)  # of an arm on an item, whatever the seed
        seeds = generator.normal(0, 0.5, (case.seeds, read)) * sizes[:read]
        whole, part = own.sum() / sizes.sum(), own[:read].sum() / sizes[:read].sum()
        added[run, arm] = part - whole
        variances[run, arm], df = item_noise.sampled_variance(own[:read] + seeds, sizes[:read], found)
    return added, (variances, df)


def _judged(
    case: Case, question: str, scores: Floats, differences: Floats, items: tuple[Floats, float], truth: Floats
) -> Found:
    n, runs = case.seeds, len(scores)
    drawn = scores.shape[1] - (case.arms if case.fixed else 0)
    within = np.where(np.arange(scores.shape[1]) < drawn, 1 - case.common, 0.0)
    spread = parts.Spread(variances=scores.var(axis=2, ddof=1), df=np.full(scores.shape[:2], n - 1.0), within=within)
    lines = parts.out_of_line(spread)
    spread = parts.Spread(
        variances=spread.variances, df=np.where((lines == 0) | (lines == 1), spread.df, 0.0), within=within
    )
    one, many = np.full((n, n), case.common), np.ones((n, n))
    np.fill_diagonal(one, 1.0)
    arm = many if case.fixed else one
    own, base = parts.own_weights(arm), parts.own_weights(one)
    gt, gd = (a + b for a, b in zip(own, base, strict=True))
    if question == "method":
        gt, gd = parts.weights_of(arm, one, np.full((n, n), case.common))
    t, d = parts.components(spread)
    p, df, shared, covered = (np.zeros((runs, case.arms)) for _ in range(4))
    first, found = scores.shape[1] - case.arms, parts.uncertainty(spread, gt, gd)
    plain = found
    for k in range(case.arms):
        keeps = [
            parts.Own(label=label, seeds=n, less=less, rows=lines[:, label] > 0)
            for label, less in ((first + k, own), (0, base))
        ]
        rows = keeps[0].rows | keeps[1].rows | (items[0][:, k] > 0)  # the others are as they were
        found = _with_rows(plain, rows, spread, (gt, gd), keeps, (items[0][:, k], items[1]))
        p[:, k], df[:, k] = found.p_values(differences[:, k]), found.df[:, 0]
        covered[:, k] = found.p_values(differences[:, k] - truth[:, k]) >= intervals.ALPHA
        part = np.sqrt(np.minimum(1.0, (base[0] * t + base[1] * d) / found.variance))
        shared[:, k] = np.where(keeps[0].rows, np.nan, part)
    return Found(
        covered=float(covered.mean()), **_verdicts(case, _judging(p, case, question), df, shared),
        half=float(np.median(found.half_widths(alpha=intervals.ALPHA))),
    )  # fmt: skip


def _with_rows(
    plain: parts.Uncertainty, rows: npt.NDArray[np.bool_], spread: parts.Spread, weights: tuple[float, float],
    keeps: list[parts.Own], items: tuple[Floats, float],
) -> parts.Uncertainty:  # fmt: skip
    """`plain` with some rows of a label that keeps its own variance, or of sampled items, in place of its own."""
    if not rows.any():
        return plain
    some = parts.Spread(variances=spread.variances[rows], df=spread.df[rows], within=spread.within)
    own = [parts.Own(label=one.label, seeds=one.seeds, less=one.less, rows=one.rows[rows]) for one in keeps]
    found = parts.keeping_own(some, *weights, own, extra=[(items[0][rows], items[1])])
    each = []
    for name in ("weights", "variances", "df"):
        values = np.array(getattr(plain, name))
        values[rows] = getattr(found, name)
        each.append(values)
    return parts.Uncertainty(weights=each[0], variances=each[1], df=each[2])


def _judging(p: Floats, case: Case, question: str) -> Floats:
    """The p that are adjusted, as `effects_table`: one draw has a far tail of its own where there are several arms."""
    if question == "selection" or not case.fixed or case.arms == 1:
        return p
    return np.asarray(np.vectorize(dunnett.one_draw)(p), dtype=np.float64)


def _verdicts(case: Case, p: Floats, df: Floats, shared: Floats) -> dict[str, float]:
    """`family` and `found`, after adjusting; a family without any p below the level has no verdict."""
    adjusted = np.ones(p.shape)
    for run in np.flatnonzero(p.min(axis=1) < intervals.ALPHA):
        parts_of = [None if np.isnan(x) else float(x) for x in shared[run]]
        least, together = int(p[run].argmin()), [x for x in parts_of if x is not None]
        if dunnett.adjusted(p[run, least], df[run, least], together, apart=len(parts_of) - len(together)) < 0.06:
            adjusted[run] = dunnett.step_down(p[run].tolist(), df[run].tolist(), parts_of)
    verdicts = adjusted < intervals.ALPHA
    null = verdicts[:, 1:] if case.effect else verdicts
    return {"family": float(null.any(axis=1).mean()), "found": float(verdicts[:, 0].mean())}


def table(runs: int, seed: int) -> None:
    """Print the table of docs/decisions.md: rows of cases, columns of noises."""
    kinds = [("drawn", False, "method"), ("one selection, method", True, "method"),
             ("one selection, this selection", True, "selection")]  # fmt: skip
    print("| arms | seeds | draw's share | coverage: " + " | ".join(MOST_NOISES) + " | families with a verdict |")
    for (name, fixed, question), seeds, arms in itertools.product(kinds, (3, 6, 12), (1, 12)):
        for draw in (0.2, 0.8) if (question, fixed, seeds) == ("method", True, 6) else (0.8,):
            each = [
                simulate(
                    Case(seeds=seeds, arms=arms, fixed=fixed, draw=draw, noise=noise), question, runs=runs, seed=seed
                )
                for noise in MOST_NOISES
            ]
            shown = " | ".join(f"{100 * one.covered:.1f}" for one in each)
            worst = " / ".join(f"{100 * one.family:.1f}" for one in each)
            print(f"| {arms} {name} | {seeds} | {draw:g} | {shown} | {worst} |", flush=True)


def wild_and_items(runs: int, seed: int) -> None:
    """Print what an arm of larger noise and a target that is read in part do."""
    for factor, arms in itertools.product((1.0, 1.5, 2.0, 3.0), (4, 12)):
        for seeds in (4, 6):
            one = simulate(Case(seeds=seeds, arms=arms, fixed=False, wild=factor), "method", runs=runs, seed=seed)
            print(f"one of {arms} arms {factor:g}x as noisy, {seeds} seeds: false family {100 * one.family:.1f} %")
    for read, found in ((12, 40), (40, 200), (40, 50)):
        case = Case(seeds=6, arms=4, fixed=False, items=(read, found))
        one = simulate(case, "method", runs=max(200, runs // 8), seed=seed)
        print(f"{read} of {found} items: coverage {100 * one.covered:.1f} %, false family {100 * one.family:.1f} %")


def power_of(runs: int, seed: int) -> None:
    """Print the smallest effects that are found four times in five after adjusting, in standard deviations of a run, how
    often the simulation finds them, and what paired differences without adjusting would need.
    """
    noise = power.Noise(drawn=1.0, fixed=0.2, drawn_df=0, fixed_df=0, origin="")
    for fixed, seeds, arms in itertools.product((False, True), (3, 4, 6), (1, 4, 10)):
        labels = power.Labels(drawn=2 if fixed else 2 + arms, fixed=arms if fixed else 0, arms=arms)
        effect = power.detectable(noise, labels, seeds, one_selection=fixed, among=True)
        paired = intervals.minimum_detectable_effect(2**0.5, seeds)
        assert effect is not None
        assert paired is not None
        case = Case(seeds=seeds, arms=arms, fixed=fixed, effect=effect)
        found = simulate(case, "method", runs=runs, seed=seed).found
        kind = "one selection" if fixed else "drawn"
        print(f"{seeds} seeds, {arms} {kind}: {effect:.2f}, found {100 * found:.0f} %; paired {paired:.2f}", flush=True)


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000, help="simulated comparisons of each case")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated noise: settings were chosen looking at 0")
    asked = parser.parse_args()
    for part in (table, power_of, wild_and_items):
        part(asked.runs, asked.seed)


if __name__ == "__main__":
    main()
