"""Which tokens a training run sees, in which order: a pure function of (documents, tokens, seed, step).

A selection's documents are packed into rows once (`packing.py`); every epoch puts the rows in a keyed
order of its own, and a run takes rows until its token budget is spent, to the token: the rest of the last row gets no
loss. Two arms of equal budget therefore train on equally many predicted tokens and differ in content alone, and a
run shorter than an epoch samples the whole selection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.rng import lanes, uniform
from winnow.core.words.distinct import distinct
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.numbering import Account
from winnow.trainers.data.packing import Packing, Plan, array_digest, make_plan
from winnow.trainers.data.permutation import Permutation

Tokens = npt.NDArray[Any]  # u16, or u32 where the vocabulary is larger than 65536
Weighting = Literal["loss", "repeat"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Documents:
    """Token ids of a selection, one document after the other in ascending doc_id, and the documents' weights."""

    doc_id: pl.Series
    tokens: Tokens
    offsets: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64] | None = None  # >= 0; None: all equal

    @property
    def num_tokens(self) -> int:
        """Tokens of one epoch, end marks included."""
        return len(self.tokens) + len(self.doc_id)

    @cached_property
    def digest(self) -> str:
        """32 hex digits over ids, tokens and weights."""
        arrays: list[npt.NDArray[Any]] = [lanes(self.doc_id), self.tokens, self.offsets]
        arrays += [] if self.weights is None else [self.weights]
        return array_digest(*arrays)


def steps_of(num_tokens: int, *, context: int, batch: int) -> int:
    """Whole batches in `num_tokens` training tokens: the optimiser steps where no position is fill.

    Raises:
        ConfigError: not even one step.
    """
    steps = num_tokens // (context * batch)
    if steps < 1:
        raise ConfigError(
            f"{num_tokens} tokens are less than one batch of {batch} x {context}",
            where="tokens",
            hint=f"give at least {context * batch} tokens",
        )
    return steps


def documents_of(selection: pl.DataFrame, tokens: pl.DataFrame) -> Documents:
    """The tokens of the selected documents: `selection` has doc_id and may have weight; `tokens` has doc_id, tokens.

    Raises:
        DataError: nothing is selected, a selected document has no tokens, or a weight is no weight.
    """
    columns = [c for c in ("doc_id", "weight") if c in selection.columns]
    joined = selection.select(columns).join(tokens, on="doc_id", how="left", maintain_order="left")
    missing = joined["tokens"].null_count()
    if missing:
        first = joined.filter(pl.col("tokens").is_null())["doc_id"][0]
        raise DataError(
            f"{missing} of {len(joined)} selected documents have no tokens",
            where=f"document {first.hex()}",
            hint="tokens are made for the rows of the ablation's `inputs` and `where`: widen them",
        )
    joined = joined.sort("doc_id")
    offsets = np.zeros(len(joined) + 1, dtype=np.int64)
    np.cumsum(joined["tokens"].list.len().to_numpy(), out=offsets[1:])
    if offsets[-1] == 0:
        raise DataError("the selection is empty: there is nothing to train on", hint="raise its budget")
    wide = joined.schema["tokens"] == pl.List(pl.UInt32)
    flat = joined["tokens"].list.explode(empty_as_null=False).to_numpy().astype(np.uint32 if wide else np.uint16)
    weights = checked_weights(joined["doc_id"], joined["weight"]) if "weight" in columns else None
    return Documents(doc_id=joined["doc_id"], tokens=flat, offsets=offsets, weights=weights)


def checked_weights(doc_id: pl.Series, weight: pl.Series, *, all_zero: bool = False) -> npt.NDArray[np.float64]:
    """The weights, f64[documents], each finite and >= 0 and (unless `all_zero`) not all 0.

    Raises:
        DataError: a weight is null, negative or not finite, or all are 0.
    """
    values = weight.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(values)} weights are null, negative or infinite; the first is {weight[int(bad[0])]}",
            where=f"document {doc_id[int(bad[0])].hex()}",
            hint="a weight is a number >= 0; 0 leaves the document out",
        )
    if len(values) and not all_zero and not values.any():
        raise DataError("all weights are 0: there is nothing to train on", hint="check the weight column")
    return values


def order_of(
    doc_id: pl.Series, weights: npt.NDArray[np.float64] | None, *, weighting: Weighting, packing: Packing, seed: int
) -> npt.NDArray[np.int64]:
    """The documents that a plan packs, i64[n]: those of weight 0 are left out.

    `repeat`: a document of weight w comes floor(w) times and once more with the probability of the rest, drawn by
    doc_id. `concat` takes them in a keyed order, `best_fit` in ascending doc_id (its result hardly depends on it).
    """
    copies = np.ones(len(doc_id), dtype=np.int64)
    if weights is not None and weighting == "repeat":
        whole = np.floor(weights)
        draw = uniform(doc_id, seed=0, salt="winnow.pack.repeat")
        copies = whole.astype(np.int64) + (draw < weights - whole)
    elif weights is not None:
        copies = (weights > 0).astype(np.int64)
    order = np.repeat(np.arange(len(doc_id), dtype=np.int64), copies)
    if packing == "concat":
        order = order[np.argsort(uniform(doc_id, seed=seed, salt="winnow.pack.order")[order], kind="stable")]
    return order


def plan_of(
    documents: Documents,
    *,
    context: int,
    packing: Packing = "best_fit",
    weighting: Weighting = "loss",
    seed: int = 0,
) -> Plan:
    """The packing plan of a selection; only `concat` depends on the seed.

    Raises:
        DataError: nothing is left to pack.
    """
    order = order_of(documents.doc_id, documents.weights, weighting=weighting, packing=packing, seed=seed)
    lengths = np.diff(documents.offsets)
    return make_plan(lengths, context=context, packing=packing, order=order, source=documents.digest)


def loss_weights(
    plan: Plan, weights: npt.NDArray[np.float64] | None, *, num_documents: int, weighting: Weighting
) -> npt.NDArray[np.float32]:
    """Loss weight of every document, f32[documents], with mean 1 over the tokens of an epoch."""
    if weights is None or weighting == "repeat":
        return np.ones(num_documents, dtype=np.float32)
    tokens = np.bincount(plan.document, weights=plan.length, minlength=num_documents)
    scaled: npt.NDArray[np.float32] = (weights * (tokens.sum() / (weights @ tokens))).astype(np.float32)
    return scaled


def document_weights(documents: Documents, *, weighting: Weighting) -> npt.NDArray[np.float32]:
    """`loss_weights` of documents that nobody packs: the same values, from their tokens and end marks."""
    if documents.weights is None or weighting == "repeat":
        return np.ones(len(documents.doc_id), dtype=np.float32)
    tokens = (np.diff(documents.offsets) + 1) * (documents.weights > 0)
    scale = tokens.sum() / (documents.weights @ tokens)
    scaled: npt.NDArray[np.float32] = (documents.weights * scale).astype(np.float32)
    return scaled


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedBatches:
    """Batches of a plan (implements `batches.Batches`): `tokens` predicted tokens, as many epochs as that takes.

    Row number g = step x batch + b is row perm(g mod rows) of epoch g div rows, so any step opens at the same cost.
    `loss` f32[documents] are the documents' loss weights; `data` holds tokens and offsets of the planned documents.

    Raises:
        ConfigError: the budget or the batch is less than 1.
    """

    plan: Plan
    data: Documents
    end: int
    batch_rows: int
    tokens: int
    seed: int
    loss: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, value in (("batch", self.batch_rows), ("tokens", self.tokens)):
            if value < 1:
                raise ConfigError(f"{name} is {value}, and must be at least 1", where=name)

    @property
    def num_steps(self) -> int:
        """Optimiser steps until the token budget is spent."""
        return -(-self._extent[0] // self.batch_rows)

    @property
    def num_tokens(self) -> int:
        """The token budget."""
        return self.tokens

    @property
    def epochs(self) -> float:
        """Passes over the planned documents."""
        return self.tokens / self._epoch_tokens

    @property
    def account(self) -> Account:
        """The documents of the selection, and the targets of one pass over each."""
        return Account(doc_id=self.data.doc_id, targets=np.diff(self.data.offsets) + 1)

    @property
    def unique_documents(self) -> int:
        """Planned documents, each counted once."""
        return len(distinct(self.plan.document))

    @property
    def unique_tokens(self) -> int:
        """Distinct predicted tokens of the planned documents, copies counted once; at most the budget."""
        document, length = self.plan.document, self.plan.length.astype(np.int64)
        first = self.plan.start == 0
        copies = np.maximum(np.bincount(document[first], minlength=int(document.max()) + 1), 1)
        return min(self.tokens, int((np.bincount(document, weights=length) / copies).sum().round()))

    @cached_property
    def digest(self) -> str:
        """32 hex digits of plan, documents, weights, end mark, seed, batch and budget."""
        import orjson

        head = orjson.dumps([self.plan.digest, self.end, self.seed, self.batch_rows, self.tokens])
        return array_digest(self.loss, head=head)

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of a whole step on all ranks."""
        rows, limits = self._rows(step, 0, 1)
        real = rows >= 0
        return int(np.minimum(self._row_tokens[rows[real]], limits[real]).sum())

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows rank::world of one step; rows behind the budget are all fill.

        Raises:
            ConfigError: there is no such step or rank, or there are more ranks than rows.
        """
        if not 0 <= step < self.num_steps:
            raise ConfigError(f"step {step} is not in [0, {self.num_steps})", where="step")
        if not 0 <= rank < world <= self.batch_rows:
            raise ConfigError(
                f"rank {rank} of {world} has no rows of a batch of {self.batch_rows}",
                where="rank",
                hint="raise `batch`",
            )
        return self.filled(*self._rows(step, rank, world))

    def filled(self, rows: npt.NDArray[np.int64], limits: npt.NDArray[np.int64]) -> Batch:
        """Rows of the plan as a batch; -1 is all fill, and behind `limits[b]` tokens of a row nothing has weight."""
        shape = (len(rows), self.plan.context)
        out = (
            np.full(shape, self.end, dtype=np.int64),
            np.full(shape, self.end, dtype=np.int64),
            np.full(shape, -1, dtype=np.int32),
            np.full(shape, -1, dtype=np.int64),
            np.zeros(shape, dtype=np.float32),
            np.zeros(shape, dtype=np.int64),
        )
        ids, targets, segments, documents, weights, places = out
        batch = Batch(ids=ids, targets=targets, segments=segments, documents=documents, weights=weights, places=places)
        self.fill_into(batch, rows, limits)
        return batch

    def fill_into(self, batch: Batch, rows: npt.NDArray[np.int64], limits: npt.NDArray[np.int64]) -> None:
        """Write rows of the plan into those rows of a batch that are all fill; -1 leaves the row as it is."""
        from winnow.trainers.data.packing_kernels import fill

        out = (batch.ids, batch.targets, batch.segments, batch.documents, batch.weights, batch.places)
        fill(rows, limits, self._pieces, *self._documents, self.end, self.plan.packing == "best_fit", out)

    def plan_rows(self, number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Row of the plan behind each row number of the run, i64[n], ascending from 0; no budget ends them."""
        epoch, place = number // self.plan.num_rows, number % self.plan.num_rows
        rows = np.empty(len(number), dtype=np.int64)
        for e in range(int(epoch[0]), int(epoch[-1]) + 1) if len(number) else ():
            here = epoch == e
            rows[here] = self._order(e)(place[here])
        return rows

    def row_tokens(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Predicted tokens of rows of the plan, i64[n]."""
        return self._row_tokens[rows]

    def _rows(self, step: int, rank: int, world: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(rows of the plan, -1 behind the budget; tokens of each that count)."""
        last, last_tokens = self._extent
        number = step * self.batch_rows + np.arange(rank, self.batch_rows, world, dtype=np.int64)
        within = number < last
        rows = np.full(len(number), -1, dtype=np.int64)
        rows[within] = self.plan_rows(number[within])
        return rows, np.where(number == last - 1, last_tokens, self.plan.context)

    def _order(self, epoch: int) -> Permutation:
        return Permutation(count=self.plan.num_rows, seed=self.seed, salt=f"rows/{epoch}")

    @cached_property
    def _extent(self) -> tuple[int, int]:
        """(rows of all steps, tokens of the last row that count)."""
        epoch, rest = divmod(self.tokens, self._epoch_tokens)
        if rest == 0:
            return epoch * self.plan.num_rows, self.plan.context
        ordered = self._row_tokens[self._order(epoch)(np.arange(self.plan.num_rows))]
        ends = np.cumsum(ordered)
        last = int(np.searchsorted(ends, rest))
        return epoch * self.plan.num_rows + last + 1, rest - int(ends[last] - ordered[last])

    @cached_property
    def _row_tokens(self) -> npt.NDArray[np.int64]:
        return self.plan.row_tokens()

    @cached_property
    def _epoch_tokens(self) -> int:
        return self.plan.num_tokens

    @cached_property
    def _pieces(self) -> tuple[Any, ...]:
        plan = self.plan
        return tuple(_frozen(a) for a in (plan.row_offsets, plan.document, plan.start, plan.length))

    @cached_property
    def _documents(self) -> tuple[Any, ...]:
        return tuple(_frozen(a) for a in (self.data.tokens, self.data.offsets, self.loss))


def batches_of(
    documents: Documents,
    *,
    context: int,
    batch: int,
    tokens: int,
    end: int,
    seed: int,
    packing: Packing = "best_fit",
    weighting: Weighting = "loss",
) -> PackedBatches:
    """A selection as training batches: `tokens` predicted tokens in steps of `batch` rows of `context`.

        documents = documents_of(ctx.ref("selection").frame("doc_id", where_kept=True), tokens)
        batches = batches_of(documents, context=128, batch=8, tokens=250_000, end=vocab - 1, seed=order_seed)
        metrics = {"epochs": batches.epochs, "tokens": batches.num_tokens, **batches.plan.report()}

    Raises:
        ConfigError: the budget, batch or context is less than 1. DataError: there is nothing to train on.
    """
    plan = plan_of(documents, context=context, packing=packing, weighting=weighting, seed=seed)
    loss = loss_weights(plan, documents.weights, num_documents=len(documents.doc_id), weighting=weighting)
    return PackedBatches(plan=plan, data=documents, end=end, batch_rows=batch, tokens=tokens, seed=seed, loss=loss)


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view: mapped and computed arrays are of one type for the kernels."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
