"""One of winnow's policies in a Trainer: it sees the losses of a whole optimiser step, whoever computed them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import torch

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Kind
from winnow.core.operators.config import dump
from winnow.trainers.data.batches import Batch
from winnow.trainers.hf.collators import NOTHING
from winnow.trainers.online.answers import effective_share, weights_of
from winnow.trainers.online.policy import Acting, Policy
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

STATE, TENSORS = "winnow_policy.json", "winnow_policy.safetensors"
FIELDS = ("ids", "targets", "segments", "documents", "weights", "nats")


class StepPolicy:
    """A policy on weights, at work in a Trainer.

    Raises:
        ConfigError: it is another kind of policy, or needs columns, texts, models or looks at the model.
    """

    def __init__(self, policy: Policy) -> None:
        if policy.seam != "weights":
            raise ConfigError(f"{policy.called()} acts on {policy.seam}, not on weights", where="policy",
                              hint="mixtures and targets are of winnow's own runs")  # fmt: skip
        if policy.models or policy.texts or policy.kind is Kind.COLUMNS:
            raise ConfigError(f"{policy.called()} needs columns, texts or models of a recipe", where="policy",
                              hint="write its weights as a column of shards, and name that as `weight`")  # fmt: skip
        policy.validate()
        self.policy = policy
        self.acting: Acting | None = None
        self._restored: dict[str, Any] | None = None
        self._shares: list[float] = []

    @property
    def identity(self) -> dict[str, Any]:
        """Name and fields, as a checkpoint has them."""
        return {"policy": self.policy.name, "fields": orjson.loads(orjson.dumps(dump(self.policy), default=str))}

    def begin(self, trainer: Any, batch: dict[str, Any]) -> None:
        """Begin the run at its first step, or go on from what a checkpoint held.

        Raises:
            ConfigError: it would look at the model between steps.
        """
        if self.acting is not None:
            return
        args = trainer.args
        told = Told(
            steps=trainer.state.max_steps, seed=args.seed, vocab=int(trainer.model.config.vocab_size),
            context=int(batch["shift_labels"].shape[1]),
            batch=args.train_batch_size * args.gradient_accumulation_steps * trainer.accelerator.num_processes,
        )  # fmt: skip
        self.told, self.acting = told, self.policy.begin(told)
        if self.acting.looks_every:
            raise ConfigError(f"{self.policy.called()} looks at the model between steps", where="policy",
                              hint="such policies are of winnow's own runs")  # fmt: skip
        if self._restored is not None:
            self.acting.restore(self._restored["state"])
            self.acting.restore_tensors(self._restored["tensors"])

    def weighed(
        self, trainer: Any, batches: Sequence[dict[str, Any]], nats: Sequence[torch.Tensor]
    ) -> list[dict[str, Any]]:
        """The micro-batches of a step on this rank with the policy's weights, from the losses of all ranks."""
        assert self.acting is not None
        own = [_arrays(batch, loss) for batch, loss in zip(batches, nats, strict=True)]
        everybody, first = _everybody(trainer, own)
        seen = Seen(step=int(trainer.state.global_step), rows=Batch(**{n: everybody[n] for n in FIELDS[:-1]}),
                    nats=everybody["nats"], told=self.told)  # fmt: skip
        weights = weights_of(self.acting, seen, where=self.policy.called())
        self.acting.noted(seen, weights)
        self._shares.append(effective_share(seen, weights))
        out, row = [], first
        for batch in batches:
            count, length = batch["shift_labels"].shape
            mine = torch.from_numpy(np.ascontiguousarray(weights[row : row + count, :length]))
            out.append({**batch, "weights": mine.to(batch["weights"].device), "weighed": True})
            row += count
        return out

    def logged(self) -> dict[str, float]:
        """`effective_share`: effective sample size over samples, the mean since the last time."""
        shares, self._shares = self._shares, []
        known = [share for share in shares if np.isfinite(share)]
        return {"effective_share": float(np.mean(known))} if known else {}

    def save(self, folder: Path) -> None:
        """Write identity and state into a checkpoint."""
        if self.acting is None:
            return
        steps = {"steps": self.told.steps, "seed": self.told.seed}
        body = {**self.identity, **steps, "state": self.acting.state()}
        (folder / STATE).write_bytes(orjson.dumps(body))
        tensors = self.acting.tensors()
        if tensors:
            from safetensors.torch import save_file

            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / TENSORS)

    @staticmethod
    def check(own: StepPolicy | None, folder: Path) -> None:
        """Take the state of a checkpoint over.

        Raises:
            DataError: it was trained under another policy, or under none.
        """
        path = folder / STATE
        saved = orjson.loads(path.read_bytes()) if path.is_file() else None
        if saved is None and own is None:
            return
        then = "no policy" if saved is None else _said(saved)
        now = "none" if own is None else _said(own.identity)
        if saved is None or own is None or then != now:
            raise DataError(f"the checkpoint was trained under {then}, and this run is under {now}", where=str(folder),
                            hint="resume with the policy that the run began with")  # fmt: skip
        tensors: dict[str, Any] = {}
        if (folder / TENSORS).is_file():
            from safetensors.torch import load_file

            tensors = load_file(folder / TENSORS)
        own._restored, own.acting = {"state": saved["state"], "tensors": tensors}, None


def _said(identity: dict[str, Any]) -> str:
    fields = ", ".join(f"{name}={value!r}" for name, value in sorted(identity["fields"].items()))
    return f"{identity['policy']}({fields})"


def _arrays(batch: dict[str, Any], nats: torch.Tensor) -> dict[str, npt.NDArray[Any]]:
    """A micro-batch as rows of winnow's."""
    targets = batch["shift_labels"].cpu()
    ids = batch["input_ids"].cpu()
    seen = (
        batch["attention_mask"].cpu() > 0 if "attention_mask" in batch else torch.ones_like(targets, dtype=torch.bool)
    )
    if "segments" in batch:
        segments = batch["segments"].cpu()
    elif "position_ids" in batch:
        segments = (batch["position_ids"].cpu() == 0).cumsum(dim=1) - 1
    else:
        segments = torch.zeros_like(targets)
    documents = batch["documents"].cpu() if "documents" in batch else torch.zeros_like(targets)
    return {
        "ids": ids.numpy(), "targets": torch.where(targets == NOTHING, 0, targets).numpy(),
        "segments": torch.where(seen, segments, -1).to(torch.int32).numpy(), "documents": documents.numpy(),
        "weights": batch["weights"].cpu().numpy(), "nats": nats.float().cpu().numpy(),
    }  # fmt: skip


def _everybody(trainer: Any, own: list[dict[str, npt.NDArray[Any]]]) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """(rows of all micro-batches and ranks, filled up to one length, the first of this rank's)."""
    parts, rank = [own], 0
    if trainer.accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        parts, rank = [list(part) for part in gather_object([own])], trainer.accelerator.process_index
    length = max(batch["ids"].shape[1] for part in parts for batch in part)
    fill = {"segments": -1, "documents": -1}
    whole = {
        name: np.concatenate([
            np.pad(batch[name], ((0, 0), (0, length - batch[name].shape[1])), constant_values=fill.get(name, 0))
            for part in parts for batch in part
        ])
        for name in FIELDS
    }  # fmt: skip
    return whole, sum(len(batch["ids"]) for part in parts[:rank] for batch in part)
