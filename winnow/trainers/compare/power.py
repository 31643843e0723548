"""What a comparison can find, before it runs: minimum detectable effect and the seeds that a wanted effect needs.

Both follow from two numbers: the variance over seeds of a run whose selection is drawn anew, and that of a run with one
selection (training alone). They come from earlier comparisons of the same run root, pooled over all their labels; where
there are none, from declared defaults with their origin beside them. The intervals of the planned comparison are those
of `variance_components`, so its arms count: more arms show more of the noise, and adjusting for them costs (Dunnett).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from winnow.core.terminal import percent
from winnow.trainers.compare import dunnett
from winnow.trainers.compare import variance_components as parts
from winnow.trainers.compare.intervals import ALPHA, POWER, minimum_detectable_effect

MOST_SEEDS = 1000
DECLARED_SD = 0.06  # of the difference of two drawn runs
DECLARED_TRAINING = 0.2  # share of training in the variance of a drawn run
DECLARED_ORIGIN = (
    "a default: random subsets of the built-in `quickstart` (1.1M parameters, 250k tokens) differ by about this"
)
ONE_DRAW = "one selection is one draw of its method, and more seeds do not average it: use `folds: true`"


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Variances over seeds of one run: `drawn` anew for every seed, `fixed` for one selection, with their degrees of
    freedom (0: declared). A part that earlier comparisons did not show follows from the other by the declared share.
    """

    drawn: float
    fixed: float
    drawn_df: float
    fixed_df: float
    origin: str
    unit: str = "bits per byte"

    def sd(self, *, fixed: bool) -> float:
        """Standard deviation of the difference of two runs."""
        return math.sqrt(2 * (self.fixed if fixed else self.drawn))

    def df(self, *, fixed: bool) -> float:
        """Degrees of freedom that it is known from."""
        return self.fixed_df if fixed else self.drawn_df

    def range(self, *, fixed: bool, alpha: float = ALPHA) -> tuple[float, float] | None:
        """Interval of the standard deviation itself (chi-square); None where it was declared, not measured."""
        df = self.df(fixed=fixed)
        if df < 1:
            return None
        from scipy import special

        low, high = (2 * float(special.gammaincinv(df / 2, at)) for at in (alpha / 2, 1 - alpha / 2))
        return self.sd(fixed=fixed) * math.sqrt(df / high), self.sd(fixed=fixed) * math.sqrt(df / low)


class Compared(Protocol):
    """What a comparison declares of its labels."""

    @property
    def arms(self) -> tuple[str, ...]:
        """All labels but the baseline."""

    @property
    def controls(self) -> tuple[str, ...]:
        """Those that repeat the baseline."""

    @property
    def fixed(self) -> tuple[str, ...]:
        """Those with one selection at all seeds."""

    @property
    def baseline_fixed(self) -> bool:
        """Whether the baseline has one."""

    @property
    def folds(self) -> bool:
        """Whether every seed has a fold of its own."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """How many labels of a comparison draw anew for every seed and how many have one selection, and the interval."""

    drawn: int
    fixed: int
    baseline_fixed: bool = False
    arms: int = 1  # those that are adjusted together
    folds: bool = False  # paired over seeds, each with a fold of its own

    @classmethod
    def of(cls, comparison: Compared) -> Labels:
        """Of a comparison: its arms and controls, and the baseline."""
        names, controls = set(comparison.arms), set(comparison.controls)
        one = set() if comparison.folds else names & set(comparison.fixed)
        baseline_fixed = comparison.baseline_fixed and not comparison.folds
        return cls(
            drawn=len(names) - len(one) + (not baseline_fixed), fixed=len(one) + baseline_fixed,
            baseline_fixed=baseline_fixed, arms=max(1, len(names - controls)), folds=comparison.folds,
        )  # fmt: skip


def detectable(noise: Noise, labels: Labels, seeds: int, *, one_selection: bool, among: bool = False) -> float | None:
    """Smallest true difference that is found four times in five, of an arm that draws anew for every seed, or of one
    selection as one draw of its method. `among`: at the first step of Dunnett over all arms. None below two seeds.

    With a baseline that is one selection both are about these selections: nothing of the draw is seen.
    """
    if seeds < 2:
        return None
    if labels.folds:
        level = -math.expm1(math.log1p(-ALPHA) / labels.arms) if among else ALPHA
        return minimum_detectable_effect(noise.sd(fixed=False), seeds, alpha=level)
    w = np.array([1.0] * labels.drawn + [0.0] * labels.fixed)
    spread = parts.Spread(
        variances=np.where(w > 0, noise.drawn, noise.fixed)[None, :], df=np.full((1, len(w)), seeds - 1.0), within=w
    )
    own = 0.0 if labels.baseline_fixed else 1 / seeds  # of the draw in a baseline's mean
    draw = own if labels.baseline_fixed else own + (1.0 if one_selection else 1 / seeds)
    if not (w > 0).any():
        draw = 0.0
    found = parts.uncertainty(spread, 2 / seeds, draw)
    halves = found.half_widths(alpha=ALPHA)
    df = float(found.effective_df(halves, alpha=ALPHA)[0])
    variance = float(found.variance[0])
    if variance == 0.0:
        return 0.0
    base = (noise.fixed if labels.baseline_fixed else noise.drawn) / seeds
    level = ALPHA
    if among and labels.arms > 1:
        level = dunnett.level(ALPHA, df, [min(1.0, math.sqrt(base / variance))] * labels.arms)
        level = dunnett.one_draw_level(level) if one_selection else level
        df = float(found.effective_df(found.half_widths(alpha=level), alpha=level)[0])
    return minimum_detectable_effect(math.sqrt(variance * seeds), seeds, alpha=level, df=df)


def seeds_needed(noise: Noise, labels: Labels, wanted: float, *, one_selection: bool) -> int | None:
    """Smallest number of seeds at which `wanted` is detectable among all arms; None above 1,000."""

    def enough(n: int) -> bool:
        found = detectable(noise, labels, n, one_selection=one_selection, among=True)
        return found is not None and found <= wanted

    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS  # not enough at low, enough at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def pooled_noise(
    comparisons: Iterable[Mapping[str, Any]],
    target: str,
    *,
    tokens: int,
    parameters: int | None = None,
    fixed: bool = False,
) -> Noise:
    """Noise of one run on `target`, pooled over the labels of all comparisons: over those of equal tokens and weights,
    where there are any. `fixed`: of a baseline that is one selection, so that training is what must be known.

    A comparison without this target says nothing; the same runs compared once more (with an arm added, say) count once,
    as they were compared last. Without any: the declared default.
    """
    alike: dict[tuple[float, ...], Mapping[str, Any]] = {}
    other: dict[tuple[float, ...], Mapping[str, Any]] = {}
    needed = "fixed" if fixed else "drawn"
    for metrics in comparisons:
        shown = metrics.get("components", {}).get(target)
        if not shown or not shown[needed]["df"]:
            continue
        same = metrics.get("tokens") == tokens and parameters in (None, metrics.get("parameters"))
        unit = metrics.get("targets", {}).get(target, {}).get("unit", Noise.unit)
        key = tuple(metrics["baseline"]["scores"][target])
        for table in (alike, other):
            table.pop(key, None)
        (alike if same else other)[key] = {**shown, "unit": unit}
    found = list((alike or other).values())
    rows = [row for row in found if row["unit"] == found[-1]["unit"]]
    if not rows:
        drawn = DECLARED_SD**2 / 2
        return Noise(drawn=drawn, fixed=DECLARED_TRAINING * drawn, drawn_df=0.0, fixed_df=0.0, origin=DECLARED_ORIGIN)
    elsewhere = "" if alike else ", of another number of tokens or size of model"
    return _noise_of(
        rows,
        origin=f"{len(rows)} earlier comparison{'s' * (len(rows) > 1)} in this root{elsewhere}",
        unit=rows[0]["unit"],
    )


def own_noise(shown: Mapping[str, Any], *, unit: str) -> Noise | None:
    """Noise of one comparison's own labels on a target; None where no label shows any."""
    if not shown["drawn"]["df"] and not shown["fixed"]["df"]:
        return None
    return _noise_of([shown], origin="this comparison", unit=unit)


def _noise_of(rows: list[Mapping[str, Any]], *, origin: str, unit: str) -> Noise:
    df = {kind: float(sum(row[kind]["df"] for row in rows)) for kind in ("drawn", "fixed")}
    sums = {kind: sum((row[kind]["variance"] or 0.0) * row[kind]["df"] for row in rows) for kind in df}
    variances = {kind: sums[kind] / df[kind] if df[kind] else None for kind in df}
    drawn, fixed = variances["drawn"], variances["fixed"]
    if drawn is None:
        drawn = (fixed or 0.0) / DECLARED_TRAINING
    if fixed is None:
        fixed = drawn * DECLARED_TRAINING
    return Noise(drawn=drawn, fixed=fixed, drawn_df=df["drawn"], fixed_df=df["fixed"], origin=origin, unit=unit)


def forecast(noise: Noise, *, seeds: int, wanted: float | None, labels: Labels) -> dict[str, Any]:
    """Metrics: sd of the difference of two runs, minimum detectable effects at `seeds`, and the seeds that `wanted`
    needs, of arms that draw anew; the same under `one_selection`, where there are arms of one selection.

    `mde` is that of one arm; `mde_among` that of the first of all arms to be told from zero. `seeds_needed` is for the
    latter.
    """
    fixed = labels.baseline_fixed
    low, high = noise.range(fixed=fixed) or (None, None)

    def kind(one_selection: bool) -> dict[str, Any]:
        mde, among = (
            detectable(noise, labels, seeds, one_selection=one_selection, among=many) for many in (False, True)
        )
        needed = None if wanted is None else seeds_needed(noise, labels, wanted, one_selection=one_selection)
        return {"mde": mde, "mde_among": among, "seeds_needed": needed}

    return {
        "sd": noise.sd(fixed=fixed), "sd_low": low, "sd_high": high, "df": noise.df(fixed=fixed),
        "origin": noise.origin, "seeds": seeds, "arms": labels.arms, **kind(False),
        "one_selection": kind(True) if labels.fixed and not fixed else None,
        "wanted": wanted, "unit": noise.unit, "alpha": ALPHA, "power": POWER,
    }  # fmt: skip


def forecast_lines(row: Mapping[str, Any]) -> list[str]:
    """What `forecast` gives, as sentences."""
    mde, seeds, one = row["mde"], row["seeds"], row.get("one_selection")
    if mde is None:
        first = f"{seeds} seed gives no interval"
    else:
        share = f"{percent(row['power'], 0)} of the time at level {row['alpha']:g}"
        first = f"{seeds} seeds find a difference of {mde:.3f} {row.get('unit', 'bits per byte')} {share}"
        if row["arms"] > 1:
            first += f"; {row['mde_among']:.3f} at the first step of Dunnett over {row['arms']} arms"
    known = f" ({row['sd_low']:.3f} to {row['sd_high']:.3f})" if row["sd_low"] is not None else ""
    lines = [first, f"noise: sd {row['sd']:.3f}{known} of the difference of two runs, from {row['origin']}"]
    if one and one["mde"] is not None:
        lines.append(f"an arm of one selection counts as one draw of its method: {one['mde_among']:.3f} there")
    if row["wanted"] is not None:
        lines.append(f"the wanted {row['wanted']:g} needs {_seeds(row['seeds_needed'])}")
        if one:
            told = _seeds(one["seeds_needed"]) if one["seeds_needed"] else f"no number of seeds helps: {ONE_DRAW}"
            lines.append(f"in an arm of one selection: {told}")
    return lines


def _seeds(needed: int | None) -> str:
    return f"more than {MOST_SEEDS:,} seeds" if needed is None else f"{needed:,} seeds"
