"""Where compiled kernels are kept when neither the installation nor the home folder can be written to.

They are kept below the user's cache folder, or beside the code (`kernel_files`), and numba refuses to import a kernel
where both are read-only: an image mounted read-only, an installation of root's, a service without a home. There they go
to a folder of the user's own in TMPDIR. What is loaded from it is run, so nobody else may write to it: it is not
shared, and not in the run root, which others may write to.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"  # numba's own; what a person has set there counts
CODE = Path(__file__).resolve().parent / "words"  # a folder with kernels

_told: list[str] = []


def keep_kernels() -> None:
    """Let numba find a place for compiled kernels, in this process and those it starts. Cost: a look at one folder."""
    if os.environ.get(VARIABLE) or os.access(CODE, os.W_OK) or takes_files(home_cache("winnow-kernels")):
        return
    folder = _own_folder()
    if folder is None:
        _compile_anew()
        _told.append(
            "compiled kernels cannot be kept: the installation, HOME and TMPDIR are read-only, so that every process "
            f"compiles anew (half a minute); set {VARIABLE} to a folder that you can write to"
        )
        return
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    _told.append(
        f"compiled kernels are kept in {folder}: neither the installation nor HOME can be written to; the first run "
        f"compiles them (half a minute), and {VARIABLE} names another folder"
    )


def notes() -> list[str]:
    """What a person should know of it: told once, by the process that chose the place."""
    return list(_told)


def home_cache(name: str) -> Path:
    """A folder of this name where a user's caches are."""
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~/Library/Caches")) / name  # noqa: PTH111 - raises nothing without a home
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / name  # noqa: PTH111


def takes_files(folder: Path) -> bool:
    """Whether this process can write to the folder, which is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _own_folder() -> Path | None:
    """A folder in TMPDIR that belongs to this user and to nobody else; None where there can be none."""
    return _tried(_lasting) or _tried(_passing)


def _tried(make: Callable[[], Path]) -> Path | None:
    try:
        folder = make()
    except OSError:
        return None
    return folder if _is_private(folder) and takes_files(folder) else None


def _lasting() -> Path:
    folder = Path(tempfile.gettempdir()) / f"winnow-kernels-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _passing() -> Path:
    """For this process and its children alone: the lasting name is somebody else's, or a link."""
    folder = Path(tempfile.mkdtemp(prefix="winnow-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_private(folder: Path) -> bool:
    seen = folder.lstat()
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not seen.st_mode & 0o077


def _compile_anew() -> None:
    from numba.core.dispatcher import Dispatcher

    Dispatcher.enable_caching = lambda self: None  # type: ignore[method-assign]
