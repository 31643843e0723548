"""Token ids by gigatoken: byte-level and SentencePiece BPE over Arrow buffers, one thread, bounded memory.

It keeps every word that it has seen, without end: 80 bytes and more each. Its growth is watched, and at a limit it is
made anew from its JSON, which costs tens of milliseconds and no id.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MOST_GROWTH = 128 << 20  # bytes that its memory of words may take before it is made anew

Ids = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]


class Gigatoken:
    """A tokenizer.json in gigatoken. Raises ValueError or a panic of its own where it cannot read it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.renewals = 0
        self._renew()

    def _renew(self) -> None:
        import gigatoken

        self._backend: Any = gigatoken.Tokenizer.from_json(self._source).backend
        self._growth = 0

    def __call__(self, offsets: Ints, data: npt.NDArray[np.uint8]) -> tuple[Ids, Ints]:
        """(ids u32 of all texts, their number per text i64[texts]) of UTF-8 texts between `offsets`.

        Cost: O(bytes), 4 bytes per id; 100 bytes per byte of a run without a break between words.
        """
        before = _resident()
        layout = self._backend.encode_batch(_strings(offsets, data), parallel=False).layout
        ids, counts = np.asarray(layout.content.data), np.diff(np.asarray(layout.offsets.data))
        self._growth += max(0, _resident() - before - ids.nbytes)
        if self._growth > MOST_GROWTH:
            self.renewals += 1
            self._renew()
        return ids, counts


def _strings(offsets: Ints, data: npt.NDArray[np.uint8]) -> Any:
    """The texts as the array of strings that gigatoken reads without a copy."""
    import awkward as ak

    content = ak.contents.NumpyArray(data[offsets[0] : offsets[-1]], parameters={"__array__": "char"})
    places = ak.index.Index64(offsets - offsets[0])
    return ak.Array(ak.contents.ListOffsetArray(places, content, parameters={"__array__": "string"}))


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
