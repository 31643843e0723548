"""MinHash, checked: what a sample of documents resembles by brute force, beside the pairs that were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.numerics import rng
from winnow.core.numerics.binomial import wilson
from winnow.core.operators import Context, Schema, Whole, port
from winnow.core.terminal import percent
from winnow.core.words.distinct import distinct
from winnow.pipeline.dedup.minhash_pairs import FULL_GROUP
from winnow.pipeline.dedup.minhash_settings import Similarity, check_threshold

Ints = npt.NDArray[np.int64]
SAMPLE, OTHERS = 1000, 200_000  # documents that are looked at, and those that each is compared with
SALT = "minhash_check"
LEAST, TOLD_BELOW = 20, 0.9  # documents that a share is told from, and below which it is remarked


class Counted(NamedTuple):
    """Of every document of the sample: others that resemble it, those of them that were found, and pairs found."""

    near: Ints
    hits: Ints
    pairs: Ints


@dataclass(frozen=True, kw_only=True)
class Check(Similarity, Whole):
    """How many near-duplicates the search misses, from a sample: `near_documents` of each document in it, else null.

    1,000 documents, those of the least keys of their doc_ids, are compared by exact Jaccard of their shingles with all
    (with 200,000 of them, chosen so, where there are more), whatever bands they have. The metric `checked` holds
    `recall`, the share of the documents with a near-duplicate of which at least one was found, and `precision`, the
    share of the documents with a pair all of whose pairs reach the threshold, each with its 95 % interval (Wilson:
    documents count, not pairs, which hang together in clusters); `pair_recall`, the share of the pairs that were found;
    and of documents with more than 128 near-duplicates `large_groups` says the same, where not all pairs are proposed.

    Cost: one pass over the shingles of those compared, a look-up each.
    Source: own; Wilson 1927
    """

    name: ClassVar[str] = "minhash_check"
    role: ClassVar[str] = "dedup"
    null_says: ClassVar[bool] = True
    less_memory: ClassVar[str] = "leave it out: `check: false` on the deduplication, which needs it for nothing"

    pairs: str = port("ref", default="")
    parted: bool = False  # only documents of one `per_hash` are compared

    def needs(self) -> tuple[str, ...]:
        """doc_id, the number of distinct shingles and the group; shingles are read by position."""
        return ("doc_id", "num_shingles", *(("per_hash",) if self.parted else ()))

    def looks_up(self) -> tuple[str, ...]:
        """The shingle sets."""
        return ("shingles",)

    def outputs(self) -> Schema:
        """`near_documents` of documents in the sample."""
        return {"near_documents": pa.int32()}

    def validate(self) -> None:
        """Raise ConfigError for a threshold outside (0, 1]."""
        check_threshold(self.threshold)

    def memory_gb(self, rows: int, width: float = 0.0) -> float:
        """Ids and addresses of all rows; shingles are mapped."""
        return 0.35 + rows * 150 / 1e9

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """A recall that is clearly below what one would like, with its interval and what raises it."""
        told = metrics.get("checked", {}).get("recall")
        if not told or told["of"] < LEAST or told["high"] >= TOLD_BELOW:
            return ()
        between = f"{percent(told['low'])} to {percent(told['high'])}"
        what = f"about {percent(told['value'])} ({between}) of the documents with a near-duplicate have one found"
        return (f"{what}, by a sample of {told['of']:,}: more bands, or fewer rows per band, find more",)

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The column of all rows in doc_id order; the metrics are noted."""
        sets = np.flatnonzero(rows["num_shingles"].fill_null(0).to_numpy() > 0)
        if self.parted:
            sets = sets[rows["per_hash"].is_not_null().to_numpy()[sets]]
        by_lot = sets[np.argsort(rng.keys(rows["doc_id"].gather(sets), seed=0, salt=SALT), kind="stable")]
        sample, others = np.sort(by_lot[:SAMPLE]), np.sort(by_lot[:OTHERS])
        counted = self._counted(rows, sample, others, ctx)
        ctx.note("checked", {"documents": len(sample), "compared_with": len(others), **figures(counted)})
        near = np.full(rows.height, -1, dtype=np.int32)
        near[sample] = counted.near
        return pl.select(near_documents=pl.when(pl.Series(near) >= 0).then(pl.Series(near)))

    def _counted(self, rows: pl.DataFrame, sample: Ints, others: Ints, ctx: Context) -> Counted:
        from winnow.pipeline.dedup import minhash_check_kernels as kernels
        from winnow.pipeline.dedup.locate import locate

        held = locate(ctx.rows(), "shingles", rows["_part"].gather(others), rows["_row"].gather(others))
        address, size = np.zeros(rows.height, np.uint64), np.zeros(rows.height, np.int64)
        address[others], size[others] = held.address, held.size
        found_at, found = self._found(rows["doc_id"], sample, others, ctx)
        values, starts, owners = _postings(rows, sample, ctx)
        table = np.full(max(2, 1 << (4 * len(values)).bit_length()), -1, dtype=np.int64)
        kernels.fill_table(values, table)
        group = np.zeros(rows.height, dtype=np.int64)
        if self.parted:
            group = rows["per_hash"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        near, hits = kernels.near_ones(
            values, starts, owners, sample, table, found_at, found, others, address, size,
            np.ascontiguousarray(group), self.threshold,
        )  # fmt: skip
        return Counted(near=near, hits=hits, pairs=np.diff(found_at))

    def _found(self, ids: pl.Series, sample: Ints, others: Ints, ctx: Context) -> tuple[Ints, Ints]:
        """(where each one's begin, rows among `others` that it was paired with), of the documents of the sample."""
        edges = ctx.ref("pairs").frame("a", "b")
        number = pl.DataFrame({"id": ids.gather(sample), "who": np.arange(len(sample))})
        among = pl.DataFrame({"id": ids.gather(others), "row": others})
        both = [edges.select(one=first, two=second) for first, second in (("a", "b"), ("b", "a"))]
        met = pl.concat(both).join(number, left_on="one", right_on="id").join(among, left_on="two", right_on="id")
        met = met.select("who", "row").unique().sort("who", "row")
        starts = np.searchsorted(met["who"].to_numpy(), np.arange(len(sample) + 1))
        return starts.astype(np.int64), met["row"].cast(pl.Int64).to_numpy()


def _postings(rows: pl.DataFrame, sample: Ints, ctx: Context) -> tuple[npt.NDArray[np.uint32], Ints, Ints]:
    """(distinct shingles of the sample, ascending; where each one's owners begin; owners, as numbers in the sample)."""
    access, parts = ctx.rows(), rows["_part"].to_numpy()[sample]
    places = rows["_row"].to_numpy()[sample].astype(np.int64)
    pieces, who = [], []
    for part in distinct(parts):
        here = np.flatnonzero(parts == part)
        lists = access.column("shingles", int(part)).take(pa.array(places[here]))
        pieces.append(np.asarray(lists.flatten(), dtype=np.uint32))
        who.append(np.repeat(here, np.asarray(lists.value_lengths(), dtype=np.int64)))
    flat = np.concatenate(pieces) if pieces else np.zeros(0, np.uint32)
    owners = np.concatenate(who) if who else np.zeros(0, np.int64)
    order = np.argsort(flat, kind="stable")
    values, starts = np.unique(flat[order], return_index=True)
    return values, np.append(starts, len(flat)).astype(np.int64), owners[order].astype(np.int64)


def figures(of: Counted) -> dict[str, Any]:
    """Recall and precision of documents with their intervals, and the share of pairs that were found."""
    large = of.near > FULL_GROUP
    out = {
        "recall": _share(int(((of.near > 0) & (of.hits > 0)).sum()), int((of.near > 0).sum())),
        "precision": _share(int(((of.pairs > 0) & (of.hits == of.pairs)).sum()), int((of.pairs > 0).sum())),
        "pair_recall": _of(int(of.hits.sum()), int(of.near.sum())),
        "large_groups": _of(int(of.hits[large].sum()), int(of.near[large].sum())),
    }
    return {name: value for name, value in out.items() if value}


def _share(some: int, of: int) -> dict[str, Any]:
    if not of:
        return {}
    low, high = wilson(some, of)
    return {"value": some / of, "low": max(low, 0.0), "high": min(high, 1.0), "of": of}


def _of(some: int, of: int) -> dict[str, Any]:
    return {"value": some / of, "of": of} if of else {}
