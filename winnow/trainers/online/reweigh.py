"""The seam for online selection: what a policy sees of a forward pass, and what it answers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

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
