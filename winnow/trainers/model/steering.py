"""A policy at work in a run: asked step by step, on every rank alike, and kept in checkpoints.

Every rank sees the losses of the whole step and keeps its own rows of the answer, so weights do not depend on how a
step is cut into passes and ranks. With one pass on one rank the losses are those of the pass that trains; otherwise
a pass without gradients comes first, which costs about a third of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.mixed import Mixed
from winnow.trainers.data.steered import Steered
from winnow.trainers.model.group import Group
from winnow.trainers.model.usage import Usage
from winnow.trainers.online.answers import effective_share, plain_loss, weights_of
from winnow.trainers.online.moved import Moved
from winnow.trainers.online.policy import Acting, Learner
from winnow.trainers.online.policy_run import PolicyRun, Record
from winnow.trainers.online.seen import Seen

OWN, PLAIN, ESS, USED = "policy.own.", "policy.plain", "policy.ess", "policy.used."  # names of tensors in a checkpoint


@dataclass(kw_only=True)
class Steering:
    """A policy in a run, or none: then rows and weights stay what they are."""

    run: PolicyRun | None
    data: Batches
    acting: Acting = field(init=False)
    plain: npt.NDArray[np.float64] = field(init=False)
    ess: npt.NDArray[np.float64] = field(init=False)
    sizes: npt.NDArray[np.float64] = field(init=False)  # tokens of the domains of a mixture
    moved: Moved = field(init=False, default_factory=Moved)
    usage: Usage | None = field(init=False)  # None: rows and weights are those of the data, whatever the run

    def __post_init__(self) -> None:
        self.acting = Acting() if self.run is None else self.run.begin()
        self.acting.reads(self.data)
        sources = self.data.sources if isinstance(self.data, Mixed) else ()
        self.sizes = np.array([source.plan.num_tokens for source in sources], dtype=np.float64)
        self.plain = np.full(self.data.num_steps, np.nan)
        self.ess = np.full(self.data.num_steps, np.nan)
        acts = self.weighs or isinstance(self.data, Steered)
        known = None if self.run is None or not acts else self.run.told.doc_id
        self.usage = None if known is None else Usage.of(len(known))

    @property
    def identity(self) -> dict[str, Any] | None:
        """What checkpoints know the policy by; None: there is none."""
        return None if self.run is None else self.run.identity

    @property
    def weighs(self) -> bool:
        """Whether the losses of a step are asked about."""
        return self.run is not None and self.acting.weighs

    def before(self, step: int, learner: Learner) -> None:
        """Let the policy look at the model, and take the rows of the step."""
        every = self.acting.looks_every
        if every > 0 and step % every == 0:
            self.acting.look(step, learner)
        if isinstance(self.data, Steered):
            self.data.take(step, self.acting.shares(step))
            if self.usage is not None and not self.weighs:
                rows = self.data.batch(step)
                self.usage.add(rows, rows.weights)
        if isinstance(self.data, Mixed):
            self.moved.shared(self.data.shares, self.sizes)

    def weights(
        self, step: int, rows: Batch, nats: npt.NDArray[np.float32], measured: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Weights f32[B, T] of a whole step, from the losses of all its rows (and what the policy measures of them).

        Raises:
            ContractError: the policy's answer is none.
        """
        assert self.run is not None
        if not np.isfinite(nats[rows.weights > 0]).all():
            return rows.weights  # the loss of this step is no number either, which says at which step and rate
        seen = Seen(step=step, rows=rows, nats=nats, told=self.run.told, measured=measured)
        weights = weights_of(self.acting, seen, where=self.run.policy.called())
        self.plain[step] = plain_loss(seen, self.data.step_tokens(step))
        self.ess[step] = effective_share(seen, weights)
        self.moved.weighed(rows.weights, weights)
        if self.usage is not None:
            self.usage.add(rows, weights)
        self.acting.noted(seen, weights)
        return weights

    def hard(self, device: str) -> Any | None:
        """A zero f32 that a step's loss of the true tokens is added to, where the policy teaches; else None."""
        import torch

        taught = self.run is not None and self.acting.teaches
        return torch.zeros((), dtype=torch.float32, device=device) if taught else None

    def taught(self, step: int, hard: Any | None) -> None:
        """Keep that loss of the whole step."""
        if hard is not None:
            self.plain[step] = float(hard)

    def gathered(
        self, step: int, own: npt.NDArray[np.float32], group: Group, device: str,
        *, measured: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:  # fmt: skip
        """This rank's rows of the step's weights; `own` are the losses of its rows, f32[b, T], `measured` the like."""
        whole = self.data.batch(step)
        nats = _of_all(own, whole, group, device)
        others = None if measured is None else _of_all(measured, whole, group, device)
        weights = self.weights(step, whole, nats, others)[group.rank :: group.world]
        return np.concatenate([weights, np.zeros((len(own) - len(weights), *weights.shape[1:]), dtype=np.float32)])

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it as JSON: identity, state, and the cursors of the data."""
        out: dict[str, Any] = {"policy": self.identity}
        out |= {} if self.run is None else {"policy_state": self.acting.state(), "moved": self.moved.state()}
        return out | ({"data": self.data.state()} if isinstance(self.data, Steered) else {})

    def tensors(self, step: int) -> dict[str, Any]:
        """What a checkpoint holds of it as tensors, after `step` steps."""
        import torch

        if self.run is None:
            return {}
        own = {f"{OWN}{name}": tensor for name, tensor in self.acting.tensors().items()}
        logs = {PLAIN: self.plain[:step], ESS: self.ess[:step]}
        used = {} if self.usage is None else self.usage.tensors()
        own |= {f"{USED}{name}": tensor for name, tensor in used.items()}
        return {**own, **{name: torch.from_numpy(values.copy()) for name, values in logs.items()}}

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        """Go on from what `state` and `tensors` gave; `tensors` may hold others'."""
        if isinstance(self.data, Steered):
            self.data.restore(state["data"])
        if self.run is None:
            return
        self.acting.restore(state["policy_state"])
        if "moved" in state:  # a checkpoint of an earlier version has none
            self.moved.restore(state["moved"])
        own = {name.removeprefix(OWN): tensor for name, tensor in tensors.items() if name.startswith(OWN)}
        self.acting.restore_tensors(own)
        if self.usage is not None:
            self.usage.restore({n.removeprefix(USED): t for n, t in tensors.items() if n.startswith(USED)})
        for name, into in ((PLAIN, self.plain), (ESS, self.ess)):
            values = tensors[name].numpy()
            into[: len(values)] = values

    def finish(self) -> None:
        """Give the run's record back."""
        if self.run is not None:
            used = {} if self.usage is None else self.usage.columns()
            idle = self.acting.idle() or ("" if self.acting.besides else self.moved.why_not(self.acting.todo))
            self.run.record = Record(plain_losses=self.plain, ess=self.ess, figures=self.acting.figures(),
                                     columns={**used, **self.acting.columns()},
                                     own_remarks=self.acting.remarks(), idle=idle)  # fmt: skip


def _of_all(own: npt.NDArray[np.float32], whole: Batch, group: Group, device: str) -> npt.NDArray[np.float32]:
    """The values of all ranks' rows, f32[B, T], from those of this rank's."""
    import torch

    out = np.zeros(whole.ids.shape, dtype=np.float32)
    mine = out[group.rank :: group.world]
    mine[:] = own[: len(mine)]  # a step may have fewer rows than ranks: theirs are fill
    everybody = torch.from_numpy(out).to(device)
    group.add_up([everybody])  # the others' rows are 0, so the sum has the bits of each
    summed: npt.NDArray[np.float32] = everybody.cpu().numpy()
    return summed


def not_own(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a checkpoint without those of a policy."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("policy.")}
