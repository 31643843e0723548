"""How often editors look at a byte of texts that hurt regular expressions, as JSON: {editor: {piece: [short, long]}}.

Started with NUMBA_DISABLE_JIT=1, so that the kernels are plain Python over a buffer that counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.core.operators import Context
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.edit import (
    boilerplate_lines,
    c4_lines,
    c4_lines_kernels,
    c4_look_kernels,
    citation_marks,
    drop_urls,
    line_kernels,
    mask_pii,
    refinedweb_lines,
)
from winnow.pipeline.measure import signals_kernels_bytes

SHORT, LONG = 400, 1200
BOMBS = ("a", "a@", "a@a.", "@", "1", "1 ", "1.", "+1", "(2", "f:", "::", "GB82", "A1", "a-", "212-555-", "4111 ",
         "[1", "[", " ", "\n", "{", "cookie ", "k", "read more...", "1 likes ", "http://", "www.", "http://a(", "http://a).", "[1, ", "[note ", "[who?", "accept cookies\n", " \n")  # fmt: skip
EDITORS = {
    "mask_pii": (
        mask_pii,
        mask_pii.MaskPii(ids=("us_ssn", "es_dni", "in_aadhaar"), private_ips=True, bare_phones=True),
    ),
    "c4_lines": (c4_lines, c4_lines.C4Lines(end_marks=False, longest_word=100)),
    "boilerplate_lines": (boilerplate_lines, boilerplate_lines.BoilerplateLines(by="paragraphs", longest=0)),
    "citation_marks": (citation_marks, citation_marks.CitationMarks()),
    "drop_urls": (drop_urls, drop_urls.DropUrls(what="all")),
    "refinedweb_lines": (refinedweb_lines, refinedweb_lines.RefinedWebLines()),
}


class Counted:
    """Bytes that count how often they are read."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.size, self.looks = data, data.size, 0

    def __getitem__(self, at: Any) -> Any:
        self.looks += 1
        return self.data[at]


def byte_at(data: Any, at: int) -> Any:
    """What the compiled one does."""
    assert at >= 0
    return data[at]


def put_byte(data: Any, at: int, byte: Any) -> None:
    """What the compiled one does."""
    assert at >= 0
    data[at] = byte


def load64(data: Any, at: int) -> Any:
    """What the compiled one does: eight looks."""
    assert 0 <= at <= data.size - 8
    return np.uint64(int.from_bytes(bytes(int(data[at + k]) for k in range(8)), "little"))


def trailing_zeros(word: Any) -> Any:
    """What the compiled one does."""
    return np.uint64((int(word) & -int(word)).bit_length() - 1)


def looks(module: Any, operator: Any, text: str) -> int:
    """Reads of the bytes of one text."""
    seen = []

    def counted(array: pa.Array) -> Any:
        offsets, data = utf8_buffers(array)
        seen.append(Counted(data))
        return offsets, seen[-1]

    module.utf8_buffers = counted
    edit = operator.editing(Context(seed=0, work=Path()))
    column = pa.array([text], pa.large_string())
    edit(pa.record_batch({"text": column, "text_bytes": pa.array([len(text)])}))
    return sum(one.looks for one in seen)


def main() -> None:
    """Print the table; what is an instruction of the machine in kernels is Python here."""
    np.seterr(over="ignore")
    for kernels in (c4_lines_kernels, c4_look_kernels, line_kernels, signals_kernels_bytes):
        for stand_in in (byte_at, put_byte, load64, trailing_zeros):
            if hasattr(kernels, stand_in.__name__):
                setattr(kernels, stand_in.__name__, stand_in)
    out = {
        name: {piece: [looks(*pair, piece * (size // len(piece))) for size in (SHORT, LONG)] for piece in BOMBS}
        for name, pair in EDITORS.items()
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
