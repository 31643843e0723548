"""How much of their text selections have in common, and what makes two of them one and the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.numerics.rng import lanes
from winnow.core.store.ids import digest_bytes
from winnow.core.words.hashing import column_digest

Floats = npt.NDArray[np.float64]
DIGITS = 6  # of a share
_BLOCK = 1 << 14  # documents at a time; a multiple of 8


@dataclass(kw_only=True)
class Shared:
    """Selections of one pool as bitmaps, one bit per document. `pool` holds doc_id (ascending) and text_bytes."""

    pool: pl.DataFrame
    bitmaps: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = _as_bytes(self.pool["doc_id"])

    def add(self, name: str, doc_id: pl.Series) -> None:
        """A selection by its documents, which are all of the pool. Cost: a bit per document of the pool."""
        mask = np.zeros(len(self._ids), dtype=np.bool_)
        mask[np.searchsorted(self._ids, _as_bytes(doc_id))] = True
        self.bitmaps[name] = np.packbits(mask)

    def table(self, members: Mapping[str, str]) -> dict[str, Any]:
        """`keys` and `shares` (symmetric, in [0, 1]) of labels that stand for selections {label: selection}."""
        names = sorted(set(members.values()))
        sizes = self.pool["text_bytes"].fill_null(0).to_numpy().astype(np.float64)
        found = shares_of([self.bitmaps[name] for name in names], sizes)
        place = [names.index(name) for name in members.values()]
        return {"keys": list(members), "shares": found[np.ix_(place, place)].round(DIGITS).tolist()}


def shares_of(bitmaps: Sequence[npt.NDArray[np.uint8]], sizes: Floats) -> Floats:
    """size(A and B) / sqrt(size A x size B) of every pair, f64[n, n]: 1 on the diagonal, 0 beside an empty one.

    Sums of whole numbers below 2^53 in float64 are exact, in whatever order they are added.

    Cost: n^2 x documents multiply-adds at BLAS speed, in blocks of 16,384 documents.
    """
    stacked = np.stack(bitmaps) if bitmaps else np.zeros((0, 0), dtype=np.uint8)
    common = np.zeros((len(bitmaps), len(bitmaps)))
    for start in range(0, len(sizes), _BLOCK):
        weight = sizes[start : start + _BLOCK]
        bits = np.unpackbits(stacked[:, start // 8 : (start + _BLOCK) // 8], axis=1, count=len(weight))
        block = bits.astype(np.float64)
        common += (block * weight) @ block.T
    own = np.diagonal(common)
    scale = np.sqrt(own)[:, None] * np.sqrt(own)[None, :]
    shares = np.divide(common, scale, out=np.zeros_like(common), where=scale > 0)
    same = (common == own[:, None]) & (common == own[None, :]) & (own > 0)
    shares[same] = 1.0
    np.fill_diagonal(shares, 1.0)
    return np.asarray(np.minimum(shares, 1.0))


def selection_digest(selected: pl.DataFrame) -> str:
    """32 hex digits of documents (column doc_id) and of what the other columns say of each, in any order of rows.

    A column that is 1 for every document says nothing: documents without weights and with equal ones are the same.
    """
    ids = selected["doc_id"].sort()
    parts = [lanes(ids).tobytes()]
    for name in sorted(set(selected.columns) - {"doc_id"}):
        column = selected[name]
        if column.dtype.is_float() and (column == 1.0).all():
            continue
        high, low = column_digest(selected["doc_id"].to_arrow(), column.to_arrow())
        parts.append(f"{name}\0{high}\0{low}".encode())
    return digest_bytes(*parts)


def _as_bytes(doc_id: pl.Series) -> npt.NDArray[np.bytes_]:
    """Ids as 16 bytes each, which compare as the ids do."""
    ids: npt.NDArray[np.bytes_] = np.ascontiguousarray(lanes(doc_id)).view("S16").ravel()
    return ids
