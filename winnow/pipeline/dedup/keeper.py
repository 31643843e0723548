"""Which of several duplicates is kept: an ORDER BY over columns, as bytes that sort like the rows do.

And within which values of columns documents are compared at all (`per`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError
from winnow.core.numerics.row_ranks import ascending_key
from winnow.core.operators import Schema, sql
from winnow.core.store.no_value import frame_without_nan
from winnow.core.terminal import percent
from winnow.core.words.hashing import text_hash

SMALLEST_ID, LONGEST = "smallest_id", "longest"
ALONE = "alone"  # counter: rows that are compared with none, for they lack a value
_PRESENT, _NULL = b"\0", b"\1"  # nulls last, in either direction


def is_order(keeper: str) -> bool:
    """True where `keeper` is an ORDER BY list and no word of ours."""
    return keeper not in (SMALLEST_ID, LONGEST)


def columns_of(keeper: str) -> tuple[str, ...]:
    """Names of the columns that an ORDER BY list reads; none for a word of ours."""
    if not is_order(keeper):
        return ()
    terms = sql.order_terms(keeper, where="keeper")
    return tuple(dict.fromkeys(name for text, _ in terms for name in sql.column_names(text, where="keeper")))


def check_keeper(keeper: str) -> None:
    """Raise ConfigError where `keeper` is neither a word of ours nor an ORDER BY list over columns."""
    if is_order(keeper):
        sql.order_terms(keeper, where="keeper")


def check_keeper_types(keeper: str, types: Schema) -> None:
    """Raise ConfigError where a term over columns of these types has no order."""
    for text, _ in sql.order_terms(keeper, where="keeper") if is_order(keeper) else ():
        known = {name: types[name] for name in sql.column_names(text)}
        empty = pl.from_arrow(pa.schema(list(known.items())).empty_table())
        assert isinstance(empty, pl.DataFrame)
        of_types = ", ".join(f"{name} is {kind}" for name, kind in known.items())
        try:
            kind = empty.select(sql.expression(text, where="keeper")).dtypes[0]
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            problem = str(error).strip().splitlines()[0]
            raise ConfigError(f"`{text}` cannot be worked out: {problem}", where="keeper", hint=of_types) from error
        if not (_is_fixed(kind) or kind in (pl.String, pl.Binary, pl.Null)):
            hint = f"order by numbers, texts, dates or truth values; {of_types}"
            raise ConfigError(f"`{text}` gives {kind}, which has no order", where="keeper", hint=hint)


def check_per_types(columns: Sequence[str], types: Schema) -> None:
    """Raise ConfigError where a column of `per` holds lists or records."""
    for name in columns:
        if pa.types.is_nested(types[name]):
            hint = "name a column of texts, numbers or truth values"
            raise ConfigError(f"{name!r} is {types[name]}", where="per", hint=hint)


def alone_remarks(counts: Mapping[str, int], columns: Sequence[str]) -> tuple[str, ...]:
    """How many rows lack a value of one of the columns by which they would be compared."""
    alone, rows = counts.get(ALONE, 0), counts.get("rows", 0)
    if not alone:
        return ()
    lack = " or ".join(f"`{name}`" for name in columns)
    what = f"{alone:,} of {rows:,} documents ({percent(alone / max(rows, 1))}) have no value of {lack}"
    return (f"{what}, are compared with none and stay",)


def order_keys(rows: pl.DataFrame, keeper: str) -> pl.Series:
    """Bytes of every row that sort as ORDER BY says, nulls last; equal bytes for rows that are equal in all terms.

    Numbers are nine bytes each; texts their UTF-8 with an end mark, so that no text runs into the next term.
    Cost: a few passes over the columns.
    """
    pieces = []
    held = frame_without_nan(rows)
    for number, (text, descending) in enumerate(sql.order_terms(keeper, where="keeper")):
        values = held.select(sql.expression(text, where="keeper").alias(str(number)))[str(number)]
        values = values if len(values) == rows.height else values.extend_constant(values[0], rows.height - len(values))
        pieces.append(_number_key(values, descending) if _is_fixed(values.dtype) else _text_key(values, descending))
    joined = pieces[0] if len(pieces) == 1 else pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()))
    return pl.Series("keeper_order", joined, dtype=pl.Binary)


def order_ranks(keys: pl.Series) -> npt.NDArray[np.int64]:
    """Place of every row by its key, from 1 on, i64[rows]; rows of equal keys share one."""
    order = keys.arg_sort().to_numpy()
    ordered = keys.gather(order)
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.cumsum(ordered.ne_missing(ordered.shift(1)).to_numpy().astype(np.int64))
    return ranks


def per_hashes(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """16 bytes of the values of `columns`, equal for rows whose values are; null where one of them is."""
    binary = [name for name in columns if rows[name].dtype == pl.Binary]
    rows = rows.with_columns(pl.col(name).bin.encode("hex") for name in binary)
    cells = [pl.col(name).cast(pl.String) for name in columns]
    parts = [part for cell in cells for part in (cell.str.len_bytes().cast(pl.String), pl.lit(":"), cell)]
    labels = rows.select(pl.concat_str(parts).alias("per_hash"))["per_hash"]
    hashes = pl.Series("per_hash", text_hash(labels.to_arrow().cast(pa.large_string())).cast(pa.large_binary()))
    return pl.select(pl.when(labels.is_not_null()).then(hashes).alias("per_hash"))["per_hash"]


def combined(one: pl.Series, other: pl.Series) -> pl.Series:
    """16 bytes of two 16-byte values together; null where one is."""
    both = pc.binary_join_element_wise(
        one.to_arrow().cast(pa.large_binary()), other.to_arrow().cast(pa.large_binary()),
        pa.scalar(b"", pa.large_binary()),
    )  # fmt: skip
    hashes = pl.Series(one.name, text_hash(both).cast(pa.large_binary()))
    return pl.select(pl.when(pl.Series(both.is_valid())).then(hashes).alias(one.name))[one.name]


def _is_fixed(kind: pl.DataType) -> bool:
    return kind.is_integer() or kind.is_float() or kind == pl.Boolean or kind.is_temporal()


def _number_key(values: pl.Series, descending: bool) -> pa.Array:
    """Nine bytes per row: whether there is a value, and the value with the order of unsigned bytes."""
    key, there = ascending_key(values.to_physical() if values.dtype.is_temporal() else values)
    key = np.where(there, ~key if descending else key, np.uint64(0))
    out = np.empty((len(key), 9), dtype=np.uint8)
    out[:, 0] = ~there
    out[:, 1:] = key.astype(">u8").view(np.uint8).reshape(-1, 8)
    kind = pa.binary(9)
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(key), [None, pa.py_buffer(out)]).cast(pa.large_binary())


def _text_key(values: pl.Series, descending: bool) -> pa.Array:
    """The bytes of a text, ended by two that are below (descending: above) any of it."""
    raw = values.cast(pl.Binary).to_arrow().cast(pa.large_binary())
    there = raw.is_valid()
    ended = pc.binary_join_element_wise(
        pc.replace_substring(raw.fill_null(b""), b"\0", b"\0\xff"), pa.scalar(b"\0\0", pa.large_binary()),
        pa.scalar(b"", pa.large_binary()),
    )  # fmt: skip
    if descending:
        _, offsets, data = ended.buffers()
        turned = np.frombuffer(data, dtype=np.uint8) ^ np.uint8(0xFF)
        ended = pa.Array.from_buffers(pa.large_binary(), len(ended), [None, offsets, pa.py_buffer(turned)])
    mark = pa.scalar(_PRESENT, pa.large_binary()), pa.scalar(_NULL, pa.large_binary())
    return pc.if_else(there, pc.binary_join_element_wise(mark[0], ended, pa.scalar(b"", pa.large_binary())), mark[1])
