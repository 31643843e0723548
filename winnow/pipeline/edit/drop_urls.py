"""Addresses in texts, and the lines that hold nothing else, taken out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from winnow.core.operators import Context, Schema
from winnow.core.operators.contract import Meaning
from winnow.core.operators.edit import Edit, Edited, room
from winnow.core.operators.effect import ReadAt
from winnow.core.words.text import utf8_buffers, valid_mask

COUNTS = {"urls_in_text": 0, "url_lines_dropped": 1, "urls_dropped": 2}  # column -> the kernel's counter


@dataclass(frozen=True, kw_only=True)
class DropUrls(Edit):
    r"""The text without lines that hold nothing but addresses, or without any address; `urls_dropped` counts.

    An address begins with http://, https://, ftp:// or www. (in any case, no letter before it) and ends before white
    space, a quote, one of <>{}|\^` or a character from U+0800 on; full stops, commas and the like at its end, and
    closing brackets that it did not open, are the sentence's. A line that holds addresses and else only marks, no
    letter or digit, goes with its line end. With `what: all` other addresses go too, with brackets right around them
    and one of the blanks beside them, or `by` takes their place. `urls_in_text` counts the addresses that there were,
    `url_lines_dropped` the lines.

    Cost: linear in bytes.
    Source: own; addresses removed as in DCLM (Li et al. 2024) and NeMo Curator's URL modifier
    """

    name: ClassVar[str] = "drop_urls"
    meaning: ClassVar[Mapping[str, Meaning]] = {"by": "free"}
    read_at: ClassVar[ReadAt] = {"by": ("what", ("all",))}

    what: Literal["lines", "all"] = "lines"
    by: str = ""  # what stands in the place of an address that is taken out of a line

    def measures(self) -> Schema:
        """Counts, i32."""
        return dict.fromkeys(COUNTS, pa.int32())

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Load the kernel; the first time on a machine it is compiled (seconds)."""
        from winnow.pipeline.edit import drop_urls_kernels as kernels
        from winnow.pipeline.measure.signals_kernels_unicode import flags

        taken = np.int64(kernels.REPLACED if self.by else kernels.NOTHING)
        tables = (kernels.beginnings(), flags(), taken)

        def edit(batch: pa.RecordBatch) -> Edited:
            text = batch.column("text")
            offsets, data = utf8_buffers(text)
            texts = (np.ascontiguousarray(offsets), data, valid_mask(text))
            most = kernels.most_spans(texts)
            made = room(len(text), most, kernels.NUM_COUNTERS)
            kernels.spans_of(texts, self.what == "all", tables, made.rows, made.out, made.counts)
            return Edited(spans=made.spans(["", self.by]), columns=made.columns(COUNTS, text))

        return edit
