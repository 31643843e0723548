"""Run roots, told by what lies in them: which entries of a folder winnow made, and which root a path is part of."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path

STAGE_FOLDER = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{20}\Z")
BESIDE_STAGES = frozenset({"alive", "cache", "code", "runs"})
IN_A_STAGE = ("stage.json", "layout.json", "manifest.json", "receipts")


def is_stage_folder(path: str) -> bool:
    """True for a folder that a stage wrote: its name, and what lies in it."""
    name = os.path.basename(path)  # noqa: PTH119
    return bool(STAGE_FOLDER.match(name)) and any(
        os.path.exists(os.path.join(path, inside))  # noqa: PTH110, PTH118
        for inside in IN_A_STAGE
    )


def own_among(folder: str, names: Sequence[str]) -> frozenset[str]:
    """Those of a folder's names that winnow made there; none where it is no run root."""
    stages = [n for n in names if STAGE_FOLDER.match(n) and is_stage_folder(os.path.join(folder, n))]  # noqa: PTH118
    return frozenset({*stages, *(BESIDE_STAGES.intersection(names))}) if stages else frozenset()


@functools.lru_cache(maxsize=4096)
def _own_entries(folder: str, changed_ns: int) -> frozenset[str]:
    return own_among(folder, os.listdir(folder))  # noqa: PTH208


def own_entries(folder: str) -> frozenset[str]:
    """Names in a run root that winnow made; none where the folder is no run root. Cost: one listing per folder."""
    try:
        return _own_entries(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116
    except OSError:
        return frozenset()


def own_root_of(path: str) -> str:
    """The run root in whose own folders an absolute path lies; '' where it lies in none."""
    parts = Path(path).parts
    for depth in range(1, len(parts)):
        above = str(Path(*parts[:depth]))
        plain = STAGE_FOLDER.match(parts[depth]) or parts[depth] in BESIDE_STAGES
        if plain and parts[depth] in own_entries(above):
            return above
    return ""
