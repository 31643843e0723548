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

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.store.packing import unpacked

UT1 = ("domains", "urls", "expressions")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
NO_LISTS = ("usage", "global_usage", "readme", "license", "licence", "source", "users", "changelog", "cc-by-sa")
MOST_BYTES = 4 << 30  # of one archive or compressed list when unpacked
_HOSTS_FILE = r"^(?:0\.0\.0\.0|127\.0\.0\.1|::1?)\s+(\S+)"


@dataclass(kw_only=True)
class Entries:
    """Texts of one kind, in the order in which they were read, each with the number of its list."""

    texts: pa.ChunkedArray = field(default_factory=lambda: pa.chunked_array([], pa.large_string()))
    lists: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))

    def add(self, texts: pl.Series, number: int) -> None:
        """More texts, of one list."""
        self.texts = pa.chunked_array([*self.texts.chunks, *pa.chunked_array([texts.to_arrow()]).chunks])
        self.lists = np.append(self.lists, np.full(len(texts), number, dtype=np.int32))


@dataclass(kw_only=True)
class ListedNames:
    """Entries as they are written, each with the number of its list."""

    names: list[str] = field(default_factory=list)  # of lists
    domains: Entries = field(default_factory=Entries)
    urls: Entries = field(default_factory=Entries)
    expressions: Entries = field(default_factory=Entries)
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
    words: list[str] = []
    for path in paths:
        with path.open("rb") as raw:
            lines = _lines(_bounded(unpacked(raw, path.name), path.name), ListedNames())
            words += [line.lower() for line in lines.to_list()]
    return list(dict.fromkeys(words))


def _read_archive(path: Path, found: ListedNames) -> None:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                data = archive.extractfile(member) if member.isreg() else None
                if data is not None:
                    if member.size > MOST_BYTES:
                        raise DataError(f"{member.name} has {member.size:,} bytes", where=path.name)
                    _read_list(PurePosixPath(member.name), data.read(), found)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"cannot read the archive: {error}", where=path.name, hint="fetch it again") from error


def _read_list(path: PurePosixPath, data: bytes, found: ListedNames) -> None:
    stem = path.name.split(".")[0]
    if stem.lower() in NO_LISTS or not stem:
        found.passed_over.append(path.name)
        return
    kind = stem if stem in UT1 and len(path.parts) > 1 else ""
    number = found.number(path.parts[-2] if kind else stem)
    lines = _lines(data, found)
    if kind == "expressions":
        found.expressions.add(lines, number)
        return
    names = lines.str.extract(_HOSTS_FILE).fill_null(lines) if lines.str.contains(r"\s").any() else lines
    if kind:
        (found.urls if kind == "urls" else found.domains).add(names, number)
        return
    # behind the scheme, which ends at the first `://`, a slash says that it is an address
    behind = names.str.replace(r"^.*?://", "").str.strip_chars_end("/")
    address = behind.str.contains("/", literal=True)
    found.urls.add(names.filter(address), number)
    found.domains.add(names.filter(~address), number)


def _lines(data: bytes, found: ListedNames) -> pl.Series:
    """The lines that say something, without white space at their ends."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = b"\n".join(line for line in data.split(b"\n") if _readable(line, found))
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n"))
    offsets = np.concatenate(([0], ends + 1, [len(data)])).astype(np.int64)  # a line feed goes with the white space
    count = len(offsets) - 1
    lines = pa.Array.from_buffers(pa.large_string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    stripped = pl.Series(lines).str.strip_chars()
    return stripped.filter((stripped != "") & ~stripped.str.starts_with("#"))


def _readable(line: bytes, found: ListedNames) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        found.not_utf8 += 1
        return False
    return True


def _bounded(stream: Any, name: str) -> bytes:
    data = bytes(stream.read(MOST_BYTES + 1))
    if len(data) > MOST_BYTES:
        raise DataError(f"the list is larger than {MOST_BYTES:,} bytes unpacked", where=name)
    return data
