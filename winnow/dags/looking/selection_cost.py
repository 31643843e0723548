"""What the arms of an ablation cost besides training: seconds of the stages that only their selections need.

Also, what of a comparison's machine time went into looking (evaluation and the comparison itself) and not training.

Seconds are those of the workers, as receipts record them: machine time, not waiting. They are no part of any result,
so they stand beside a comparison and not inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.core.errors import WinnowError
from winnow.core.store.parts import committed
from winnow.core.store.store import Store
from winnow.core.terminal import percent
from winnow.dags.shapes.stage_file import folders_read, raw_stage

BASELINE = "baseline"
MOST_LOOKING = 0.1  # share of the machine time above which a smaller sample of the targets is proposed


def selection_costs(store: Store, comparison: str) -> dict[str, dict[str, float]]:
    """Label -> `selection_seconds` (of stages that the baseline's selection does not need), `training_seconds` and
    `evaluation_seconds` (on all targets).

    Both for one seed; nothing of an arm that is an average of others' models. Empty where a stage's folder is gone.
    """
    try:
        refs = _refs(store, comparison)
        runs, scores = refs.get("runs", {}), refs.get("scores", {})
        first = {key.rpartition("/")[0]: ref["folder"] for key, ref in runs.items() if key.endswith("/0")}
        chosen = {label: _selection(store, folder) for label, folder in first.items()}
        chosen = {label: folder for label, folder in chosen.items() if folder}
        common = _behind(store, chosen[BASELINE])
        return {
            label: {
                "selection_seconds": sum(_seconds(store, f) for f in sorted(_behind(store, folder) - common)),
                "training_seconds": _seconds(store, first[label]),
                "evaluation_seconds": sum(
                    _seconds(store, ref["folder"]) for key, ref in scores.items() if key.startswith(f"{label}/0/")
                ),
            }
            for label, folder in chosen.items()
        }
    except (WinnowError, KeyError, TypeError):
        return {}


def cost_lines(costs: Mapping[str, Mapping[str, float]], metrics: Mapping[str, Any]) -> list[str]:
    """A line per arm: seconds of its selection and of a run, and its token multiplier with both counted."""
    from winnow.trainers.compare.multiplier import efficiency

    worth = metrics.get("multiplier", {}).get("arms", {})
    lines = []
    for label in metrics["arms"]:
        cost = costs.get(label)
        if cost is None:
            continue
        chosen, trained = cost["selection_seconds"], cost["training_seconds"]
        line = f"{label}: selection {chosen:,.1f} s, training {trained:,.1f} s per run"
        line += f", evaluation {cost['evaluation_seconds']:,.1f} s" if "evaluation_seconds" in cost else ""
        value = worth.get(label, {}).get("multiplier")
        folded = efficiency(value, trained, chosen)
        lines.append(line if folded is None else f"{line}; {value:.2f}x of tokens, {folded:.2f}x of time")
    return lines


def machine_time(store: Store, comparison: str) -> dict[str, float]:
    """`training_seconds`, `evaluation_seconds` and `comparison_seconds` (n-gram counts among them) of all runs, and
    `looking_share`, in [0, 1]: what is not training; with a tuning grid also `tuning_seconds`, of the runs that choose
    and their evaluations, which the others leave out. Empty where a stage's folder is gone.
    """
    try:
        refs = _refs(store, comparison)
        ports = ("runs", "scores", "lexical")
        trained, scored, counted = ({one["folder"] for one in refs.get(port, {}).values()} for port in ports)
        found = {
            "training_seconds": sum(_seconds(store, folder) for folder in sorted(trained)),
            "evaluation_seconds": sum(_seconds(store, folder) for folder in sorted(scored)),
            "comparison_seconds": sum(_seconds(store, folder) for folder in [comparison, *sorted(counted)]),
        }
        tuning = _tuning(store, refs)
    except (WinnowError, KeyError, TypeError):
        return {}
    looking = found["evaluation_seconds"] + found["comparison_seconds"]
    return {**found, **tuning, "looking_share": looking / max(looking + found["training_seconds"], 1e-9)}


def machine_lines(found: Mapping[str, float], metrics: Mapping[str, Any]) -> list[str]:
    """The share of the machine time that went into looking, and above a tenth how many bytes would bring it there."""
    if not found:
        return []
    trained, evaluated = found["training_seconds"], found["evaluation_seconds"]
    share = found["looking_share"]
    line = f"evaluation and comparison: {percent(share, 0)} of the machine time ({evaluated:,.1f} s of evaluation"
    lines = [f"{line} beside {trained:,.1f} s of training)"]
    if share > MOST_LOOKING and evaluated > found["comparison_seconds"]:
        wanted = MOST_LOOKING / (1 - MOST_LOOKING) * trained - found["comparison_seconds"]
        cap = _bytes_per_target(metrics, max(0.0, wanted) / evaluated)
        field = f"`eval_bytes: {cap}`" if cap else "`eval_bytes`"
        lines.append(
            f"  {field} reads a keyed sample of each target: {percent(MOST_LOOKING, 0)}, and no model is trained again"
        )
    if "tuning_seconds" in found:
        price, runs = found["tuning_seconds"], metrics["tuning"]["runs"]
        more = price / max(trained + evaluated, 1e-9)
        lines.append(
            f"price of tuning: {runs} trainings and their evaluation, {price:,.1f} s ({more:.1f}x the verdict's)"
        )
    return lines


def _bytes_per_target(metrics: Mapping[str, Any], share: float) -> int:
    """Bytes of each target that leave about `share` of all, two digits; 0 where targets are not plain documents."""
    rows = list(metrics["targets"].values())
    if any(row["kind"] != "documents" for row in rows):
        return 0
    left, cap = share * sum(row["bytes"] for row in rows), 0.0
    for number, size in enumerate(sorted(row["bytes"] for row in rows)):  # small targets are read whole
        cap = left / (len(rows) - number)
        if size > cap:
            break
        left -= size
    unit: int = 10 ** max(0, len(str(int(cap))) - 2)
    return int(cap) // unit * unit


def _refs(store: Store, folder: str) -> dict[str, Any]:
    raw = raw_stage(store, folder)
    found: dict[str, Any] = (raw or {}).get("refs", {})
    return found


def _selection(store: Store, run: str) -> str:
    """The folder of what a run was trained on, with a tuning grid that of the chosen cell; empty of an average."""
    refs = _refs(store, run)
    if "choice" not in refs:
        return str(refs["selection"]["folder"]) if "selection" in refs else ""
    receipts = committed(store, refs["choice"]["folder"]).named("result").values()
    chosen = next(iter(receipts)).extra["metrics"]["chosen"]
    return str(refs["selections"][chosen]["folder"])


def _tuning(store: Store, refs: Mapping[str, Any]) -> dict[str, float]:
    choices = [_refs(store, choice["folder"]) for choice in refs.get("tuning", {}).values()]
    folders = {one["folder"] for choice in choices for port in ("runs", "scores") for one in choice[port].values()}
    return {"tuning_seconds": sum(_seconds(store, folder) for folder in sorted(folders))} if folders else {}


def _behind(store: Store, folder: str) -> set[str]:
    """A stage and all that it reads."""
    seen: set[str] = set()
    todo = [folder]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        todo += folders_read(raw_stage(store, one) or {})
    return seen


def _seconds(store: Store, folder: str) -> float:
    return committed(store, folder).seconds
