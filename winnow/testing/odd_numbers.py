"""One meaning of odd numbers in every operator: NaN as null, -0.0 as 0.0, infinities and extremes answered or refused.

For each column of numbers that an operator reads the same rows are run with such values in it. What stages store holds
no NaN, but rows also come from elsewhere (tests, notebooks), and two operators that disagree would disagree silently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import polars as pl

from winnow.core.errors import WinnowError
from winnow.core.operators import Context, Operator
from winnow.testing import answers
from winnow.testing.by_shape import answer_of

_EVERY = 3  # of so many rows one gets the odd value
Outcome = tuple[pl.DataFrame | None, Any, str]  # answer, what was noted, the refusal


def odd_numbers(op: Operator, rows: pl.DataFrame, ctx: Context) -> Iterator[tuple[str, str]]:
    """(rule, message) for every column of numbers with which a rule is broken."""
    for name in dict.fromkeys([*op.needs(), *op.looks_up()]):
        kind = rows.schema.get(name)
        if kind is None:
            continue
        if kind.is_float():
            yield from _floats(op, rows, name, ctx)
        elif kind.is_integer():
            ends = pl.select(kind.min(), most=kind.max()).row(0)  # type: ignore[attr-defined]
            for value in ends:
                yield from _survives(op, _with(rows, name, value), name, value, ctx)
        elif kind.is_nested() and kind.inner.is_float():  # type: ignore[attr-defined]
            for value in ("nan", "inf"):
                swapped = pl.col(name).list.eval(pl.element() * 0 + pl.lit(float(value)).cast(kind.inner))  # type: ignore[attr-defined]
                yield from _survives(op, rows.with_columns(swapped), name, value, ctx)


def _floats(op: Operator, rows: pl.DataFrame, name: str, ctx: Context) -> Iterator[tuple[str, str]]:
    yield from _alike(op, "no value", name, "NaN and null", ctx,
                      _with(rows, name, None), _with(rows, name, float("nan")))  # fmt: skip
    yield from _alike(op, "numbers", name, "0.0 and -0.0", ctx, _with(rows, name, 0.0), _with(rows, name, -0.0))
    for value in (float("inf"), -float("inf"), 1e308, -1e308):
        yield from _survives(op, _with(rows, name, value), name, value, ctx)


def _with(rows: pl.DataFrame, name: str, value: Any) -> pl.DataFrame:
    """The rows with the value in every third one."""
    here = pl.int_range(pl.len()) % _EVERY == 0
    return rows.with_columns(pl.when(here).then(pl.lit(value, rows.schema[name])).otherwise(pl.col(name)).alias(name))


def _outcome(op: Operator, rows: pl.DataFrame, ctx: Context) -> Outcome:
    own = dataclasses.replace(ctx, notes={})
    try:
        return answers.joined(op, [rows], answer_of(op, [rows], own)), own.notes, ""
    except WinnowError as error:
        return None, None, error.what


def _alike(
    op: Operator, rule: str, name: str, what: str, ctx: Context, one: pl.DataFrame, two: pl.DataFrame
) -> Iterator[tuple[str, str]]:
    try:
        want, found = _outcome(op, one, ctx), _outcome(op, two, ctx)
    except Exception as error:  # noqa: BLE001 (operators raise anything)
        yield rule, f"with {what} in {name!r}: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        return
    message = "one is refused" if (want[0] is None) != (found[0] is None) else ""
    if want[0] is not None and found[0] is not None:
        message = answers.difference(want[0], found[0], op.exactness.atol)
        message = message or ("what is noted differs" if op.exactness.atol is None and want[1] != found[1] else "")
    if message:
        yield rule, f"{what} in {name!r} are not the same: {message}"


def _survives(op: Operator, rows: pl.DataFrame, name: str, value: Any, ctx: Context) -> Iterator[tuple[str, str]]:
    """An answer without NaN in it, or a refusal that names the column."""
    try:
        answer, _, refusal = _outcome(op, rows, ctx)
    except Exception as error:  # noqa: BLE001 (operators raise anything)
        yield "numbers", f"{value} in {name!r}: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        return
    if answer is None:
        if name not in refusal and "vector" not in refusal:
            yield "numbers", f"{value} in {name!r} is refused without naming the column: {refusal[:200]}"
        return
    nan = [column for column, odd in answers.not_finite(answer).items() if odd != odd]  # noqa: PLR0124
    if nan:
        yield "numbers", f"{value} in {name!r} gives NaN in {nan}"
