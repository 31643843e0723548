"""Tables that are computed from a library's data are kept beside the compiled kernels, and mapped by every process.

A model of megabytes in a compressed file takes half a second to become tables, and as much memory in each worker. Kept
as plain arrays they cost a process what it reads of them, and all workers share one copy. They are found by the digest
of what they are made of; what is not there, not whole or not readable is made anew, and kept where that is possible.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core import kernel_files

Arrays = Mapping[str, npt.NDArray[Any]]


def kept(name: str, made_of: bytes, make: Callable[[], Arrays]) -> Arrays:
    """Name -> array of a group of tables: as `make` gives them, from a file wherever they were made before.

    `made_of`: everything that decides about them. A process may write to them, which no other process sees. Cost: some
    system calls for each table, and its pages as they are read; the first time `make`.
    """
    folder = f"{name}-{hashlib.sha256(made_of).hexdigest()[:32]}"
    for place in dict.fromkeys((kernel_files.INSTALLED, kernel_files.place())):
        with contextlib.suppress(OSError, ValueError, EOFError):
            return _mapped(place / folder)
    arrays = make()
    with contextlib.suppress(OSError):  # a full or read-only disk
        _keep(arrays, kernel_files.place() / folder)
    return arrays


def _mapped(folder: Path) -> Arrays:
    """Raises: OSError where there is none; ValueError or EOFError where a file is cut."""
    names = (folder / "names").read_text(encoding="utf-8").split()
    files = (np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in names)
    return dict(zip(names, map(np.asarray, files), strict=True))  # plain arrays, as kernels want them


def _keep(arrays: Arrays, folder: Path) -> None:
    """Written aside and renamed, so that nobody meets half of it; of two at once either may be the one that stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, array in arrays.items():
            with (aside / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())  # after a power cut a file may have its length and no contents
        (aside / "names").write_text(" ".join(arrays), encoding="utf-8")
        aside.chmod(0o755)  # what `winnow warm` makes is for every user
        if folder.exists():
            folder.rename(aside / "before")  # it could not be read
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
