"""More weight for the lowest and the highest losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.trainers.online.loss_tilt import ReachingTilt, Strategy


@dataclass(frozen=True, kw_only=True)
class Extremes(ReachingTilt):
    """Weights of samples that are least in the middle of the step's losses and rise to both ends.

    Weights differ by a factor of at most exp(delta / r). Samples are pieces of documents in packed rows, over the whole
    step whatever its passes and ranks; weights keep the step's sum.

    Cost: one look at the losses of the step, O(samples).
    Source: Sow et al. 2025 (ICLR, arXiv 2502.06733), section 3: Extremes, f = |h|.
    """

    name: ClassVar[str] = "extremes"
    strategy: ClassVar[Strategy] = "extremes"
