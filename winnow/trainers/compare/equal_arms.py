"""What the drawn documents say of the arms: which are drawn anew for every seed, and which train on the same data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from winnow.core.terminal import percent
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.policy_lines import handled


def draws_of(checked: Sequence[Mapping[str, Any]], declared_fixed: Collection[str]) -> dict[str, dict[str, Any]]:
    """{label: `seeds`, `selections` (how many of its seeds' selections differ), `common` (mean share of text that two
    of its seeds have in common, in [0, 1]; null for one seed) and `redrawn`} from the results of overlap jobs.

    `declared_fixed` are labels that one stage serves at every seed; the others were drawn anew, whatever came out.
    """
    digests = _digests(checked)
    labels = dict.fromkeys(key.rpartition("/")[0] for key in digests)
    own = {label: [d for key, d in digests.items() if key.rpartition("/")[0] == label] for label in labels}
    common = {label: share for found in checked for label, share in _own_share(found.get("common", {})).items()}
    return {
        label: {"seeds": len(found), "selections": len(set(found)), "common": common.get(label),
                "redrawn": label not in declared_fixed}
        for label, found in own.items()
    }  # fmt: skip


def fixed_by(draws: Mapping[str, Mapping[str, Any]], declared: Iterable[str]) -> tuple[str, ...]:
    """Labels whose selection is the same at every seed: the documents decide, and what was declared where there is no
    more than one seed or none was looked at.
    """
    known = {label: row["selections"] == 1 for label, row in draws.items() if row["seeds"] > 1}
    return tuple(label for label in {**dict.fromkeys(declared), **draws} if known.get(label, label in set(declared)))


def equal_arms(checked: Sequence[Mapping[str, Any]], runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """`equal_arms`: pairs of labels that select the same documents with the same weights at one seed or more, each
    with `seeds` (at how many) and `same_runs` (at how many the losses are equal too). `runs` is {label: run per seed}.
    """
    digests = _digests(checked)
    rows = []
    for i, one in enumerate(runs):
        for other in list(runs)[i + 1 :]:
            numbers = [s for s in range(min(len(runs[one]), len(runs[other]))) if f"{one}/{s}" in digests]
            same = [s for s in numbers if digests[f"{one}/{s}"] == digests.get(f"{other}/{s}")]
            alike = [s for s in same if _losses(runs[one][s]) == _losses(runs[other][s])]
            if same:
                rows.append({"arms": [one, other], "seeds": len(same), "same_runs": len(alike)})
    return {"equal_arms": rows}


def equal_notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line for all arms that select the same documents with the same weights at every seed, and for every two that
    do so at some seeds, are a control, or have the same losses too; what a policy makes of them stands beside its arm.
    """
    seeds, controls = metrics["seeds"], set(metrics["aa"])
    grouped: dict[str, list[str]] = {}  # its first arm -> all of them
    rows = metrics.get("equal_arms", [])
    for row in rows:
        one, other = row["arms"]
        if row["seeds"] == seeds and not controls & {one, other} and not any(other in g for g in grouped.values()):
            first = next((name for name, group in grouped.items() if one in group), one)
            grouped.setdefault(first, [one]).append(other)
    many = [group for group in grouped.values() if len(group) > 2]
    for group in many:
        yield f"{_same(metrics, group)}: their differences are those of how they are trained"
    for row in rows:
        one, other = row["arms"]
        if any(one in group and other in group for group in many) and row["same_runs"] < row["seeds"]:
            continue
        times = "" if row["seeds"] == seeds else f" at {row['seeds']} of {seeds} seeds"
        what = f"{_same(metrics, row['arms'])}{times}"
        if controls & {one, other}:
            if row["same_runs"]:
                yield f"{what}, and their losses are the same: the A/A row shows no noise there"
        elif BASELINE not in (one, other) or row["seeds"] == seeds:  # fewer are told with the baseline's draws
            same = row["same_runs"] == row["seeds"]
            yield what + (f"{_one_arm(metrics, row['arms'])}, drop one or make them differ" if same
                          else ": their difference is that of how they are trained")  # fmt: skip


def _same(metrics: Mapping[str, Any], labels: Sequence[str]) -> str:
    """That labels have the same documents: train on them, or select them where a policy makes its own of them."""
    told = [handled(metrics, label) for label in labels]
    does = "train on" if told == list(labels) else "select"
    return f"{', '.join(told[:-1])} and {told[-1]} {does} the same documents with the same weights"


def _one_arm(metrics: Mapping[str, Any], labels: Sequence[str]) -> str:
    acts = any(handled(metrics, label) != label for label in labels)
    return ", and train to the same losses: what acts on them makes no difference" if acts else ": they are one arm"


def draw_notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What came of drawing anew for every seed: text in common between the seeds of an arm, and arms without a draw."""
    shown = {BASELINE, *metrics["arms"], *metrics["aa"]}
    drawn = {
        k: row for k, row in metrics.get("draws", {}).items() if k in shown and row["redrawn"] and row["seeds"] > 1
    }
    shares = [
        f"{k} {percent(row['common'], 0)}{_few_draws(row)}" for k, row in drawn.items() if row["common"] is not None
    ]
    if shares and not metrics.get("folds"):  # folds have nothing in common
        yield f"text that two seeds' selections have in common, on average: {', '.join(shares)}"
    for label, row in drawn.items():
        if row["selections"] < row["seeds"] and label not in metrics["aa"]:
            whose = "the baseline's" if label == BASELINE else f"{label}: its"
            came = "one selection" if row["selections"] == 1 else f"{row['selections']} different selections"
            yield f"{whose} {row['seeds']} draws are {came}: as documents say, not as it was declared"


def _few_draws(row: Mapping[str, Any]) -> str:
    """How many draws with nothing in common would tell as much of a method's mean, where half is in common or more."""
    n, common = row["seeds"], row["common"]
    return f" (its {n} draws count as {n / (1 + (n - 1) * common):.1f})" if common >= 0.5 else ""


def _digests(checked: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """label/seed -> digest of its documents and weights, without those at other budgets."""
    found = {key: digest for one in checked for key, digest in one.get("digests", {}).items()}
    return {key: digest for key, digest in found.items() if "@" not in key}


def _losses(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(run.get(key) for key in ("first_loss", "last_loss", "plan", "failed", "stopped"))


def _own_share(common: Mapping[str, Any]) -> dict[str, float]:
    """Label -> mean share between two different seeds of it."""
    keys = list(common.get("keys", ()))
    table = np.asarray(common.get("shares", ()), dtype=np.float64)
    out = {}
    for label in dict.fromkeys(key.rpartition("/")[0] for key in keys):
        place = [i for i, key in enumerate(keys) if key.rpartition("/")[0] == label]
        n = len(place)
        if n > 1:
            block = table[np.ix_(place, place)]
            out[label] = float((block.sum() - np.trace(block)) / (n * (n - 1)))
    return out
