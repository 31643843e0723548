"""The documents that one selection keeps and none of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from winnow.selectors.sets.set_operation import Masks, SetOperation, Weights


@dataclass(frozen=True, kw_only=True)
class Difference(SetOperation):
    """The documents that the first selection keeps and none of the others: `kept`, and its weight.

    `of` names the selections' verdicts (`kept_best`); null is not kept. The stage looks at all rows, whatever its
    inputs kept; `where:` narrows.

    Cost: one pass over the verdicts.
    Source: own.
    """

    name: ClassVar[str] = "difference"

    def chosen_from(self) -> tuple[tuple[str, ...], ...]:
        """The first selection."""
        return (self.of[:1],)

    def combine(self, kept: Masks, weights: Weights) -> npt.NDArray[np.float64]:
        """The first weight where no other selection keeps the row."""
        return np.where(np.logical_or.reduce(kept[1:]), 0.0, weights[0])
