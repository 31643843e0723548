"""Successive halving over seeds: many arms start, and after each rung only the better ones get more seeds.

The decisions are jobs of their own, made from the mean score of the seeds so far, ties by the declared order. An arm
that is stopped is not called worse: it is reported with the interval of the seeds it had, and with the reason.
Because a later run depends on the decision, another arm in the recipe can change which runs are trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from winnow.core.errors import ConfigError

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
