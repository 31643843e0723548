"""Document identity: 16 bytes that depend on what a document is or where it lies, never on layout or clocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

DOC_ID = pa.binary(16)
Lanes = npt.NDArray[np.uint64]


def position_ids(source: str, rel: pa.Array, locator: pa.Array) -> pa.Array:
    """doc_id per record from (source, path relative to the reader's base, locator), FixedSizeBinary(16)[rows].

    Cost: one hash of a short string per row. The three parts are separated by NUL, which paths cannot hold.
    """
    from winnow.core.words.hashing import text_hash

    return text_hash(_joined(source, rel, locator))


def field_ids(source: str, value: pa.Array) -> pa.Array:
    """doc_id per record from the user's own unique id, FixedSizeBinary(16)[rows]."""
    from winnow.core.words.hashing import text_hash

    prefix = pa.array([""], pa.large_string()).take(pa.array(np.zeros(len(value), dtype=np.int64)))
    return text_hash(_joined(f"id\0{source}", prefix, value))


def kept_ids(source: str, value: pa.Array) -> pa.Array:
    """doc_id per record that has one of winnow's: its 32 hex digits as 16 bytes; other values as `field_ids` does."""
    raw = pl.Series(value).str.decode("hex", strict=False)
    own = raw.is_not_null() & (raw.bin.size() == 16)
    if own.all():
        return as_fixed(raw)
    others = pl.Series(field_ids(source, value).cast(pa.large_binary()), dtype=pl.Binary)
    return as_fixed(raw.zip_with(own, others))


def content_ids(hashes: Lanes, ordinal: npt.NDArray[np.uint64], source: str = "") -> pa.Array:
    """doc_id per record from its text's hash, its ordinal among equal texts and `source`, FixedSizeBinary(16)[rows]."""
    from winnow.core.words.hashing import as_lanes, from_lanes, text_hash

    lanes = hashes ^ as_lanes(text_hash(pa.array([source], pa.large_string()))) if source else hashes.copy()
    golden = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)
    for lane in (0, 1):
        x = lanes[:, lane] + golden[lane] * (ordinal + np.uint64(1))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        lanes[:, lane] = x ^ (x >> np.uint64(31))
    return from_lanes(lanes)


def ordinals(hashes: Lanes) -> npt.NDArray[np.uint64]:
    """0 for the first row with a hash, 1 for the next one with the same hash, ..., u64[rows]; O(n log n)."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ranked = hashes[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    out = np.empty(len(order), dtype=np.uint64)
    out[order] = (np.arange(len(order)) - start).astype(np.uint64)
    return out


def byte_order(lanes: Lanes) -> npt.NDArray[np.int64]:
    """Row numbers in ascending doc_id order (as bytes), i64[rows]; stable."""
    big = lanes.byteswap()
    return np.lexsort((big[:, 1], big[:, 0]))


def id_hex(doc_id: bytes) -> str:
    """32 hex digits."""
    return doc_id.hex()


def as_fixed(column: pl.Series | pa.Array | pa.ChunkedArray) -> pa.Array:
    """FixedSizeBinary(16) from whatever form a doc_id column has."""
    if isinstance(column, pl.Series):
        column = column.to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column if column.type == DOC_ID else column.cast(DOC_ID)


def digest_bytes(*parts: bytes) -> str:
    """xxh3-128 of the parts, 32 hex digits."""
    import xxhash

    state = xxhash.xxh3_128()
    for part in parts:
        state.update(part)
    return state.hexdigest()


def _joined(source: str, rel: pa.Array, locator: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    head = pa.scalar(source, pa.large_string())
    return pc.binary_join_element_wise(
        head, rel.cast(pa.large_string()), locator.cast(pa.large_string()), pa.scalar("\0", pa.large_string())
    )
