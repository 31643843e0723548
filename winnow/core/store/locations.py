"""Which store a location means: the one table of schemes.

A store of another kind is a class and an entry here. Workers get a location as text and open the same store again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from winnow.core.errors import ConfigError
from winnow.core.store.posix_store import PosixStore
from winnow.core.store.remote_client import REMOTE
from winnow.core.store.remote_store import RemoteStore
from winnow.core.store.store import Store

SCHEMES: dict[str, Callable[[str], Store]] = {  # scheme -> the store of a location; "" is a plain path
    "": PosixStore, **dict.fromkeys(REMOTE, RemoteStore),
}  # fmt: skip
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_COPY = {  # scheme -> what brings files here
    "s3": "`aws s3 sync`", "gs": "`gcloud storage rsync`", "hf": "`hf download`", "http": "`curl -O`",
    "https": "`curl -O`", "az": "`azcopy`", "abfs": "`azcopy`", "hdfs": "`hdfs dfs -get`",
}  # fmt: skip


def open_store(location: str | Path) -> Store:
    """The store at a location: a path, or `scheme://...`. Raises ConfigError for an unknown scheme."""
    text = str(location)
    scheme = scheme_of(text)
    if scheme not in SCHEMES:
        refuse_scheme(text)
    return SCHEMES[scheme](text)


def scheme_of(location: str) -> str:
    """The scheme of a location; empty for a path."""
    found = _SCHEME.match(location)
    return found[1].lower() if found else ""


def refuse_scheme(path: str, *, where: str = "") -> None:
    """Check that a path is one of a file system: every name and option that means files goes through this.

    Raises: ConfigError naming the scheme where it is `s3://...` or the like, before anything is created.
    """
    scheme = scheme_of(path)
    if not scheme:
        return
    if scheme == "file":
        hint = "write the path alone, without `file://`"
    else:
        with_what = f" with {_COPY[scheme]}" if scheme in _COPY else ""
        hint = f"copy the files to a folder first{with_what}, or mount it, and name the path"
        others = [f"{known}://" for known in SCHEMES if known]
        hint += f"; run roots may also be {', '.join(others)}" if others else ""
    raise ConfigError(f"{scheme}:// is not supported yet: {path!r}", where=where, hint=hint)
