"""`ShardDataset`: curated shards as a torch IterableDataset (reached through `winnow.trainers.data`).

The module imports torch, so nothing of winnow imports it before a person asks for the class.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from winnow.core.errors import ConfigError, DataError
from winnow.core.store.ids import id_hex
from winnow.trainers.data.pack import PackedBatches, Weighting, document_weights, loss_weights, order_of
from winnow.trainers.data.packing import Packing, Plan
from winnow.trainers.data.passes import Pass, Passes
from winnow.trainers.data.permutation import Permutation
from winnow.trainers.data.shard_tokens import prepare
from winnow.trainers.data.shards import Shards
from winnow.trainers.data.token_store import TokenStore

Gives: TypeAlias = Literal["batches", "rows", "documents"]
Sample: TypeAlias = dict[str, Any]
GIVES = ("batches", "rows", "documents")


class ShardDataset(IterableDataset[Sample]):
    """Training data of curated shards: batch k is a pure function of (shards, seed, k).

    `shards`, `tokenizer`, `end`, `stage`, `weight`, `text`, `cache`, `verify`: see `winnow.trainers.data.prepare`.

    `gives`: what iterating gives.
    - `batches` (default): one dict per step with `ids`, `targets`, `segments`, `positions`, `documents` i64[B, T] and
      `weights` f32[B, T], B = batch / world: use `DataLoader(data, batch_size=None)`. What they mean is said at
      `winnow.trainers.data.batches.Batch`; divide the weighted loss by `step_tokens(step)`, or by the number of weights
      above 0.
    - `rows`: the same rows one by one ([T] each), for loaders that make the batches: `batch_size` = batch / world.
    - `documents`: `ids` i64[tokens + 1] (the text's ids and the end mark), `doc_id` (32 hex digits), `weight` as it is
      in the shards and `loss_weight`, the same with a mean of 1 over the tokens of an epoch, as packed rows have it;
      `batch` is the loader's `batch_size` times world (1 for `batch_size=None`), and a step is `batch` documents.

    `epochs`, or `tokens` (of loss, exact) for rows and batches, say where iterating ends. `weighting`: a document's
    weight multiplies its loss (`loss`) or says how often it comes (`repeat`); weight 0 leaves it out either way.
    `packing`: `best_fit` (pieces are masked from one another by `segments`) or `concat` (they are not).

    Every rank gives rows rank::world of each step (by default as torch.distributed says; set both to 0, 1 where the
    trainer itself deals samples to ranks, as accelerate does), and every loader worker gives its own steps in turn, so
    all workers together give the same steps in the same order as one process. Iterating again gives the same order
    again: `epochs` counts passes of an order of their own.

    Raises:
        ConfigError: something cannot be. DataError: a shard is not what it was, or holds nothing to train on.
        StoreError: a file of the cache is not what it was.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        tokenizer: Any,
        context: int = 1024,
        batch: int = 8,
        epochs: float = 1,
        tokens: int | None = None,
        seed: int = 0,
        packing: Packing = "best_fit",
        weight: str | None = None,
        weighting: Weighting = "loss",
        gives: Gives = "batches",
        rank: int | None = None,
        world: int | None = None,
        end: int | str | None = None,
        stage: str | None = None,
        text: str = "text",
        cache: str | Path | None = None,
        verify: bool = False,
    ) -> None:
        if gives not in GIVES:
            raise ConfigError(f"gives is {gives!r}", where="gives", hint=f"one of {', '.join(GIVES)}")
        self.context, self.batch, self.seed = context, batch, seed
        self.packing, self.weighting, self.gives = packing, weighting, gives
        self.rank, self.world = _place(rank, world, batch)
        self._made = prepare(
            shards, tokenizer=tokenizer, end=end, stage=stage, weight=weight, text=text, cache=cache, verify=verify
        )
        self._epochs, self._budget = epochs, tokens
        self._open_at_once()
        self._passes = Passes()
        self._pass = Pass(start=0)  # the one that began last in this very process

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        worker, workers = (0, 0) if info is None else (info.id, info.num_workers)
        self._pass = self._passes.begin(worker, workers)
        return self._given_out(self._pass, range(self._pass.start + worker, self.num_steps, max(workers, 1)))

    def __len__(self) -> int:
        """Items of this rank from the first step on, whatever state was loaded."""
        if self.gives == "batches":
            return self.num_steps
        if self.gives == "rows":
            return self.num_steps * self._share
        last = self._num_documents - (self.num_steps - 1) * self.batch
        return (self.num_steps - 1) * self._share + len(range(self.rank, last, self.world))

    @property
    def num_steps(self) -> int:
        """Steps from the beginning to the end of `tokens` or `epochs`."""
        return -(-self._num_documents // self.batch) if self._batches is None else self._batches.num_steps

    @property
    def vocab(self) -> int:
        """Number of ids, the end mark included."""
        return int(self._made.index["vocab"])

    @property
    def end(self) -> int:
        """Id of the end mark."""
        return int(self._made.index["end"])

    @property
    def num_documents(self) -> int:
        """Documents in the shards, those of weight 0 included."""
        return len(self._made.documents.doc_id)

    @property
    def plan(self) -> Plan:
        """The packing plan; `plan.report()` has utilisation and how many documents are cut."""
        if self._batches is None:
            raise ConfigError("documents are not packed", where="gives")
        return self._batches.plan

    @property
    def digest(self) -> str:
        """32 hex digits of what is trained on and how it is packed."""
        return self._made.digest if self._batches is None else self._batches.plan.digest

    def step_tokens(self, step: int) -> int:
        """Tokens of loss in a whole step, on all ranks."""
        if self._batches is None:
            raise ConfigError("a step of documents has no fixed number of tokens", where="gives")
        return self._batches.step_tokens(step)

    def doc_id(self, number: int) -> str:
        """32 hex digits of document `number` of `batch["documents"]`."""
        return id_hex(self._made.documents.doc_id[int(number)])

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """JSON from which `load_state_dict` goes on with step `step`, at any world size and number of workers.

        Without `step` it is the one that iterating this object in this process has come to; with loader workers, or a
        trainer that fetches ahead, say how many steps were trained.
        Raises:
            ConfigError: only loader workers know how far they are.
        """
        if step is None:
            if self._passes.in_workers:
                raise ConfigError(
                    "loader workers run ahead of the training loop", where="step", hint="state_dict(step=steps_trained)"
                )
            step = self._pass.start + self._pass.given // (1 if self.gives == "batches" else self._share)
        return {
            "step": step, "seed": self.seed, "batch": self.batch, "gives": self.gives, "plan": self.digest,
            "shards": self._made.shards,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next pass go on where `state_dict` was; passes behind it begin with the first step again.

        Raises:
            DataError: the shards or the plan are others (a changed shard is named), or seed or batch are.
        """
        own, other = self._made.shards, state["shards"]
        for name in sorted({*own, *other}):
            if own.get(name) != other.get(name):
                what = "changed" if name in own and name in other else "new" if name in own else "gone"
                raise DataError(
                    f"a shard is {what} since the state was saved: digest {own.get(name, 'none')}, "
                    f"was {other.get(name, 'none')}",
                    where=name, hint="resume with the shards that the run began with, or begin anew",
                )  # fmt: skip
        mine = self.state_dict(0)
        for key in ("plan", "seed", "batch", "gives"):
            if state[key] != mine[key]:
                raise DataError(
                    f"{key} is {mine[key]}, and was {state[key]} when the state was saved", where=key,
                    hint="resume with the settings that the run began with",
                )  # fmt: skip
        self._pass = Pass(start=int(state["step"]))
        self._passes.resume(self._pass.start)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is mapped: a worker that is spawned maps it anew."""
        state = self.__dict__.copy()
        made = self._made
        state["_made"] = TokenStore(store=made.store, folder=made.folder, index=made.index)
        for name in ("_batches", "_documents", "_order", "_loss"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open_at_once()

    @property
    def _share(self) -> int:
        return len(range(self.rank, self.batch, self.world))

    def _open_at_once(self) -> None:
        made, documents = self._made, self._made.documents
        self._batches: PackedBatches | None = None
        if self.gives == "documents":
            if self._budget is not None:
                raise ConfigError("`tokens` is for rows and batches", where="tokens", hint="use `epochs`")
            self._order = order_of(
                documents.doc_id, documents.weights, weighting=self.weighting, packing="best_fit", seed=self.seed
            )
            self._num_documents = round(self._epochs * len(self._order))
            self._loss = document_weights(documents, weighting=self.weighting)
            return
        plan = made.plan(context=self.context, packing=self.packing, weighting=self.weighting, seed=self.seed)
        count = len(documents.doc_id)
        loss = loss_weights(plan, documents.weights, num_documents=count, weighting=self.weighting)
        tokens = round(self._epochs * plan.num_tokens) if self._budget is None else self._budget
        self._batches = PackedBatches(
            plan=plan, data=documents, end=self.end, batch_rows=self.batch, tokens=tokens, seed=self.seed, loss=loss
        )

    def _given_out(self, mine: Pass, steps: range) -> Iterator[Sample]:
        for step in steps:
            for item in self._items(step):
                mine.given += 1
                yield item

    def _items(self, step: int) -> Iterator[Sample]:
        """What this rank gives of one step."""
        if self._batches is None:
            yield from self._documents_of(step)
            return
        batch = self._batches.batch(step, rank=self.rank, world=self.world)
        sample = {
            "ids": torch.from_numpy(batch.ids),
            "targets": torch.from_numpy(batch.targets),
            "segments": torch.from_numpy(batch.segments.astype(np.int64)),
            "positions": torch.from_numpy(batch.positions),
            "documents": torch.from_numpy(batch.documents),
            "weights": torch.from_numpy(batch.weights),
        }
        if self.gives == "batches":
            yield sample
            return
        for row in range(len(batch.ids)):
            yield {name: values[row] for name, values in sample.items()}

    def _documents_of(self, step: int) -> Iterator[Sample]:
        made = self._made.documents
        first = step * self.batch
        for number in range(first + self.rank, min(first + self.batch, self._num_documents), self.world):
            epoch, place = divmod(number, len(self._order))
            at = Permutation(count=len(self._order), seed=self.seed, salt=f"documents/{epoch}")(np.array([place]))[0]
            document = int(self._order[at])
            ids = np.full(int(made.offsets[document + 1] - made.offsets[document]) + 1, self.end, dtype=np.int64)
            ids[:-1] = made.tokens[made.offsets[document] : made.offsets[document + 1]]
            loss = made.weights is not None and self.weighting == "loss"
            yield {
                "ids": torch.from_numpy(ids),
                "doc_id": id_hex(made.doc_id[document]),
                "weight": float(made.weights[document]) if loss and made.weights is not None else 1.0,
                "loss_weight": float(self._loss[document]),
            }


def _place(rank: int | None, world: int | None, batch: int) -> tuple[int, int]:
    """(rank, world): as given, else of torch.distributed or a launcher's environment, else alone."""
    if (rank is None) != (world is None):
        raise ConfigError("give both rank and world, or neither", where="rank")
    if rank is None or world is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        else:
            rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if not 0 <= rank < world:
        raise ConfigError(f"rank {rank} is not in [0, {world})", where="rank")
    if batch % world:
        raise ConfigError(
            f"a batch of {batch} cannot be dealt to {world} ranks", where="batch", hint="a multiple of it"
        )
    return rank, world
