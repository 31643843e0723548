"""Training: batches in, weights and a loss curve out, as a pure function of (data, shape, recipe, seed).

A run is one thread by default: arms and seeds give the parallelism, and another thread count would give other bits.
The step is the same one for one process and for many (`parallel.py`): gradients of all rows of a step are summed,
over forward passes and ranks, after every loss was divided by the number of predicted tokens of the whole step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.phases import Phased
from winnow.trainers.data.sequences import Branch, PlainRows, equal_until
from winnow.trainers.model import checkpoint, warm
from winnow.trainers.model.checkpoint import Checkpoints, Saved
from winnow.trainers.model.device import (
    Machine,
    Precision,
    autocast,
    computing,
    one_thread,
    product_type,
    resolve_precision,
)
from winnow.trainers.model.forward import array_of, hidden_of, is_packed, passes_of, read_of, rows_of, tensor_of
from winnow.trainers.model.group import Alone, Group
from winnow.trainers.model.head import head_loss, token_nats
from winnow.trainers.model.initialise import build, empty
from winnow.trainers.model.learner import ModelLearner
from winnow.trainers.model.optimizers import Updates
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.schedule import Phases, Schedule, factor, phases_of
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.start import Start
from winnow.trainers.model.steering import Steering, not_own
from winnow.trainers.model.teaching import Teaching
from winnow.trainers.online.policy_run import PolicyRun

__all__ = [
    "Alone", "Checkpoints", "DivergedError", "Machine", "Precision", "Recipe", "Run", "autocast", "fit", "load",
    "one_thread", "product_type", "resolve_precision", "save",
]  # fmt: skip

Rows = npt.NDArray[np.unsignedinteger]
Watch = Callable[[int, Any], None]
CHECK_EVERY = 32  # steps between looks at the losses on a GPU, where every look waits for it


class DivergedError(DataError):
    """The loss is no longer a number: this run has failed, and no other."""


@dataclass(kw_only=True)
class Run:
    """A run in progress: a body, its optimiser, and the next step. Everything else is a function of the step."""

    data: Batches
    recipe: Recipe
    machine: Machine
    init_seed: int
    body: warm.Body
    group: Group = field(default_factory=Alone)
    start: Start | None = None
    policy: PolicyRun | None = None
    watch: Watch | None = None
    watch_at: frozenset[int] = frozenset()
    step: int = 0

    def __post_init__(self) -> None:
        import torch

        if self.start is not None:
            self.start.into(self.body.model)

        self.updates = Updates(self.body.model, self.recipe, dtype=self.body.dtype)
        self.losses = torch.zeros(self.data.num_steps, dtype=torch.float64, device=self.body.device)
        self.schedule = self.recipe.schedule_of()
        self.phases = phases(self.schedule, self.data)
        self.steering = Steering(run=self.policy, data=self.data)
        self.teaching = Teaching(told=None if self.policy is None else self.policy.told)
        self.learner = ModelLearner(
            body=self.body, updates=self.updates, precision=self.recipe.precision, group=self.group,
            micro_rows=self.machine.micro_rows, data=self.data,
        )  # fmt: skip

    def advance(self, until: int) -> None:
        """Train up to step `until`.

        Raises:
            DivergedError: the loss is no longer a number.
        """
        import torch

        weights = list(self.body.model.parameters())
        while self.step < until:
            if self.watch is not None and self.step in self.watch_at:
                self.watch(self.step, self.body.model)
            self.steering.before(self.step, self.learner)
            rate = self._rate()
            hard = self.steering.hard(self.body.device)
            loss = self._backward(hard)
            told = [loss, *(() if hard is None else (hard,))]
            self.group.add_up([*told, *(w.grad for w in (*weights, *self.steering.acting.learned()))])
            self.losses[self.step] = loss
            self.steering.taught(self.step, hard)
            if self.body.device == "cpu" or self.step % CHECK_EVERY == CHECK_EVERY - 1 or self.step == until - 1:
                self._check(rate)
            torch.nn.utils.clip_grad_norm_(weights, self.recipe.clip)
            self.updates.step(rate)
            self.steering.acting.stepped(rate)
            self.body.model.zero_grad(set_to_none=True)
            self.step += 1

    def _rate(self) -> float:
        """Factor on every learning rate now."""
        return rate_at(self.data, self.schedule, self.phases, self.step)

    def _backward(self, hard: Any) -> Any:
        """This rank's part of the step's loss, in nats per token of the whole step; leaves gradients behind.

        `hard`, where it is a scalar, becomes that part of the loss of the true tokens alone.
        """
        import torch

        rows = self.data.batch(self.step, rank=self.group.rank, world=self.group.world)
        count = self.data.step_tokens(self.step)
        passes, several, asks = passes_of(rows, self.machine.micro_rows), is_packed(rows), self.steering.weighs
        if asks and (len(passes) > 1 or self.group.world > 1):
            nats, measured = read_of(
                self.body, rows, precision=self.recipe.precision, micro_rows=self.machine.micro_rows,
                measure=self.steering.acting.measured,
            )  # fmt: skip
            weights = self.steering.gathered(self.step, nats, self.group, self.body.device, measured=measured)
            rows, asks = dataclasses.replace(rows, weights=weights), False
        total = torch.zeros((), dtype=torch.float32, device=self.body.device)
        for part in passes:
            total += self._pass(rows_of(rows, part), count, several=several, asks=asks, hard=hard)
        return total

    def _pass(self, rows: Batch, count: int, *, several: bool, asks: bool, hard: Any) -> Any:
        """Loss and gradients of one forward pass; `asks` where it is the whole step and the policy weighs it."""
        body = self.body
        hidden_ND = hidden_of(body, rows, precision=self.recipe.precision, several=several)
        targets, head, weights = tensor_of(rows.targets, body.device).flatten(), body.model.head.weight, rows.weights
        kept = body.workspace.kept(len(targets)) if asks else None
        if asks:
            nats = token_nats(hidden_ND.detach(), head, targets, workspace=body.workspace, logits_NV=kept)
            measured = array_of(self.steering.acting.measured(hidden_ND.detach()), rows)
            weights = self.steering.weights(self.step, rows, nats.view(rows.ids.shape).cpu().numpy(), measured)
        extra = self.teaching.labels(
            self.steering.acting.head_extra(self.step, rows, body.device), rows, body=body,
            precision=self.recipe.precision,
        )  # fmt: skip
        loss = head_loss(
            hidden_ND, head, targets, workspace=body.workspace,
            weights_N=tensor_of(weights, body.device).flatten(), num_tokens=count, z_loss=self.recipe.z_loss,
            extra=extra, logits_NV=kept, hard=hard,
        )  # fmt: skip
        if hard is not None and extra is None:
            hard += loss.detach().reshape(hard.shape)
        beside = self.steering.acting.beside(self.step, rows, hidden_ND, count)
        loss = loss if beside is None else loss + beside
        loss.backward()
        return loss.detach()

    def _check(self, rate: float) -> None:
        since = max(0, self.step + 1 - CHECK_EVERY)
        seen = checkpoint.to_numpy(self.losses[since : self.step + 1])
        if np.isfinite(seen).all():
            return
        bad = int(np.flatnonzero(~np.isfinite(seen))[0])
        lr = self.recipe.lr_hidden if self.recipe.optimizer == "muon" else self.recipe.lr_adamw
        raise DivergedError(
            f"the loss is {seen[bad]} at step {since + bad} of {self.data.num_steps}, learning rate {lr * rate:.3g}",
            hint="lower the learning rates",
        )

    def save(self, folder: Path) -> None:
        """Write a checkpoint into an empty folder."""
        checkpoint.write(
            folder,
            state=self._state() | {"step": self.step},
            weights=dict(self.body.model.named_parameters()),
            optimizer={**self.updates.tensors(), **self.steering.tensors(self.step)},
            losses=self.losses[: self.step],
        )

    def restore(self, saved: Saved) -> None:
        """Go on from a checkpoint.

        Raises:
            DataError: it is of another model, recipe, seed or data.
        """
        import torch

        self._check_same_run(saved)
        with torch.no_grad():
            for name, weight in self.body.model.named_parameters():
                weight.copy_(saved.weights[name])
        self.step = int(saved.state["step"])
        self.losses[: self.step] = saved.losses
        if self.step:
            self.updates.load(not_own(saved.optimizer))
        self.steering.restore(saved.state, saved.optimizer)

    def _state(self) -> dict[str, Any]:
        return {
            "format": 1,
            "seed": self.init_seed,
            "plan": self.data.digest,
            "shape": dataclasses.asdict(self.body.model.shape),
            "recipe": self.recipe.but_schedule(),
            "schedule": dataclasses.asdict(self.schedule),
            "phases": dataclasses.asdict(self.phases),
            "start": None if self.start is None else self.start.digest,
            **self.steering.state(),
        }

    def _check_same_run(self, saved: Saved) -> None:
        """Check that training from `saved` gives what training from the start would give."""
        state, own = saved.state, self._state()
        step = int(state["step"])
        if not 0 <= step <= self.data.num_steps:
            raise _foreign(saved, f"it is at step {step}, and this run has {self.data.num_steps}")
        if state["plan"] not in equal_until(self.data, step):
            raise _foreign(saved, f"its data are {state['plan']}, and those of this run {own['plan']}")
        for part in ("seed", "shape", "recipe", "start", "policy"):
            if state.get(part) != own[part]:
                raise _foreign(saved, f"its {part} differs: {_difference(state.get(part), own[part])}")
        then = Schedule(**state["schedule"]), Phases(**state["phases"])
        for k in range(step):
            before, now = factor(*then, k), factor(self.schedule, self.phases, k)
            if before != now:
                raise _foreign(saved, f"its learning rate at step {k} was {before:.6g} of the peak, not {now:.6g}")


def fit(
    data: Batches | Rows,
    shape: Shape,
    recipe: Recipe,
    *,
    init_seed: int,
    machine: Machine | None = None,
    checkpoints: Checkpoints | None = None,
    start: Start | None = None,
    policy: PolicyRun | None = None,
    watch: Watch | None = None,
    watch_at: tuple[int, ...] = (),
) -> tuple[Any, npt.NDArray[np.float64]]:
    """(trained model in f32 on the CPU, training loss of every step in nats per token f64[steps]).

    Shapes: `data` are `Batches`, or rows u16[steps x B, T + 1] in training order (B = `recipe.batch`). The loss of a
    step is the sum of weight x nats over its tokens, over their number.

    `start` are weights to begin with, instead of those of `init_seed`. `policy` acts on the data of each step: see
    `online.policy`; what came of it is `policy.record` when the run is done.
    `watch(step, model)` is called before each step of `watch_at` (the number of steps: after the last one), in f32 on
    the run's device; a run that goes on from a checkpoint calls it for the steps that are left.

    Raises:
        DivergedError: the loss is no longer a number. DataError: a checkpoint is broken or of another run.
        ContractError: a policy's answer is none.
    Cost: about 6 x parameters x tokens operations; all memory is the model's, two or three copies of it, one forward
        pass, and one chunk of logits.
    """
    machine = machine or Machine()
    machine.check()
    batches = PlainRows(rows=data, batch_rows=recipe.batch) if isinstance(data, np.ndarray) else data
    with computing(machine), warm.body(shape, recipe, machine, init_seed=init_seed) as body:
        run = Run(
            data=batches, recipe=recipe, machine=machine, init_seed=init_seed, body=body, start=start, policy=policy,
            watch=watch, watch_at=frozenset(watch_at),
        )  # fmt: skip
        latest = None if checkpoints is None else checkpoint.chain(checkpoints, _segment(run))
        if latest is not None and run.step < int(checkpoint.read_state(latest)["step"]):
            run.restore(checkpoint.read(latest))
        run.advance(batches.num_steps)
        if watch is not None and batches.num_steps in watch_at:
            watch(batches.num_steps, body.model)
        run.steering.finish()
        return copy_of(body.model), checkpoint.to_numpy(run.losses)


def phases(schedule: Schedule, data: Batches) -> Phases:
    """The boundaries of a run on `data`: of a branch, where it is one."""
    if isinstance(data, Branch):
        return phases_of(schedule, steps=data.num_steps, trunk=data.trunk_steps, decay=data.decay_steps)
    return phases_of(schedule, steps=data.num_steps)


def rate_at(data: Batches, schedule: Schedule, boundaries: Phases, step: int) -> float:
    """Factor on every learning rate at a step of a run on `data`: the recipe's schedule, or that of a phase."""
    of_run = factor(schedule, boundaries, step)
    return data.rate(step, of_run=of_run) if isinstance(data, Phased) else of_run


def copy_of(model: Any) -> Any:
    """The same model on the CPU, in memory of its own."""
    import torch

    copy = empty(model.shape)
    with torch.no_grad():
        for mine, other in zip(copy.parameters(), model.parameters(), strict=True):
            mine.copy_(other)
    return copy


def save(model: Any, path: Path) -> None:
    """Write the weights as an uncompressed .npz of plain arrays (no pickle), names sorted."""
    arrays = {name: weight.detach().cpu().numpy() for name, weight in sorted(model.named_parameters())}
    np.savez(path, allow_pickle=False, **arrays)


def load(path: Path, shape: Shape) -> Any:
    """The model whose weights `save` wrote."""
    import torch

    model = build(shape, init_seed=0)
    with np.load(path, allow_pickle=False) as arrays, torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.from_numpy(arrays[name]))
    return model


def _segment(run: Run) -> Callable[[Path | None, int, Path], None]:
    """Train a live run from one checkpoint to the next."""

    def make(before: Path | None, stop: int, out: Path) -> None:
        if before is not None and run.step < int(checkpoint.read_state(before)["step"]):
            run.restore(checkpoint.read(before))
        run.advance(stop)
        run.save(out)

    return make


def _foreign(saved: Saved, why: str) -> DataError:
    return DataError(
        f"the checkpoint is of another run: {why}",
        where=str(saved.folder),
        hint="train from the start in another folder, or give the run what the checkpoint was made with",
    )


def _difference(then: Any, now: Any) -> str:
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [key for key in sorted({*then, *now}) if then.get(key) != now.get(key)]
        return ", ".join(f"{key} was {then.get(key)!r}, not {now.get(key)!r}" for key in keys)
    return f"{then!r}, not {now!r}"
