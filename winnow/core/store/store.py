"""The store: the only door to the run root. First writer wins; nothing committed is ever changed.

Data goes to an attempt-unique name; a small receipt, created exclusively, makes it count. Readers open only
what a receipt names, so files of killed attempts are invisible (and `gc` removes them). A store is addressed by
relative keys and does what the verbs below say; whether it lies on a file system is known to its class alone.
"""

from __future__ import annotations

import builtins
import secrets
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from winnow.core.errors import StoreError


@dataclass(frozen=True, kw_only=True)
class Stat:
    """What a store knows of a file without reading it."""

    size: int
    modified_ns: int
    bytes_id: Hashable  # equal for all keys that share the same bytes
    names: int = 1  # keys (and names outside) that share the bytes: they are freed with the last of them


class Store(ABC):
    """Files below one root, addressed by relative POSIX keys."""

    @property
    @abstractmethod
    def location(self) -> str:
        """The root as text that `open_store` opens again, also in another process."""

    @abstractmethod
    def where(self, key: str = "") -> str:
        """Text that names `key` (or the root) to a person: in errors and on terminals."""

    @abstractmethod
    def create(self) -> None:
        """Make the root where it is missing. Raises StoreError where files cannot be made in it."""

    @abstractmethod
    def writable(self) -> bool:
        """True where the root exists and may be written to; nothing is made."""

    @abstractmethod
    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` with `data`; False (and no change) where it exists already."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Replace `key` atomically (run pointers and caches only, never committed data)."""

    @abstractmethod
    def writing(self, key: str) -> AbstractContextManager[IO[bytes]]:
        """A new data file, durable on exit and removed on failure; `key` must be attempt-unique."""

    @abstractmethod
    def publish(self, key: str, as_key: str) -> bool:
        """Give the committed file `key` the name `as_key` as well; False where `as_key` exists."""

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The bytes of `key`. Raises StoreError where it is missing."""

    @abstractmethod
    def open_buffer(self, key: str) -> pa.BufferReader:
        """The file for reading, without a copy where the store can; buffers read from it keep it alive."""

    @abstractmethod
    def open_range(self, key: str, start: int, length: int) -> pa.Buffer:
        """`length` bytes of `key` from `start` on, fewer where it ends. Raises StoreError where it is missing."""

    @abstractmethod
    def local_copy(self, key: str) -> Path:
        """A path on this machine with the bytes of `key`, a committed file or a folder; it must not be written to."""

    @abstractmethod
    def copy_out(self, key: str, target: Path) -> bool:
        """Put the file `key` at `target`, outside the store; True where both share their bytes, False for a copy."""

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Size, time and names of the file `key`; None where it is missing."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """True where `key` is a file or a folder."""

    @abstractmethod
    def list(self, prefix: str) -> builtins.list[str]:
        """Keys of the files directly in folder `prefix`, sorted; hidden and temporary files are left out."""

    @abstractmethod
    def hidden(self, prefix: str = "") -> builtins.list[str]:
        """Keys of the hidden and temporary files directly in folder `prefix`, sorted."""

    @abstractmethod
    def folders(self, prefix: str = "") -> builtins.list[str]:
        """Names of the folders directly in `prefix`, sorted."""

    @abstractmethod
    def walk(self, prefix: str) -> builtins.list[str]:
        """Keys of all files below folder `prefix` (or of the file `prefix`), sorted, hidden ones too."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a file or a folder with all in it; missing is fine.

        A folder that another runner keeps writing into stays: what it adds is its own, and `gc` comes later.
        """

    @abstractmethod
    def drop_empty(self, key: str) -> None:
        """Remove the folder `key` where nothing lies in it."""

    def find(self, key: str) -> bytes | None:
        """The bytes of the file `key`; None where it is missing."""
        if not self.exists(key):
            return None
        try:
            return self.get(key)
        except StoreError:
            if self.exists(key):
                raise
            return None  # removed by another runner between the two calls

    def find_named(self, key: str) -> bytes | None:
        """As `find`, for a key whose name says its content: what was found once may come from memory."""
        return self.find(key)

    def stats(self, keys: Iterable[str]) -> dict[str, Stat | None]:
        """`stat` of many files."""
        return {key: self.stat(key) for key in dict.fromkeys(keys)}

    def clock(self) -> float:
        """Seconds since 1970 by the clock that gives `modified_ns`."""
        return time.time()

    def size(self, key: str) -> int:
        """Bytes of the file `key`; -1 where it is missing."""
        stat = self.stat(key)
        return -1 if stat is None else stat.size

    def stamp(self, key: str) -> tuple[Hashable, int] | None:
        """What changes when the file `key` is replaced; None where it is missing.

        A store far away may answer from what it saw two seconds ago; what this process did itself counts at once.
        """
        stat = self.stat(key)
        return None if stat is None else (stat.bytes_id, stat.modified_ns)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """An empty folder on this machine in which an attempt makes its files; it is removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
            yield Path(scratch)


def attempt_id() -> str:
    """A name no other attempt on any machine has, 12 hex digits."""
    return secrets.token_hex(6)


def check_key(key: str, where: str) -> str:
    """The same key. Raises StoreError where it would leave the root."""
    if key.startswith("/") or ".." in key.split("/"):
        raise StoreError(f"key {key!r} leaves the store", where=where)
    return key
