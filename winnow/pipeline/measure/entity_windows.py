"""Spans of a long text from a recogniser of short ones: windows that overlap, and one list of spans behind them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import RowError

I64 = npt.NDArray[np.int64]
_SPACE = re.compile(r"\s")
_A = TypeVar("_A")


@dataclass(frozen=True, kw_only=True)
class Span:
    """Characters [start, stop) of a text."""

    start: int
    stop: int
    score: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Window:
    """Characters [low, high) are read; spans that start in [first, behind) count, and those that are cut off at low."""

    low: int
    first: int
    behind: int
    high: int


class Recogniser(Protocol):
    """A loaded model of entities."""

    def labels(self) -> frozenset[str]:
        """The labels that it can answer."""

    def windows(self, text: str) -> list[Window]:
        """How a text is cut for it."""

    def spans(self, text: str) -> list[Span]:
        """The spans of a text that is short enough for it, in any order."""


def windows_of_characters(text: str, *, most: int, margin: int) -> list[Window]:
    """Windows of at most `most` characters, up to twice `margin` on either side for context, cut at white space.

    A piece of more than `margin` characters without white space is cut where it is.
    """
    if len(text) <= most:
        return [Window(low=0, first=0, behind=len(text), high=len(text))]
    cuts = [0]
    while len(text) - cuts[-1] > most - 2 * margin:
        cuts.append(_cut(text, cuts[-1] + most - 3 * margin, margin))
    cuts.append(len(text))
    return [
        Window(
            low=_cut(text, first - margin, margin) if first > margin else 0,
            first=first,
            behind=behind,
            high=len(text) if behind + margin >= len(text) else _cut(text, behind + margin, margin),
        )
        for first, behind in itertools.pairwise(cuts)
    ]


def windows_of_words(size: int, starts: Sequence[int], *, most: int, margin: int) -> list[Window]:
    """Windows of at most `most` words of a text of `size` characters, `margin` of them context on either side.

    `starts`: the first character of every word.
    """
    if not starts:
        return []
    ends = [*starts[1:], size]  # of a word with what stands behind it
    core = most - 2 * margin if len(starts) > most else most
    return [
        Window(
            low=starts[max(at - margin, 0)],
            first=starts[at] if at else 0,
            behind=ends[min(at + core, len(starts)) - 1],
            high=ends[min(at + core + margin, len(starts)) - 1],
        )
        for at in range(0, len(starts), core)
    ]


def recognised(recogniser: Recogniser, text: str) -> list[Span]:
    """The spans of a text, in order of (start, stop, label); those of one label that meet at a seam are one.

    Raises: RowError where the recogniser fails on this text, or answers characters that it does not have.
    """
    found: list[tuple[int, Span]] = []
    for number, window in enumerate(_guarded(recogniser.windows, text)):
        piece = text[window.low : window.high]
        for span in _guarded(recogniser.spans, piece):
            if not (0 <= span.start < span.stop <= len(piece)) or not np.isfinite(span.score):
                raise RowError(f"the model's answer is no span of the text: {span}", hint="its files may be broken")
            start, stop = span.start + window.low, span.stop + window.low
            cut_off = start == window.low > 0 and stop > window.first  # the window before has its beginning
            if cut_off or window.first <= start < window.behind:
                found.append((number, replace(span, start=start, stop=stop)))
    return sorted(_joined(found), key=lambda span: (span.start, span.stop, span.label, -span.score))


def byte_offsets(data: npt.NDArray[np.uint8], characters: I64) -> I64:
    """Offsets in bytes of offsets in characters, i64[n], of a text that is given as its UTF-8 bytes.

    Cost: one pass over the bytes, and 8 bytes of memory per character.
    """
    starts = np.flatnonzero((data & 0xC0) != 0x80)
    return np.append(starts, len(data))[characters] if len(starts) < len(data) else characters


def _guarded(ask: Callable[[str], Sequence[_A]], text: str) -> Iterator[_A]:
    """What a library answers; its errors are of this text: they put a document aside, and do not stop a run."""
    try:
        yield from ask(text)
    except (MemoryError, RowError):
        raise
    except Exception as error:
        raise RowError(f"the model failed on this text: {type(error).__name__}: {str(error)[:300]}") from error


def _joined(found: Sequence[tuple[int, Span]]) -> Iterator[Span]:
    """The spans, those of one label united that overlap and are of different windows."""
    last: dict[str, tuple[int, Span]] = {}
    for number, span in sorted(found, key=lambda f: (f[1].start, f[1].stop)):
        before = last.get(span.label)
        if before is not None and before[0] != number and span.start < before[1].stop:
            one = before[1]
            span = replace(one, stop=max(one.stop, span.stop), score=max(one.score, span.score))
        elif before is not None:
            yield before[1]
        last[span.label] = (number, span)
    yield from (span for _, span in last.values())


def _cut(text: str, at: int, back: int) -> int:
    """The place behind the last white space in the `back` characters before `at`; `at` where there is none."""
    best = at
    for match in _SPACE.finditer(text, at - back, at):
        best = match.end()
    return best
