"""Files of object stores on this machine: downloaded once, mapped by all processes, the oldest removed at a limit.

The folder is `$WINNOW_STORE_CACHE`, else `stores` in the user's cache folder; the limit `$WINNOW_STORE_CACHE_GB`, 32
where nothing is said. A file that is mapped stays readable after its removal, so processes need no locks.
"""

from __future__ import annotations

import atexit
import functools
import mmap
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow as pa

from winnow.core.errors import ConfigError, StoreError
from winnow.core.store.ids import digest_bytes
from winnow.core.store.store import attempt_id

FOLDER, LIMIT = "WINNOW_STORE_CACHE", "WINNOW_STORE_CACHE_GB"
LIMIT_GB = 32.0
ONCE = "once"  # in place of an ETag: a key that is written once and never again
_SLACK = 0.05  # of the limit: so much may come in before sizes are added up again


def user_cache() -> Path:
    """`$XDG_CACHE_HOME/winnow`, else `~/.cache/winnow`; without a home the user's own below the temporary folder."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named:
        return Path(named) / "winnow"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises where there is none
    if home.is_absolute() and os.access(home, os.W_OK):
        return home / ".cache" / "winnow"
    return Path(tempfile.gettempdir()) / f"winnow-{os.getuid()}"


def store_cache() -> LocalCache:
    """The cache of this process, as the environment says. Raises ConfigError for a limit that is none."""
    folder = os.environ.get(FOLDER) or str(user_cache() / "stores")
    text = os.environ.get(LIMIT) or str(LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 < limit < float("inf"):
        raise ConfigError(f"{text!r} is no size", where=LIMIT, hint="gigabytes that downloaded files may take, as 32")
    return _cache(folder, int(limit * 1e9), os.getpid())


@functools.lru_cache(maxsize=8)
def _cache(folder: str, limit: int, pid: int) -> LocalCache:
    return LocalCache(Path(folder).absolute(), limit, pid)


class LocalCache:
    """Downloaded files below a folder, by what they are a copy of and its ETag; at most about `limit` bytes."""

    def __init__(self, folder: Path, limit: int, pid: int) -> None:
        self.folder, self.limit = folder, limit
        self._own = folder / "local" / f"{socket.gethostname()}-{pid}"
        self._unseen = limit  # bytes that came in since sizes were added up: at the beginning it is not known
        self._swept = False

    def find(self, name: str) -> tuple[Path, str] | None:
        """(path, ETag) of the newest copy of `name`; None where there is none."""
        head = digest_bytes(name.encode())
        with suppress(FileNotFoundError), os.scandir(self.folder / "files" / head[:2]) as entries:
            found = [e for e in entries if e.name.startswith(f"{head}.")]
            with suppress(FileNotFoundError):  # removed a moment ago
                newest = max(found, key=lambda e: e.stat().st_mtime_ns, default=None)
                if newest is not None:
                    return Path(newest.path), unquote(newest.name.partition(".")[2])
        return None

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A path for a new file in the cache's folder; removed afterwards unless `take` took it."""
        with self._guard():
            (self.folder / "in").mkdir(parents=True, exist_ok=True)
            if not self._swept:
                self._swept = True
                self._sweep()
        path = self.folder / "in" / f"{socket.gethostname()}-{os.getpid()}.{attempt_id()}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def take(self, path: Path, name: str, etag: str) -> Path:
        """Make the file a copy of `name`; other copies of it go. Where it lies now."""
        head = digest_bytes(name.encode())
        target = self.folder / "files" / head[:2] / f"{head}.{quote(etag, safe='')}"
        with self._guard():
            size = path.stat().st_size
            self._make_room(size)
            self.drop(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        return target

    def drop(self, name: str) -> None:
        """Forget all copies of `name`."""
        while (found := self.find(name)) is not None:
            found[0].unlink(missing_ok=True)

    def link(self, path: Path, inner: str) -> Path:
        """A path of this process alone, `inner` below its own folder, with the same bytes until the process ends."""
        target = self._own / inner
        with self._guard():
            if not self._own.is_dir():
                self._own.mkdir(parents=True)
                atexit.register(shutil.rmtree, self._own, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (target.exists() and target.samefile(path)):
                target.unlink(missing_ok=True)
                os.link(path, target)
        return target

    def own(self, inner: str) -> Path:
        """Where `link` puts `inner`."""
        return self._own / inner

    def _make_room(self, size: int) -> None:
        """Remove the files that were used longest ago where the limit would be passed."""
        self._unseen += size
        if self._unseen < self.limit * _SLACK:
            return
        self._unseen = 0
        files = []
        for path in (self.folder / "files").glob("*/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        held = size + sum(f[1] for f in files)
        for _, bytes_of, path in sorted(files):
            if held <= self.limit * (1 - _SLACK):
                break
            path.unlink(missing_ok=True)
            held -= bytes_of

    def _sweep(self) -> None:
        """Remove what processes of this host left that were killed."""
        host = socket.gethostname()
        for path in [*(self.folder / "in").iterdir(), *(self.folder / "local").glob("*")]:
            name, _, pid = path.name.partition(".")[0].rpartition("-")
            if name == host and pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = f"free space, or set {FOLDER} to another folder and {LIMIT} to what it may take"
            what = f"the cache of downloaded files failed: {error.strerror or error}"
            raise StoreError(what, where=str(self.folder), hint=hint) from error


def mapped(path: Path | str) -> pa.BufferReader:
    """A file as a read-only memory map; buffers read from it keep it alive.

    Not `pa.memory_map`, which asks the kernel for all pages of every range that is looked at. Raises: OSError.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - to make a Path takes longer than to look at the file
        if os.fstat(file.fileno()).st_size == 0:
            return pa.BufferReader(b"")
        return pa.BufferReader(pa.py_buffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)))


def used(path: Path) -> None:
    """Note that a file was used: those that were used longest ago go first."""
    with suppress(OSError):
        os.utime(path)
