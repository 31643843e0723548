"""The first documents that a reader will read, without a run root: `rows.head(5)`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.operators import Bad, Choice, Derive, FileSlice, Lacks, Union, port_fields
from winnow.core.store.parts import frame_of
from winnow.dags.python.step import Step
from winnow.dags.recipe.found_files import find_files, kind_of, refuse_dangling

MOST = 10_000  # documents in memory at once, and no run root to keep them in
_INNER = ("locator", "rel", "_id")  # what ids are made of


def first_documents(space: Step, n: int) -> pl.DataFrame:
    """The first `n` documents of a row space: `text`, `origin` and the declared columns, in the order of the files.

    Reads no further than it has to. Records that are no documents are passed over with a warning.

    Raises: ConfigError where no reader opens the rows, for an `n` outside [0, 10,000], or where a file is not there.
    """
    if not 0 <= n <= MOST:
        raise ConfigError(
            f"n is {n}, not in [0, {MOST:,}]", where="n", hint="`.run(root)`, then `run.frame(stage)`, reads any number"
        )
    bad: list[Bad] = []
    out: list[pl.DataFrame] = []
    left = n
    for frame in _frames(_readers(space), bad) if n else ():
        out.append(frame.head(left))
        left -= out[-1].height
        if left <= 0:
            break
    if bad:
        first = f"the first is {bad[0].origin}: {bad[0].error}: {bad[0].message}"
        warnings.warn(f"{len(bad):,} records that were met are no documents; {first}", stacklevel=3)
    return pl.concat(out, how="diagonal") if out else pl.DataFrame(schema={"text": pl.String, "origin": pl.String})


def _readers(space: Step) -> list[Step]:
    """The readers behind a row space, in its order. Raises ConfigError where rows are made by a run."""
    if isinstance(space.operator, Derive):
        return [space]
    if isinstance(space.operator, Union):
        return [reader for each in space.inputs for reader in _readers(each)]
    raise ConfigError(
        f"the rows of {space.name!r} are made by a run, not read from files", where=space.name,
        hint=f"run = rows.run(root), then run.head({space.name!r})",
    )  # fmt: skip


def _with_paths(reader: Derive, where: str) -> Derive:
    """The reader with the paths of files that it looks up beside those that it reads."""
    named = {}
    for port, kind in port_fields(reader).items():
        if kind == "files" and port != "files" and getattr(reader, port):
            files = find_files(getattr(reader, port), base="", folder=Path.cwd(), where=f"{where}.{port}")
            named[port] = tuple(file.path for file in files)
    return replace(reader, **named) if named else reader


def _frames(readers: Sequence[Step], bad: list[Bad]) -> Iterator[pl.DataFrame]:
    def tell(told: Bad | Lacks | Choice) -> None:
        if isinstance(told, Bad):
            bad.append(told)

    for step in readers:
        reader = step.operator
        assert isinstance(reader, Derive)
        files = [str(f) for f in getattr(reader, "files", ())]
        base = str(getattr(reader, "base", ""))
        found = reader.choose(
            find_files(files, base=base, folder=Path.cwd(), where=step.name, kind=kind_of(reader, ""))
        )
        refuse_dangling(found, step.name)
        reader = _with_paths(reader, step.name)
        for file in found:
            piece = FileSlice(path=file.path, rel=file.rel, digest="", size=file.size)
            for table in reader.read([piece], tell):
                yield frame_of(table.drop_columns([c for c in _INNER if c in table.column_names]))
