"""Compiled kernels are kept by what they are made of, and found wherever that is the same.

numba keeps a compiled function beside its file and takes it for fresh while that file is the same: an edit of another
file whose functions or tables it took in goes unseen, and every clone and every environment compiles anew. Here the
stamp is of the file and of all of winnow's that it imports, directly or not, and names the folder: one for the user on
a machine (`~/.cache/winnow-kernels`, or NUMBA_CACHE_DIR), in which all installations share what is the same. What
`winnow warm` put into the installation itself is found first, by every user, also where nothing can be written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from winnow.core.kernel_cache import VARIABLE, home_cache, takes_files

HOME = Path(__file__).resolve().parents[1]
INSTALLED = HOME / "__pycache__" / "kernels"  # what `winnow warm` fills where it may
_IMPORT = re.compile(rb"^[ \t]*from[ \t]+(winnow[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_given: list[Path] = []


@contextlib.contextmanager
def kept_in(folder: Path | None) -> Iterator[Path]:
    """Inside, what is compiled goes there (None: where it goes by itself)."""
    before = list(_given)
    _given[:] = [] if folder is None else [folder]
    try:
        yield place()
    finally:
        _given[:] = before


def place() -> Path:
    """The folder that newly compiled kernels go to."""
    if _given:
        return _given[0]
    return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _own_place()


def is_cold() -> bool:
    """Whether kernels of this version are still to be compiled here: those that every run needs are not kept."""
    file = HOME / "core" / "words" / "hashing_kernels.py"
    return not any(any(folder.glob(f"{file.stem}-{stamp(file)}-*")) for folder in (INSTALLED, place()))


def count_kept() -> int:
    """How many compiled kernels lie where new ones go."""
    return sum(1 for _ in place().glob("*/*.nbc"))


@cache
def _own_place() -> Path:
    """The user's, or beside the code where the user has none."""
    own = home_cache("winnow-kernels")
    return own if takes_files(own) or not takes_files(INSTALLED) else INSTALLED


@cache
def stamp(file: Path) -> str:
    """Digest (32 hexadecimal digits) of a file of winnow's and of those it imports. Cost: one reading of each."""
    seen, todo = {file}, [file]
    while todo:
        for name in _imported(todo.pop()) - seen:
            seen.add(name)
            todo.append(name)
    whole = hashlib.sha256()
    for name in sorted(seen):
        whole.update(f"{name.relative_to(HOME)}:".encode() + _contents(name)[0])
    return whole.hexdigest()[:32]


@cache
def _contents(file: Path) -> tuple[bytes, bytes]:
    """Digest of a file with the tables that lie beside it under its name or are its own to load; its text."""
    text = file.read_bytes()
    whole = hashlib.sha256(text)
    for table in sorted(file.parent.glob("*.npz")) if b".npz" in text else ():
        whole.update(table.read_bytes())
    return whole.digest(), text


@cache
def _imported(file: Path) -> frozenset[Path]:
    out = set()
    for module, names in _IMPORT.findall(_contents(file)[1]):
        here = HOME.parent.joinpath(*module.decode().split("."))
        inner = (here / f"{name}.py" for name in re.findall(r"\w+", names.decode()))
        out |= {path for path in (here.with_suffix(".py"), here / "__init__.py", *inner) if path.is_file()}
    return frozenset(out)


def keep_by_contents() -> None:
    """Makes numba keep and look for winnow's kernels so. What cannot be kept (a full disk) is compiled again."""
    from numba.core import caching

    caching.CacheImpl._locator_classes.insert(0, _locator(caching._CacheLocator))
    save = caching.Cache.save_overload

    def save_overload(self: Any, sig: Any, data: Any) -> None:
        if not hasattr(self._impl.locator, "installed"):
            save(self, sig, data)
            return
        with contextlib.suppress(OSError):
            save(self, sig, data)

    caching.Cache.save_overload = save_overload


def load_installed(kept: Any, sig: Any, target_context: Any) -> Any:
    """A kernel from the installation itself; None where there is none, or that is the usual place."""
    from numba.core.caching import IndexDataCacheFile

    folder = getattr(kept._impl.locator, "installed", lambda: None)()
    if folder is None:
        return None
    usual = kept._cache_file
    kept._cache_file = IndexDataCacheFile(folder, kept._impl.filename_base, kept._impl.locator.get_source_stamp())
    try:
        return kept._load_overload(sig, target_context)
    finally:
        kept._cache_file = usual


def _locator(known: Any) -> type:
    """The class that tells numba where a kernel of winnow's lies; `known`: the base class of numba's own."""
    import numba

    class ByContents(known):  # type: ignore[misc]
        def __init__(self, py_func: Any, py_file: str) -> None:
            self._py_file = py_file
            self._lineno = py_func.__code__.co_firstlineno
            self._stamp = stamp(Path(py_file).resolve())
            self._folder = f"{Path(py_file).stem}-{self._stamp}-numba{numba.__version__}"  # of two, each has its own

        def get_cache_path(self) -> str:
            return str(place() / self._folder)

        def installed(self) -> str | None:
            """Where `winnow warm` may have put it, if that is another place."""
            path = INSTALLED / self._folder
            return str(path) if path.is_dir() and path.parent != place() else None

        def get_source_stamp(self) -> str:
            return self._stamp

        def get_disambiguator(self) -> str:
            return str(self._lineno)

        @classmethod
        def from_function(cls, py_func: Any, py_file: str) -> Any:
            ours = py_func.__module__.startswith("winnow.") and Path(py_file).resolve().is_relative_to(HOME)
            if not ours or getattr(sys, "frozen", False) or not os.path.isfile(py_file):  # noqa: PTH113
                return None
            return cls(py_func, py_file)

    return ByContents
