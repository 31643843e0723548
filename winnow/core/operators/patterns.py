"""Glob patterns for relative paths of files, and those that match none."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from fnmatch import translate
from functools import cache

_SPANS = re.compile(r"[/*?\[]")  # a pattern without any of these is one name


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a relative path, or any part of it, matches one of the patterns.

    Cost: names and folders are asked about once each, the whole path of the rest where a wildcard may span its parts.
    """
    if not patterns:
        return lambda rel: False
    match = _any_of(patterns)
    whole = _any_of([pattern for pattern in patterns if _SPANS.search(pattern)])
    part = cache(lambda name: match(name) is not None)
    folder = cache(lambda above: any(part(name) for name in above.split("/")))

    def matches(rel: str) -> bool:
        above, slash, name = rel.rpartition("/")
        return part(name) or (slash != "" and (folder(above) or whole(rel) is not None))

    return matches


def finds_any(pattern: str, paths: Sequence[str], parts: Collection[str]) -> bool:
    """Whether `matcher([pattern])` is true of one of the paths; `parts`: all names that occur in them."""
    match = _any_of([pattern])
    return any(map(match, parts)) or (_SPANS.search(pattern) is not None and any(map(match, paths)))


def _any_of(patterns: Sequence[str]) -> Callable[[str], object]:
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)").match
