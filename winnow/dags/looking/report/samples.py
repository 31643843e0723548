"""Documents to look at, by the reason for which they were dropped, and those that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from winnow.core.operators import sql
from winnow.dags.looking.finished import Life, StageView
from winnow.dags.looking.report.rows_pass import Picked, RowsPass
from winnow.dags.looking.report.texts import Excerpt, excerpts, told
from winnow.dags.looking.row_index import values_at

CHARS = 600
MOST_DROPPED = 5  # of one reason
MOST_CHIPS = 8


@dataclass(kw_only=True)
class Sample:
    """A document and the values that decided."""

    excerpt: Excerpt
    facts: list[tuple[str, str, bool]] = field(default_factory=list)  # name, value, whether it speaks against the row


@dataclass(kw_only=True)
class Reason:
    """Documents that one clause or decision dropped (or kept)."""

    name: str
    rule: str
    num_rows: int
    samples: list[Sample]


@dataclass(kw_only=True)
class Group:
    """All reasons of one stage."""

    stage: str
    kept: bool
    reasons: list[Reason]


def groups_of(life: Life, found: RowsPass) -> list[Group]:
    """Dropped documents per decision and reason in order of the data, then kept ones per last decision."""
    wanted = _wanted(found)
    texts = _texts(found, wanted)
    out = []
    for view in found.decisions:
        reasons = [_reason(life, view, name, picked, texts) for (folder, name), picked in wanted.items()
                   if folder == view.folder and name != "kept"]  # fmt: skip
        if reasons:
            out.append(Group(stage=view.shown, kept=False, reasons=reasons))
    used = {f for v in found.decisions for f in v.deciding()}
    for view in found.decisions:
        last = view.folder not in used or (view.operator is not None and view.operator.role == "selector")
        picked = wanted.get((view.folder, "kept"))
        if last and picked:
            out.append(Group(stage=view.shown, kept=True, reasons=[_reason(life, view, "kept", picked, texts)]))
    return out


def _wanted(found: RowsPass) -> dict[tuple[str, str], Picked]:
    """Reasons that have rows, with as many rows as are shown."""
    out = {}
    for (folder, name), picked in found.picked.items():
        if picked.num_rows:
            most = picked.most if name == "kept" else MOST_DROPPED
            out[folder, name] = Picked(most=most, num_rows=picked.num_rows, rows=picked.rows[:most])
    return out


def _texts(found: RowsPass, wanted: Mapping[tuple[str, str], Picked]) -> dict[tuple[str, int], Excerpt]:
    rows: dict[str, set[int]] = {}
    for picked in wanted.values():
        for _, unit, row in picked.rows:
            rows.setdefault(unit, set()).add(row)
    out: dict[tuple[str, int], Excerpt] = {}
    for unit, some in rows.items():
        read = excerpts(found.space.store, found.space.parts[unit], sorted(some), CHARS)
        out |= {(unit, row): text for row, text in read.items()}
    return out


def _reason(life: Life, view: StageView, name: str, picked: Picked, texts: Mapping[tuple[str, int], Excerpt]) -> Reason:
    clause = name.removeprefix("null:")
    rules = _rules(view)
    samples = [
        Sample(excerpt=texts[unit, row], facts=list(_facts(life, view, unit, row))) for _, unit, row in picked.rows
    ]
    shown = {"kept": "kept", "failed": "failed: no answer", "dropped": _dropped_name(view)}.get(name, clause)
    if name.startswith("null:"):
        shown = f"{clause}: no value"
    return Reason(name=shown, rule=rules.get(clause, ""), num_rows=picked.num_rows, samples=samples)


def _dropped_name(view: StageView) -> str:
    role = view.operator.role if view.operator else ""
    return {"dedup": "duplicate of another document", "selector": "not selected"}.get(role, "dropped")


def _rules(view: StageView) -> Mapping[str, str]:
    clauses: Any = getattr(view.operator, "clauses", None)
    return clauses() if callable(clauses) else {}


def _facts(life: Life, view: StageView, unit: str, row: int) -> Iterator[tuple[str, str, bool]]:
    """Values of the columns that the decision looked at; those of refusing clauses first."""
    rules = _rules(view)
    if not rules:
        yield from _own_facts(view, unit, row)
        yield from ((n, told(v), False) for n, v in view.input_values(_ranked_by(view), unit, row).items())
        return
    verdicts = values_at(view.store, view.parts[unit], [f"pass_{c}" for c in rules], row)
    refusing = [c for c in rules if verdicts.get(f"pass_{c}") is not True]
    against = list(dict.fromkeys(n for c in refusing for n in sql.column_names(rules[c])))
    others = [n for c in rules for n in sql.column_names(rules[c]) if n not in against]
    names = [*against, *dict.fromkeys(others)][: max(MOST_CHIPS, len(against))]
    for name, value in view.input_values(names, unit, row).items():
        yield name, told(value), name in against


def _own_facts(view: StageView, unit: str, row: int) -> Iterator[tuple[str, str, bool]]:
    """The stage's own columns, but for the verdict."""
    receipt = view.parts[unit]
    names = [c for f in receipt.files for c in f.columns if c not in ("kept", "state", "weight")]
    for name, value in values_at(view.store, receipt, names, row).items():
        if value is not None and value is not False:
            yield name, told(value), name == "chained"


def _ranked_by(view: StageView) -> list[str]:
    by = getattr(view.operator, "by", None)
    role = view.operator.role if view.operator else ""
    return [by] if role == "selector" and isinstance(by, str) else []
