"""Input files: files to content digests (cached by their stamps), digests to units of work."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import orjson
import xxhash

from winnow.core.operators import FileSlice, FoundFile
from winnow.core.store.packing import PACKED
from winnow.core.store.remote_files import is_remote
from winnow.core.store.store import Store
from winnow.dags.recipe.input_stamps import Seen, Stamp, from_plain, seen_now, stamp_of, stat_digest, to_plain

CACHE_KEY = "cache/digests.json"
MIN_PART_BYTES, MAX_PART_BYTES = 4 << 20, 64 << 20
WORKER_BYTES, BYTES_PER_PART_BYTE = (
    700_000_000,
    5,
)  # of a worker: libraries and models; what a part's byte takes at most
UNPACKED = 4  # times the bytes of a compressed file: text 2.5 to 4 by gzip, HTML 5 by gzip, 7 by zstd
Identity = Literal["content", "stat"]


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One input file with what identifies it (`rel`, `digest`) and where it lies (`path`)."""

    path: str
    rel: str
    size: int
    digest: str
    stamp: Stamp = (0, 0, 0, 0, 0)  # when the digest was taken

    @property
    def seen(self) -> Seen:
        """What a task is to find when it reads the file."""
        return Seen(digest=self.digest, stamp=self.stamp)


def digest_files(store: Store | None, files: Sequence[FoundFile], identity: Identity) -> list[InputFile]:
    """The files with their digests; a file whose stamp (device, inode, size, mtime, ctime) is known is not read again.

    Raises: DataError where a file cannot be read, or is written to meanwhile.
    """
    cache = _load_cache(store)
    fresh: dict[str, Seen] = {}
    out = []
    for f in files:
        if is_remote(f.path):
            there = seen_now(f.path)
            out.append(InputFile(path=f.path, rel=f.rel, size=there.stamp[1], digest=there.digest, stamp=there.stamp))
            continue
        stamp = stamp_of(f.path)
        seen = Seen(digest=stat_digest(stamp), stamp=stamp) if identity == "stat" else cache.get(f.path)
        if seen is None or seen.stamp != stamp:
            seen = fresh[f.path] = seen_now(f.path)
        out.append(InputFile(path=f.path, rel=f.rel, size=seen.stamp[1], digest=seen.digest, stamp=seen.stamp))
    if fresh and store is not None:
        store.put(CACHE_KEY, orjson.dumps(to_plain(cache | fresh)))
    return out


def part_bytes(total: int, worker_gb: float | None = None) -> int:
    """Target text bytes of a part: a sixteenth of the input, as a power of two in [4 MiB, 64 MiB].

    A power of two, so that adding a file to many rarely moves every cut. Where a worker may take `worker_gb`, a part is
    at most what leaves room for the rest: a worker takes about 0.7 GB and five times the text of its part.
    """
    most = MAX_PART_BYTES if worker_gb is None else int((worker_gb * 1e9 - WORKER_BYTES) / BYTES_PER_PART_BYTE)
    target = max(MIN_PART_BYTES, min(total // 16, most, MAX_PART_BYTES))
    return 1 << (target.bit_length() - 1)


def text_bytes(files: Sequence[InputFile]) -> int:
    """About the bytes of text in the files: compressed ones hold a few times what they take."""
    return sum(f.size * (UNPACKED if f.rel.lower().endswith(PACKED) else 1) for f in files)


def cut_units(files: Sequence[InputFile], splittable: Sequence[str], target: int) -> list[list[FileSlice]]:
    """Units of work: big splittable files cut by bytes, small files merged in order of their path.

    Merged units end where the hash of a path says so, not after a running count: a file added or removed changes
    the unit it falls into and leaves the others as they were.
    """
    units: list[list[FileSlice]] = []
    current: list[FileSlice] = []
    held = 0
    for f in sorted(files, key=lambda f: f.rel):
        if f.size > target:
            units += [current] if current else []
            current, held = [], 0
            units += [[s] for s in _slices(f, target if f.rel.endswith(tuple(splittable) or ("\0",)) else f.size)]
            continue
        current.append(FileSlice(path=f.path, rel=f.rel, digest=f.digest, size=f.size))
        held += f.size
        boundary = xxhash.xxh64_intdigest(f.rel.encode()) % max(2, target // (4 * max(f.size, 1))) == 0
        if held >= 2 * target or (held >= target // 2 and boundary):
            units.append(current)
            current, held = [], 0
    return [*units, current] if current else units


def slice_json(unit: Sequence[FileSlice]) -> list[dict[str, object]]:
    """Plain values of a unit, without the paths (where files lie is not part of a layout)."""
    return [{k: v for k, v in asdict(s).items() if k != "path"} for s in unit]


def _slices(f: InputFile, step: int) -> list[FileSlice]:
    pieces = max(1, -(-f.size // step))
    cuts = [min(i * step, f.size) for i in range(pieces)] + [f.size]
    if pieces == 1:
        return [FileSlice(path=f.path, rel=f.rel, digest=f.digest, size=f.size)]
    return [
        FileSlice(path=f.path, rel=f.rel, digest=f.digest, size=f.size, start=a, stop=b)
        for a, b in itertools.pairwise(cuts)
    ]


def _load_cache(store: Store | None) -> dict[str, Seen]:
    if store is None or not store.exists(CACHE_KEY):
        return {}
    try:
        return from_plain(orjson.loads(store.get(CACHE_KEY)))
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):
        return {}  # not ours, or of an earlier version
