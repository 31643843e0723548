"""Metrics that operators noted, as a person reads them.

A stage's metrics are `Manifest.metrics`: what its operator gave to `Context.note`, for values that exist once per
stage. They are no part of any digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from winnow.core.operators.notes import metrics_alone

SUMMARY = "summary"  # a noted text of this name is the stage's own line
_FEW = 4
_VALUE_CHARS = 160


def short_facts(metrics: Mapping[str, Any]) -> list[str]:
    """What fits a line of the terminal: the noted `summary`, if only an empty one, else the first numbers by name."""
    if SUMMARY in metrics:  # an empty one: the funnel says it all
        return own_line(metrics)
    plain = [(n, v) for n, v in sorted(metrics.items()) if isinstance(v, bool | int | float | str)]
    return [f"{name} {value_text(value)}" for name, value in plain if len(value_text(value)) <= 40][:_FEW]


def own_line(metrics: Mapping[str, Any]) -> list[str]:
    """The noted `summary`, where there is one."""
    text = metrics.get(SUMMARY)
    return [text] if isinstance(text, str) and text else []


def table_rows(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value as text) of every metric but the remarks, by name, the summary first."""
    metrics = metrics_alone(metrics)
    order = sorted(metrics, key=lambda name: (name != SUMMARY, name))
    return [(name, value_text(metrics[name])) for name in order]


def value_text(value: Any) -> str:
    """'12,345', '0.9312', 'true', a text as it is; other JSON in one line, cut where long."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _VALUE_CHARS else text[: _VALUE_CHARS - 1] + "…"
