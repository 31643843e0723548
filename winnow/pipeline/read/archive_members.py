"""Compressed archives member by member: where each begins, its bytes in bounded pieces, and which are broken.

A web archive is many gzip members or zstd frames, each holding one record. What breaks one of them must not cost the
others, so a broken member ends in a piece that says what is wrong, and reading goes on at the next one that begins like
a record.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from typing import Any

from winnow.core.store.packing import ZSTD_WINDOW_BYTES

GZIP_MAGIC = b"\x1f\x8b\x08"
_GZIP = re.compile(re.escape(GZIP_MAGIC))  # finds it in half the time that `bytes.find` takes
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY = b"\x5d\x2a\x4d\x18"  # the skippable frame that holds it
_SKIPPABLE = {bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16)}
_FIRST_BYTES, _RAW_BYTES = 64 << 10, 4 << 20  # read at once, in the beginning and later
_SMALL = 1 << 20
_LEAST = 18  # bytes of a member's header and end
_GZIP_FEED = 64 << 10
_ZSTD_FEED = 256  # no frame expands it to more than 8 MB
_PIECE_BYTES = 4 << 20
_PROBE = 64 << 10
_MAX_DICTIONARY = 64 << 20
CUT = "the file ends inside a compressed member"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Decompressed bytes of a member, in order; the first piece of each says where in the file it begins."""

    data: bytes = b""
    start: int = -1  # compressed offset of the member that begins with this piece
    broken: str = ""  # the member cannot be read beyond this; the next piece, if any, begins another one


Members = Callable[[BufferedReader, int, Callable[[bytes], bool]], Iterator[Piece]]


class _Raw:
    """A file read in large blocks, consumed in small ones."""

    def __init__(self, file: BufferedReader, at: int) -> None:
        self._file, self.at = file, at
        self._data, self._from, self._ended, self._step = b"", 0, False, _FIRST_BYTES
        file.seek(at)

    def view(self, most: int) -> memoryview:
        """Up to `most` bytes at the current place; empty at the end of the file."""
        self._more(1)
        return memoryview(self._data)[self._from : self._from + most]

    def head(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end of the file."""
        self._more(count)
        return self._data[self._from : self._from + count]

    def _more(self, count: int) -> None:
        """Hold at least `count` bytes from here on, where there are as many."""
        while len(self._data) - self._from < count and not self._ended:
            more = self._file.read(self._step)
            self._data, self._from, self._ended = self._data[self._from :] + more, 0, len(more) < self._step
            self._step = min(2 * self._step, _RAW_BYTES)

    def until(self, magic: re.Pattern[bytes], most: int) -> bytes:
        """The bytes up to where `magic`, of 3 bytes, is next, or up to the end of the file; none where that is beyond
        `most`.
        """
        looked = 3
        while True:
            found = magic.search(self._data, self._from + looked, self._from + most)
            stop = found.start() if found else -1
            held = len(self._data) - self._from
            if stop >= 0 or held >= most or self._ended:
                break
            looked = max(3, held - 3)
            self._more(held + 1)
        if stop < 0 and held < most:
            stop = len(self._data)
        return self._data[self._from : stop] if stop >= 0 else b""

    def skip(self, count: int) -> None:
        """Go on by `count` bytes, all of which have been viewed."""
        self.at += count
        self._from += count

    def seek(self, at: int) -> None:
        """Go to another place."""
        self._file.seek(at)
        self.at, self._data, self._from, self._ended, self._step = at, b"", 0, False, _FIRST_BYTES


def gzip_members(file: BufferedReader, at: int, is_record: Callable[[bytes], bool]) -> Iterator[Piece]:
    """The members of a gzip file from offset `at`; `is_record` says of a member's first bytes whether it is one to go
    on with after a broken one. Padding of zeros between members is skipped.

    Cost: memory of one piece (4 MB). Members of up to 1 MB go through FastWARC's decoder, twice as fast as zlib.
    """
    raw = _Raw(file, at)
    while _past_padding(raw):
        if (whole := _small_member(raw)) is not None:
            yield whole
            continue
        start, wrong = raw.at, ""
        decoder, first = zlib.decompressobj(31), True
        while not decoder.eof and not wrong:
            given = raw.view(_GZIP_FEED)
            if not given:
                wrong = CUT
                break
            used = len(given)
            try:
                data = decoder.decompress(given, _PIECE_BYTES)
                while data or not decoder.eof:
                    yield Piece(data=data, start=start if first else -1)
                    first = False
                    if not decoder.unconsumed_tail or decoder.eof:
                        break
                    data = decoder.decompress(decoder.unconsumed_tail, _PIECE_BYTES)
                used -= len(decoder.unused_data)
            except zlib.error as error:
                wrong = f"the gzip member is corrupt: {error}"
            raw.skip(used)
        if wrong:
            yield Piece(start=start if first else -1, broken=wrong)
            found = _next_member(file, start + 1, GZIP_MAGIC, lambda data: is_record(_gzip_start(data)))
            if found < 0:
                return
            raw.seek(found)


def zstd_members(file: BufferedReader, at: int, is_record: Callable[[bytes], bool]) -> Iterator[Piece]:
    """Like `gzip_members`, for zstd frames; a dictionary in a skippable frame at the start of the file is used for all.

    Source: the WARC zstd profile (iipc/warc-specifications, warc-zstd 1.0)
    """
    import zstandard

    context = zstandard.ZstdDecompressor(dict_data=_dictionary(file), max_window_size=ZSTD_WINDOW_BYTES)
    raw, probe = _Raw(file, at), _zstd_start(context)

    def fits(data: bytes) -> bool:
        return is_record(probe(data))

    while _past_skippable(raw):
        start, wrong, first = raw.at, "", True
        decoder = context.decompressobj()
        ready: list[bytes] = []
        held = 0
        while not decoder.eof and not wrong:
            given = raw.view(_ZSTD_FEED)
            if not given:
                wrong = CUT
                break
            try:
                ready.append(decoder.decompress(given))
            except zstandard.ZstdError as error:
                wrong = f"the zstd frame is corrupt: {error}"
                break
            held += len(ready[-1])
            raw.skip(len(given) - len(decoder.unused_data))
            if held >= _PIECE_BYTES:
                yield Piece(data=b"".join(ready), start=start if first else -1)
                ready, held, first = [], 0, False
        if held or not wrong:
            yield Piece(data=b"".join(ready), start=start if first else -1)
            first = False
        if wrong:
            yield Piece(start=start if first else -1, broken=wrong)
            found = _next_member(file, start + 1, ZSTD_MAGIC, fits)
            if found < 0:
                return
            raw.seek(found)


def _small_member(raw: _Raw) -> Piece | None:
    """The member at the current place by FastWARC's decoder; None where the careful way is needed.

    Its end is guessed to be where the next one begins. FastWARC checks the CRC and passes over an early end; the length
    that the member says it has shows that.
    """
    from fastwarc.stream_io import GzipReader

    data = raw.until(_GZIP, _SMALL)
    size = int.from_bytes(data[-4:], "little")
    if size > _PIECE_BYTES or len(data) < _LEAST:
        return None
    try:
        reader = GzipReader(BytesIO(data))
        out = reader.read(size) if size else b""
        more = reader.read(1)  # none: and so the CRC has been looked at
    except OSError:
        return None
    if len(out) != size or more:
        return None
    start = raw.at
    raw.skip(len(data))
    return Piece(data=out, start=start)


def _past_padding(raw: _Raw) -> bool:
    """True where another member begins, after zeros that pad the file."""
    while head := raw.view(_GZIP_FEED):
        if head[0]:
            return True
        zeros = len(head) - len(bytes(head).lstrip(b"\0"))
        raw.skip(zeros)
        if zeros < len(head):
            return True
    return False


def _past_skippable(raw: _Raw) -> bool:
    """True where another frame begins that holds data."""
    while (head := raw.head(8))[:4] in _SKIPPABLE and len(head) == 8:
        raw.seek(raw.at + 8 + int.from_bytes(head[4:], "little"))
    return bool(head)


def _next_member(file: BufferedReader, at: int, magic: bytes, fits: Callable[[bytes], bool]) -> int:
    """Offset of the first member at or after `at` that begins like a record; -1 where there is none."""
    file.seek(at)
    window, base = file.read(_RAW_BYTES + _PROBE), at
    while window:
        place = window.find(magic)
        while 0 <= place < _RAW_BYTES:
            if fits(window[place : place + _PROBE]):
                return base + place
            place = window.find(magic, place + 1)
        if len(window) <= _RAW_BYTES:
            return -1
        file.seek(base + _RAW_BYTES)
        base += _RAW_BYTES
        window = file.read(_RAW_BYTES + _PROBE)
    return -1


def _gzip_start(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(data, _PROBE)
    except zlib.error:
        return b""


def _zstd_start(context: Any) -> Callable[[bytes], bytes]:
    import zstandard

    def start(data: bytes) -> bytes:
        out, decoder = b"", context.decompressobj()
        for at in range(0, len(data), _ZSTD_FEED):
            try:
                out += decoder.decompress(data[at : at + _ZSTD_FEED])
            except zstandard.ZstdError:
                return out
            if decoder.eof or len(out) >= _PROBE:
                break
        return out

    return start


def _dictionary(file: BufferedReader) -> Any:
    """The dictionary of a `.warc.zst`, itself perhaps compressed; None where the file begins otherwise."""
    import zstandard

    file.seek(0)
    head = file.read(8)
    if head[:4] != _DICTIONARY or len(head) < 8:
        return None
    data = file.read(min(int.from_bytes(head[4:], "little"), _MAX_DICTIONARY))
    if data.startswith(ZSTD_MAGIC):
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            data = stream.read(_MAX_DICTIONARY)
    return zstandard.ZstdCompressionDict(data)
