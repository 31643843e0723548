"""Which store a location means: the one table of schemes.

A store of another kind is a class and an entry here. Workers get a location as text and open the same store again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.store.posix_store import PosixStore
from winnow.core.store.store import Store

SCHEMES: dict[str, Callable[[str], Store]] = {"": PosixStore}  # scheme -> the store of a location; "" is a plain path


def open_store(location: str | Path) -> Store:
    """The store at a location: a path, or `scheme://...`. Raises ConfigError for an unknown scheme."""
    text = str(location)
    scheme = scheme_of(text)
    if scheme not in SCHEMES:
        known = [f"{name}://" for name in SCHEMES if name]
        hint = did_you_mean(f"{scheme}://", known) if known else "a run root is a folder: give its path"
        raise ConfigError(f"no store can be opened at {text!r}: unknown scheme {scheme!r}", hint=hint)
    return SCHEMES[scheme](text)


def scheme_of(location: str) -> str:
    """The scheme of a location; empty for a path."""
    scheme, mark, _ = location.partition("://")
    return scheme if mark and scheme.isidentifier() else ""
