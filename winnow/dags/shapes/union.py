"""Union: the parts of all inputs listed by reference; the driver writes receipts, and no worker is asked.

With `columns: union` a part whose input lacks a column gets nulls of it, a small file that the driver writes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Rewrite
from winnow.core.operators.reading import ABSENT
from winnow.core.store.ids import ordinals
from winnow.core.store.manifest import Receipt, unit_key
from winnow.core.store.parts import content_of, read_columns, save_table
from winnow.core.store.schema import contiguous
from winnow.dags.recipe.resolve import named_by
from winnow.dags.shapes.reader_parts import keeps_ids
from winnow.dags.shapes.stage_run import Item, StageRun


class UnionRun(StageRun):
    """Parts of all inputs by reference: the driver writes receipts, and nulls of columns that some inputs lack."""

    @property
    def closed(self) -> bool:
        """True when every input is."""
        return self.manifest is not None or (all(r.closed for r in self.inputs) and self._all_there())

    def ready(self) -> list[Item]:
        """Nothing to compute: receipts are copied as parts arrive."""
        for number, run in enumerate(self.inputs):
            for unit, receipt in list(run.parts.items()):
                name = f"{number:02d}-{unit}"
                if name in self.parts:
                    continue
                lacking = {c: k for c, k in self.node.outputs.items() if receipt.file_of(c) is None}
                key = unit_key("concat", receipt.digest, *([sorted(lacking)] if lacking else []))
                held = self.dir.receipt("part", name, key)
                copy = dataclasses.replace(receipt, unit=name, key=key, notes={}, run={})
                self.parts[name] = held or self.dir.commit(self._filled(copy, lacking) if lacking else copy)
                self.cached += 1
                self.version += 1
        self.known = len(self.parts)
        return []

    def _filled(self, receipt: Receipt, lacking: Mapping[str, pa.DataType]) -> Receipt:
        """The receipt with nulls of the columns that its part lacks, counted as in a reader."""
        doc_id = contiguous(read_columns(self.store, {"doc_id": (receipt, "doc_id")}).column("doc_id"))
        nulls = pa.table({name: pa.nulls(receipt.rows, kind) for name, kind in lacking.items()})
        files = save_table(self.dir, "part", receipt.unit, nulls)
        return dataclasses.replace(
            receipt,
            files=(*receipt.files, *files),
            content={**receipt.content, **content_of(doc_id, nulls)},
            counts={**receipt.counts, **{f"{ABSENT}{name}": receipt.rows for name in lacking}},
        )

    def _check_bad_share(self, counts: Mapping[str, int], receipts: Sequence[Receipt]) -> None:
        named = [one.operator for one in named_by(self.node)]
        if any(isinstance(one, Rewrite) or keeps_ids(one) for one in named):  # type: ignore[arg-type]
            self._refuse_shared(receipts)
        super()._check_bad_share(counts, receipts)

    def _refuse_shared(self, receipts: Sequence[Receipt]) -> None:
        """Raise DataError where two documents have one id: those of different passes keep what they were called."""
        from winnow.core.words.hashing import as_lanes

        pieces = [contiguous(read_columns(self.store, {"i": (r, "doc_id")}).column("i")) for r in receipts]
        lanes = np.concatenate([as_lanes(p) for p in pieces]) if pieces else np.zeros((0, 2), dtype=np.uint64)
        shared = int((ordinals(lanes) > 0).sum())
        if shared:
            raise DataError(
                f"{shared:,} documents have an id that another one has: the same documents of two passes are united",
                where=f"stages.{self.node.name}.inputs", hint="unite each document once",
            )  # fmt: skip

    def _all_there(self) -> bool:
        return len(self.parts) == sum(len(r.parts) for r in self.inputs)

    def finished(self) -> bool:
        """True when every part of every input is listed."""
        return self.closed
