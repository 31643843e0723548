"""Block lists as their publishers write them: UT1 folders and archives, plain lists of domains and addresses.

| file | read as |
|---|---|
| `CATEGORY/domains`, `CATEGORY/urls`, `CATEGORY/expressions` | UT1: names, addresses, regular expressions |
| any of these in a `.tar`, `.tar.gz`, `.tgz`, `.tar.xz`, `.tar.bz2` | the same |
| any other file, plain, `.gz` or `.zst` | a line with a `/` is an address, another one a name |

Blank lines and lines that begin with `#` say nothing; of `0.0.0.0 example.org` (a hosts file) the name counts. A list
is called like the folder of a UT1 file, or like the plain file.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from winnow.core.errors import DataError
from winnow.core.store.packing import unpacked

UT1 = ("domains", "urls", "expressions")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
NO_LISTS = ("usage", "global_usage", "readme", "license", "licence", "source", "users", "changelog", "cc-by-sa")
MOST_BYTES = 4 << 30  # of one archive or compressed list when unpacked
_ADDRESSES = ("0.0.0.0", "127.0.0.1", "::", "::1")  # noqa: S104 - read in hosts files, and nothing is bound


@dataclass(kw_only=True)
class ListedNames:
    """Entries as they are written, each with the number of its list."""

    names: list[str] = field(default_factory=list)  # of lists
    domains: list[tuple[str, int]] = field(default_factory=list)
    urls: list[tuple[str, int]] = field(default_factory=list)
    expressions: list[tuple[str, int]] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)  # files that are no lists
    not_utf8: int = 0  # lines

    def number(self, name: str) -> int:
        """The number of a list; a new one where none is called so."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


def read_lists(paths: Sequence[Path]) -> ListedNames:
    """The entries of all files, in their order.

    Raises: DataError where an archive cannot be read or is larger than 4 GiB unpacked.
    """
    found = ListedNames()
    for path in paths:
        if path.name.lower().endswith(TARS):
            _read_archive(path, found)
        else:
            with path.open("rb") as raw:
                _read_list(PurePosixPath(path.as_posix()), _bounded(unpacked(raw, path.name), path.name), found)
    return found


def read_words(paths: Sequence[Path]) -> list[str]:
    """Lines of files of words, in small letters, without blank ones and those that begin with `#`."""
    words = []
    for path in paths:
        with path.open("rb") as raw:
            words += [line.lower() for line in _lines(_bounded(unpacked(raw, path.name), path.name), ListedNames())]
    return list(dict.fromkeys(words))


def _read_archive(path: Path, found: ListedNames) -> None:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                data = archive.extractfile(member) if member.isreg() else None
                if data is not None:
                    if member.size > MOST_BYTES:
                        raise DataError(f"{member.name} has {member.size:,} bytes", where=path.name)
                    _read_list(PurePosixPath(member.name), io.BytesIO(data.read()), found)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"cannot read the archive: {error}", where=path.name, hint="fetch it again") from error


def _read_list(path: PurePosixPath, data: Any, found: ListedNames) -> None:
    stem = path.name.split(".")[0]
    if stem.lower() in NO_LISTS or not stem:
        found.passed_over.append(path.name)
        return
    kind = stem if stem in UT1 and len(path.parts) > 1 else ""
    number = found.number(path.parts[-2] if kind else stem)
    for line in _lines(data, found):
        if kind == "expressions":
            found.expressions.append((line, number))
            continue
        parts = line.split()
        name = parts[1] if len(parts) > 1 and parts[0] in _ADDRESSES else line
        address = kind == "urls" or (not kind and "/" in name.partition("://")[2 if "://" in name else 0].rstrip("/"))
        (found.urls if address else found.domains).append((name, number))


def _lines(data: Any, found: ListedNames) -> Iterator[str]:
    for number, raw in enumerate(io.BufferedReader(data) if not isinstance(data, io.BytesIO) else data):
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            found.not_utf8 += 1
            continue
        if text and not text.startswith("#"):
            yield text


def _bounded(stream: Any, name: str) -> io.BytesIO:
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise DataError(f"the list is larger than {MOST_BYTES:,} bytes unpacked", where=name)
    return io.BytesIO(data)
