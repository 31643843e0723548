"""Connected components of an undirected graph over row numbers."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def components(rows: int, left: Rows, right: Rows) -> Rows:
    """Smallest row number of every row's component, i64[rows]; free of the order and direction of the edges.

    Raises: IndexError where an edge names a row outside [0, rows).
    Cost: nearly linear in rows + edges; 8 bytes per row.
    """
    from winnow.core.numerics.components_kernels import union

    for ends in (left, right):
        if len(ends) and (int(ends.min()) < 0 or int(ends.max()) >= rows):
            raise IndexError(f"an edge names row {int(ends.max())} (or {int(ends.min())}) of {rows}")
    one, two = (np.ascontiguousarray(ends, dtype=np.int64) for ends in (left, right))
    return cast("Rows", union(rows, one, two))
