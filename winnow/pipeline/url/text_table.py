"""A set of short texts that kernels look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.words.text import utf8_buffers

Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Texts and where a kernel finds them: the arguments `slots`, `hashes`, `starts` and `texts` of `find_text`."""

    slots: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]
    starts: Longs
    texts: Bytes

    @property
    def arrays(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64], Longs, Bytes]:
        """In the order of a kernel's arguments."""
        return self.slots, self.hashes, self.starts, self.texts


def text_table(texts: Sequence[str] | pa.Array, *, backwards: bool) -> tuple[TextTable, Longs]:
    """(table, of every text the number of the first equal one i64[texts]). `backwards`: hashes grow from the end.

    Cost: O(bytes) time; 24 bytes of memory per text, and the texts.
    """
    from winnow.pipeline.url import text_table_kernels as kernels

    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    offsets, data = utf8_buffers(array)
    starts = np.array(offsets - offsets[0], dtype=np.int64)
    held = np.array(data[offsets[0] : offsets[-1]], dtype=np.uint8)
    size = 1 << max(3, (2 * len(array)).bit_length())
    slots, hashes = np.full(size if len(array) else 0, -1, dtype=np.int32), np.zeros(size, dtype=np.uint64)
    first = kernels.fill_table(starts, held, backwards, slots, hashes)
    return TextTable(slots=slots, hashes=hashes, starts=starts, texts=held), first
