"""The duplicate clusters that a dedup stage found: their sizes, keepers and members, from its stored columns."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError
from winnow.core.operators import Kind, sql
from winnow.core.operators.duplicates import ClusterColumns, cluster_columns
from winnow.core.store.manifest import Receipt
from winnow.core.store.parts import mask_of, read_file
from winnow.dags.looking.finished import FinishedStage
from winnow.dags.looking.row_index import Place, id_scalar, true_rows
from winnow.dags.shapes.stage_file import references_of


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """The clusters of one stage; `columns.keeper` is always there."""

    stage: FinishedStage
    space: FinishedStage
    columns: ClusterColumns

    def sizes(self, unit: str) -> npt.NDArray[np.int64]:
        """Documents in the cluster of every row of a part; 0 for rows that were not asked about."""
        return np.asarray(self.stage.array(self.columns.size, unit).fill_null(0), dtype=np.int64)

    def kept(self, unit: str) -> npt.NDArray[np.bool_]:
        """Rows of a part that the stage kept, and that stand for themselves: where copies stay, those are no copies."""
        keepers = self.keepers(unit)
        own = np.asarray(pc.fill_null(pc.equal(keepers, self.ids(unit).cast(keepers.type)), True), dtype=np.bool_)
        return mask_of(self.stage.array("kept", unit)) & own

    def keepers(self, unit: str) -> pa.Array:
        """The doc_id of the kept document of every row of a part; null where the row stands for itself."""
        return self.stage.array(self.columns.keeper, unit)

    def ids(self, unit: str) -> pa.Array:
        """The doc_id of every row of a part."""
        return self.space.array("doc_id", unit)

    def facts(self, unit: str, row: int) -> tuple[float | None, bool]:
        """(similarity to the kept document, whether only a chain of others explains it) of one row."""
        wanted = [c for c in (self.columns.similarity, self.columns.chained) if c]
        found = self.stage.values(wanted, unit, row)
        return found.get(self.columns.similarity), bool(found.get(self.columns.chained))

    def members(self, keeper: bytes, most: int) -> list[tuple[bytes, Place]]:
        """(doc_id, place) of a cluster's documents, the kept one first, the others as they lie; at most `most`."""
        found = {place.doc_id: place for place in self.space.index.find(keeper.hex())}
        wanted = id_scalar(keeper)
        for unit in self.stage.parts:
            for row in true_rows(pc.equal(self.keepers(unit), wanted)):
                if len(found) >= most:
                    return list(found.items())
                doc_id = self.ids(unit)[row].as_py()
                found.setdefault(doc_id, Place(unit=unit, row=row, doc_id=doc_id))
        return list(found.items())

    def similar_to(self, doc_id: bytes) -> dict[bytes, float]:
        """The other document -> exact Jaccard, of every verified pair that a document is in."""
        out: dict[bytes, float] = {}
        own = id_scalar(doc_id)
        for table in self._tables():
            for ref in (f for receipt in table.values() for f in receipt.files):
                if not {"a", "b", "jaccard"} <= set(ref.columns):
                    continue
                rows = read_file(self.stage.store, ref, ["a", "b", "jaccard"])
                rows = rows.filter(pc.or_(pc.equal(rows.column("a"), own), pc.equal(rows.column("b"), own)))
                for pair in rows.to_pylist():
                    out[pair["b"] if pair["a"] == doc_id else pair["a"]] = pair["jaccard"]
        return out

    def order(self) -> str:
        """The ORDER BY that says who is kept; '' where that is not by columns."""
        ordering = self._ordering
        return str(ordering.file.config["keeper"]) if ordering and ordering.file else ""

    def ordered_by(self, place: Place) -> dict[str, Any]:
        """Column -> value, of those that say who is kept, of one document."""
        if self._ordering is None:
            return {}
        names = [name for name in _columns_of(self.order()) if name != "text"]
        return self._ordering.input_values(names, place.unit, place.row)

    @functools.cached_property
    def _ordering(self) -> FinishedStage | None:
        """The stage that read the columns by which keepers are ordered: this one, or one that it reads."""
        folders = self.stage.file.inputs if self.stage.file else ()
        for view in (self.stage, *(v for f in folders if (v := self.stage.run.maybe(f)) is not None)):
            keeper = str(view.file.config.get("keeper", "")) if view.file else ""
            names = _columns_of(keeper)
            if names and view.file and set(names) <= set(view.file.columns):
                return view
        return None

    def _tables(self) -> list[Mapping[str, Receipt]]:
        """Receipts of the keyed tables that the stage refers to."""
        refs = references_of(self.stage.file.refs) if self.stage.file else ()
        folders = [ref["folder"] for ref in refs if ref["kind"] == Kind.TABLE.value]
        found = [self.stage.run.maybe(folder) for folder in folders]
        return [s.committed.parts for s in found if s is not None and s.complete]


def _columns_of(keeper: str) -> list[str]:
    try:
        return [name for term, _ in sql.order_terms(keeper) for name in sql.column_names(term)] if keeper else []
    except ConfigError:
        return []


def clusters_in(stage: FinishedStage) -> Clusters | None:
    """The clusters of a stage that decides and names keepers; None for others."""
    columns = cluster_columns(stage.outputs)
    if columns is None or not columns.keeper or "kept" not in stage.outputs or not stage.complete:
        return None
    return Clusters(stage=stage, space=stage.run.at(stage.space), columns=columns)
