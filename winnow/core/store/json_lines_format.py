"""JSON Lines shards: ids as hex digits, and only texts come back exactly."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, ClassVar

import orjson
import polars as pl
import pyarrow as pa

from winnow.core.store.no_value import not_finite
from winnow.core.store.shard_format import BATCH_ROWS, ShardFormat

TEXTS = ("doc_id", "text", "origin")
LINES_BYTES = 16 << 20


class JsonLines(ShardFormat):
    """`format: jsonl`: one object per row."""

    name: ClassVar[str] = "jsonl"
    suffix: ClassVar[str] = ".jsonl"

    def write(self, sink: IO[bytes], table: pa.Table) -> None:
        """One object per row; bytes as hex digits."""
        with self._packed(sink) as out:
            for batch in table.to_batches(max_chunksize=BATCH_ROWS):
                rows = [
                    {k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()} for row in batch.to_pylist()
                ]
                out.write(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))

    def in_file(self, columns: Sequence[str]) -> list[str]:
        """All but the text's hash."""
        return [c for c in columns if c != "text_hash"]

    def exact(self, columns: Sequence[str]) -> list[str]:
        """JSON cannot hold fixed-size ids and exact types: only the texts that every row has."""
        return [c for c in columns if c in ("text", "origin")]

    def read(self, source: pa.NativeFile, columns: Sequence[str] | None) -> pa.Table:
        """The named columns; a column whose first value is a text is one of texts, others are numbers."""
        raw = self._unpacked(source).read()
        names = list(columns) if columns else None
        if not raw.strip():
            return pa.table({name: pa.array([], pa.large_string()) for name in names or ()})
        schema = _types(raw[: raw.index(b"\n") if b"\n" in raw else None], names) if names else None
        frame = pl.read_ndjson(raw, schema=schema, infer_schema_length=None)
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())

    def unwritten(self, table: pa.Table) -> dict[str, int]:
        """Infinities: JSON has none."""
        return not_finite(table)

    def columns(self, source: pa.NativeFile) -> list[str]:
        """Names in the first record."""
        line = io.BufferedReader(self._unpacked(source)).readline()
        return list(orjson.loads(line)) if line.strip() else []

    def frames(self, source: pa.NativeFile, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Frames of about 16 MB of lines."""
        lines = io.BufferedReader(self._unpacked(source), LINES_BYTES)
        schema: dict[str, Any] | None = None
        for piece in iter(lambda: lines.readlines(LINES_BYTES), []):
            schema = schema or _types(piece[0], columns)
            yield pl.read_ndjson(b"".join(piece), schema=schema).select(columns)

    def _packed(self, sink: IO[bytes]) -> AbstractContextManager[Any]:
        return nullcontext(sink)

    def _unpacked(self, source: pa.NativeFile) -> Any:
        return source


class PackedJsonLines(JsonLines):
    """`format: jsonl.zst`: the same lines, compressed."""

    name: ClassVar[str] = "jsonl.zst"
    suffix: ClassVar[str] = ".jsonl.zst"

    def _packed(self, sink: IO[bytes]) -> AbstractContextManager[Any]:
        import zstandard

        packed: AbstractContextManager[Any] = zstandard.ZstdCompressor(level=3).stream_writer(sink, closefd=False)
        return packed

    def _unpacked(self, source: pa.NativeFile) -> Any:
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True, closefd=False)


def _types(first: bytes, columns: Sequence[str]) -> dict[str, Any]:
    record = orjson.loads(first)
    return {c: pl.String if c in TEXTS or isinstance(record.get(c), str) else pl.Float64 for c in columns}
