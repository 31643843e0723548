"""Patterns of a reader that match none of the files that were found: remarks of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from winnow.core.operators import Derive, FoundFile
from winnow.core.operators.patterns import finds_any
from winnow.core.terminal import counted

HINT = "a pattern is tried on the whole path below `base` and on each of its parts"


def unmatched(reader: Derive, found: Sequence[FoundFile]) -> Iterator[str]:
    """A sentence for every pattern, of the fields that are declared as patterns, that no file matches."""
    fields = [name for name, meaning in reader.meaning.items() if meaning == "patterns"]
    asked = [(name, pattern) for name in fields for pattern in getattr(reader, name)]
    paths = [file.rel for file in found] if asked else []
    parts = {part for path in paths for part in path.split("/")}
    for field, pattern in asked:
        if found and not finds_any(pattern, paths, parts):
            yield f"`{field}: {pattern}` matches none of {counted(len(found), 'file')} (such as {found[0].rel}): {HINT}"
