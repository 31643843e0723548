"""What stands beside the effects of a comparison: both answers, unique tokens, text in common, the tuning grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from winnow.trainers.compare.verdict_text import noise_line

BASELINE = "baseline"
QUESTIONS = {"method": "this method", "selection": "this selection"}
INTERVALS = {
    "pooled": "pooled noise",
    "own": "its own noise",
    "paired": "paired over seeds",
    "folds": "paired over seeds, each with its own fold",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a comparison says to one of its two questions, or why it says nothing."""

    question: str  # as a reader sees it
    low: float | None
    high: float | None
    p: float | None
    verdict: str
    how: str = ""  # which interval
    why: str = ""  # there is no answer


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the runs of one label were trained on: (least, most) over seeds."""

    label: str
    tokens: tuple[float, float] | None = None  # unique ones
    documents: tuple[float, float] | None = None
    epochs: tuple[float, float] | None = None
    selections: str = ""  # how many of its seeds' selections differ
    common: float | None = None  # share of text that two of its seeds have in common


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Mean share of text in common between the selections of two labels, [labels][labels] in [0, 1]."""

    labels: list[str]
    shares: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A tuning grid: the mean of every label at every cell, and which cell each is trained at."""

    told: str
    cells: list[str]
    labels: list[str]
    means: list[list[float | None]]  # [cell][label]; None: the cell failed
    chosen: list[str | None]  # per label


@dataclass(frozen=True, kw_only=True)
class Track:
    """One label's loss on a target while it trains, over its seeds: values at `tokens`."""

    label: str
    tokens: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    rise: float | None = None  # largest one above the loss before the first step; None from scratch
    rise_at: float | None = None  # tokens
    back_at: float | None = None  # tokens at which it is back; None: not by the end


@dataclass(frozen=True, kw_only=True)
class Along:
    """A target over the tokens of the runs."""

    target: str
    role: str  # old, new, unseen or empty
    unit: str
    tracks: list[Track]


@dataclass(kw_only=True)
class Beside:
    """All of it for one comparison; empty where it has none."""

    verdicts: list[str] = field(default_factory=list)  # a sentence per arm
    noise: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    shared: Shared | None = None
    tuned: Tuned | None = None
    along: list[Along] = field(default_factory=list)


def answers(row: Mapping[str, Any]) -> dict[str, Answer]:
    """Question -> answer of a row; none of a row that a version before the two questions wrote."""
    return {
        name: Answer(
            question=told, low=row[name]["low"], high=row[name]["high"], p=row[name].get("p_adjusted"),
            verdict=str(row[name]["verdict"]), how=INTERVALS.get(str(row[name].get("interval")), ""),
            why=str(row[name].get("why") or ""),
        )
        for name, told in QUESTIONS.items()
        if isinstance(row.get(name), Mapping)
    }  # fmt: skip


def beside(metrics: Mapping[str, Any], common: Mapping[str, Any]) -> Beside:
    """What a comparison's metrics hold beside its effects; `common` are `keys` and `shares` of its overlap job."""
    verdicts = metrics.get("verdicts", {})
    return Beside(
        verdicts=[str(sentence) for sentence in verdicts.values()],
        noise=list(noise_line(metrics)) if "components" in metrics else [],
        seen=list(_seen(metrics)),
        shared=_shared(common, (BASELINE, *metrics["arms"], *metrics["aa"])),
        tuned=_tuned(metrics),
        along=list(_along(metrics)),
    )


def _seen(metrics: Mapping[str, Any]) -> Iterator[Seen]:
    draws = metrics.get("draws", {})
    for label, arm in {BASELINE: metrics["baseline"], **metrics["arms"], **metrics["aa"]}.items():
        drawn = draws.get(label, {})
        spans = {name: _span(arm.get(name)) for name in ("unique_tokens", "unique_documents", "epochs")}
        if any(spans.values()) or drawn:
            yield Seen(
                label=label, tokens=spans["unique_tokens"], documents=spans["unique_documents"], epochs=spans["epochs"],
                selections=f"{drawn['selections']} of {drawn['seeds']}" if drawn else "", common=drawn.get("common"),
            )  # fmt: skip


def _span(values: Any) -> tuple[float, float] | None:
    return (min(values), max(values)) if isinstance(values, Sequence) and len(values) else None


def _shared(common: Mapping[str, Any], known: Iterable[str]) -> Shared | None:
    """Means over pairs of seeds; of a label with itself over different seeds, 1 where it has one seed."""
    owner = [str(key).rpartition("/")[0] for key in common.get("keys", ())]
    places = {label: [i for i, own in enumerate(owner) if own == label] for label in dict.fromkeys(owner)}
    labels = [label for label in known if label in places]
    if len(labels) < 2:
        return None
    table = np.asarray(common["shares"], dtype=np.float64)
    return Shared(labels=labels, shares=[[_mean(table, places[a], places[b]) for b in labels] for a in labels])


def _mean(table: Any, rows: list[int], columns: list[int]) -> float:
    pairs = [table[i, j] for i in rows for j in columns if rows != columns or i != j]
    return float(np.mean(pairs)) if pairs else 1.0


def _tuned(metrics: Mapping[str, Any]) -> Tuned | None:
    tuning = metrics.get("tuning")
    if not tuning:
        return None
    labels, cells = dict(tuning["labels"]), list(tuning["cells"])
    seeds, runs = tuning["seeds"], tuning["runs"]
    return Tuned(
        told=f"means on {tuning['target']} over {seeds} seeds of their own; {runs} further trainings",
        cells=cells, labels=list(labels),
        means=[[choice["cells"][cell]["mean"] for choice in labels.values()] for cell in cells],
        chosen=[choice["chosen"] for choice in labels.values()],
    )  # fmt: skip


def _along(metrics: Mapping[str, Any]) -> Iterator[Along]:
    """What was scored while the runs trained, target by target."""
    found = metrics.get("curve") or {}
    curve = {label: found[label] for label in (BASELINE, *metrics["arms"], *metrics["aa"]) if label in found}
    for target, facts in metrics["targets"].items():
        rows = {label: targets[target] for label, targets in curve.items() if target in targets}
        if rows:
            roles = {str(row["role"]) for row in rows.values()} - {""}
            tracks = [_track(label, row) for label, row in rows.items()]
            yield Along(target=target, role=", ".join(sorted(roles)), unit=facts["unit"], tracks=tracks)


def _track(label: str, row: Mapping[str, Any]) -> Track:
    seeds = np.asarray(row["seeds"], dtype=np.float64)
    return Track(
        label=label, tokens=list(row["tokens"]), mean=list(row["mean"]), low=seeds.min(0).tolist(),
        high=seeds.max(0).tolist(), rise=row["rise"], rise_at=row["rise_at"], back_at=row["back_at"],
    )  # fmt: skip
