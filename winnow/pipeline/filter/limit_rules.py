"""How the limit of a group follows from the group's own numbers: the rules of `limits`, and their arithmetic.

Sums are exactly rounded and quantiles are values that occur, so that a limit is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.operators import Schema

Side = Literal["most", "least"]
HOW = {"fixed": 1, "tail": 1, "std": 1, "quantile": 1, "median": 1, "spread": 2}  # rule -> how many numbers it takes
OF_BASE = ("std", "quantile", "median")  # rules whose number is the limit of the group `base`


@dataclass(frozen=True, kw_only=True)
class LimitColumns:
    """Whose limits there are, and of what: what `limits` and both of its sub-stages share."""

    per: str = "language"  # column whose values are the groups
    most: dict[str, str | float] = field(default_factory=dict)  # column -> rule of its upper limit, `most_COLUMN`
    least: dict[str, str | float] = field(default_factory=dict)  # column -> rule of its lower limit, `least_COLUMN`

    def rules(self) -> list[tuple[Side, str, str]]:
        """(side, column, rule) of every limit."""
        sides: tuple[tuple[Side, Mapping[str, str | float]], ...] = (("most", self.most), ("least", self.least))
        found = ((side, column, rule) for side, rules in sides for column, rule in rules.items())
        return [(s, c, rule if isinstance(rule, str) else f"fixed {rule}") for s, c, rule in found]

    def measured(self) -> tuple[str, ...]:
        """The columns whose numbers are looked at."""
        return tuple(dict.fromkeys(column for _, column, _ in self.rules()))

    def limits(self) -> Schema:
        """Names of the limits, f64."""
        import pyarrow as pa

        return {limit_name(side, column): pa.float64() for side, column, _ in self.rules()}


@dataclass(frozen=True, kw_only=True)
class LimitSettings(LimitColumns):
    """What limits are made of: shared with the sub-stage that makes them."""

    base: str = ""  # the group whose limits `std`, `quantile` and `median` carry over
    min_docs: int = 100  # a group of fewer documents gets the limits of all documents together
    docs: int = 10_000  # documents of a group that are looked at, at most

    def validate(self) -> None:
        """Raise ConfigError without a rule, for one that is none, or where a number is out of its range."""
        if not (self.most or self.least):
            raise ConfigError("no limit is asked for", where="most", hint='`most: {dup_line_share: "tail 0.1"}`')
        for side, column, text in self.rules():
            how, _ = parse_rule(text, where=f"{side}.{column}")
            if how in OF_BASE and not self.base:
                hint = "`base: en`: the group for which the number is the limit"
                raise ConfigError(f"`{text}` is measured at a base group", where="base", hint=hint)
        if self.base and not any(text.split()[0] in OF_BASE for _, _, text in self.rules()):
            raise ConfigError("`base` has no effect: no rule is measured at it", where="base", hint="leave it out")
        if self.min_docs < 2:
            raise ConfigError(f"min_docs is {self.min_docs}", where="min_docs", hint="2 or more: a spread needs two")
        if self.docs < self.min_docs:
            hint = f"at least min_docs, {self.min_docs}"
            raise ConfigError(f"docs is {self.docs}", where="docs", hint=hint)


def limit_name(side: str, column: str) -> str:
    """`most_dup_line_share`; a stage's name before the column is left out."""
    return f"{side}_{column.rpartition('.')[2]}"


def parse_rule(text: str, *, where: str) -> tuple[str, list[Fraction]]:
    """(how, its numbers). Raises: ConfigError for what is no rule."""
    words = text.split()
    how, numbers = (words[0], words[1:]) if words else ("", [])
    if how not in HOW:
        hint = f"{did_you_mean(how, HOW)}; as in `tail 0.1`"
        raise ConfigError(f"{text!r} is no rule for a limit", where=where, hint=hint)
    try:
        found = [Fraction(number) for number in numbers]
    except (ValueError, ZeroDivisionError):
        found = []
    if len(found) != HOW[how]:
        raise ConfigError(f"{text!r} is no rule for a limit", where=where,
                          hint=f"`{how}` takes {HOW[how]} number{'s' * (HOW[how] > 1)}")  # fmt: skip
    if how == "tail" and not 0 <= found[0] < 1:
        raise ConfigError(f"{text!r} leaves nothing", where=where, hint="the share of documents beyond, below 1")
    if how == "spread" and found[0] > found[1]:
        raise ConfigError(f"{text!r}: the first number is the larger", where=where, hint="`spread LOWEST HIGHEST`")
    return how, found


def limit_of(side: Side, rule: str, own: Sequence[float], base: Sequence[float], *, where: str) -> float:
    """The limit of a group with the numbers `own`, both ascending; `base` are those of the base group.

    Raises: DataError where the base group's numbers cannot carry a limit over.
    """
    how, numbers = parse_rule(rule, where=where)
    at = float(numbers[0])
    if how == "fixed":
        return at
    if how == "tail":
        return beyond(side, own, numbers[0])
    if how == "spread":
        away = deviation(own) * (1 if side == "most" else -1)
        return min(max(median(own) + away, at), float(numbers[1]))
    if how == "quantile":
        past = sum(1 for value in base if (value > at if side == "most" else value < at))
        return beyond(side, own, Fraction(past, len(base)))
    scale = deviation(base) if how == "std" else median(base)
    if not scale:
        told = "does not vary" if how == "std" else "has a median of 0"
        raise DataError(f"the base group {told} in this column: `{rule}` says nothing of others", where=where,
                        hint="`tail` and `quantile` need no scale")  # fmt: skip
    if how == "std":
        return mean(own) + (at - mean(base)) / scale * deviation(own)
    return at * median(own) / scale


def beyond(side: Side, ascending: Sequence[float], share: Fraction) -> float:
    """The value past which at most `share` of the numbers lie, and as many as values that occur allow."""
    past = math.floor(share * len(ascending))
    at = len(ascending) - 1 - past if side == "most" else past
    return ascending[min(max(at, 0), len(ascending) - 1)]


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean, from the exactly rounded sum."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """Standard deviation of a sample."""
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / max(len(values) - 1, 1))


def median(ascending: Sequence[float]) -> float:
    """The middle number, or the mean of the two."""
    half = len(ascending) // 2
    return ascending[half] if len(ascending) % 2 else (ascending[half - 1] + ascending[half]) / 2
