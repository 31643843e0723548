"""What an expectation is, what it may look at, and how its figures are written."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pyarrow as pa

from winnow.dags.recipe.nodes import Node

Column = Callable[[], Iterator[pa.Array]]  # its values part by part, of the rows that count; may be asked for again


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a committed stage shows. The rows that count are those a decision kept, else those that were asked about."""

    asked: int
    rows: int
    answered: int
    deciding: bool
    fill: float | None
    columns: Mapping[str, Column]
    tasks: Mapping[str, tuple[int, int]] | None = None  # of a decontamination: task -> items, those found
    removed: Mapping[str, tuple[int, int]] | None = None  # of a deduplication: source -> documents asked, removed

    @property
    def noun(self) -> str:
        """What the rows that count are called."""
        return "kept rows" if self.deciding else "rows"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One expectation beside what was found: `kept 12 of 1,000 rows (1.2 %)`, expected `at least 20 %`."""

    key: str
    what: str
    found: str
    met: bool

    def __str__(self) -> str:
        return f"{self.found}, expected {self.what}"


@dataclass(frozen=True, kw_only=True)
class Expectation(ABC):
    """One thing that is expected of a stage."""

    key: ClassVar[str]
    example: ClassVar[str]

    @classmethod
    @abstractmethod
    def parsed(cls, value: Any) -> Sequence[Self]:
        """The expectations behind a value of a recipe. Raises ValueError where it is none."""

    @abstractmethod
    def what(self) -> str:
        """The expectation as a phrase: `at least 20 %`."""

    def shown(self) -> str:
        """The expectation by itself: `kept_share: at least 20 %`."""
        return f"{self.key}: {self.what()}"

    @abstractmethod
    def unfit(self, node: Node) -> str:
        """Why it cannot be said of this stage; '' where it can."""

    def reads(self) -> tuple[str, ...]:
        """Columns that it looks at."""
        return ()

    @abstractmethod
    def found(self, facts: Facts) -> tuple[str, bool]:
        """(what the stage shows, whether that meets the expectation)."""

    def check(self, facts: Facts) -> Checked:
        """The expectation beside what was found."""
        found, met = self.found(facts)
        return Checked(key=self.key, what=self.what(), found=found, met=met)


def bounds_of(value: Any, *, most: float) -> tuple[float, float]:
    """(least, most) of a number or a pair of numbers. Raises ValueError for anything else."""
    pair = [value, most] if not isinstance(value, list | tuple) else list(value)
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, int | float) or math.isnan(v) for v in pair):
        raise ValueError
    return float(pair[0]), float(pair[1])


def within(least: str, most: str) -> str:
    """`20 % to 90 %`, or `at least 20 %`."""
    return f"{least} to {most}" if most else f"at least {least}"


def of_whole(part: int, whole: int, noun: str = "rows") -> str:
    """`12 of 1,000 rows (1.2 %)`."""
    return f"{part:,} of {whole:,} {noun}" + (f" ({_exact_percent(part, whole)})" if whole else "")


def _exact_percent(part: int, whole: int) -> str:
    """A share that is 0 % or 100 % only where it is exactly that."""
    text = f"{100 * part / whole:.1f}"
    edge = {"0.0": part > 0, "100.0": part < whole}.get(text, False)
    return f"{100 * part / whole:.3g} %" if edge and text == "0.0" else "under 100 %" if edge else f"{text} %"


def as_percent(share: float) -> str:
    """`12.5 %`, in all its digits."""
    return f"{100 * share:.6g} %"
