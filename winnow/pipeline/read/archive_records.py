"""Records of web archives, WARC and ARC: where each begins and ends, and which are not what they say.

A header says how long its record is; what follows the record shows whether that is true. Where it is not, the record is
broken and reading goes on at the next one: at the next compressed member, or else at the next bytes that are a header.

Source: ISO 28500 (WARC 1.0, 1.1); the ARC file format, Internet Archive 1996.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from winnow.pipeline.read.archive_bytes import Place, Window

HEADER_BYTES = 64 << 10
_AHEAD = 4096  # after a record, to see what follows
_SCAN = 1 << 20
_MOST_ROBOTS = 2000  # characters
_FILLER = b"\r\n \t\0"
_WARC = re.compile(rb"WARC/\d\.\d{1,3} ?\r?\n")
_AGAIN = re.compile(rb"\n(?=WARC/\d\.\d{1,3} ?\r?\n|(?:https?|ftp|dns|filedesc|whois|gopher):)")
_DATE = re.compile(rb"\d{8,14}")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record: its named fields (lower case), and its block, which holds only until the next one is asked for."""

    place: Place
    fields: Mapping[str, str]
    block: memoryview


@dataclass(frozen=True, kw_only=True)
class Broken:
    """What is no record: where, the class that is counted, and what is wrong."""

    place: Place
    error: str
    message: str


@dataclass(frozen=True, kw_only=True)
class _Head:
    size: int
    length: int
    fields: Mapping[str, str]
    closed: bool  # two line ends follow the block


def is_record(data: bytes) -> bool:
    """Whether bytes begin like a record of a WARC or an ARC file."""
    data = data.lstrip(_FILLER)
    return bool(_WARC.match(data)) or _arc_fields(data[: data.find(b"\n") + 1]) is not None


def records(window: Window, *, cap: int, start: int = 0, stop: int | None = None) -> Iterator[Record | Broken]:
    """Every record that begins in [start, stop) of a plain file, of a compressed one (without them) all.

    A record whose block is longer than `cap` bytes is broken (too_large) and never held. Which records there are does
    not depend on the cut: those before `start` are passed by their lengths.
    Cost: memory of the largest record up to `cap`; per record before `start` two short reads.
    """
    alone = True  # so far every member has held one record
    while True:
        refused = False
        while _at_record(window):
            place = window.place()
            if stop is not None and place.inner >= stop:
                return
            alone = alone and place.starts_member
            found = _one(window, place, cap, alone=alone, wanted=place.inner >= start)
            if found is not None and place.inner >= start:
                yield found
            refused = isinstance(found, Broken)
        if window.broken and not (refused and window.cuts):
            yield Broken(place=window.place(), error=_class_of(window.broken), message=window.broken)
        if not window.resume():
            return


def _class_of(broken: str) -> str:
    return "truncated" if "ends inside" in broken else "corrupt"


def _at_record(window: Window) -> bool:
    """Go on past what stands between records; False at the end."""
    while ready := window.fill(1):
        if window.view(0, 1)[0] not in _FILLER:
            return True
        head = bytes(window.view(0, min(ready, _AHEAD)))
        rest = head.lstrip(_FILLER)
        window.jump(len(head) - len(rest))
        if rest:
            return True
    return False


def _one(window: Window, place: Place, cap: int, *, alone: bool, wanted: bool) -> Record | Broken | None:
    """The record at a place, which the window is behind afterwards; None where it is not wanted."""
    head = _head(window, place)
    if isinstance(head, Broken):
        window.jump(1)
        _to_next(window, place, alone=alone)
        return head
    if not wanted or head.length > cap:
        return _passed(window, place, head, alone=alone, wanted=wanted)
    end = head.size + head.length
    if window.fill(end) < end or not _ends_well(window, end, closed=head.closed):
        return _wrong_length(window, place, head, alone=alone)
    if window.cuts and not window.ahead(end, _AHEAD).strip(_FILLER):
        window.jump(end)
        return Broken(place=place, error=_class_of(window.broken), message=window.broken)
    block = window.view(head.size, end)
    window.jump(end)
    return Record(place=place, fields=head.fields, block=block)


def _passed(window: Window, place: Place, head: _Head, *, alone: bool, wanted: bool) -> Broken | None:
    """Go past a record that is not held."""
    whole = window.jump(head.size + head.length)
    if not whole or not _ends_well(window, 0, closed=head.closed):
        window.back(place)
        return _wrong_length(window, place, head, alone=alone)
    message = f"the record is {head.length:,} bytes long (`max_record_mb`)"
    return Broken(place=place, error="too_large", message=message) if wanted else None


def _ends_well(window: Window, end: int, *, closed: bool) -> bool:
    """Whether another record, another member or nothing follows a record that ends at `end`."""
    ahead = window.ahead(end, _AHEAD)
    if closed and ahead.startswith(b"\r\n\r\n"):  # as a record of WARC must end, whatever follows
        return True
    rest = ahead.lstrip(_FILLER)
    if not rest or is_record(rest) or window.begins_member(end + len(ahead) - len(rest)):
        return True
    return b"\n" not in rest and b"WARC/".startswith(rest[:5])  # the file ends there


def _wrong_length(window: Window, place: Place, head: _Head, *, alone: bool) -> Broken:
    """The record at a place is not as long as it says: go on at the next one."""
    window.jump(head.size - 1)  # its last newline may be the one before the next record
    found = _to_next(window, place, alone=alone)
    if window.broken and not found:
        return Broken(place=place, error=_class_of(window.broken), message=window.broken)
    if not found:
        message = f"the file ends inside the record, which says that it has {head.length:,} bytes"
        return Broken(place=place, error="truncated", message=message)
    message = f"no record follows after the {head.length:,} bytes that its Content-Length says"
    return Broken(place=place, error="content_length", message=message)


def _to_next(window: Window, place: Place, *, alone: bool) -> bool:
    """Go on to the next record: the next member where each holds one record, else the next header in the bytes."""
    while alone and window.next_member():
        window.fill(_AHEAD)
        if is_record(bytes(window.view(0, _AHEAD))):
            return True
    if alone and window.broken:
        return False
    if alone:  # the file is one member
        window.back(place)
        window.jump(1)
    while (ready := window.fill(_SCAN)) > 0:
        data = bytes(window.view(0, ready))
        for match in _AGAIN.finditer(data):
            if is_record(data[match.end() : match.end() + _AHEAD]):
                window.jump(match.end())
                return True
        window.jump(max(1, ready - _AHEAD) if ready >= _SCAN else ready)
    return False


def _head(window: Window, place: Place) -> _Head | Broken:
    """The header of the record at the window's place, or what is wrong with it."""
    ready = window.fill(_AHEAD)
    start = bytes(window.view(0, min(ready, _AHEAD)))
    if not _WARC.match(start):
        line = start[: start.find(b"\n") + 1]
        fields = _arc_fields(line)
        if fields is None:
            message = f"no record begins here, but {start[:40]!r}"
            return Broken(place=place, error="no_header", message=message)
        return _Head(size=len(line), length=int(fields["content-length"]), fields=fields, closed=False)
    size = header_end(start)
    if size < 0:
        ready = window.fill(HEADER_BYTES)
        start = bytes(window.view(0, min(ready, HEADER_BYTES)))
        size = header_end(start)
    if size < 0:
        error = "no_header" if ready >= HEADER_BYTES else _class_of(window.broken) if window.broken else "truncated"
        message = f"the record's header does not end within {min(ready, HEADER_BYTES):,} bytes"
        return Broken(place=place, error=error, message=message)
    fields = named_fields(start[:size])
    length = fields.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        message = f"the record's Content-Length is {length[:40]!r}"
        return Broken(place=place, error="content_length", message=message)
    return _Head(size=size, length=int(length), fields=fields, closed=True)


def header_end(data: bytes) -> int:
    """Bytes up to the end of the empty line that ends a header; -1 where there is none."""
    strict = data.find(b"\r\n\r\n")
    loose = data.find(b"\n\n", 0, strict if strict >= 0 else len(data))
    return loose + 2 if loose >= 0 else strict + 4 if strict >= 0 else -1


def named_fields(header: bytes) -> dict[str, str]:
    """Lower-case name -> value of the lines `Name: value` of a header; the first of several, folded lines joined.

    Of `X-Robots-Tag`, which a server sends once per robot, all.
    """
    out: dict[str, str] = {}
    name = ""
    for line in header.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")[1:]:
        if line[:1] in {" ", "\t"} and name:
            out[name] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower() if colon else ""
        if name and name not in out:
            out[name] = value.strip()
        elif name == "x-robots-tag" and len(out[name]) < _MOST_ROBOTS:
            out[name] += ", " + value.strip()
        elif name:
            name = ""
    return out


def _arc_fields(line: bytes) -> dict[str, str] | None:
    """The fields of an ARC record's line in the names of WARC, None where it is no such line.

    Version 1: url, address, date, type, length; version 2 has five more before the length.
    """
    words = line.strip().split(b" ")
    for back in (3, 8):
        if len(words) > back + 1 and _DATE.fullmatch(words[-back]) and words[-1].isdigit() and len(words[-1]) < 16:
            break
    else:
        return None
    url = b" ".join(words[: -back - 1]).decode("utf-8", "replace")
    if ":" not in url:
        return None
    kind = "warcinfo" if url.startswith("filedesc:") else "response" if url.startswith("http") else "resource"
    mime = words[-back + 1].decode("ascii", "replace")
    return {
        "warc-type": kind, "warc-target-uri": url, "warc-ip-address": words[-back - 1].decode("ascii", "replace"),
        "warc-date": _arc_date(words[-back].decode()), "content-length": words[-1].decode(),
        "content-type": "application/http" if kind == "response" else mime,
    }  # fmt: skip


def _arc_date(digits: str) -> str:
    """`19960923142103` as WARC writes dates; shorter ones as the day."""
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    if len(digits) < 14:
        return day
    return f"{day}T{digits[8:10]}:{digits[10:12]}:{digits[12:14]}Z"
