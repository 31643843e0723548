"""Readers: files in, documents out. What cannot be read is counted and named, never just missing.

Imports core alone; only the registry names what lives here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from winnow.pipeline.read.jsonl import Jsonl
    from winnow.pipeline.read.parquet import Parquet
    from winnow.pipeline.read.text_files import TextFiles

__all__ = ["Jsonl", "Parquet", "TextFiles"]

_HOMES = {"Jsonl": "jsonl", "Parquet": "parquet", "TextFiles": "text_files"}


def __getattr__(name: str) -> Any:
    """A reader, imported when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
