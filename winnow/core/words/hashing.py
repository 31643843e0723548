"""Hashes of Arrow columns: text hashes, content digests of columns, 16-byte ids as numbers.

A content digest is a sum over rows modulo 2**64 in two lanes, so it is the same for every row order, cut and
batch size, and digests of parts add up to the digest of the whole. A row's share is a 128-bit hash of
(doc_id, canonical cell). Canonical means: a null is one constant (whatever lies under it, whatever the type),
NaN is one pattern, -0.0 is 0.0, integers and floats are widened to 64 bits, text and binary are their bytes,
dictionaries are decoded, lists are their length and values. The kind of value enters too: 1, 1.0, True and
"1" differ, int32 5 and int64 5 do not. Not cryptographic: it guards against mistakes, not adversaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.words.text import utf8_buffers, valid_mask

Lanes = npt.NDArray[np.uint64]  # u64[rows, 2]: 16 bytes per row as two little-endian words

ID = pa.binary(16)
TEXT_SEEDS = (0x7465_7874_5F68_6130, 0x7465_7874_5F68_6131)

_KINDS = ("bool", "int", "uint64", "float", "text", "binary", "list", "cells", "struct", "time")
_TAGS = {kind: np.uint64(number) for number, kind in enumerate(_KINDS, start=1)}
_BLOCK_ROWS = 1 << 16
_BLOCK_ROWS_NESTED = 1 << 12


def hash_rows(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint64]:
    """XXH64 of every row of (offsets i64[rows + 1], bytes), u64[rows].

    Cost: one pass, no copy; the first call in a process loads the compiled kernels.
    """
    from winnow.core.words import hashing_kernels as kernels

    return cast("npt.NDArray[np.uint64]", kernels.hash_rows(_aligned(offsets), data, np.uint64(seed)))


def text_hash(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """128-bit hash of every text (or binary) value, FixedSizeBinary(16), no nulls: a null gives 16 zeros.

    Cost: two passes of XXH64 per row while it is in cache.
    """
    array = _one_array(array)
    lanes = _byte_lanes(array, TEXT_SEEDS)
    if array.null_count:
        lanes[~valid_mask(array)] = 0
    return from_lanes(lanes)


def as_lanes(fixed: pa.Array | pa.ChunkedArray) -> Lanes:
    """16-byte values as u64[rows, 2] (little-endian words); zero-copy for FixedSizeBinary(16) without nulls.

    Binary and LargeBinary columns of 16-byte values are converted; nulls become zeros.
    Raises: DataError where a value is not 16 bytes long.
    """
    fixed = _one_array(fixed)
    if fixed.type != ID:
        try:
            fixed = fixed.cast(pa.large_binary()).cast(pa.binary()).cast(ID)
        except pa.ArrowException as error:
            raise DataError(f"a column of 16-byte values is {fixed.type}: {error}") from error
    if len(fixed) == 0:
        return np.zeros((0, 2), dtype=np.uint64)
    raw = np.frombuffer(fixed.buffers()[1], dtype=np.uint8)[fixed.offset * 16 :][: len(fixed) * 16]
    lanes: Lanes = np.require(raw.view(np.uint64), requirements="A").reshape(-1, 2)
    if fixed.null_count:
        lanes = lanes.copy()
        lanes[~valid_mask(fixed)] = 0
    return lanes


def from_lanes(lanes: Lanes, valid: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """FixedSizeBinary(16) over u64[rows, 2]; zero-copy; rows where `valid` is False are null (and zeroed)."""
    lanes = np.ascontiguousarray(lanes, dtype=np.uint64)
    bitmap = None
    if valid is not None and not valid.all():
        lanes = np.where(valid[:, None], lanes, np.uint64(0))
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(ID, len(lanes), [bitmap, pa.py_buffer(lanes)])


def row_digest(doc_id: pa.Array | pa.ChunkedArray) -> str:
    """Order-dependent digest of a doc_id column, 32 hex digits: equal digests mean row-aligned parts."""
    import xxhash

    return str(xxhash.xxh3_128(np.ascontiguousarray(as_lanes(doc_id)).data).hexdigest())


def ngram_hashes(text: pa.Array | pa.ChunkedArray, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """(offsets i64[rows + 1], hashes u32[...]): the word n-grams of every row in text order, with repeats.

    Words are those of the text's normal form (`normal_form_kernels`: NFKC_Casefold, decomposed). A word is
    a maximal run of ASCII letters, digits, `_` and characters from U+00C0 on, except that punctuation
    (U+2000-206F, 3000-303F, FF01-FF0F, FF1A-FF20) separates, and that every character of a script written
    without spaces (`ALONE` in word_kernels: Thai to Tibetan, Myanmar, Khmer, kana, Han) is a word of its own.
    A row with 1 to n - 1 words has one hash, of all of them; a row without a word, or null, has none.
    Cost: one pass over the bytes, two over texts that are not in normal form; peak memory 2 bytes per byte of
    text, plus 4 per word.
    """
    from winnow.core.words import word_kernels as kernels

    array = _one_array(text)
    if array.null_count:
        array = array.fill_null("")
    offsets, data = utf8_buffers(array)
    starts, hashes = kernels.ngram_rows(_aligned(offsets), data, n)
    return starts, hashes


def column_digest(doc_id: pa.Array | pa.ChunkedArray | None, column: pa.Array | pa.ChunkedArray) -> tuple[int, int]:
    """Content digest of one column: two words below 2**64, order-free and additive over rows.

    `doc_id` ties cells to documents; None (tables) leaves the cells alone.
    Raises: DataError where lengths differ or the type has no canonical form.
    Cost: one pass over the column's bytes per lane; temporaries are bounded by blocks of rows.
    """
    array = _one_array(column)
    start = np.zeros((len(array), 2), dtype=np.uint64) if doc_id is None else as_lanes(doc_id)
    if len(start) != len(array):
        raise DataError(f"{len(start)} doc_id for {len(array)} rows of the column")
    return _digest(start, [array])


def table_digest(table: pa.Table, names: Sequence[str]) -> tuple[int, int]:
    """Content digest of a keyed table's rows over `names`: free of row and column order, additive.

    The cells of one row hang together: swapping two rows' values of one column changes it.
    Raises: DataError where a type has no canonical form.
    """
    ordered = sorted(names)
    head = as_lanes(text_hash(pa.array(["\0".join(ordered)], pa.large_string())))
    start = np.broadcast_to(head, (table.num_rows, 2))
    return _digest(start, [_one_array(table.column(name)) for name in ordered])


def _digest(start: Lanes, arrays: Sequence[pa.Array]) -> tuple[int, int]:
    from winnow.core.words import hashing_kernels as kernels

    nested = any(pa.types.is_nested(array.type) for array in arrays)
    step = _BLOCK_ROWS_NESTED if nested else _BLOCK_ROWS
    total = [0, 0]
    for low in range(0, len(start), step):
        lanes = np.ascontiguousarray(start[low : low + step])
        for array in arrays:
            lanes = kernels.chain(lanes, _cells(array.slice(low, step)))
        for lane, value in enumerate(kernels.sum_rows(lanes)):
            total[lane] = (total[lane] + int(value)) % 2**64
    return total[0], total[1]


def _cells(array: pa.Array) -> Lanes:
    """Two hash words per canonical cell, u64[rows, 2]."""
    from winnow.core.words import hashing_kernels as kernels

    kind = array.type
    if pa.types.is_dictionary(kind):
        return _cells(array.dictionary_decode())
    valid = valid_mask(array)
    if pa.types.is_nested(kind):
        lanes, tag = _nested(array)
        return cast("Lanes", kernels.tagged_cells(lanes, valid, tag))
    if _is_text(kind) or _is_bytes(kind):
        tag = _TAGS["text" if _is_text(kind) else "binary"]
        return cast("Lanes", kernels.tagged_cells(_byte_lanes(array, TEXT_SEEDS), valid, tag))
    words, tag = _words(array)
    return cast("Lanes", kernels.word_cells(words, valid, tag))


def _nested(array: pa.Array) -> tuple[Lanes, np.uint64]:
    """(lanes of the child values of every row, tag) of a list or struct array."""
    from winnow.core.words import hashing_kernels as kernels

    kind = array.type
    if pa.types.is_struct(kind):
        lanes = np.zeros((len(array), 2), dtype=np.uint64)
        for position, field in enumerate(kind):
            name = pa.array([field.name], pa.large_string())
            lanes = kernels.chain(lanes, np.repeat(_cells(name), len(array), axis=0))
            lanes = kernels.chain(lanes, _cells(array.field(position)))
        return lanes, _TAGS["struct"]
    starts, stops, child = _list_ranges(array)
    if child.type == pa.uint32() and child.null_count == 0:  # shingles: many
        return kernels.u32_ranges(starts, stops, _values(child), _TAGS["int"]), _TAGS["list"]
    if _has_words(child.type):
        words, tag = _words(child)
        return kernels.word_ranges(starts, stops, words, valid_mask(child), tag), _TAGS["list"]
    return kernels.lane_ranges(starts, stops, _cells(child)), _TAGS["cells"]


def _list_ranges(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], pa.Array]:
    """(first child, end of children, children) per row; children are cut to what the rows use."""
    kind, rows = array.type, len(array)
    if pa.types.is_fixed_size_list(kind):
        ends = np.arange(rows + 1, dtype=np.int64) * kind.list_size
        child = array.values.slice(array.offset * kind.list_size, rows * kind.list_size)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        ends = np.asarray(array.offsets).astype(np.int64)
        child = array.values.slice(ends[0], ends[-1] - ends[0])
        ends = ends - ends[0]
    else:
        raise DataError(f"a column of type {kind} has no canonical form", hint="store a list, struct or text")
    return ends[:-1].copy(), ends[1:].copy(), child


def _words(array: pa.Array) -> tuple[npt.NDArray[np.uint64], np.uint64]:
    """(canonical 64-bit word per value, tag); what lies under a null is arbitrary."""
    kind = array.type
    if pa.types.is_null(kind):
        return np.zeros(len(array), dtype=np.uint64), np.uint64(0)
    if pa.types.is_floating(kind):
        wide = _values(array).astype(np.float64) + 0.0
        wide[np.isnan(wide)] = np.nan
        return wide.view(np.uint64), _TAGS["float"]
    if pa.types.is_boolean(kind):
        array, tag = array.cast(pa.uint8()), "bool"
    elif pa.types.is_integer(kind):
        tag = "uint64" if kind == pa.uint64() else "int"
    elif pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        array, tag = array.view(pa.int64() if kind.bit_width == 64 else pa.int32()), "time"
    else:
        raise DataError(f"a column of type {kind} has no canonical form", hint="cast it to text or numbers")
    values = _values(array)
    wide_ints = values if values.dtype == np.uint64 else values.astype(np.int64).view(np.uint64)
    return np.require(wide_ints, requirements=["C", "A"]), _TAGS[tag]


def _values(array: pa.Array) -> npt.NDArray[Any]:
    """The value buffer of a primitive array, nulls and all."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    data = array.buffers()[1]
    if data is None or len(array) == 0:
        return np.zeros(len(array), dtype=dtype)
    return np.frombuffer(data, dtype=dtype, count=len(array), offset=array.offset * dtype.itemsize)


def _byte_lanes(array: pa.Array, seeds: tuple[int, int]) -> Lanes:
    """XXH64 from two seeds of every row's bytes, u64[rows, 2]."""
    from winnow.core.words import hashing_kernels as kernels

    if pa.types.is_fixed_size_binary(array.type):
        width, buffer = array.type.byte_width, array.buffers()[1]
        data = np.frombuffer(buffer, dtype=np.uint8) if buffer is not None else np.zeros(0, dtype=np.uint8)
        offsets = (np.arange(len(array) + 1, dtype=np.int64) + array.offset) * width
    else:
        offsets, data = utf8_buffers(array)
    seed_0, seed_1 = (np.uint64(seed) for seed in seeds)
    return cast("Lanes", kernels.hash_rows_128(_aligned(offsets), data, seed_0, seed_1))


def _has_words(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_null(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    large = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return bool(large or pa.types.is_fixed_size_binary(kind))


def _aligned(offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.require(offsets, dtype=np.int64, requirements=["C", "A"])


def _one_array(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        chunks = array.chunks
        return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks or [pa.array([], array.type)])
    return array
