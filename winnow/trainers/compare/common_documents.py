"""How much of their documents the runs of a comparison have in common, by label and seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Common:
    """Shares of text in common, f64[runs, runs] in [0, 1], and where label/seed lies in them."""

    places: Mapping[str, int]
    shares: Floats

    def between(self, one: str, other: str, *, seeds: int) -> Floats:
        """f64[seeds, seeds] of the first seeds of two labels."""
        rows, columns = ([self.places[f"{label}/{s}"] for s in range(seeds)] for label in (one, other))
        return self.shares[np.ix_(rows, columns)]

    def same(self, one: str, other: str, *, seeds: int) -> bool:
        """Whether both labels have the same documents at every seed."""
        return bool((np.diagonal(self.between(one, other, seeds=seeds)) == 1.0).all())


def common_of(
    checked: Sequence[Mapping[str, Any]], labels: Sequence[str], *, seeds: int, fixed: Collection[str]
) -> Common:
    """The shares that the overlap jobs of a comparison counted. Without any (one seed of a label is missing), what the
    declared labels say: the seeds of one that is `fixed` have everything in common, others nothing.
    """
    for found in checked:
        table = found.get("common", {})
        places = {key: i for i, key in enumerate(table.get("keys", ()))}
        if all(f"{label}/{s}" in places for label in labels for s in range(seeds)):
            return Common(places=places, shares=np.asarray(table["shares"], dtype=np.float64))
    places = {f"{label}/{s}": i for i, (label, s) in enumerate((x, s) for x in labels for s in range(seeds))}
    shares = np.eye(len(places))
    for i, label in enumerate(labels):
        if label in fixed:
            block = slice(i * seeds, (i + 1) * seeds)
            shares[block, block] = 1.0
    return Common(places=places, shares=shares)
