"""The comparison of all runs of an ablation: the metrics that the report and the terminal show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import DataError
from winnow.core.operators import Context, Exactness, Job, Source, port
from winnow.trainers import intervals
from winnow.trainers.run import DOCUMENTS

BASELINE = "baseline"
SCREENING_BELOW = 15_000_000  # parameters: rankings of smaller models often differ from those of large ones
FIXED_NOTE = "one fixed selection: its interval holds for this selection, not for the way it was made"


@dataclass(frozen=True, kw_only=True)
class Compare(Job):
    """Paired differences to the baseline per arm and target, with interval, verdict and an A/A row.

    Source: paired t over seeds; Holm 1979 over arms x targets; own
    """

    name: ClassVar[str] = "compare_arms"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("scipy",)

    arms: tuple[str, ...]
    controls: tuple[str, ...]  # arms that repeat the baseline
    fixed: tuple[str, ...]  # arms whose selection is the same for every seed
    baseline_fixed: bool
    targets: tuple[str, ...]  # the first is the declared primary one
    seeds: int
    runs: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics of the comparison; `render` prints them.

        Raises:
            DataError: runs differ in tokens, steps or held-out documents, so that they cannot be compared.
        """
        runs: dict[str, Source] = ctx.refs["runs"]
        metrics = {label: [runs[f"{label}/{s}"].result() for s in range(self.seeds)] for label in self._all()}
        _check_equal([m for group in metrics.values() for m in group])
        nats = {label: [_documents(runs[f"{label}/{s}"]) for s in range(self.seeds)] for label in self._all()}
        effects = {label: {t: self._effect(label, t, metrics, nats) for t in self.targets} for label in self.arms}
        self._adjust(effects)
        shown = [label for label in self.arms if label not in self.controls]
        return {
            "primary": self.targets[0],
            "targets": {t: self._target(t, metrics) for t in self.targets},
            "arms": {label: self._arm(label, metrics, effects) for label in shown},
            "aa": {label: self._arm(label, metrics, effects) for label in self.controls},
            "baseline": self._arm(BASELINE, metrics, {}),
            "seeds": self.seeds,
            "alpha": intervals.ALPHA,
            "power": intervals.POWER,
            **{key: metrics[BASELINE][0][key] for key in ("parameters", "hidden_parameters", "steps", "tokens")},
            "precision": sorted({m["precision"] for group in metrics.values() for m in group}),
            "screening_only": metrics[BASELINE][0]["parameters"] < SCREENING_BELOW,
            "notes": self._notes(metrics, effects),
        }

    def _all(self) -> tuple[str, ...]:
        return (BASELINE, *self.arms)

    def _effect(self, label: str, target: str, metrics: Any, nats: Any) -> dict[str, Any]:
        """One comparison: the primary interval over seeds and the secondary one over documents."""
        arm, base = (_bits(metrics[name], target) for name in (label, BASELINE))
        effect = intervals.paired_effect([a - b for a, b in zip(arm, base, strict=True)])
        num_bytes = nats[label][0][f"{target}.bytes"].astype(np.float64)
        summed = [sum(run[f"{target}.nats"] for run in nats[name]) for name in (label, BASELINE)]
        over = (summed[0] - summed[1]) / self.seeds
        low, high = intervals.document_interval(over, num_bytes)
        row = intervals.effect_row(effect, fixed_selection=label in self.fixed)
        return {
            **row,
            "documents_low": low,
            "documents_high": high,
            "documents_better": float((over < 0).mean()),
        }

    def _adjust(self, effects: dict[str, dict[str, dict[str, Any]]]) -> None:
        """Add `p_holm` over arms x targets; away from the primary target it decides, beside the interval."""
        pairs = [(a, t) for a in self.arms if a not in self.controls for t in self.targets]
        adjusted = intervals.holm({f"{a}\0{t}": effects[a][t]["p"] for a, t in pairs})
        for arm, target in ((a, t) for a in self.arms for t in self.targets):
            row = effects[arm][target]
            row["p_holm"] = adjusted.get(f"{arm}\0{target}")
            row["primary"] = target == self.targets[0]
            doubtful = row["p_holm"] is not None and row["p_holm"] >= intervals.ALPHA
            if doubtful and not row["primary"]:
                row["verdict"] = "cannot tell"

    def _target(self, target: str, metrics: Any) -> dict[str, Any]:
        first = metrics[BASELINE][0]["targets"][target]
        return {key: first[key] for key in ("documents", "bytes", "tokens")}

    def _arm(self, label: str, metrics: Any, effects: Any) -> dict[str, Any]:
        group = metrics[label]
        return {
            "bits_per_byte": {t: _bits(group, t) for t in self.targets},
            "tokens": group[0]["tokens"],
            "epochs": [m["epochs"] for m in group],
            "selection_documents": [m["selection_documents"] for m in group],
            "selection_tokens": [m["selection_tokens"] for m in group],
            "fixed_selection": self.baseline_fixed if label == BASELINE else label in self.fixed,
            "effects": effects.get(label, {}),
        }

    def _notes(self, metrics: Any, effects: Any) -> list[str]:
        """Sentences that a reader must see beside the numbers."""
        first = metrics[BASELINE][0]
        notes = []
        if first["parameters"] < SCREENING_BELOW:
            size = f"{first['parameters'] / 1e6:.1f}M parameters, {first['tokens']:,} training tokens"
            notes.append(f"screening only: {size}; models this small may rank data otherwise than large ones")
        notes += [f"{label}: {FIXED_NOTE}" for label in self.fixed if label not in self.controls]
        if self.baseline_fixed:
            notes.append("the baseline is one fixed selection: the A/A row shows training noise alone")
        for label in self.controls:
            for target, row in effects[label].items():
                if row["verdict"] != "cannot tell":
                    notes.append(f"the A/A row is off zero on {target}: distrust effects of its size")
        for label in self._all():
            most = max(m["epochs"] for m in metrics[label])
            if most > 1:
                notes.append(f"{label}: smaller than the training tokens, so passed up to {most:.2f} times")
        if len({m["precision"] for group in metrics.values() for m in group}) > 1:
            notes.append("runs differ in precision (bf16 and fp32): train all arms on one kind of machine")
        if self.seeds < 3:
            notes.append(f"{self.seeds} seeds give no usable interval: 6 or more are needed")
        return notes


def render(metrics: dict[str, Any]) -> list[str]:
    """Lines for a terminal: a row per arm and target, the A/A row, then the notes."""
    head = f"{'arm':<14}{'target':<14}{'diff':>8}  {'95 % interval':<20}{'p Holm':>7}  {'verdict':<12}{'mde':>6}"
    lines = [f"bits per byte against the baseline, {metrics['seeds']} seeds; negative is better", head]
    groups = [*metrics["arms"].items(), *((f"{name} (A/A)", arm) for name, arm in metrics["aa"].items())]
    for label, arm in groups:
        for target, row in arm["effects"].items():
            mark = "*" if row["primary"] else ""
            shown = [_number(row[k]) for k in ("low", "high")]
            lines.append(
                f"{label:<14}{target + mark:<14}{row['mean_diff']:>+8.3f}  {' .. '.join(shown):<20}"
                f"{_number(row['p_holm'], '.3f'):>7}  {row['verdict']:<12}{_number(row['mde'], '.3f'):>6}"
            )
    base = metrics["baseline"]["bits_per_byte"]
    means = ", ".join(f"{target} {float(np.mean(values)):.3f}" for target, values in base.items())
    return [*lines, f"baseline: {means}; * declared primary target", *metrics["notes"]]


def _number(value: float | None, form: str = "+.3f") -> str:
    return "-" if value is None else format(value, form)


def _bits(group: Sequence[dict[str, Any]], target: str) -> list[float]:
    return [m["targets"][target]["bits_per_byte"] for m in group]


def _documents(run: Source) -> dict[str, Any]:
    with np.load(run.files()[DOCUMENTS], allow_pickle=False) as arrays:
        return {name: arrays[name] for name in sorted(arrays.files)}


def _check_equal(runs: Sequence[dict[str, Any]]) -> None:
    """Nothing, where all runs saw equally many tokens and the same held-out documents."""
    for key in ("tokens", "steps", "parameters"):
        if len({run[key] for run in runs}) > 1:
            raise DataError(f"runs differ in {key}: {sorted({run[key] for run in runs})}")
    for target in runs[0]["targets"]:
        facts = {tuple(sorted((k, v) for k, v in r["targets"][target].items() if k != "bits_per_byte")) for r in runs}
        if len(facts) > 1:
            raise DataError("runs were evaluated on different documents", where=f"eval target {target!r}")
