"""What moves the pool toward a target: gradients of the optimal transport distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.numerics import knn, rng
from winnow.core.numerics.target_vectors import beside, target_rows
from winnow.core.operators import Context, Exactness
from winnow.scorers.target import optimal_transport as transport
from winnow.scorers.target.target_score import TargetScore

BLOCK = 8192
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GotD(TargetScore):
    """How much a document's mass pulls the pool toward a target: `got_d` f64, higher is better.

    Minus the calibrated gradient of the optimal transport cost (1 - cosine) between the pool and the target by
    the document's mass: not what lies next to the target, but what the pool lacks of it. Take the best with
    `top_k by: got_d`. `contrast: true` turns the sign, for a target of bad examples to move away from.

    The potential is fitted on `sample` documents and `target_sample` target texts (both drawn by doc_id) with
    entropic regularisation `epsilon` times the median cost, and extended to every document by one soft
    c-transform. A larger `epsilon` blurs the order and saves little (`benchmarks/bench_needles.py` compares with the
    exact dual). The first-order argument holds for budgets far below the pool; copies all get the same value, so
    deduplicate first. Documents without a vector have null.

    Raises:
        DataError: the target has no vector.
    Cost: sample x target_sample multiply-adds per iteration, then rows x target_sample; memory 2 x 8 bytes x
    sample x target_sample.
    Source: Kang et al. 2024 (arXiv 2405.02774); subsample and c-transform own.
    """

    name: ClassVar[str] = "got_d"
    version: ClassVar[int] = 2
    exactness: ClassVar[Exactness] = Exactness(1e-4)

    sample: int = 20_000
    target_sample: int = 2_000
    epsilon: float = 0.01
    contrast: bool = False

    def validate(self) -> None:
        """Raise ConfigError for empty samples or a regularisation that is not above 0."""
        for field in ("sample", "target_sample"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}, and must be at least 1", where=field)
        if not self.epsilon > 0:
            raise ConfigError(f"epsilon is {self.epsilon}, and must be above 0", where="epsilon")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors four times while they are read and centred, and three matrices of the samples."""
        return 0.35 + (rows * (250 + 4 * width) + 24 * min(rows, self.sample) * self.target_sample) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Values of all rows in doc_id order."""
        grid, some = knn.matrix(rows, ctx.rows(), self.vectors)
        place = np.flatnonzero(some)
        doc_id, target = target_rows(ctx.ref("target"), self.vectors)
        target = target[_drawn(doc_id, self.target_sample)]
        out = np.full(rows.height, np.nan)
        if len(place):
            pool, target = beside(grid[place], target, center=self.center)
            out[place] = self._values(pool, target, rows["doc_id"].gather(place), ctx)
        return pl.DataFrame({"got_d": pl.Series(out, nan_to_null=True)})

    def _values(self, pool: knn.Grid, target: knn.Grid, doc_id: pl.Series, ctx: Context) -> Floats:
        right = target.astype(np.float32).T
        cost = _cost(pool[_drawn(doc_id, self.sample)], right)
        epsilon = max(self.epsilon * float(np.median(cost)), 1e-6)
        fitted = transport.sinkhorn(cost, epsilon=epsilon)
        for name in ("value", "error", "iterations", "epsilon"):
            ctx.note(name, getattr(fitted, name))
        f = np.concatenate(
            [
                transport.extend(_cost(pool[low : low + BLOCK], right), fitted.target, epsilon=epsilon)
                for low in range(0, len(pool), BLOCK)
            ]
        )
        gradient = transport.calibrated(f)
        return gradient if self.contrast else -gradient


def _cost(left: knn.Grid, right: npt.NDArray[np.float32]) -> Floats:
    """1 - cosine; products of grid integers are exact in float32."""
    return np.asarray(1.0 - (left.astype(np.float32) @ right).astype(np.float64) / knn.ONE)


def _drawn(doc_id: pl.Series, size: int) -> npt.NDArray[np.int64]:
    """Up to `size` rows by a keyed hash of doc_id, ascending."""
    if len(doc_id) <= size:
        return np.arange(len(doc_id))
    return np.sort(np.argsort(rng.keys(doc_id, seed=0, salt="got_d"), kind="stable")[:size])
