"""Glob patterns for relative paths of files, and those that match none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import cache


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a relative path, or any part of it, matches one of the patterns; one regex, parts remembered."""
    if not patterns:
        return lambda rel: False
    match = re.compile("|".join(translate(pattern) for pattern in patterns)).match
    part = cache(lambda name: match(name) is not None)
    return lambda rel: match(rel) is not None or any(part(name) for name in rel.split("/"))
