"""The best rows within budgets, exactly, without ever listing the rows.

Rows are ranked by (key, doc_id), 192 bits, smallest first, and kept while their summed cost stays within
the budget. The first row that would overflow it, the cut, is found like a radix selection over all parts: a
round counts rows and cost per bin of the 64-bit word that is being refined, the bin where the budget ends becomes
the next round's range, and once few rows are left in it they are listed. Costs are integers and bins are counts,
so that parts may be cut, ordered and merged in any way.

A cut ends a *leg* of the walk down the ranking (`walk`): while more than a hundredth of the budget is left, the next
leg goes on behind it over the rows that are no larger than what is left, with a cut of its own. Rows larger than the
budget are in no leg. The result is that of walking row by row. With `overflow: stop` the first cut is the last.

A group (the value of a column) has cuts of its own. With `overflow: stop` it may have several: budgets in
ascending order cut it into tiers. All cuts are refined in the same rounds.

Cost: about 2^16 bins or 4096 rows per summary, at least 16 bins per cut; one state row per cut. One cut over
continuous keys takes 2 or 3 rounds, equal keys one more, and no input takes more than 13; groups take one more
to be counted, so do rows larger than a budget, and many cuts narrow more slowly. Another leg takes 0 to 3 rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from winnow.core.errors import DataError
from winnow.core.numerics import costs
from winnow.core.numerics.budget_legs import HIGH, LOW, TOP, behind, walked
from winnow.core.numerics.row_ranks import REASONS, WORDS, Bools, Ints, Ranks, Words, count_at_most, precedes
from winnow.core.numerics.walk import MOST_LEGS, is_full
from winnow.core.operators.budget import Budget

MOST_CUTS = 1 << 16
_BIN_BITS, _LEAST_BITS = 16, 4
LISTED_ROWS, _LISTED_EACH = 4096, 64
_EXCLUDED, _INFINITE = -1, -2  # ranges of rows that are counted apart; lower ones are their callers'
_MOST = costs.MOST  # a budget beyond any corpus; sums stay inside int64

STATE = pl.Schema(
    {
        "group": pl.String,
        "cut": pl.Int32,  # its number in the group: that of the leg that it ends, or of the tier
        "phase": pl.String,  # bins: count the range; rows: list it; done: rows before `low` are kept
        **dict.fromkeys([*LOW, *HIGH], pl.UInt64),  # the range that holds the cut, both ends included
        "all_kept": pl.Boolean,  # no row is cut off: the leg goes on to the end
        "limit": pl.Int64,  # the largest cost in the leg
        "budget": pl.Int64,
        "kept_rows": pl.Int64,  # up to the cut, in all legs
        "kept_cost": pl.Int64,
        "rows": pl.Int64,  # of the group
        "cost": pl.Int64,
        "largest": pl.Int64,
        "excluded": pl.Int64,
        "all_rows": pl.Int64,  # of all groups, excluded ones too
    }
)
_SUMMARY = pl.Schema(
    {"group": pl.String, "range": pl.Int64, "bin": pl.Int64, **dict.fromkeys(WORDS, pl.UInt64), "rows": pl.Int64,
     "cost": pl.Int64, "largest": pl.Int64, "low": pl.UInt64, "high": pl.UInt64}
)  # fmt: skip
_KEYS = ["group", "range", "bin", *WORDS]  # `bin` of a binned row, or the words of a listed one

Group = str | None
Ties = Literal["doc_id", "together"]
Overflow = Literal["pass", "stop"]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What the first round found: `groups` (group, rows, cost, largest, excluded), ascending, and `all_rows`.

    `groups` has the rows that can be ranked; `all_rows` counts every candidate; `reasons` why rows are excluded.
    """

    groups: pl.DataFrame
    all_rows: int
    reasons: Mapping[str, int]
    infinite: int

    def of(self, column: str) -> dict[Group, int]:
        """Group -> its `rows`, `cost`, `largest` cost or `excluded`."""
        return dict(self.groups.select("group", column).iter_rows())


Targets = Callable[[Totals], Mapping[Group, Sequence[int]]]  # group -> budgets, ascending


def summarise(rows: Ranks, state: pl.DataFrame | None) -> pl.DataFrame:
    """Counts per bin of the state's ranges, or the rows in them once they are few; sorted."""
    if state is None:
        return _first_summary(rows)
    ranges = _ranges(state)
    place, inside = _locate(rows, state, ranges)
    at, number = np.flatnonzero(inside), place[inside]
    low, high = _words(ranges, LOW), _words(ranges, HIGH)
    level = np.where(low != high, True, [[False], [False], [True]]).argmax(axis=0)
    shift = _shifts(low, high, level)
    listed = (ranges["phase"] == "rows").to_numpy()[number]
    words = rows.words[:, at]
    word = words[level[number], np.arange(len(at))]
    bins = ((word - low[level, np.arange(ranges.height)][number]) >> shift[number]).astype(np.int64)
    columns = {
        "group": np.full(len(at), None), "range": number, "bin": np.where(listed, 0, bins),
        **{name: np.where(listed, words[i], 0) for i, name in enumerate(WORDS)},
        "rows": np.ones(len(at), dtype=np.int64), "cost": rows.cost[at], "largest": rows.cost[at],
        "low": np.where(listed, 0, word), "high": np.where(listed, 0, word),
    }  # fmt: skip
    return _counted(pl.DataFrame(columns, schema=_SUMMARY), ["range", "bin", *(WORDS if listed.any() else ())])


def merge(summaries: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One summary of the same form; equal bytes for any order and grouping."""
    return _counted(pl.concat(summaries), _KEYS)


def totals(summary: pl.DataFrame) -> Totals:
    """The groups and what could not be ranked, from the first round's merged summary."""
    excluded = summary.filter(pl.col("range") == _EXCLUDED)
    ranked = summary.filter(pl.col("range") >= 0)
    gone = excluded.group_by("group").agg(pl.col("rows").sum().alias("excluded"))
    groups = ranked.group_by("group").agg(pl.col("rows", "cost").sum(), pl.col("largest").max())
    groups = groups.join(gone, on="group", how="full", coalesce=True, nulls_equal=True).fill_null(0).sort("group")
    if groups["group"].is_not_null().any():
        groups = groups.filter(pl.col("group").is_not_null())
    per_reason = dict(excluded.group_by("bin").agg(pl.col("rows").sum()).sort("bin").iter_rows())
    return Totals(
        groups=groups,
        all_rows=int(ranked["rows"].sum()) + int(excluded["rows"].sum()),
        reasons={REASONS[code]: count for code, count in per_reason.items()},
        infinite=int(summary.filter(pl.col("range") == _INFINITE)["rows"].sum()),
    )


def advance(
    summary: pl.DataFrame, state: pl.DataFrame | None, budget: Budget | Targets, *, ties: Ties = "doc_id",
    overflow: Overflow = "pass",
) -> tuple[pl.DataFrame, bool]:  # fmt: skip
    """(new state, done): the boundary bins as the next ranges, or the cuts.

    `budget` is one for all rows, or a function of the totals. `ties: together` wants no more than the cut's key
    (for ranks without doc_id). `overflow: stop` ends at the first row that does not fit; several budgets per group,
    and ties that stay together, need it.

    Raises: DataError where more rows than can be listed share one doc_id, or there are more than 65,536 cuts.
    """
    cuts = _start(totals(summary), budget, overflow) if state is None else state.to_dicts()
    summary = _numbered(summary, cuts) if state is None else summary
    numbers = _numbers(cuts, state)
    listed = max(LISTED_ROWS // max(len(numbers), 1), min(LISTED_ROWS, _LISTED_EACH))
    bins = {name: summary[name].to_numpy() for name in ("range", "rows", "cost", "low", "high", *WORDS)}
    after: list[dict[str, Any]] = []
    for i, cut in enumerate(cuts):
        unseen = state is None and overflow == "pass" and cut["largest"] > cut["limit"]  # larger rows are counted in
        waits = i not in numbers or unseen
        after += [cut] if waits else _refined(cut, _slice(bins, numbers[i]), listed, ties, overflow)
    return pl.DataFrame(after, schema=STATE), all(cut["phase"] == "done" for cut in after)


def tiers(rows: Ranks, state: pl.DataFrame, *, ties: Ties = "doc_id") -> Ints:
    """How many of its group's cuts a row has passed, i64[rows]: 0 fits the first budget; -1 for unranked rows."""
    names = _group_names(state)
    code = _codes(rows, names)
    cuts = state.filter(~pl.col("all_kept")).sort("group", "cut", nulls_last=False)
    bound_code = _code_of(cuts["group"], names)
    bounds = _words(cuts, LOW)
    if ties == "together":
        bounds[2] = 1  # just after the key: rows have ids of 0
    passed = count_at_most(code, rows.words, bound_code, bounds) - np.searchsorted(bound_code, code)
    return np.where(rows.ranked & (code >= 0), passed, -1)


def taken(rows: Ranks, state: pl.DataFrame) -> Bools:
    """Whether a row is in a leg and no larger than its limit, bool[rows]."""
    names = _group_names(state)
    limits: list[list[int]] = [[] for _ in range(len(names))]
    legs = state.sort("group", "cut", nulls_last=False)
    for code, limit, open_end, last in zip(
        _code_of(legs["group"], names), legs["limit"], legs["all_kept"],
        legs.select(last=pl.col("cut") == pl.col("cut").max().over("group"))["last"], strict=True,
    ):  # fmt: skip
        limits[code] += [limit, -1] if last and not open_end else [limit]  # behind the last cut nothing is taken
    first = np.cumsum([0, *map(len, limits)])[:-1]
    leg, code = tiers(rows, state), np.maximum(_codes(rows, names), 0)
    largest = np.array([limit for group in limits for limit in group], dtype=np.int64)[first[code] + np.maximum(leg, 0)]
    return np.asarray((leg >= 0) & (rows.cost <= largest))


def outcome(state: pl.DataFrame) -> pl.DataFrame:
    """One row per group, ascending, of a walk: that of its last leg, with `passed_on`: it goes on to the last row."""
    last = state.sort("group", "cut", nulls_last=False).group_by("group", maintain_order=True).last()
    return last.rename({"all_kept": "passed_on"})


def _first_summary(rows: Ranks) -> pl.DataFrame:
    """Bins of the whole range, or the count of each group; and the rows that are counted apart."""
    ranked = rows.ranked
    group = pl.Series("group", [None], dtype=pl.String).new_from_index(0, len(ranked))
    bins = (rows.words[0] >> np.uint64(64 - _BIN_BITS)).astype(np.int64)
    if rows.group is not None:
        group, bins = rows.group.cast(pl.String), np.zeros_like(bins)
    zero = np.zeros(len(ranked), dtype=np.uint64)
    word = np.where(ranked, rows.words[0], zero)
    columns = {
        "group": group, "range": np.where(ranked, 0, _EXCLUDED), "bin": np.where(ranked, bins, rows.reason),
        **dict.fromkeys(WORDS, zero), "rows": np.ones(len(ranked), dtype=np.int64),
        "cost": np.where(ranked, rows.cost, 0), "largest": np.where(ranked, rows.cost, 0), "low": word, "high": word,
    }  # fmt: skip
    apart = [
        {"group": None, "range": _INFINITE, "rows": rows.infinite}
        | dict.fromkeys(["bin", "cost", "largest", *WORDS, "low", "high"], 0)
    ]
    odd = pl.DataFrame(apart if rows.infinite else [], schema=_SUMMARY)
    counts = _counted(
        pl.DataFrame(columns, schema=_SUMMARY), ["range", "bin", *(() if rows.group is None else ["group"])]
    )
    return pl.concat([counts, odd]).sort(_KEYS)


def _counted(table: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Summed rows and cost per key, in order; `keys` are those of `_KEYS` that vary."""
    costs.total(table["cost"].to_numpy())
    sums = table.group_by(keys).agg(
        pl.col([name for name in _KEYS if name not in keys]).first(),
        pl.col("rows", "cost").sum(),
        pl.col("largest").max(),
        pl.col("low").min(),
        pl.col("high").max(),
    )
    return sums.match_to_schema(_SUMMARY).sort(_KEYS)


def _start(held: Totals, budget: Budget | Targets, overflow: Overflow) -> list[dict[str, Any]]:
    """A cut per group and budget over the whole range; one that is done where there is no group."""
    if isinstance(budget, Budget):
        only: Mapping[Group, Sequence[int]] = {None: [budget.of(held.all_rows)]}
        held = Totals(groups=held.groups if held.groups.height else _nobody(), all_rows=held.all_rows,
                       reasons=held.reasons, infinite=held.infinite)  # fmt: skip
    else:
        only = budget(held)
    cuts = []
    for row in held.groups.iter_rows(named=True):
        for number, amount in enumerate(only.get(row["group"], ())):
            most = min(amount, _MOST)
            begun = {"cut": number, "phase": "bins", "all_kept": False, "budget": most}
            begun["limit"] = most if overflow == "pass" else _MOST
            ends = dict.fromkeys([*LOW, "kept_rows", "kept_cost"], 0) | dict.fromkeys(HIGH, TOP)
            cuts.append({**row, **begun, **ends, "all_rows": held.all_rows})
    if len(cuts) > MOST_CUTS:
        raise DataError(f"{len(cuts):,} cuts of at most {MOST_CUTS:,}", hint="group by a column with fewer values")
    nothing = {"group": None, "cut": 0, "phase": "done", "all_kept": False}
    return cuts or [dict.fromkeys(STATE.names(), 0) | nothing]


def _nobody() -> pl.DataFrame:
    return pl.DataFrame({"group": [None], "rows": [0], "cost": [0], "largest": [0], "excluded": [0]},
                        schema_overrides={"group": pl.String})  # fmt: skip


def _numbered(summary: pl.DataFrame, cuts: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The first summary with the number of its group as the range."""
    names = _group_names(pl.DataFrame(cuts, schema=STATE))
    number = pl.Series(_code_of(summary["group"], names))
    ranges = pl.when(pl.col("range") < 0).then(pl.col("range")).otherwise(number)
    return summary.with_columns(range=ranges).sort("range", "bin", *WORDS)


def _numbers(cuts: Sequence[Mapping[str, Any]], state: pl.DataFrame | None) -> dict[int, int]:
    """Cut that is not done -> number of its range."""
    made = pl.DataFrame(cuts, schema=STATE)
    if state is None:
        numbers = _code_of(made["group"], _group_names(made))
        return {i: int(n) for i, n in enumerate(numbers) if cuts[i]["phase"] != "done"}
    keys = ["group", *LOW, *HIGH, "limit"]
    ranges = _ranges(state).select(keys).with_row_index("number")
    found = made.select(keys).join(ranges, on=keys, how="left", nulls_equal=True, maintain_order="left")["number"]
    return {i: int(n) for i, n in enumerate(found) if cuts[i]["phase"] != "done" and n is not None}


def _ranges(state: pl.DataFrame) -> pl.DataFrame:
    """The distinct ranges that are still being refined, ascending in (group, low)."""
    open_ones = state.filter(pl.col("phase") != "done").select("group", *LOW, *HIGH, "limit", "phase")
    return open_ones.unique(["group", *LOW, *HIGH, "limit"]).sort("group", *LOW, nulls_last=False)


def _locate(rows: Ranks, state: pl.DataFrame, ranges: pl.DataFrame) -> tuple[Ints, np.ndarray]:
    """(number of the range that may hold a row, whether it does)."""
    names = _group_names(state)
    code, of_range = _codes(rows, names), _code_of(ranges["group"], names)
    place = count_at_most(code, rows.words, of_range, _words(ranges, LOW)) - 1
    at = np.maximum(place, 0)
    beyond = precedes(list(_words(ranges, HIGH)[:, at]), list(rows.words))
    fits = rows.cost <= ranges["limit"].to_numpy()[at] if ranges.height else False
    return place, rows.ranked & (place >= 0) & (of_range[at] == code) & ~beyond & fits


def _words(table: pl.DataFrame, names: Sequence[str]) -> Words:
    """The columns as u64[3, rows]."""
    return np.stack([table[name].to_numpy() for name in names])


def _group_names(state: pl.DataFrame) -> pl.Series:
    return state["group"].unique().sort(nulls_last=False)


def _codes(rows: Ranks, names: pl.Series) -> Ints:
    """Number of a row's group among the names; -1 for a stranger."""
    if rows.group is None:
        return np.zeros(len(rows.ranked), dtype=np.int64)
    return _code_of(rows.group.cast(pl.String), names)


def _code_of(group: pl.Series, names: pl.Series) -> Ints:
    table = names.to_frame("group").with_row_index("code")
    coded = group.to_frame("group").join(table, on="group", how="left", nulls_equal=True, maintain_order="left")
    return coded["code"].cast(pl.Int64).fill_null(-1).to_numpy()


def _shifts(low: Words, high: Words, level: np.ndarray) -> Words:
    """Bits to drop per range so that a summary has about 2^16 bins in all, and a range 16 or more."""
    bits = max(_LEAST_BITS, _BIN_BITS - max(len(level) - 1, 0).bit_length())
    pairs = zip(low[level, np.arange(len(level))].tolist(), high[level, np.arange(len(level))].tolist(), strict=True)
    return np.array([max(0, (b - a).bit_length() - bits) for a, b in pairs], dtype=np.uint64)


def _slice(bins: Mapping[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """The bins or rows of one range; ranges ascend."""
    start, stop = np.searchsorted(bins["range"], [number, number + 1])
    return {name: values[start:stop] for name, values in bins.items()}


def _refined(
    cut: dict[str, Any], piece: Mapping[str, np.ndarray], listed: int, ties: Ties, overflow: Overflow
) -> list[dict[str, Any]]:
    """The cut's range narrowed to the first bin whose cost overflows what is left, or the legs among its rows."""
    if cut["phase"] == "rows":
        return walked(cut, piece, overflow)
    spent = piece["cost"].cumsum()
    over = int(np.searchsorted(spent, cut["budget"] - cut["kept_cost"], side="right"))
    before = {
        "kept_rows": cut["kept_rows"] + int(piece["rows"][:over].sum()),
        "kept_cost": cut["kept_cost"] + (int(spent[over - 1]) if over else 0),
    }
    if over == len(spent):
        return [cut | before | {"phase": "done", "all_kept": True}]
    edge = {name: int(values[over]) for name, values in piece.items()}
    narrow = _narrow(cut | before, edge, listed, ties)
    left = cut["budget"] - before["kept_cost"]
    ends = overflow == "stop" or is_full(left, cut["budget"]) or cut["cut"] + 1 >= MOST_LEGS
    if narrow["phase"] != "done" or ends:
        return [narrow]
    return [narrow, behind(narrow | {"cut": cut["cut"] + 1, "limit": left})]


def _narrow(cut: dict[str, Any], edge: Mapping[str, int], listed: int, ties: Ties) -> dict[str, Any]:
    """The cut for the rows of one bin; it lies among them."""
    level = next((i for i in range(3) if cut[LOW[i]] != cut[HIGH[i]]), 2)
    ends = {LOW[level]: edge["low"], HIGH[level]: edge["high"]}
    if edge["low"] != cut[LOW[level]]:  # else a leg that began inside a key still does
        ends |= dict.fromkeys(LOW[level + 1 :], 0)
    if edge["high"] != cut[HIGH[level]]:
        ends |= dict.fromkeys(HIGH[level + 1 :], TOP)
    one_key = edge["low"] == edge["high"]
    if edge["rows"] == 1 or (one_key and ties == "together"):
        return cut | ends | {"phase": "done"}
    if edge["rows"] <= listed:
        return cut | ends | {"phase": "rows"}
    if one_key and level == len(WORDS) - 1:
        raise DataError(f"{edge['rows']} rows share one doc_id", hint="ids must be unique: check the reader's `id:`")
    return cut | ends | {"phase": "bins"}
