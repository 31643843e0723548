"""C4's rules for lines."""

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

COUNTS = {  # column -> number of the kernel's counter
    "c4_lines_kept": 0,
    "c4_long_word_lines": 1,  # dropped: a word of more than `longest_word` characters
    "c4_no_end_lines": 2,  # dropped: does not end with . ? ! " or ', or ends with ...
    "c4_short_lines": 3,  # dropped: fewer than `min_words` words
    "c4_javascript_lines": 4,  # dropped: holds "javascript"
    "c4_policy_lines": 5,  # dropped: holds one of the six phrases about terms, privacy and cookies
    "c4_citations": 6,  # marks taken out: [3], [], [edit], [citation needed]
    "c4_lorem_ipsum_lines": 7,  # hold "lorem ipsum"
    "c4_curly_lines": 8,  # hold an opening brace
}


@dataclass(frozen=True, kw_only=True)
class C4Lines(Edit):
    """The text without the lines that C4 drops; `c4_dropped_share`, of its bytes, in [0, 1], and a count per rule.

    Rules go in datatrove's order, the first that fits counts: a word too long, no mark at the end, too few words,
    "javascript", a phrase about policies. Citation marks go from lines that stay. Lines that stay are trimmed and
    joined by one line feed, so empty lines go too. C4 drops whole documents for "lorem ipsum", for a brace, and below
    five sentences; here these are clauses: `c4_lorem_ipsum_lines = 0`, `c4_curly_lines = 0`, and of `signals` below
    `sentence_count >= 5`. Lines are those of `str.splitlines`, words those between white space, phrases are found in
    any case of ASCII letters. FineWeb leaves `end_marks` out.

    Raises: ConfigError for a negative number.
    Cost: linear in bytes.
    Source: Raffel et al. 2020 (C4) 2.2; rules, order and phrases of datatrove 0.10.1, `C4QualityFilter`
    """

    name: ClassVar[str] = "c4_lines"

    end_marks: bool = True
    min_words: int = 3
    longest_word: int = 1000  # characters; 0: any
    javascript: bool = True
    policy: bool = True
    citations: bool = True

    def validate(self) -> None:
        """Raise ConfigError for a negative number."""
        for field in ("min_words", "longest_word"):
            if getattr(self, field) < 0:
                raise ConfigError(f"{field} is {getattr(self, field)}", where=field, hint="0 or more")

    def measures(self) -> Schema:
        """A count per rule, i32, and the share of bytes that went."""
        return {**dict.fromkeys(COUNTS, pa.int32()), "c4_dropped_share": pa.float64()}

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Load the kernel and its tables; the first time on a machine it is compiled (seconds)."""
        from winnow.pipeline.edit import c4_lines_kernels as kernels
        from winnow.pipeline.edit.c4_look_kernels import tables
        from winnow.pipeline.edit.line_kernels import NEWLINE, TEXTS
        from winnow.pipeline.measure.signals_kernels_unicode import flags

        found, space = tables(), flags()
        chosen = (self.end_marks, self.min_words, self.longest_word, self.javascript, self.policy, self.citations)
        options = tuple(np.int64(value) for value in chosen)

        def edit(batch: pa.RecordBatch) -> Edited:
            text = batch.column("text")
            offsets, data = utf8_buffers(text)
            texts = (np.ascontiguousarray(offsets), data, valid_mask(text))
            most, longest = kernels.most_spans(texts)
            made = room(len(text), most, kernels.NUM_COUNTERS)
            scratch = np.zeros(longest, dtype=np.uint8)
            written = scratch.view()
            written.flags.writeable = False
            kernels.spans_of(texts, options, found, space, (scratch, written), made.rows, made.out, made.counts)
            spans = made.spans(TEXTS)
            lost = spans.stops - spans.starts - (made.out[2][: len(spans)] == NEWLINE)
            columns = made.columns(COUNTS, text) | {"c4_dropped_share": _share(text, made.rows, lost)}
            return Edited(spans=spans, columns=columns)

        return edit


def _share(text: pa.Array, rows: np.ndarray, lost: np.ndarray) -> pa.Array:
    """Bytes that the spans of each text lose per byte of it; 0 of an empty one."""
    before = np.concatenate([[0], np.cumsum(lost)])
    share = np.diff(before[rows]) / np.maximum(np.diff(utf8_buffers(text)[0]), 1)
    return pa.array(share, mask=~valid_mask(text))
