"""Columns that a reader declares: null where a record lacks them, and counted; an error where every record does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from winnow.core.errors import DataError
from winnow.core.operators import Choice, Lacks
from winnow.core.operators.occurring import nearest
from winnow.core.operators.reading import ABSENT, LEFT_OUT, TAKEN
from winnow.core.store.manifest import Receipt

MOST_NAMES = 50


def absences(lacks: Iterable[Lacks]) -> dict[str, int]:
    """Counters of one unit."""
    total: Counter[str] = Counter()
    for one in lacks:
        total[f"{ABSENT}{one.column}"] += one.records
    return dict(sorted(total.items()))


def choices(told: Iterable[Choice]) -> dict[str, int]:
    """Counters of one unit: what its reader left out by which reason, and what it took by which choice."""
    total: Counter[str] = Counter()
    for one in told:
        total.update({f"{LEFT_OUT}{reason}": count for reason, count in one.left_out.items()})
        total.update({f"{TAKEN}{choice}": count for choice, count in one.taken.items()})
    return dict(sorted(total.items()))


def left_out(counts: Mapping[str, int]) -> dict[str, int]:
    """Reason -> records that a reader left out because its fields say so, the most first."""
    found = {name.removeprefix(LEFT_OUT): count for name, count in counts.items() if name.startswith(LEFT_OUT)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def names_there(lacks: Iterable[Lacks]) -> list[str]:
    """Names that records do have where a declared one is missing, for the message."""
    return list(dict.fromkeys(name for one in lacks for name in one.names))[:MOST_NAMES]


def absent_columns(counts: Mapping[str, int]) -> dict[str, int]:
    """Declared column -> documents whose record lacks it."""
    return {name.removeprefix(ABSENT): count for name, count in counts.items() if name.startswith(ABSENT)}


def refuse_absent_columns(stage: str, counts: Mapping[str, int], receipts: Sequence[Receipt]) -> None:
    """Raise DataError where no record of any file has a declared column."""
    rows = counts.get("rows", 0)
    nowhere = [column for column, count in absent_columns(counts).items() if count >= rows]
    if not nowhere:
        return
    names = list(dict.fromkeys(name for r in receipts for name in r.extra.get("names", ())))[:MOST_NAMES]
    near, have = nearest(nowhere[0], names), ", ".join(names)
    raise DataError(
        f"none of {rows:,} records has {nowhere[0]!r}, which stage {stage!r} declares",
        where=f"stages.{stage}.columns.{nowhere[0]}",
        hint="; ".join(filter(None, [near, f"there are: {have}", "leave the column out if it is not needed"])),
    )
