"""More weight for middle losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.trainers.online.loss_tilt import LossTilt, Strategy


@dataclass(frozen=True, kw_only=True)
class Quadratic(LossTilt):
    """Weights of samples that are largest in the middle of the step's losses and fall to both ends.

    Weights differ by a factor of at most exp(1 / r). Samples are pieces of documents in packed rows, over the whole
    step whatever its passes and ranks; weights keep the step's sum.

    Cost: one look at the losses of the step, O(samples).
    Source: Sow et al. 2025 (ICLR, arXiv 2502.06733), section 3: Quadratic, f = 1 - h^2 / delta^2: the range
        cancels out of it, so there is no `delta`.
    """

    name: ClassVar[str] = "quadratic"
    strategy: ClassVar[Strategy] = "quadratic"
