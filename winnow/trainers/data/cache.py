"""Where token ids lie that are made from shards: never among the shards, which other tools open as a folder.

Beside them (`shards.meta/tokens`); where that cannot be written to, in the user's cache folder; of a run's stage in the
run's root.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from winnow.core.errors import ConfigError, StoreError
from winnow.core.store.local_cache import user_cache
from winnow.core.store.locations import open_store
from winnow.core.store.names import meta_of
from winnow.core.store.store import Store
from winnow.trainers.data.shards import OpenedRun, Shards

CACHE = "tokens"


def cache_of(shards: Shards, cache: str | Path | None) -> Store:
    """The store of the token ids: `cache`, where one is named, else the first of the known places that can be used.

    Raises:
        ConfigError: the shards are no folder, and no place is named. StoreError: nothing can be written there.
    """
    if cache is not None:
        return open_store(cache)
    if isinstance(shards, OpenedRun):
        beside = f"{shards.location}/{CACHE}"
    elif isinstance(shards, str | Path) and Path(shards).is_dir():
        beside = f"{meta_of(str(Path(shards).absolute()))}/{CACHE}"
    else:
        raise ConfigError("where should the token ids lie?", where="cache", hint="name a folder: `cache=...`")
    store = open_store(beside)
    try:
        store.create()
    except StoreError:
        store = open_store(user_cache() / CACHE)
        store.create()
        warnings.warn(f"{beside} cannot be written to: the token ids lie in {store.location}; `cache=` names another "
                      "place", stacklevel=4)  # fmt: skip
    return store
