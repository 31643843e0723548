"""RefinedWeb's corrections of lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Schema
from winnow.core.operators.edit import Edit, Edited
from winnow.core.words.splice import removed
from winnow.core.words.text import utf8_buffers, valid_mask

COUNTS = {  # column -> number of the kernel's counter
    "refinedweb_lines_kept": 0,
    "refinedweb_uppercase_lines": 1,
    "refinedweb_numeric_lines": 2,
    "refinedweb_counter_lines": 3,
    "refinedweb_short_lines": 4,
    "refinedweb_cut_lines": 5,  # of at most ten words, with one of the phrases
}


@dataclass(frozen=True, kw_only=True)
class RefinedWebLines(Edit):
    """The text without lines of a page's furniture; `refinedweb_removed_share`, of its words, in [0, 1].

    A line goes where more than `uppercase` of its characters are capitals, where it is nothing but digits, a counter
    (`3 likes`, `1.2K views`), or has fewer than `min_words` words: the first that fits counts. Of a line of at most ten
    words `Sign-in` goes at its start, `Read more...` at its end and `items in cart` anywhere. Lines lie between line
    feeds; empty ones stay. RefinedWeb and DCLM then drop documents that lost more than 5 % of their words: a clause,
    `refinedweb_removed_share <= 0.05`.

    Raises: ConfigError for an `uppercase` outside [0, 1], or a negative number of words.
    Cost: linear in bytes.
    Source: Penedo et al. 2023 (RefinedWeb) appendix G.2; counters as in DCLM (Li et al. 2024)
    """

    name: ClassVar[str] = "refinedweb_lines"

    uppercase: float = 0.5  # 1: no line goes for its capitals
    numeric: bool = True
    counters: bool = True
    min_words: int = 2  # 0: none goes for its length
    phrases: bool = True

    def validate(self) -> None:
        """Raise ConfigError for what is no share, or a negative number."""
        if not 0 <= self.uppercase <= 1:
            raise ConfigError(f"uppercase is {self.uppercase:g}, not a share", where="uppercase", hint="0 to 1")
        if self.min_words < 0:
            raise ConfigError(f"min_words is {self.min_words}", where="min_words", hint="0 or more")

    def measures(self) -> Schema:
        """A count per rule, i32, and the share of words that went."""
        return {**dict.fromkeys(COUNTS, pa.int32()), "refinedweb_removed_share": pa.float64()}

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Load the kernel and its tables; the first time on a machine it is compiled (seconds)."""
        from winnow.pipeline.edit import refinedweb_lines_kernels as kernels
        from winnow.pipeline.measure.signals_kernels_unicode import flags

        tables = (flags(), kernels.joined(kernels.COUNTED), kernels.joined(kernels.PHRASES))
        chosen = (self.numeric, self.counters, self.min_words, self.phrases)
        options = (float(self.uppercase), *(np.int64(value) for value in chosen))

        def edit(batch: pa.RecordBatch) -> Edited:
            text = batch.column("text")
            offsets, data = utf8_buffers(text)
            texts = (np.ascontiguousarray(offsets), data, valid_mask(text))
            most = len(text) + int(np.count_nonzero(data[offsets[0] : offsets[-1]] == 0x0A))
            out = (np.zeros(most, dtype=np.int64), np.zeros(most, dtype=np.int64), np.zeros(1, dtype=np.int64))
            rows = np.zeros(len(text) + 1, dtype=np.int64)
            counts = np.zeros((len(text), kernels.NUM_COUNTERS), dtype=np.int64)
            kernels.spans_of(texts, options, tables, rows, out, counts)
            spans = removed(rows, out[0][: out[2][0]], out[1][: out[2][0]])
            null = ~texts[2]
            columns = {name: pa.array(counts[:, at].astype(np.int32), mask=null) for name, at in COUNTS.items()}
            share = counts[:, kernels.WORDS_GONE] / np.maximum(counts[:, kernels.WORDS], 1)
            return Edited(spans=spans, columns={**columns, "refinedweb_removed_share": pa.array(share, mask=null)})

        return edit
