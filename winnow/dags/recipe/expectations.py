"""What a recipe expects of a stage, checked when the stage is committed: shares, rows, tokens, fills, columns.

One class per expectation: how it is written, which stages it can be said of, and what a stage must show to meet it.
An expectation is no identity: changing it recomputes nothing, and it is checked again on stages that are reused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Kind
from winnow.core.terminal import short
from winnow.dags.recipe.expectation import Expectation, Facts, as_percent, bounds_of, of_whole, within
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.repeated import repeated


@dataclass(frozen=True, kw_only=True)
class _Share(Expectation):
    """A share within bounds: a number is the least, a pair the least and the most."""

    least: float
    most: float = 1.0

    @classmethod
    def parsed(cls, value: Any) -> Sequence[Self]:
        least, most = bounds_of(value, most=1.0)
        if not 0 <= least <= most <= 1:
            raise ValueError
        return [cls(least=least, most=most)]

    def what(self) -> str:
        return within(as_percent(self.least), as_percent(self.most) if self.most < 1 else "")

    def _is_met(self, part: int, whole: int) -> bool:
        share = part / whole if whole else 0.0
        return self.least <= share <= self.most


@dataclass(frozen=True, kw_only=True)
class KeptShare(_Share):
    """Rows kept of those a decision was asked about."""

    key: ClassVar[str] = "kept_share"
    example: ClassVar[str] = "[0.2, 0.9], or 0.2 for the least"

    def unfit(self, node: Node) -> str:
        """Only decisions keep rows."""
        return "" if node.kind is Kind.COLUMNS and "kept" in node.outputs else "keeps and drops no rows"

    def found(self, facts: Facts) -> tuple[str, bool]:
        """Rows kept of those asked about."""
        return f"kept {of_whole(facts.rows, facts.asked)}", self._is_met(facts.rows, facts.asked)


@dataclass(frozen=True, kw_only=True)
class AnsweredShare(_Share):
    """Rows with an answer of those asked about: scored, measured, matched by a join."""

    key: ClassVar[str] = "answered_share"
    example: ClassVar[str] = "0.95, or [0.5, 1]"

    def unfit(self, node: Node) -> str:
        """Only columns of rows answer."""
        return "" if node.kind is Kind.COLUMNS else "answers no rows one by one"

    def found(self, facts: Facts) -> tuple[str, bool]:
        """Rows answered of those asked about."""
        return f"answered {of_whole(facts.answered, facts.asked)}", self._is_met(facts.answered, facts.asked)


@dataclass(frozen=True, kw_only=True)
class BudgetFilled(_Share):
    """What a selection took of its budget."""

    key: ClassVar[str] = "budget_filled"
    example: ClassVar[str] = "0.95"

    def unfit(self, node: Node) -> str:
        """Only selections under a budget fill one."""
        return "" if getattr(node.operator, "budget", None) and "kept" in node.outputs else "selects under no budget"

    def found(self, facts: Facts) -> tuple[str, bool]:
        """What the selection itself says it took."""
        if facts.fill is None:
            return "the fill of the budget is not known", False
        return f"filled {as_percent(facts.fill)} of the budget", self.least <= facts.fill <= max(self.most, 1.0)


@dataclass(frozen=True, kw_only=True)
class _MostShare(Expectation):
    """The largest share that any part may have."""

    most: float

    @classmethod
    def parsed(cls, value: Any) -> Sequence[Self]:
        """A share."""
        most, _ = bounds_of(value, most=1.0)
        if isinstance(value, list | tuple) or not 0 <= most <= 1:
            raise ValueError
        return [cls(most=most)]


@dataclass(frozen=True, kw_only=True)
class MaxItemsFound(_MostShare):
    """Protected items that a pool holds, as a share of the items of any one task."""

    key: ClassVar[str] = "max_items_found"
    example: ClassVar[str] = "0.01"

    def what(self) -> str:
        """The share."""
        return f"at most {as_percent(self.most)} of the items of any task"

    def unfit(self, node: Node) -> str:
        """Only a decontamination looks for items."""
        return "" if "contaminated_items" in node.outputs else "looks for no items"

    def found(self, facts: Facts) -> tuple[str, bool]:
        """The tasks of which most is found."""
        if facts.tasks is None:
            return "the items found are not known", False
        over = {name: pair for name, pair in facts.tasks.items() if pair[1] > self.most * pair[0]}
        if not over:
            some = sum(found for _, found in facts.tasks.values())
            return f"found {some:,} items, of no task more than that", True
        worst = sorted(over.items(), key=lambda one: (-one[1][1] / one[1][0], one[0]))
        shown = ", ".join(f"{of_whole(found, items, 'items')} of {name}" for name, (items, found) in worst[:3])
        return f"found {shown}" + (f" and more of {len(over) - 3:,} other tasks" if len(over) > 3 else ""), False


@dataclass(frozen=True, kw_only=True)
class MaxRemoval(_MostShare):
    """What a deduplication may remove of any source, as a share of its documents."""

    key: ClassVar[str] = "max_removal"
    example: ClassVar[str] = "0.9"

    def what(self) -> str:
        """The share."""
        return f"at most {as_percent(self.most)} removed of any source"

    def unfit(self, node: Node) -> str:
        """Only a deduplication removes copies."""
        return "" if node.operator.role == "dedup" and "kept" in node.outputs else "removes no duplicates"

    def found(self, facts: Facts) -> tuple[str, bool]:
        """The sources of which most is removed."""
        if facts.removed is None:
            return "what was removed of each source is not known", facts.asked == 0
        shares = sorted(facts.removed.items(), key=lambda one: (-one[1][1] / max(one[1][0], 1), one[0]))
        over = [one for one in shares if one[1][1] > self.most * one[1][0]]
        shown = ", ".join(
            f"{of_whole(gone, asked, 'documents')} of {name}" for name, (asked, gone) in (over or shares)[:3]
        )
        return f"removed {shown}", not over


@dataclass(frozen=True, kw_only=True)
class _Amount(Expectation):
    """A whole number as the least or the most."""

    amount: int
    is_most: ClassVar[bool] = False
    example: ClassVar[str] = "1000"

    @classmethod
    def parsed(cls, value: Any) -> Sequence[Self]:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError
        return [cls(amount=value)]

    def what(self) -> str:
        return f"at {'most' if self.is_most else 'least'} {self.amount:,}"

    def _is_met(self, value: int) -> bool:
        return value <= self.amount if self.is_most else value >= self.amount


class _Rows(_Amount):
    """Rows that a stage holds, or keeps."""

    def unfit(self, node: Node) -> str:
        return "" if node.kind in (Kind.ROWS, Kind.TABLE) or "kept" in node.outputs else "holds and keeps no rows"

    def found(self, facts: Facts) -> tuple[str, bool]:
        return f"{facts.rows:,} {facts.noun}", self._is_met(facts.rows)


class MinRows(_Rows):
    """The least rows."""

    key: ClassVar[str] = "min_rows"


class MaxRows(_Rows):
    """The most rows."""

    key: ClassVar[str] = "max_rows"
    is_most: ClassVar[bool] = True


class _Tokens(_Amount):
    """Tokens of the rows that a stage holds, or keeps; each row once, whatever its weight."""

    def unfit(self, node: Node) -> str:
        told = node.kind is Kind.ROWS or {"kept", "token_count"} & node.outputs.keys()
        return "" if told else "counts no tokens and keeps no rows"

    def reads(self) -> tuple[str, ...]:
        return ("token_count",)

    def found(self, facts: Facts) -> tuple[str, bool]:
        total = sum(int(pc.sum(values).as_py() or 0) for values in facts.columns["token_count"]())
        return f"{total:,} tokens in {facts.rows:,} {facts.noun}", self._is_met(total)


class MinTokens(_Tokens):
    """The least tokens."""

    key: ClassVar[str] = "min_tokens"


class MaxTokens(_Tokens):
    """The most tokens."""

    key: ClassVar[str] = "max_tokens"
    is_most: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class _OfColumn(Expectation):
    """Something about the values of one column, in the rows that count."""

    column: str
    example: ClassVar[str] = "[url]"

    @classmethod
    def parsed(cls, value: Any) -> Sequence[Self]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not names or not all(isinstance(n, str) and n for n in names):
            raise ValueError
        return [cls(column=name) for name in dict.fromkeys(names)]

    def shown(self) -> str:
        return self.what()

    def unfit(self, node: Node) -> str:
        return "" if node.kind in (Kind.ROWS, Kind.COLUMNS, Kind.TABLE) else "has no columns"

    def reads(self) -> tuple[str, ...]:
        return (self.column,)


class NoNulls(_OfColumn):
    """A value in every row; NaN is none."""

    key: ClassVar[str] = "no_nulls"

    def what(self) -> str:
        """The column."""
        return f"no null in {self.column}"

    def found(self, facts: Facts) -> tuple[str, bool]:
        """Rows that count and are null there."""
        nulls = sum(int(pc.sum(pc.is_null(v, nan_is_null=True)).as_py() or 0) for v in facts.columns[self.column]())
        return f"{self.column} is null in {of_whole(nulls, facts.rows, facts.noun)}", nulls == 0


class Unique(_OfColumn):
    """No value twice; nulls are no values."""

    key: ClassVar[str] = "unique"

    def what(self) -> str:
        """The column."""
        return f"no value of {self.column} twice"

    def found(self, facts: Facts) -> tuple[str, bool]:
        """Rows that count and repeat a value."""
        again, example = repeated(facts.columns[self.column], facts.rows)
        told = f", first {short(example)!r}" if again else ""
        share = of_whole(again, facts.rows, facts.noun)
        return f"{share} {'repeats' if again == 1 else 'repeat'} a value of {self.column}{told}", again == 0


@dataclass(frozen=True, kw_only=True)
class Between(_OfColumn):
    """Numbers within bounds, both included; nulls and NaN are no numbers."""

    least: float
    most: float

    key: ClassVar[str] = "between"
    example: ClassVar[str] = "{score: [0, 1]}"

    @classmethod
    def parsed(cls, value: Any) -> Sequence[Self]:
        """One expectation per column."""
        if not isinstance(value, Mapping) or not value:
            raise ValueError
        found = {str(column): bounds_of(bounds, most=math.inf) for column, bounds in value.items()}
        if any(low > high for low, high in found.values()):
            raise ValueError
        return [cls(column=column, least=low, most=high) for column, (low, high) in found.items()]

    def what(self) -> str:
        """The column and its bounds."""
        high = "" if self.most == math.inf else f"{self.most:,.6g}"
        return f"{self.column} {within(f'{self.least:,.6g}', high)}"

    def found(self, facts: Facts) -> tuple[str, bool]:
        """The least and the most number, and how many lie outside."""
        outside, low, high = 0, math.inf, -math.inf
        for values in facts.columns[self.column]():
            numbers = np.asarray(pc.drop_null(values).cast(pa.float64(), safe=False))
            numbers = numbers[~np.isnan(numbers)]
            outside += int(((numbers < self.least) | (numbers > self.most)).sum())
            low, high = min(low, numbers.min(initial=math.inf)), max(high, numbers.max(initial=-math.inf))
        if low > high:
            return f"{self.column} has no number", True
        return f"{self.column} from {low:,.6g} to {high:,.6g}, {outside:,} {facts.noun} outside", outside == 0


KINDS: dict[str, type[Expectation]] = {
    c.key: c
    for c in (
        KeptShare,
        AnsweredShare,
        BudgetFilled,
        MaxItemsFound,
        MaxRemoval,
        MinRows,
        MaxRows,
        MinTokens,
        MaxTokens,
        NoNulls,
        Unique,
        Between,
    )
}


def parse_expectations(value: Any, *, where: str) -> list[Expectation]:
    """The expectations that a recipe writes under `expect`. Raises ConfigError for unknown keys and unusable values."""
    if not isinstance(value, Mapping) or not value:
        hint = f"for example `expect: {{kept_share: [0.2, 0.9]}}`; known: {', '.join(KINDS)}"
        raise ConfigError(f"`expect` maps what is expected to figures, found {value!r}", where=where, hint=hint)
    out: list[Expectation] = []
    for key, given in value.items():
        if key not in KINDS:
            raise ConfigError(
                f"unknown expectation {key!r}", where=f"{where}.{key}", hint=did_you_mean(str(key), KINDS)
            )
        try:
            out += KINDS[key].parsed(given)
        except (ValueError, TypeError) as error:
            hint = f"for example `{key}: {KINDS[key].example}`"
            raise ConfigError(f"{given!r} cannot be expected", where=f"{where}.{key}", hint=hint) from error
    return out


def check_column(expectation: Expectation, name: str, kind: pa.DataType, *, where: str) -> None:
    """Raise ConfigError where the column's type has nothing that the expectation could look at."""
    if isinstance(expectation, Between) and not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ConfigError(f"column {name!r} has no numbers: it is {kind}", where=where, hint="name a column of numbers")
    if isinstance(expectation, Unique) and pa.types.is_nested(kind):
        raise ConfigError(f"column {name!r} holds {kind}, of which no value is compared", where=where,
                          hint="name a column of texts or numbers")  # fmt: skip


def own_columns(node: Node) -> dict[str, pa.DataType]:
    """Columns that a stage holds itself, by their names on disk."""
    return {**(ROW_COLUMNS if node.kind is Kind.ROWS else {}), **node.outputs}
