"""Each text's nearest others: the graph that diverse selections are made from, the same for any layout and machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn, rng
from winnow.core.operators import Context, Schema, Whole

_CHECKED_ROWS = 512
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class KnnGraph(Whole):
    """Each document's `k` most similar others: `neighbors` (numbers), `similarities`, its own number `node`.

    `node` numbers the rows of this stage (those that its `where:` admits) from 0 in ascending doc_id order, and
    `neighbors` holds such numbers: 4 bytes instead of a 16-byte id, and free of layout. The lists are directed
    (a may list b and not the reverse), best first, ties by number; `similarities` are cosines in units of
    2^-22, int32. Cosines are of vectors less their common mean (`center`), because hashed texts all share the
    direction of frequent words. Rows without a vector have nulls and are nobody's neighbour.

    All pairs are compared up to `exact_rows` rows. Above, a row meets the members of the `num_probes` lists of
    an inverted file nearest to it: similarities stay exact, but a neighbour can be missed. `recall` is then,
    for about 500 rows drawn by doc_id, the share of the row's true neighbours in its list (null elsewhere;
    1 for every row of the exact search), and the stage fails where their mean is below `min_recall`.

    Raises:
        DataError: vectors are not of one length, or the mean recall is below `min_recall`.
    Cost: exact: rows^2 * dim multiply-adds at BLAS speed; `memory_gb`.
    Source: exact search own (float32 products of integers); inverted file after Jegou, Douze, Schmid 2011.
    """

    name: ClassVar[str] = "knn_graph"
    implied_for: ClassVar[tuple[str, ...]] = ("node", "neighbors", "similarities")
    less_memory: ClassVar[str] = "a smaller `k`, fewer `num_probes`, or vectors of fewer dimensions (`dim`)"
    role: ClassVar[str] = "graph"

    vectors: str = "vector"
    k: int = 32
    center: bool = True
    exact_rows: int = 50_000
    num_lists: int = 0  # 0: two times the square root of the rows
    num_probes: int = 32
    min_recall: float = 0.8

    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    def needs(self) -> tuple[str, ...]:
        """Identity; vectors are read by position."""
        return ("doc_id",)

    def looks_up(self) -> tuple[str, ...]:
        """The vectors, memory-mapped."""
        return (self.vectors,)

    def outputs(self) -> Schema:
        """Nulls where a row has no vector."""
        return {
            "node": pa.uint32(),
            "neighbors": pa.large_list(pa.uint32()),
            "similarities": pa.large_list(pa.int32()),
            "recall": pa.float64(),
        }

    def validate(self) -> None:
        """Raise ConfigError where lists would be empty or shares outside [0, 1]."""
        for field in ("k", "num_probes"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}, and must be at least 1", where=field)
        if self.exact_rows < 0 or self.num_lists < 0:
            raise ConfigError("a number of rows or lists is negative", where="num_lists")
        if not 0 <= self.min_recall <= 1:
            raise ConfigError(f"min_recall is {self.min_recall}, not in [0, 1]", where="min_recall")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors twice, lists three times, what is looked at."""
        probes = 24 * self.num_probes if rows > self.exact_rows else 0
        return 0.35 + rows * (200 + 2 * width + 3 * 8 * self.k + probes) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The graph over all rows in doc_id order."""
        grid, some = knn.directions(rows, ctx.rows(), self.vectors, center=self.center)
        place = np.flatnonzero(some)
        if len(grid) <= self.exact_rows:
            neighbours, checked = knn.exact(grid, self.k), np.ones(len(grid))
        else:
            neighbours, checked = self._pruned(grid, rows["doc_id"].gather(place))
        self._note(checked, ctx)
        return self._frame(rows.height, place, neighbours, checked)

    def _note(self, checked: npt.NDArray[np.float64], ctx: Context) -> None:
        """Recall of the lists against brute force, by ids."""
        some = checked[~np.isnan(checked)]
        search = "exact" if len(checked) <= self.exact_rows else "pruned"
        ctx.note("search", search)
        ctx.note("rows", len(checked))
        if len(some):
            ctx.note("recall", float(some.mean()))
            ctx.note("recall_rows", len(some))
            line = "every pair compared" if search == "exact" else f"recall {some.mean():.3f} on {len(some):,} rows"
            ctx.note("summary", line)

    def _pruned(self, grid: knn.Grid, doc_id: pl.Series) -> tuple[knn.Neighbours, npt.NDArray[np.float64]]:
        order = np.argsort(rng.keys(doc_id, seed=0, salt="knn_graph"), kind="stable")
        num_lists = min(self.num_lists or 2 * int(len(grid) ** 0.5), len(grid))
        lists = knn.inverted(grid, order=order, num_lists=num_lists, num_probes=self.num_probes)
        sample = np.sort(order[-_CHECKED_ROWS:])
        share = knn.recall(grid, knn.search(grid, self.k, lists, sample), sample)  # before the long search
        if share.mean() < self.min_recall:
            raise DataError(
                f"the lists hold {share.mean():.3f} of the true neighbours of {len(sample)} rows, "
                f"below min_recall {self.min_recall}",
                hint="raise `num_probes` or `exact_rows`, or lower `min_recall`",
            )
        checked = np.full(len(grid), np.nan)
        checked[sample] = share
        return knn.search(grid, self.k, lists), checked

    def _frame(
        self, height: int, place: Rows, neighbours: knn.Neighbours, checked: npt.NDArray[np.float64]
    ) -> pl.DataFrame:
        """Rows with a vector at their places, nulls elsewhere."""
        real = neighbours.ids != knn.EMPTY
        offsets = np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64)
        lists = {
            "neighbors": pa.array(neighbours.ids[real].astype(np.uint32)),
            "similarities": pa.array(neighbours.similarities[real]),
        }
        take = np.full(height, -1, dtype=np.int64)
        take[place] = np.arange(len(place))
        table = pa.table(
            {
                "node": pa.array(np.arange(len(place), dtype=np.uint32)),
                **{name: pa.LargeListArray.from_arrays(pa.array(offsets), v) for name, v in lists.items()},
                "recall": pa.array(checked, mask=np.isnan(checked)),
            }
        ).take(pa.array(take, mask=take < 0))
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return frame
