"""What a pattern of a recipe leads to on an object store: the rules of `file_patterns`, over one listing."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from winnow.core.errors import ConfigError
from winnow.core.operators import FoundFile
from winnow.core.store.remote_files import RemoteFile, below, is_remote, look_at, place_of_file
from winnow.dags.recipe.file_patterns import SUCCESS, FileKind, Match, Pattern, number_of

_listed: dict[str, RemoteFile] = {}  # path -> what the last listing said: the plan asks no second time


def of_remote(pattern: str, where: str, kind: FileKind) -> Pattern:
    """What a pattern leads to. Raises: ConfigError where it names this run's own root, or cannot be listed."""
    scheme, bucket, key = place_of_file(pattern)
    pattern = f"{scheme}://{bucket}/{key}"
    own = kind.root.rstrip("/")
    if own and (pattern == own or pattern.startswith(f"{own}/")):
        what = f"{pattern} lies in the run root of this run, and a run does not read what it wrote"
        hint = "use the stage in the same recipe, or give this run another --out"
        raise ConfigError(what, where=where, hint=hint)
    parts = pattern.split("/")
    first = next((i for i, part in enumerate(parts) if i > 2 and glob.has_magic(part)), len(parts))
    found = Pattern(kind=kind, where=where, last=parts[-1] if first < len(parts) else "", deep="**" in parts)
    if first == len(parts):
        _outright(found, pattern.rstrip("/"), where)
        return found
    start = "/".join(parts[:first])
    listed = list(below(f"{start}/", where))
    roots = _roots([file.path for file in listed])
    for file in listed:
        names = file.path[len(start) + 1 :].split("/")
        if not _matches(names, parts[first:]):
            continue
        root = next((r for r in roots if r != start and file.path.startswith(f"{r}/")), "")
        if root and not start.startswith(f"{root}/"):
            found.written[root] += 1
        else:
            _take(
                found,
                file,
                start,
                hidden=any(n.startswith(kind.no_data) for n in names) and parts[-1][0] != names[-1][0],
            )
    return found


def last_seen(path: str) -> RemoteFile | None:
    """What the last listing of this process said of an object, once."""
    return _listed.pop(path, None)


def known_by_etag(files: Sequence[FoundFile]) -> list[str]:
    """A sentence about the files whose store's word stands for their bytes; none where there are none."""
    there = [file.path for file in files if is_remote(file.path)]
    if not there:
        return []
    kinds = ", ".join(sorted({path.partition("://")[0] + "://" for path in there}))
    objects = number_of(len(there), "object")
    return [f"{objects} of {kinds} known by ETag and not by content: an object with a new ETag counts as a new file"]


def _outright(found: Pattern, path: str, where: str) -> None:
    """One object, or all the data below a prefix."""
    one = look_at(path, where)
    if one is not None:
        found.met.add(path)
        _take(found, one, path.rpartition("/")[0], hidden=False)
        return
    if path.startswith("http"):
        return
    ends = found.kind.suffixes or ("",)
    for file in below(f"{path}/", where):
        names = file.path[len(path) + 1 :].split("/")
        data = names[-1].endswith(ends)
        _take(found, file, path, hidden=not data or any(n.startswith(found.kind.no_data) for n in names))


def _take(found: Pattern, file: RemoteFile, start: str, *, hidden: bool) -> None:
    name = file.path.rpartition("/")[2]
    if hidden:
        found.others |= {} if name == SUCCESS or name.startswith(".") else {file.path: name}
        return
    _listed[file.path] = file
    found.taken.append(Match(path=file.path, start=start, size=file.size))


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """True where the names match the parts of a pattern one by one; `**` stands for any number of names."""
    if not parts:
        return not names
    if parts[0] == "**":
        rest = parts[1:] or ["*"]
        return any(_matches(names[i:], rest) for i in range(len(names) + 1))
    if not names or (names[0].startswith(".") and not parts[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])


def _roots(paths: Sequence[str]) -> list[str]:
    """Run roots among listed objects: they hold `runs/NAME.json` and a stage's record."""
    runs = {str(p.parent.parent).replace(":/", "://", 1) for p in map(PurePosixPath, paths)
            if p.parent.name == "runs" and p.suffix == ".json"}  # fmt: skip
    records = {str(Path(path).parent.parent).replace(":/", "://", 1) for path in paths if path.endswith("/stage.json")}
    return sorted(runs & records)
