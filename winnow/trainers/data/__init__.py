"""Curated shards as training data: tokens, packing, plans, batches, and `ShardDataset` for anybody's loop.

Imports core alone; every room of trainers may import it. `ShardDataset`, `prepare` and `export` are re-exported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from winnow.trainers.data.shard_dataset import ShardDataset
    from winnow.trainers.data.shard_tokens import export, prepare

__all__ = ["ShardDataset", "export", "prepare"]

_HOMES = {"ShardDataset": "shard_dataset", "export": "shard_tokens", "prepare": "shard_tokens"}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: `ShardDataset` needs torch, the others do not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
