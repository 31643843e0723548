"""Where the messages of an Arrow IPC file or stream lie, without reading their bodies, and some of them as a stream.

The footer of a file names its record batches. One of a stream can be read with the schema and the dictionaries before
it alone. So any cut of either reads every batch once.

Source: the Arrow columnar format, "Serialization and Interprocess Communication"; Message.fbs, File.fbs; own code.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

MARK = b"ARROW1"
_SCHEMA, _BATCH = 1, 3  # MessageHeader
_GOES_ON = b"\xff\xff\xff\xff"
_MOST_HEAD = 256 << 20  # bytes of one message's metadata
_HEADER_TYPE, _BODY_LENGTH = 1, 3  # fields of Message, in their order
_RECORD_BATCHES = 3  # of Footer


@dataclass(frozen=True)
class Message:
    """Bytes [start, stop) of a file: one message, its body with it."""

    kind: int
    start: int
    stop: int

    @property
    def is_batch(self) -> bool:
        """True for a record batch."""
        return self.kind == _BATCH


@dataclass(frozen=True)
class Messages:
    """What an IPC file or stream holds."""

    found: Sequence[Message]  # of a file its record batches alone
    is_file: bool
    ended: bool  # its end is said, and not only reached
    end: int

    @property
    def batches(self) -> list[Message]:
        """The record batches, in order."""
        return [message for message in self.found if message.is_batch]

    def needed(self, batches: Sequence[Message]) -> list[Message]:
        """Messages of a stream that make a stream of these batches."""
        mine = {batch.start for batch in batches}
        last = max(mine, default=0)
        return [m for m in self.found if m.start <= last and (not m.is_batch or m.start in mine)]


def messages_of(file: BufferedReader, size: int) -> Messages:
    """The messages of an open file. Raises: ValueError where it is none, or ends within one.

    Cost: two small reads per message of a stream, or the footer of a file.
    """
    file.seek(0)
    if file.read(len(MARK)) == MARK:
        return Messages(found=_of_footer(file, size), is_file=True, ended=True, end=size)
    at, found = 0, list[Message]()
    while at < size:
        message, next_at = _message(file, at, size)
        if message is None:
            break
        if found and message.kind == _SCHEMA:
            raise ValueError(f"a second schema begins at byte {at}")
        found.append(message)
        at = next_at
    if not found or found[0].kind != _SCHEMA:
        raise ValueError("it does not begin with a schema")
    return Messages(found=found, is_file=False, ended=at < size, end=at)


def _of_footer(file: BufferedReader, size: int) -> list[Message]:
    """The record batches that the footer of a file names, in its order."""
    file.seek(max(size - 10, 0))
    tail = file.read(10)
    length = int.from_bytes(tail[:4], "little", signed=True)
    if tail[4:] != MARK or not 0 < length <= size - 18:
        raise ValueError("it ends without a footer")
    file.seek(size - 10 - length)
    raw = file.read(length)
    try:
        at = _field(raw, _RECORD_BATCHES)
        at += struct.unpack_from("<I", raw, at)[0] if at else 0
        count = struct.unpack_from("<I", raw, at)[0] if at else 0
        blocks = [struct.unpack_from("<qi4xq", raw, at + 4 + 24 * number) for number in range(min(count, length))]
    except (struct.error, IndexError):
        raise ValueError("its footer cannot be read") from None
    if any(start < 8 or head < 0 or body < 0 or start + head + body > size for start, head, body in blocks):
        raise ValueError("its footer leads out of it")
    return [Message(kind=_BATCH, start=start, stop=start + head + body) for start, head, body in blocks]


def _field(raw: bytes, number: int) -> int:
    """Where a field of a flatbuffer's table lies; 0 where it is left out. Raises: struct.error."""
    (table,) = struct.unpack_from("<I", raw, 0)
    (back,) = struct.unpack_from("<i", raw, table)
    (size,) = struct.unpack_from("<H", raw, table - back)
    slot = 4 + 2 * number
    place = struct.unpack_from("<H", raw, table - back + slot)[0] if slot < size else 0
    return table + place if place else 0


def _message(file: BufferedReader, at: int, stop: int) -> tuple[Message | None, int]:
    """(the message at `at`, where the next begins); (None, at) where the end of the stream is said."""
    file.seek(at)
    prefix = file.read(8)
    goes_on = prefix[:4] == _GOES_ON
    head = 8 if goes_on else 4  # without the mark before version 0.15
    length = int.from_bytes(prefix[4:8] if goes_on else prefix[:4], "little", signed=True)
    if len(prefix) < head or not 0 <= length <= min(_MOST_HEAD, stop - at - head):
        raise ValueError(f"no message can be read at byte {at}")
    if length == 0:
        return None, at
    file.seek(at + head)
    kind, body = _header(file.read(length), at)
    end = at + head + length + body
    if body < 0 or end > stop:
        raise ValueError(f"it ends within the message that begins at byte {at}")
    return Message(kind=kind, start=at, stop=end), end


def _header(raw: bytes, at: int) -> tuple[int, int]:
    """(kind, bytes of the body) of a message's metadata."""
    try:
        kind, body = _field(raw, _HEADER_TYPE), _field(raw, _BODY_LENGTH)
        return (raw[kind] if kind else 0), (struct.unpack_from("<q", raw, body)[0] if body else 0)
    except (struct.error, IndexError):
        raise ValueError(f"the message at byte {at} cannot be read") from None


class StreamOf(io.RawIOBase):
    """Some messages of a file, one after the other, as a file that pyarrow reads."""

    def __init__(self, file: BufferedReader, messages: Sequence[Message]) -> None:
        super().__init__()
        self._file = file
        self._left = [(message.start, message.stop) for message in reversed(messages)]

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; less only at the end. Raises: OSError where the file has become shorter."""
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view) and self._left:
            start, stop = self._left.pop()
            self._file.seek(start)
            got = self._file.readinto(view[filled : filled + stop - start])
            if not got:
                raise OSError("the file ends before its messages do")
            filled += got
            if start + got < stop:
                self._left.append((start + got, stop))
        return filled
