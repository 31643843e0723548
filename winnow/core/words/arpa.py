"""ARPA files of n-gram models, plain or compressed (.gz, .zst): read into a table that scores."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import IO, cast

import numpy as np

from winnow.core.errors import DataError
from winnow.core.words.backoff_model import MAX_ORDER, BackoffModel, Keys, Singles, TextForm, model_of

PIECE = 1 << 24  # bytes read at a time
LONGEST_LINE = 1 << 20
_COUNT = re.compile(rb"ngram\s+(\d+)\s*=\s*(\d+)")
_HEAD = re.compile(rb"\\(\d+)-grams:")


def read_arpa(path: Path, form: TextForm) -> BackoffModel:
    """The model that an ARPA file lists.

    Cost: 24 bytes per n-gram, and 32 of the table, in memory.
    Raises: DataError where the file is cut off, lists other numbers of n-grams than it says, or no n-grams at all.
    """
    with _opened(path) as file:
        return _Reader(file, path).model(form)


def is_arpa(path: Path) -> bool:
    """Whether a file begins as an ARPA file does, compressed or not. Raises: DataError where it cannot be read."""
    try:
        with _opened(path) as file:
            return file.read(64).lstrip().startswith(b"\\data\\")
    except (OSError, EOFError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", where=str(path)) from error


class _Reader:
    """One file: its text so far, and where in it reading is."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._data, self._at, self._lines = b"", 0, 0

    def model(self, form: TextForm) -> BackoffModel:
        counts = self._counts()
        orders = [self._section(order, number) for order, number in enumerate(counts, start=1)]
        line = self._line()
        if line.strip() != b"\\end\\":
            raise self._wrong(f"{line[:40]!r} stands where \\end\\ should")
        keys, endings, probs, backoffs = (np.concatenate(columns) for columns in zip(*orders, strict=True))
        return model_of(
            keys, probs, backoffs, order=len(counts), form=form, about={"source": "arpa", "ngrams": counts},
            endings=endings[counts[0] :],
        )  # fmt: skip

    def _counts(self) -> list[int]:
        """Numbers of n-grams of order 1, 2, ...; reading is behind them."""
        if self._line().strip() != b"\\data\\":
            raise self._wrong("the file does not begin with \\data\\")
        counts: list[int] = []
        while found := _COUNT.match(line := self._line(blank=bool(counts)).strip()):
            if int(found[1]) != len(counts) + 1:
                raise self._wrong(f"{line!r} where n-grams of order {len(counts) + 1} should be counted")
            counts.append(int(found[2]))
        if line or not 1 <= len(counts) <= MAX_ORDER:
            raise self._wrong(f"the head counts n-grams of {len(counts)} orders", hint=f"orders are 1 to {MAX_ORDER}")
        return counts

    def _section(self, order: int, number: int) -> tuple[Keys, Keys, Singles, Singles]:
        """(keys, endings, log10 probabilities, log10 back-off weights) of the n-grams of one order."""
        from winnow.core.words import arpa_kernels as kernels

        head = _HEAD.match(line := self._line().strip())
        if head is None or int(head[1]) != order:
            raise self._wrong(f"{line[:40]!r} where \\{order}-grams: should stand")
        keys, endings = np.zeros(number, dtype=np.uint64), np.zeros(number, dtype=np.uint64)
        probs, backoffs, filled = np.zeros(number, dtype=np.float32), np.zeros(number, dtype=np.float32), 0
        while filled < number:
            data = np.frombuffer(self._data, dtype=np.uint8)
            at, now = kernels.read_ngrams(data, self._at, order, keys, endings, probs, backoffs, filled)
            if at < 0:
                raise self._wrong(f"{self._data[-1 - at :][:60].splitlines()[0]!r} is no {order}-gram")
            self._lines += now - filled
            self._at, filled = at, now
            if filled < number and not self._whole_line():
                self._more(f"{filled:,} of {number:,} {order}-grams")
            elif filled < number:
                raise self._wrong(f"{filled:,} {order}-grams are listed, the head says {number:,}")
        return keys, endings, probs, backoffs

    def _line(self, *, blank: bool = False) -> bytes:
        """The next line; the next that is not empty unless `blank`."""
        while True:
            while not self._whole_line():
                self._more("its head", ends=True)
            end = self._data.index(b"\n", self._at) + 1
            line, self._at, self._lines = self._data[self._at : end], end, self._lines + 1
            if blank or line.strip():
                return line

    def _whole_line(self) -> bool:
        return self._data.find(b"\n", self._at) >= 0

    def _more(self, what: str, *, ends: bool = False) -> None:
        """Read on. Raises: DataError at the end of the file."""
        left = self._data[self._at :]
        try:
            piece = self._file.read(PIECE) if len(left) < LONGEST_LINE else b""
        except (OSError, EOFError) as error:
            raise self._wrong(f"it cannot be read: {error}") from error
        if not piece and ends and left:
            piece = b"\n"  # a last line without an end
        if not piece:
            raise self._wrong(f"it ends within {what}", hint="is the file whole?")
        self._data, self._at = left + piece, 0

    def _wrong(self, what: str, *, hint: str = "give an ARPA file, as lmplz writes it") -> DataError:
        return DataError(f"{self._path.name} is no whole ARPA file: {what}", where=f"line {self._lines + 1}", hint=hint)


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if magic == b"\x28\xb5\x2f\xfd":
        import zstandard

        return cast("IO[bytes]", zstandard.open(path, "rb"))
    return path.open("rb")
