"""Soft labels that lie beside a pool: the likeliest entries of every target, their probabilities, and the tail's mass.

Three lists per document, aligned with its targets (its tokens, then the end mark): `label_ids` has k entries per
target, likeliest first, `label_probabilities` (f16) as many, `label_tail` (f16) one: what all other entries weigh.
A run copies those of its documents, part by part, into one file, and reads its rows from there.

Shape suffixes: N targets, K entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.pack import Documents

IDS, PROBABILITIES, TAIL = "label_ids", "label_probabilities", "label_tail"
Ints = npt.NDArray[np.int64]


def record(k: int) -> np.dtype[np.void]:
    """One target's label in the file of a run."""
    return np.dtype([(IDS, "<u4", (k,)), (PROBABILITIES, "<f2", (k,)), (TAIL, "<f2")])


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredLabels:
    """The labels of a run's documents in a file; small, and opened by whoever has the path.

    The labels of document d begin at record `first[d]`, -1 where nobody labelled it.
    """

    path: Path
    k: int
    first: Ints  # [documents]

    @property
    def without(self) -> int:
        """Documents without labels."""
        return int((self.first < 0).sum())

    def of(self, rows: Batch) -> tuple[Ints, npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """(ids i64[N, K], probabilities f32[N, K] that add up to 1 - tail, which targets have none bool[N]) of a batch.

        N are the batch's positions, row after row; fill has no label.
        """
        document = rows.documents.ravel()
        owner = np.maximum(document, 0)
        unknown = (document < 0) | (self.first[owner] < 0)
        at = self.first[owner] + rows.places.ravel()
        out_ids = np.tile(np.arange(self.k, dtype=np.int64), (len(document), 1))
        out = np.zeros((len(document), self.k), dtype=np.float32)
        if not unknown.all():
            found = np.memmap(self.path, dtype=record(self.k), mode="r")[at[~unknown]]
            kept = found[PROBABILITIES].astype(np.float32)
            rest = 1.0 - np.minimum(found[TAIL].astype(np.float32), 1.0)
            out_ids[~unknown] = found[IDS]
            out[~unknown] = kept * (rest / np.maximum(kept.sum(axis=1), np.float32(1e-7)))[:, None]
        return out_ids, out, unknown


def stored(frames: Iterable[pl.DataFrame], documents: Documents, path: Path, *, where: str) -> StoredLabels:
    """Copy the labels of the run's documents into a file; `frames` hold doc_id and the three lists.

    Raises:
        DataError: a document has other targets than labels, parts have several k, or no document has a label.
    Cost: one part in memory at a time, and 6 k + 2 bytes of disk per target.
    """
    number = pl.DataFrame({"doc_id": documents.doc_id, "number": np.arange(len(documents.doc_id))})
    lengths = np.diff(documents.offsets) + 1
    count, first = 0, np.full(len(lengths), -1, dtype=np.int64)
    kinds: set[int] = set()
    with path.open("wb") as out:
        for frame in frames:
            part = frame.filter(pl.col(TAIL).is_not_null()).join(number, on="doc_id", how="inner").sort("number")
            if not len(part):
                continue
            own, sizes = part["number"].to_numpy(), part[TAIL].list.len().to_numpy().astype(np.int64)
            _check_targets(own, sizes, lengths, where=where)
            records = _records(part, int(sizes.sum()), where=where)
            kinds.add(records[IDS].shape[1])
            records.tofile(out)
            first[own] = count + np.cumsum(sizes) - sizes
            count += len(records)
    if len(kinds) != 1:
        why = "no document of the run has labels" if not kinds else f"labels of {sorted(kinds)} entries"
        raise DataError(why, where=where, hint="label the rows that the run trains on, all in one stage")
    return StoredLabels(path=path, k=kinds.pop(), first=first)


def _check_targets(own: Ints, sizes: Ints, lengths: Ints, *, where: str) -> None:
    wrong = np.flatnonzero(sizes != lengths[own])
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"{len(wrong):,} documents have other targets than labels: {lengths[own[at]]} and {sizes[at]}", where=where,
            hint="label with the tokenizer of the run",
        )  # fmt: skip


def _records(part: pl.DataFrame, count: int, *, where: str) -> npt.NDArray[Any]:
    flat = {name: part[name].list.explode(empty_as_null=False).to_numpy() for name in (IDS, PROBABILITIES, TAIL)}
    k = len(flat[IDS]) // count
    if len(flat[IDS]) != k * count or len(flat[PROBABILITIES]) != k * count:
        raise DataError("lists of labels do not have k entries per target", where=where)
    out = np.empty(count, dtype=record(k))
    out[IDS], out[PROBABILITIES] = flat[IDS].reshape(count, k), flat[PROBABILITIES].reshape(count, k)
    out[TAIL] = flat[TAIL]
    return out
