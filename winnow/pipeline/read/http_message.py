"""HTTP responses as archives keep them: status, headers, and the payload with its codings undone, within bounds.

Crawlers often undo a coding and leave its header in place, so what a header declares is undone only where the bytes
agree; what was declared and is not there is told (`gzip?`).

Source: RFC 9112 section 7.1 (chunked), RFC 9110 section 8.4 (content codings)
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO

from winnow.pipeline.read.archive_records import HEADER_BYTES, header_end, named_fields
from winnow.pipeline.read.document import RefusedError

_STATUS = re.compile(rb"(?:HTTP/\d(?:\.\d)?|ICY) +(\d{3})(?!\d)")
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_FEED = 64 << 10
_USUAL_BYTES = 4096  # of a header


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands before the payload of a response: its status, and its headers by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    size: int  # bytes before the payload


def parse_head(block: memoryview) -> Head:
    """The head of the response that a record's block holds. Raises: RefusedError (http_header)."""
    for most in (_USUAL_BYTES, HEADER_BYTES):
        head = bytes(block[:most])
        found, size = _STATUS.match(head), header_end(head)
        if found is None:
            raise RefusedError("http_header", f"the response begins with {head[:40]!r}")
        if size >= 0:
            return Head(status=int(found[1]), headers=named_fields(head[:size]), size=size)
    raise RefusedError("http_header", f"the response's header does not end within {len(head):,} bytes")


def payload_of(block: memoryview, head: Head, cap: int) -> tuple[bytes | memoryview, str]:
    """(the payload with its codings undone, the codings that were declared); at most `cap` bytes.

    `chunked, gzip` says what was undone; `gzip?` was declared and is not there, `gzip!` ends early or breaks off.
    Raises: RefusedError (coding, too_large).
    """
    body: bytes | memoryview = block[head.size :]
    told = []
    for name in _declared(head.headers):
        body, mark = _undone(name, body, cap)
        told.append(name + mark)
    return body, ", ".join(told)


def _declared(headers: Mapping[str, str]) -> list[str]:
    """Codings in the order in which they are undone."""
    transfer = [part.strip().lower() for part in headers.get("transfer-encoding", "").split(",")]
    content = [part.strip().lower() for part in headers.get("content-encoding", "").split(",")]
    named = [name.removeprefix("x-") for name in (*transfer[::-1], *content[::-1])]
    return [name for name in named if name not in {"", "identity", "none", "utf-8", "8bit", "binary"}][:4]


def _undone(name: str, body: bytes | memoryview, cap: int) -> tuple[bytes | memoryview, str]:
    """(the body with one coding undone, '' or the mark that says how far it was true)."""
    if not len(body):
        return body, ""
    undo = _CODINGS.get(name)
    if undo is None:
        if bytes(body[:512]).isascii():
            return body, "?"  # plain text under a coding that nobody knows
        raise RefusedError("coding", f"the payload's coding is {name[:40]!r}, which is not read")
    out, mark = undo(body, cap)
    if len(out) > cap:
        raise RefusedError("too_large", f"the payload is longer than {cap:,} bytes once its {name} is undone")
    return out, mark


def _chunked(body: bytes | memoryview, cap: int) -> tuple[bytes | memoryview, str]:
    view, at = memoryview(body), 0
    parts: list[bytes] = []
    while True:
        found = _CHUNK.match(bytes(view[at : at + 1100]))
        if found is None:
            if not at:
                return body, "?"
            return b"".join(parts), "!"
        size, start = int(found[1], 16), at + found.end()
        if not size:
            return b"".join(parts), ""
        parts.append(bytes(view[start : start + size]))
        if start + size > len(view):
            return b"".join(parts), "!"
        after = bytes(view[start + size : start + size + 2])
        at = start + size + (2 if after == b"\r\n" else 1 if after[:1] == b"\n" else 0)


def _inflated(bits: tuple[int, ...]) -> Callable[[bytes | memoryview, int], tuple[bytes | memoryview, str]]:
    def undo(body: bytes | memoryview, cap: int) -> tuple[bytes | memoryview, str]:
        for window in bits:
            found = _inflate(body, window, cap)
            if found is not None:
                return found
        return body, "?"

    return undo


def _inflate(body: bytes | memoryview, window: int, cap: int) -> tuple[bytes, str] | None:
    """The stream inflated, up to a little more than `cap` bytes; None where it is none of that kind."""
    view, decoder, parts, held = memoryview(body), zlib.decompressobj(window), [], 0
    try:
        for at in range(0, len(view), _FEED):
            data = view[at : at + _FEED]
            while len(data) and held <= cap:
                parts.append(decoder.decompress(data, cap + 1 - held))
                held += len(parts[-1])
                data = memoryview(decoder.unconsumed_tail)
            if decoder.eof or held > cap:
                break
    except zlib.error:
        return (b"".join(parts), "!") if held else None
    if not held and not decoder.eof:
        return None
    return b"".join(parts), "" if decoder.eof or held > cap else "!"


def _streamed(reader: str) -> Callable[[bytes | memoryview, int], tuple[bytes | memoryview, str]]:
    def undo(body: bytes | memoryview, cap: int) -> tuple[bytes | memoryview, str]:
        from fastwarc import stream_io

        stream = getattr(stream_io, reader)(BytesIO(body))
        parts, held = [], 0
        try:
            while held <= cap and (data := stream.read(min(_FEED * 16, cap + 1 - held))):
                parts.append(data)
                held += len(data)
        except OSError:
            return (b"".join(parts), "!") if held else (body, "?")
        return b"".join(parts), ""

    return undo


_CODINGS: Mapping[str, Callable[[bytes | memoryview, int], tuple[bytes | memoryview, str]]] = {
    "chunked": _chunked, "gzip": _inflated((31,)), "deflate": _inflated((15, -15)), "br": _streamed("BrotliReader"),
    "zstd": _streamed("ZstdReader"),
}  # fmt: skip
