"""Normal forms in which texts are compared whole, and the hash of a column's values."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.words.hashing import text_hash
from winnow.core.words.text import normal_form, utf8_buffers, valid_mask

Form = Literal["bytes", "nfc", "fold", "no_space", "words", "c_code", "script_code"]


def in_form(text: pa.Array, form: Form) -> pa.Array:
    """Every text in a normal form, large_string; as it was where the form leaves nothing of it, null for null.

    Cost: one or two passes over the bytes.
    """
    text = text.cast(pa.large_string())
    if form == "bytes":
        return text
    made = _code(text, form) if form in ("c_code", "script_code") else _written(text, form)
    gone = pc.equal(pc.binary_length(made), 0)
    return pc.if_else(gone, text, made) if pc.any(gone).as_py() else made


def hashed(values: pl.Series, form: Form = "bytes") -> pl.Series:
    """16 bytes of every value of a column: of the text in its form, the bytes, or the value as text; null for null."""
    array = values.to_arrow()
    if values.dtype == pl.String:
        array = in_form(array, form)
    elif values.dtype != pl.Binary:
        array = values.cast(pl.String).to_arrow()
    hashes = pl.Series(values.name, text_hash(array.cast(pa.large_binary())).cast(pa.large_binary()))
    return hashes.zip_with(values.is_not_null(), pl.Series([None], dtype=pl.Binary)) if values.null_count() else hashes


def _written(text: pa.Array, form: Form) -> pa.Array:
    words = form in ("fold", "words")
    series = pl.Series(normal_form(text) if words else text, dtype=pl.String)
    if words:
        series = series.str.to_lowercase()
    if form == "nfc":
        series = series.str.normalize("NFC")
    elif form == "no_space":
        series = series.str.replace_all(r"\s+", "")
    elif form == "words":
        series = series.str.replace_all(r"[\W_]+", " ").str.strip_chars(" ")
    return series.to_arrow().cast(pa.large_string())


def _code(text: pa.Array, form: Form) -> pa.Array:
    from winnow.pipeline.dedup import code_form_kernels as kernels

    offsets, data = utf8_buffers(text.fill_null("") if text.null_count else text)
    offsets = np.require(offsets, dtype=np.int64, requirements=["C", "A"])
    ends = np.zeros(len(text) + 1, dtype=np.int64)
    out = np.empty(int(offsets[-1] - offsets[0]), dtype=np.uint8)
    kernels.code_rows(offsets, data, kernels.C_STYLE if form == "c_code" else kernels.HASH_STYLE, ends, out)
    bitmap = pa.py_buffer(np.packbits(valid_mask(text), bitorder="little")) if text.null_count else None
    buffers = [bitmap, pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]])]
    return pa.Array.from_buffers(pa.large_string(), len(text), buffers)
