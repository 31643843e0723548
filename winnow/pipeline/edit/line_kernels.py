"""What editors of lines share: what stays of a text becomes the spans that do not. Compiled.

`out` is (starts, stops, by, used): spans in document order, the number of the text that takes their place, and how many
there are in all, i64[1].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.quick_start import quick_numba
from winnow.core.words.hashing_kernels import byte_at
from winnow.pipeline.measure.signals_kernels_bytes import decode, decode_last
from winnow.pipeline.measure.signals_kernels_unicode import SPACE

quick_numba()

NOTHING, NEWLINE = 0, 1
TEXTS = ("", "\n")
LINE_FEED = np.uint8(0x0A)


@njit(cache=True, nogil=True, _nrt=False)
def trim_left(data: Any, start: Any, stop: Any, flags: Any) -> Any:
    """Where the first character of data[start:stop] stands that is no white space; `stop` where there is none."""
    while start < stop:
        if 0x20 < byte_at(data, start) < 0x7F:
            break
        point, size = decode(data, start, stop)
        if flags[point] & SPACE == 0:
            break
        start += size
    return start


@njit(cache=True, nogil=True, _nrt=False)
def trim_right(data: Any, start: Any, stop: Any, flags: Any) -> Any:
    """The end of data[start:stop] without white space at its end."""
    while stop > start and not 0x20 < byte_at(data, stop - 1) < 0x7F and flags[decode_last(data, start, stop)] & SPACE:
        stop -= 1
        while stop > start and data[stop] & 0xC0 == 0x80:
            stop -= 1
    return stop


@njit(cache=True, nogil=True, _nrt=False)
def keep(start: Any, stop: Any, by: Any, end: Any, out: Any) -> Any:
    """Note that data[start:stop] stays and `by` takes the place of what stands since `end`; returns the new end."""
    starts, stops, texts, used = out
    one = used[0]
    starts[one], stops[one], texts[one] = end, start, by
    used[0] = one + 1
    return stop


@njit(cache=True, nogil=True, _nrt=False)
def close(size: Any, first: Any, end: Any, out: Any) -> None:
    """End a document of `size` bytes whose spans begin at `first`, and whose last kept byte is before `end`."""
    starts, stops, texts, used = out
    if end < size or used[0] == first:
        one = used[0]
        starts[one], stops[one], texts[one] = end, size, NOTHING
        used[0] = one + 1
