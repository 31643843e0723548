"""Batches for `WeightedTrainer`: packed rows of a `ShardDataset`, or documents of any data set, packed here.

A batch holds `input_ids`, `position_ids` (which begin again at every document, so that transformers masks documents
from one another), `labels` and `shift_labels` (the target of every position, nothing is to be shifted; -100: none),
`weights` f32 of every target, and `segments`, `documents` as `winnow.trainers.data.batches.Batch` has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from winnow.core.errors import ConfigError, DataError

NOTHING = -100  # the label that has no loss
NAMES = ("segments", "documents")


def rows_collator(rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Rows of `ShardDataset(gives="rows")` as a batch [B, T].

    Raises:
        DataError: these are no rows of it.
    """
    missing = {"ids", "targets", "positions", "weights"} - set(rows[0])
    if missing:
        raise DataError(f"a row has no {min(missing)!r}: it has {', '.join(sorted(rows[0]))}", where="data_collator",
                        hint='`ShardDataset(..., gives="rows")`, or `PackingCollator` for documents')  # fmt: skip
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    targets = torch.where(batch["weights"] > 0, batch["targets"], NOTHING)
    known = {name: batch[name] for name in NAMES if name in batch}
    return {"input_ids": batch["ids"], "position_ids": batch["positions"], "labels": targets, "shift_labels": targets,
            "weights": batch["weights"], **known}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PackingCollator:
    """Documents as rows of `context` positions, several in a row, none sees another; a batch has as many as that takes.

    A document of a `ShardDataset(gives="documents")` has `ids` (its end mark last) and a weight; one of any other
    data set has `input_ids`, predicts its tokens from the second on, and may have a `weight` (default 1). What is
    longer than `context` is cut into pieces. No token is left out.

    Raises:
        ConfigError: the context holds nothing. DataError: a document has no ids, or a weight is no weight.
    """

    context: int
    pad: int = 0  # id of what fills a row up: it is seen by nothing

    def __post_init__(self) -> None:
        if self.context < 1:
            raise ConfigError(f"context is {self.context}, and must be at least 1", where="context")

    def __call__(self, documents: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch."""
        pieces = [piece for number, document in enumerate(documents) for piece in self._pieces(number, document)]
        if not pieces:
            raise DataError(f"none of {len(documents)} documents has a token to predict", where="data_collator",
                            hint="leave out what has fewer than two tokens")  # fmt: skip
        rows = self._rows([len(piece[0]) for piece in pieces])
        shape = (len(rows), self.context)
        batch = {
            "input_ids": torch.full(shape, self.pad), "position_ids": torch.zeros(shape, dtype=torch.long),
            "labels": torch.full(shape, NOTHING), "weights": torch.zeros(shape),
            "segments": torch.full(shape, -1), "documents": torch.full(shape, -1),
        }  # fmt: skip
        for row, members in enumerate(rows):
            at = 0
            for segment, member in enumerate(members):
                inputs, targets, weight, number = pieces[member]
                here = slice(at, at + len(inputs))
                batch["input_ids"][row, here], batch["labels"][row, here] = inputs, targets
                batch["position_ids"][row, here] = torch.arange(len(inputs))
                batch["weights"][row, here] = weight
                batch["segments"][row, here], batch["documents"][row, here] = segment, number
                at = here.stop
            batch["position_ids"][row, at:] = torch.arange(self.context - at)
        return {**batch, "shift_labels": batch["labels"]}

    def _pieces(self, number: int, document: Mapping[str, Any]) -> list[tuple[Any, Any, float, int]]:
        """(inputs, targets, weight, number of the document) of every piece."""
        weight = float(document.get("loss_weight", document.get("weight", 1.0)))
        if not 0 <= weight < float("inf"):
            raise DataError(f"document {number} of the batch has the weight {weight}", where="weight",
                            hint="a weight is a number of 0 or more")  # fmt: skip
        if "ids" in document:
            targets = torch.as_tensor(document["ids"], dtype=torch.long)
            inputs = targets.roll(1)  # read as [end, t1, ..., tn]
        elif "input_ids" in document:
            ids = torch.as_tensor(document["input_ids"], dtype=torch.long)
            inputs, targets = ids[:-1], ids[1:]
        else:
            raise DataError(f"a document has neither `ids` nor `input_ids`: {', '.join(sorted(document))}",
                            where="data_collator", hint="tokenise before")  # fmt: skip
        cuts = range(0, len(inputs), self.context)
        return [(inputs[a : a + self.context], targets[a : a + self.context], weight, number) for a in cuts]

    def _rows(self, lengths: Sequence[int]) -> list[list[int]]:
        """Pieces of every row: each into the fullest row that holds it, longest first."""
        rows: list[list[int]] = []
        room: list[int] = []
        for piece in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
            fits = [row for row, left in enumerate(room) if left >= lengths[piece]]
            row = min(fits, key=lambda number: room[number], default=len(rows))
            if row == len(rows):
                rows.append([])
                room.append(self.context)
            rows[row].append(piece)
            room[row] -= lengths[piece]
        return rows
