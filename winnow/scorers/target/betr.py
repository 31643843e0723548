"""Nearness to a target in a vector space as a score: ranks among all documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.numerics import knn
from winnow.core.numerics.target_vectors import beside, target_rows
from winnow.core.operators import Context
from winnow.scorers.target.target_score import TargetScore

TARGETS_PER_BLOCK = 16


@dataclass(frozen=True, kw_only=True)
class Betr(TargetScore):
    """Best (or mean) similarity rank of each document to any target text: `betr_score` in [0, 1], 1 is nearest.

    For every target text, say a benchmark's *training* item, all documents are ranked by cosine; a document's
    score is 1 - rank / documents of its best rank (`aggregate: best`) or of the mean of its ranks (`mean`), ties
    by doc_id. Ranks, not similarities: every target text speaks with one voice. Score a sample (`where:`), then
    distil it into a fastText model (`fasttext` with the best as `positive`) that scores everything.

    Documents without a vector have null.

    Raises:
        DataError: the target has no vector.
    Cost: rows x target texts multiply-adds, and a sort of all rows per target text.
    Source: Mizrahi et al. 2025 (arXiv 2507.12466); the form of the two aggregates own.
    """

    name: ClassVar[str] = "betr"

    aggregate: Literal["best", "mean"] = "best"

    def column(self) -> str:
        """Name of the score."""
        return "betr_score"

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors three times and as float32, and a block of ranks."""
        return 0.35 + rows * (350 + 5 * width) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Scores of all rows in doc_id order."""
        grid, some = knn.matrix(rows, ctx.rows(), self.vectors)
        place = np.flatnonzero(some)
        _, target = target_rows(ctx.ref("target"), self.vectors)
        ctx.note("target_documents", len(target))
        out = np.full(rows.height, np.nan)
        if len(place):
            pool, target = beside(grid[place], target, center=self.center)
            out[place] = 1.0 - self._ranks(pool, target) / len(place)
        return pl.DataFrame({"betr_score": pl.Series(out, nan_to_null=True)})

    def _ranks(self, pool: knn.Grid, target: knn.Grid) -> npt.NDArray[np.float64]:
        """Best or mean rank of every document, from 0."""
        right = pool.astype(np.float32).T
        best, total = np.full(len(pool), len(pool), dtype=np.int64), np.zeros(len(pool), dtype=np.int64)
        rank = np.empty(len(pool), dtype=np.int64)
        for low in range(0, len(target), TARGETS_PER_BLOCK):
            for similarity in target[low : low + TARGETS_PER_BLOCK].astype(np.float32) @ right:
                rank[np.argsort(-similarity, kind="stable")] = np.arange(len(pool))
                np.minimum(best, rank, out=best)
                total += rank
        return best.astype(np.float64) if self.aggregate == "best" else total / len(target)
