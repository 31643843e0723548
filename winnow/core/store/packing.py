"""Compressed files, by their suffix: the one place that knows which ones are read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterable
from typing import IO, Any

import zstandard

GZIP = (".gz", ".gzip")
ZSTD = (".zst", ".zstd")
BZIP2 = (".bz2",)
XZ = (".xz",)
PACKED = (*GZIP, *ZSTD, *BZIP2, *XZ)
USUAL = (".gz", ".zst", ".bz2", ".xz")  # one suffix of each, as folders of data have them
UNSUPPORTED = (".lz4", ".br", ".zip", ".7z", ".lzma", ".tar", ".tgz", ".rar")
ZSTD_WINDOW_BYTES = 1 << 31  # files packed with `--long=31` are common; the window is the one larger buffer
XZ_MEMORY_BYTES = 1 << 30  # `xz -9` needs 65 MB; its largest dictionary would need 4 GB
MAGIC = {b"\x1f\x8b\x08": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"PK\3\4": ".zip"}
_BZIP2_BLOCK = b"1AY&SY"  # behind `BZh` and a digit, which a text may begin with
UNPACKING_ERRORS = (EOFError, OSError, ValueError, zlib.error, zstandard.ZstdError, lzma.LZMAError)
_READ = 1 << 16


def with_packed(*suffixes: str) -> tuple[str, ...]:
    """The suffixes, and each with the suffix of every compression behind it."""
    return tuple(suffix + end for suffix in suffixes for end in ("", *USUAL))


def in_words(suffixes: Iterable[str]) -> str:
    """Suffixes as a sentence has them: those of compressed files only where the plain ones are not among them."""
    names = list(dict.fromkeys(suffixes))
    plain = [name for name in names if without_packed(name) == name or without_packed(name) not in names]
    more = f" (also compressed: {', '.join(USUAL)})" if len(plain) < len(names) else ""
    return f"{', '.join(plain)}{more}"


def without_packed(name: str) -> str:
    """A name without the suffix of its compression."""
    end = next((end for end in PACKED if name.lower().endswith(end)), "")
    return name[: len(name) - len(end)]


def packed_as(first: bytes) -> str:
    """The suffix of the compression that a file's first ten bytes are of; none for others."""
    found = next((end for magic, end in MAGIC.items() if first.startswith(magic)), "")
    return found if found != ".bz2" or first[4:10] == _BZIP2_BLOCK else ""


def misnamed(first: bytes, name: str) -> str:
    """What is to be done about a file whose name says nothing of the compression that its first bytes are of."""
    found = packed_as(first) if without_packed(name) == name else ""
    if not found:
        return ""
    return f"unpack it: {found} is not read" if found in UNSUPPORTED else f"let its name end in {found}"


def unpacked(raw: IO[bytes], name: str) -> Any:
    """The bytes of an open file as a stream, decompressed where its name says that they are compressed.

    What reading raises for damaged data is among `UNPACKING_ERRORS`.
    """
    kind = name.lower()
    if kind.endswith(GZIP):
        return gzip.GzipFile(fileobj=raw)
    if kind.endswith(ZSTD):
        context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        return context.stream_reader(raw, read_size=_READ, read_across_frames=True)
    if kind.endswith(BZIP2):
        return bz2.BZ2File(raw)
    return lzma.LZMAFile(raw) if kind.endswith(XZ) else raw


def packed(data: bytes, name: str) -> bytes:
    """The bytes of a file of that name with this content; equal data give equal bytes."""
    kind = name.lower()
    if kind.endswith(GZIP):
        return gzip.compress(data, compresslevel=1, mtime=0)
    if kind.endswith(ZSTD):
        return zstandard.compress(data, 1)
    if kind.endswith(BZIP2):
        return bz2.compress(data, 1)
    return lzma.compress(data, preset=0) if kind.endswith(XZ) else data
