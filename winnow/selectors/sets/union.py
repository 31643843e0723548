"""The documents that any of several selections keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from winnow.selectors.sets.set_operation import Masks, SetOperation, Weights


@dataclass(frozen=True, kw_only=True)
class Union(SetOperation):
    """The documents that any of the selections keeps: `kept`, and the largest of their weights.

    `of` names the selections' verdicts (`kept_best`); null is not kept. The stage looks at all rows, whatever its
    inputs kept; `where:` narrows.

    Cost: one pass over the verdicts.
    Source: own.
    """

    name: ClassVar[str] = "union"

    def chosen_from(self) -> tuple[tuple[str, ...], ...]:
        """Any of the selections."""
        return (self.of,)

    def combine(self, kept: Masks, weights: Weights) -> npt.NDArray[np.float64]:
        """The largest weight."""
        largest: npt.NDArray[np.float64] = reduce(np.maximum, weights)
        return largest
