"""What a Bloom filter of n-grams has seen before: documents or pieces of them, met in order by one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Schema, Scope, Sub, Whole
from winnow.core.terminal import percent
from winnow.core.words.hashing import as_lanes
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.bloom import Filtering, filter_remarks, note_filter, size_for
from winnow.pipeline.dedup.minhash_order import Order, order_stages
from winnow.pipeline.dedup.ngram_keys import KEYS, SIZES, STOPS
from winnow.pipeline.dedup.repeated_cut import SPANS
from winnow.pipeline.dedup.repeated_spans import listed

if TYPE_CHECKING:
    from winnow.pipeline.dedup.locate import Located

Ints = npt.NDArray[np.int64]
SHORT = "too_short"  # metric: documents, or pieces, of too few words to be compared


class Pieces(NamedTuple):
    """Pieces of documents: those of row r are rows[r] .. rows[r + 1], with so many keys each."""

    rows: Ints
    sizes: Ints


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """In which order documents are met, and within which groups."""

    keeper: str = keepers.SMALLEST_ID  # ORDER BY: what comes first stays
    per: tuple[str, ...] = ()  # only documents with equal values of these columns are compared

    def check_order(self) -> None:
        """Raise ConfigError for an order that is none."""
        if self.keeper == keepers.LONGEST:
            raise ConfigError("`longest` is a keeper of `minhash`", where="keeper", hint="write `text_bytes desc`")
        keepers.check_keeper(self.keeper)

    def reads_order(self) -> tuple[str, ...]:
        """Columns of the order and of the groups."""
        return tuple(dict.fromkeys((*self.per, *keepers.columns_of(self.keeper))))

    def order_stages(self, scope: Scope) -> list[Sub]:
        """The sub-stage that makes columns of both, where there is one."""
        return order_stages(Order(keeper=self.keeper, per=self.per), scope)


@dataclass(frozen=True, kw_only=True)
class Judging:
    """From when on something is a repetition."""

    share: float = 0.8  # of its n-grams: with more of them seen before, it goes

    def check_share(self) -> None:
        """Raise ConfigError for a share outside [0, 1)."""
        if not 0 <= self.share < 1:
            hint = "what goes has more than this share, in [0, 1)"
            raise ConfigError(f"share is {self.share}", where="share", hint=hint)


@dataclass(frozen=True, kw_only=True)
class Seen(Filtering, Ordered, Whole):
    """The pass over the keys of all documents, in order, through one filter.

    `keeper_order` and `per_hash` are columns of `minhash_order`, where there is an order or a group.
    """

    role: ClassVar[str] = "dedup"
    less_memory: ClassVar[str] = "a higher `false_positive_rate`, or a smaller `capacity`"

    def needs(self) -> tuple[str, ...]:
        """doc_id, the order and the groups."""
        order = ("keeper_order",) if keepers.is_order(self.keeper) else ()
        return ("doc_id", *order, *(("per_hash",) if self.per else ()))

    def validate(self) -> None:
        """Raise ConfigError for a filter that cannot be, or an order that is none."""
        self.check_filter()
        self.check_order()

    def memory_gb(self, rows: int, width: float = 0.0) -> float:
        """The filter, and what is known of every row."""
        return 0.5 + (rows * 250 + size_for(*self.made_for(int(rows * width / 8))).bytes) / 1e9

    def made_for(self, keys: int) -> tuple[int, float]:
        """(keys that the filter is made for, the rate of a look-up); there are `keys` in all."""
        return self.capacity or max(keys, 1), self.false_positive_rate

    @property
    def unit(self) -> str:
        """What goes or stays."""
        return "documents"

    def order_of(self, rows: pl.DataFrame) -> tuple[Ints, npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
        """(rows in the order in which they are met, salt of every row's group, whether it is compared)."""
        order, salt = np.arange(rows.height), np.zeros(rows.height, dtype=np.uint64)
        compared = np.ones(rows.height, dtype=np.bool_)
        if keepers.is_order(self.keeper):
            order = np.argsort(keepers.order_ranks(rows["keeper_order"]), kind="stable")
        if self.per:
            compared = rows["per_hash"].is_not_null().to_numpy()
            salt = as_lanes(rows["per_hash"].fill_null(bytes(16)).to_arrow())[:, 0] | np.uint64(1)
        return order[compared[order]].astype(np.int64), np.ascontiguousarray(salt), compared

    def passed(
        self, rows: pl.DataFrame, keys: Located, pieces: Pieces, most: float, ctx: Context
    ) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """(keys seen before, whether they are more than the share `most`) of every piece; the filter is noted."""
        from winnow.pipeline.dedup import bloom_kernels as kernels

        order, salt, _ = self.order_of(rows)
        capacity, rate = self.made_for(int(pieces.sizes.sum()))
        size = size_for(capacity, rate)
        words = size.words()
        seen, gone = np.zeros(len(pieces.sizes), dtype=np.int64), np.zeros(len(pieces.sizes), dtype=np.bool_)
        put = kernels.pass_over(
            order, keys.address, salt, pieces.rows, pieces.sizes, most, words, size.probes, seen, gone
        )
        met = {"capacity": capacity, "keys": int(put), "met": int(pieces.sizes.sum())}
        note_filter(ctx, words, size, met, f"{int(gone.sum()):,} of {len(gone):,} {self.unit} go")
        return seen, gone


@dataclass(frozen=True, kw_only=True)
class NgramSeen(Judging, Seen):
    """Documents, or spans of them, of which more than `share` of the n-grams occurred before.

    Source: own
    """

    name: ClassVar[str] = "ngram_seen"
    null_says: ClassVar[bool] = True

    pieces: bool = False  # spans are answered, else documents

    def needs(self) -> tuple[str, ...]:
        """doc_id, the order and the groups, and the pieces."""
        return (*super().needs(), *((SIZES, STOPS) if self.pieces else ()))

    def looks_up(self) -> tuple[str, ...]:
        """The n-grams."""
        return (KEYS,)

    def outputs(self) -> Schema:
        """`kept` and `seen_share` in [0, 1] (null where nothing is compared); of pieces their spans."""
        return SPANS if self.pieces else {"kept": pa.bool_(), "seen_share": pa.float64()}

    @property
    def unit(self) -> str:
        """What goes or stays."""
        return "pieces" if self.pieces else "documents"

    def validate(self) -> None:
        """Raise ConfigError for a share outside [0, 1)."""
        self.check_share()
        super().validate()

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """A filter that is too small, and how many have too few words."""
        return (*filter_remarks(metrics, self.false_positive_rate, "n-grams"), *self._too_short(metrics))

    def _too_short(self, metrics: Mapping[str, Any]) -> tuple[str, ...]:
        told = metrics.get(SHORT, {})
        short, of = told.get(self.unit, 0), told.get("of", 0)
        if 2 * short <= of:
            return ()
        lacks = f"{short:,} of {of:,} {self.unit} ({percent(short / of)}) have too few words for an n-gram"
        return (f"{lacks}, are compared with none and stay: a smaller `ngram` or `min_words` compares them",)

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """The outputs of all rows in doc_id order."""
        from winnow.pipeline.dedup.locate import locate

        keys = locate(ctx.rows(), KEYS, rows["_part"], rows["_row"])
        pieces = self._pieces(rows, keys)
        seen, gone = self.passed(rows, keys, pieces, self.share, ctx)
        ctx.note(SHORT, {"of": len(pieces.sizes), self.unit: int((pieces.sizes == 0).sum())})
        if self.pieces:
            return _spans(rows, pieces, gone)
        share = np.where(pieces.sizes > 0, seen / np.maximum(pieces.sizes, 1), np.nan)
        share[~self.order_of(rows)[2]] = np.nan
        return pl.DataFrame({"kept": ~gone, "seen_share": pl.Series(share, nan_to_null=True, dtype=pl.Float64)})

    def _pieces(self, rows: pl.DataFrame, keys: Located) -> Pieces:
        if not self.pieces:
            return Pieces(np.arange(rows.height + 1, dtype=np.int64), keys.size // 2)
        ends = np.zeros(rows.height + 1, dtype=np.int64)
        np.cumsum(rows[SIZES].list.len().to_numpy(), out=ends[1:])
        return Pieces(ends, _flat(rows[SIZES]))


def _flat(lists: pl.Series) -> Ints:
    """The values of all lists behind each other; an empty list has none."""
    return lists.filter(lists.list.len() > 0).explode().cast(pl.Int64).to_numpy()


def _spans(rows: pl.DataFrame, pieces: Pieces, gone: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """The spans of the pieces that go, as lists of every row."""
    stops = _flat(rows[STOPS])
    starts = np.zeros(len(stops), dtype=np.int64)
    starts[1:] = stops[:-1]
    starts[pieces.rows[:-1][np.diff(pieces.rows) > 0]] = 0
    row = np.repeat(np.arange(rows.height), np.diff(pieces.rows))
    found = pl.DataFrame({"doc_id": rows["doc_id"].gather(row[gone]), "start": starts[gone], "stop": stops[gone]})
    return listed(rows, found)
