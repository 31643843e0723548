"""What the runs of an arm did one after the other, where its selection is trained in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from winnow.core.terminal import percent

SHOWN = 8  # parts of an arm, in its line


def phases_of_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`phases` of an arm: those of its first run, `epochs` the mean of all its runs; {} where it has none."""
    told = [run["phases"] for run in runs if "phases" in run]
    if not told:
        return {}
    epochs = [sum(run[number]["epochs"] for run in told) / len(told) for number in range(len(told[0]))]
    first = [{key: value for key, value in phase.items() if key != "packing"} for phase in told[0]]
    return {"phases": [{**phase, "epochs": mean} for phase, mean in zip(first, epochs, strict=True)]}


def phase_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line per arm: tokens, steps, achieved and declared epochs, and rates of each of its phases."""
    for label, arm in {"baseline": metrics["baseline"], **metrics["arms"], **metrics["aa"]}.items():
        phases = arm.get("phases", [])
        if phases:
            more = f"; {len(phases) - SHOWN} more" if len(phases) > SHOWN else ""
            yield f"{label}: trained one after the other: {'; '.join(map(_told, phases[:SHOWN]))}{more}"


def _told(phase: Mapping[str, Any]) -> str:
    declared = phase["declared_epochs"]
    meant = "" if declared is None else f" (its selection: {declared:g})"
    size = f"{phase['name']} {phase['tokens']:,} tokens, {phase['steps']} steps, {phase['epochs']:.2f} epochs{meant}"
    return f"{size}, {_rates(phase)}"


def _rates(phase: Mapping[str, Any]) -> str:
    warm = f", warmed up over {percent(phase['warmup_share'], 0)}" if phase["warmup_share"] else ""
    if phase["schedule"] == "run":
        return ("the run's schedule" if phase["lr"] == 1 else f"{phase['lr']:g} of the run's schedule") + warm
    if phase["schedule"] == "constant":
        return f"constant at {phase['lr']:g} of the peak{warm}"
    return f"{phase['schedule']} from {phase['lr']:g} to {phase['lr_end']:g} of the peak{warm}"
