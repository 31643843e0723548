"""Rows as an order sees them: 192 bits each, a cost, a group, and why a row has no place.

The first word sorts like the score, the other two are the doc_id, so that no two rows are equal. Groups (the
values of a column) have orders of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError
from winnow.core.numerics import costs, numeric, rng

Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

WORDS = ("key", "id_high", "id_low")
REASONS = ("not eligible", "no score", "no cost", "no group")  # why a row has no place
UNRANKED, NO_SCORE, NO_COST, NO_GROUP = range(len(REASONS))
_SIGN = np.uint64(1 << 63)
_FEW = 4  # bounds that are searched one by one


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """`words` u64[3, rows] smallest first, `cost` i64, `ranked` bool; `reason` u8 where not ranked.

    `group` names the order that a row belongs to (None: there is one). `infinite` counts rows whose score is
    infinite: they have a place, and are worth a look.
    """

    words: Words
    cost: Ints
    ranked: Bools
    reason: npt.NDArray[np.uint8]
    group: pl.Series | None = None
    infinite: int = 0


def ranks(
    key: Words, doc_id: pl.Series | None, cost: pl.Series | None, ranked: Bools, *,
    group: pl.Series | None = None, reason: npt.NDArray[np.uint8] | None = None, infinite: int = 0,
) -> Ranks:  # fmt: skip
    """Ranks of rows with `key` u64[rows]; a null cost or group excludes the row.

    `cost` None counts every row as 1; `doc_id` None makes rows of one key equal.

    Raises: DataError where a cost is negative, not an integer, or more than any document has.
    """
    words = np.zeros((3, len(key)), dtype=np.uint64)
    words[0] = key
    if doc_id is not None:
        words[1:] = rng.lanes(doc_id).byteswap().T  # as numbers these sort like the bytes
    reason = np.full(len(key), UNRANKED, dtype=np.uint8) if reason is None else reason
    units = np.ones(len(key), dtype=np.int64)
    if cost is not None:
        ranked, reason = _without(cost.is_null(), NO_COST, ranked, reason)
        units = _whole(costs.checked(cost, doc_id))
    if group is not None:
        ranked, reason = _without(group.is_null(), NO_GROUP, ranked, reason)
    return Ranks(words=words, cost=units, ranked=ranked, reason=reason, group=group, infinite=infinite)


def by_score(
    values: pl.Series, doc_id: pl.Series | None, cost: pl.Series | None, *, descending: bool,
    group: pl.Series | None = None,
) -> Ranks:  # fmt: skip
    """Ranks by a score; null and NaN are none; equal scores go by ascending doc_id in either direction."""
    key, ranked = ascending_key(values)
    reason = np.full(len(key), NO_SCORE, dtype=np.uint8)
    infinite = int(values.is_infinite().sum()) if values.dtype.is_float() else 0
    key = ~key if descending else key
    return ranks(key, doc_id, cost, ranked, group=group, reason=reason, infinite=infinite)


def ascending_key(values: pl.Series) -> tuple[Words, Bools]:
    """(u64[rows] that sorts like the values, bool[rows] where there is one); integers keep all bits.

    Raises: DataError where the column is not a number.
    """
    if values.dtype == pl.Boolean or values.dtype.is_signed_integer():
        whole = values.cast(pl.Int64).fill_null(0).to_numpy()
        return whole.astype(np.uint64) ^ _SIGN, values.is_not_null().to_numpy()
    if values.dtype.is_unsigned_integer():
        return values.cast(pl.UInt64).fill_null(0).to_numpy().astype(np.uint64), values.is_not_null().to_numpy()
    if not values.dtype.is_float():
        raise DataError(f"cannot rank by {values.name!r}: it is {values.dtype}", hint="rank by a number")
    real = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    ranked = ~np.isnan(real)
    return numeric.sortable(np.where(ranked, real, 0.0)), ranked


def labels(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series | None:
    """The group of every row as text, null where one of the columns is; None without columns.

    Several columns are joined by " | ".
    """
    if not columns:
        return None
    texts = [pl.col(name).cast(pl.String) for name in columns]
    return rows.select(pl.concat_str(texts, separator=" | ").alias("group"))["group"]


def stack(pieces: Sequence[Ranks]) -> Ranks:
    """Several rankings of the same rows as one, piece after piece: for groups that overlap."""
    groups = [piece.group for piece in pieces if piece.group is not None]
    assert len(groups) == len(pieces)
    return Ranks(
        words=np.concatenate([p.words for p in pieces], axis=1),
        cost=np.concatenate([p.cost for p in pieces]),
        ranked=np.concatenate([p.ranked for p in pieces]),
        reason=np.concatenate([p.reason for p in pieces]),
        group=pl.concat(groups),
        infinite=sum(p.infinite for p in pieces),
    )


def count_at_most(code: Ints, words: Words, bound_code: Ints, bounds: Words) -> Ints:
    """How many bounds are not above each row, i64[rows]; both compare by (code, words), bounds are ascending.

    Cost: about 10 ns per row and doubling of the bounds; more than a few load numba.
    """
    if len(bound_code) > _FEW:
        from winnow.core.numerics.row_ranks_kernels import count_into

        out = np.empty(len(code), dtype=np.int64)
        count_into(code, np.ascontiguousarray(words), bound_code, np.ascontiguousarray(bounds), out)
        return out
    counts = np.zeros(len(code), dtype=np.int64)
    for number in range(len(bound_code)):
        counts += ~precedes([code, *words], [bound_code[number], *bounds[:, number]])
    return counts


def precedes(rows: Sequence[Any], bounds: Sequence[Any]) -> Bools:
    """True where a row is below its bound (or the one bound), compared word by word, bool[rows]."""
    before: Bools = rows[-1] < bounds[-1]
    for word, bound in zip(rows[-2::-1], bounds[-2::-1], strict=True):
        before = (word < bound) | ((word == bound) & before)
    return before


def _without(
    missing: pl.Series, why: int, ranked: Bools, reason: npt.NDArray[np.uint8]
) -> tuple[Bools, npt.NDArray[np.uint8]]:
    """(ranked, reason) less the rows that are missing something; an earlier reason stays."""
    gone = missing.to_numpy()
    return ranked & ~gone, np.where(ranked & gone, why, reason).astype(np.uint8)


def _whole(cost: pl.Series) -> Ints:
    """The costs, i64; 0 for null."""
    if not cost.dtype.is_integer():
        raise DataError(f"{cost.name!r} is {cost.dtype}, expected whole numbers")
    units = cost.fill_null(0).cast(pl.Int64).to_numpy()
    if (units < 0).any():
        raise DataError(f"{cost.name!r} is {int(units.min())} somewhere", hint="costs are 0 or more")
    return units
