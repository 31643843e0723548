"""Texts to sorted sets of hashed word n-grams and MinHash signatures, in arrays that a kernel fills."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.text import utf8_buffers

Sketched = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]


def sketched(text: pa.Array, ngram: int, num_hashes: int) -> Sketched:
    """(offsets i64[rows + 1], ascending distinct shingles u32[...], signatures u32[rows, num_hashes]).

    Shingles as in `core.hashing.ngram_hashes`; a row without a word, or null, has none and a signature of zeros.
    Cost: one pass over the bytes; memory of the answer and of the longest text's words. The arrays come from numpy,
    which asks for huge pages: to touch new memory page by page took longer than to fill it.
    """
    from winnow.pipeline.dedup import kernels

    filled = text.fill_null("") if text.null_count else text
    texts, data = utf8_buffers(filled)
    rows = len(text)
    offsets = np.empty(rows + 1, dtype=np.int64)
    shingles = np.empty(int(texts[-1] - texts[0]) // 2 + rows, dtype=np.uint32)
    slots = np.empty((rows, num_hashes), dtype=np.uint32)
    aligned = np.require(texts, dtype=np.int64, requirements=["C", "A"])
    count = kernels.sketch(aligned, data, ngram, offsets, shingles, slots)
    return offsets, shingles[:count], slots
