"""One array of a JSON document as blocks of lines, an element a line; what stands around it is walked past.

Bytes come in pieces and are held until their element ends, so memory is bounded by an element, however large the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import orjson

from winnow.core.errors import DataError, did_you_mean
from winnow.core.operators import FileSlice
from winnow.pipeline.read.byte_stream import ByteStream
from winnow.pipeline.read.charset import utf16_hint

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\]*')
_SCALAR = re.compile(rb"[^][{},:\" \t\r\n]*")
_SPARE = 64  # bytes that the kernel may look at behind the last
_LEAST = 1 << 20  # bytes of the buffer
_AT_ONCE = 4 << 20  # bytes of a piece that are looked at
_MOST_NAMES = 50
_MOST_KEY = 64 << 10  # bytes
_END = -1
_KINDS = {
    ord("{"): "an object",
    ord("["): "an array",
    ord('"'): "a string",
    ord("t"): "true",
    ord("f"): "false",
    ord("n"): "null",
}


class _Window:
    """The bytes of a file from a place on, as far as they have come, in one buffer that is used again."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._waiting = pieces, memoryview(b"")
        self.raw = bytearray()
        self.at = self.filled = self.base = 0  # next byte, end of what has come, offset of the buffer in the file
        self._resize(_LEAST)

    def _resize(self, size: int) -> None:
        held = self.raw[: self.filled]
        self.raw = bytearray(size)
        self.raw[: len(held)] = held
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(self.raw, dtype=np.uint8)

    def more(self) -> bool:
        """Let go of what is before `at`, and hold another piece; False where none is left."""
        if not self._waiting:
            self._waiting = memoryview(next((piece for piece in self._pieces if piece), b""))
        piece, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        held = self.filled - self.at
        if self.at:
            self.raw[:held] = self.raw[self.at : self.filled]
        self.base, self.at, self.filled = self.base + self.at, 0, held
        if held + len(piece) + _SPARE > len(self.raw):
            self._resize(max(held + len(piece) + _SPARE, 2 * len(self.raw)))
        self.raw[held : held + len(piece)] = piece
        self.filled += len(piece)
        return len(piece) > 0

    def next(self) -> int:
        """The next byte that is no white space, which is not passed by; -1 at the end."""
        while True:
            found = _SPACE.match(self.raw, self.at, self.filled)
            assert found is not None
            self.at = found.end()
            if self.at < self.filled:
                return self.raw[self.at]
            if not self.more():
                return _END

    def run(self, pattern: re.Pattern[bytes]) -> bytes:
        """Pass by all bytes that fit; gives the first of them, of long runs not all."""
        first = b""
        while True:
            found = pattern.match(self.raw, self.at, self.filled)
            assert found is not None
            if len(first) < _MOST_KEY:
                first += found[0][:_MOST_KEY]
            self.at = found.end()
            if self.at < self.filled or not self.more():
                return first


@dataclass
class ArrayBlocks:
    """Finds the array at `items`, a dotted path of keys, '' for a document that is the array.

    After `truncated` was set the document had not ended where its bytes did.
    Raises: DataError for what is no JSON document with such an array, by the byte where that shows.
    """

    stream: ByteStream
    items: str
    cap: int  # bytes of an element

    def __post_init__(self) -> None:
        self._window = _Window(self.stream.pieces())
        self._there: dict[str, str] = {}  # path -> what it is
        self._found = ""  # path, once the array has been read
        self._begun = self._open = 0  # offsets of the document, and of a bracket or quote that is open

    @property
    def _piece(self) -> FileSlice:
        return self.stream.piece

    def blocks(self) -> Iterator[tuple[int, memoryview | None]]:
        """(offset in the file, bytes) of elements, one a line, each with a line feed instead of what follows it.

        None stands for an element of more than `cap` bytes, but one within a block may be longer; a blank line for
        an element that is not there. A block holds only until the next one is asked for.
        """
        window = self._window
        while window.filled < len(_BOM) and window.more():
            pass
        if window.raw.startswith(_BOM):
            window.at = len(_BOM)
        first = window.next()
        if first == _END:
            return  # an empty file has no documents
        self._begun = window.base + window.at
        try:
            yield from self._document(first)
        except _CutError:
            self.stream.truncated = True

    def _document(self, first: int) -> Iterator[tuple[int, memoryview | None]]:
        window = self._window
        if first == ord("[") and not self.items:
            yield from self._array("the document")
        elif first == ord("{"):
            yield from self._objects()
        elif self.items:
            what = "an array itself" if first == ord("[") else "no JSON document that holds one"
            self._refuse(f"has no array at {self.items!r}: it is {what}", "leave `items` out, or look at the file")
        else:
            hint = utf16_hint(bytes(window.raw[window.at : window.at + 2])) or "`winnow list` names the readers"
            self._refuse(f"holds no JSON array: it begins with {self._shown()!r}", hint)
        if not self._found:
            self._not_found()
        if window.next() != _END:
            where = window.base + window.at
            self._refuse(f"goes on after its document, at byte {where:,}, with {self._shown()!r}",
                         "records that follow each other, one a line, are read by `jsonl`")  # fmt: skip

    def _objects(self) -> Iterator[tuple[int, memoryview | None]]:
        """Walk an object, and those in it that lead to the array; the window is behind it afterwards."""
        window, inner = self._window, [self.items]  # what is left of the path, object by object
        above = [""]
        self._pass("{")
        while inner:
            if window.next() == ord("}"):
                window.at += 1
                inner.pop(), above.pop()
                if inner and self._after() == ord(","):
                    window.at += 1
                continue
            key = self._key()
            kind, path = self._after(), f"{above[-1]}{key}"
            if len(self._there) < _MOST_NAMES:
                self._there[path] = _KINDS.get(kind, "a number")
            if inner[-1] == key and kind == ord("["):
                yield from self._array(f"{path!r}")
            elif inner[-1].startswith(f"{key}.") and kind == ord("{"):
                inner.append(inner[-1].removeprefix(f"{key}."))
                above.append(f"{path}.")
                window.at += 1
                continue
            else:
                self._skip(kind)
            if self._after() == ord(","):
                window.at += 1
            elif self._after() != ord("}"):
                self._wrong("a comma or a closing bracket")

    def _key(self) -> str:
        if self._after() != ord('"'):
            self._wrong("a key")
        key = self._string()
        self._after()
        self._pass(":")
        try:
            return str(orjson.loads(b'"' + key + b'"'))
        except orjson.JSONDecodeError:
            return key.decode("utf-8", "replace")

    def _pass(self, mark: str) -> None:
        if self._after() != ord(mark):
            self._wrong(f"{mark!r}")
        self._window.at += 1

    def _after(self) -> int:
        """The next byte that is no white space. Raises: _CutError or DataError at the end."""
        byte = self._window.next()
        if byte == _END:
            self._cut(self._begun)
        return byte

    def _string(self) -> bytes:
        """Pass by the string at the window's place; its bytes, of a long one the first."""
        window, parts = self._window, b""
        self._open = window.base + window.at
        window.at += 1
        while True:
            part = window.run(_PLAIN)
            parts += part if len(parts) < _MOST_KEY else b""
            if window.filled - window.at < 2 and not window.more() and window.at == window.filled:
                self._cut(self._open)
            if window.raw[window.at] == ord('"'):
                window.at += 1
                return parts
            parts += bytes(window.raw[window.at : window.at + 2]) if len(parts) < _MOST_KEY else b""
            window.at = min(window.at + 2, window.filled)

    def _skip(self, kind: int) -> None:
        """Pass by a value of any size."""
        if kind == ord('"'):
            self._string()
        elif kind in b"[{":
            for _ in self._lines():
                pass
        elif not self._window.run(_SCALAR):
            self._wrong("a value")

    def _array(self, path: str) -> Iterator[tuple[int, memoryview | None]]:
        if self._found:
            self._refuse(f"has two arrays at {self.items!r}", "leave one of them in the file")
        self._found = path
        yield from self._lines()

    def _lines(self) -> Iterator[tuple[int, memoryview | None]]:
        """The elements of the array (or object) at the window's place, which is behind it afterwards."""
        from winnow.pipeline.read.json_array_kernels import split

        window, state = self._window, np.zeros(3, dtype=np.int64)
        self._open = window.base + window.at
        opening, dropped, some = window.raw[window.at], -1, False
        window.at += 1
        looked = window.at
        while True:
            at, after = split(window.bytes, looked, window.filled, state)
            closed = at < window.filled
            if closed:
                self._closes(opening, window.raw[at], window.base + at)
                window.raw[at], after, some = ord("\n"), at + 1, some or after >= 0
            if after >= 0:
                first = window.at
                if dropped >= 0:
                    first = window.raw.find(b"\n", first) + 1
                    yield dropped, None
                    dropped = -1
                if first < after and (some or not closed or not window.raw[first:after].isspace()):
                    yield window.base + first, memoryview(window.raw)[first:after]
                window.at, some = after, True
            if closed:
                return
            if window.filled - window.at > self.cap:
                dropped = self._first_byte() if dropped < 0 else dropped
                window.at = window.filled
            held = window.filled - window.at
            if not window.more():
                yield from self._rest(dropped)
            looked = held

    def _first_byte(self) -> int:
        found = _SPACE.match(self._window.raw, self._window.at, self._window.filled)
        assert found is not None
        return self._window.base + found.end()

    def _closes(self, opening: int, closing: int, offset: int) -> None:
        if closing != opening + 2:  # as ASCII has brackets
            self._refuse(
                f"closes with {chr(closing)!r} at byte {offset:,} what {chr(opening)!r} opens at byte {self._open:,}",
                "look there: a record with a bracket too many looks like this",
            )

    def _rest(self, dropped: int) -> Iterator[tuple[int, memoryview | None]]:
        """What is held where the file ended within an array: it may be a whole record. Raises: _CutError, DataError."""
        window = self._window
        begun = dropped if dropped >= 0 else self._first_byte()
        if self.stream.truncated or self.stream.keep_truncated:
            self.stream.truncated = True
            if dropped < 0 and window.at < window.filled:
                window.raw[window.filled] = ord("\n")
                yield window.base + window.at, memoryview(window.raw)[window.at : window.filled + 1]
        self._cut(begun)

    def _cut(self, begun: int) -> NoReturn:
        """The bytes end before the document does."""
        if self.stream.truncated or self.stream.keep_truncated:
            raise _CutError
        self._refuse(
            f"ends within its document, at byte {self.stream.end:,}; what begins at byte {begun:,} does not end",
            "look there: a quote or bracket that is never closed looks like this; else fetch the file again, or set "
            "`on_truncated: keep` to read what is there",
        )

    def _shown(self) -> str:
        window = self._window
        return bytes(window.raw[window.at : min(window.at + 20, window.filled)]).decode("utf-8", "replace")

    def _wrong(self, wanted: str) -> NoReturn:
        where = self._window.base + self._window.at
        self._refuse(f"is no JSON at byte {where:,}: {wanted} should stand there, not {self._shown()!r}", "look there")

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise DataError(f"{self._piece.path} {what}", where=self._piece.rel, hint=hint)

    def _not_found(self) -> NoReturn:
        arrays = [name for name, kind in self._there.items() if kind == "an array"]
        held = ", ".join(f"{name!r} ({kind})" for name, kind in self._there.items()) or "nothing"
        if not self.items:
            more = f"`items: {arrays[0]}` reads the array there" if arrays else "`items` names the array in it"
            self._refuse(f"is an object and no array; it has {held}",
                         f"{more}; objects that follow each other, one a line, are read by `jsonl`")  # fmt: skip
        kind = self._there.get(self.items)
        what = f"is {kind}" if kind else "is not there"
        hint = did_you_mean(self.items, arrays) if arrays else "look at the file: `items` is the path of an array"
        if kind == "an object":
            hint = f"name an array in it, as in `items: {self.items}.KEY`"
        self._refuse(f"has no array at {self.items!r}, which {what}; it has {held}", hint)


class _CutError(Exception):
    """The file ends early, and what was there is kept."""
