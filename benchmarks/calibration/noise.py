"""How noisy one run is, where a table has one run of everything: two estimates, one too large and one too small.

No replicate, no training noise: it can only be bounded. What a smooth function of the mixture fails to predict of a left
out run holds the run's noise and the function's own error: too large. How a curve jitters from checkpoint to checkpoint
holds no noise of initialisation and order that lasts through a run: too small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SCALES = 2.0 ** np.arange(-2, 6)
RIDGES = 10.0 ** np.arange(-8, 1)
LEAST_SHARE = 1e-3  # shares of a mixture are compared by their logarithm, above this


def refit_sd(shares: Floats, losses: Floats) -> Floats:
    """Root mean square of what is left of every run's losses when it's predicted from the others, f64[targets].

    Gaussian kernel over log shares f64[runs, domains]; width and ridge of each target by the same left-out error,
    in closed form from one eigendecomposition per width. An upper bound of a run's noise.
    """
    x = np.log(np.maximum(shares, 0) + LEAST_SHARE)
    far = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    centred = losses - losses.mean(axis=0)
    least = np.full(losses.shape[1], np.inf)
    for scale in SCALES:
        values, vectors = np.linalg.eigh(np.exp(-far / (2 * scale**2)))
        turned = vectors.T @ centred
        for ridge in RIDGES:
            inverse = 1 / (np.maximum(values, 0) + ridge)
            left = vectors @ (inverse[:, None] * turned) / (vectors**2 @ inverse)[:, None]
            least = np.minimum(least, (left**2).mean(axis=0))
    return np.sqrt(least)


def jitter_sd(curves: Floats, steps: Sequence[int]) -> Floats:
    """Noise of one checkpoint, f64[targets], from curves f64[steps, runs, targets] at `steps`.

    From each point minus the straight line between its neighbours, after the mean over runs is taken out (what all
    curves do at a step is no difference between them). A lower bound of a run's noise.
    """
    at = np.asarray(steps, dtype=np.float64)
    apart = curves - curves.mean(axis=1, keepdims=True)
    weight = ((at[2:] - at[1:-1]) / (at[2:] - at[:-2]))[:, None, None]  # of the earlier neighbour
    off = apart[1:-1] - weight * apart[:-2] - (1 - weight) * apart[2:]
    unit = 1 + weight**2 + (1 - weight) ** 2
    runs = curves.shape[1]
    return np.asarray(np.sqrt((off**2 / unit).mean(axis=(0, 1)) * runs / (runs - 1)))
