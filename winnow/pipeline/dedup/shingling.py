"""Texts to sorted sets of hashed word n-grams and MinHash signatures, in arrays that a kernel fills."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.store.reuse import used_again
from winnow.core.words.text import utf8_buffers

WORD = 4  # bytes of a shingle
Sketched = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]


def sketched(text: pa.Array, ngram: int, num_hashes: int) -> Sketched:
    """(offsets i64[rows + 1], ascending distinct shingles u32[...], signatures u32[rows, num_hashes]).

    Shingles as in `core.words.hashing.ngram_hashes`; a row without a word, or null, has none and a signature of zeros.
    Cost: one pass over the bytes; memory of the answer and of the longest text's words. The shingles lie in
    memory that is used again: to touch new memory took longer than to fill it.
    """
    from winnow.pipeline.dedup import minhash_kernels

    filled = text.fill_null("") if text.null_count else text
    texts, data = utf8_buffers(filled)
    rows = len(text)
    offsets = np.empty(rows + 1, dtype=np.int64)
    most, count = int(texts[-1] - texts[0]) // 2 + rows, -1
    slots = np.empty((rows, num_hashes), dtype=np.uint32)
    aligned = np.require(texts, dtype=np.int64, requirements=["C", "A"])
    while count < 0:  # again for texts of ligatures and the like, which are longer in the form that is compared
        shingles = used_again(WORD * most)[: WORD * most].view(np.uint32)
        count = minhash_kernels.sketch(aligned, data, ngram, offsets, shingles, slots)
        most *= 4
    return offsets, shingles[:count], slots
