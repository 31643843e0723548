"""Input files: globs to files, files to content digests (cached by stat), digests to units of work."""

from __future__ import annotations

import glob
import itertools
import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson
import xxhash

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import FileSlice, FoundFile
from winnow.core.store.store import Store

CACHE_KEY = "cache/digests.json"
DANGLING = -1  # size of a link whose file is gone
MIN_PART_BYTES, MAX_PART_BYTES = 4 << 20, 128 << 20
Identity = Literal["content", "stat"]


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One input file with what identifies it (`rel`, `digest`) and where it lies (`path`)."""

    path: str
    rel: str
    size: int
    digest: str


def find_files(patterns: Sequence[str], *, base: str, folder: Path, where: str) -> list[FoundFile]:
    """Files that the globs match, in order of their path relative to `base`; every rel is unique.

    Relative globs count from the working directory, then from the recipe's folder. Raises ConfigError where a
    glob matches nothing or two files would get the same relative path.
    """
    if not patterns:
        raise ConfigError("no input files are named", where=where, hint="add a path or a glob")
    files: dict[str, FoundFile] = {}
    for pattern in patterns:
        matches = _matches(pattern, folder)
        if not matches:
            looked = " and ".join(dict.fromkeys(str(start) for start in (Path.cwd(), folder)))
            hint = f"looked below {looked}; globs may use **"
            raise ConfigError(f"no file matches {pattern!r}", where=where, hint=hint)
        for path, size, root in matches:
            rel = _relative(path, base, root, folder, where)
            other = files.get(rel)
            if other is not None and other.path != path:
                raise ConfigError(
                    f"two input files would both be {rel!r}: {other.path} and {path}",
                    where=where, hint="set `base:` to a folder above both",
                )  # fmt: skip
            files[rel] = FoundFile(path=path, rel=rel, size=size)
    return [files[rel] for rel in sorted(files)]


def labels_of(names: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Label -> name: a name that is known is its own label, files go by their own name or their folder's.

    `evals/target.jsonl` is `target`, `evals/*.jsonl` is `evals`; what would share a label keeps its whole name.
    """
    short = {}
    for name in names:
        parts = [part.partition(".")[0] for part in reversed(Path(name).parts)]
        plain = next((p for p in parts if p and not glob.has_magic(p)), name)
        short[name] = name if name in known or not plain.isidentifier() else plain
    labels = list(short.values())
    return {label if labels.count(label) == 1 else name: name for name, label in short.items()}


def refuse_dangling(files: Sequence[FoundFile], where: str) -> None:
    """Check that every file is there. Raises: ConfigError for a link whose file is gone."""
    for file in files:
        if file.size == DANGLING:
            raise ConfigError(
                f"{file.path} is a link to a file that is not there", where=where,
                hint="bring the file back, remove the link, or name files that leave it out",
            )  # fmt: skip


def digest_files(store: Store | None, files: Sequence[FoundFile], identity: Identity) -> list[InputFile]:
    """The files with their digests; unchanged files (path, size, mtime, inode) are not read again."""
    cache = _load_cache(store)
    fresh: dict[str, list[str | int]] = {}
    out = []
    for f in files:
        seen = Path(f.path).stat()
        stamp = [seen.st_size, seen.st_mtime_ns, seen.st_ino]
        known = cache.get(f.path)
        if identity == "stat":
            digest = f"stat:{seen.st_size}:{seen.st_mtime_ns}"
        elif known and known[:3] == stamp:
            digest = str(known[3])
        else:
            digest = _digest(f.path)
            fresh[f.path] = [*stamp, digest]
        out.append(InputFile(path=f.path, rel=f.rel, size=seen.st_size, digest=digest))
    if fresh and store is not None:
        store.put(CACHE_KEY, orjson.dumps(cache | fresh))
    return out


def part_bytes(total: int) -> int:
    """Target text bytes of a part: a sixteenth of the input, as a power of two in [4 MiB, 128 MiB].

    A power of two, so that adding a file to many rarely moves every cut.
    """
    target = max(1, total // 16)
    return min(max(1 << (target.bit_length() - 1), MIN_PART_BYTES), MAX_PART_BYTES)


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


def _matches(pattern: str, folder: Path) -> list[tuple[str, int, str]]:
    """(absolute path, size, fixed prefix folder) of the files a pattern matches."""
    for start in (Path.cwd(), folder):
        full = os.path.normpath(start / pattern)
        root = _fixed_prefix(full)
        sizes = [(p, _file_size(p)) for p in sorted(glob.iglob(full, recursive=True))]  # noqa: PTH207 - pathlib follows no links
        matches = [(p, size, root) for p, size in sizes if size is not None]
        if matches:
            return matches
    return []


def _fixed_prefix(pattern: str) -> str:
    parts = Path(pattern).parts
    fixed = [p for i, p in enumerate(parts) if not any(glob.has_magic(q) for q in parts[: i + 1])]
    prefix = Path(*fixed)
    return str(prefix if len(fixed) < len(parts) else prefix.parent)


def _relative(path: str, base: str, root: str, folder: Path, where: str) -> str:
    starts = [os.path.normpath(above / base) for above in (Path.cwd(), folder)] if base else [root]
    start = next((s for s in starts if Path(path).is_relative_to(s)), starts[0])  # like the globs themselves
    head = start.rstrip(os.sep) + os.sep
    if not path.startswith(head):
        raise ConfigError(f"{path} lies outside `base` {start}", where=where, hint="set `base:` to a folder above it")
    return path[len(head) :].replace(os.sep, "/")


def _file_size(path: str) -> int | None:
    """Bytes of a regular file, or DANGLING; None for folders and the like. One that cannot be looked at is an error."""
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        return DANGLING
    except OSError as error:
        raise DataError(f"cannot stat an input file: {error.strerror}", where=path) from error
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _digest(path: str) -> str:
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


def _load_cache(store: Store | None) -> dict[str, list[str | int]]:
    if store is None or not store.exists(CACHE_KEY):
        return {}
    try:
        loaded = orjson.loads(store.get(CACHE_KEY))
    except orjson.JSONDecodeError:
        return {}
    return loaded if isinstance(loaded, dict) else {}
