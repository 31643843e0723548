"""An operator whose methods are watched for changing what they are given."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa

from winnow.core.operators import Operator

T = TypeVar("T", bound=Operator)

_METHODS = ("summarise", "merge", "advance", "decide", "keys", "resolve", "collect", "solve", "sample", "fit")


def watched(op: T, changed: list[str]) -> T:
    """A copy of the operator that appends a method's name to `changed` when it changed an argument."""
    clone = copy.copy(op)
    for name in _METHODS:
        if hasattr(op, name):
            object.__setattr__(clone, name, _watch(getattr(op, name), name, changed))
    opens = getattr(op, "open", None)
    if opens is not None:
        object.__setattr__(clone, "open", lambda ctx: _watch(opens(ctx), "open(...)", changed))
    return clone


def _watch(method: Callable[..., Any], name: str, changed: list[str]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        before = [_bytes(a) for a in arguments]
        answer = method(*arguments)
        if [_bytes(a) for a in arguments] != before:
            changed.append(name)
        return answer

    return call


def _bytes(value: Any) -> bytes | tuple[bytes, ...]:
    """The bytes of a table or of several; of nothing else."""
    if isinstance(value, list | tuple):
        return tuple(b for v in value if isinstance(b := _bytes(v), bytes))
    sink = io.BytesIO()
    if isinstance(value, pl.DataFrame):
        value.write_ipc(sink, compat_level=pl.CompatLevel.oldest())
    elif isinstance(value, pa.RecordBatch):
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_batch(value)
    return sink.getvalue()
