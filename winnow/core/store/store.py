"""The store: the only door to the run root. First writer wins; nothing committed is ever changed.

Data goes to an attempt-unique name; a small receipt, created exclusively, makes it count. Readers open only
what a receipt names, so files of killed attempts are invisible (and `gc` removes them). v1 is a POSIX file
system that every node sees; the five verbs (`put_new`, `get`, `list`, `exists`, `delete`) are what an
object store offers. fsync before each commit costs about 3 ms per file and is what makes a receipt never
survive its data.
"""

from __future__ import annotations

import builtins
import errno
import mmap
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

import pyarrow as pa

from winnow.core.errors import StoreError

T = TypeVar("T")
TRIES = 200  # of an operation that another runner's clean-up got in the way of


def attempt_id() -> str:
    """A name no other attempt on any machine has, 12 hex digits."""
    return secrets.token_hex(6)


class Store:
    """Files below one root, addressed by relative POSIX keys."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self._root = str(self.root).rstrip("/")

    def path(self, key: str) -> Path:
        """Absolute path of `key`. Raises StoreError where the key would leave the root."""
        return Path(self._place(key))

    def _place(self, key: str) -> str:
        """The same as text: to make a Path takes longer than to look at the file."""
        if key.startswith("/") or ".." in key.split("/"):
            raise StoreError(f"key {key!r} leaves the store", where=str(self.root))
        return f"{self._root}/{key}"

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` with `data`; False (and no change) where it exists already."""
        target = self.path(key)
        with self._guard(key):
            return _again(lambda: _create(target, data))

    def put(self, key: str, data: bytes) -> None:
        """Replace `key` atomically (run pointers and caches only, never committed data)."""
        target = self.path(key)
        with self._guard(key):
            target.parent.mkdir(parents=True, exist_ok=True)
            tmp = target.with_name(f".{target.name}.{attempt_id()}.tmp")
            try:
                _write_synced(tmp, data)
                tmp.replace(target)
            finally:
                tmp.unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        """The bytes of `key`. Raises StoreError where it is missing."""
        with self._guard(key), open(self._place(key), "rb") as file:  # noqa: PTH123 - as `_place`
            return file.read()

    def exists(self, key: str) -> bool:
        """True where `key` is a file or a folder."""
        return os.path.exists(self._place(key))  # noqa: PTH110 - as `_place`

    def list(self, prefix: str) -> builtins.list[str]:
        """Keys of the files directly in folder `prefix`, sorted; hidden and temporary files are left out."""
        names = self._names(prefix, os.DirEntry.is_file)
        return [f"{prefix}/{name}" for name in names]

    def folders(self, prefix: str = "") -> builtins.list[str]:
        """Names of the folders directly in `prefix`, sorted."""
        return self._names(prefix, os.DirEntry.is_dir)

    def _names(self, prefix: str, wanted: Callable[[os.DirEntry[str]], bool]) -> builtins.list[str]:
        """Names in folder `prefix`, sorted; none where it is missing or was removed a moment ago."""
        folder = self.path(prefix) if prefix else self.root
        with self._guard(prefix), suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            return sorted(e.name for e in entries if wanted(e) and not e.name.startswith("."))
        return []

    def delete(self, key: str) -> None:
        """Remove a file or a folder with all in it; missing is fine.

        A folder that another runner keeps writing into stays: what it adds is its own, and `gc` comes later.
        """
        target = self.path(key)
        with self._guard(key):
            try:
                _again(lambda: _remove(target))
            except OSError as error:
                if error.errno not in (None, errno.ENOTEMPTY, errno.ENOENT):  # None: rmtree saw it replaced
                    raise

    def link_new(self, source: str, key: str) -> bool:
        """Publish the committed file `source` under `key` as well; False where `key` exists."""
        target = self.path(key)
        with self._guard(key):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.path(source), target)
            except FileExistsError:
                return False
        return True

    @contextmanager
    def writing(self, key: str) -> Iterator[IO[bytes]]:
        """A new data file, synced on exit and removed on failure; `key` must be attempt-unique."""
        target = self.path(key)
        with self._guard(key):
            try:
                with _again(lambda: _open_new(target)) as sink:
                    yield sink
                    sink.flush()
                    os.fsync(sink.fileno())
            except BaseException:
                with suppress(OSError):
                    target.unlink(missing_ok=True)
                raise

    def size(self, key: str) -> int:
        """Bytes of the file `key`; -1 where it is missing."""
        try:
            return os.stat(self._place(key)).st_size  # noqa: PTH116 - as `_place`
        except FileNotFoundError:
            return -1

    def stamp(self, key: str) -> tuple[int, int] | None:
        """What changes when the file `key` is replaced: (inode, mtime in ns); None where it is missing."""
        try:
            found = os.stat(self._place(key))  # noqa: PTH116 - as `_place`
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def open_buffer(self, key: str) -> pa.BufferReader:
        """The file as a read-only memory map; buffers read from it keep it alive.

        Not `pa.memory_map`, which asks the kernel for all pages of every range that is looked at.
        """
        with self._guard(key), open(self._place(key), "rb") as file:  # noqa: PTH123 - as `_place`
            if os.fstat(file.fileno()).st_size == 0:
                return pa.BufferReader(b"")
            return pa.BufferReader(pa.py_buffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)))

    @contextmanager
    def _guard(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _explained(error, self.root / key) from error


def _again(act: Callable[[], T]) -> T:
    """What `act` gives; tried again where another runner made or removed the same folder meanwhile."""
    for number in range(TRIES):
        try:
            return act()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (None, errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
                raise
        time.sleep(min(0.005, 0.00005 * number))  # whoever else is at it needs a moment too
    return act()


def _create(target: Path, data: bytes) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    tmp = target.with_name(f".{target.name}.{attempt_id()}.tmp")
    try:
        _write_synced(tmp, data)
        os.link(tmp, target)
    except FileExistsError:
        return False
    finally:
        tmp.unlink(missing_ok=True)
    return True


def _open_new(target: Path) -> IO[bytes]:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.open("xb")


def _remove(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())


def _explained(error: OSError, path: Path) -> StoreError:
    hints = {
        errno.ENOSPC: "free space on this disk or choose another --out; a rerun goes on where this one stopped",
        errno.EDQUOT: "the disk quota is used up; a rerun goes on where this one stopped",
        errno.EACCES: "check the permissions of this folder",
        errno.EROFS: "this file system is read-only; choose another --out",
        errno.ENOENT: "a file that a receipt names is gone; remove its stage folder and run again",
    }
    reason = error.strerror or str(error)
    return StoreError(f"the store failed: {reason}", where=str(path), hint=hints.get(error.errno or 0, ""))
