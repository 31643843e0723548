"""More weight for higher losses, up to the middle of the step's losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.trainers.online.loss_tilt import ReachingTilt, Strategy


@dataclass(frozen=True, kw_only=True)
class LinUpper(ReachingTilt):
    """Weights of samples that rise with their loss and are equal for the higher half: low losses are learned already.

    Weights differ by a factor of at most exp(delta / r). Samples are pieces of documents in packed rows, over the whole
    step whatever its passes and ranks; weights keep the step's sum.

    Cost: one look at the losses of the step, O(samples).
    Source: Sow et al. 2025 (ICLR, arXiv 2502.06733), section 3: LinUpper, f = min(h + delta, delta).
    """

    name: ClassVar[str] = "lin_upper"
    strategy: ClassVar[Strategy] = "lin_upper"
