"""The bytes of an archive as a window that moves on: plain by seeking, compressed member by member."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Protocol

from winnow.core.store.packing import GZIP, ZSTD
from winnow.pipeline.read.archive_members import Members, Piece, gzip_members, zstd_members

_READ = 256 << 10
_SHORT = 8 << 10  # read where a record may be passed by its length


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a byte of an archive is: its member (compressed) and how far into what the member holds."""

    member: int  # offset in the file; 0 for plain files
    inner: int  # decompressed bytes of the member before it; of a plain file, before it in the file
    packed: bool

    @property
    def locator(self) -> str:
        """What an index of archives calls its offset; `member+inner` for a record that no member begins with."""
        if not self.packed:
            return str(self.inner)
        return f"{self.member}+{self.inner}" if self.inner else str(self.member)

    @property
    def starts_member(self) -> bool:
        """True for the first byte of a compressed member."""
        return self.packed and not self.inner


class Window(Protocol):
    """Bytes from a place on. `broken` says, once they have ended, why they ended before the file did; `cuts`, whether
    the last of them belong to the member that is broken.
    """

    broken: str
    cuts: bool

    def fill(self, count: int) -> int:
        """Bytes that can be viewed now: `count` where there are as many."""

    def view(self, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) from here on that `fill` has made ready."""

    def ahead(self, end: int, count: int) -> bytes:
        """Up to `count` bytes from `end` on, of which all before are ready."""

    def jump(self, count: int) -> bool:
        """Go on by `count` bytes without holding them; False where there are fewer, and none are left then."""

    def place(self) -> Place:
        """Where the next byte is."""

    def back(self, place: Place) -> None:
        """Go to an earlier place."""

    def begins_member(self, ahead: int) -> bool:
        """Whether a compressed member begins so many bytes on, of what is ready."""

    def next_member(self) -> bool:
        """Go on to where a compressed member begins, this place aside; False where none does."""

    def resume(self) -> bool:
        """Go on after broken bytes, where a member begins like a record; False where none does."""


class PlainWindow:
    """A file that is not compressed."""

    broken = ""
    cuts = False

    def __init__(self, file: BufferedReader, at: int = 0) -> None:
        self._file, self._at = file, at
        self._size = file.seek(0, 2)
        self._buffer, self._from, self._step = b"", 0, _SHORT

    def fill(self, count: int) -> int:
        """See `Window`."""
        ready = len(self._buffer) - self._from
        if ready < count:
            self._file.seek(self._at + ready)
            more = self._file.read(max(count - ready, self._step))
            self._step = min(2 * self._step, _READ)
            self._buffer, self._from = self._buffer[self._from :] + more if ready else more, 0
        return len(self._buffer) - self._from

    def view(self, start: int, stop: int) -> memoryview:
        """See `Window`."""
        return memoryview(self._buffer)[self._from + start : self._from + stop]

    def ahead(self, end: int, count: int) -> bytes:
        """See `Window`."""
        ready = self.fill(end + count)
        return bytes(self.view(end, min(ready, end + count)))

    def jump(self, count: int) -> bool:
        """See `Window`."""
        left = self._size - self._at
        self._at += min(count, left)
        self._from += count
        if self._from >= len(self._buffer):
            self._buffer, self._from, self._step = b"", 0, _SHORT
        return count <= left

    def place(self) -> Place:
        """See `Window`."""
        return Place(member=0, inner=self._at, packed=False)

    def back(self, place: Place) -> None:
        """See `Window`."""
        self._at, self._buffer, self._from, self._step = place.inner, b"", 0, _SHORT

    def begins_member(self, ahead: int) -> bool:
        """A plain file has none."""
        return False

    def next_member(self) -> bool:
        """A plain file has none."""
        return False

    def resume(self) -> bool:
        """A plain file does not break."""
        return False


class PackedWindow:
    """A compressed file: what its members hold, one after the other, until one is broken."""

    def __init__(self, file: BufferedReader, members: Members, is_record: Callable[[bytes], bool], at: int = 0) -> None:
        self._open: Callable[[int], Iterator[Piece]] = lambda start: members(file, start, is_record)
        self._begin(at)

    def _begin(self, at: int) -> None:
        self.broken, self.cuts = "", False
        self._pieces: Iterator[Piece] = self._open(at)
        self._buffer, self._from = b"", 0  # bytes before `_from` are behind
        self._queue: deque[bytes] = deque()  # pieces that follow
        self._waiting = 0  # bytes of them
        self._at = 0  # of the next byte, over all members
        self._starts: list[tuple[int, int]] = []  # (offset over all members, compressed offset), ahead and the last
        self._ended = False

    def fill(self, count: int) -> int:
        """See `Window`. Cost: bytes are copied only where more than one piece is needed."""
        ready = len(self._buffer) - self._from
        if ready >= count:
            return ready
        while ready + self._waiting < count and self._fetch():
            pass
        parts = [self._buffer[self._from :]] if ready else []
        while self._queue and ready < count:
            parts.append(self._queue.popleft())
            ready += len(parts[-1])
            self._waiting -= len(parts[-1])
        self._buffer, self._from = (parts[0] if len(parts) == 1 else b"".join(parts)), 0
        return ready

    def _fetch(self) -> bool:
        """Put the next piece behind those that wait; False where they end, or it is broken."""
        piece = None if self._ended else next(self._pieces, None)
        at = self._at + len(self._buffer) - self._from + self._waiting
        if piece is not None and piece.start >= 0:
            self._starts.append((at, piece.start))
        if piece is None or piece.broken:
            if piece is not None:
                self.broken, self.cuts = piece.broken, piece.start < 0
            self._ended = True
            return False
        if piece.data:
            self._queue.append(piece.data)
            self._waiting += len(piece.data)
        return True

    def ahead(self, end: int, count: int) -> bytes:
        """See `Window`."""
        found = [bytes(self.view(end, end + count))]
        wanted, number = count - len(found[0]), 0
        while wanted > 0 and (number < len(self._queue) or self._fetch()):
            if number < len(self._queue):
                found.append(self._queue[number][:wanted])
                wanted, number = wanted - len(found[-1]), number + 1
        return b"".join(found)

    def view(self, start: int, stop: int) -> memoryview:
        """See `Window`."""
        return memoryview(self._buffer)[self._from + start : self._from + stop]

    def jump(self, count: int) -> bool:
        """See `Window`."""
        while count > len(self._buffer) - self._from:
            count -= len(self._buffer) - self._from
            if not self._next_piece():
                return False
        self._at, self._from = self._at + count, self._from + count
        self._forget()
        return True

    def _next_piece(self) -> bool:
        """Leave what is held behind for the next piece; False where there is none."""
        self._at += len(self._buffer) - self._from
        self._buffer, self._from = b"", 0
        self._forget()
        return self.fill(1) > 0

    def _forget(self) -> None:
        while len(self._starts) > 1 and self._starts[1][0] <= self._at:
            del self._starts[0]

    def place(self) -> Place:
        """See `Window`."""
        self.fill(1)
        self._forget()
        begun, member = self._starts[0] if self._starts else (self._at, 0)
        return Place(member=member, inner=self._at - begun, packed=True)

    def back(self, place: Place) -> None:
        """See `Window`. Cost: reads the member again up to the place."""
        self._begin(place.member)
        self.jump(place.inner)

    def begins_member(self, ahead: int) -> bool:
        """See `Window`."""
        return any(start == self._at + ahead for start, _ in self._starts)

    def next_member(self) -> bool:
        """See `Window`."""
        while True:
            ahead = [start for start, _ in self._starts if start > self._at]
            if ahead:
                return self.jump(ahead[0] - self._at)
            if not self._next_piece():
                return False
            if any(start == self._at for start, _ in self._starts):
                self._forget()
                return True

    def resume(self) -> bool:
        """See `Window`."""
        if not self.broken:
            return False
        self._buffer, self._from, self._at, self._starts = b"", 0, 0, []
        self._queue.clear()
        self._waiting = 0
        self._ended, self.broken, self.cuts = False, "", False
        return self.fill(1) > 0 or bool(self.broken)


def window_of(file: BufferedReader, name: str, is_record: Callable[[bytes], bool], at: int = 0) -> Window:
    """The bytes of an open archive from an offset on, decompressed where its name says that they are compressed."""
    if name.lower().endswith(GZIP):
        return PackedWindow(file, gzip_members, is_record, at)
    if name.lower().endswith(ZSTD):
        return PackedWindow(file, zstd_members, is_record, at)
    return PlainWindow(file, at)
