"""Whether a mixture lies among the sampled ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def beyond(mixture: Floats, sampled: Floats) -> float:
    """Total variation in [0, 1] between a mixture and the nearest one in the convex hull of f64[runs, values].

    Cost: one linear program of runs + values numbers.
    """
    from scipy.optimize import linprog

    runs, values = sampled.shape
    # mixture = sampled' x + up - down, x >= 0 adding up to 1; minimise sum(up + down) / 2
    equal = np.zeros((values + 1, runs + 2 * values))
    equal[:values, :runs] = sampled.T
    equal[:values, runs:] = np.concatenate((np.eye(values), -np.eye(values)), axis=1)
    equal[values, :runs] = 1.0
    cost = np.concatenate((np.zeros(runs), np.full(2 * values, 0.5)))
    found = linprog(cost, A_eq=equal, b_eq=np.concatenate((mixture, [1.0])), bounds=(0, None), method="highs")
    return float(found.fun) if found.success else 1.0
