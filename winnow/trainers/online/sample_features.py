"""Features of the samples of a step, for a designer of weights: loss, length, score columns, the value of a group.

Shape suffixes: S samples, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

Floats = npt.NDArray[np.float64]
MOST = 4.0  # deviations of a feature: one wild value is not to steer a designer
LEAST = 0.05  # of a deviation within a step, in nats and log(tokens): what differs by less is alike
MOST_GROUPS = 64  # with a feature of their own; what is rarer shares one


@dataclass(frozen=True, kw_only=True)
class SampleFeatures:
    """What is known of every document, and how a step's samples become rows of numbers."""

    scores: tuple[Floats, ...]  # one value per document each, standardised
    groups: tuple[str, ...]  # values with a feature of their own, most frequent first
    group: npt.NDArray[np.int32]  # of every document: its place in `groups`, len(groups) for the rest
    measured: tuple[str, ...]  # of the step: "loss", "length"
    missing: int = 0  # values of scores that are no numbers: they count as the mean
    without_group: int = 0  # documents, where groups are asked for

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each feature is."""
        of_groups = tuple(f"group {name}" for name in self.groups) if len(self.groups) > 1 else ()
        return (*self.measured, *(f"score {number}" for number in range(len(self.scores))), *of_groups)

    def of(self, seen: Seen) -> Floats:
        """Features of every sample, f64[S, F]; loss and length are standardised within the step."""
        own = {"loss": seen.loss, "length": np.log(seen.tokens)}
        columns = [standard(own[name], least=LEAST) for name in self.measured]
        columns += [score[seen.documents] for score in self.scores]
        if len(self.groups) > 1:
            codes = self.group[seen.documents]
            columns += [(codes == number).astype(np.float64) for number in range(len(self.groups))]
        return np.column_stack(columns) if columns else np.zeros((len(seen.tokens), 0))

    def units(self, seen: Seen) -> npt.NDArray[np.int64]:
        """Number of every sample's group, i64[S]; 0 for all where there are no groups."""
        if not self.groups:
            return np.zeros(len(seen.tokens), dtype=np.int64)
        return self.group[seen.documents].astype(np.int64)


def features_of(
    told: Told, *, documents: int, scores: Sequence[str], group: str | None, measured: Sequence[str]
) -> SampleFeatures:
    """Features from columns of the policy's stage: numbers by their names, and one column of groups."""
    values = [told.column(name) for name in scores]
    missing = int(sum((~np.isfinite(value)).sum() for value in values))
    names: tuple[str, ...] = ()
    codes, bare = np.zeros(documents, dtype=np.int32), 0
    if group is not None:
        bare = told.columns[group].null_count()
        series = told.columns[group].cast(pl.String).fill_null("")
        counted = series.value_counts(sort=True).sort(["count", series.name], descending=[True, False])
        names = tuple(counted[series.name].head(MOST_GROUPS).to_list())
        known = {name: number for number, name in enumerate(names)}
        codes = series.replace_strict(known, default=len(names), return_dtype=pl.Int32).to_numpy()
    return SampleFeatures(
        scores=tuple(standard(value) for value in values), groups=names, group=codes, measured=tuple(measured),
        missing=missing, without_group=bare,
    )  # fmt: skip


def standard(values: Floats, *, least: float = 0.0) -> Floats:
    """Mean 0 and deviation 1, cut at `MOST` deviations; what is no number is 0, and all where nothing varies.

    Where the deviation is below `least` nothing varies, so that no rounding is made large.
    """
    good = np.isfinite(values)
    out = np.zeros(len(values))
    if good.any():
        kept = values[good]
        deviation = float(kept.std())
        if deviation > max(least, 1e-12 * max(1.0, float(np.abs(kept).max()))):
            out[good] = np.clip((kept - kept.mean()) / deviation, -MOST, MOST)
    return out
