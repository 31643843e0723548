"""Evaluation as a job of its own: a trained model and targets in tokens in, scores per item out.

References: `models` {label: trained artefact} and `targets` {label: `target_tokens`}. One model is the rule; several
are an ensemble of one shape. A trained artefact holds weights that `loop.load` reads, and its metrics the shape,
under `shape`. Because training knows no target, a new target trains nothing; a job per model and target (what an
ablation expands into) scores nothing again either.

Files: documents.npz, arrays `{label}.nats`, `{label}.bytes` (of the right answer) and, where the kind has them,
`{label}.correct`, `{label}.correct_per_char`, `{label}.correct_per_byte`, `{label}.untrained`, one value per item. A
model whose training failed or was stopped has no weights: nothing is scored and no file written, and `untrained`
says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Exactness, Job, Kind, Resources, Source, port
from winnow.trainers.evaluate import behind_control, centring, evaluate, flatness, suites
from winnow.trainers.model import loop
from winnow.trainers.model.device import Device, Precision, resolve_device, resolve_precision
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.train_gpt import WEIGHTS

DOCUMENTS = "documents.npz"


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How a model is scored on a target; `evaluate_gpt` and `ablation` share these fields."""

    stride: int = 0  # tokens between evaluation windows; 0: no overlap
    flatness_probes: int = 0  # vectors for the trace of the loss's Hessian on the primary target; 0: none
    flatness_tokens: int = 4096  # of that target, for the trace


@dataclass(frozen=True, kw_only=True)
class Evaluate(Scoring, Job):
    """A trained model's scores on targets: bits per byte, accuracies, probes, and flatness where asked for.

    A model with control tokens (`conditional`) is scored on the bare text like any other, and `asked` has its bits per
    byte behind the controls that it is asked for.

    Source: own; centred accuracy after DCLM's CORE; Hutchinson's trace estimate
    """

    name: ClassVar[str] = "evaluate_gpt"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    version: ClassVar[int] = 3
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)

    precision: Precision = "auto"
    device: Device = field(default="auto", metadata={"identity": False})
    models: dict[str, str] | None = port("refs", default=None)
    targets: dict[str, str] | None = port("refs", default=None)

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        for name, least in (("stride", 0), ("flatness_probes", 0), ("flatness_tokens", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be at least {least}", where=name)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `targets` {label: kind, measures, facts, asked}, `suite` (means over targets), `members`,
        `precision`; or `untrained`, where a model is missing.

        Raises:
            DataError: models differ in shape, or a loss is no number.
        """
        left_out = untrained(ctx.refs["models"])
        if left_out:
            return {"targets": {}, "untrained": left_out}
        device = resolve_device(self.device)
        models, shape = opened(ctx.refs["models"], device=device)
        summaries: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        for label, source in ctx.refs["targets"].items():
            target = suites.load_tokens(source.files()[suites.TOKENS])
            scores = evaluate.evaluate(models, shape, target, precision=self.precision, stride=self.stride)
            summaries[label] = evaluate.summary(target, scores)
            controls = asked_for(ctx.refs["models"])
            if controls:
                how: dict[str, Any] = {"precision": self.precision, "stride": self.stride}
                summaries[label]["asked"] = behind_control.asked(models, shape, target, controls, **how)
            arrays |= scores.arrays(label)
            if (
                self.flatness_probes
                and target.kind == "documents"
                and not any("flatness" in f for f in summaries.values())
            ):
                summaries[label]["flatness"] = self._flatness(models, shape, target)
        np.savez(ctx.work / DOCUMENTS, allow_pickle=False, **arrays)
        return {
            "targets": summaries,
            "suite": suite_means(summaries),
            "members": len(models),
            "shape": asdict(shape),
            "precision": resolve_precision(self.precision, device=device),
        }

    def _flatness(self, models: Sequence[Any], shape: Shape, target: suites.Tokenised) -> dict[str, Any]:
        inputs, answers = flatness.sample(target, shape, num_tokens=self.flatness_tokens)
        return flatness.hessian_trace(models[0], inputs, answers, probes=self.flatness_probes, seed=0)


def untrained(sources: Mapping[str, Source]) -> dict[str, str]:
    """Label -> why, of runs that were committed without a model: a loss that was no number, or a stopped arm."""
    results = {label: source.result() for label, source in sources.items()}
    return {label: key for label, result in results.items() for key in ("failed", "stopped") if key in result}


def controls_of(result: Mapping[str, Any]) -> dict[str, int]:
    """Label -> id of the control tokens that a run was trained with; none without the policy."""
    return dict(_figures(result).get("controls") or {})


def asked_for(sources: Mapping[str, Source]) -> dict[str, int]:
    """Label -> id of the controls behind which the models are scored as well: those that all of them name."""
    known = [(controls_of(s.result()), _figures(s.result()).get("ask_for") or ()) for s in sources.values()]
    first, labels = known[0]
    return {label: first[label] for label in labels if all(other.get(label) == first[label] for other, _ in known)}


def _figures(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return (result.get("policy") or {}).get("figures") or {}


def opened(sources: Mapping[str, Source], *, device: str = "cpu") -> tuple[list[Any], Shape]:
    """(models in the order of their labels, their shape).

    Raises:
        DataError: shapes differ, or a stage holds no model.
    """
    shapes = {}
    for label, source in sources.items():
        shape = source.result().get("shape")
        if shape is None or WEIGHTS not in source.files():
            raise DataError("this stage holds no trained model", where=f"models.{label}")
        shapes[label] = Shape(**shape)
    if len(set(shapes.values())) != 1:
        raise DataError(f"an ensemble's models have one shape; here {len(set(shapes.values()))}", where="models")
    shape = next(iter(shapes.values()))
    return [loop.load(source.files()[WEIGHTS], shape).to(device) for source in sources.values()], shape


def suite_means(targets: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Mean bits per byte over the targets that have it, and mean centred accuracy over those that have that."""
    out: dict[str, float | None] = {}
    for name, measure in (("bits_per_byte", "bits_per_byte"), ("core", "centred")):
        values = [t["measures"][measure] for t in targets.values() if measure in t["measures"]]
        out[name] = centring.mean(values) if values else None
    return out
