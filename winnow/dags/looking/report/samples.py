"""Documents to look at, by the reason for which they were dropped, and those that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from winnow.core.operators import sql
from winnow.dags.looking.excerpts import Excerpt, excerpts
from winnow.dags.looking.finished import FinishedStage
from winnow.dags.looking.report.rows_pass import Picked, RowsPass

CHARS = 600
MOST_DROPPED = 5  # of one reason
MOST_CHIPS = 8


def as_text(value: Any) -> str:
    """A value as a short text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | Mapping):
        return f"{len(value)} values"
    text = "null" if value is None else str(value).replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "…"


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


def groups_of(found: RowsPass) -> list[Group]:
    """Dropped documents per decision and reason in order of the data, then kept ones per last decision."""
    wanted = _wanted(found)
    texts = _texts(found, wanted)
    out = []
    for view in found.decisions:
        reasons = [_reason(view, name, picked, texts) for (folder, name), picked in wanted.items()
                   if folder == view.folder and name != "kept"]  # fmt: skip
        if reasons:
            out.append(Group(stage=view.shown, kept=False, reasons=reasons))
    used = {f for v in found.decisions for f in v.deciding()}
    for view in found.decisions:
        last = view.folder not in used or view.role == "selector"
        picked = wanted.get((view.folder, "kept"))
        if last and picked:
            out.append(Group(stage=view.shown, kept=True, reasons=[_reason(view, "kept", picked, texts)]))
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


def _reason(view: FinishedStage, name: str, picked: Picked, texts: Mapping[tuple[str, int], Excerpt]) -> Reason:
    clause = name.removeprefix("null:")
    rules = view.rules
    samples = [Sample(excerpt=texts[unit, row], facts=list(_facts(view, unit, row))) for _, unit, row in picked.rows]
    shown = {"kept": "kept", "failed": "failed: no answer", "dropped": _dropped_name(view)}.get(name, clause)
    if name.startswith("null:"):
        shown = f"{clause}: no value"
    return Reason(name=shown, rule=rules.get(clause, ""), num_rows=picked.num_rows, samples=samples)


def _dropped_name(view: FinishedStage) -> str:
    return {"dedup": "duplicate of another document", "selector": "not selected"}.get(view.role, "dropped")


def _facts(view: FinishedStage, unit: str, row: int) -> Iterator[tuple[str, str, bool]]:
    """Values of the columns that the decision looked at; those of refusing clauses first."""
    rules = view.rules
    if not rules:
        yield from _own_facts(view, unit, row)
        yield from ((n, as_text(v), False) for n, v in view.input_values(_ranked_by(view), unit, row).items())
        return
    verdicts = view.values([f"pass_{c}" for c in rules], unit, row)
    refusing = [c for c in rules if verdicts.get(f"pass_{c}") is not True]
    against = list(dict.fromkeys(n for c in refusing for n in sql.column_names(rules[c])))
    others = [n for c in rules for n in sql.column_names(rules[c]) if n not in against]
    names = [*against, *dict.fromkeys(others)][: max(MOST_CHIPS, len(against))]
    for name, value in view.input_values(names, unit, row).items():
        yield name, as_text(value), name in against


def _own_facts(view: FinishedStage, unit: str, row: int) -> Iterator[tuple[str, str, bool]]:
    """The stage's own columns, but for the verdict."""
    names = [c for f in view.parts[unit].files for c in f.columns if c not in ("kept", "state", "weight")]
    for name, value in view.values(names, unit, row).items():
        if value is not None and value is not False:
            yield name, as_text(value), name == "chained"


def _ranked_by(view: FinishedStage) -> list[str]:
    by = getattr(view.operator, "by", None)
    return [by] if view.role == "selector" and isinstance(by, str) else []
