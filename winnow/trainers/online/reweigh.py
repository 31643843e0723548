"""The seam for online selection: what a policy sees of a forward pass, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError, ContractError
from winnow.trainers.data.batches import Batch


class Reweigh(Protocol):
    """Weights for the tokens of one forward pass, from their losses under the model as it is at this step.

    Shapes: B rows of the pass on this rank (`Machine.micro_rows`, or all rows of the step), T context.

    The loop calls it in training order, once per forward pass, before the gradients: the loss of the step becomes
    sum(weights x nats) over the step's number of predicted tokens, so a sum other than that of `rows.weights` scales
    the learning rate. The uniform limit: a policy that returns `rows.weights` trains to the same bits as none.

    Cost: one more pass through the head, and a copy of B x T losses to the CPU.
    """

    def __call__(self, rows: Batch, nats: npt.NDArray[np.float32], /) -> npt.NDArray[np.float32]:
        """Weights f32[B, T] at least 0; must be 0 where `rows.weights` is 0 (fill, and tokens behind the budget).

        `nats` f32[B, T] is the loss of every target in nats, fill included; `rows.documents` says whose token it is.
        """


def weights_of(policy: Reweigh, rows: Batch, nats: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The policy's weights.

    Raises: ContractError where they are not finite numbers of 0 or more in the rows' shape, or give weight to what has
    none.
    """
    answer = policy(rows, nats)
    who = getattr(policy, "identity", None) or type(policy).__name__
    hint = "return `rows.weights` times whatever the policy says, f32[B, T] of 0 or more"
    if not isinstance(answer, np.ndarray) or answer.shape != rows.weights.shape or answer.dtype.kind not in "fiub":
        what = f"{answer.dtype}{list(answer.shape)}" if isinstance(answer, np.ndarray) else type(answer).__name__
        what = f"the policy returned {what} for weights of shape {list(rows.weights.shape)}"
        raise ContractError(what, where=str(who), hint=hint)
    weights = answer.astype(np.float32, copy=False)
    on_fill = (rows.weights == 0) & (weights > 0)
    wrong = {"not finite": ~np.isfinite(weights), "negative": weights < 0, "above 0 on fill": on_fill}
    for name, at in wrong.items():
        if at.any():
            what = f"the policy returned {int(at.sum()):,} of {weights.size:,} weights that are {name}"
            raise ContractError(what, where=str(who), hint=hint)
    return weights


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy with a name that says what it does: its numbers belong into it.

        fit(..., checkpoints=saved, reweigh=Policy(identity="drop the 10 % with the lowest loss", weigh=drop))

    Checkpoints hold the identity, and resuming under another one is refused. A policy may as well have an attribute
    `identity` of its own.
    """

    identity: str
    weigh: Reweigh

    def __call__(self, rows: Batch, nats: npt.NDArray[np.float32], /) -> npt.NDArray[np.float32]:
        """The policy's weights."""
        return self.weigh(rows, nats)


def policy_identity(policy: Reweigh) -> str:
    """What a policy says that it is.

    Raises:
        ConfigError: it says nothing, so that a checkpoint could be resumed under another one.
    """
    said = getattr(policy, "identity", None)
    if not isinstance(said, str) or not said:
        raise ConfigError(
            "a policy without an identity cannot be saved in checkpoints: resuming under another one would not be seen",
            where="reweigh", hint="wrap it: `Policy(identity='what it does, with its numbers', weigh=policy)`",
        )  # fmt: skip
    return said
