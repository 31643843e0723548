"""Curated text as a training job finds it: the shards that `write` made, or the selection of an opened run.

A shard is read in small batches of doc_id, text and weight, and has a digest: that of its bytes, or the fingerprint of
the run's stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import orjson
import polars as pl
import pyarrow as pa
import xxhash

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.store.formats import format_of, shard_suffixes
from winnow.core.store.locations import refuse_scheme
from winnow.core.store.names import INDEX, index_of
from winnow.core.store.shard_format import ShardFormat

_CHUNK = 1 << 24


@runtime_checkable
class OpenedRun(Protocol):
    """What `winnow.open` returns, as far as it is used here."""

    @property
    def location(self) -> str:
        """The run root, as `open_store` takes it."""

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Stage -> its operator, kind, fingerprint, columns."""

    def frame(self, stage: str, columns: Sequence[str], *, doc_id: Literal["binary", "hex"] = "hex") -> pl.LazyFrame:
        """`doc_id` and `columns` of all rows of a stage."""


Shards: TypeAlias = str | Path | Sequence[str | Path] | OpenedRun
Reader: TypeAlias = Callable[[Sequence[str]], Iterator[pl.DataFrame]]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One piece of the data: its name, its digest when asked, and its rows.

    `read(columns)` gives frames with doc_id (16 bytes) first, `columns()` the names that it has, of a run's stage those
    that are its own; `path` is None for a run's stage.
    """

    name: str
    path: Path | None
    expected: str  # digest by the index or the run; '' where nobody says
    read: Reader
    columns: Callable[[], Sequence[str]] = tuple

    def stamp(self) -> tuple[int, ...]:
        """(bytes, mtime, ctime in ns, inode): equal stamps are taken for equal bytes; zeros for a run's stage.

        Raises:
            DataError: the shard is gone.
        """
        if self.path is None:
            return 0, 0, 0, 0
        try:
            found = self.path.stat()
        except FileNotFoundError as error:
            hint = "put it back, or make the data set anew in another `cache`"
            raise DataError("a shard is gone", where=str(self.path), hint=hint) from error
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino

    def digest(self) -> str:
        """xxh3-128 of the shard's bytes, or what stands for it, 32 hex digits."""
        return self.expected if self.path is None else file_digest(self.path)


def find_shards(source: Shards, *, stage: str | None = None) -> list[Shard]:
    """The shards of a folder (by its index where it has one), a glob, a list of files, or a run's stage.

    Raises:
        ConfigError: there are none, or a stage is missing or too much. DataError: a shard of the index is gone.
    """
    if isinstance(source, OpenedRun):
        return [_of_run(source, stage)]
    if stage is not None:
        raise ConfigError("`stage` is for opened runs", where="stage", hint="pass `winnow.open(root)` as the shards")
    for each in [source] if isinstance(source, str | Path) else source:
        refuse_scheme(str(each), where="shards")
    expected: dict[str, str] = {}
    if isinstance(source, str | Path):
        folder = Path(source)
        paths = sorted(_in_folder(folder, expected) if folder.is_dir() else _matching(str(source)))
    else:
        paths = [Path(p) for p in source]
    if not paths:
        raise ConfigError(
            f"no shards at {source}", where="shards", hint=f"files that end in {', '.join(shard_suffixes())}"
        )
    names = [p.name for p in paths]
    clear = len(set(names)) == len(names)
    return [_of_file(p.absolute(), p.name if clear else str(p), expected.get(p.name, "")) for p in paths]


def file_digest(path: Path) -> str:
    """xxh3-128 of a file's bytes, 32 hex digits."""
    state = xxhash.xxh3_128()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _in_folder(folder: Path, expected: dict[str, str]) -> list[Path]:
    """The shards of a folder; `expected` is filled with the digests of its index."""
    known = (Path(index_of(str(folder.absolute()))), folder / INDEX)  # the latter was made by an earlier version
    index = next((path for path in known if path.is_file()), None)
    if index is None:
        return [p for p in folder.iterdir() if p.name.endswith(shard_suffixes()) and not p.name.startswith((".", "_"))]
    expected |= {s["file"]: s.get("xxh3_128", "") for s in orjson.loads(index.read_bytes())["shards"]}
    gone = [name for name in expected if not (folder / name).is_file()]
    if gone:
        raise DataError(f"{len(gone)} shards of the index are gone", where=str(folder / gone[0]))
    return [folder / name for name in expected]


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    base = Path(path.anchor) if path.is_absolute() else Path()
    return [p for p in base.glob(str(path.relative_to(base))) if p.is_file()]


def _of_file(path: Path, name: str, expected: str) -> Shard:
    form = format_of(str(path))

    def names() -> Sequence[str]:
        with _opened(path, form) as source:
            return form.columns(source)

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        wanted, found = ["doc_id", *columns], names()
        if found:  # a file of lines without a line has none
            _check_columns(found, wanted, path)
        with _opened(path, form) as source:
            for frame in form.frames(source, wanted):
                yield _with_ids(frame, path)

    return Shard(name=name, path=path, expected=expected, read=read, columns=names)


def _of_run(run: OpenedRun, stage: str | None) -> Shard:
    stages = run.stages
    if stage is None or stage not in stages:
        known = [name for name, s in stages.items() if s["kind"] in ("rows", "columns")]
        raise ConfigError(f"no stage {stage!r} to train on", where="stage", hint=did_you_mean(stage or "", known))
    selected = "kept" in stages[stage]["columns"]

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        frame = run.frame(stage, [*columns, *(["kept"] if selected else [])], doc_id="binary")
        frame = frame.filter("kept").drop("kept") if selected else frame
        yield from frame.collect_batches(maintain_order=True)

    own = list(stages[stage]["columns"])
    return Shard(name=stage, path=None, expected=stages[stage]["fingerprint"], read=read, columns=lambda: own)


def _opened(path: Path, form: ShardFormat) -> pa.NativeFile:
    return pa.memory_map(str(path), "rb") if form.mapped else pa.OSFile(str(path), "rb")


def _check_columns(names: Iterable[str], columns: Sequence[str], path: Path) -> None:
    known = list(names)
    for name in columns:
        if name not in known:
            raise ConfigError(f"the shard has no column {name!r}", where=str(path), hint=did_you_mean(name, known))


def _with_ids(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """doc_id as 16 bytes, whether it came as bytes or as 32 hex digits."""
    ids = frame["doc_id"]
    if ids.dtype == pl.String:
        ids = ids.str.decode("hex", strict=False)
    if ids.dtype != pl.Binary or ids.null_count() or (ids.bin.size() != 16).any():
        raise DataError("a doc_id is not 16 bytes or 32 hex digits", where=str(path))
    return frame.with_columns(ids.alias("doc_id"))
