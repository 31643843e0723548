"""One model from several: the average of their weights, which scores like any other model and trains nothing.

Models that began alike and saw different data lie in one basin where they did not go far: branches that decayed from
one checkpoint, or fine-tuned ones. Trained from scratch to the end, models may lie so far apart that their average is
worth little; the score shows which it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.core.operators import Context, Job, Kind, Scope, Source, Sub, port
from winnow.trainers.evaluate.evaluate_gpt import untrained
from winnow.trainers.model.held import Held, held
from winnow.trainers.model.train_gpt import WEIGHTS

SUMMED = (
    "operations",
    "steps",
    "tokens",
    "selection_tokens",
    "selection_documents",
    "unique_tokens",
    "unique_documents",
)

SAME = ("shape", "parameters", "hidden_parameters", "precision", "init_seed")


@dataclass(frozen=True, kw_only=True)
class Soup(Job):
    """A model whose weights are the average of those of several trained models of one shape and beginning.

    References: `models` {label: trained artefact}. Files: weights.npz, as that of a training run.

    Source: model soups (Wortsman et al. 2022), uniform or weighted; no greedy choice of members
    """

    name: ClassVar[str] = "soup_gpt"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT

    weights: dict[str, float] | None = None  # label -> weight of a model, relative to the others; None: all alike
    models: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics as those of a training run: counts are sums over the models, `tokens_each` those of one of them.

        Raises:
            DataError: models differ in shape or in how they began, or a stage holds none.
        """
        sources: Mapping[str, Source] = dict(sorted(ctx.refs["models"].items()))  # sums in one order
        missing = untrained(sources)
        if missing:
            return {"failed": f"no average: without a model of {', '.join(sorted(missing))}"}
        told = {label: source.result() for label, source in sources.items()}
        _check_alike({label: str(run["shape"]) for label, run in told.items()}, "shape")
        _check_alike({label: _beginning(run) for label, run in told.items()}, "how they began")
        weights = [(self.weights or dict.fromkeys(told, 1.0))[label] for label in told]
        average = averaged([source.files()[WEIGHTS] for source in sources.values()], weights)
        np.savez(ctx.work / WEIGHTS, allow_pickle=False, **average)
        first = next(iter(told.values()))
        same = {key: first[key] for key in (*SAME, "start") if key in first}
        sums = {key: sum(run[key] for run in told.values()) for key in SUMMED}
        return {
            **same, **sums, "epochs": sums["tokens"] / sums["selection_tokens"], "tokens_each": first["tokens"],
            "soup": {label: weight / sum(weights) for label, weight in zip(told, weights, strict=True)},
        }  # fmt: skip

    def held(self, stage: Sub, scope: Scope) -> Held:
        """Where the parts of its model lie: what its members have, and what they were trained on."""
        members = [held(scope, name) for name in stage.refs["models"].values()]
        chosen = dict.fromkeys(name for one in members for name in one.selections)
        return replace(members[0], model=stage.name, selections=tuple(chosen))


def _beginning(run: Mapping[str, Any]) -> str:
    """The first weights of a run: those of its start, or of its seed."""
    return f"start {run['start']['digest']}" if "start" in run else f"init_seed {run['init_seed']}"


def _check_alike(seen: Mapping[str, str], what: str) -> None:
    different = {value: label for label, value in seen.items()}
    if len(different) > 1:
        told = "; ".join(f"{label} {value}" for value, label in different.items())
        raise DataError(f"models that differ in {what} have no average: {told}", where="models",
                        hint="average arms of one size that continue one model, or none")  # fmt: skip


def averaged(paths: Sequence[Path], weights: Sequence[float]) -> dict[str, npt.NDArray[np.float32]]:
    """Every array of the .npz files `paths` as its weighted mean, summed in float64 in the given order."""
    total = sum(weights)
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for path, weight in zip(paths, weights, strict=True):
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                part = arrays[name].astype(np.float64) * (weight / total)
                sums[name] = sums[name] + part if name in sums else part
    return {name: values.astype(np.float32) for name, values in sums.items()}
