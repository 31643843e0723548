"""The shard formats: all that is known of a file's suffix, in one table.

Who writes, reads, looks at or trains on a shard asks `format_of(file)` or `format_named("parquet")`. A new format is a
class and one call of `register`.
"""

from __future__ import annotations

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.store.arrow_format import ArrowShard, MappedArrow, PackedArrow
from winnow.core.store.json_lines_format import JsonLines, PackedJsonLines
from winnow.core.store.names import plain_name
from winnow.core.store.parquet_format import Parquet
from winnow.core.store.shard_format import ShardFormat

MAPPED, PACKED = MappedArrow(), PackedArrow()  # what a part's columns are written as: numbers, texts
NAMED: dict[str, ShardFormat] = {}
BY_SUFFIX: dict[str, ShardFormat] = {}


def register(known: ShardFormat) -> None:
    """Make a format known by its name, where it has one, and by its suffix, where no other is read by it."""
    if known.name:
        NAMED[known.name] = known
    BY_SUFFIX.setdefault(known.suffix, known)


def format_names() -> list[str]:
    """Names of the formats that shards are written in; the first one is the default."""
    return list(NAMED)


def shard_suffixes() -> tuple[str, ...]:
    """Suffixes of files that are read as shards; those that another one covers are left out."""
    return tuple(s for s in BY_SUFFIX if not any(s != other and s.endswith(other) for other in BY_SUFFIX))


def format_named(name: str, *, where: str = "format") -> ShardFormat:
    """The format that shards are written in. Raises ConfigError for an unknown name."""
    names = format_names()
    if name not in names:
        raise ConfigError(f"{name!r} is not one of {names}", where=where, hint=did_you_mean(name, names))
    return NAMED[name]


def format_of(file: str) -> ShardFormat:
    """The format that a file's name says. Raises ConfigError where none has its suffix."""
    named = plain_name(file)
    suffix = max((s for s in BY_SUFFIX if named.endswith(s)), key=len, default="")
    if not suffix:
        hint = f"known: {', '.join(shard_suffixes())}"
        raise ConfigError(f"{file.rpartition('/')[2]} is no shard", where=file, hint=hint)
    return BY_SUFFIX[suffix]


for _format in (Parquet(), MAPPED, PACKED, ArrowShard(), PackedJsonLines(), JsonLines()):
    register(_format)
