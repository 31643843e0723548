"""Small archives for the tests, byte for byte as they are told to be."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import zstandard


def http(body: bytes, *headers: str, status: str = "200 OK", mime: str = "text/html; charset=utf-8") -> bytes:
    lines = [f"HTTP/1.1 {status}", *([f"Content-Type: {mime}"] if mime else []), *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def warc(
    block: bytes, *, url: str = "http://a.org/", kind: str = "response", length: object = None, more: str = ""
) -> bytes:
    """One record; `length` where it lies about its own."""
    mime = "application/http; msgtype=response" if kind == "response" else "text/plain"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:{url}>\r\nWARC-Date: 2024-01-02T03:04:05Z\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-IP-Address: 1.2.3.4\r\nContent-Type: {mime}\r\n{more}"
        f"Content-Length: {len(block) if length is None else length}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def page(text: str | bytes, **more: object) -> bytes:
    return warc(http(text if isinstance(text, bytes) else text.encode()), **more)  # type: ignore[arg-type]


def arc(block: bytes, *, url: str = "http://a.org/", length: int | None = None) -> bytes:
    return (
        f"{url} 1.2.3.4 20240102030405 text/html {len(block) if length is None else length}\n".encode() + block + b"\n"
    )


ARC_HEAD = arc(b"1 0 Test\nURL IP-address Archive-date Content-type Archive-length\n", url="filedesc://test.arc")


def plain(records: Sequence[bytes]) -> bytes:
    return b"".join(records)


def members(records: Sequence[bytes]) -> bytes:
    return b"".join(gzip.compress(r, mtime=0) for r in records)


def stream(records: Sequence[bytes]) -> bytes:
    return gzip.compress(b"".join(records), mtime=0)


def blocks(records: Sequence[bytes]) -> bytes:
    """Members that end anywhere, as bgzip writes them."""
    whole = b"".join(records)
    size = max(97, len(whole) // 50)
    return b"".join(gzip.compress(whole[i : i + size], mtime=0) for i in range(0, len(whole), size))


def frames(records: Sequence[bytes]) -> bytes:
    one = zstandard.ZstdCompressor(write_checksum=True)
    return b"".join(one.compress(r) for r in records)


def one_frame(records: Sequence[bytes]) -> bytes:
    return zstandard.compress(b"".join(records))


def with_dictionary(records: Sequence[bytes], *, packed: bool = False) -> bytes:
    """Frames that need the dictionary which the file begins with."""
    raw = zstandard.train_dictionary(4096, [b"%d" % i + records[i % len(records)][:400] for i in range(200)])
    one = zstandard.ZstdCompressor(dict_data=raw)
    data = zstandard.compress(raw.as_bytes()) if packed else raw.as_bytes()
    head = b"\x5d\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data
    return head + b"".join(one.compress(r) for r in records)


CONTAINERS = {  # name -> (suffix, records -> bytes)
    "plain": (".warc", plain), "members": (".warc.gz", members), "stream": (".warc.gz", stream),
    "blocks": (".warc.gz", blocks), "frames": (".warc.zst", frames), "one frame": (".warc.zst", one_frame),
    "dictionary": (".warc.zst", with_dictionary),
    "packed dictionary": (".warc.zst", lambda records: with_dictionary(records, packed=True)),
}  # fmt: skip
