"""One decision of successive halving: which arms get more seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.operators import Context, Exactness, Job, port
from winnow.trainers.compare.arms import open_arm


def survivors(scores: Mapping[str, Sequence[float]], *, keep: float) -> list[str]:
    """The arms with the lowest mean scores, `keep` of them rounded up, in the given order; ties: earlier first."""
    count = math.ceil(keep * len(scores))
    order = sorted(scores, key=lambda arm: (float(np.mean(scores[arm])), list(scores).index(arm)))
    chosen = set(order[:count])
    return [arm for arm in scores if arm in chosen]


@dataclass(frozen=True, kw_only=True)
class Rung(Job):
    """Which arms get more seeds: a decision of successive halving on the primary target.

    Source: successive halving (Karnin et al. 2013), over seeds instead of training time; own
    """

    name: ClassVar[str] = "halving_rung"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)

    arms: tuple[str, ...]  # candidates; the baseline and its controls are always trained
    always: tuple[str, ...] = ()  # arms that are never stopped: a reference
    seeds: int
    keep: float
    target: str
    runs: dict[str, str] | None = port("refs", default=None)
    scores: dict[str, str] | None = port("refs", default=None)
    before: str = port("ref", default="")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: mean scores, `kept`, and `stopped` {arm: seeds, why}, those of earlier rungs included."""
        stopped: dict[str, Any] = dict(ctx.ref("before").result()["stopped"]) if "before" in ctx.refs else {}
        opened = {
            a: open_arm(a, self.seeds, ctx.refs["runs"], ctx.refs["scores"], (self.target,))
            for a in self.arms
            if a not in stopped
        }
        scores = {a: arm.measure(self.target) for a, arm in opened.items() if not arm.failed and a not in self.always}
        kept = survivors(scores, keep=self.keep)
        why = f"{len(kept)} of {len(scores)} arms with a lower mean on {self.target} went on"
        stopped |= {a: {"seeds": self.seeds, "why": why} for a in scores if a not in kept}
        return {"scores": {a: float(np.mean(v)) for a, v in scores.items()}, "kept": kept, "stopped": stopped}
