"""Retext: a Map that gives documents another text, beside the old one.

Three kinds: an editor (`edit`) answers with the changes of the text that it read, an extractor takes the text out of a
page and answers with all of it (`whole`), and one more chooses among the texts of other stages (`chooses_from`). Either
way the hash and the bytes go with the text, documents keep their ids and their rows, also where nothing is left, and on
disk the text is null in rows that the stage was not asked about: whoever reads them gets the text below it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.operators.contract import Schema
from winnow.core.operators.shapes import MapArrow
from winnow.core.terminal import percent

TEXTS: dict[str, pa.DataType] = {  # of what every row has, what such a stage gives anew
    "text": pa.large_string(),
    "text_hash": pa.binary(16),
    "text_bytes": pa.int64(),
}
TEXT_OF = ".text"  # after a reference port's name: the stages whose text counts of what the port names
EMPTIED = "emptied"  # what receipts count: documents of which nothing is left


@dataclass(frozen=True, kw_only=True)
class Retext(MapArrow):
    """Rows in, the same rows out with another text, and columns of its own."""

    whole: ClassVar[bool] = False  # True: a new text for every row, which is empty where the stage failed on it
    choice: ClassVar[str] = ""  # the column that says which of the texts it chose from a row has, from 1 on

    def beside(self) -> tuple[str, ...]:
        """Columns that it reads besides the text."""
        return ()

    def chooses_from(self) -> tuple[str, ...]:
        """Columns of other stages' texts of which it takes one; () where it makes its own."""
        return ()

    def measures(self) -> Schema:
        """Columns that it adds besides the text."""
        return {}

    def needs(self) -> tuple[str, ...]:
        """The text with its hash and bytes, and what else the stage reads."""
        return (*TEXTS, *(name for name in self.beside() if name not in TEXTS))

    def outputs(self) -> Schema:
        """The new text with its hash and bytes, and the stage's own columns."""
        return {**TEXTS, **self.measures()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, object]) -> tuple[str, ...]:
        """That documents are empty now."""
        asked, empty = asked_of(counts), counts.get(EMPTIED, 0)
        if not empty:
            return ()
        of = f"{empty:,} of {asked:,} documents ({percent(empty / asked)})" if asked else f"{empty:,} documents"
        drop = '`keep: {text_left: "text_bytes > 0"}`'
        return (f"left {of} empty, and they stay rows: a clause drops them, {drop}",)


def asked_of(counts: Mapping[str, int]) -> int:
    """The rows that a stage was asked about."""
    return counts.get("rows", 0) - counts.get("masked", 0)


def whole_texts(text: pa.Array) -> dict[str, pa.Array]:
    """`TEXTS` of texts that are stored whole; an empty one where there is none."""
    from winnow.core.words.hashing import text_hash

    text = text.cast(TEXTS["text"]).fill_null("")
    size = np.diff(np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1])
    return {"text": text, "text_hash": text_hash(text), "text_bytes": pa.array(size, pa.int64())}
