"""Arrow string buffers as numpy arrays, without a copy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def utf8_buffers(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """(offsets i64[rows + 1], bytes u8[...]) of a large_string or large_binary array; zero-copy.

    Offsets are absolute into the bytes (a sliced array starts above 0). The bytes array ends exactly where the
    buffer ends: kernels must never read past it.
    """
    if pa.types.is_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if pa.types.is_binary(array.type) or pa.types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    if offsets is None or len(array) == 0:
        return np.zeros(len(array) + 1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    starts = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    raw = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    return starts, raw


def normal_form(text: pa.Array) -> pa.Array:
    """The form in which words are compared (`normal_form_kernels`), large_string; A-Z stay: words fold them as they go.

    Cost: one pass over the bytes.
    """
    from winnow.core.words import normal_form_kernels as kernels

    offsets, data = utf8_buffers(text.fill_null("") if text.null_count else text)
    starts, out = kernels.normal_rows(np.require(offsets, dtype=np.int64, requirements=["C", "A"]), data)
    bitmap = pa.py_buffer(np.packbits(valid_mask(text), bitorder="little")) if text.null_count else None
    return pa.Array.from_buffers(pa.large_string(), len(text), [bitmap, pa.py_buffer(starts), pa.py_buffer(out)])


def valid_mask(array: pa.Array) -> npt.NDArray[np.bool_]:
    """True where the array holds a value, bool[rows]."""
    if array.null_count == 0:
        return np.ones(len(array), dtype=np.bool_)
    return np.asarray(array.is_valid())
