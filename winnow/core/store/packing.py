"""Compressed files, by their suffix: the one place that knows which ones are read."""

from __future__ import annotations

import gzip
from typing import IO, Any

import zstandard

GZIP = (".gz", ".gzip")
ZSTD = (".zst", ".zstd")
UNSUPPORTED = (".bz2", ".xz", ".lz4", ".br", ".zip", ".7z", ".lzma", ".tar", ".tgz", ".rar")
ZSTD_WINDOW_BYTES = 1 << 31  # files packed with `--long=31` are common; the window is the one larger buffer
_READ = 1 << 16


def unpacked(raw: IO[bytes], name: str) -> Any:
    """The bytes of an open file as a stream, decompressed where its name says that they are compressed."""
    if name.lower().endswith(GZIP):
        return gzip.GzipFile(fileobj=raw)
    if name.lower().endswith(ZSTD):
        context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        return context.stream_reader(raw, read_size=_READ, read_across_frames=True)
    return raw


def packed(data: bytes, name: str) -> bytes:
    """The bytes of a file of that name with this content; equal data give equal bytes."""
    if name.lower().endswith(GZIP):
        return gzip.compress(data, compresslevel=1, mtime=0)
    return zstandard.compress(data, 1) if name.lower().endswith(ZSTD) else data
