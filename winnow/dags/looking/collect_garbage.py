"""`winnow gc`: remove what no recorded run reaches.

A recorded run, the latest of its name or an earlier one, reaches its stages' folders until `winnow forget`; a folder
reaches the folders of its inputs, references and row space, and those whose files its receipts name (parts are reused
by reference). Inside reached folders, data files that no receipt names are leftovers of killed attempts. What winnow
did not write is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from winnow.core.errors import ConfigError, StoreError
from winnow.core.store.manifest import FileRef, Receipt, StageDir
from winnow.core.store.names import UNIT, data_folders
from winnow.core.store.store import Stat, Store
from winnow.dags.looking.row_index import FOLDER as INDEX
from winnow.dags.recipe.history import reached as reached_folders
from winnow.dags.recipe.records import living_drivers
from winnow.dags.shapes.stage_file import folders_read, raw_stage

STALE_S = 60.0  # temporary files younger than this may belong to a `winnow plan` that runs now
_STAGE = re.compile(r"[A-Za-z0-9_]+-[0-9a-f]{20}\Z")
_TMP = re.compile(r"\..+\.tmp\Z")


@dataclass(kw_only=True)
class Garbage:
    """What gc found: (key, reason) to remove, what stays, and the bytes that removing frees."""

    removed: list[tuple[str, str, int]] = field(default_factory=list)  # key, reason, bytes
    kept_stages: int = 0

    @property
    def bytes_freed(self) -> int:
        """Bytes on disk that removing frees (a file with another name elsewhere frees nothing)."""
        return sum(size for _, _, size in self.removed)

    def as_json(self, root: str, *, dry_run: bool) -> dict[str, Any]:
        """The object of `winnow gc --json`."""
        removed = [{"path": key, "reason": reason, "bytes": size} for key, reason, size in self.removed]
        return {"root": root, "dry_run": dry_run, "removed": removed, "kept_stages": self.kept_stages,
                "bytes_freed": self.bytes_freed}  # fmt: skip


def collect(store: Store, *, dry_run: bool) -> Garbage:
    """Remove (unless `dry_run`) what no record of a run reaches.

    Raises: StoreError while a driver is alive or where a run's record cannot be read; ConfigError where this is no
    run root. Nothing is removed then.
    """
    if not store.exists("runs"):
        raise ConfigError("this is no run root: it has no folder `runs`", where=store.location)
    alive = living_drivers(store)
    if alive:
        raise StoreError(
            f"a run is going on here: {', '.join(alive)}", where=store.location, hint="wait for it to end, or stop it"
        )
    reached = _reached(store)
    found = Garbage(kept_stages=len(reached))
    sizes = _Sizes(store)
    for key, reason in _unreached(store, reached):
        found.removed.append((key, reason, sizes.freed(key)))
    if not dry_run:
        for key, _, _ in found.removed:
            store.delete(key)
        _drop_empty(store, reached)
    return found


def _reached(store: Store) -> dict[str, set[str]]:
    """Folder of every reached stage -> keys of the files that receipts anywhere name in it."""
    named: dict[str, set[str]] = {}
    todo = sorted(reached_folders(store))
    while todo:
        folder = todo.pop()
        if folder in named or not store.exists(folder):
            continue
        named[folder] = set()
        refs = _files_of(store, folder)
        todo += [*_neighbours(store, folder), *(r.key.partition("/")[0] for r in refs)]
    for folder in named:
        for ref in _files_of(store, folder):
            named.setdefault(ref.key.partition("/")[0], set()).add(ref.key)
    return named


def _neighbours(store: Store, folder: str) -> list[str]:
    """Folders that `stage.json` names: inputs, the row space always among them, and references."""
    raw = raw_stage(store, folder)
    return [] if raw is None else folders_read(raw)


def _files_of(store: Store, folder: str) -> list[FileRef]:
    """Files that the receipts of a stage name, wherever they lie."""
    receipts = _receipts(store, folder)
    files = [f for r in receipts for f in (*r.files, *((r.quarantine,) if r.quarantine else ()))]
    return [layer for f in files for layer in f.layers()]


def _receipts(store: Store, folder: str) -> list[Receipt]:
    stage = StageDir(store, folder)
    manifest = stage.manifest()
    if manifest is not None:  # a receipt beside it came too late: of a runner that lost a race
        return list(manifest.receipts)
    return [r for phase in store.folders(f"{folder}/receipts") for r in stage.receipts(phase)]


def _unreached(store: Store, reached: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """(key, reason) of everything to remove."""
    for folder in store.folders():
        if _STAGE.match(folder) and folder not in reached:
            yield folder, "no run reaches this stage"
    code = {Path(raw["code"]).name for f in reached if (raw := raw_stage(store, f)) and raw.get("code")}
    for digest in store.folders("code"):
        if digest not in code:
            yield f"code/{digest}", "no stage runs this code"
    for key in store.list(INDEX):
        if Path(key).stem not in reached:
            yield key, "index of a stage that no run reaches"
    for key in store.list("alive"):
        yield key, "heartbeat of a driver that is gone"
    for folder, named in reached.items():
        yield from _strays(store, folder, named)
    yield from _temporary(store, reached)


def _strays(store: Store, folder: str, named: set[str]) -> Iterator[tuple[str, str]]:
    """Data files that no receipt names, manifests that lost a race, working folders of finished stages."""
    for data in data_folders(folder):
        for phase in store.folders(data):
            for key in store.list(f"{data}/{phase}"):
                if key not in named:
                    yield key, "no receipt names this file"
    head = f"{folder}/manifest.json"
    table = str(orjson.loads(store.get(head)).get("table")) if store.exists(head) else ""
    for key in store.list(folder):
        name = key.rpartition("/")[2]
        if name.startswith("manifest.") and name.endswith((".arrow", UNIT)) and name != table:
            yield key, "a manifest that was never completed"
    if table:
        for name in ("steps", "lists", "receipts"):
            if store.exists(f"{folder}/{name}"):
                yield f"{folder}/{name}", "only an unfinished stage needs this"


def _temporary(store: Store, reached: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Hidden `.tmp` files that a killed process left, in folders that winnow writes."""
    now = 0.0
    ours = [*reached, "runs", "cache", "alive", INDEX, "code"]
    for key in sorted([*store.hidden(), *(key for name in ours for key in store.walk(name))]):
        stat = store.stat(key) if _TMP.match(key.rpartition("/")[2]) else None
        if stat is not None:
            now = now or store.clock()
        if stat is not None and now - stat.modified_ns / 1e9 > STALE_S:
            yield key, "a temporary file that was left behind"


def _drop_empty(store: Store, reached: Mapping[str, set[str]]) -> None:
    """Remove data folders of phases that hold nothing any more."""
    for folder in reached:
        for data in data_folders(folder):
            for phase in store.folders(data):
                store.drop_empty(f"{data}/{phase}")


class _Sizes:
    """Bytes that removing keys one after the other frees: a file with two names counts with the last of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.names: dict[Hashable, int] = {}

    def freed(self, key: str) -> int:
        return sum(self._one(stat) for file in self.store.walk(key) if (stat := self.store.stat(file)) is not None)

    def _one(self, stat: Stat) -> int:
        left = self.names.get(stat.bytes_id, stat.names) - 1
        self.names[stat.bytes_id] = left
        return stat.size if left == 0 else 0
