"""What counts as a well-formed answer of an operator, and as the same answer."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import Kind, Operator
from winnow.core.store.schema import to_table
from winnow.testing.in_memory import frame_of


class BrokenRuleError(Exception):
    """A rule of the contract broken by an answer: `rule` names it, `message` says how."""

    def __init__(self, rule: str, message: str) -> None:
        self.rule, self.message = rule, message
        super().__init__(message)


def joined(op: Operator, parts: list[pl.DataFrame], answers: list[pl.DataFrame]) -> pl.DataFrame:
    """One frame of the answers to `parts`, each of them checked.

    Raises: BrokenRuleError.
    """
    if op.kind is Kind.COLUMNS:
        return pl.concat([conformed(op, a, p.height) for a, p in zip(answers, parts, strict=True)])
    return pl.concat([conformed(op, a, a.height) if op.kind is Kind.TABLE else a for a in answers])


def conformed(op: Operator, answer: Any, rows: int) -> pl.DataFrame:
    """The answer as a frame, if it is one row per row with the declared columns and types.

    Raises: BrokenRuleError.
    """
    if not isinstance(answer, pl.DataFrame | pa.RecordBatch | pa.Table):
        raise BrokenRuleError("columns", f"the answer is a {type(answer).__name__}, not a table")
    table = to_table(answer)
    if table.num_rows != rows:
        raise BrokenRuleError("rows", f"{table.num_rows} rows for {rows}")
    declared = op.outputs()
    if sorted(table.column_names) != sorted(declared):
        raise BrokenRuleError("columns", f"gave {table.column_names}, declared {list(declared)}")
    for name, kind in declared.items():
        found = table.schema.field(name).type
        if _plain(found) != _plain(kind):
            raise BrokenRuleError("columns", f"{name!r} is {found}, declared {kind}")
    return frame_of(answer).select(list(declared))


def not_finite(answer: pl.DataFrame) -> dict[str, float]:
    """Column name -> its first NaN or infinity, of columns that hold one."""
    found: dict[str, float] = {}
    for name in answer.columns:
        values = _flat(answer[name])
        if values.dtype.is_float():
            odd = values.filter(~values.is_finite().fill_null(value=True))
            found |= {name: odd[0]} if len(odd) else {}
    return found


def difference(one: pl.DataFrame, two: pl.DataFrame, atol: float | None) -> str:
    """Where two answers differ first; '' where they are equal (within `atol`, unless it is None)."""
    if one.height != two.height:
        return f"{two.height} rows where there were {one.height}"
    for name in one.columns:
        a, b = one[name], two[name]
        if a.dtype != b.dtype:
            return f"column {name!r} is {b.dtype} where it was {a.dtype}"
        if a.equals(b, null_equal=True) or (atol is not None and _close(a, b, atol)):
            continue
        rows = [i for i in range(len(a)) if not a[i : i + 1].equals(b[i : i + 1], null_equal=True)]
        values = f"{_short(b[rows[0]])} for {_short(a[rows[0]])}"
        return f"column {name!r} differs in {len(rows)} rows, first {values}"
    return ""


def frame_bytes(table: pl.DataFrame) -> bytes:
    """The frame as an Arrow file."""
    sink = io.BytesIO()
    table.rechunk().write_ipc(sink, compat_level=pl.CompatLevel.oldest())
    return sink.getvalue()


def _plain(kind: pa.DataType) -> str:
    """A type's name without the ways of storing it: large, view and fixed-size forms have one name."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"list<{_plain(kind.value_type)}>"
    if pa.types.is_fixed_size_binary(kind):
        return "binary"
    return str(kind).replace("large_", "").replace("_view", "")


def _close(a: pl.Series, b: pl.Series, atol: float) -> bool:
    x, y = _flat(a), _flat(b)
    if len(x) != len(y) or not x.dtype.is_float() or not x.is_null().equals(y.is_null()):
        return False
    left, right = x.drop_nulls().to_numpy(), y.drop_nulls().to_numpy()
    return bool(np.allclose(left, right, rtol=0, atol=atol, equal_nan=True))


def _flat(values: pl.Series) -> pl.Series:
    while isinstance(values.dtype, pl.List | pl.Array):
        values = values.explode()
    return values


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
