"""The runs of one arm of a comparison, opened: what training said, and the scores on every target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from winnow.core.errors import DataError
from winnow.core.operators import Source
from winnow.trainers.evaluate.evaluate_gpt import DOCUMENTS

BASELINE = "baseline"  # the label of what all arms are compared with
MAIN = {"documents": "bits_per_byte", "continuation": "bits_per_byte", "choices": "bits_per_byte", "labels": "log_loss"}
UNITS = {"bits_per_byte": "bits per byte", "log_loss": "nats per text (log loss)"}
ARRAYS = {  # secondary measure -> its value per item
    "accuracy": "correct",
    "accuracy_per_char": "correct_per_char",
    "accuracy_per_byte": "correct_per_byte",
}
SECONDARY = tuple(ARRAYS)  # the others follow from these


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One label's runs in the order of their seeds; scores are None from the first run without any."""

    label: str
    runs: Sequence[Mapping[str, Any]]
    scores: Sequence[Mapping[str, Any]]  # target -> kind, measures, facts
    files: Sequence[Mapping[str, Path]]  # target -> arrays per item

    @property
    def failed(self) -> dict[str, Any] | None:
        """The first run whose loss was no number; None where all went well."""
        for seed, run in enumerate(self.runs):
            if "failed" in run:
                return {"seed": seed, "why": run["failed"]}
        return None

    @property
    def stopped(self) -> dict[str, Any] | None:
        """After how many seeds the arm was stopped, and why; None where it was trained to the end."""
        for seed, run in enumerate(self.runs):
            if "stopped" in run:
                return {"seeds": seed, **run["stopped"]}
        return None

    @property
    def trained(self) -> int:
        """Seeds with scores, counted from the first."""
        return next((s for s, run in enumerate(self.runs) if "failed" in run or "stopped" in run), len(self.runs))

    def measure(self, target: str, name: str = "") -> list[float]:
        """A measure of every scored seed; default: the target's main one, which falls as a model learns."""
        rows = [scores[target] for scores in self.scores[: self.trained]]
        return [float(row["measures"][name or MAIN[row["kind"]]]) for row in rows]

    def arrays(self, target: str, name: str, seed: int) -> np.ndarray:
        """A value per item of one run."""
        with np.load(self.files[seed][target], allow_pickle=False) as arrays:
            return np.asarray(arrays[f"{target}.{name}"], dtype=np.float64)

    def mean_nats(self, target: str, seeds: int) -> np.ndarray:
        """Nats of every item, averaged over the first seeds."""
        return np.asarray(sum(self.arrays(target, "nats", s) for s in range(seeds)) / seeds)


def open_arm(
    label: str, seeds: int, runs: Mapping[str, Source], scores: Mapping[str, Source], targets: Sequence[str]
) -> Arm:
    """The runs `{label}/{seed}` and their scores `{label}/{seed}/{target}`."""
    results = [runs[f"{label}/{s}"].result() for s in range(seeds)]
    whole = [s for s in range(seeds) if not {"failed", "stopped"} & results[s].keys()]
    opened = {s: {t: scores[f"{label}/{s}/{t}"] for t in targets} for s in whole}
    return Arm(
        label=label,
        runs=results,
        scores=[{t: o.result()["targets"][t] for t, o in opened.get(s, {}).items()} for s in range(seeds)],
        files=[{t: o.files()[DOCUMENTS] for t, o in opened.get(s, {}).items()} for s in range(seeds)],
    )


def check_equal(arms: Sequence[Arm]) -> None:
    """Check that all runs (of an average: each of its models) saw equally many tokens, and the same items of targets.

    Raises:
        DataError: they did not; the message says how many tokens each arm saw.
    """
    for key in ("tokens", "parameters"):
        seen = {a.label: sorted({_each(run, key) for run in a.runs[: a.trained]}) for a in arms if a.trained}
        if len({value for values in seen.values() for value in values}) > 1:
            counts = "; ".join(f"{label} {', '.join(f'{v:,}' for v in values)}" for label, values in seen.items())
            raise DataError(f"runs differ in {key}: {counts}", hint="arms of a comparison are of equal size")
    for target in dict.fromkeys(t for a in arms for scores in a.scores for t in scores):
        facts = {tuple(sorted(s[target]["facts"].items())) for a in arms for s in a.scores if s}
        if len(facts) > 1:
            raise DataError("runs were evaluated on different items", where=f"eval target {target!r}")


def _each(run: Mapping[str, Any], key: str) -> int:
    """A count of one trained model: an average of several counts the tokens of all of them in `tokens`."""
    return int(run.get(f"{key}_each", run[key]))


def secondary_measures(arm: Arm, targets: Sequence[str]) -> list[tuple[str, str]]:
    """(target, measure) of everything that is compared beside the main measures."""
    first = arm.scores[0]
    return [(t, name) for t in targets for name in SECONDARY if name in first[t]["measures"]]
