"""Marks of references, taken out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Schema
from winnow.core.operators.edit import Edit, Edited, room
from winnow.core.words.text import utf8_buffers, valid_mask


@dataclass(frozen=True, kw_only=True)
class CitationMarks(Edit):
    """The text without marks of references and editors in square brackets; `citation_marks` counts them.

    `numbers`: [3], [], [1, 2], [4–7], [note 3], [a1], of numbers up to four digits. `words`: [edit], [citation needed],
    [who?] and others of Wikipedia. One of the blanks around a mark goes with it where it would be left double, in front
    of a full stop or at an end of the line; all other characters stay, so lines stay as they are. In code `[1]` is an
    index: leave files of code out with `where`.

    Raises: ConfigError where neither is looked for.
    Cost: linear in bytes: the look ahead is bounded.
    Source: Raffel et al. 2020 (C4) 2.2, which takes [n], [edit] and [citation needed]; the other marks are own
    """

    name: ClassVar[str] = "citation_marks"

    numbers: bool = True
    words: bool = True

    def validate(self) -> None:
        """Raise ConfigError where nothing is looked for."""
        if not self.numbers and not self.words:
            raise ConfigError("neither numbers nor words are looked for", where="numbers", hint="leave one of them on")

    def measures(self) -> Schema:
        """The number of marks, i32."""
        return {"citation_marks": pa.int32()}

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Load the kernel; the first time on a machine it is compiled (seconds)."""
        from winnow.pipeline.edit import citation_marks_kernels as kernels
        from winnow.pipeline.edit.gap_kernels import count_byte

        found = kernels.tables()

        def edit(batch: pa.RecordBatch) -> Edited:
            text = batch.column("text")
            offsets, data = utf8_buffers(text)
            texts = (np.ascontiguousarray(offsets), data, valid_mask(text))
            most = int(count_byte(texts, np.uint8(kernels.OPEN))) + 1
            made = room(len(text), most, kernels.NUM_COUNTERS)
            kernels.spans_of(texts, self.numbers, self.words, found, made.rows, made.out, made.counts)
            return Edited(spans=made.spans(), columns=made.columns({"citation_marks": kernels.MARKS}, text))

        return edit
