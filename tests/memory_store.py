"""A store in the memory of this process: what shows that nothing but `core/store` knows of a file system."""

from __future__ import annotations

import builtins
import io
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa

from winnow.core.errors import StoreError
from winnow.core.store.locations import SCHEMES
from winnow.core.store.store import Stat, Store, check_key

SCHEME = "memory"
_numbers = itertools.count(1)


@dataclass
class _Bytes:
    """Bytes that one key or several share."""

    data: bytes
    number: int = field(default_factory=lambda: next(_numbers))
    modified_ns: int = field(default_factory=time.time_ns)
    names: int = 0


@dataclass
class _Root:
    files: dict[str, _Bytes] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    scratch: tempfile.TemporaryDirectory[str] = field(default_factory=lambda: tempfile.TemporaryDirectory("-memory"))
    copied: dict[str, int] = field(default_factory=dict)  # key -> number of the bytes that its local copy has


ROOTS: dict[str, _Root] = {}


class MemoryStore(Store):
    """Files in a dictionary: `memory://NAME` or, below a folder of it, `memory://NAME/FOLDER`."""

    def __init__(self, location: str) -> None:
        name, _, folder = location.removeprefix(f"{SCHEME}://").strip("/").partition("/")
        self._location, self._below = location.rstrip("/"), f"{folder}/" if folder else ""
        self._root = ROOTS.setdefault(name, _Root())

    @property
    def location(self) -> str:
        return self._location

    def where(self, key: str = "") -> str:
        return f"{self._location}/{key}" if key else self._location

    def create(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def put_new(self, key: str, data: bytes) -> bool:
        with self._root.lock:
            if self._key(key) in self._root.files:
                return False
            self._set(self._key(key), _Bytes(bytes(data)))
            return True

    def put(self, key: str, data: bytes) -> None:
        with self._root.lock:
            self._drop(self._key(key))
            self._set(self._key(key), _Bytes(bytes(data)))

    @contextmanager
    def writing(self, key: str) -> Iterator[IO[bytes]]:
        sink = io.BytesIO()
        self._key(key)
        yield sink
        with self._root.lock:
            if self._key(key) in self._root.files:
                raise StoreError("the store failed: File exists", where=self.where(key))
            self._set(self._key(key), _Bytes(sink.getvalue()))

    def publish(self, key: str, as_key: str) -> bool:
        with self._root.lock:
            found = self._of(key)
            if self._key(as_key) in self._root.files:
                return False
            self._set(self._key(as_key), found)
            return True

    def get(self, key: str) -> bytes:
        return self._of(key).data

    def open_buffer(self, key: str) -> pa.BufferReader:
        return pa.BufferReader(self._of(key).data)

    def open_range(self, key: str, start: int, length: int) -> pa.Buffer:
        return pa.py_buffer(self._of(key).data[start : start + length])

    def local_copy(self, key: str) -> Path:
        """The file, or all files of the folder, in a scratch folder; written once for as long as they stay the same."""
        with self._root.lock:
            for full in [k for k in self._root.files if k == self._key(key) or k.startswith(f"{self._key(key)}/")]:
                found, path = self._root.files[full], Path(self._root.scratch.name, full)
                if self._root.copied.get(full) != found.number or not path.is_file():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(found.data)
                    self._root.copied[full] = found.number
            return Path(self._root.scratch.name, self._key(key))

    def copy_out(self, key: str, target: Path) -> bool:
        target.write_bytes(self.get(key))
        return False

    def stat(self, key: str) -> Stat | None:
        found = self._root.files.get(self._key(key))
        if found is None:
            return None
        return Stat(size=len(found.data), modified_ns=found.modified_ns, bytes_id=found.number, names=found.names)

    def exists(self, key: str) -> bool:
        return self._key(key) in self._root.files or bool(self._inside(key))

    def list(self, prefix: str) -> builtins.list[str]:
        return [self._join(prefix, n) for n in self._inside(prefix) if "/" not in n and not n.startswith(".")]

    def hidden(self, prefix: str = "") -> builtins.list[str]:
        return [self._join(prefix, n) for n in self._inside(prefix) if "/" not in n and n.startswith(".")]

    def folders(self, prefix: str = "") -> builtins.list[str]:
        found = {n.partition("/")[0] for n in self._inside(prefix) if "/" in n}
        return sorted(n for n in found if not n.startswith("."))

    def walk(self, prefix: str) -> builtins.list[str]:
        if prefix and self._key(prefix) in self._root.files:
            return [prefix]
        return [self._join(prefix, n) for n in self._inside(prefix)]

    def delete(self, key: str) -> None:
        with self._root.lock:
            for full in [k for k in self._root.files if k == self._key(key) or k.startswith(f"{self._key(key)}/")]:
                self._drop(full)

    def drop_empty(self, key: str) -> None:
        self._key(key)

    def _key(self, key: str) -> str:
        return f"{self._below}{check_key(key, self._location)}"

    def _of(self, key: str) -> _Bytes:
        try:
            return self._root.files[self._key(key)]
        except KeyError:
            raise StoreError("the store failed: No such file", where=self.where(key), hint="run again") from None

    def _set(self, full: str, found: _Bytes) -> None:
        found.names += 1
        self._root.files[full] = found

    def _drop(self, full: str) -> None:
        found = self._root.files.pop(full, None)
        if found is not None:
            found.names -= 1

    def _inside(self, prefix: str) -> builtins.list[str]:
        head = f"{self._key(prefix)}/" if prefix else self._below
        return sorted(k[len(head) :] for k in [*self._root.files] if k.startswith(head))

    @staticmethod
    def _join(prefix: str, name: str) -> str:
        return f"{prefix}/{name}" if prefix else name


@contextmanager
def memory_scheme() -> Iterator[None]:
    """`memory://...` can be opened; whatever was put there is gone afterwards."""
    SCHEMES[SCHEME] = MemoryStore
    try:
        yield
    finally:
        del SCHEMES[SCHEME]
        for root in ROOTS.values():
            root.scratch.cleanup()
        ROOTS.clear()
