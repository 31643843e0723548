"""A store on a POSIX file system that every node sees.

fsync before each commit costs about 3 ms per file and is what makes a receipt never survive its data.
"""

from __future__ import annotations

import builtins
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

import pyarrow as pa

from winnow.core.errors import StoreError
from winnow.core.store.local_cache import mapped
from winnow.core.store.store import Stat, Store, attempt_id, check_key

T = TypeVar("T")
TRIES = 200  # of an operation that another runner's clean-up got in the way of


class PosixStore(Store):
    """Files below a folder."""

    def __init__(self, root: Path | str) -> None:
        self._root = str(Path(root).absolute()).rstrip("/")

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return self._root or "/"

    def where(self, key: str = "") -> str:
        """The absolute path of `key`."""
        return self._place(key) if key else self.location

    def create(self) -> None:
        """Make the folder where it is missing. Raises StoreError where files cannot be made in it."""
        probe = Path(self._place(f".probe.{attempt_id()}.tmp"))
        with self._guard(""):
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()

    def writable(self) -> bool:
        """True where the folder exists and may be written to."""
        return Path(self.location).is_dir() and os.access(self.location, os.W_OK)

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` with `data`; False (and no change) where it exists already."""
        target = Path(self._place(key))
        with self._guard(key):
            return _again(lambda: _create(target, data))

    def put(self, key: str, data: bytes) -> None:
        """Replace `key` atomically."""
        target = Path(self._place(key))
        with self._guard(key):
            target.parent.mkdir(parents=True, exist_ok=True)
            tmp = target.with_name(f".{target.name}.{attempt_id()}.tmp")
            try:
                _write_synced(tmp, data)
                tmp.replace(target)
            finally:
                tmp.unlink(missing_ok=True)

    @contextmanager
    def writing(self, key: str) -> Iterator[IO[bytes]]:
        """A new data file, synced on exit and removed on failure."""
        target = Path(self._place(key))
        with self._guard(key):
            opened = _again(lambda: _open_new(target))
            try:
                with opened as sink:
                    yield sink
                    sink.flush()
                    os.fsync(sink.fileno())
            except BaseException:
                with suppress(OSError):
                    target.unlink(missing_ok=True)
                raise

    def publish(self, key: str, as_key: str) -> bool:
        """Give the committed file a second name: a hard link, a copy where the file system has none."""
        source, target = Path(self._place(key)), Path(self._place(as_key))
        with self._guard(as_key):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self.put_new(as_key, source.read_bytes())
        return True

    def get(self, key: str) -> bytes:
        """The bytes of `key`. Raises StoreError where it is missing."""
        with self._guard(key), open(self._place(key), "rb") as file:  # noqa: PTH123 - as `_place`
            return file.read()

    def find(self, key: str) -> bytes | None:
        """The bytes of `key`; None where it is missing. Cost: one look at it."""
        missing = suppress(FileNotFoundError, NotADirectoryError)
        with self._guard(key), missing, open(self._place(key), "rb") as file:  # noqa: PTH123 - as `_place`
            return file.read()
        return None

    def open_buffer(self, key: str) -> pa.BufferReader:
        """The file as a read-only memory map."""
        with self._guard(key):
            return mapped(self._place(key))

    def open_range(self, key: str, start: int, length: int) -> pa.Buffer:
        """A piece of the memory map: only its pages are read."""
        with self.open_buffer(key) as source:
            source.seek(min(start, source.size()))
            return source.read_buffer(length)

    def local_copy(self, key: str) -> Path:
        """The file or folder itself."""
        return Path(self._place(key))

    def copy_out(self, key: str, target: Path) -> bool:
        """A hard link where the disk is the same, else a copy."""
        source = self._place(key)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
            return False
        return True

    def stat(self, key: str) -> Stat | None:
        """What the file system says of the file; None where it is missing."""
        status = self._status(key)
        if status is None:
            return None
        return Stat(size=status.st_size, modified_ns=status.st_mtime_ns, bytes_id=(status.st_dev, status.st_ino),
                    names=status.st_nlink)  # fmt: skip

    def size(self, key: str) -> int:
        """Bytes of the file `key`; -1 where it is missing."""
        status = self._status(key)
        return -1 if status is None else status.st_size

    def exists(self, key: str) -> bool:
        """True where `key` is a file or a folder."""
        return os.path.exists(self._place(key))  # noqa: PTH110 - as `_place`

    def list(self, prefix: str) -> builtins.list[str]:
        """Keys of the files directly in a folder, sorted; hidden and temporary files are left out."""
        names = self._names(prefix, lambda e: e.is_file() and not e.name.startswith("."))
        return [f"{prefix}/{name}" if prefix else name for name in names]

    def hidden(self, prefix: str = "") -> builtins.list[str]:
        """Keys of the hidden and temporary files directly in a folder, sorted."""
        names = self._names(prefix, lambda e: e.name.startswith(".") and e.is_file(follow_symlinks=False))
        return [f"{prefix}/{name}" if prefix else name for name in names]

    def folders(self, prefix: str = "") -> builtins.list[str]:
        """Names of the folders directly in `prefix`, sorted."""
        return self._names(prefix, lambda e: e.is_dir() and not e.name.startswith("."))

    def walk(self, prefix: str) -> builtins.list[str]:
        """Keys of all files below a folder, sorted, hidden ones too; links are not followed."""
        place = self._place(prefix) if prefix else self.location
        if Path(place).is_file():
            return [prefix]
        above = len(place) + 1
        keys = []
        for folder, _, names in os.walk(place):
            inner = f"{folder}/"[above:]
            keys += [f"{prefix}/{inner}{name}" if prefix else f"{inner}{name}" for name in names
                     if not Path(folder, name).is_symlink()]  # fmt: skip
        return sorted(keys)

    def delete(self, key: str) -> None:
        """Remove a file or a folder with all in it; missing is fine."""
        target = Path(self._place(key))
        with self._guard(key):
            try:
                _again(lambda: _remove(target))
            except OSError as error:
                if error.errno not in (None, errno.ENOTEMPTY, errno.ENOENT):  # None: rmtree saw it replaced
                    raise

    def drop_empty(self, key: str) -> None:
        """Remove the folder where nothing lies in it."""
        with suppress(OSError):
            Path(self._place(key)).rmdir()

    def _place(self, key: str) -> str:
        """Absolute path of `key` as text: to make a Path takes longer than to look at the file."""
        return f"{self._root}/{check_key(key, self._root)}"

    def _status(self, key: str) -> os.stat_result | None:
        try:
            return os.stat(self._place(key))  # noqa: PTH116 - as `_place`
        except FileNotFoundError:
            return None

    def _names(self, prefix: str, wanted: Callable[[os.DirEntry[str]], bool]) -> builtins.list[str]:
        """Names in folder `prefix`, sorted; none where it is missing or was removed a moment ago."""
        folder = self._place(prefix) if prefix else self.location
        with self._guard(prefix), suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            return sorted(e.name for e in entries if wanted(e))
        return []

    @contextmanager
    def _guard(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _explained(error, self.where(key)) from error


_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)


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
    """A new file; only where its folder is missing is it asked for, since nearly always it is there."""
    try:
        return target.open("xb")
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb")


def _remove(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _write_synced(path: Path, data: bytes) -> None:
    with _open_new(path) as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())


def _explained(error: OSError, where: str) -> StoreError:
    hints = {
        errno.ENOSPC: "free space on this disk or choose another --out; a rerun goes on where this one stopped",
        errno.EDQUOT: "the disk quota is used up; a rerun goes on where this one stopped",
        errno.EACCES: "check the permissions of this folder",
        errno.EROFS: "this file system is read-only; choose another --out",
        errno.ENOENT: "a file that a receipt names is gone; remove its stage folder and run again",
    }
    reason = error.strerror or str(error)
    return StoreError(f"the store failed: {reason}", where=where, hint=hints.get(error.errno or 0, ""))
