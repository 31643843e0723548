"""Patterns of a reader that match none of the files that were found: remarks of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from winnow.core.operators import Derive, FoundFile
from winnow.core.operators.patterns import matcher
from winnow.core.terminal import counted

HINT = "a pattern is tried on the whole path below `base` and on each of its parts"


def unmatched(reader: Derive, found: Sequence[FoundFile]) -> Iterator[str]:
    """A sentence for every pattern, of the fields that are declared as patterns, that no file matches."""
    fields = [name for name, meaning in reader.meaning.items() if meaning == "patterns"]
    asked = [(name, pattern) for name in fields for pattern in getattr(reader, name)]
    parts = {part for file in found for part in file.rel.split("/")} if asked else set()  # most are asked of many files
    for field, pattern in asked:
        matches = matcher([pattern])
        if found and not any(map(matches, parts)) and not any(matches(file.rel) for file in found):
            yield f"`{field}: {pattern}` matches none of {counted(len(found), 'file')} (such as {found[0].rel}): {HINT}"
