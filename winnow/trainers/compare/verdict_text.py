"""The verdicts of a comparison in words: the table with both questions, and a sentence per arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from winnow.trainers.model.sizes import weights_text

LEAST_P = 0.001
SCOPES = {
    "folds": "every seed selects from a part of the pool of its own: this holds for the rule, on pools like this one",
    "pooled": "this holds for the rule, on pools like this one",
    "paired": "arm and baseline have the same documents at every seed: this holds for the way of training",
    "selection": "this holds for this one selection, not for the rule that made it",
    "same": "this holds for training on these documents",
}


def number(value: float | None, form: str = "+.3f") -> str:
    """A number in three digits, or `-` where there is none."""
    return "-" if value is None else format(value, form)


def p_text(p: float | None) -> str:
    """A p value in three digits, never 0.000: `<.001` where it is smaller; `-` where there is none."""
    if p is None:
        return "-"
    return f"<{LEAST_P:.3f}".replace("0.", ".") if p < LEAST_P else f"{p:.3f}"


def seeds_text(count: int) -> str:
    """`1 seed`, `6 seeds`."""
    return "1 seed" if count == 1 else f"{count} seeds"


def interval_text(row: Mapping[str, Any]) -> str:
    """`-0.257 .. -0.207`, or `-` where there is none."""
    return "-" if row["low"] is None else f"{row['low']:+.3f} .. {row['high']:+.3f}"


def table(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A row per arm and target, those of controls and of stopped arms after them."""
    head = f"{'arm':<13} {'target':<13} {'diff':>8}  {'this method, 95 %':<19}{'this selection':<19}{'p adj.':>6}"
    yield f"{head}  {'verdict':<22}{'mde':>6}"
    groups = [*metrics["arms"].items(), *((f"{name} (A/A)", arm) for name, arm in metrics["aa"].items())]
    for label, arm in [*groups, *metrics.get("stopped", {}).items()]:
        for target, row in arm["effects"].items():
            mark = "*" if row["primary"] else ""
            both = "".join(f"{interval_text(row[question]):<19}" for question in ("method", "selection"))
            yield (f"{label:<13} {target + mark:<13} {row['mean_diff']:>+8.3f}  {both}{p_text(row['p_adjusted']):>6}  "
                   f"{row['verdict']:<22}{number(row['mde'], '.3f'):>6}")  # fmt: skip


def noise_line(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What the intervals rest on, for the primary target."""
    shown = metrics["components"][metrics["primary"]]
    df = shown["drawn"]["df"] + shown["fixed"]["df"]
    if not df:
        return
    labels = shown["drawn"]["labels"] + shown["fixed"]["labels"]
    known = [("training", shown["training"])] if shown["fixed"]["df"] else []
    if shown["drawn"]["df"]:
        known.append(("the draw" if known else "training and the draw together", shown["draw"]))
    told = ", ".join(f"{name} {value:.3f}" for name, value in known)
    yield f"noise of one run on {metrics['primary']}, sd: {told} ({labels} labels together, df {df:.0f})"


def sentences(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Arm -> what the comparison found on the primary target, for somebody who reads nothing else."""
    return {arm: _sentence(arm, body["effects"][metrics["primary"]], metrics) for arm, body in metrics["arms"].items()}


def _sentence(arm: str, row: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    target, unit = metrics["primary"], metrics["targets"][metrics["primary"]]["unit"]
    size = f"{weights_text(metrics['parameters'])} weights, {metrics['tokens']:,} tokens, {seeds_text(row['n'])}"
    verdict = row["verdict"]
    if row["low"] is None:
        return f"{arm}: no answer on {target} for the rule: {row['why']}{_as_selection(row, unit)}; {size}"
    if verdict.endswith(("better", "worse")):
        less = row["mean_diff"] < 0
        sides = sorted((abs(row["low"]), abs(row["high"])), reverse=less)
        found = f"{abs(row['mean_diff']):.3f} {unit} {'less' if less else 'more'} ({sides[0]:.3f} to {sides[1]:.3f})"
        said = verdict.replace("selection ", "selection is ")
        return f"{arm}: {said} on {target}: {found} than the baseline; {size}; {SCOPES[_scope(row)]}"
    between = f"between {_side(row['low'])} and {_side(row['high'])} {unit} than the baseline"
    why = "" if verdict == "cannot tell" else ", and another sign at another learning rate"
    if verdict == "cannot tell" and (row["low"] > 0 or row["high"] < 0):
        why = f", but with so many arms that is no finding (adjusted p {p_text(row['p_adjusted'])})"
    return f"{arm}: {verdict} on {target}: {between}{why}; {size}{_as_selection(row, unit)}"


def _scope(row: Mapping[str, Any]) -> str:
    if row["question"] == "selection":
        return "selection" if row["verdict"].startswith("this selection") else "same"
    return "pooled" if row["interval"] == "own" else str(row["interval"])


def _side(value: float) -> str:
    return f"{abs(value):.3f} {'less' if value < 0 else 'more'}"


def _as_selection(row: Mapping[str, Any], unit: str) -> str:
    """The other answer, where the method has none or cannot tell and the selection has a verdict."""
    other = row["selection"]
    if row["question"] == "selection" or other["verdict"] not in ("better", "worse"):
        return ""
    return f"; this selection is {other['verdict']} ({interval_text(other)} {unit}), which says nothing of its rule"
