"""What a comparison can find, before it runs: minimum detectable effect and the seeds that a wanted effect needs.

Both follow from one number, the standard deviation of paired differences between two arms that do not differ
(the A/A row). It comes from earlier comparisons of the same run root; where there is none, from a declared
default with its origin beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from winnow.trainers.compare.intervals import ALPHA, POWER, minimum_detectable_effect

MOST_SEEDS = 1000
DECLARED_SD = 0.06
DECLARED_ORIGIN = (
    "a default: random subsets of the built-in `quickstart` (1.1M parameters, 250k tokens) differ by about this"
)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviation of the A/A differences in bits per byte, from `df` degrees of freedom (0: declared)."""

    sd: float
    df: int
    origin: str
    unit: str = "bits per byte"

    def range(self, *, alpha: float = ALPHA) -> tuple[float, float] | None:
        """Interval of the standard deviation itself (chi-square); None where it was declared, not measured."""
        if self.df < 1:
            return None
        from scipy import stats

        low, high = stats.chi2.ppf([alpha / 2, 1 - alpha / 2], self.df)
        return self.sd * math.sqrt(self.df / high), self.sd * math.sqrt(self.df / low)


def seeds_needed(sd: float, wanted: float, *, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Smallest number of seeds whose minimum detectable effect is at most `wanted`; None above 1,000."""
    if sd == 0.0:
        return 2

    def enough(n: int) -> bool:
        found = minimum_detectable_effect(sd, n, alpha=alpha, power=power)
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
    """Noise of the A/A rows on `target`, pooled over comparisons: over those of equal tokens and weights, where there
    are any, and of a baseline that is one fixed selection where this one is (`fixed`).

    A comparison without an A/A row, or without this target, says nothing; the same runs compared once more (with an
    arm added, say) say nothing new. Without any: the declared default.
    """
    alike: dict[tuple[float, ...], dict[str, Any]] = {}
    other: dict[tuple[float, ...], dict[str, Any]] = {}
    for metrics in comparisons:
        same = (
            metrics.get("tokens") == tokens
            and parameters in (None, metrics.get("parameters"))
            and metrics.get("baseline", {}).get("fixed_selection", False) == fixed
        )
        unit = metrics.get("targets", {}).get(target, {}).get("unit", Noise.unit)
        for arm in metrics.get("aa", {}).values():
            row = arm["effects"].get(target)
            if row and row["n"] > 1:
                key = tuple(row.get("differences") or (row["sd"], row["n"]))
                (alike if same else other)[key] = {"sd": row["sd"], "df": row["n"] - 1, "unit": unit}
    found = list((alike or other).values())
    rows = [row for row in found if row["unit"] == found[-1]["unit"]]
    df = sum(row["df"] for row in rows)
    if not df:
        return Noise(sd=DECLARED_SD, df=0, origin=DECLARED_ORIGIN)
    same_runs = "" if alike else ", of another number of tokens, size of model or kind of baseline"
    return Noise(
        sd=math.sqrt(sum(row["sd"] ** 2 * row["df"] for row in rows) / df),
        df=df,
        origin=f"{len(rows)} A/A row{'s' * (len(rows) > 1)} of earlier comparisons in this root{same_runs}",
        unit=rows[0]["unit"],
    )


def forecast(noise: Noise, *, seeds: int, wanted: float | None, arms: int = 1) -> dict[str, Any]:
    """Metrics: sd of the noise, minimum detectable effect at `seeds`, and the seeds that `wanted` needs.

    `mde` is that of one arm; `mde_among` that of the first of `arms` arms to be told from zero, where Holm asks for
    a level of 0.05 over their number. `seeds_needed` is for the latter.
    """
    level = ALPHA / max(1, arms)
    low, high = noise.range() or (None, None)
    return {
        "sd": noise.sd,
        "sd_low": low,
        "sd_high": high,
        "df": noise.df,
        "origin": noise.origin,
        "seeds": seeds,
        "arms": arms,
        "mde": minimum_detectable_effect(noise.sd, seeds),
        "mde_among": minimum_detectable_effect(noise.sd, seeds, alpha=level),
        "wanted": wanted,
        "unit": noise.unit,
        "seeds_needed": None if wanted is None else seeds_needed(noise.sd, wanted, alpha=level),
        "alpha": ALPHA,
        "power": POWER,
    }


def forecast_lines(row: Mapping[str, Any]) -> list[str]:
    """What `forecast` gives, as sentences."""
    mde, seeds = row["mde"], row["seeds"]
    if mde is None:
        first = f"{seeds} seed gives no interval"
    else:
        share = f"{row['power']:.0%} of the time at level {row['alpha']:g}"
        first = f"{seeds} seeds find a difference of {mde:.3f} {row.get('unit', 'bits per byte')} {share}"
        if row["arms"] > 1:
            first += f"; {row['mde_among']:.3f} at the first step of Holm over {row['arms']} arms"
    known = f" ({row['sd_low']:.3f} to {row['sd_high']:.3f})" if row["sd_low"] is not None else ""
    lines = [first, f"noise: sd {row['sd']:.3f}{known} of a paired A/A difference, from {row['origin']}"]
    if row["wanted"] is not None:
        needed = row["seeds_needed"]
        count = f"more than {MOST_SEEDS:,}" if needed is None else f"{needed:,}"
        lines.append(f"the wanted {row['wanted']:g} needs {count} seeds")
    return lines
