"""What user functions answer: called so that their exceptions name their file and line, and looked at before use."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ContractError, WinnowError
from winnow.core.operators.usercode import UserFunction

_MESSAGE_CHARS = 300


def line_of(error: BaseException, folder: str) -> str:
    """` (module.py:7)`: the innermost line of a module in `folder` that an exception came from; '' where none did."""
    frames = reversed(traceback.extract_tb(error.__traceback__)) if folder else ()
    path = next((f for f in frames if f.filename.startswith(folder)), None)
    return f" ({Path(path.filename).name}:{path.lineno})" if path else ""


def place_of(function: UserFunction) -> str:
    """`module.py:7`: where the function is written."""
    code = getattr(function.fn, "__code__", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else function.name


def called(function: UserFunction, arguments: Sequence[Any], *, target: str, folder: Path) -> Any:
    """What the function answers. Raises ContractError, with the line of the user's that raised, where it fails."""
    try:
        return function.fn(*arguments)
    except WinnowError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:_MESSAGE_CHARS]
        missing = isinstance(error, pl.exceptions.ColumnNotFoundError)
        raise ContractError(
            f"the {function.kind} failed: {type(error).__name__}: {message}{line_of(error, str(folder))}",
            where=target,
            hint=f"it gets the columns {list(function.needs)}: name what else it reads in `needs=`" if missing
            else f"`winnow check {target}` runs its contract suite",
        ) from error  # fmt: skip


def numbers(answer: Any, function: UserFunction, rows: int, *, target: str) -> pl.Series:
    """The answer as f64[rows], null where there is none. Raises ContractError where it is no series of numbers."""
    noun = "weights" if function.kind == "selector" else "values"
    hint = f"return one number per row, as a pl.Series; {place_of(function)}"
    if not isinstance(answer, pl.Series | np.ndarray | pa.Array | pa.ChunkedArray | list | tuple):
        shape = f" of {answer.height} rows and {answer.width} columns" if isinstance(answer, pl.DataFrame) else ""
        what = f"the {function.kind} returned {type(answer).__name__}{shape}, not a series of {noun}"
        raise ContractError(what, where=target, hint=hint)
    try:
        series = pl.Series(answer)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        what = f"the {function.kind} returned {type(answer).__name__}, not numbers: {error}"
        raise ContractError(what, where=target, hint=hint) from error
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        raise ContractError(f"the {function.kind} returned {series.dtype}, not numbers", where=target, hint=hint)
    if len(series) != rows:
        what = f"{function.kind} {function.name!r} returned {len(series)} {noun} for {rows} rows"
        raise ContractError(what, where=target, hint=hint)
    return series.cast(pl.Float64)


def one_by_one(function: UserFunction, columns: Sequence[pl.Series]) -> list[float | None]:
    """The function called for every document with its own values; None where one of them is null.

    Raises: ContractError where an answer is no number.
    """
    out = []
    for values in zip(*(column.to_list() for column in columns), strict=True):
        answer = None if None in values else function.fn(*values)
        if not (answer is None or isinstance(answer, int | float | np.number | np.bool_)):
            what = f"{function.kind} {function.name!r} returned {type(answer).__name__} for one document, not a number"
            raise ContractError(what, where=place_of(function), hint="return a number, or None for no score")
        out.append(None if answer is None else float(answer))
    return out


def takes_one_document(function: UserFunction, columns: Sequence[pl.Series]) -> bool:
    """Whether the function answers one document's values with one number: it was written without Series in mind."""
    first: list[Any] = [next((v for v in column if v is not None), None) for column in columns]
    if None in first or not columns:
        return False
    return _answers_number(function.fn, first)


def _answers_number(fn: Callable[..., Any], values: Sequence[Any]) -> bool:
    try:
        return isinstance(fn(*values), int | float | np.number | np.bool_)
    except Exception:  # noqa: BLE001 (user code raises anything)
        return False
