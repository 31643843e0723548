"""Bytes of one input file, decompressed in bounded pieces, and the lines in them.

A compressed file may hold several members, frames or streams. No single piece can blow memory up: gzip, bzip2 and xz
are asked for at most 4 MB at a time; zstd is fed 1 kB at a time, which no frame can expand to more than 34 MB (a block
of 128 kB takes at least 4 bytes). Feeding so little costs a few per cent of the decoder's speed.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import IO, Any

from winnow.core.errors import DataError
from winnow.core.operators import FileSlice
from winnow.core.store.packing import (
    BZIP2,
    GZIP,
    UNPACKING_ERRORS,
    XZ,
    XZ_MEMORY_BYTES,
    ZSTD,
    ZSTD_WINDOW_BYTES,
    misnamed,
    unpacked,
)
from winnow.core.store.remote_files import open_input
from winnow.pipeline.read.document import RefusedError

_FIRST = 10  # bytes that tell a compression
_READ_BYTES = 1 << 20
_PIECE_BYTES = 4 << 20
_ZSTD_FEED_BYTES = 1024
_NEWLINE = b"\n"


@contextmanager
def opened(piece: FileSlice, *, any_bytes: bool = False) -> Iterator[BufferedReader]:
    """The file behind `piece`, opened for reading bytes.

    Raises: DataError naming the file where it cannot be read, is no longer as long as when it was listed, or (unless
    `any_bytes`) begins like a compressed file without being named like one.
    """
    try:
        with open_input(piece.path, piece.digest) as file:
            size = file.seek(0, 2)
            if size != piece.size:
                raise DataError(
                    f"{piece.path} has {size} bytes, {piece.size} when it was listed",
                    where=piece.rel,
                    hint="let the files come to rest, then run again",
                )
            file.seek(0)
            hint = "" if any_bytes else misnamed(file.read(_FIRST), piece.path)
            if hint:
                raise DataError(f"{piece.path} is compressed, and its name does not say so", where=piece.rel, hint=hint)
            file.seek(0)
            yield file
    except OSError as error:
        hint = "restore the file or its permissions, then run again"
        raise DataError(f"cannot read {piece.path}: {error}", where=piece.rel, hint=hint) from error


def whole_file(piece: FileSlice, most_mb: int) -> bytes:
    """A file's bytes, decompressed where its name says that they are compressed.

    Raises: RefusedError (corrupt, too_large); DataError as `opened`. Never holds more than a little above the limit.
    """
    cap = most_mb * 1_000_000
    with opened(piece, any_bytes=True) as file:
        hint = misnamed(file.read(_FIRST), piece.path)
        if hint:
            raise RefusedError("corrupt", f"the file is compressed, and its name does not say so: {hint}")
        file.seek(0)
        try:
            data = bytes(unpacked(file, piece.path).read(cap + 1))
        except UNPACKING_ERRORS as error:
            raise RefusedError("corrupt", f"the file cannot be decompressed: {error}") from None
    if len(data) > cap:
        raise RefusedError("too_large", f"the file holds more than {most_mb} MB (`max_record_mb`)")
    return data


@dataclass
class ByteStream:
    """The decompressed bytes of a file slice as pieces of about 4 MB (at most 38 MB)."""

    piece: FileSlice
    keep_truncated: bool = False
    truncated: bool = False  # set when the pieces end before the compressed stream does
    end: int = 0  # decompressed offset reached so far

    def lines(self, cap: int) -> Iterator[tuple[int, bytes | None]]:
        """(offset, bytes without newline) of each line that starts in the slice; None for lines above `cap`.

        Offsets count decompressed bytes from the start of the file, so they do not depend on the cuts.
        Raises: DataError where the file is unreadable, corrupt or (unless `keep_truncated`) ends too early.
        """
        with opened(self.piece) as file:
            decode = self._decoder()
            if decode is not None:
                yield from split_lines(self._counted(decode(file)), at=0, stop=sys.maxsize, cap=cap)
                return
            stop = self.last
            self.end = first_line_start(file, start=self.piece.start, stop=stop)
            if self.end < stop:
                file.seek(self.end)
                yield from split_lines(self._counted(_plain(file)), at=self.end, stop=stop, cap=cap)

    def blocks(self, cap: int) -> Iterator[tuple[int, bytes | memoryview | None]]:
        """Like `lines`, but many lines at a time, each with its newline; the last block may hold lines that start
        after the slice. None stands for a line above `cap`, but one within a block may be longer. A block holds only
        until the next one is asked for.
        """
        with opened(self.piece) as file:
            decode = self._decoder()
            if decode is not None:
                yield from split_blocks(self._counted(decode(file)), at=0, stop=sys.maxsize, cap=cap)
                return
            stop = self.last
            self.end = first_line_start(file, start=self.piece.start, stop=stop)
            if self.end < stop:
                file.seek(self.end)
                yield from file_blocks(file, at=self.end, stop=stop, cap=cap)

    def pieces(self) -> Iterator[bytes]:
        """All bytes of the file. Raises: DataError as `lines`."""
        with opened(self.piece) as file:
            yield from self._counted((self._decoder() or _plain)(file))

    @property
    def last(self) -> int:
        """No line that starts here or later belongs to the slice."""
        if self._decoder() is not None:
            return sys.maxsize
        return self.piece.stop if self.piece.stop >= 0 else self.piece.size

    def _decoder(self) -> Callable[[IO[bytes]], Iterator[bytes]] | None:
        name = self.piece.path.lower()
        if name.endswith(GZIP):
            return self._gunzip
        if name.endswith((*BZIP2, *XZ)):
            return self._unpack
        return self._unzstd if name.endswith(ZSTD) else None

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.end += len(piece)
            yield piece

    def _gunzip(self, file: IO[bytes]) -> Iterator[bytes]:
        decoder, inside, members = zlib.decompressobj(31), False, 0
        data = file.read(_READ_BYTES)
        while data:
            if not inside and members:
                data = data.lstrip(b"\0")  # padding between and after members is legal
            inside = inside or bool(data)
            try:
                yield decoder.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise self._corrupt(error) from error
            data = decoder.unconsumed_tail
            if decoder.eof:
                data, decoder = decoder.unused_data, zlib.decompressobj(31)
                inside, members = False, members + 1
            data = data or file.read(_READ_BYTES)
        if inside:
            yield decoder.flush()
            self._end_early()

    def _unpack(self, file: IO[bytes]) -> Iterator[bytes]:
        """bzip2 and xz, whose decoders hold what they were fed until it is asked for."""
        fresh = _bzip2 if self.piece.path.lower().endswith(BZIP2) else _xz
        decoder, inside, streams = fresh(), False, 0
        data = file.read(_READ_BYTES)
        while data or (inside and not decoder.needs_input):
            if not inside and streams and fresh is _xz:
                data = data.lstrip(b"\0")  # padding between and after streams is legal
            inside = inside or bool(data)
            try:
                ready = decoder.decompress(data, _PIECE_BYTES) if inside else b""
            except (OSError, ValueError, lzma.LZMAError) as error:
                raise self._corrupt(error) from error
            yield ready
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, fresh()
                inside, streams = False, streams + 1
            if not data and decoder.needs_input:
                data = file.read(_READ_BYTES)
        if inside:
            self._end_early()

    def _unzstd(self, file: IO[bytes]) -> Iterator[bytes]:
        import zstandard

        context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        decoder, inside = context.decompressobj(), False
        ready: list[bytes] = []
        held = 0
        data = file.read(_ZSTD_FEED_BYTES)
        while data:
            try:
                ready.append(decoder.decompress(data))
            except zstandard.ZstdError as error:
                raise self._corrupt(error) from error
            held, data, inside = held + len(ready[-1]), b"", not decoder.eof
            if not inside:
                data, decoder = decoder.unused_data, context.decompressobj()
            if held >= _PIECE_BYTES:
                yield b"".join(ready)
                ready, held = [], 0
            data = data or file.read(_ZSTD_FEED_BYTES)
        yield b"".join(ready)
        if inside:
            self._end_early()

    def _end_early(self) -> None:
        self.truncated = True
        if not self.keep_truncated:
            raise DataError(
                f"{self.piece.path} ends inside its compressed stream, at decompressed byte {self.end}",
                where=self.piece.rel,
                hint="fetch the file again, or set `on_truncated: keep` to read what is there",
            )

    def _corrupt(self, error: Exception) -> DataError:
        return DataError(
            f"{self.piece.path} is corrupt near decompressed byte {self.end}: {error}",
            where=self.piece.rel,
            hint="fetch the file again; a wrong suffix looks like this too",
        )


def _bzip2() -> Any:
    return bz2.BZ2Decompressor()


def _xz() -> Any:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)


def first_line_start(file: IO[bytes], *, start: int, stop: int) -> int:
    """Offset of the first line that starts in [start, stop), else `stop`. Reads no byte past `stop`."""
    if start == 0:
        return 0
    file.seek(start - 1)
    at = start - 1
    while at < stop - 1 and (data := file.read(min(_READ_BYTES, stop - 1 - at))):
        newline = data.find(_NEWLINE)
        if newline >= 0:
            return at + newline + 1
        at += len(data)
    return stop


def split_lines(pieces: Iterable[bytes], *, at: int, stop: int, cap: int) -> Iterator[tuple[int, bytes | None]]:
    """(offset, line) of each line of `pieces` that starts before `stop`; the first piece lies at offset `at`.

    A line ends at a newline byte and nowhere else. One longer than `cap` bytes comes as None, never held.
    Cost: memory of one piece and one line; every byte is copied once or twice.
    """
    head: list[bytes] = []
    start = base = at  # offset of the open line, and of the piece
    for piece in pieces:
        position, newline = 0, piece.find(_NEWLINE)
        while newline >= 0:
            whole = base + newline - start <= cap
            yield start, (b"".join((*head, piece[position:newline])) if whole else None)
            head.clear()
            position = newline + 1
            start = base + position
            if start >= stop:
                return
            newline = piece.find(_NEWLINE, position)
        base += len(piece)
        if base - start > cap:
            head.clear()
        elif position < len(piece):
            head.append(piece[position:])
    if base > start:
        yield start, (b"".join(head) if base - start <= cap else None)


def split_blocks(pieces: Iterable[bytes], *, at: int, stop: int, cap: int) -> Iterator[tuple[int, bytes | None]]:
    """(offset, whole lines) of `pieces` until a line starts at `stop` or later; None for a line above `cap`.

    Every block ends with a newline, added where the last line has none. A line is above `cap` here only where it
    does not end in the piece that it starts in.
    Cost: memory of one piece and one line; most bytes are copied once.
    """
    head: list[bytes] = []
    start = base = at  # offset of the open line, and of the piece
    for piece in pieces:
        first, after = piece.find(_NEWLINE) + 1, piece.rfind(_NEWLINE) + 1
        if after:
            if base + first - 1 - start > cap:
                yield start, None
                head, start = [], base + first
            block = b"".join((*head, piece[start - base if start > base else 0 : after]))
            if block and start < stop:
                yield start, block
            head, start = [], base + after
            if start >= stop:
                return
        base += len(piece)
        if base - start > cap:
            head.clear()
        elif after < len(piece):
            head.append(piece[after:])
    if base > start and start < stop:
        yield start, (b"".join((*head, _NEWLINE)) if base - start <= cap else None)


def file_blocks(file: BufferedReader, *, at: int, stop: int, cap: int) -> Iterator[tuple[int, memoryview | None]]:
    """What `split_blocks` gives for the rest of a file that stands at offset `at`, as views of one buffer.

    A view holds only until the next one is asked for.
    Cost: memory of one piece or one line, used again and again; only the open line at a piece's end is copied.
    """
    buffer, held = bytearray(_PIECE_BYTES), 0  # bytes of the open line
    start = base = at  # offset of the open line, and of the buffer
    while got := file.readinto(memoryview(buffer)[held:]):
        filled = held + got
        after = buffer.rfind(_NEWLINE, held, filled) + 1
        if after:
            first = 0
            if start < base:  # the line above `cap` ends
                first = buffer.find(_NEWLINE, held, filled) + 1
                yield start, None
                start = base + first
            if first < after and start < stop:
                yield start, memoryview(buffer)[first:after]
            buffer[: filled - after] = buffer[after:filled]
            start = base = base + after
            if start >= stop:
                return
        held = filled - after
        if held > cap:
            base, held = base + held, 0
        elif held == len(buffer):
            buffer = buffer + bytes(held)
    if start < base and start < stop:
        yield start, None
    elif held and start < stop:
        buffer[held : held + 1] = _NEWLINE
        yield start, memoryview(buffer)[: held + 1]


def _plain(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(_READ_BYTES):
        yield data
