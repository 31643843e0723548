"""Successive halving over seeds: many arms start, and after each rung only the better ones get more seeds.

The decisions are jobs of their own, made from the mean score of the seeds so far, ties by the declared order. An arm
that is stopped is not called worse: it is reported with the interval of the seeds it had, and with the reason.
Because a later run depends on the decision, another arm in the recipe can change which runs are trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Exactness, Job, port
from winnow.trainers.compare.arms import open_arm

FIRST, KEEP = 2, 0.5


@dataclass(frozen=True, kw_only=True)
class Halving:
    """`first` seeds for all arms, then `keep` of the arms for twice as many, and so on up to all seeds."""

    keep: float = KEEP
    first: int = FIRST

    @classmethod
    def of(cls, fields: Mapping[str, float]) -> Halving:
        """From a recipe's `halving: {keep: 0.5, first: 2}`.

        Raises:
            ConfigError: a key is unknown or a number out of its range.
        """
        unknown = sorted(set(fields) - {"keep", "first"})
        if unknown:
            raise ConfigError(f"halving has no {unknown[0]!r}", where="halving", hint="it has `keep` and `first`")
        found = cls(keep=float(fields.get("keep", KEEP)), first=int(fields.get("first", FIRST)))
        if not 0 < found.keep < 1 or found.first < 2:
            raise ConfigError(
                f"halving keeps {found.keep:g} after {found.first} seeds", where="halving",
                hint="`keep` lies in (0, 1), and `first` is at least 2: one seed gives no interval to report",
            )  # fmt: skip
        return found

    def rungs(self, seeds: int) -> list[int]:
        """After how many seeds a decision is made, ascending; none after the last seed."""
        out, at = [], self.first
        while at < seeds:
            out.append(at)
            at *= 2
        return out


def rung_of(rungs: Sequence[int], seed: int) -> int | None:
    """Number of the last decision before `seed` is trained; None before the first."""
    passed = [number for number, at in enumerate(rungs) if at <= seed]
    return passed[-1] if passed else None


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
    always: tuple[str, ...] = ()  # arms that are never stopped: an oracle
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
