"""Whether an input file is still the one whose digest a stage's fingerprint holds.

A digest is taken once, and a stamp of the file with it: inode, size, time of writing and of change. Nobody can set the
last one, so equal stamps mean equal bytes, however a file was rewritten. A task compares stamps when it begins and
again before each commit. Another node or mount may see other inodes and times of the same file; there a task takes the
digest again, and the digest decides.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from winnow.core.errors import DataError
from winnow.core.store.remote_files import is_remote
from winnow.core.store.remote_files import seen as seen_there
from winnow.dags.recipe.remote_patterns import last_seen

TICK_NS = 50_000_000  # the clock of a file system may stand still so long: two changes within it have one time
COARSE_NS = 2_000_000_000  # and so long where it holds whole seconds
BY_STAT = "stat:"  # how the digest of a file begins whose size and time of writing stand for its bytes
REST = "let the files come to rest, then run again"

Stamp = tuple[int, int, int, int, int]  # inode, size, mtime, ctime (ns), device


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a file: the digest of its bytes, and its stamp when that was taken."""

    digest: str
    stamp: Stamp


def stamp_of(path: str, where: str = "") -> Stamp:
    """The stamp of a file. Raises: DataError where it cannot be looked at."""
    if is_remote(path):
        return seen_there(path, where).stamp
    try:
        seen = Path(path).stat()
    except OSError as error:
        hint = "restore the file or its permissions, then run again"
        raise DataError(f"cannot read {path}: {error}", where=where or path, hint=hint) from error
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_dev


def stat_digest(stamp: Stamp) -> str:
    """What stands for the bytes under `identity: stat`."""
    return f"{BY_STAT}{stamp[1]}:{stamp[2]}"


def seen_now(path: str) -> Seen:
    """The digest of a file's bytes and its stamp. Raises: DataError where it changes meanwhile or cannot be read.

    A file that has only just been written is waited for (50 ms, 2 s where times are whole seconds), so that whatever is
    written after its digest was taken changes the stamp.
    """
    if is_remote(path):
        found = last_seen(path) or seen_there(path)
        return Seen(digest=found.digest, stamp=found.stamp)
    stamp = _settled(path)
    digest = digest_of(path)
    if stamp_of(path) != stamp:
        raise DataError(f"{path} is written to while it is read", where=path, hint=REST)
    return Seen(digest=digest, stamp=stamp)


def digest_of(path: str) -> str:
    """xxh3-128 of a file's bytes, 32 hex digits. Raises: DataError where it cannot be read."""
    state = xxhash.xxh3_128()
    try:
        with Path(path).open("rb") as source:
            while block := source.read(1 << 22):
                state.update(block)
    except OSError as error:
        raise DataError(
            f"cannot read an input file: {error.strerror}",
            where=path, hint="fix its permissions or exclude it from the recipe",
        ) from error  # fmt: skip
    return state.hexdigest()


class Watch:
    """Files that a task reads: what they are when it begins is what was planned, and they stay so until it commits."""

    def __init__(self, files: Mapping[str, Seen], named: Mapping[str, str] | None = None) -> None:
        self._named = named or {}  # path -> what a person calls it
        self.stamps = {path: self._first(path, seen) for path, seen in files.items()}

    def check(self) -> None:
        """Raise DataError naming a file that has changed since the watch began. Cost: one stat per file."""
        for path, stamp in self.stamps.items():
            if stamp_of(path, self._name(path)) != stamp:
                raise self._changed(path)

    def _first(self, path: str, seen: Seen) -> Stamp:
        stamp = stamp_of(path, self._name(path))
        if stamp == seen.stamp:
            return stamp
        if stamp[1] != seen.stamp[1]:
            raise DataError(f"{path} has {stamp[1]} bytes, {seen.stamp[1]} when it was listed",
                            where=self._name(path), hint=REST)  # fmt: skip
        same = stat_digest(stamp) if seen.digest.startswith(BY_STAT) else _digest_at(path, stamp)
        if same != seen.digest:
            raise self._changed(path)
        return stamp

    def _name(self, path: str) -> str:
        return self._named.get(path, path)

    def _changed(self, path: str) -> DataError:
        return DataError(f"{path} was changed after its digest was taken", where=self._name(path), hint=REST)


def to_plain(files: Mapping[str, Seen]) -> dict[str, Sequence[str | int]]:
    """JSON values of what is known of files, by path."""
    return {path: [seen.digest, *seen.stamp] for path, seen in files.items()}


def from_plain(files: Mapping[str, Sequence[str | int]]) -> dict[str, Seen]:
    """What `to_plain` gave."""
    out = {}
    for path, (digest, *stamp) in files.items():
        inode, size, written, changed, device = map(int, stamp)
        out[path] = Seen(digest=str(digest), stamp=(inode, size, written, changed, device))
    return out


@functools.lru_cache(maxsize=4096)
def _digest_at(path: str, stamp: Stamp) -> str:
    """The digest of a file that has this stamp: taken once per process for each."""
    seen = seen_now(path)
    if seen.stamp != stamp:
        raise DataError(f"{path} is written to while it is read", where=path, hint=REST)
    return seen.digest


def _settled(path: str) -> Stamp:
    """The stamp of a file whose last change lies further back than its clock's tick."""
    stamp = stamp_of(path)
    for _ in range(3):
        latest = max(stamp[2], stamp[3])
        coarse = stamp[3] % 1_000_000_000 == 0
        left = latest + (COARSE_NS if coarse else TICK_NS) - time.time_ns()
        if not 0 < left <= COARSE_NS:  # long ago, or by a clock that is ahead of ours: nothing to wait for
            break
        time.sleep(left / 1e9)
        stamp = stamp_of(path)
    return stamp
