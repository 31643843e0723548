"""Token losses that lie beside a pool: what a reference model made of every target, for runs that weigh by them.

One list per document, `token_nats`, aligned with its targets (its tokens, then the end mark), and `token_context`, the
length of the windows that it was read in. A run copies those of its documents into one file, and reads its rows there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError
from winnow.core.store.ids import id_hex
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.pack import Documents

NATS, CONTEXT = "token_nats", "token_context"
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredLosses:
    """The losses of a run's documents in a file of f32 (implements `online.told.Reference`).

    Those of document d begin at number `first[d]`.
    """

    path: Path
    first: Ints  # [documents]

    def nats(self, rows: Batch, /) -> npt.NDArray[np.float32]:
        """Loss of every target, f32[B, T]; 0 on fill."""
        real = rows.documents >= 0
        at = self.first[rows.documents[real]] + rows.places[real]
        out = np.zeros(rows.documents.shape, dtype=np.float32)
        out[real] = np.memmap(self.path, dtype="<f4", mode="r")[at]
        return out


def stored_losses(
    frames: Iterable[pl.DataFrame], documents: Documents, path: Path, *, context: int, where: str
) -> StoredLosses:
    """Copy the losses of the run's documents into a file; `frames` hold doc_id and the two columns.

    Raises:
        DataError: a document has no losses, those of other tokens, or was read in windows of another length.
    Cost: one part in memory at a time, and 4 bytes of disk per target.
    """
    number = pl.DataFrame({"doc_id": documents.doc_id, "number": np.arange(len(documents.doc_id))})
    lengths = np.diff(documents.offsets) + 1
    count, first = 0, np.full(len(lengths), -1, dtype=np.int64)
    with path.open("wb") as out:
        for frame in frames:
            part = frame.filter(pl.col(NATS).is_not_null()).join(number, on="doc_id", how="inner").sort("number")
            if not len(part):
                continue
            own, sizes = part["number"].to_numpy(), part[NATS].list.len().to_numpy().astype(np.int64)
            _check(own, sizes, lengths, part, context=context, where=where)
            part[NATS].list.explode(empty_as_null=False).to_numpy().astype("<f4").tofile(out)
            first[own] = count + np.cumsum(sizes) - sizes
            count += int(sizes.sum())
    missing = np.flatnonzero(first < 0)
    if len(missing):
        raise DataError(
            f"{len(missing):,} of {len(first):,} documents of the run have no stored losses, "
            f"{id_hex(documents.doc_id[int(missing[0])])} first", where=where,
            hint="store those of all rows that the run trains on: widen the `inputs` and `where` of that stage",
        )  # fmt: skip
    return StoredLosses(path=path, first=first)


def _check(own: Ints, sizes: Ints, lengths: Ints, part: pl.DataFrame, *, context: int, where: str) -> None:
    wrong = np.flatnonzero(sizes != lengths[own])
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"{len(wrong):,} documents have other targets than losses: {lengths[own[at]]} and {sizes[at]}", where=where,
            hint="store losses with the tokenizer of the run, of the text that it trains on",
        )  # fmt: skip
    others = part.filter(pl.col(CONTEXT) != context)[CONTEXT]
    if len(others):
        raise DataError(
            f"the losses were stored in windows of {others[0]} tokens, and the run reads {context}", where=where,
            hint=f"store them with `context: {context}`, or give the run that context",
        )  # fmt: skip
