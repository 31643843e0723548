"""`WeightedTrainer`: the Hugging Face Trainer with a weight for every token, and with winnow's policies.

    from winnow.trainers.hf.weighted_trainer import WeightedTrainer

    WeightedTrainer(model=model, args=args, train_dataset=rows, data_collator=rows_collator).train()

The loss of an optimiser step is sum(weight x nats) over the number of its predicted tokens, on all ranks and all
micro-batches together: what winnow's own loop trains with. A token of weight 0 is no predicted token, so weights of 0
for half of a batch train on its other half. With weights of 1 it is the Trainer's own loss. Evaluation is not weighted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy, pad
from transformers import Trainer
from transformers.trainer_callback import TrainerCallback

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.hf.collators import NOTHING
from winnow.trainers.hf.step_policy import StepPolicy
from winnow.trainers.online.policy import Policy

OURS = ("ids", "targets", "positions", "segments", "documents", "weights", "weight", "loss_weight", "shift_labels")
NOT_FOR_THE_MODEL = ("labels", "shift_labels", "weights", "weight", "segments", "documents")


class WeightedTrainer(Trainer):
    """A Trainer whose batches may hold weights: `weights` [B, T] beside `shift_labels`, or one `weight` [B] per row.

    `shift_labels` are the targets of positions as they stand, `labels` those that are still to be shifted. `policy` is
    one of winnow's policies on weights that need no column, such as `LinUpper(r=0.4)`, or your own: it sees the losses
    of the whole optimiser step. Its state lies in the Trainer's checkpoints; resuming under another policy is refused.
    Logs have `unweighted_loss` and, with a policy, `effective_share` beside `loss`.

    Raises:
        ConfigError: the policy needs what a Trainer has not, or the Trainer is told to make the loss itself.
    Cost: with a policy and several micro-batches a step, one more forward pass of each.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, policy: Policy | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.compute_loss_func is not None or self.label_smoother is not None:
            raise ConfigError("the loss is made here: sum(weight x nats)", where="compute_loss_func",
                              hint="leave `compute_loss_func` and `label_smoothing_factor` out")  # fmt: skip
        if self.args.n_gpu > 1:
            raise ConfigError(f"{self.args.n_gpu} GPUs in one process divide a batch behind the loss's back",
                              where="args", hint="start a process for each: `torchrun --nproc-per-node=N`")  # fmt: skip
        self.model_accepts_loss_kwargs = True  # the loss is over the tokens of the step: no more division
        self.policy = None if policy is None else StepPolicy(policy)
        self._plain: list[torch.Tensor] = []
        if self.policy is not None:
            self.add_callback(_SavesPolicy(self.policy))

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        """(the micro-batches of a step with the weights of all their tokens, predicted tokens of the step)."""
        found, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        batches = [weighted(batch) for batch in found]
        if self.policy is not None and batches:
            self.policy.begin(self, batches[0])
            if len(batches) > 1:
                batches = self.policy.weighed(self, batches, [self._nats_of(batch) for batch in batches])
        count = sum(((batch["shift_labels"] != NOTHING).sum() for batch in batches), torch.tensor(0))
        return batches, self.accelerator.gather(count.to(device)).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """sum(weight x nats) over the tokens of the step; in evaluation the mean of nats."""
        batch = weighted(inputs) if model.training else {**inputs, "shift_labels": targets_of(inputs)}
        outputs, nats = forward(model, batch)
        targets = batch["shift_labels"]
        own = (targets != NOTHING).sum()
        if not model.training:
            loss = nats.sum() / own.clamp(min=1)
            return (loss, outputs) if return_outputs else loss
        if self.policy is not None and "weighed" not in batch:
            self.policy.begin(self, batch)
            batch = self.policy.weighed(self, [batch], [nats.detach()])[0]
        count = own if num_items_in_batch is None else num_items_in_batch
        ranks = 1 if num_items_in_batch is None else self.accelerator.num_processes  # their gradients are averaged
        self._plain.append((nats.detach().sum() * ranks / count).reshape(1))
        loss = (nats * batch["weights"]).sum() * ranks / count
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """With the unweighted loss and the effective share of samples since the last line."""
        if "loss" in logs and self._plain:
            steps = max(1, self.state.global_step - getattr(self, "_logged_at", 0))
            whole = torch.cat(self._plain).sum().reshape(1) / steps
            logs["unweighted_loss"] = float(self.accelerator.gather(whole).mean())
            self._plain, self._logged_at = [], self.state.global_step
            if self.policy is not None:
                logs |= self.policy.logged()
        super().log(logs, *args, **kwargs)

    def _nats_of(self, batch: dict[str, Any]) -> torch.Tensor:
        """Losses [B, T] before the step, without dropout and so without a draw."""
        model = self.model_wrapped
        training = model.training
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            nats = forward(model, self._prepare_inputs(dict(batch)))[1]
        model.train(training)
        return nats

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        known: list[str] = self._signature_columns or []
        self._signature_columns: list[str] = list(dict.fromkeys([*known, *OURS]))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        StepPolicy.check(self.policy, Path(resume_from_checkpoint))


class _SavesPolicy(TrainerCallback):
    """Writes the policy's state into every checkpoint."""

    def __init__(self, policy: StepPolicy) -> None:
        self.policy = policy

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After the Trainer's own files."""
        if state.is_world_process_zero:
            self.policy.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def targets_of(batch: dict[str, Any]) -> torch.Tensor:
    """Target of every position [B, T]: `shift_labels`, else `labels` one to the left.

    Raises:
        DataError: the batch has neither.
    """
    if "shift_labels" in batch:
        return batch["shift_labels"]
    if "labels" not in batch:
        raise DataError(f"a batch has no labels: {', '.join(sorted(batch))}", where="data_collator",
                        hint="`rows_collator`, `PackingCollator`, or any collator that makes `labels`")  # fmt: skip
    return pad(batch["labels"], (0, 1), value=NOTHING)[..., 1:].contiguous()


def weighted(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with `shift_labels` and the `weights` of its targets f32[B, T]; a weight of 0 is no target.

    Raises:
        DataError: weights have another shape, or are no numbers of 0 or more.
    """
    if "weighed" in batch:
        return batch
    targets = targets_of(batch)
    given = batch.get("weights", batch.get("weight"))
    if given is None:
        given = torch.ones_like(targets, dtype=torch.float32)
    if given.dim() == 1 and len(given) == len(targets):
        given = given[:, None].expand(targets.shape)
    if given.shape != targets.shape:
        raise DataError(f"weights of shape {list(given.shape)} for targets of {list(targets.shape)}", where="weights",
                        hint="one per target, or one `weight` per row")  # fmt: skip
    given = given.to(targets.device, torch.float32)
    wrong = ~torch.isfinite(given) | (given < 0)
    if wrong.any():
        raise DataError(f"{int(wrong.sum()):,} of {given.numel():,} weights are negative or no numbers",
                        where="weights", hint="a weight is a number of 0 or more")  # fmt: skip
    targets = torch.where(given > 0, targets, NOTHING)
    weights = torch.where(targets != NOTHING, given, 0.0)
    return {**batch, "shift_labels": targets, "weights": weights}


def forward(model: Any, batch: dict[str, Any]) -> tuple[Any, torch.Tensor]:
    """(the model's outputs, loss of every target in nats f32[B, T], 0 where there is none).

    Raises:
        ConfigError: the model gives no logits.
    """
    outputs = model(**{n: value for n, value in batch.items() if n not in (*NOT_FOR_THE_MODEL, "weighed")})
    logits = outputs.get("logits") if isinstance(outputs, dict) else outputs[0]
    if logits is None:
        raise ConfigError("the model gives no logits, and weights need the loss of every token", where="model",
                          hint="turn fused losses off")  # fmt: skip
    targets = batch["shift_labels"]
    nats = cross_entropy(
        logits.flatten(0, 1).float(), targets.to(logits.device).flatten(), reduction="none", ignore_index=NOTHING
    )
    return outputs, nats.view(targets.shape)
