"""Remarks about a plan and the populations of its stages, for `plan`, `check` and `run`.

In JSON: `remarks` is a list of {"stage", "text"}, `populations` one of {"stage", "rows", "missing"}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from winnow.core.terminal import cut_to
from winnow.dags.recipe.nodes import Node, Plan
from winnow.dags.recipe.remarks import Remark, plan_remarks

MOST_CHARS = 400


def remarks_json(remarks: Sequence[Remark]) -> list[dict[str, str]]:
    """The remarks as plain values."""
    return [{"stage": remark.stage, "text": remark.text} for remark in remarks]


def remark_lines(remarks: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """(style, line) of remarks, for a terminal."""
    return [("bold yellow", f"! {remark['stage']}: {remark['text']}") for remark in remarks]


def populations(nodes: Sequence[Node]) -> list[dict[str, str]]:
    """The rows that every stage is about which does not simply measure all of them, and what it does not respect."""
    return [
        {"stage": node.spoken, "rows": node.about.words, "missing": node.about.missing}
        for node in nodes
        if node.about is not None and not node.hidden
    ]


def before_lines(plan: Plan, nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """(style, line) of what `winnow run` says of a plan before it begins: populations in one line, then remarks."""
    found = populations(nodes)
    if found:
        yield "yellow" if any(one["missing"] for one in found) else "dim", population_line(found)
    yield from remark_lines(remarks_json(plan.remarks))


def population_line(found: Sequence[Mapping[str, str]]) -> str:
    """All populations in one line: stages that are about the same rows stand together."""
    by_rows: dict[str, list[str]] = {}
    for one in found:
        rows = one["rows"] + (f" ({one['missing']})" if one["missing"] else "")
        by_rows.setdefault(rows, []).append(one["stage"])
    return cut_to("populations: " + "; ".join(f"{', '.join(s)}: {rows}" for rows, s in by_rows.items()), MOST_CHARS)


def population_lines(found: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """(style, line) of every population."""
    width = max((len(one["stage"]) for one in found), default=0)
    for one in found:
        missing = f"; {one['missing']}" if one["missing"] else ""
        yield "yellow" if missing else "dim", f"{one['stage']:<{width}}  {one['rows']}{missing}"


__all__ = [
    "before_lines",
    "plan_remarks",
    "population_line",
    "population_lines",
    "populations",
    "remark_lines",
    "remarks_json",
]
