"""Trained runs of a root, arranged anew and compared by the product's own job.

A census asks the same runs many questions: every label as the baseline, other numbers of seeds, both questions. Training
is done once, by the recipe; `arranged` then gives the comparison's job the same sources that the recipe would give it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

import winnow as w
from winnow.core.operators import Context, Kind, Source
from winnow.trainers.ablation.shared_documents import Shared, selection_digest
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.compare_arms import Compare


@dataclass(frozen=True, kw_only=True)
class Known:
    """A source that is held in memory: metrics and files."""

    metrics: Mapping[str, Any]
    paths: Mapping[str, Path] | None = None
    kind: Kind = Kind.RESULT
    digest: str = "0" * 32

    def frame(self, *columns: str, where_kept: bool = False) -> pl.DataFrame:
        raise NotImplementedError(columns, where_kept)

    def files(self) -> dict[str, Path]:
        return dict(self.paths or {})

    def result(self) -> dict[str, Any]:
        return dict(self.metrics)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One trained run: its metrics, its scores by target, and the documents that it was trained on."""

    trained: Source
    scores: Mapping[str, Source]
    selection: str
    documents: pl.Series

    def score(self, target: str) -> float:
        """Bits per byte on a target."""
        return float(self.scores[target].result()["targets"][target]["measures"]["bits_per_byte"])


def open_pool(root: Path, name: str) -> pl.DataFrame:
    """doc_id and text_bytes of the pool, by doc_id."""
    frame = w.open(root, name=name).frame("docs", ["text_bytes"]).select("doc_id", "text_bytes").collect()
    return frame.sort("doc_id")


def open_runs(root: Path, name: str, stage: str, arms: Mapping[str, str], seeds: int) -> dict[str, list[Run]]:
    """Runs by label in the order of their seeds, from a finished ablation; `arms` maps label to selection."""
    opened = w.open(root, name=name)
    metrics = opened.result(stage).metrics
    drawn = set(opened.stages)

    def run(label: str, seed: int) -> Run:
        anew = [
            f"{stage}.{name}"
            for name in (f"draw_{arms[label]}_{seed}", f"fold{seed}_draw_{arms[label]}", f"fold{seed}_{arms[label]}")
        ]
        selection = next((name for name in anew if name in drawn), arms[label])
        kept = opened.frame(selection, ["kept"]).filter(pl.col("kept")).select("doc_id").collect()["doc_id"]
        return Run(
            trained=opened.run.stage(f"{stage}.train_{label}_{seed}").committed,
            scores={t: opened.run.stage(f"{stage}.score_{label}_{seed}_{t}").committed for t in metrics["targets"]},
            selection=selection, documents=kept,
        )  # fmt: skip

    return {label: [run(label, seed) for seed in range(seeds)] for label in arms}


def overlap(pool: pl.DataFrame, arranged: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """What the overlap job of an ablation says of these selections: `common` and `digests`."""
    shared = Shared(pool=pool)
    members, digests = {}, {}
    for label, runs in arranged.items():
        for seed, run in enumerate(runs):
            if run.selection not in shared.bitmaps:
                shared.add(run.selection, run.documents)
            members[f"{label}/{seed}"] = run.selection
            digests[f"{label}/{seed}"] = selection_digest(run.documents.to_frame("doc_id"))
    return {"targets": {}, "digests": digests, "common": shared.table(members)}


def compared(
    arranged: Mapping[str, Sequence[Run]], pool: pl.DataFrame, *, targets: Sequence[str], fixed: Sequence[str] = (),
    **asked: Any,
) -> dict[str, Any]:  # fmt: skip
    """The comparison's metrics of runs by label, "baseline" among them; `asked` are further fields of the job."""
    arms = tuple(label for label in arranged if label != BASELINE)
    seeds = len(arranged[BASELINE])
    operator = Compare(
        arms=arms, controls=(), fixed=tuple(fixed), baseline_fixed=False, targets=tuple(targets), seeds=seeds, **asked,
    )  # fmt: skip
    refs = {
        "runs": {f"{label}/{s}": run.trained for label, runs in arranged.items() for s, run in enumerate(runs)},
        "scores": {f"{label}/{s}/{t}": run.scores[t]
                   for label, runs in arranged.items() for s, run in enumerate(runs) for t in targets},
        "checks": {"arms": Known(metrics=overlap(pool, arranged))},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        return operator.run(Context(seed=0, work=Path(work), refs=refs))
