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
    try:
        home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        raise _needs(name, error.name or "") from error
    return getattr(home, name)


def _needs(name: str, library: str) -> Exception:
    from winnow.core.errors import ConfigError
    from winnow.core.installing import install_extra

    hint = f"{install_extra('train')}; `prepare` and `export` need no torch" if library == "torch" else ""
    return ConfigError(
        f"{name} needs {library}, which is not installed", where=f"winnow.trainers.data.{name}", hint=hint
    )
