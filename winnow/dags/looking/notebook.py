"""What a notebook shows of a run and of a comparison: HTML tables in which nothing that a person wrote is markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from winnow.dags.driver.remarks import remarks_of
from winnow.dags.looking.finished import FinishedRun

_FUNNEL = ("stage", "operator", "leaves", "rows", "kept", "tokens kept")
_VERDICTS = ("arm", "target", "difference", "this method, 95 %", "this selection", "p adjusted", "verdict")
_GROUPS = (("arms", ""), ("aa", " (A/A)"), ("stopped", " (stopped)"))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], title: str, notes: Sequence[str] = ()) -> str:
    """An HTML table with a caption above and lines below; every text is escaped, numbers stand to the right."""
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = "".join(f"<div>{html.escape(note)}</div>" for note in notes)
    return (f"<table><caption>{html.escape(title)}</caption><thead><tr>{top}</tr></thead>"
            f"<tbody>{body}</tbody></table>{below}")  # fmt: skip


def funnel_html(run: FinishedRun, root: str) -> str:
    """A run as a table: what every stage has and keeps, or that it is not complete; remarks below."""
    rows, told = [], list[str]()
    for stage in run.stages:
        if stage.hidden:
            continue
        counts: Mapping[str, int] = stage.manifest.counts if stage.manifest else {}
        size = stage.manifest.rows if stage.manifest else "not complete"
        facts = (size, counts.get("kept"), counts.get("tokens"))
        rows.append((stage.shown, stage.operator_name, stage.kind.value, *facts))
        told += [
            f"! {stage.shown}: {r}" for r in (remarks_of(stage.operator, stage.manifest) if stage.manifest else ())
        ]
    return table(_FUNNEL, rows, f"run {run.record.name!r} in {root}", told)


def verdicts_html(metrics: Mapping[str, Any]) -> str:
    """A comparison as a table: arms by targets with both intervals and the verdict; its sentences and notes below."""
    from winnow.trainers.compare.verdict_text import seeds_text

    notes = [*metrics["verdicts"].values(), "* declared primary target", *metrics["notes"]]
    title = f"against the baseline, {seeds_text(metrics['seeds'])}; negative is better"
    return table(_VERDICTS, _verdicts(metrics), title, notes)


def _verdicts(metrics: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    from winnow.trainers.compare.verdict_text import interval_text, p_text

    for part, mark in _GROUPS:
        for label, arm in metrics.get(part, {}).items():
            for target, row in arm["effects"].items():
                unit = metrics["targets"][target]["unit"]
                both = (interval_text(row[question]) for question in ("method", "selection"))
                yield (label + mark, target + "*" * bool(row["primary"]), f"{row['mean_diff']:+.3f} {unit}", *both,
                       p_text(row["p_adjusted"]), row["verdict"])  # fmt: skip


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f'<td style="text-align: right">{value:,}</td>'
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"
