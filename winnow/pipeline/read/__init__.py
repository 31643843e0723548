"""Readers: files in, documents out. What cannot be read is counted and named, never just missing."""

from __future__ import annotations

from winnow.pipeline.read.jsonl import Jsonl
from winnow.pipeline.read.parquet import Parquet
from winnow.pipeline.read.text_files import TextFiles

__all__ = ["Jsonl", "Parquet", "TextFiles"]
