"""A selection that says in which parts it is trained, as batches: each part its documents, its tokens and its rates.

Every part gets its share of the run's tokens, and the last token of the run is that of every other run. Between two
parts lies a whole step: a share that ends inside of a step ends at the nearer end of it, so that no step of full rate
is made of a few leftover tokens. Each part is packed for itself and in an order of its own, by the run's seed and the
part's label: two runs with equal parts in another order read equal rows in each.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from winnow.core.errors import DataError
from winnow.core.operators.training_part import TrainingPart, token_shares
from winnow.trainers.data import pack
from winnow.trainers.data.numbering import numbering
from winnow.trainers.data.pack import PackedBatches, Weighting
from winnow.trainers.data.packing import Packing
from winnow.trainers.data.phases import Phased, Rates


def parts_of(fields: Sequence[Mapping[str, Any]]) -> tuple[TrainingPart, ...]:
    """The parts behind their fields, as an operator holds them."""
    return tuple(TrainingPart(**one) for one in fields)


def columns_of(parts: Sequence[TrainingPart]) -> tuple[str, ...]:
    """The columns of the selection that its parts are read from, each once."""
    return tuple(dict.fromkeys(part.column for part in parts))


@dataclass(frozen=True, kw_only=True)
class Fed:
    """How documents become rows of a run: what all parts of it share."""

    context: int
    batch: int
    end: int
    seed: int
    packing: Packing = "best_fit"
    weighting: Weighting = "loss"

    def batches(self, documents: pack.Documents, *, tokens: int, label: str = "") -> PackedBatches:
        """Documents as batches of `tokens` predicted tokens, in an order of the label's own.

        Raises:
            ConfigError, DataError: those of `pack.batches_of`.
        """
        return pack.batches_of(
            documents, context=self.context, batch=self.batch, tokens=tokens, end=self.end, packing=self.packing,
            weighting=self.weighting, seed=_seed(self.seed, label) if label else self.seed,
        )  # fmt: skip


def phased(
    parts: Sequence[TrainingPart], selection: pl.DataFrame, tokens: pl.DataFrame, *, total: int, fed: Fed
) -> Phased:
    """A run of `total` predicted tokens in parts. `selection` has doc_id and `columns_of(parts)`.

    Raises:
        DataError: no document is in a part, or one has no tokens.
    """
    ends = np.rint(np.cumsum(token_shares(parts)) * total).astype(np.int64)
    sources: list[PackedBatches] = []
    for part, end in zip(parts, ends, strict=True):
        left = int(end) - sum(source.tokens for source in sources)
        found = fed.batches(_documents(part, selection, tokens), tokens=left, label=part.label)
        sources.append(found if part is parts[-1] else _whole_steps(found))
    return Phased(
        sources=tuple(sources), rates=tuple(Rates.of(dataclasses.asdict(part)) for part in parts),
        numbering=numbering([source.account for source in sources]),
    )  # fmt: skip


def facts(data: PackedBatches | Phased, parts: Sequence[TrainingPart]) -> dict[str, Any]:
    """What a run says of its data: `epochs` over all that is selected, its size, how much of it is distinct, `packing`.

    In parts: `phases`, with name, steps, tokens, epochs (achieved, and `declared_epochs`), documents, rates, packing.
    `unique_tokens` are then at most so many: how much two parts have in common of what they read is not counted.
    """
    if isinstance(data, PackedBatches):
        return {
            "epochs": data.epochs, "unique_tokens": data.unique_tokens, "unique_documents": data.unique_documents,
            "selection_tokens": data.data.num_tokens, "selection_documents": len(data.data.doc_id),
            "packing": data.plan.report(),
        }  # fmt: skip
    sources = [source for source in data.sources if isinstance(source, PackedBatches)]
    each = [pl.DataFrame({"doc_id": s.data.doc_id, "tokens": np.diff(s.data.offsets) + 1}) for s in sources]
    unique = pl.concat(each).unique("doc_id")
    selected = int(unique["tokens"].sum())
    return {
        "epochs": data.num_tokens / selected,
        "unique_tokens": min(selected, sum(source.unique_tokens for source in sources)),
        "unique_documents": unique.height, "selection_tokens": selected, "selection_documents": unique.height,
        "phases": [_part_facts(*one) for one in zip(parts, sources, data.rates, strict=True)],
    }  # fmt: skip


def _part_facts(part: TrainingPart, source: PackedBatches, rates: Rates) -> dict[str, Any]:
    return {
        "name": part.label, "steps": source.num_steps, "tokens": source.num_tokens, "epochs": source.epochs,
        "declared_epochs": part.repeats, "documents": source.plan.report()["documents"], **dataclasses.asdict(rates),
        "packing": source.plan.report(),
    }  # fmt: skip


def _documents(part: TrainingPart, selection: pl.DataFrame, tokens: pl.DataFrame) -> pack.Documents:
    """The part's documents; where they are not all used alike, with weights."""
    column = selection[part.column]
    if part.number is not None:
        chosen = selection.filter(column.list.contains(part.number)).select("doc_id")
    else:
        weights = pl.Series("weight", pack.checked_weights(selection["doc_id"], column, all_zero=True))
        chosen = selection.select("doc_id").with_columns(weights).filter(weights > 0)
        if chosen["weight"].n_unique() <= 1:  # how often is a matter of the part's length
            chosen = chosen.select("doc_id")
    if not chosen.height:
        raise DataError(f"no document is in part {part.label!r} of the training", hint="raise its tokens")
    return pack.documents_of(chosen, tokens)


def _whole_steps(batches: PackedBatches) -> PackedBatches:
    """The same, ended at the nearer end of its last step; at least one step."""
    last = batches.num_steps - 1
    longer = dataclasses.replace(batches, tokens=batches.tokens + batches.batch_rows * batches.plan.context)
    begun, whole = batches.step_tokens(last), longer.step_tokens(last)
    stays = last == 0 or 2 * begun >= whole
    return dataclasses.replace(batches, tokens=batches.tokens - begun + (whole if stays else 0))


def _seed(seed: int, label: str) -> int:
    digest = hashlib.blake2b(f"{seed}\0{label}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1
