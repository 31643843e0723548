"""`agreement`: how well a score tells documents with a good grade from the others, with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Exactness, Job, port
from winnow.core.operators.contract import Meaning

F64 = npt.NDArray[np.float64]
Z95 = 1.959963984540054  # of the standard normal distribution
FEW = 50  # documents of either side below which an interval is wide


@dataclass(frozen=True, kw_only=True)
class Agreement(Job):
    """How well a score agrees with grades: `auc` in [0, 1] with its 95 % interval, `spearman` in [-1, 1], and counts.

    Documents with a grade and a score are compared, of those that `on` keeps where it is named: what the scorer has
    learnt from must not be among them. `auc` is the chance that a document with `label` from `at_least` on scores above
    one below it (ties count half), its interval DeLong's. Documents without a score are counted (`without_score`).

    Raises:
        DataError: no graded document on one of the two sides.
    Cost: O(n log n) for n graded documents.
    Source: DeLong et al. 1988, by ranks as in Sun and Xu 2014
    """

    name: ClassVar[str] = "agreement"
    role: ClassVar[str] = "result"
    exactness: ClassVar[Exactness] = Exactness(atol=1e-9)
    meaning: ClassVar[Mapping[str, Meaning]] = {"score": "columns", "label": "columns"}

    scores: str = port("ref")
    labels: str = port("ref")
    label: str  # the column of grades
    at_least: float  # the grade from which a document is good
    score: str = "score"
    on: str = port("ref", default="")  # a selection: what the scorer has not seen

    def reads(self) -> dict[str, tuple[str, ...]]:
        """The score, the grade and the verdict."""
        on = {"on": ("doc_id", "kept")} if self.on else {}
        return {"scores": ("doc_id", self.score), "labels": ("doc_id", self.label), **on}

    def validate(self) -> None:
        """Raises: ConfigError for a grade that is no number."""
        if not math.isfinite(self.at_least):
            raise ConfigError(f"at_least is {self.at_least:g}", where="at_least", hint="a grade")

    def run(self, ctx: Context) -> dict[str, Any]:
        """The figures."""
        labels = ctx.ref("labels").frame("doc_id", self.label).rename({self.label: "label"})
        rows = labels.filter(pl.col("label").is_not_null())
        if self.on:
            seen = ctx.ref("on").frame("doc_id", "kept").filter(pl.col("kept").fill_null(value=False))
            rows = rows.join(seen.select("doc_id"), on="doc_id", how="semi")
        scores = ctx.ref("scores").frame("doc_id", self.score).rename({self.score: "score"})
        rows = rows.join(scores, on="doc_id", how="left", maintain_order="left")
        known = rows.filter(pl.col("score").is_not_null() & pl.col("score").is_finite())
        label, score = (known[name].cast(pl.Float64).to_numpy() for name in ("label", "score"))
        good = label >= self.at_least
        if not good.any() or good.all():
            what = f"{int(good.sum())} of {len(good)} graded documents have {self.label} {self.at_least:g} or more"
            raise DataError(
                f"{what}: there is nothing to tell apart", hint="grade more documents, or another `at_least`"
            )
        auc, low, high = auc_of(score[good], score[~good])
        spearman = float(np.corrcoef(ranks(label), ranks(score))[0, 1]) if np.ptp(score) else 0.0
        told = (
            f"AUC {auc:.3f} ({low:.3f} .. {high:.3f}) for {self.label} >= {self.at_least:g}, rank correlation "
            f"{spearman:.3f}, on {len(good):,} graded documents, {int(good.sum()):,} of them good"
        )
        fewest = int(min(good.sum(), (~good).sum()))
        if fewest < FEW:
            ctx.remark(f"only {fewest} documents on one side: grade more for a narrower interval")
        return {"agreement": told, "auc": auc, "low": low, "high": high, "spearman": spearman, "documents": len(good),
                "good": int(good.sum()), "without_score": rows.height - known.height}  # fmt: skip


def ranks(values: F64) -> F64:
    """Ranks from 1 on, equal values share their mean."""
    return pl.Series(values).rank("average").to_numpy().astype(np.float64)


def auc_of(good: F64, other: F64) -> tuple[float, float, float]:
    """(AUC, ends of its 95 % interval within [0, 1]); DeLong's variance from ranks."""
    both = ranks(np.concatenate([good, other]))
    above = (both[: len(good)] - ranks(good)) / len(other)  # share of the others that each good one is above
    below = 1 - (both[len(good) :] - ranks(other)) / len(good)
    auc = float(above.mean())
    variance = sum(float(side.var(ddof=1)) / len(side) for side in (above, below) if len(side) > 1)
    width = Z95 * math.sqrt(variance)
    return auc, max(0.0, auc - width), min(1.0, auc + width)
