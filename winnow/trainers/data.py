"""Curated shards for anybody's training loop: `ShardDataset`, a torch IterableDataset.

    from winnow.trainers.data import ShardDataset

    data = ShardDataset("runs/web/write-.../shards", tokenizer="bytes", context=1024, batch=32)
    for step, batch in enumerate(DataLoader(data, batch_size=None, num_workers=2)):
        ...                                     # batch["ids"], ["targets"], ["segments"], ["weights"]: [32, 1024]

The order is a pure function of (seed, step): a state is a few numbers, resuming costs nothing, and neither workers
nor ranks change what a step holds. Torch is imported when `ShardDataset` is first used; `prepare` needs none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.core.errors import ConfigError
from winnow.core.store import Store
from winnow.trainers.coder import coder_of
from winnow.trainers.shards import OpenedRun, Shards, find_shards
from winnow.trainers.token_store import TokenStore, open_tokens

if TYPE_CHECKING:
    from winnow.trainers.torch_data import ShardDataset

__all__ = ["ShardDataset", "prepare"]

CACHE = "tokens"  # in a run's root; hidden beside shards


def prepare(
    shards: Shards,
    *,
    tokenizer: Any,
    end: int | str | None = None,
    stage: str | None = None,
    weight: str | None = None,
    text: str = "text",
    cache: str | Path | None = None,
    verify: bool = False,
) -> TokenStore:
    """The shards as token ids on disk, made on first use and then only checked.

    `shards`: a folder that `write` made, a glob, a list of files (Parquet, Arrow, JSON Lines; columns doc_id and
    `text`), or an opened run with the `stage` whose kept documents are meant. `tokenizer`, `end`: see
    `coder.coder_of`. `weight`: a column of document weights. `cache`: where the ids lie (default: `.tokens` in the
    folder of shards, `tokens` in the run's root). A shard whose size and time are as they were is taken as it is;
    `verify` reads all shards and ids again and compares digests.
    Raises:
        ConfigError: something cannot be. DataError: a shard is not what it was, or is no text.
        StoreError: a file of the cache is not what it was.
    """
    found = find_shards(shards, stage=stage)
    coder = coder_of(tokenizer, end=end)
    made = open_tokens(Store(_cache_of(shards, cache)), found, coder, weight=weight, text=text)
    if verify:
        made.check_shards(found, thorough=True)
        made.check_files()
    return made


def _cache_of(shards: Shards, cache: str | Path | None) -> Path:
    if cache is not None:
        return Path(cache)
    if isinstance(shards, OpenedRun):
        return Path(shards.root) / CACHE
    if isinstance(shards, str | Path) and Path(shards).is_dir():
        return Path(shards) / f".{CACHE}"
    raise ConfigError("where should the token ids lie?", where="cache", hint="name a folder: `cache=...`")


def __getattr__(name: str) -> Any:
    if name != "ShardDataset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from winnow.trainers.torch_data import ShardDataset

    return ShardDataset
