"""A loss as a function of shares without a form: boosted trees, or a plane.

Source: RegMix (Liu et al. 2024, arXiv 2407.01492): LightGBM with 1,000 rounds at 0.01, stopped early on its test runs;
here 300 at 0.05, which rank them alike (benchmarks/bench_mixing_laws.py) at a third of the cost, and no stopping
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from winnow.trainers.mixing.crossvalidate import Predictor

Floats = npt.NDArray[np.float64]
ROUNDS, RATE, LEAF = 300, 0.05, 20
_BLOCK = 1 << 15  # mixtures predicted at a time


def fit_trees(shares: Floats, losses: Floats) -> Predictor:
    """Boosted trees; the same bits on one machine, whatever the number of its cores."""
    import lightgbm

    leaf = max(2, min(LEAF, len(losses) // 10))  # 20 runs in a leaf, fewer where there are fewer than 200
    options = {"objective": "regression", "learning_rate": RATE, "min_data_in_leaf": leaf, "verbosity": -1, "seed": 0,
               "deterministic": True, "force_row_wise": True, "num_threads": 1}  # fmt: skip
    booster = lightgbm.train(options, lightgbm.Dataset(shares, losses), ROUNDS)

    def predict(at: Floats) -> Floats:
        parts = [booster.predict(at[i : i + _BLOCK], num_threads=1) for i in range(0, len(at), _BLOCK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    return predict


def fit_plane(shares: Floats, losses: Floats) -> Predictor:
    """Least squares of the smallest norm: shares add up to 1, so a constant is in them."""
    slopes = np.linalg.lstsq(shares, losses, rcond=None)[0]
    return lambda at: np.asarray(at @ slopes)
