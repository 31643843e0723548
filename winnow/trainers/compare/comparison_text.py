"""A comparison as lines for a terminal, and the sentences that belong beside its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from winnow.core.terminal import percent
from winnow.trainers.compare import lexical
from winnow.trainers.compare.curves import curve_lines
from winnow.trainers.compare.equal_arms import draw_notes, equal_notes
from winnow.trainers.compare.fold_lines import fold_notes
from winnow.trainers.compare.item_noise import FEW_ITEMS
from winnow.trainers.compare.multiplier import multiplier_lines
from winnow.trainers.compare.phase_lines import phase_lines
from winnow.trainers.compare.policy_lines import policy_lines
from winnow.trainers.compare.power import forecast_lines
from winnow.trainers.compare.repetition import exposure_lines
from winnow.trainers.compare.soups import soup_notes
from winnow.trainers.compare.starts_text import start_lines
from winnow.trainers.compare.tuning_text import tuned_axis, tuning_lines, tuning_notes
from winnow.trainers.compare.verdict_text import interval_text, noise_line, p_text, seeds_text, table
from winnow.trainers.model.sizes import weights_text

ONE_RATE = "one learning rate: a ranking can differ at another (`learning_rates: [0.5, 1, 2]` compares three)"
HALVED_NOTE = (
    "halving: an arm that went on was among the better ones at its first seeds, which are in its interval, so its "
    "difference looks a little better than it is; p counts all arms that started"
)
LEAST_BASELINES = 3


def render(metrics: Mapping[str, Any]) -> list[str]:
    """Lines for a terminal: a row per arm and target, the A/A row, what was measured beside, then the notes."""
    lines = [
        f"{_units(metrics)} against the baseline, {seeds_text(metrics['seeds'])}; negative is better",
        *table(metrics),
    ]
    base = metrics["baseline"]["scores"]
    means = ", ".join(f"{target} {float(np.mean(values)):.3f}" for target, values in base.items())
    lines.append(f"baseline: {means}; * declared primary target")
    told = [*noise_line(metrics), *metrics["verdicts"].values()]
    return [*lines, *told, *details(metrics), *metrics["notes"]]


def _units(metrics: Mapping[str, Any]) -> str:
    """The unit of the differences; by target, where they differ."""
    units = {target: str(row["unit"]) for target, row in metrics["targets"].items()}
    if len(set(units.values())) == 1:
        return next(iter(units.values()))
    return "; ".join(f"{target}: {unit}" for target, unit in units.items()) + ";"


def details(metrics: Mapping[str, Any]) -> list[str]:
    """Lines on what was measured beside the main table: accuracies, shares, ensembles, sizes, multipliers."""
    parts = (
        exposure_lines,
        phase_lines,
        tuning_lines,
        lexical.lines,
        _measures,
        _shares,
        _ensembles,
        _scales,
        _flatness,
        curve_lines,
    )
    lines = [line for part in parts for line in part(metrics)]
    return lines + (multiplier_lines(metrics["multiplier"]) if "multiplier" in metrics else [])


def _measures(metrics: Mapping[str, Any]) -> Iterator[str]:
    rows = [(a, t, row) for a, arm in metrics["arms"].items() for t, row in arm.get("measures", {}).items()]
    if rows:
        yield "accuracies, arm minus baseline; positive is better"
    for arm, target, row in rows:
        p = p_text(row["p_adjusted"])
        yield f"  {arm:<13} {target:<29} {row['mean_diff']:>+8.3f}  {interval_text(row):<20}{p:>7}  {row['verdict']}"


def _shares(metrics: Mapping[str, Any]) -> Iterator[str]:
    reference = metrics.get("reference")
    rows = [(a, arm["effects"][metrics["primary"]].get("reference_share")) for a, arm in metrics["arms"].items()]
    if reference and any(share for _, share in rows):
        target = metrics["primary"]
        yield f"share of the gain of reference {reference!r} on {target}, a yardstick and no ceiling (Fieller interval)"
        for arm, share in rows:
            if share and share["share"] is None:
                yield f"  {arm:<13} {share['note'] or 'too few seeds'}"
            elif share:
                own, low, high = (percent(share[name], 0) for name in ("share", "low", "high"))
                yield f"  {arm:<13} {own:>6}  {low} .. {high}"


def _ensembles(metrics: Mapping[str, Any]) -> Iterator[str]:
    table = metrics.get("ensembles")
    if not table:
        return
    yield f"ensembles of {seeds_text(metrics['seeds'])} against the baseline's ensemble (interval: leave one seed out)"
    for arm, targets in table.items():
        for target, row in targets.items():
            if "mean_diff" in row:
                shown = f"{interval_text(row):<20}{row['verdict']}{_student(row)}"
                yield f"  {arm:<13} {target:<13} {row['mean_diff']:>+8.3f}  {shown}"
            else:
                yield f"  {arm:<13} {target:<13} {row['score']:>8.3f}{_student(row)}"


def _student(row: Mapping[str, Any]) -> str:
    students = row.get("student")
    if students is None:
        return ""
    size = f" of {students['parameters'] / 1e6:.2f}M" if "parameters" in students else ""
    shown = f"  (ensemble {row['score']:.3f}, {students['students']} students{size} {students['score']:.3f}"
    if "mean_diff" not in students:
        return shown + ")"
    interval = interval_text(students)
    return f"{shown}: {students['mean_diff']:+.3f}  {interval}  {students['verdict']})"


def _scales(metrics: Mapping[str, Any]) -> Iterator[str]:
    scales = metrics.get("scales")
    if not scales:
        return
    yield "model sizes: share of pairs of arms that both order alike (0.5 is a coin)"
    if scales.get("tokens"):
        each = (
            f"{s} {scales['tokens'][s]:,} tokens ({scales['tokens'][s] / n:.2g} per weight)"
            for s, n in scales["sizes"].items()
        )
        yield f"  {', '.join(each)}"
    for row in scales["agreement"][metrics["primary"]]:
        if row["accuracy"] is not None:
            single = float(np.mean(row["by_seed"])) if row["by_seed"] else float("nan")
            yield (f"  {row['small']} for {row['large']}: {row['accuracy']:.2f} of {row['pairs']} pairs, "
                   f"{single:.2f} with one seed")  # fmt: skip


def _flatness(metrics: Mapping[str, Any]) -> Iterator[str]:
    rows = {"baseline": metrics["baseline"], **metrics["arms"], **metrics["aa"]}
    flat = {label: arm["flatness"] for label, arm in rows.items() if arm.get("flatness")}
    if flat:
        yield f"trace of the loss's Hessian on {metrics['primary']}, mean over seeds; less is flatter, at equal loss"
    for label, row in flat.items():
        yield f"  {label:<13} {row['trace']:>12,.1f}  at {row['loss']:.3f} nats per token"


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """Sentences that a reader must see beside the numbers."""
    parts = (
        _broken, _size, _sampled, _selections, _out_of_line, fold_notes, policy_lines, draw_notes, equal_notes,
        soup_notes, _controls, _precision, lexical.notes, tuning_notes, _rates, _overlap,
        start_lines,
    )  # fmt: skip
    return [note for part in parts for note in part(metrics)]


def _broken(metrics: Mapping[str, Any]) -> Iterator[str]:
    for arm, fact in metrics["failed"].items():
        yield f"{arm}: no verdict, seed {fact['seed']} failed: {fact['why']}"
    for arm, fact in metrics["stopped"].items():
        yield f"{arm}: stopped after {fact['seeds']} seeds, {fact['why']}; its row is no verdict"
    if metrics["stopped"]:
        yield HALVED_NOTE


def _size(metrics: Mapping[str, Any]) -> Iterator[str]:
    if metrics["screening_only"]:
        size = f"{weights_text(metrics['parameters'])} parameters, {metrics['tokens']:,} training tokens"
        yield f"screening only: {size}; models this small may rank data otherwise than large ones"
    if metrics["seeds"] < 3:
        count = metrics["seeds"]
        yield f"{'one seed gives' if count == 1 else f'{count} seeds give'} no usable interval: 4 or more are needed"
    power = forecast_lines(metrics["noise"])
    yield from (f"power: {line}" for line in (power[0], *power[2:]))


def _sampled(metrics: Mapping[str, Any]) -> Iterator[str]:
    for target, row in metrics["targets"].items():
        read, found = row["items"], row.get("items_found", row["items"]) or row["items"]
        few = f"; {read} items say little of how much they differ" if read < FEW_ITEMS else ""
        if read < found:
            noise = max((arm["effects"][target]["noise"]["items"] for arm in metrics["arms"].values()), default=0.0)
            yield (f"{target}: a keyed sample, {read:,} of {found:,} items; the intervals hold what others would "
                   f"change (sd up to {noise:.3f}){few}")  # fmt: skip
        elif few:
            yield f"{target}: {read} items in all: its verdicts are about these texts"


def _selections(metrics: Mapping[str, Any]) -> Iterator[str]:
    fixed = [label for label, arm in metrics["arms"].items() if arm["fixed_selection"]]
    several = metrics["seeds"] > 1
    for label in fixed:
        row = metrics["arms"][label]["effects"][metrics["primary"]]
        if row["method"]["low"] is None and several:
            yield f"{label}: one selection at all seeds, and no answer for its method: {row['method']['why']}"
        elif several:
            yield f"{label}: one selection at all seeds: as a method it counts as one draw, however many seeds it has"
    beside = {"multiplier": "multipliers", "ensembles": "ensembles", "reference": "shares of a gain"}
    shown = [name for key, name in beside.items() if metrics.get(key)]
    if fixed and shown and not metrics["baseline"]["fixed_selection"]:
        yield f"{', '.join(fixed)}: {' and '.join(shown)} are about these selections, not about their methods"
    if metrics["baseline"]["fixed_selection"]:
        yield "the baseline is one selection: the A/A row shows training noise alone"
    elif metrics["seeds"] < LEAST_BASELINES:
        count = metrics["seeds"]
        subsets = "one random subset" if count == 1 else f"{count} random subsets"
        yield f"the baseline is {subsets}, and the differences of such are most of the noise: use 3 or more"
    always = {arm for row in metrics.get("equal_arms", []) if row["seeds"] == metrics["seeds"] for arm in row["arms"]}
    for label, times in metrics.get("same_as_baseline", {}).items():
        if label in metrics["arms"] and label not in always:  # at every seed: `equal_notes` says what it means
            yield (f"{label}: exactly the baseline's documents at {times} of {metrics['seeds']} seeds: "
                   "give it another `salt`, or a smaller budget")  # fmt: skip


def _out_of_line(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Labels whose spread is not that of the others."""
    for target, shown in metrics["components"].items():
        for label, line in shown["out_of_line"].items():
            more = "less" if line == "below" else "more"
            does = {"below": "it is left out of the common noise", "above": "it keeps its own noise",
                    "far above": "it keeps its own noise and is left out of the common one"}[line]  # fmt: skip
            yield f"{label}: its seeds spread {more} on {target} than those of labels like it (F test): {does}"


def _controls(metrics: Mapping[str, Any]) -> Iterator[str]:
    for arm in metrics["aa"].values():
        for target, row in arm["effects"].items():
            if row["verdict"] != "cannot tell":
                yield f"the A/A row is off zero on {target}: distrust effects of its size"


def _precision(metrics: Mapping[str, Any]) -> Iterator[str]:
    if len(metrics["precision"]) > 1:
        yield "runs differ in precision (bf16 and fp32): train all arms on one kind of machine"


def _rates(metrics: Mapping[str, Any]) -> Iterator[str]:
    if len(metrics["learning_rates"]) < 2:
        yield from () if tuned_axis(metrics, "learning_rate") else (ONE_RATE,)
    elif not any(row.get("fragile") for arm in metrics["arms"].values() for row in arm["effects"].values()):
        yield f"learning rates {', '.join(metrics['learning_rates'])}: no effect changes its sign between them"
    for label, arm in metrics["arms"].items():
        for target, row in arm["effects"].items():
            if row.get("fragile"):
                seen = ", ".join(f"{value:+.3f} at {factor}x" for factor, value in row["rates"].items())
                yield f"{label} is fragile on {target}: another sign at another learning rate ({seen})"


def _overlap(metrics: Mapping[str, Any]) -> Iterator[str]:
    overlap = metrics.get("overlap", {})
    for target in metrics["targets"]:
        most = max((arm[target]["items"] for arm in overlap.values() if target in arm), default=0)
        if most:
            yield f"up to {most} items of {target} share 13 words or a whole short item with a selection"
