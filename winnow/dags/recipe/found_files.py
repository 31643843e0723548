"""What counts as input: from the names and globs of a recipe to files, and what was passed over, in words.

* Nothing that winnow wrote in a run root is input where only a wildcard leads there: a recipe would read its own
  shards on its next run. A path that names the folder (`runs/write-*/shards/*.parquet`) reads another root's.
* A file is read once per stage, however many links and globs lead to it; link loops end.
* A folder is a data set where it is named outright, ends like the reader's files, or is called `key=value`.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from winnow.core.errors import ConfigError
from winnow.core.operators import Derive, FoundFile, Operator
from winnow.core.store.locations import refuse_scheme
from winnow.core.store.remote_files import is_remote
from winnow.dags.recipe.file_patterns import ANY_FILE, DANGLING, FileKind, Match, number_of, of_pattern, some_of
from winnow.dags.recipe.remote_patterns import of_remote


@dataclass(kw_only=True)
class Found:
    """The files of a port, in order of their path relative to `base`, and sentences about what was passed over."""

    files: list[FoundFile] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def kind_of(operator: Operator, root: str, port: str = "files") -> FileKind:
    """What a port of an operator takes, in a run below `root`: what a reader reads may lie on an object store."""
    if isinstance(operator, Derive):
        remote = port == "files"
        return FileKind(suffixes=operator.suffixes, no_data=operator.no_data, root=root, remote=remote)
    return FileKind(root=root)


def find_files(
    patterns: Sequence[str], *, base: str, folder: Path, where: str, kind: FileKind = ANY_FILE
) -> list[FoundFile]:
    """What `look_for` finds, without what it passed over."""
    return look_for(patterns, base=base, folder=folder, where=where, kind=kind).files


def look_for(patterns: Sequence[str], *, base: str, folder: Path, where: str, kind: FileKind = ANY_FILE) -> Found:
    """Files that the globs match, in order of their path relative to `base`; every rel is unique, every file once.

    Relative globs count from the working directory, then from the recipe's folder. Raises ConfigError where a
    glob matches nothing, two files would get the same relative path, or something is no file.
    """
    if not patterns:
        raise ConfigError("no input files are named", where=where, hint="add a path or a glob")
    met: list[Match] = []
    told: list[str] = []
    for pattern in patterns:
        remote = kind.remote and is_remote(pattern)
        if not remote:
            refuse_scheme(pattern, where=where)
            refuse_scheme(base, where=where)
        found = of_remote(pattern, where, kind) if remote else of_pattern(pattern, folder, where, kind)
        told += found.told()
        if not found.taken:
            raise found.nothing(pattern, folder, where)
        met += found.taken
    once, again = _once(met, base, folder, where)
    files: dict[str, Match] = {}
    for rel, match in once:
        other = files.get(rel)
        if other is not None:
            raise ConfigError(
                f"two input files would both be {rel!r}: {other.path} and {match.path}",
                where=where, hint="set `base:` to a folder above both",
            )  # fmt: skip
        files[rel] = match
    made = [FoundFile(path=files[rel].path, rel=rel, size=files[rel].size) for rel in sorted(files)]
    return Found(files=made, told=[*dict.fromkeys(told), *again])


def matching(pattern: str) -> list[str]:
    """Paths of the files that a glob leads to; none where it matches none."""
    try:
        return [f.path for f in find_files([pattern], base="", folder=Path.cwd(), where="files")]
    except ConfigError:
        return []


def refuse_dangling(files: Sequence[FoundFile], where: str) -> None:
    """Check that every file is there. Raises: ConfigError for a link whose file is gone."""
    for file in files:
        if file.size == DANGLING:
            raise ConfigError(
                f"{file.path} is a link to a file that is not there", where=where,
                hint="bring the file back, remove the link, or name files that leave it out",
            )  # fmt: skip


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


def _once(met: Sequence[Match], base: str, folder: Path, where: str) -> tuple[list[tuple[str, Match]], list[str]]:
    """(relative path, match) with each file once, and a sentence about paths that lead to one that is there already.

    Of several paths to a file the one counts that no link leads to, then the first in order.
    """
    starts = [os.path.normpath(above / base) for above in (Path.cwd(), folder)] if base and not is_remote(base) else []
    starts += [base] if is_remote(base) else []
    named = [(m.linked, f"{os.sep}_" in m.path, _relative(m, starts or [m.start], where), m) for m in met]
    named.sort(key=lambda n: n[:3])
    first: dict[object, Match] = {}
    once: list[tuple[str, Match]] = []
    twice: dict[str, str] = {}
    for _, _, rel, match in named:
        other = first.setdefault(match.key if match.key[1] else match.path, match)
        if other is match:
            once.append((rel, match))
        else:
            twice[f"{match.path} is {other.path}" if match.path != other.path else f"{match.path} is named twice"] = ""
    if not twice:
        return once, []
    paths = f"{number_of(len(twice), 'path')} {'lead' if len(twice) > 1 else 'leads'} to a file that is read already"
    return once, [f"{paths}, and each file is read once: {some_of(list(twice))}"]


def _relative(match: Match, starts: Sequence[str], where: str) -> str:
    """The path below the first of the folders that it lies in: like the globs themselves."""
    for start in starts:
        head = start.rstrip(os.sep) + os.sep
        if match.path.startswith(head):
            return match.path[len(head) :].replace(os.sep, "/")
    start = next((start for start in starts if start == match.path), starts[0])
    raise ConfigError(f"{match.path} lies outside `base` {start}", where=where, hint="set `base:` to a folder above it")
