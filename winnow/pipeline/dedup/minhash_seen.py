"""MinHash against earlier data: which documents of an index a new one resembles, each pair verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.core.words.hashing import Lanes, as_lanes, from_lanes
from winnow.pipeline.dedup import index_files
from winnow.pipeline.dedup.index_build import Ints, ascending
from winnow.pipeline.dedup.index_files import Index
from winnow.pipeline.dedup.minhash_index import KIND, Made, keys_of, slots_of
from winnow.pipeline.dedup.minhash_pairs import CANDIDATES, FULL_GROUP, NEIGHBOURS
from winnow.pipeline.dedup.minhash_settings import Against, Banding, Containing, Grouping, Shingling, Similarity

PAIRS, ESTIMATED, UNKNOWN = "earlier_pairs", "estimated", "unknown_keepers"
Floats = npt.NDArray[np.float64]

OUTPUTS: Schema = {
    "earlier": pa.binary(16),
    "earlier_jaccard": pa.float64(),
    "earlier_contains": pa.float64(),
    "earlier_origin": pa.large_string(),
    "earlier_docs": pa.large_list(pa.binary(16)),
    "earlier_jaccards": pa.large_list(pa.float64()),
}


class Found(NamedTuple):
    """Pairs of a row of a batch with a document of an index (its number among the indexes, its row there)."""

    row: Ints
    source: Ints
    there: Ints
    jaccard: Floats
    contains: Floats  # share of the new one's shingles that the other has

    def at(self, which: npt.NDArray[Any] | slice) -> Found:
        """Some of the pairs."""
        return Found(self.row[which], self.source[which], self.there[which], self.jaccard[which], self.contains[which])


@dataclass(frozen=True, kw_only=True)
class Seen(Against, Shingling, Banding, Similarity, Grouping, Containing, Map):
    """The document of earlier data that stands for a new one, and all of them that it resembles.

    `earlier`: doc_id of the kept earlier document that is most like it, among those that reach the threshold (ties: the
    first index, then by doc_id), null where there is none; its Jaccard, the share of the new one's shingles that it
    has, and where it lay. Where only dropped ones resemble it, those that they were dropped for are compared with
    it too.
    `earlier_docs`, `earlier_jaccards`: all earlier documents of its pairs.

    An index without shingles (an imported one) is compared by signatures: the share of equal values is an estimate of
    the Jaccard index then, with a standard error of sqrt(J (1 - J) / hashes).

    Cost: for every document, one binary search per band and index, and a comparison per candidate.
    Source: own
    """

    name: ClassVar[str] = "minhash_seen"
    role: ClassVar[str] = "index"
    null_says: ClassVar[bool] = True
    meaning: ClassVar[Mapping[str, Any]] = {"per": "columns"}

    def needs(self) -> tuple[str, ...]:
        """The signature and the shingles, and the group."""
        return ("doc_id", "signature", "shingles", "num_shingles", *(("per_hash",) if self.per else ()))

    def outputs(self) -> Schema:
        """See the class."""
        return OUTPUTS

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where they are no indexes, or were made with other settings."""
        self._opened(paths)

    def check_digests(self, digests: Mapping[str, str]) -> None:
        """Raise ConfigError where a file has changed since the index was made."""
        index_files.check_digests(digests)

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, object]) -> tuple[str, ...]:
        """Pairs that are estimated, and keepers that are in no index."""
        estimated, unknown, told = counts.get(ESTIMATED, 0), counts.get(UNKNOWN, 0), []
        if estimated:
            error = 0.5 / (self.num_bands * self.rows_per_band) ** 0.5
            so = f"judged {estimated:,} pairs by signatures alone (standard error up to {error:.3f})"
            told.append(f"{so}: their index has no shingles; one that winnow made has")
        if unknown:
            so = f"found {unknown:,} pairs with earlier documents that were dropped for one that no index here has"
            told.append(f"{so}: name the index that they were compared with in `against` as well")
        return tuple(told)

    def open(self, ctx: Context) -> Columns:
        """Batch -> its columns; indexes are mapped, not loaded."""
        indexes = self._opened(ctx.refs["against"])

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            there = rows["num_shingles"].fill_null(0) > 0
            if self.per:
                there &= rows["per_hash"].is_not_null()
            numbers = np.flatnonzero(there.to_numpy())
            asked = rows[numbers]
            pairs = _joined([_pairs(asked, index, at, self, ctx) for at, index in enumerate(indexes)])
            through = _joined([_stand_ins(asked, pairs, indexes, at, self) for at in range(len(indexes))])
            ctx.count(PAIRS, len(pairs.row))
            ctx.count(UNKNOWN, _unknown(pairs, indexes))
            return _columns(rows.height, numbers, pairs, _best(pairs, through, indexes, self), indexes)

        return columns

    def _opened(self, paths: Sequence[str]) -> list[Index]:
        found = index_files.opened(paths, KIND, Made(self, self, self.per).settings())
        bare = [index for index in found if not index.files.get("shingles.ends")]
        if bare and self.contained is not None:
            told = f"{bare[0].folder} has no shingles, which say what a document contains"
            raise ConfigError(told, where="against", hint="leave out `contained`, or name an index of `dedup_index`")
        return found


def _pairs(rows: pl.DataFrame, index: Index, at: int, seen: Seen, ctx: Context) -> Found:
    """The documents of an index that rows share a band with and resemble."""
    group = as_lanes(rows["per_hash"].to_arrow()) if seen.per else None
    keys, there = index.array("keys", np.uint64), index.array("rows", np.uint32)
    wanted = keys_of(rows["signature"], group, seen).reshape(-1)
    order = np.argsort(wanted, kind="stable")
    first, last = (np.searchsorted(keys, wanted[order], side=side) for side in ("left", "right"))
    hit = last > first
    row, first, last = order[hit] // seen.num_bands, first[hit], last[hit]
    row, other = _candidates(rows, index, row, first, last, there)
    row, other = _distinct(row, other)
    if group is not None:
        same = (index.ids("group")[other].byteswap() == group[row]).all(axis=1)
        row, other = row[same], other[same]
    ctx.count(CANDIDATES, len(row))
    if not index.files.get("shingles.ends"):
        ctx.count(ESTIMATED, len(row))
    return _near(rows, index, at, row, other, seen)


def _candidates(
    rows: pl.DataFrame, index: Index, row: Ints, first: Ints, last: Ints, there: npt.NDArray[np.uint32]
) -> tuple[Ints, Ints]:
    """(row, row of the index) of all in a group of equal keys; of a group of more than FULL_GROUP its first one, and
    the next NEIGHBOURS in the order of ids.
    """
    large = np.flatnonzero(last - first > FULL_GROUP)
    if len(large):
        ids, own = index.ids("ids"), ascending(rows["doc_id"])[row[large]]
        zero = np.zeros(len(large), dtype=np.int64)
        rank = _bisect(zero, zero + index.rows, lambda at: _below(ids[at], own))
        start = _bisect(first[large], last[large], lambda at: there[at] < rank)
        row = np.concatenate([row, row[large]])
        first, last = np.concatenate([first, first[large]]), np.concatenate([last, first[large] + 1])
        first[large], last[large] = start, np.minimum(start + NEIGHBOURS, last[large])
    sizes = last - first
    at = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(int(sizes.sum()))
    return np.repeat(row, sizes), there[at].astype(np.int64)


def _distinct(one: Ints, two: Ints) -> tuple[Ints, Ints]:
    """The pairs, each once, in ascending order."""
    both = np.unique(np.stack([one, two], axis=1), axis=0)
    return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])


def _bisect(first: Ints, last: Ints, below: Callable[[Ints], npt.NDArray[np.bool_]]) -> Ints:
    """The first place of every range [first, last) at which `below` is no longer true, i64[ranges]."""
    first, last = first.copy(), last.copy()
    while (open_ := first < last).any():
        middle = np.where(open_, (first + last) // 2, 0)
        up = below(middle)
        first, last = np.where(open_ & up, middle + 1, first), np.where(open_ & ~up, middle, last)
    return first


def _below(one: Lanes, two: Lanes) -> npt.NDArray[np.bool_]:
    """Whether ids (as big-endian words) come before others."""
    return cast("npt.NDArray[np.bool_]", (one[:, 0] < two[:, 0]) | ((one[:, 0] == two[:, 0]) & (one[:, 1] < two[:, 1])))


def _near(rows: pl.DataFrame, index: Index, at: int, row: Ints, there: Ints, seen: Seen) -> Found:
    """Of candidate pairs those that reach the threshold."""
    score, contains = _compared(rows, index, row, there, seen)
    near = score >= seen.threshold
    number = np.full(int(near.sum()), at, dtype=np.int64)
    return Found(row[near], number, there[near], score[near], contains[near])


def _compared(rows: pl.DataFrame, index: Index, row: Ints, there: Ints, seen: Seen) -> tuple[Floats, Floats]:
    """(Jaccard, share of the new one's shingles that the other has) of pairs; estimated without shingles."""
    from winnow.pipeline.dedup import minhash_kernels
    from winnow.pipeline.dedup.locate import addresses

    own = rows["num_shingles"].to_numpy().astype(np.int64)
    ends, values = index.array("shingles.ends", np.int64), index.array("shingles.values", np.uint32)
    if not len(ends):
        width = seen.num_bands * seen.rows_per_band
        theirs = index.array("signatures", np.uint32).reshape(-1, width)[there]
        score = (slots_of(rows["signature"])[row] == theirs).mean(axis=1) if len(row) else np.empty(0)
        return score, np.full(len(row), np.nan)
    sets = addresses(rows["shingles"].to_arrow(), np.arange(rows.height))
    base = np.uint64(values.ctypes.data if len(values) else 0)
    address = np.concatenate([sets.address, base + (4 * ends[there]).astype(np.uint64)])
    size = np.concatenate([sets.size, ends[there + 1] - ends[there]])
    score = minhash_kernels.jaccards(address, size, row, rows.height + np.arange(len(there)))
    common = np.rint(score * (own[row] + size[rows.height :]) / (1 + score))
    return score, common / np.maximum(own[row], 1)


def _joined(found: Sequence[Found]) -> Found:
    row, source, there, jaccard, contains = (np.concatenate(column) for column in zip(*found, strict=True))
    return Found(row, source, there, jaccard, contains)


def _keepers(pairs: Found, indexes: Sequence[Index]) -> tuple[Lanes, npt.NDArray[np.bool_]]:
    """(id of the document that each pair's earlier one was dropped for or is, whether it is kept itself)."""
    keeper, own = np.empty((2, len(pairs.row), 2), dtype=np.uint64)
    for at, index in enumerate(indexes):
        mine = pairs.source == at
        keeper[mine] = index.ids("keeper")[pairs.there[mine]]
        own[mine] = index.ids("ids")[pairs.there[mine]]
    return keeper, (keeper == own).all(axis=1)


def _stand_ins(rows: pl.DataFrame, pairs: Found, indexes: Sequence[Index], at: int, seen: Seen) -> Found:
    """Pairs with documents of index `at` that others, which a row resembles, were dropped for."""
    from winnow.pipeline.dedup import minhash_kernels

    keeper, kept = _keepers(pairs, indexes)
    through = np.flatnonzero(~kept)
    if not len(through):
        return pairs.at(slice(0))
    places = minhash_kernels.positions(indexes[at].ids("ids"), keeper[through])
    there = places >= 0
    return _near(rows, indexes[at], at, *_distinct(pairs.row[through][there], places[there]), seen)


def _unknown(pairs: Found, indexes: Sequence[Index]) -> int:
    """Pairs with an earlier document that was dropped for one that is in no index."""
    from winnow.pipeline.dedup import minhash_kernels

    keeper, kept = _keepers(pairs, indexes)
    away = ~kept
    for index in indexes:
        away[away] = minhash_kernels.positions(index.ids("ids"), keeper[away]) < 0
    return int(away.sum())


def _best(pairs: Found, through: Found, indexes: Sequence[Index], seen: Seen) -> Found:
    """Of every row that has any the kept earlier document that is most like it; first through pairs of its own."""
    _, kept = _keepers(pairs, indexes)
    both = _joined([pairs.at(kept), through])
    first = np.concatenate([np.zeros(int(kept.sum())), np.ones(len(through.row))])
    holds = np.ones(len(both.row), dtype=np.bool_) if seen.contained is None else both.contains >= seen.contained
    both, first = both.at(holds), first[holds]
    order = np.lexsort((both.there, both.source, -both.jaccard, first, both.row))
    both = both.at(order)
    return both.at(np.flatnonzero(np.diff(both.row, prepend=-1)))


def _columns(height: int, numbers: Ints, pairs: Found, best: Found, indexes: Sequence[Index]) -> pl.DataFrame:
    """The columns of a batch of `height` rows, of which `numbers` were asked."""
    here = numbers[best.row]
    ids, origins = _named(best, indexes)
    found = pl.DataFrame({
        "_at": here, "earlier": ids, "earlier_jaccard": best.jaccard,
        "earlier_contains": pl.Series(best.contains, dtype=pl.Float64).fill_nan(None),
        "earlier_origin": origins,
    }, schema_overrides={"_at": pl.Int64, "earlier_origin": pl.String})  # fmt: skip
    names, _ = _named(pairs, indexes, origin=False)
    listed = pl.DataFrame({"_at": numbers[pairs.row], "earlier_docs": names, "earlier_jaccards": pairs.jaccard},
                          schema_overrides={"_at": pl.Int64})  # fmt: skip
    listed = listed.sort("earlier_docs").group_by("_at", maintain_order=True).agg("earlier_docs", "earlier_jaccards")
    rows = pl.DataFrame({"_at": np.arange(height)})
    joined = rows.join(found, on="_at", how="left", maintain_order="left")
    return joined.join(listed, on="_at", how="left", maintain_order="left").select(list(OUTPUTS))


def _named(found: Found, indexes: Sequence[Index], *, origin: bool = True) -> tuple[pl.Series, list[str | None]]:
    """(doc_ids, origins) of the earlier documents of pairs."""
    lanes = np.empty((len(found.row), 2), dtype=np.uint64)
    origins: list[str | None] = [None] * len(found.row)
    for at, index in enumerate(indexes):
        mine = np.flatnonzero(found.source == at)
        lanes[mine] = index.ids("ids")[found.there[mine]]
        if origin and index.files.get("origin.ends"):
            for place, text in zip(mine, index.texts("origin", found.there[mine]), strict=True):
                origins[place] = text
    return pl.Series("earlier_docs", from_lanes(lanes.byteswap()).cast(pa.large_binary()), dtype=pl.Binary), origins
