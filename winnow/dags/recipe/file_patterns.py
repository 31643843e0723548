"""One pattern of a recipe to the paths that it leads to: links once, data sets whole, a run's own files not at all."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from winnow.core.errors import ConfigError, DataError
from winnow.core.store.packing import in_words
from winnow.dags.recipe.run_folders import own_among, own_root_of

DANGLING = -1  # size of a link whose file is gone
SUCCESS = "_SUCCESS"  # what Spark leaves in every folder: nobody needs to be told
MOST_NAMED = 3  # paths in a sentence


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """What a port takes: names in folders, and who asks."""

    suffixes: tuple[str, ...] = ()  # of the files taken of a folder; () for all
    no_data: tuple[str, ...] = (".",)  # how names begin that no wildcard means
    root: str = ""  # the run root of this very run, '' where there is none
    remote: bool = False  # files may lie on object stores and web servers


ANY_FILE = FileKind()


@dataclass(frozen=True, kw_only=True)
class Match:
    """A path that a pattern leads to."""

    path: str
    start: str  # the folder before the first wildcard
    size: int = 0
    key: tuple[int, int] = (0, 0)  # (device, inode)
    linked: bool = False  # a link leads there


@dataclass(kw_only=True)
class Pattern:
    """What one pattern leads to, and what not."""

    kind: FileKind
    last: str  # its last part
    where: str = ""  # who asks
    deep: bool = False  # it goes into folders, so what lies in those that match is met by itself
    taken: list[Match] = field(default_factory=list)
    met: set[str] = field(default_factory=set)
    real: dict[str, str] = field(default_factory=dict)  # folder -> without links
    written: Counter[str] = field(default_factory=Counter)  # run root -> files of it
    loops: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  # that match beside files
    others: dict[str, str] = field(default_factory=dict)  # what lies there and is no data: path -> name

    def told(self) -> list[str]:
        """Sentences about what was passed over."""
        out = []
        for root, count in sorted(self.written.items()):
            mine = bool(self.kind.root) and os.path.realpath(self.kind.root) == os.path.realpath(root)
            ways = "" if mine else f"; `{root}/write-*/shards/*` names its shards"
            out.append(f"passed over {number_of(count, 'file')} that winnow wrote in the run root {root}: a wildcard "
                       f"never reads a run's own files{ways}")  # fmt: skip
        if self.loops:
            links = number_of(len(self.loops), "link")
            out.append(f"passed over {links} to folders that are read already or lie above: {some_of(self.loops)}")
        if self.folders:
            hint = "`**/` before the last name goes into folders"
            out.append(f"passed over {number_of(len(self.folders), 'folder')} beside the files: "
                       f"{some_of(self.folders)}; {hint}")  # fmt: skip
        if self.others:
            count = len(self.others)
            what = "1 file or folder that is" if count == 1 else f"{count:,} files and folders that are"
            out.append(f"passed over {what} no data: {some_of(sorted(self.others.values()))}")
        return out

    def nothing(self, pattern: str, folder: Path, where: str) -> ConfigError:
        """The error for a pattern that leads to no file."""
        passed = self.told()
        if passed:
            hint = "name the files that are meant" if not self.folders else "add `**/*`, or name a folder outright"
            return ConfigError(f"no file matches {pattern!r}: {'; '.join(passed)}", where=where, hint=hint)
        looked = " and ".join(dict.fromkeys(str(start) for start in (Path.cwd(), folder)))
        home = "; `~` is not expanded: write the whole path" if pattern.startswith("~") else ""
        return ConfigError(
            f"no file matches {pattern!r}", where=where, hint=f"looked below {looked}; globs may use **{home}"
        )


def of_pattern(pattern: str, folder: Path, where: str, kind: FileKind) -> Pattern:
    """What a pattern leads to, from the working directory or else from the recipe's folder.

    Raises: ConfigError where it names files of this very run, or something that is no file; DataError where a folder
    cannot be listed.
    """
    for above in dict.fromkeys((Path.cwd(), folder)):
        full = os.path.normpath(above / pattern)
        outright = os.path.lexists(full)  # a name may hold what looks like a wildcard
        parts = [] if outright else _wild_parts(full)
        found = Pattern(kind=kind, where=where, last=parts[-1] if parts else "", deep="**" in parts)
        start = _start_of(full, outright=outright or not parts)
        _refuse_own(full if outright else start, kind, where)
        paths = _expanded(_before_wild(full), parts, found) if parts else iter([(full, "", None)] if outright else ())
        for path, inside, linked in paths:
            if path not in found.met:
                found.met.add(path)
                _take(found, path, start, inside, linked)
        if found.taken or found.told():
            return found
    return found


def _take(found: Pattern, path: str, start: str, inside: str, linked: bool | None) -> None:
    """One path that a pattern leads to: a file, a data set, or something that is passed over or refused.

    `linked`: whether it is a link; None where nobody has looked.
    """
    try:
        seen = os.stat(path)  # noqa: PTH116 - a hundred thousand of them
    except FileNotFoundError:
        if linked or os.path.islink(path):  # noqa: PTH114
            found.taken.append(Match(path=path, start=start, size=DANGLING, linked=True))
        return
    except OSError as error:
        raise DataError(f"cannot stat an input file: {error.strerror}", where=path) from error
    above, name = os.path.split(path)
    outright, linked = not found.last, os.path.islink(path) if linked is None else linked  # noqa: PTH114
    root = inside or ("" if outright or not linked else own_root_of(os.path.realpath(path)))
    if stat.S_ISDIR(seen.st_mode):
        if outright or name.endswith(found.kind.suffixes or ("\0",)) or _is_partition(name):
            _take_folder(found, path, _above_partitions(path) if outright else start, inside)
        elif not inside and not found.deep:
            found.folders.append(path)
    elif not stat.S_ISREG(seen.st_mode):
        raise ConfigError(f"{path} is {_what_is(seen.st_mode)}, not a file", where=found.where,
                          hint="name files that leave it out")  # fmt: skip
    elif root:
        found.written[root] += 1
    elif name.startswith(found.kind.no_data) and found.last and found.last[0] != name[0]:
        found.others |= {} if name == SUCCESS else {path: name}
    else:
        real = _real(above, found.real)
        key = (seen.st_dev, seen.st_ino)
        found.taken.append(Match(path=path, start=start, size=seen.st_size, key=key, linked=linked or real != above))


def _real(folder: str, known: dict[str, str]) -> str:
    """`os.path.realpath` of a folder, which asks the disk about each part of a path: here once for all below it."""
    if folder not in known:
        above, name = os.path.split(folder)
        plain = name and not os.path.islink(folder)  # noqa: PTH114
        known[folder] = os.path.join(_real(above, known), name) if plain else os.path.realpath(folder)  # noqa: PTH118
    return known[folder]


def _take_folder(found: Pattern, folder: str, start: str, inside: str) -> None:
    """The data files of a data set: names that begin with `_` or `.` are none of them."""
    kind, data = found.kind, 0
    beside: dict[str, str] = {}
    for listed, within in _below(folder, inside, found, hidden=kind.no_data):
        for entry in listed.entries:
            if _is_folder(entry):
                continue
            if entry.name.startswith(kind.no_data) or not entry.name.endswith(kind.suffixes or ("",)):
                if entry.name != SUCCESS and entry.name[0] != ".":
                    beside[entry.path] = entry.name
                continue
            data += 1
            if entry.path not in found.met:
                found.met.add(entry.path)
                root = within or (listed.folder if entry.name in listed.own else "")
                _take(found, entry.path, start, root, entry.is_symlink())
    found.others |= beside
    if not data:
        wanted = f" that ends in {in_words(kind.suffixes)}" if kind.suffixes else ""
        held = f" (it holds {some_of(sorted(beside.values()))})" if beside else " (it is empty)"
        raise ConfigError(f"the folder {folder} holds no file{wanted}{held}", where=found.where,
                          hint="name the files in it with a glob, or name another folder")  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """A folder, what lies in it by name, and which of the names winnow made there."""

    folder: str
    entries: list[os.DirEntry[str]]
    own: frozenset[str]


def _listed(folder: str) -> Listed:
    entries = _entries(folder)
    return Listed(folder, entries, own_among(folder, [entry.name for entry in entries]))


Expanded = Iterator[tuple[str, str, bool | None]]


def _expanded(
    folder: str, parts: Sequence[str], found: Pattern, inside: str = "", listed: Listed | None = None
) -> Expanded:
    """(path, run root whose own file it is or '', whether it is a link) of what the parts match below a folder."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _expanded_below(folder, rest, found, inside)
    elif not glob.has_magic(part):
        path = os.path.join(folder, part)  # noqa: PTH118
        if rest and os.path.isdir(path):  # noqa: PTH112
            yield from _expanded(path, rest, found, inside)
        elif not rest and os.path.lexists(path):
            yield path, inside, None
    else:
        here, matches = listed or _listed(folder), _matching_names(part)
        named = here.own if any(c.isalnum() for c in part) and rest else frozenset()  # `write-*` means one
        for entry in here.entries:
            if (entry.name[0] == "." and part[0] != ".") or not matches(entry.name):
                continue
            if entry.name in named:
                _refuse_own(entry.path, found.kind, found.where)
            within = inside or (folder if entry.name in here.own - named else "")
            if not rest:
                yield entry.path, within, entry.is_symlink()
            elif entry.name.startswith(found.kind.no_data) and entry.name[0] != part[0]:
                found.others |= {} if within else {entry.path: f"{entry.name}/"}
            elif _is_folder(entry):
                linked = "" if within or not entry.is_symlink() else own_root_of(os.path.realpath(entry.path))
                yield from _expanded(entry.path, rest, found, within or linked)


@functools.lru_cache(maxsize=64)
def _matching_names(part: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(part)).match


def _expanded_below(folder: str, rest: Sequence[str], found: Pattern, inside: str) -> Expanded:
    """`_expanded` for `**`: what the other parts match in a folder and all below it."""
    for listed, within in _below(folder, inside, found, hidden=found.kind.no_data):
        if any(part != "**" for part in rest):
            yield from _expanded(listed.folder, rest, found, within, listed)
            continue
        for entry in listed.entries:
            if entry.name[0] != "." and not _is_folder(entry):
                yield entry.path, within or (listed.folder if entry.name in listed.own else ""), entry.is_symlink()


def _below(folder: str, inside: str, found: Pattern, *, hidden: tuple[str, ...]) -> Iterator[tuple[Listed, str]]:
    """(listing, run root that it is part of or '') of a folder and all below it, each once: links after the rest."""
    if not os.path.isdir(folder):  # noqa: PTH112
        return
    first = os.stat(folder)  # noqa: PTH116
    met = {(first.st_dev, first.st_ino)}
    todo: list[tuple[str, str, bool]] = [(folder, inside, False)]
    links: list[tuple[str, str, bool]] = []
    while todo or links:
        sub, within, linked = todo.pop() if todo else links.pop(0)
        if linked and not _is_new(sub, met):
            found.loops.append(sub)
            continue
        listed = _listed(sub)
        yield listed, within
        for entry in reversed(listed.entries):
            if not _is_folder(entry):
                continue
            if entry.name.startswith(hidden):
                if entry.name[0] != "." and not within:
                    found.others[entry.path] = f"{entry.name}/"
                continue
            inner = within or (sub if entry.name in listed.own else "")
            if entry.is_symlink():
                links.append((entry.path, inner or own_root_of(os.path.realpath(entry.path)), True))
            else:
                seen = entry.stat()
                met.add((seen.st_dev, seen.st_ino))
                todo.append((entry.path, inner, False))
        links.sort()


def _is_new(link: str, met: set[tuple[int, int]]) -> bool:
    """True, and noted, where a link leads to a folder that was not read and does not hold the link itself."""
    seen, target = os.stat(link), os.path.realpath(link)  # noqa: PTH116
    key = (seen.st_dev, seen.st_ino)
    above = os.path.realpath(os.path.dirname(link))  # noqa: PTH120
    if key in met or Path(above).is_relative_to(target):
        return False
    met.add(key)
    return True


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"cannot list a folder: {error.strerror}", where=folder,
                        hint="fix its permissions, or name files that leave it out") from error  # fmt: skip


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: whoever wants it as a file is told
        return False


def _wild_parts(full: str) -> list[str]:
    """The parts of a pattern from the first wildcard on; none where it has no wildcard."""
    parts = Path(full).parts
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return list(parts[first:])


def _before_wild(full: str) -> str:
    parts = Path(full).parts
    return str(Path(*parts[: len(parts) - len(_wild_parts(full))]))


def _start_of(full: str, *, outright: bool) -> str:
    """The folder that relative paths begin at: before the first wildcard and above `key=value` folders."""
    return _above_partitions(os.path.dirname(full) if outright else _before_wild(full))  # noqa: PTH120


def _above_partitions(folder: str) -> str:
    while _is_partition(os.path.basename(folder)):  # noqa: PTH119
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder


def _refuse_own(path: str, kind: FileKind, where: str) -> None:
    """Raise ConfigError where a path leads into the files of the very run that is planned."""
    root = own_root_of(os.path.realpath(path))
    if root and kind.root and os.path.realpath(kind.root) == root:
        raise ConfigError(
            f"{path} lies in the run root of this run, and a run does not read what it wrote", where=where,
            hint="use the stage in the same recipe, or give this run another --out",
        )  # fmt: skip


def _is_partition(name: str) -> bool:
    key, equals, _ = name.partition("=")
    return bool(equals) and key.replace("-", "_").isidentifier()


def _what_is(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISBLK, "a device"),
             (stat.S_ISCHR, "a device"))  # fmt: skip
    return next((name for test, name in kinds if test(mode)), "something special")


def number_of(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def some_of(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
