"""More weight for higher losses, without a cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.trainers.online.loss_tilt import ReachingTilt, Strategy


@dataclass(frozen=True, kw_only=True)
class Upper(ReachingTilt):
    """Weights of samples that rise with their loss throughout: noise, whose loss stays high, gets the most.

    Weights differ by a factor of at most exp(delta / r). Samples are pieces of documents in packed rows, over the whole
    step whatever its passes and ranks; weights keep the step's sum.

    Cost: one look at the losses of the step, O(samples).
    Source: Sow et al. 2025 (ICLR, arXiv 2502.06733), section 3: the code's Upper, f = (h + delta) / 2.
    """

    name: ClassVar[str] = "upper"
    strategy: ClassVar[Strategy] = "upper"
