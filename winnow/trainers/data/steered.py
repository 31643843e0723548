"""Batches whose rows a policy chooses while the model trains: mixtures of domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


@runtime_checkable
class Steered(Protocol):
    """What training data have besides `Batches`, where their rows depend on shares that are known step by step.

    Before step k the loop calls `take(k, acting.shares(k))` on every rank; then `batch(k)` and `step_tokens(k)` are
    those rows, whatever rank asks and how often, and `step_tokens` of earlier steps stays known. A checkpoint holds
    `state()` as it is between two steps, and `restore` goes on from it. `num_steps`, `num_tokens` and `digest` are
    known before the first step.
    """

    def take(self, step: int, shares: npt.NDArray[np.float64] | None, /) -> None:
        """Choose the rows of a step, each step once and in order; None: the shares stay what they were."""

    def state(self) -> dict[str, Any]:
        """Everything that the rows of later steps depend on besides their shares: plain JSON."""

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from `state`."""
