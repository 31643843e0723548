"""The comparisons of a run as files beside its page: a CSV row per arm and target, and a JSON of everything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from winnow.dags.looking.report.comparison import QUESTIONS
from winnow.dags.looking.report.effects import ADJUSTED, FORMERLY, Effect

COLUMNS = (
    "ablation", "arm", "role", "target", "primary", "measure", "unit", "baseline", "mean_diff", "low", "high", "n",
    "sd", "p", "p_adjusted", "p_sign_flip", "mde", "verdict", "fragile", "fixed_selection", "question", "interval",
    "method_low", "method_high", "method_p_adjusted", "method_verdict", "selection_low", "selection_high",
    "selection_p_adjusted", "selection_verdict", "ngram", "ngram_explained", "documents_low", "documents_high",
    "reference_share", "multiplier", "unique_tokens", "epochs", "selection_seconds", "training_seconds",
    "evaluation_seconds",
)  # fmt: skip


def tables(effects: Sequence[Effect]) -> dict[str, bytes]:
    """File name suffix -> content of the tables; empty where no comparison is complete."""
    known = [e for e in effects if e.metrics]
    if not known:
        return {}
    text = io.StringIO()
    out = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    out.writeheader()
    for effect in known:
        out.writerows(rows(effect))
    body = {e.stage: {"metrics": e.metrics, "costs": e.costs, "machine": e.machine} for e in known}
    return {".effects.csv": text.getvalue().encode(), ".effects.json": orjson.dumps(body, option=orjson.OPT_INDENT_2)}


def rows(effect: Effect) -> Iterator[dict[str, Any]]:
    """A row per arm and target: arms, controls, then arms that were stopped early."""
    metrics = effect.metrics
    worth = metrics.get("multiplier", {})
    for part, role in (("arms", "arm"), ("aa", "control"), ("stopped", "stopped")):
        for arm, body in metrics.get(part, {}).items():
            for target, row in body["effects"].items():
                facts = metrics["targets"][target]
                mine = worth.get("arms", {}).get(arm, {}) if target == worth.get("target") else {}
                yield {
                    "ablation": effect.stage, "arm": arm, "role": role, "target": target, "unit": facts["unit"],
                    "baseline": _mean(metrics["baseline"]["scores"][target]),
                    **{name: _plain(row.get(name)) for name in COLUMNS if name in row},
                    "p_adjusted": _plain(row.get(ADJUSTED, row.get(FORMERLY))), **dict(_answers(row)),
                    "ngram": _plain((row.get("ngram") or {}).get("mean_diff")),
                    "ngram_explained": _plain((row.get("ngram") or {}).get("explained")),
                    "reference_share": _plain((row.get("reference_share") or {}).get("share")),
                    "multiplier": _plain(mine.get("multiplier")), "epochs": _mean(body.get("epochs", [])),
                    "unique_tokens": _mean(body.get("unique_tokens", [])),
                    **{name: _plain(value) for name, value in effect.costs.get(arm, {}).items()},
                }  # fmt: skip


def _answers(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Both answers of a row, by column; empty where there is none."""
    for question in QUESTIONS:
        found = row.get(question)
        if isinstance(found, Mapping):
            answered = found.get("low") is not None
            for name in ("low", "high", "p_adjusted", "verdict"):
                yield f"{question}_{name}", _plain(found.get(name)) if answered else ""


def _mean(values: Sequence[float]) -> Any:
    return sum(values) / len(values) if values else ""


def _plain(value: Any) -> Any:
    return "" if value is None or isinstance(value, Mapping) else value
