"""Evaluation files as items that a pool must not hold: one task per file or sub-folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
from pyarrow import feather

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Job, Kind, Resources, port
from winnow.core.operators.contract import Meaning
from winnow.pipeline.filter.eval_records import SUFFIXES, item_of, records_of
from winnow.pipeline.filter.protected_matches import ITEMS

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class EvalTasks(Job):
    """The items of evaluation files, each a question with its right answer, for `decontaminate: {against: ...}`.

    `files` are folders or files of JSON Lines, JSON, Parquet, CSV or TSV (`.gz` and `.zst` too), in any form: logs of
    lm-evaluation-harness, LLM Foundry's gauntlet, data sets as published. A task is called like its file, or like its
    sub-folder below the folder that holds all. Of a record the fields of the question are read in their order, then
    the right answer (the choice that `gold`, `label` or `answerKey` names); of one without a known field all its
    texts. `fields` reads just those instead.

    Raises:
        DataError: a record cannot be read, a field of `fields` is in no record of a task, or there is no item.
    Cost: about 10 us per record; the items are held in memory.
    Source: own
    """

    name: ClassVar[str] = "eval_tasks"
    role: ClassVar[str] = "filter"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    meaning: ClassVar[Mapping[str, Meaning]] = {"fields": "labels"}
    holds: ClassVar[tuple[str, ...]] = ("text",)
    resources: ClassVar[Resources] = Resources(memory_gb=2)

    files: tuple[str, ...] = port("files")
    fields: tuple[str, ...] = ()  # of the records, that are read; (): the known ones

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where no file is of a kind that is read."""
        if not any(path.lower().endswith(SUFFIXES) for path in paths):
            raise ConfigError("no evaluation file is named", where="files", hint=f"known: {', '.join(SUFFIXES)}")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the items; their number, by task."""
        paths = [Path(path) for path in ctx.refs.get("files", self.files)]
        read = [path for path in paths if path.name.lower().endswith(SUFFIXES)]
        names, texts, tasks = [], [], []
        unknown: Counter[str] = Counter()
        for path, task in zip(read, task_names(read), strict=True):
            held: set[str] = set()
            for number, record in records_of(path):
                text, known = item_of(record, self.fields)
                held |= {name for name in self.fields if name in record}
                unknown[task] += not known
                names.append(f"{task}/{path.name}:{number}")
                texts.append(text)
                tasks.append(task)
            missing = [name for name in self.fields if name not in held]
            if missing:
                raise DataError(f"no record of {path.name} has {missing[0]!r}", where="fields",
                                hint="name fields that they have, or none")  # fmt: skip
        if not names:
            raise DataError("the evaluation files hold no record", where="files")
        columns = {"name": names, "text": texts, "task": tasks}
        table = pa.table({key: pa.array(values, pa.large_string()) for key, values in columns.items()})
        feather.write_feather(table, ctx.work / ITEMS, compression="uncompressed")
        self._told(ctx, paths, read, unknown)
        many = pl.Series(tasks).value_counts().sort("")
        ctx.note("summary", f"{len(names):,} items of {many.height:,} tasks")
        return {"items": len(names), "tasks": dict(many.iter_rows())}

    def _told(self, ctx: Context, paths: Sequence[Path], read: Sequence[Path], unknown: Counter[str]) -> None:
        """Files that are not read, and records without a known field."""
        others = [path.name for path in paths if path not in set(read)]
        if others:
            ctx.remark(f"passed over {len(others):,} files that hold no records: {', '.join(others[:_SHOWN])}")
        odd = {task: n for task, n in unknown.items() if n}
        if odd:
            shown = ", ".join(f"{task} {n:,}" for task, n in list(odd.items())[:_SHOWN])
            ctx.remark(f"{sum(odd.values()):,} records of {len(odd):,} tasks have no field known for a question and "
                       f"are taken with all their texts ({shown}): `fields` says which")  # fmt: skip


def task_names(paths: Sequence[Path]) -> list[str]:
    """What each file's task is called: its first folder below the one that holds all, or the file itself."""
    root = os.path.commonpath([path.parent for path in paths]) if paths else ""
    first = [path.relative_to(root).parts[0] for path in paths]
    return [name.split(".")[0] or name if name == path.name else name for name, path in zip(first, paths, strict=True)]
