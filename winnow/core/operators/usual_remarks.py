"""What is remarked of any stage, from what its receipts count: nobody asked, nothing kept, no answers, one clause.

An operator says more with `Operator.remarks` and `Context.remark`; these need nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from winnow.core.operators.contract import Kind, Operator
from winnow.core.terminal import percent

MOST_SILENT = 0.5  # share of rows without an answer from which that is remarked
ONE_CLAUSE = 0.95  # share that one clause alone may refuse
MOST_REMOVED, MANY = 0.9, 100  # share of a source of so many documents that a deduplication may remove
FEWEST = 20  # rows below which a share says little


def usual_remarks(operator: Operator, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> Iterator[str]:
    """The remarks of a stage's counts (rows by state, `kept`, clauses) and metrics (`summary`: why)."""
    if operator.kind is Kind.ROWS and operator.shape_name == "Rewrite" and not counts.get("rows"):
        yield "writes no document: nothing of its population is kept; the shares kept above say where they went"
    if operator.kind is not Kind.COLUMNS:
        return
    rows, asked = counts.get("rows", 0), counts.get("rows", 0) - counts.get("masked", 0)
    if not asked:
        nobody = f"none of {rows:,} rows is asked about: no row passes its `where` and the decisions before it"
        yield f"{nobody}; `winnow plan` shows its population" if rows else "there are no rows to ask about"
    elif "kept" in counts:
        yield from _of_clauses(counts, asked)
        yield from _no_candidates(asked, metrics)
        yield from _of_sources(metrics)
        if not counts["kept"]:
            yield _nothing_kept(counts, asked, metrics)
    elif not operator.null_says and _share(counts.get("null", 0), asked) >= MOST_SILENT:
        silent = counts["null"]
        most = f"all {asked:,} rows" if silent == asked else f"{silent:,} of {asked:,} rows ({percent(silent / asked)})"
        yield f"no answer for {most}: what it reads is null, empty or unusable there; `winnow sample` shows such rows"


def _of_clauses(counts: Mapping[str, int], asked: int) -> Iterator[str]:
    """Clauses that refuse everything, or nearly everything all by themselves."""
    found = _clauses(counts)
    for name, (refuses, alone, null) in found.items():
        look = f"look at its values with `winnow sample --dropped --by {name}`, and at its unit and direction"
        if null == asked:
            yield f"clause {name!r} refuses all: it has a value in none of {asked:,} rows; is its column the one meant?"
        elif refuses == asked:
            yield f"clause {name!r} refuses all {asked:,} rows; {look}"
        elif len(found) > 1 and asked >= FEWEST and alone > ONE_CLAUSE * asked:  # of one clause the share kept says it
            yield f"clause {name!r} alone refuses {alone:,} of {asked:,} rows ({percent(alone / asked)}); {look}"


def _of_sources(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Sources of which a deduplication leaves nearly nothing."""
    for name, told in (metrics.get("removed") or {}).items():
        asked, removed = told["asked"], told["removed"]
        if asked >= MANY and removed > MOST_REMOVED * asked:
            share = f"{removed:,} of {asked:,} documents ({percent(removed / asked)}) of {name!r}"
            look = "`winnow sample RUN --cluster --largest` shows what is alike"
            yield f"removes {share}: {look}; `expect: {{max_removal: {MOST_REMOVED}}}` stops a run there"


def _no_candidates(asked: int, metrics: Mapping[str, Any]) -> Iterator[str]:
    """Rows that a selection could not consider, by its own `excluded`: a number, or reason -> number."""
    found = metrics.get("excluded")
    reasons = {k: v for k, v in found.items() if isinstance(v, int) and v} if isinstance(found, Mapping) else {}
    out = sum(reasons.values()) if reasons else found if isinstance(found, int) else 0
    if out and _share(out, asked) >= MOST_SILENT:
        why = f" ({', '.join(f'{name} {number:,}' for name, number in reasons.items())})" if reasons else ""
        told = f"{out:,} of {asked:,} rows ({percent(out / asked)}) are no candidates{why}"
        yield f"{told}: what it selects by is missing there"


def _nothing_kept(counts: Mapping[str, int], asked: int, metrics: Mapping[str, Any]) -> str:
    """That nothing is kept, and why as far as it is known."""
    worst = sorted(((refuses, name) for name, (refuses, _, _) in _clauses(counts).items()), reverse=True)[:3]
    refusing = ", ".join(f"{name} {percent(refuses / asked)}" for refuses, name in worst if refuses)
    silent = counts.get("null", 0) + counts.get("failed", 0)
    reasons = [
        f"refused by {refusing}" if refusing else "",
        f"{silent:,} of them have no verdict" if silent else "",
        str(metrics.get("summary") or "") if not refusing else "",
    ]
    why = "; ".join(filter(None, reasons)) or "`winnow why` shows what decides for a row"
    return f"keeps none of {asked:,} rows: {why}"


def _clauses(counts: Mapping[str, int]) -> dict[str, tuple[int, int, int]]:
    """Clause -> rows it refuses, rows that it alone refuses, rows where it has no value."""
    labels = [key.removesuffix(":fail") for key in counts if key.startswith("clause:") and key.endswith(":fail")]
    return {label.removeprefix("clause:"): (counts[f"{label}:fail"], counts.get(f"{label}:only", 0),
                                            counts.get(f"{label}:null", 0)) for label in labels}  # fmt: skip


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
