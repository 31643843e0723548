"""What a reader is given and what it tells: files and pieces of them; records that give no document, lack or decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class FileSlice:
    """A piece of one input file: bytes [start, stop) of it, or the whole file when stop is -1."""

    path: str  # absolute; not identity
    rel: str  # relative to the reader's base; identity
    digest: str
    size: int
    start: int = 0
    stop: int = -1


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """An input file as listed: identity needs only `rel` and the content digest, computed later."""

    path: str
    rel: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A record that yields no document: where it came from and why."""

    origin: str
    error: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Lacks:
    """A declared column that some of the documents read have no value for, because their records lack it: null there.

    Of records that are all without it, `names` are some of the names that they do have.
    """

    column: str  # as declared
    records: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a reader's own fields decided: records that were left out by a reason, or documents that one took."""

    left_out: Mapping[str, int] = field(default_factory=dict)  # reason -> records
    taken: Mapping[str, int] = field(default_factory=dict)  # what was chosen by -> documents


Tell = Callable[[Bad | Lacks | Choice], None]
ABSENT = "absent:"  # counters of a reader: documents whose record lacks a declared column
LEFT_OUT, TAKEN = "left out:", "taken:"  # counters of a reader, from `Choice`
