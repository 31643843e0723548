"""Files that a stage of another run left, named as RUN/STAGE: `against: runs/july/seen`.

RUN is a run root, or ROOT:NAME; alone it means the one stage of its latest run that a port takes. An operator says in
`of_runs` which of its ports take such names, and of which operator the stage must be. Anything else is a path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.store.locations import open_store, refuse_scheme
from winnow.core.store.store import Store
from winnow.dags.recipe.found_files import Found, kind_of, look_for
from winnow.dags.recipe.input_files import InputFile
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.records import RunRecord, latest_record
from winnow.dags.recipe.registry import class_named


def files_of(node: Node, port: str, *, base: str, folder: Path, where: str, root: str) -> Found:
    """The files of a port. Of stages of other runs in the order in which they are named, whatever their folders.

    Raises: ConfigError as `look_for` does, and where a run, or a finished stage of it, is not there.
    """
    patterns: Sequence[str] = getattr(node.operator, port)
    wanted, kind = node.operator.of_runs.get(port), kind_of(node.operator, root, port)
    if wanted is None:
        return look_for(patterns, base=base, folder=folder, where=where, kind=kind)
    found = Found()
    for number, pattern in enumerate(patterns):
        refuse_scheme(pattern, where=where)
        path = _path_of(pattern, wanted, folder, where)
        one = look_for([path], base="", folder=folder, where=where, kind=kind)
        found.told += one.told
        named = [dataclasses.replace(file, rel=f"{number}/{Path(file.rel).name}") for file in one.files]
        found.files += sorted(named, key=lambda file: file.rel)
    return found


def with_digests(node: Node, files: list[InputFile]) -> list[InputFile]:
    """The files, of which the operator has seen the digests. Raises: ConfigError where it refuses them."""
    try:
        node.operator.check_digests({file.path: file.digest for file in files})
    except ConfigError as error:
        raise ConfigError(error.what, where=f"stages.{node.spoken}.{error.where}", hint=error.hint) from error
    return files


def _path_of(pattern: str, wanted: Sequence[str], folder: Path, where: str) -> str:
    """The path of the files that RUN or RUN/STAGE means; any other path as it is."""
    starts = list(dict.fromkeys((Path.cwd(), folder)))
    above, _, stage = pattern.rstrip("/").rpartition("/")
    for full in (start / pattern for start in starts):
        if (full / "runs").is_dir():
            store = open_store(str(full))
            return _published(store, latest_record(store), "", wanted, where)
        if full.exists():
            return pattern
    for root, name, inner in ((above, "", stage), (*_named(above), stage), (*_named(pattern), "")):
        for full in (start / root for start in starts if root):
            if (full / "runs").is_dir():
                store = open_store(str(full))
                return _published(store, latest_record(store, name or None), inner, wanted, where)
    if "*" in pattern:
        return pattern
    hint = f"name RUN/STAGE of a stage that is a `{wanted[0]}`, or a folder of its files"
    raise ConfigError(f"{pattern!r} is neither a stage of a run nor a folder", where=where, hint=hint)


def _named(root: str) -> tuple[str, str]:
    """(root, name) of ROOT:NAME; ('', '') of others."""
    at, colon, name = root.rpartition(":")
    return (at, name) if colon and "/" not in name else ("", "")


def _published(store: Store, record: RunRecord, stage: str, wanted: Sequence[str], where: str) -> str:
    """The folder in which a stage's files stand under their own names."""
    shown = record.shown_names()
    fitting = {shown[n]: entry for n, entry in record.stages.items() if entry.get("operator") in wanted}
    missing = "add `seen: {use: dedup_index, of: STAGE}` to its recipe and run it again: only that stage runs"
    if stage and stage not in fitting:
        there = stage in shown.values()
        lacks = f"has a stage {stage!r}, which is no `{wanted[0]}`" if there else f"has no stage {stage!r}"
        raise ConfigError(
            f"{store.where()} {lacks}", where=where, hint=did_you_mean(stage, fitting) if fitting else missing
        )
    if not fitting:
        raise ConfigError(f"the latest run of {store.where()} has no `{wanted[0]}`", where=where, hint=missing)
    if not stage and len(fitting) > 1:
        raise ConfigError(
            f"the latest run of {store.where()} has {len(fitting)} stages `{wanted[0]}`", where=where,
            hint=f"name one: {', '.join(sorted(fitting))}",
        )  # fmt: skip
    entry: Mapping[str, Any] = fitting[stage] if stage else next(iter(fitting.values()))
    publishes = getattr(class_named(str(entry["operator"])), "publishes", "")
    path = f"{entry['dir']}/{publishes}"
    if not store.exists(f"{entry['dir']}/manifest.json") or (not store.folders(path) and not store.list(path)):
        hint = "run its recipe again: what is finished is reused"
        raise ConfigError(
            f"stage {stage or 'of the index'!r} of {store.where()} is not finished", where=where, hint=hint
        )
    return str(store.local_copy(path))
