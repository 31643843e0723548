"""The shards that a card describes: their files with digests, and the columns in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from winnow.core.errors import StoreError
from winnow.core.operators import ROW_COLUMNS
from winnow.core.store.formats import format_named
from winnow.core.store.shard_format import IDS
from winnow.dags.looking.finished import FinishedStage

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ShardFile:
    """One file: `path` is relative to the card."""

    path: str
    rows: int
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Shards:
    """All files of one set, in order."""

    files: tuple[ShardFile, ...]
    folder: str  # relative to the card
    format: str
    suffix: str
    columns: Mapping[str, pa.DataType]  # as they lie in the files
    digest: str  # content digest: equal for any layout

    @property
    def pattern(self) -> str:
        """A glob of the files, relative to the card."""
        return f"{self.folder}/*{self.suffix}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)


def shards_of(
    view: FinishedStage, index: Mapping[str, Any], place: Callable[[str], Path], *, folder: str, form: str
) -> Shards:
    """The files that an index names, digested; `place` says where each lies, `folder` is what the card calls that.

    Raises: StoreError where a file is gone or is not what the index says. Cost: every byte once.
    """
    known = format_named(form)
    files = tuple(_file(place(str(one["file"])), one, folder) for one in index["shards"])
    written = {**ROW_COLUMNS, **view.outputs}
    columns = {name: pa.large_string() if name in IDS else written[name] for name in known.in_file(list(written))}
    return Shards(files=files, folder=folder, format=form, suffix=known.suffix, columns=columns,
                  digest=str(index["content_digest"]))  # fmt: skip


def _file(path: Path, entry: Mapping[str, Any], folder: str) -> ShardFile:
    hint = "remove this stage folder and run again: `winnow run` recomputes what is missing"
    ours, theirs, size = xxhash.xxh3_128(), hashlib.sha256(), 0
    try:
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                ours.update(chunk)
                theirs.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise StoreError(f"a shard cannot be read: {error.strerror or error}", where=str(path), hint=hint) from error
    if ours.hexdigest() != entry["xxh3_128"]:
        raise StoreError(f"a shard of {size:,} bytes is not the one that its index names", where=str(path), hint=hint)
    return ShardFile(path=f"{folder}/{entry['file']}", rows=entry["rows"], size=size, sha256=theirs.hexdigest())
