"""A complete stage on disk, read part by part: what operators see behind a reference port, and the lowest layer of
what people see of a finished run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import StoreError
from winnow.core.operators import Kind
from winnow.core.operators.retext import TEXTS
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

Places = dict[str, tuple[Receipt, str]]  # column -> (receipt that holds it, its name on disk)


class CommittedStage:
    """A stage with a manifest (implements `operators.Source`); `space` is the folder of the row space it belongs to.

    `text` is the stage whose text counts, where that is not the one of the documents as they were read.

    Raises: StoreError where it is not complete.
    """

    def __init__(
        self, store: Store, folder: str, kind: Kind | str, space: str, text: CommittedStage | None = None
    ) -> None:
        self.store, self.folder, self.space, self.text = store, folder, space, text
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

    @cached_property
    def parts(self) -> Mapping[str, Receipt]:
        """Unit -> receipt of its rows, in unit order; of a table those that have any."""
        if self._kind is Kind.TABLE:
            return {unit: r for unit, r in self.manifest.named("table").items() if r.files}
        return self.manifest.named("part")

    def places(self, unit: str, columns: Sequence[str]) -> Places:
        """Where columns of one part lie: in the stage itself, else in its row space; its text where that counts."""
        own = self.parts[unit]
        places = {c: (own if own.file_of(c) else self._row_space.get(unit, own), c) for c in columns}
        if self.text is not None:
            places |= {c: (self.text.parts[unit], c) for c in columns if c in TEXTS}
        return places

    def frame(self, *columns: str, where_kept: bool = False) -> pl.DataFrame:
        """`columns` of all rows in ascending doc_id order; `where_kept` narrows to rows whose `kept` is true."""
        if self._kind is Kind.TABLE:
            return self._table(columns)
        wanted = list(dict.fromkeys(["doc_id", *columns]))
        tables = [self._part(unit, wanted, where_kept=where_kept) for unit in self.parts]
        table = sort_by_id(concat_tables(tables, {"doc_id": pa.binary(16)}))
        return frame_of(table.select(list(columns)) if tables else table)

    def frames(self, *columns: str, where_kept: bool = False) -> Iterator[pl.DataFrame]:
        """The same rows part by part, in the order of units."""
        for unit in self.parts:
            yield frame_of(self._part(unit, list(columns), where_kept=where_kept))

    def files(self) -> dict[str, Path]:
        """File name -> path of an artefact, verified."""
        receipt = self._single()
        for ref in receipt.files:
            check_file(self.store, ref)
        return {ref.name: self.store.local_copy(ref.key) for ref in receipt.files}

    @property
    def counts(self) -> Mapping[str, int]:
        """What the stage's receipts count."""
        return self.manifest.counts

    def result(self) -> dict[str, Any]:
        """Metrics of a result or artefact stage."""
        metrics: dict[str, Any] = self._single().extra["metrics"]
        return metrics

    @cached_property
    def _row_space(self) -> Mapping[str, Receipt]:
        if self._kind is not Kind.COLUMNS:
            return self.parts
        return committed(self.store, self.space).named("part")

    def _single(self) -> Receipt:
        for phase in ("artefact", "result"):
            receipts = self.manifest.named(phase)
            if receipts:
                return next(iter(receipts.values()))
        raise StoreError("this stage has neither files nor a result", where=self.folder)

    def _table(self, columns: Sequence[str]) -> pl.DataFrame:
        pieces = [read_file(self.store, r.files[0], list(columns)) for r in self.parts.values()]
        table = concat_tables(pieces, {})
        return frame_of(table).sort(list(columns)) if table.num_columns else pl.DataFrame({c: [] for c in columns})

    def _part(self, unit: str, columns: Sequence[str], *, where_kept: bool) -> pa.Table:
        narrowed = where_kept and self.parts[unit].file_of("kept") is not None
        table = read_columns(self.store, self.places(unit, [*columns, *(["kept"] if narrowed else [])]))
        if narrowed:
            table = table.take(pa.array(np.flatnonzero(mask_of(table.column("kept")))))
        return table.select(list(columns))
