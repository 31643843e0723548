"""Which records of which archives an index names: Parquet as Common Crawl's columnar index, CDX, or CDXJ.

A record is named by its archive and the offset of its compressed member (of the record, where the archive is plain).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import FileSlice
from winnow.core.store.packing import PACKED
from winnow.pipeline.read.byte_stream import ByteStream

_NAMES = (("warc_filename", "warc_record_offset"), ("filename", "offset"))
_USUAL = {11: b"N b a m s k r M S V g", 9: b"N b a m s k r V g"}  # columns of a CDX without a first line
_MAX_LINE = 1 << 20
_LINES = (".cdx", ".cdxj")
Entry = tuple[str, int]  # archive, offset; a record's own header says how long it is


def is_index(path: str) -> bool:
    """Whether the name says that the file is an index."""
    return _kind(path) is not None


class ArchiveIndex:
    """The records that index files name. Cost: a pass over the files; about 60 bytes per record named."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._named: dict[str, set[int]] = defaultdict(set)
        for path in paths:
            for name, offset in _entries(path):
                self._named[name].add(offset)

    def of(self, rel: str) -> list[int]:
        """Offsets of the records named in an archive, in order, each once."""
        return sorted({offset for name, named in self._named.items() if _same(name, rel) for offset in named})

    def without_file(self, rels: Sequence[str]) -> dict[str, int]:
        """Archive -> records named in it, of the archives that are not among `rels`."""
        ends = {rel.rpartition("/")[2] for rel in rels}
        return {
            name: len(offsets)
            for name, offsets in sorted(self._named.items())
            if name.rpartition("/")[2] not in ends or not any(_same(name, rel) for rel in rels)
        }


def _same(name: str, rel: str) -> bool:
    """Whether an index's name and a relative path are of one file: either may have more folders before it."""
    return name == rel or name.endswith(f"/{rel}") or rel.endswith(f"/{name}")


def _kind(path: str) -> str | None:
    name = path.lower()
    if name.endswith(".parquet"):
        return "parquet"
    for packed in PACKED:
        name = name.removesuffix(packed)
    return "lines" if name.endswith(_LINES) else None


def _entries(path: str) -> Iterator[Entry]:
    yield from _of_parquet(path) if _kind(path) == "parquet" else _of_lines(path)


def _of_parquet(path: str) -> Iterator[Entry]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = next((names for names in _NAMES if {*names} <= {*file.schema_arrow.names}), None)
            if names is None:
                wanted = " or ".join(", ".join(names) for names in _NAMES)
                there = ", ".join(file.schema_arrow.names[:30])
                raise DataError(f"{path} has no columns {wanted} (it has: {there})", where=path, hint="name an index")
            for batch in file.iter_batches(columns=list(names), use_threads=False):
                for name, offset in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    if name is None or offset is None:
                        what = f"{path} has a record without {names[0]} or {names[1]}"
                        raise DataError(what, where=path, hint="leave it out")
                    yield str(name), int(offset)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file: {error}", where=path, hint="fetch the index again") from error


def _of_lines(path: str) -> Iterator[Entry]:
    size = Path(path).stat().st_size
    piece = FileSlice(path=path, rel=Path(path).name, digest="", size=size)
    legend: list[bytes] = []
    for at, line in ByteStream(piece).lines(_MAX_LINE):
        if line is None or not line.strip():
            continue
        if line.lstrip().upper().startswith(b"CDX "):
            legend = line.split()[1:]
            continue
        entry = _of_json(line) or _of_columns(line, legend)
        if entry is None:
            what = f"the line at byte {at} names no record: {line[:80]!r}"
            raise DataError(what, where=path, hint="CDX has a first line that says its columns, CDXJ a JSON object")
        yield entry


def _of_json(line: bytes) -> Entry | None:
    start = line.find(b"{")
    if start < 0:
        return None
    with suppress(orjson.JSONDecodeError, KeyError, ValueError, TypeError):
        found: dict[str, Any] = orjson.loads(line[start:])
        return str(found["filename"]), int(found["offset"])
    return None


def _of_columns(line: bytes, legend: Sequence[bytes]) -> Entry | None:
    words = line.split()
    names = legend or _USUAL.get(len(words), b"").split()
    if len(words) != len(names) or b"V" not in names or b"g" not in names:
        return None
    with suppress(ValueError):
        return words[names.index(b"g")].decode("utf-8", "replace"), int(words[names.index(b"V")])
    return None
