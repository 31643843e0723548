"""Each text's nearest others: the graph that diverse selections are made from, the same for any layout and machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn, rng
from winnow.core.operators import Context, Schema, Whole
from winnow.core.operators.effect import ReadAt
from winnow.core.words.hashing import as_lanes
from winnow.pipeline.measure import neighbour_index

_CHECKED_ROWS = 512
_MOST_LINKS = 512
_OLDEST = pl.CompatLevel.oldest()
FOLDER, INDEX = "index", "index.faiss"
Rows = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
Answer = tuple[knn.Neighbours, Shares]


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

    `index` names the search whatever the rows: `exact`, `ivf` (the inverted file) or `hnsw` (that of faiss with `m`
    links, `ef_construction`, `ef_search`, of which at least k + 1 are taken), and leaves `index.faiss` for
    `faiss.read_index` in the folder `index` of the stage. Its id i is `node` i, of the doc_id in row i of `ids.npy`
    (u8[rows, 16]); its vectors are 2,048 long, less `mean.npy` (f64[dim]) and made as long again.

    Raises:
        DataError: vectors are not of one length, or the mean recall is below `min_recall`.
    Cost: exact: rows^2 * dim multiply-adds at BLAS speed; `memory_gb`.
    Source: exact search own (float32 products of integers); inverted file after Jegou, Douze, Schmid 2011; faiss.
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
    index: Literal["auto", "exact", "ivf", "hnsw"] = field(default="auto", metadata={"identity": "given"})
    m: int = field(default=32, metadata={"identity": "given"})
    ef_construction: int = field(default=40, metadata={"identity": "given"})
    ef_search: int = field(default=64, metadata={"identity": "given"})

    read_at: ClassVar[ReadAt] = {
        "exact_rows": ("index", ("auto",)),
        **dict.fromkeys(("num_lists", "num_probes"), ("index", ("auto", "ivf"))),
        "min_recall": ("index", ("auto", "ivf", "hnsw")),
        **dict.fromkeys(("m", "ef_construction", "ef_search"), ("index", ("hnsw",))),
    }
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    def __post_init__(self) -> None:
        if self.index != "auto":  # the index is a file of faiss, whose version decides its form
            object.__setattr__(self, "uses", ("faiss-cpu",))
            object.__setattr__(self, "publishes", FOLDER)

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
        for name, least in (("k", 1), ("num_probes", 1), ("m", 2), ("ef_construction", 1), ("ef_search", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be at least {least}", where=name)
        if self.m > _MOST_LINKS:
            raise ConfigError(f"m is {self.m}", where="m", hint=f"at most {_MOST_LINKS} links; 16 to 64 are usual")
        if self.exact_rows < 0 or self.num_lists < 0:
            raise ConfigError("a number of rows or lists is negative", where="num_lists")
        if not 0 <= self.min_recall <= 1:
            raise ConfigError(f"min_recall is {self.min_recall}, not in [0, 1]", where="min_recall")

    def memory_gb(self, rows: int, width: float = 1024.0) -> float:
        """Vectors twice, lists three times, what is looked at; an index holds them as float32."""
        probes = 24 * self.num_probes if self._search(rows) == "pruned" else 0
        index = 0.0 if self.index == "auto" else 2 * width + 16 + (8 * self.m + 32 if self.index == "hnsw" else 0)
        return 0.35 + rows * (200 + 2 * width + 3 * 8 * self.k + probes + index) / 1e9

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The graph over all rows in doc_id order."""
        leaves = self.index != "auto"
        grid, some = knn.directions(rows, ctx.rows(), self.vectors, center=self.center and not leaves)
        place = np.flatnonzero(some)
        doc_id = rows["doc_id"].gather(place)
        mean = knn.mean(grid) if self.center and leaves else np.zeros(grid.shape[1])
        if self.center and leaves:
            grid = knn.centred(grid, in_place=True)
        search = self._search(len(grid))
        leaving = _Leaving(ctx=ctx, doc_id=doc_id, mean=mean) if leaves else None
        if leaving and not len(grid):
            ctx.remark(f"no row has a vector in {self.vectors!r}, so there is no index: look at that column")
            leaving.index(None)
            found, checked = knn.exact(grid, self.k), np.ones(0)
        else:
            by = {"exact": self._exact, "pruned": self._pruned, "hnsw": self._hnsw}[search]
            found, checked = by(grid, doc_id, leaving)
        self._note(checked, search, ctx)
        return self._frame(rows.height, place, found, checked)

    def _search(self, rows: int) -> str:
        """`exact`, `pruned` or `hnsw`."""
        by_rows = "exact" if rows <= self.exact_rows else "pruned"
        return {"auto": by_rows, "ivf": "pruned"}.get(self.index, self.index)

    def _note(self, checked: Shares, search: str, ctx: Context) -> None:
        """Recall of the lists against brute force, by ids."""
        some = checked[~np.isnan(checked)]
        ctx.note("search", search)
        ctx.note("rows", len(checked))
        if len(some):
            ctx.note("recall", float(some.mean()))
            ctx.note("recall_rows", len(some))
            line = "every pair compared" if search == "exact" else f"recall {some.mean():.3f} on {len(some):,} rows"
            ctx.note("summary", line if self.index == "auto" else f"{line}, {self.index} in {FOLDER}/{INDEX}")

    def _exact(self, grid: knn.Grid, doc_id: pl.Series, leaving: _Leaving | None) -> Answer:
        if leaving:
            leaving.index(lambda: neighbour_index.flat(grid))
        return knn.exact(grid, self.k), np.ones(len(grid))

    def _pruned(self, grid: knn.Grid, doc_id: pl.Series, leaving: _Leaving | None) -> Answer:
        order = _lot(doc_id)
        num_lists = min(self.num_lists or 2 * int(len(grid) ** 0.5), len(grid))
        lists = knn.inverted(grid, order=order, num_lists=num_lists, num_probes=self.num_probes)
        checked = self._checked(grid, order, lambda rows: knn.search(grid, self.k, lists, rows))
        if leaving:
            leaving.index(lambda: neighbour_index.inverted_file(grid, lists))
        return knn.search(grid, self.k, lists), checked

    def _hnsw(self, grid: knn.Grid, doc_id: pl.Series, leaving: _Leaving | None) -> Answer:
        assert leaving is not None
        sizes = {"m": self.m, "ef_construction": self.ef_construction, "ef_search": self.ef_search}
        index = neighbour_index.read(leaving.index(lambda: neighbour_index.hnsw(grid, **sizes)))
        checked = self._checked(grid, _lot(doc_id), lambda rows: neighbour_index.search(index, grid, self.k, rows))
        return neighbour_index.search(index, grid, self.k), checked

    def _checked(self, grid: knn.Grid, order: Rows, search: Callable[[Rows], knn.Neighbours]) -> Shares:
        """Recall of the last rows of `order`, NaN elsewhere, before the long search. Raises: DataError if too low."""
        sample = np.sort(order[-_CHECKED_ROWS:])
        share = knn.recall(grid, search(sample), sample)
        if share.mean() < self.min_recall:
            more = "`ef_search`, `m` or `ef_construction`" if self.index == "hnsw" else "`num_probes`"
            more += " or `exact_rows`" if self.index == "auto" else ""
            raise DataError(
                f"the lists hold {share.mean():.3f} of the true neighbours of {len(sample)} rows, "
                f"below min_recall {self.min_recall}",
                hint=f"raise {more}, or lower `min_recall`",
            )
        checked = np.full(len(grid), np.nan)
        checked[sample] = share
        return checked

    def _frame(self, height: int, place: Rows, neighbours: knn.Neighbours, checked: Shares) -> pl.DataFrame:
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


@dataclass(frozen=True, kw_only=True)
class _Leaving:
    """What an index of faiss is left with: the doc_ids of its rows, and the mean that was subtracted."""

    ctx: Context
    doc_id: pl.Series
    mean: Shares

    def index(self, build: Callable[[], Any] | None) -> Path:
        """The file of the index, built once: a rerun after a kill finds it. None builds none."""

        def make(folder: Path) -> None:
            if build is not None:
                neighbour_index.write(build(), folder / INDEX)
            lanes = as_lanes(self.doc_id.to_arrow(compat_level=_OLDEST))
            np.save(folder / "ids.npy", np.ascontiguousarray(lanes).view(np.uint8))
            np.save(folder / "mean.npy", self.mean)

        if self.ctx.step is not None:
            return self.ctx.step(FOLDER, make) / INDEX
        folder = self.ctx.work / FOLDER  # outside of a run
        folder.mkdir(exist_ok=True)
        make(folder)
        return folder / INDEX


def _lot(doc_id: pl.Series) -> Rows:
    """The rows in an order drawn by doc_id."""
    return np.argsort(rng.keys(doc_id, seed=0, salt="knn_graph"), kind="stable")
