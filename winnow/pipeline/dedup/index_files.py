"""Indexes of earlier deduplications on disk: flat buffers to be memory-mapped, and `index.json`, which describes them.

`index.json` holds what the index is of (`kind`, `settings`), its rows, and the size and digest of every other file, so
that an index that was copied half, or changed, is told from a whole one before anything is read of it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import xxhash

from winnow.core.errors import ConfigError
from winnow.core.words.hashing import Lanes

HEAD, FORMAT, VERSION = "index.json", "winnow dedup index", 1
AGAIN = "make it again, or copy it whole"


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index: its folder, and what its head says."""

    folder: Path
    kind: str
    rows: int
    settings: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    def array(self, name: str, dtype: Any) -> npt.NDArray[Any]:
        """A buffer, memory-mapped; of no values where the index does not have it, or it is empty."""
        if not self.files.get(name, {}).get("bytes"):
            return np.empty(0, dtype=dtype)
        path = self.folder / name
        return _values(str(path), dtype, path.stat().st_mtime_ns)

    def ids(self, name: str) -> Lanes:
        """16-byte values in order, as words u64[rows, 2] whose order is that of the bytes."""
        return self.array(name, np.uint64).reshape(-1, 2)

    def texts(self, name: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """The texts `name` of some rows."""
        ends, data = self.array(f"{name}.ends", np.int64), self.array(f"{name}.bytes", np.uint8)
        return [bytes(data[ends[row] : ends[row + 1]]).decode() for row in rows]


@functools.lru_cache(maxsize=256)
def _values(path: str, dtype: Any, _written_ns: int) -> npt.NDArray[Any]:
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def finish(folder: Path, kind: str, rows: int, settings: Mapping[str, Any]) -> int:
    """Write the head over all files of a folder; bytes of them."""
    files = {
        path.name: {"bytes": path.stat().st_size, "digest": xxhash.xxh3_128(_mapped(path)).hexdigest()}
        for path in sorted(folder.iterdir())
    }
    head = {"format": FORMAT, "version": VERSION, "kind": kind, "rows": rows, "settings": settings, "files": files}
    (folder / HEAD).write_bytes(orjson.dumps(head, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    return sum(path.stat().st_size for path in folder.iterdir())


def opened(paths: Sequence[str], kind: str, settings: Mapping[str, Any]) -> list[Index]:
    """The indexes that these files are of, in the order of their first files.

    Raises: ConfigError where a folder holds no index or one of another kind, where it was made with other settings than
    `settings`, or where a file is missing or of another size.
    """
    folders = dict.fromkeys(Path(path).parent for path in paths)
    return [_checked(_opened(folder), kind, settings) for folder in folders]


def check_digests(digests: Mapping[str, str]) -> None:
    """Raise ConfigError where a file of an index has not the digest that its `index.json` says.

    `digests`: path -> xxh3-128 of the file's bytes; one that begins in another way stands for no bytes and is passed.
    """
    for folder in dict.fromkeys(Path(path).parent for path in digests):
        index = _opened(folder)
        for name, file in index.files.items():
            digest = digests.get(str(folder / name), "")
            if len(digest) == 32 and digest != file["digest"]:
                raise ConfigError(f"{folder / name} is not what {HEAD} beside it says", where="against", hint=AGAIN)


def _mapped(path: Path) -> Any:
    return np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else b""


def _opened(folder: Path) -> Index:
    head = folder / HEAD
    try:
        said = orjson.loads(head.read_bytes())
        if said["format"] != FORMAT:
            raise KeyError("format")
        made = Index(folder=folder, kind=said["kind"], rows=said["rows"], settings=said["settings"],
                     files=said["files"])  # fmt: skip
    except FileNotFoundError:
        hint = "name RUN/STAGE of a stage `dedup_index`, or the folder of its files"
        raise ConfigError(f"{folder} holds no {HEAD}, so it is no index", where="against", hint=hint) from None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{head} describes no index", where="against", hint=AGAIN) from error
    if said["version"] != VERSION:
        told = f"{head} is of version {said['version']}, and this is version {VERSION}"
        raise ConfigError(told, where="against", hint="make the index again: its recipe reuses all else")
    return made


def _checked(index: Index, kind: str, settings: Mapping[str, Any]) -> Index:
    if index.kind != kind:
        hint = f"name the index of a stage `{kind}`"
        raise ConfigError(f"{index.folder} is an index of `{index.kind}`", where="against", hint=hint)
    for name, value in settings.items():
        held = index.settings.get(name)
        if held != value:
            told = f"{index.folder} was made with {name}: {_shown(held)}, and this stage has {_shown(value)}"
            raise ConfigError(told, where="against", hint=f"give both {name}: {_shown(held)}, or make the index again")
    for name, file in index.files.items():
        path = index.folder / name
        size = path.stat().st_size if path.is_file() else -1
        if size != file["bytes"]:
            has = f"has {size:,} bytes and should have {file['bytes']:,}" if size >= 0 else "is missing"
            raise ConfigError(f"{path} {has}", where="against", hint=AGAIN)
    return index


def _shown(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)
