"""MinHash, third, where earlier data is there: who stands for whom, among the rows and before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import polars as pl

from winnow.core.errors import DataError
from winnow.core.operators import Context, Schema, Whole, port
from winnow.core.operators.config import part_of
from winnow.core.operators.effect import ReadAt
from winnow.core.words.hashing import Lanes, as_lanes
from winnow.pipeline.dedup import minhash_earlier
from winnow.pipeline.dedup.minhash_clusters import Clusters, Rows, outputs_of
from winnow.pipeline.dedup.minhash_settings import KEEPING_AT, Keeping, Similarity, check_threshold
from winnow.pipeline.dedup.soft import Softening


@dataclass(frozen=True, kw_only=True)
class EarlierClusters(Softening, Keeping, Similarity, Whole):
    """What `minhash_clusters` answers, for rows of which documents of earlier data stand for some.

    One task over all rows: a cluster may be of rows that nothing but an earlier document connects.
    Source: own
    """

    name: ClassVar[str] = "minhash_clusters_earlier"
    role: ClassVar[str] = "dedup"
    read_at: ClassVar[ReadAt] = KEEPING_AT

    pairs: str = port("ref", default="")

    def needs(self) -> tuple[str, ...]:
        """What clusters need, and what is known of earlier documents; shingles are read by position."""
        return (*self._among_rows().needs(), *minhash_earlier.COLUMNS)

    def looks_up(self) -> tuple[str, ...]:
        """The shingle sets that a member is compared with its keeper by."""
        return self._among_rows().looks_up()

    def outputs(self) -> Schema:
        """Columns of every row; see `MinHash`."""
        return outputs_of(self.contained, earlier=True)

    def validate(self) -> None:
        """Raise ConfigError for a threshold outside (0, 1]."""
        check_threshold(self.threshold)

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The outputs of all rows in doc_id order.

        Raises: DataError where a pair names a document that is not among the rows.
        """
        pairs = ctx.ref("pairs")
        edges = minhash_earlier.without_earlier(pairs.frame("a", "b"), rows)
        ids = _ascending(rows["doc_id"])
        left, right = (_positions(ids, edges[end]) for end in ("a", "b"))
        among = self._among_rows()
        columns = minhash_earlier.with_earlier(among.columns_of(rows, left, right, ctx), rows)
        for name, value in among.noted([among.sizes_of(columns)], edges.height, pairs.counts).items():
            ctx.note(name, value)
        return columns

    def _among_rows(self) -> Clusters:
        given: dict[str, Any] = {**part_of(self, Similarity), **part_of(self, Keeping)}
        return Clusters(**given)


def _positions(ids: Lanes, wanted: pl.Series) -> Rows:
    """Row of every wanted doc_id; all must be there."""
    from winnow.pipeline.dedup import minhash_kernels

    places = minhash_kernels.positions(ids, _ascending(wanted))
    if (places < 0).any():
        stranger = wanted[int(np.flatnonzero(places < 0)[0])]
        raise DataError(f"a pair names document {bytes(stranger).hex()}, which is not among the rows")
    return cast("Rows", places)


def _ascending(doc_id: pl.Series) -> Lanes:
    """doc_id as big-endian words u64[rows, 2], whose order is the order of the bytes."""
    return as_lanes(doc_id.to_arrow()).byteswap()
