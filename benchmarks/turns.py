"""Ways of doing something, measured in turns: what each costs beside the first, so that other work of the machine is in all.

Every round runs all ways one after the other, every second round backwards; a way's figure is the median over rounds of
its seconds over those of the first way of the same round. Seconds are CPU seconds of this process.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """What a way took: CPU seconds, and beside the first way a ratio with the 95 % interval of its median."""

    seconds: float
    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.ratio:.3f} ({self.low:.3f} to {self.high:.3f})"


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process for a piece of work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def in_turns(ways: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Turn]:
    """Each way's figures, after one round that is not counted."""
    for work in ways.values():
        work()
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in reversed(ways) if number % 2 else ways:  # type: ignore[call-overload]
            spent[name].append(cpu(ways[name]))
    first = next(iter(ways))
    return {name: turn(taken, spent[first]) for name, taken in spent.items()}


def turn(taken: list[float], first: list[float]) -> Turn:
    """The figures of one way, from its seconds and those of the first way, round by round."""
    ratios = sorted(one / other for one, other in zip(taken, first, strict=True))
    low, high = median_interval(len(ratios))
    return Turn(statistics.median(taken), statistics.median(ratios), ratios[low], ratios[high])


def median_interval(count: int) -> tuple[int, int]:
    """Places, in order, between which the median lies with 95 % (by the signs); of 5 values or fewer, the ends."""
    low, outside = 0, 2 * 0.5**count
    while low + 1 < count - 2 - low and outside + 2 * math.comb(count, low + 1) * 0.5**count <= 0.05:
        low += 1
        outside += 2 * math.comb(count, low) * 0.5**count
    return low, count - 1 - low
