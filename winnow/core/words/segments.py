r"""Texts as segments: sentences, lines or paragraphs, by the bytes where they end.

Segments cut a text into pieces without losing a byte: joined they are the text. White space between two belongs to the
second, as it does to tokens such as ` The`; at the end of a text to the last. No segment is white space alone, unless
the whole text is. An empty text has none.

| by          | a segment ends |
|-------------|----------------|
| `sentences` | behind `.`, `!`, `?`, `…` and the quotes or brackets that close, where white space and no small letter |
|             | follows; at full stops of East Asia whatever follows; before an empty line |
| `lines`     | behind `\n`, `\r\n` or `\r`; empty lines belong to the line that follows |
| `paragraphs`| behind the line end before an empty line |

A full stop ends nothing behind an initial (`J. Smith`, `U.S.`), a title (`Dr.`), `Fig.`, `No.`, a month and their like
before a number, or the number of a list's item. Rules, not a model: the same on any machine, about 100 MB a second on
one core. A change of the rules raises `VERSION`: scores of segments belong to the version that cut them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.words.text import utf8_buffers

By = Literal["sentences", "lines", "paragraphs"]
Ints = npt.NDArray[np.int64]
VERSION = 1  # of the rules
TITLES = (
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "sr", "jr", "vs", "cf", "al", "gen", "col", "sgt", "capt", "lt",
    "rev", "hon", "pres", "gov", "sen", "rep", "maj", "adm", "messrs", "mme", "mlle", "inc", "ltd", "corp", "dept",
    "approx", "viz",
)  # fmt: skip
NUMBERED = (
    "no", "nos", "vol", "vols", "fig", "figs", "eq", "eqs", "pp", "p", "ch", "chap", "sec", "sect", "ref", "refs",
    "tab", "art", "ex", "thm", "lem", "op", "ca", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept",
    "oct", "nov", "dec",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Segments:
    """Segments of texts, text after text: those of text i are `ends[rows[i] : rows[i + 1]]`."""

    rows: Ints  # [texts + 1]
    ends: Ints  # [segments]: bytes from the start of the text; the last one is the text's length

    @property
    def starts(self) -> Ints:
        """Where every segment starts, in bytes from the start of its text, i64[segments]."""
        out = np.zeros(len(self.ends), dtype=np.int64)
        out[1:] = self.ends[:-1]
        out[self.rows[:-1][np.diff(self.rows) > 0]] = 0
        return out

    def lists(self, values: npt.NDArray[Any] | pa.Array, valid: npt.NDArray[np.bool_]) -> pa.Array:
        """A value per segment as a column, large_list[texts]; null where not `valid`."""
        bitmap = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
        items = values if isinstance(values, pa.Array) else pa.array(values)
        kind = pa.large_list(items.type)
        return pa.Array.from_buffers(kind, len(self.rows) - 1, [bitmap, pa.py_buffer(self.rows)], children=[items])


def segments(text: pa.Array, *, by: By) -> Segments:
    """Sentences, lines or paragraphs of every text; a null has none.

    Raises: ConfigError for another kind of segment.
    Cost: one pass over the bytes, 8 bytes of memory per segment.
    """
    from winnow.core.words import segments_kernels as kernels

    if by not in get_args(By):
        raise ConfigError(f"segments by {by!r}", where="by", hint=f"one of {', '.join(get_args(By))}")
    offsets, data = utf8_buffers(text.fill_null("") if text.null_count else text)
    breaks = 1 if by == "lines" else 2
    offsets = np.require(offsets, requirements=["C", "A"])
    if by == "sentences":
        rows, ends = kernels.cut(offsets, data, True, breaks, _packed(TITLES), _packed(NUMBERED))
    else:
        rows, ends = kernels.cut_lines(offsets, data, breaks)
    return Segments(rows=rows, ends=ends)


def segment_texts(text: pa.Array, found: Segments) -> pa.Array:
    """Every segment as a text of its own, large_string[segments], for a scorer of texts."""
    offsets, data = utf8_buffers(text.fill_null("") if text.null_count else text)
    base = np.repeat(offsets[:-1], np.diff(found.rows))
    low = offsets[0] if len(offsets) else 0
    starts = np.append(base + found.starts, offsets[-1]) - low
    starts[-1] = offsets[-1] - low
    return pa.Array.from_buffers(pa.large_string(), len(found.ends),
                                 [None, pa.py_buffer(starts), pa.py_buffer(data[low : offsets[-1]])])  # fmt: skip


def of_tokens(ends: Ints, token_bytes: Ints) -> Ints:
    """Segment of every token of one text, i64[tokens]: the one in which its first byte lies; -1 where there is none.

    `token_bytes` are the bytes that each token spells, in order; what lies behind the last segment (an end mark, which
    spells nothing) belongs to the last.
    """
    if not len(ends):
        return np.full(len(token_bytes), -1, dtype=np.int64)
    starts = np.cumsum(token_bytes) - token_bytes
    return np.minimum(np.searchsorted(ends, starts, side="right"), len(ends) - 1).astype(np.int64)


def _packed(words: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    return np.array([int.from_bytes(word.encode(), "big") for word in words], dtype=np.uint64)
