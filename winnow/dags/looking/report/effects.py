"""Training runs and their comparison, as the ablation stages stored them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import StoreError
from winnow.core.store.manifest import Receipt
from winnow.core.store.parts import check_file
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.looking.report.comparison import BASELINE, Answer, Beside, answers, beside
from winnow.dags.looking.selection_cost import cost_lines, machine_lines, machine_time, selection_costs
from winnow.trainers.compare.comparison_text import details
from winnow.trainers.model.sizes import weights_text

Floats = npt.NDArray[np.float64]

_TRAIN = re.compile(r"(?P<stage>.+)\.train_(?P<arm>.+)_(?P<seed>\d+)\Z")
LOSSES = "losses.npy"
ADJUSTED, FORMERLY = "p_adjusted", "p_holm"  # what earlier versions called it
OVERLAP = "overlap"  # the sub-stage that counts what selections have in common
POINTS = 200  # of a curve


@dataclass(kw_only=True)
class Curve:
    """Training loss of one arm over its seeds, nats per token, smoothed: f64[points] each."""

    arm: str
    control: bool
    seeds: int
    tokens: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(kw_only=True)
class Row:
    """One comparison: difference to the baseline in the target's unit, negative is better."""

    arm: str
    control: bool
    mean: float
    low: float | None
    high: float | None
    verdict: str
    mde: float | None
    p_adjusted: float | None
    fixed: bool
    asked: str = ""  # the question that the verdict answers: method or selection
    answers: Mapping[str, Answer] = field(default_factory=dict)  # by question
    ngram: float | None = None  # the effect of a bigram of the same tokens
    explained: float | None = None  # its share of the model's effect


@dataclass(kw_only=True)
class Target:
    """The comparisons on one held-out target."""

    name: str
    primary: bool
    documents: int
    baseline: float
    unit: str
    rows: list[Row]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What an arm does to one target."""

    target: str
    unit: str
    mean: float
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an arm does to all targets, in short: `better on A, worse on B`."""

    arm: str
    rows: tuple[Shown, ...]

    @property
    def verdict(self) -> str:
        """One verdict for all targets, or every one with its targets."""
        named: dict[str, list[str]] = {}
        for row in self.rows:
            named.setdefault(row.verdict, []).append(row.target)
        if len(named) == 1 and len(self.rows) == 1:
            return self.rows[0].verdict
        return ", ".join(f"{verdict} on {' and '.join(targets)}" for verdict, targets in named.items())

    @property
    def tone(self) -> str:
        """Good or bad where every decided target says so; mixed or undecided has none."""
        ends = {row.verdict.split()[-1] for row in self.rows} & {"better", "worse"}
        return {"better": "good", "worse": "bad"}[ends.pop()] if len(ends) == 1 else ""


@dataclass(kw_only=True)
class Effect:
    """An ablation: its curves and, where it is complete, its comparison."""

    stage: str
    curves: list[Curve] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)  # what was measured beside the table, and what it cost
    beside: Beside = field(default_factory=Beside)
    metrics: Mapping[str, Any] = field(default_factory=dict)  # of the comparison, as it is stored
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # label -> seconds
    machine: Mapping[str, float] = field(default_factory=dict)  # seconds of all runs, and the share of looking
    window: int = 1  # steps that the curves average
    screening: bool = False  # the model is too small to rank data
    missing: int = 0  # training runs that are not complete

    def cards(self) -> list[Card]:
        """A card per arm, over all targets, the primary one first; the control has none."""
        arms = dict.fromkeys(row.arm for target in self.targets for row in target.rows if not row.control)
        return [
            Card(arm=arm, rows=tuple(
                Shown(target=t.name, unit=t.unit, mean=r.mean, low=r.low, high=r.high, verdict=r.verdict)
                for t in self.targets for r in t.rows if r.arm == arm and not r.control
            ))
            for arm in arms
        ]  # fmt: skip


def effects(run: FinishedRun) -> list[Effect]:
    """Every ablation of a run, in plan order."""
    found: dict[str, Effect] = {}
    runs: dict[str, dict[str, list[FinishedStage]]] = {}
    for view in run.stages:
        match = _TRAIN.match(view.name)
        if match and view.in_comparison == "run":
            found.setdefault(match["stage"], Effect(stage=match["stage"]))
            runs.setdefault(match["stage"], {}).setdefault(match["arm"], []).append(view)
    for view in run.stages:
        if view.in_comparison == "comparison":
            stage = view.name.rpartition(".")[0] or view.name
            one = found.setdefault(stage, Effect(stage=stage))
            metrics = _metrics(view)
            if metrics:
                _compare(one, metrics)
                one.beside = beside(metrics, _common(run, stage))
                one.metrics, one.costs = metrics, selection_costs(view.store, view.folder)
                one.machine = machine_time(view.store, view.folder)
                lines = [*cost_lines(one.costs, metrics), *machine_lines(one.machine, metrics)]
                one.details = [*_details(metrics), *lines]
    for stage, arms in runs.items():
        controls = {r.arm for t in found[stage].targets for r in t.rows if r.control} | ({"aa"} & set(arms))
        _draw_curves(found[stage], arms, controls)
    return list(found.values())


def _details(metrics: Mapping[str, Any]) -> list[str]:
    """What was measured beside the table; of a comparison by an earlier version, that it is to be made anew."""
    try:
        return details(metrics)
    except KeyError as error:
        return [
            f"compared by an earlier version, without {error}: run the recipe again for what stands beside the table"
        ]


def _common(run: FinishedRun, stage: str) -> Mapping[str, Any]:
    """What the selections of an ablation have in common, by label and seed; empty where nobody counted."""
    for view in run.stages:
        if view.name == f"{stage}.{OVERLAP}":
            found: Mapping[str, Any] = _metrics(view).get("common") or {}
            return found
    return {}


def _metrics(view: FinishedStage) -> Mapping[str, Any]:
    receipt = _single(view)
    metrics: Mapping[str, Any] = receipt.extra.get("metrics", {}) if receipt else {}
    return metrics


def _single(view: FinishedStage) -> Receipt | None:
    if view.manifest is None:
        return None
    for phase in ("result", "artefact"):
        for receipt in view.manifest.named(phase).values():
            return receipt
    return None


def _compare(one: Effect, metrics: Mapping[str, Any]) -> None:
    """The forest rows, facts and notes. Raises StoreError where the metrics have another form."""
    try:
        for name, target in metrics["targets"].items():
            groups = [(metrics["arms"], False), (metrics["aa"], True)]
            rows = [_row(arm, body["effects"][name], control=c) for many, c in groups for arm, body in many.items()]
            one.targets.append(Target(
                name=name, primary=name == metrics["primary"], documents=target["documents"],
                baseline=float(np.mean(metrics["baseline"]["scores"][name])), unit=target["unit"], rows=rows,
            ))  # fmt: skip
        one.targets.sort(key=lambda t: not t.primary)
        one.facts = [
            ("model", f"{weights_text(metrics['parameters'])} parameters"),
            ("training", f"{metrics['tokens']:,} tokens, {metrics['steps']:,} steps per run"),
            ("seeds", str(metrics["seeds"])), ("precision", ", ".join(metrics["precision"])),
        ]  # fmt: skip
        one.screening = bool(metrics["screening_only"])
        one.notes = [str(n) for n in metrics["notes"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the comparison has a form that this version of winnow does not read: {error!r}", where=one.stage,
            hint="remove its stage folder and run the recipe again",
        ) from error  # fmt: skip


def _row(arm: str, body: Mapping[str, Any], *, control: bool) -> Row:
    ngram = body.get("ngram") or {}
    return Row(
        arm=arm, control=control, mean=body["mean_diff"], low=body["low"], high=body["high"], verdict=body["verdict"],
        mde=body["mde"], p_adjusted=body[ADJUSTED if ADJUSTED in body else FORMERLY], fixed=body["fixed_selection"],
        asked=str(body.get("question") or ""), answers=answers(body), ngram=ngram.get("mean_diff"),
        explained=ngram.get("explained"),
    )  # fmt: skip


def _draw_curves(one: Effect, arms: Mapping[str, list[FinishedStage]], controls: set[str]) -> None:
    """Mean, smallest and largest loss over seeds, at equal numbers of training tokens."""
    for arm, views in sorted(arms.items(), key=lambda pair: (pair[0] != BASELINE, pair[0] in controls)):
        losses, tokens = [], 0
        for view in views:
            receipt = _single(view)
            if receipt is None:
                one.missing += 1
                continue
            losses.append(_losses(view, receipt))
            tokens = int(receipt.extra.get("metrics", {}).get("tokens", 0))
        steps = min((len(x) for x in losses), default=0)
        if steps < 2:
            continue
        one.window = max(1, steps // 25)
        smooth = np.stack([_smoothed(x[:steps], one.window) for x in losses])
        at = np.unique(np.linspace(0, smooth.shape[1] - 1, POINTS).astype(int))
        seen = (at + one.window) * (tokens / steps if tokens else 1)
        one.curves.append(Curve(
            arm=arm, control=arm in controls, seeds=len(losses), tokens=seen, mean=smooth.mean(0)[at],
            low=smooth.min(0)[at], high=smooth.max(0)[at],
        ))  # fmt: skip


def _losses(view: FinishedStage, receipt: Receipt) -> Floats:
    ref = next((f for f in receipt.files if f.name == LOSSES), None)
    if ref is None:
        return np.zeros(0)
    check_file(view.store, ref)
    return np.asarray(np.load(io.BytesIO(view.store.get(ref.key)), allow_pickle=False), dtype=np.float64)


def _smoothed(losses: Floats, window: int) -> Floats:
    """Running mean, f64[steps - window + 1]."""
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    return np.asarray((sums[window:] - sums[:-window]) / window)
