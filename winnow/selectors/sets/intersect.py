"""The documents that all of several selections keep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from winnow.selectors.sets.set_operation import Masks, SetOperation, Weights


@dataclass(frozen=True, kw_only=True)
class Intersect(SetOperation):
    """The documents that all of the selections keep: `kept`, and the smallest of their weights.

    `of` names the selections' verdicts (`kept_best`); null is not kept. The stage looks at all rows, whatever its
    inputs kept; `where:` narrows.

    Cost: one pass over the verdicts.
    Source: own.
    """

    name: ClassVar[str] = "intersect"

    def chosen_from(self) -> tuple[tuple[str, ...], ...]:
        """Each of the selections."""
        return tuple((verdict,) for verdict in self.of)

    def combine(self, kept: Masks, weights: Weights) -> npt.NDArray[np.float64]:
        """The smallest weight."""
        smallest: npt.NDArray[np.float64] = reduce(np.minimum, weights)
        return smallest
