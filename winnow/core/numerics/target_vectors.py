"""A target's vectors beside the pool's: what every embedding-based, target-aware method starts from."""

from __future__ import annotations

import numpy as np
import polars as pl

from winnow.core.errors import DataError
from winnow.core.numerics import knn
from winnow.core.operators import Source


def on_disk(name: str) -> str:
    """The column that `stage.column` is on disk: what the target's stage calls it, whatever the pool's is called."""
    return name.rpartition(".")[2]


def target_rows(source: Source, name: str) -> tuple[pl.Series, knn.Grid]:
    """(doc_id, vectors i16[rows, dim]) of the target's kept documents that have a direction, by doc_id.

    Raises: DataError where none has one.
    """
    column = on_disk(name)
    frame = source.frame("doc_id", column, where_kept=True)
    grid, some = knn.to_grid(frame[column].rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()))
    place = np.flatnonzero(some)
    if not len(place):
        raise DataError(
            f"none of the target's {frame.height} documents has a {column!r}",
            where="target", hint="give the target the same vector stage as the pool, and texts with words",
        )  # fmt: skip
    return frame["doc_id"].gather(place), grid[place]


def beside(pool: knn.Grid, target: knn.Grid, *, center: bool) -> tuple[knn.Grid, knn.Grid]:
    """Both on one grid; with `center`, less the mean of all of them.

    Raises: DataError where they have different dimensions.
    """
    if pool.shape[1] != target.shape[1]:
        raise DataError(
            f"the pool's vectors have {pool.shape[1]} dimensions, the target's {target.shape[1]}",
            where="target", hint="use one vector stage with the same fields for both",
        )  # fmt: skip
    if not center:
        return pool, target
    both = knn.centred(np.concatenate([pool, target]), in_place=True)
    return both[: len(pool)], both[len(pool) :]
