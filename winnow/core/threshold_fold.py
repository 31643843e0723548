"""The best rows within a budget, exactly, without ever listing the rows.

Rows are ranked by (key, doc_id), 192 bits, smallest first, and kept while their summed cost stays within
the budget: the first row that would overflow ends the selection. That row, the cut, is found like a radix
selection over all parts: a round counts rows and cost per bin of the 64-bit word that is being refined, the
bin where the budget ends becomes the next round's range, and once few rows are left in it they are listed.
Costs are integers and bins are counts, so that parts may be cut, ordered and merged in any way.

Cost: at most 2^16 bins or 4096 rows per summary; one state row. Continuous keys take 2 or 3 rounds, equal
keys one more, and no input takes more than 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core import numeric, rng
from winnow.core.budget import Budget
from winnow.core.errors import ConfigError, DataError

Words = npt.NDArray[np.uint64]

SELECTION: dict[str, pa.DataType] = {"kept": pa.bool_(), "weight": pa.float64()}
_COST = {"tokens": "token_count", "bytes": "text_bytes"}
_SIGN = np.uint64(1 << 63)
_BIN_BITS = 16
_LISTED_ROWS = 4096
_TOP = 2**64 - 1
_EXCLUDED = -1  # the bin of rows that cannot be ranked
_MOST = 2**62  # a budget beyond any corpus; sums stay inside int64
_WORDS = ("key", "id_high", "id_low")

STATE = pl.Schema(
    {
        "phase": pl.String,  # bins: count the range; rows: list it; done: the cut is known
        "level": pl.Int64,  # the word that is being refined; the words before it are fixed to the cut's
        "low": pl.UInt64,  # range of that word, both ends included
        "high": pl.UInt64,
        "cut_key": pl.UInt64,  # rows that rank strictly before the cut are kept
        "cut_id_high": pl.UInt64,
        "cut_id_low": pl.UInt64,
        "all_kept": pl.Boolean,
        "budget": pl.Int64,
        "kept_rows": pl.Int64,
        "kept_cost": pl.Int64,
        "rows": pl.Int64,
        "excluded": pl.Int64,
    }
)
_BINS = pl.Schema({"bin": pl.Int64, "rows": pl.Int64, "cost": pl.Int64, "low": pl.UInt64, "high": pl.UInt64})
_ROWS = pl.Schema({"key": pl.UInt64, "id_high": pl.UInt64, "id_low": pl.UInt64, "cost": pl.Int64})


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Rows as the cut sees them: `words` u64[3, rows] smallest first, `cost` i64, `ranked` bool[rows]."""

    words: Words
    cost: npt.NDArray[np.int64]
    ranked: npt.NDArray[np.bool_]


def ranks(key: Words, doc_id: pl.Series, cost: pl.Series | None, ranked: npt.NDArray[np.bool_]) -> Ranks:
    """Ranks of rows with `key` u64[rows]; `cost` None counts every row as 1; a null cost excludes the row.

    Raises: DataError where a cost is negative or not an integer.
    """
    id_words = rng.lanes(doc_id).byteswap()  # as numbers these sort like the bytes
    units = np.ones(len(key), dtype=np.int64)
    if cost is not None:
        if not cost.dtype.is_integer():
            raise DataError(f"{cost.name!r} is {cost.dtype}, expected whole numbers")
        ranked = ranked & cost.is_not_null().to_numpy()
        units = cost.fill_null(0).cast(pl.Int64).to_numpy()
        if (units < 0).any():
            raise DataError(f"{cost.name!r} is {int(units.min())} somewhere", hint="costs are 0 or more")
    return Ranks(words=np.stack([key, id_words[:, 0], id_words[:, 1]]), cost=units, ranked=ranked)


def summarise(rows: Ranks, state: pl.DataFrame | None) -> pl.DataFrame:
    """Counts per bin of the state's range, or the rows in it once it is small; sorted."""
    now = _start() if state is None else state.row(0, named=True)
    inside = _in_range(rows, now)
    if now["phase"] == "rows":
        columns = {name: rows.words[i][inside] for i, name in enumerate(_WORDS)}
        return pl.DataFrame({**columns, "cost": rows.cost[inside]}, schema=_ROWS).sort(_ROWS.names())
    word = rows.words[now["level"]][inside]
    bins = ((word - np.uint64(now["low"])) >> np.uint64(_shift(now["low"], now["high"]))).astype(np.int64)
    table = pl.DataFrame({"bin": bins, "cost": rows.cost[inside], "word": word})
    counts = table.group_by("bin").agg(
        pl.len().cast(pl.Int64).alias("rows"),
        pl.col("cost").sum(),
        pl.col("word").min().alias("low"),
        pl.col("word").max().alias("high"),
    )
    return merge([counts.match_to_schema(_BINS), _excluded(rows) if state is None else _BINS.to_frame()])


def merge(summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One summary of the same form; equal bytes for any order and grouping."""
    table = pl.concat(summaries)
    if table.schema == _ROWS:
        return table.sort(_ROWS.names())
    sums = table.group_by("bin").agg(pl.col("rows", "cost").sum(), pl.col("low").min(), pl.col("high").max())
    return sums.match_to_schema(_BINS).sort("bin")


def advance(summary: pl.DataFrame, state: pl.DataFrame | None, budget: Budget) -> tuple[pl.DataFrame, bool]:
    """(new state, done): the boundary bin as the next range, or the cut."""
    now = _start() if state is None else state.row(0, named=True)
    if state is None:
        now |= _totals(summary, budget)
        summary = summary.filter(pl.col("bin") != _EXCLUDED)
    now = _cut_in_rows(summary, now) if now["phase"] == "rows" else _cut_in_bins(summary, now)
    return pl.DataFrame([now], schema=STATE), now["phase"] == "done"


def decide(rows: Ranks, state: pl.DataFrame) -> pl.DataFrame:
    """`kept` (Boolean) and `weight` (Float64: 1 for kept rows, else 0)."""
    now = state.row(0, named=True)
    kept = rows.ranked.copy()
    if not now["all_kept"]:
        kept &= _before(rows.words, tuple(now[f"cut_{name}"] for name in _WORDS))
    return pl.DataFrame({"kept": kept, "weight": kept.astype(np.float64)})


def check_budget(budget: Budget) -> None:
    """Raise ConfigError where a selection cannot count the budget's unit."""
    if budget.unit == "epochs":
        raise ConfigError(
            f"a selection cannot take {budget}", where="budget", hint="give tokens, bytes, docs or a share"
        )


def cost_columns(budget: Budget) -> tuple[str, ...]:
    """The column that holds a document's cost; none where every document costs 1."""
    return (_COST[budget.unit],) if budget.unit in _COST else ()


def cost_of(rows: pl.DataFrame, budget: Budget) -> pl.Series | None:
    """The cost column; None where every document costs 1."""
    return rows[_COST[budget.unit]] if budget.unit in _COST else None


def ascending_key(values: pl.Series) -> tuple[Words, npt.NDArray[np.bool_]]:
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


def _start() -> dict[str, Any]:
    """The state before round 0: the whole range of the key."""
    zeros = dict.fromkeys(STATE.names(), 0)
    return zeros | {"phase": "bins", "high": _TOP, "all_kept": False}


def _totals(summary: pl.DataFrame, budget: Budget) -> dict[str, int]:
    """Rows that can be ranked, rows that cannot, and the budget in units (a share counts both kinds)."""
    excluded = int(summary.filter(pl.col("bin") == _EXCLUDED)["rows"].sum())
    total = int(summary["rows"].sum())
    return {"rows": total - excluded, "excluded": excluded, "budget": min(budget.of(total), _MOST)}


def _excluded(rows: Ranks) -> pl.DataFrame:
    count = int((~rows.ranked).sum())
    row = {"bin": _EXCLUDED, "rows": count, "cost": 0, "low": 0, "high": 0}
    return pl.DataFrame([row] if count else [], schema=_BINS)


def _in_range(rows: Ranks, now: dict[str, Any]) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = rows.ranked.copy()
    for word, name in zip(rows.words[: now["level"]], _WORDS, strict=False):
        inside &= word == np.uint64(now[f"cut_{name}"])
    word = rows.words[now["level"]]
    inside &= (word >= np.uint64(now["low"])) & (word <= np.uint64(now["high"]))
    return inside


def _shift(low: int, high: int) -> int:
    """Bits to drop so that at most 2^16 bins cover low..high."""
    return max(0, (high - low).bit_length() - _BIN_BITS)


def _cut_in_bins(summary: pl.DataFrame, now: dict[str, Any]) -> dict[str, Any]:
    """Narrow the range to the first bin whose cost overflows the budget, if there is one."""
    spent = now["kept_cost"] + summary["cost"].cum_sum()
    over = _first_over(spent, now["budget"])
    end = summary.height if over is None else over
    now = now | {
        "kept_rows": now["kept_rows"] + int(summary["rows"][:end].sum()),
        "kept_cost": now["kept_cost"] + int(summary["cost"][:end].sum()),
    }
    if over is None:
        return now | {"phase": "done", "all_kept": True}
    edge = summary.row(over, named=True)
    return _narrow(now, rows=edge["rows"], low=edge["low"], high=edge["high"])


def _narrow(now: dict[str, Any], *, rows: int, low: int, high: int) -> dict[str, Any]:
    """The state for `rows` rows with the current word in low..high; the cut lies among them."""
    level = now["level"]
    now = now | {"low": low, "high": high, f"cut_{_WORDS[level]}": low}
    if rows == 1:
        return now | {"phase": "done"}
    if rows <= _LISTED_ROWS:
        return now | {"phase": "rows"}
    if low < high:
        return now
    if level == len(_WORDS) - 1:
        raise DataError(f"{rows} rows share one doc_id", hint="ids must be unique: check the reader's `id:`")
    return now | {"level": level + 1, "low": 0, "high": _TOP}


def _cut_in_rows(listed: pl.DataFrame, now: dict[str, Any]) -> dict[str, Any]:
    """The cut is the first listed row that overflows the budget."""
    spent = now["kept_cost"] + listed["cost"].cum_sum()
    over = _first_over(spent, now["budget"])
    assert over is not None  # the range was chosen because the budget ends in it
    cut = {f"cut_{name}": listed[name][over] for name in _WORDS}
    kept = listed.filter(pl.Series(_before(listed.select(_WORDS).to_numpy().T, tuple(cut.values()))))
    return (
        now
        | cut
        | {
            "phase": "done",
            "kept_rows": now["kept_rows"] + kept.height,
            "kept_cost": now["kept_cost"] + int(kept["cost"].sum()),
        }
    )


def _first_over(spent: pl.Series, budget: int) -> int | None:
    over = spent.to_numpy() > budget
    return int(over.argmax()) if over.any() else None


def _before(words: Words, cut: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """True where (key, id_high, id_low) < cut, bool[rows]."""
    before: npt.NDArray[np.bool_] = words[2] < np.uint64(cut[2])
    for level in (1, 0):
        limit = np.uint64(cut[level])
        before = (words[level] < limit) | ((words[level] == limit) & before)
    return before
