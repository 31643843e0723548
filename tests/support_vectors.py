"""Small row spaces with vectors on the grid, for what selects by vectors."""

import numpy as np
import polars as pl

from winnow.core.numerics import knn


def rows_of(vectors, first=0):
    raw = np.random.default_rng(first + 9).bytes(16 * len(vectors))
    grid = np.zeros((len(vectors), len(vectors[0])), dtype=np.int16)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    grid[:] = np.rint(np.divide(vectors, norm, where=norm > 0, out=np.zeros_like(vectors)) * knn.UNIT)
    cells = [row.tobytes() if row.any() else None for row in grid]
    ids = [raw[16 * i : 16 * i + 16] for i in range(len(vectors))]
    return pl.DataFrame({"doc_id": ids, "vector": pl.Series(cells, dtype=pl.Binary)})


def modes(counts, seed, dim=16):
    draw = np.random.default_rng(seed)
    centres = np.eye(dim)[: len(counts)] * 3
    return np.concatenate([c + 0.3 * draw.normal(size=(n, dim)) for c, n in zip(centres, counts, strict=True)])
