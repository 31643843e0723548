"""How often a comparison's runs saw their data: unique tokens, documents and epochs of every label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

EXPOSURE = ("unique_tokens", "unique_documents", "epochs")


def exposure(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Of every run: distinct training tokens, distinct documents, and passes over its selection."""
    return {key: [run[key] for run in runs] for key in EXPOSURE}


def exposure_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line per label, each value as its range over seeds."""
    labels = {"baseline": metrics["baseline"], **metrics["arms"], **metrics["aa"]}
    rows = {label: row for label, row in labels.items() if all(row.get(key) for key in EXPOSURE)}
    if rows:
        yield "what a run was trained on (range over seeds): unique tokens, documents, epochs"
    for label, row in rows.items():
        tokens, documents = (_range(row[key], ",.0f") for key in EXPOSURE[:2])
        yield f"  {label:<13} {tokens:<22}{documents:<18}{_range(row['epochs'], '.2f')}"


def _range(values: Sequence[float], form: str) -> str:
    low, high = (format(value, form) for value in (min(values), max(values)))
    return low if low == high else f"{low} .. {high}"
