"""Randomness as a pure function of (document id, seed, salt).

There is no generator and no state: a row's draw does not depend on its neighbours, its part, its worker or
the order of the work, so a resumed or re-cut run draws the same numbers. Both 64-bit lanes of the 16-byte id
go through the finaliser of SplitMix64, keyed by a hash of seed and salt. One draw per (seed, salt): take
another salt for another independent draw of the same document.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.words.text import utf8_buffers

Lanes: TypeAlias = npt.NDArray[np.uint64]
DocIds: TypeAlias = pa.Array | pa.ChunkedArray | pl.Series | Lanes

ID_BYTES = 16
_BLOCK_ROWS = 1 << 14  # temporaries of a block stay in the second-level cache


def lanes(doc_id: DocIds) -> Lanes:
    """The two little-endian 64-bit halves of every id, u64[rows, 2].

    Takes FixedSizeBinary(16), Binary or LargeBinary arrays, Binary Series, or lanes (returned as they are).

    Raises: DataError where an id is null or not 16 bytes long.
    """
    if isinstance(doc_id, np.ndarray):
        if doc_id.dtype != np.uint64 or doc_id.ndim != 2 or doc_id.shape[1] != 2:
            raise DataError(f"doc_id lanes are {doc_id.dtype}{list(doc_id.shape)}, expected uint64[rows, 2]")
        return doc_id
    array = _one_array(doc_id)
    if array.null_count:
        raise DataError(f"{array.null_count} of {len(array)} doc_id are null", hint="every row needs an id")
    data = _fixed_bytes(array) if pa.types.is_fixed_size_binary(array.type) else _variable_bytes(array)
    return data.view("<u8").astype(np.uint64, copy=False).reshape(len(array), 2)


def keys(doc_id: DocIds, *, seed: int, salt: str) -> Lanes:
    """Uniform 64-bit integers, u64[rows]: for sorting and partitioning. Pure in (doc_id, seed, salt).

    Cost: O(rows) time, 24 bytes per row.
    """
    ids = lanes(doc_id)
    first, second = _key_pair(seed, salt)
    mixed = np.empty(len(ids), dtype=np.uint64)
    for start in range(0, len(ids), _BLOCK_ROWS):
        block = ids[start : start + _BLOCK_ROWS]
        half = _finalise(block[:, 0] + first)
        mixed[start : start + len(block)] = _finalise(_finalise((half ^ block[:, 1]) + second) ^ first)
    return mixed


def uniform(doc_id: DocIds, *, seed: int, salt: str) -> npt.NDArray[np.float64]:
    """Uniform draws strictly inside (0, 1), f64[rows]. Pure in (doc_id, seed, salt).

    The top 52 bits of `keys` plus one half, scaled by 2^-52: every value is exact in f64, the smallest is
    2^-53 and the largest 1 - 2^-53, so that logarithms of u and of 1 - u are finite.
    """
    return unit_interval(keys(doc_id, seed=seed, salt=salt))


def gumbel(doc_id: DocIds, *, seed: int, salt: str) -> npt.NDArray[np.float64]:
    """Standard Gumbel draws -log(-log(u)), f64[rows], finite, within (-3.7, 36.8); same bits on any machine.

    Source: Gumbel-max trick; adding these to log weights and keeping the largest samples without replacement.
    """
    from winnow.core.numerics import numeric

    return -numeric.log(-numeric.log(uniform(doc_id, seed=seed, salt=salt)))


def unit_interval(bits: Lanes) -> npt.NDArray[np.float64]:
    """Random 64-bit integers -> numbers strictly inside (0, 1), f64 of the same shape; order-preserving."""
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _finalise(x: Lanes) -> Lanes:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _key_pair(seed: int, salt: str) -> tuple[np.uint64, np.uint64]:
    digest = hashlib.blake2b(f"{int(seed)}\0{salt}".encode(), digest_size=16).digest()
    first, second = np.frombuffer(digest, dtype="<u8")
    return np.uint64(first), np.uint64(second)


def _one_array(doc_id: pa.Array | pa.ChunkedArray | pl.Series) -> pa.Array:
    if isinstance(doc_id, pl.Series):
        doc_id = doc_id.to_arrow()
    if isinstance(doc_id, pa.ChunkedArray):
        return doc_id.chunk(0) if doc_id.num_chunks == 1 else pa.concat_arrays(_same_type(doc_id))
    return doc_id


def _same_type(chunked: pa.ChunkedArray) -> list[pa.Array]:
    return list(chunked.chunks) or [pa.array([], type=chunked.type)]


def _fixed_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    if array.type.byte_width != ID_BYTES:
        raise DataError(f"doc_id has {array.type.byte_width} bytes, expected {ID_BYTES}")
    data = array.buffers()[1]
    if data is None or len(array) == 0:
        return np.zeros(0, dtype=np.uint8)
    return np.frombuffer(data, dtype=np.uint8, count=len(array) * ID_BYTES, offset=array.offset * ID_BYTES)


def _variable_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    if not (pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type) or _is_binary_view(array.type)):
        raise DataError(f"doc_id has type {array.type}, expected 16 bytes of binary")
    starts, data = utf8_buffers(array)
    lengths = np.diff(starts)
    if (lengths != ID_BYTES).any():
        row = int(np.flatnonzero(lengths != ID_BYTES)[0])
        raise DataError(f"doc_id has {int(lengths[row])} bytes, expected {ID_BYTES}", where=f"row {row} of the batch")
    return data[starts[0] : starts[-1]]


def _is_binary_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary_view(kind))
