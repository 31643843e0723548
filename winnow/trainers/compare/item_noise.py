"""What the choice of a target's items adds to the noise of a difference, where a target is read in part.

A sampled target (`eval_bytes`) stands for the whole one: the difference in bits per byte over all N items is estimated
from m of them as a ratio, sum of differences over sum of bytes. Its variance is that of the ratio estimator with the
finite-population correction 1 - m / N, so it vanishes where the target is read whole. What seeds add to an item's
difference is in the variance over seeds already, and is taken out.

Source: Cochran 1977, ratio estimation; taking out the interaction with seeds is own
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FEW_ITEMS = 30  # a sample of fewer items says little of its own spread


def sampled_variance(differences: Floats, sizes: Floats, found: int) -> tuple[float, float]:
    """(variance, degrees of freedom) that a sample of items adds to sum of differences / sum of sizes.

    `differences` f64[seeds, items], arm minus baseline of every item in the unit of the measure times the item's size
    (`sizes` f64[items]); `found` items has the whole target. (0, items - 1) where all are read, or one item only is.
    """
    seeds, items = differences.shape
    free = float(max(1, items - 1))
    if items < 2 or found <= items:
        return 0.0, free
    rest = differences - (differences.sum(axis=1) / sizes.sum())[:, None] * sizes  # of each seed's own ratio
    mean = rest.mean(axis=0)
    between = float((mean**2).sum() / (items - 1))
    if seeds > 1:
        between -= float(((rest - mean) ** 2).sum() / ((seeds - 1) * (items - 1))) / seeds
    return max(0.0, (1 - items / found) * between / items) / float(sizes.mean()) ** 2, free
