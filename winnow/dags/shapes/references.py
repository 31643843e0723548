"""Committed stages as operators see them: the values of reference ports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import StoreError
from winnow.core.operators import Kind
from winnow.core.store.manifest import Manifest, Receipt
from winnow.core.store.parts import (
    check_file,
    committed,
    concat_tables,
    frame_of,
    mask_of,
    read_columns,
    read_file,
    sort_by_id,
)
from winnow.core.store.store import Store


class OpenedStage:
    """A complete stage, read part by part (implements `operators.Source`)."""

    def __init__(self, store: Store, folder: str, kind: str, space: str) -> None:
        self.store, self.folder, self.space_folder = store, folder, space
        self._kind = Kind(kind)
        self.manifest: Manifest = committed(store, folder)

    @property
    def kind(self) -> Kind:
        """Kind of the stage."""
        return self._kind

    @property
    def digest(self) -> str:
        """Content digest, 32 hex digits."""
        return self.manifest.content_digest

    def frame(self, *columns: str, where_kept: bool = False) -> pl.DataFrame:
        """`columns` of all rows in ascending doc_id order; `where_kept` narrows to rows whose `kept` is true."""
        if self._kind is Kind.TABLE:
            return self._table(columns)
        wanted = list(dict.fromkeys(["doc_id", *columns]))
        tables = [self._part(unit, wanted, where_kept=where_kept) for unit in self.manifest.named("part")]
        table = sort_by_id(concat_tables(tables, {"doc_id": pa.binary(16)}))
        return frame_of(table.select(list(columns)) if tables else table)

    def files(self) -> dict[str, Path]:
        """File name -> path of an artefact, verified."""
        receipt = self._single()
        for ref in receipt.files:
            check_file(self.store, ref)
        return {ref.name: self.store.local_copy(ref.key) for ref in receipt.files}

    def result(self) -> dict[str, Any]:
        """Metrics of a result or artefact stage."""
        metrics: dict[str, Any] = self._single().extra["metrics"]
        return metrics

    def _single(self) -> Receipt:
        for phase in ("artefact", "result"):
            found = self.manifest.named(phase)
            if found:
                return next(iter(found.values()))
        raise StoreError("this stage has neither files nor a result", where=self.folder)

    def _table(self, columns: Sequence[str]) -> pl.DataFrame:
        receipts = [r for r in self.manifest.named("table").values() if r.files]
        pieces = [read_file(self.store, r.files[0], list(columns)) for r in receipts]
        table = concat_tables(pieces, {})
        return frame_of(table).sort(list(columns)) if table.num_columns else pl.DataFrame({c: [] for c in columns})

    def _part(self, unit: str, columns: Sequence[str], *, where_kept: bool) -> pa.Table:
        own = self.manifest.named("part")[unit]
        rows = own if self._kind is Kind.ROWS else committed(self.store, self.space_folder).named("part")[unit]
        has_kept = own.file_of("kept") is not None
        wanted = {}
        for name in [*columns, *(["kept"] if where_kept and has_kept else [])]:
            receipt = own if own.file_of(name) else rows
            wanted[name] = (receipt, name)
        table = read_columns(self.store, wanted)
        if where_kept and has_kept:
            keep = mask_of(table.column("kept"))
            table = table.take(pa.array(np.flatnonzero(keep)))
        return table.select(list(columns))


def open_refs(store: Store, refs: Any, files: dict[str, list[str]]) -> dict[str, Any]:
    """Port -> OpenedStage, {label: OpenedStage}, or list of file paths."""
    opened: dict[str, Any] = dict(files)
    for port, value in refs.items():
        opened[port] = _open(store, value) if "folder" in value else {k: _open(store, v) for k, v in value.items()}
    return opened


def _open(store: Store, value: dict[str, str]) -> OpenedStage:
    return OpenedStage(store, value["folder"], value["kind"], value["space"])
