"""What a tuning grid chose, as lines: the table of cells, the price of looking, and what to distrust."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.tuning_choice import at_epochs, epochs_got

FAR = 0.1  # relative difference between the epochs that were asked for and those that were got


def tuning_metrics(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Choices by label as one part of a comparison's metrics: `labels`, `cells`, `target`, `seeds`, `runs` (how many
    trainings it took) and `declared` {arm: its mean difference to the baseline on the tuning seeds, at the cells as
    declared and at the chosen ones}, for arms whose grid has both.
    """
    first = next(iter(found.values()))
    cells = list(first["order"])
    out = {"labels": dict(found), "cells": cells, "target": first["target"], "seeds": first["seeds"],
           "runs": len(found) * len(cells) * first["seeds"]}  # fmt: skip
    return {**out, "declared": {arm: _declared(found[arm], found[BASELINE]) for arm in found if arm != BASELINE}}


def at_choices(found: Mapping[str, Any], choices: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What an overlap job found: of the selections at several epochs those at each label's choice, by label/seed.

    Controls are at the baseline's choice. Without choices, as it is.
    """
    if not choices:
        return dict(found)
    digests, common = found.get("digests", {}), found.get("common", {"keys": [], "shares": []})
    names = {key: _chosen_name(key, choices) for key in {**digests, **dict.fromkeys(common["keys"])}}
    kept = [i for i, key in enumerate(common["keys"]) if names[key]]
    return {
        **found,
        "digests": {names[key]: digest for key, digest in digests.items() if names[key]},
        "common": {
            "keys": [names[common["keys"][i]] for i in kept],
            "shares": [[common["shares"][i][k] for k in kept] for i in kept],
        },
    }


def _chosen_name(key: str, choices: Mapping[str, Mapping[str, Any]]) -> str:
    """label/seed of a selection that a label's choice is trained on; empty for those that it is not trained on."""
    name, _, seed = key.rpartition("/")
    label = name.partition(" at ")[0]
    choice = choices.get(label, choices[BASELINE])
    epochs = choice["cells"][choice["chosen"]]["values"].get("epochs") if choice["chosen"] else None
    return f"{label}/{seed}" if name == f"{label}{at_epochs(epochs)}" else ""


def tuned_axis(metrics: Mapping[str, Any], axis: str) -> bool:
    """Whether a comparison's grid has several values of an axis."""
    labels = metrics.get("tuning", {}).get("labels", {}).values()
    return any(len({row["values"].get(axis) for row in choice["cells"].values()}) > 1 for choice in labels)


def tuning_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A row per cell and a column per label: the mean on the tuning target, `*` where it was chosen."""
    tuning = metrics.get("tuning")
    if not tuning:
        return
    labels, cells, unit = tuning["labels"], tuning["cells"], metrics["targets"][tuning["target"]]["unit"]
    yield (f"tuning: each label at its best of {len(cells)} cells, chosen by {unit} on {tuning['target']} over "
           f"{tuning['seeds']} {'seed' if tuning['seeds'] == 1 else 'seeds'} that the verdict does not use "
           f"({tuning['runs']} further trainings)")  # fmt: skip
    width = max(len(cell) for cell in cells) + 2
    yield f"  {'mean (* chosen)':<{width}}" + "".join(f"{label[:12]:>13} " for label in labels)
    for cell in cells:
        yield f"  {cell:<{width}}" + "".join(_mean(choice, cell) for choice in labels.values())
    for arm, row in tuning["declared"].items():
        if row is not None:
            yield (f"  {arm} minus baseline on the tuning seeds: {row['declared']:+.3f} as declared, "
                   f"{row['chosen']:+.3f} at the chosen cells (a description, no verdict)")  # fmt: skip


def tuning_notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Choices at an end of the grid, cells that failed, epochs that are not those asked for."""
    for label, choice in metrics.get("tuning", {}).get("labels", {}).items():
        for cell, row in choice["cells"].items():
            if "failed" in row:
                yield f"{label}: {cell} is out of the grid, seed {row['failed']['seed']}: {row['failed']['why']}"
        if choice["edges"]:
            ends = ", ".join(f"{e['axis']} {e['value']:g} (next: {e['next']:g})" for e in choice["edges"])
            yield f"{label}: the best cell lies at an end of the grid, widen it: {ends}"
        yield from _epochs(label, choice)
    yield from _one_selection(metrics)


def _mean(choice: Mapping[str, Any], cell: str) -> str:
    mean = choice["cells"][cell]["mean"]
    return f"{'failed' if mean is None else format(mean, '.3f'):>13}{'*' if cell == choice['chosen'] else ' '}"


def _declared(arm: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, float] | None:
    """Mean differences on the tuning seeds; None where a grid lacks the cell as declared, or it failed."""
    out = {}
    for key in ("declared", "chosen"):
        means = [side["cells"][side[key]]["mean"] for side in (arm, baseline) if side[key]]
        if len(means) < 2 or None in means:
            return None
        out[key] = means[0] - means[1]
    return out


def _epochs(label: str, choice: Mapping[str, Any]) -> Iterator[str]:
    """A line per label whose selections hold more or fewer tokens than their cells ask for."""
    got = epochs_got(choice["cells"])
    for asked in choice["spent"]:
        yield f"{label}: epochs {asked:g} asked for, {got[asked]:.2f} got: the pool holds no more, widen it or drop it"
    off = {
        asked: value for asked, value in got.items() if abs(value / asked - 1) > FAR and asked not in choice["spent"]
    }
    if off:
        asked, had = ", ".join(f"{a:g}" for a in off), ", ".join(f"{value:.2f}" for value in off.values())
        wanted = ", ".join(f"{a * a / value:.3g}" for a, value in off.items())
        yield (f"{label}: epochs {asked} asked for, {had} got, as a budget takes whole documents and may count other "
               f"tokens than the model: ask for {wanted} to get them")  # fmt: skip


def _one_selection(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A fixed selection of each number of epochs is chosen for its documents too."""
    for label in metrics.get("tuning", {}).get("labels", {}) if tuned_axis(metrics, "epochs") else ():
        if metrics["arms"].get(label, {}).get("fixed_selection"):
            yield (f"{label}: draws no lots, so the selections that its epochs were chosen among are those of the "
                   "verdict: it holds for the chosen one")  # fmt: skip
