"""Scores along a run: the weights that it kept on its way, on targets. A new target trains nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from winnow.core.errors import DataError
from winnow.core.operators import Context, Exactness, Job, Resources, port
from winnow.trainers.evaluate import evaluate, suites
from winnow.trainers.evaluate.evaluate_gpt import untrained
from winnow.trainers.model import loop
from winnow.trainers.model.device import Device, Precision, resolve_device
from winnow.trainers.model.milestones import POINT
from winnow.trainers.model.shape import Shape


@dataclass(frozen=True, kw_only=True)
class EvaluateCurve(Job):
    """Losses of one run's weights along the way, on some targets.

    References: `run_of` (a `train_gpt` with a curve), `targets` {label: `target_tokens`}.

    Source: own
    """

    name: ClassVar[str] = "evaluate_curve"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)

    stride: int = 0
    precision: Precision = "auto"
    device: Device = field(default="auto", metadata={"identity": False})
    run_of: str = port("ref", default="")
    targets: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `points` [{step, tokens}], `targets` {label: `kind`, `measure`, `values` one per point}; or
        `untrained` {run: why}.

        Raises:
            DataError: the run kept no weights on its way, or a loss is no number.
        """
        source = ctx.ref("run_of")
        left_out = untrained({"run": source})
        if left_out:
            return {"targets": {}, "untrained": left_out}
        result, files = source.result(), source.files()
        if "curve" not in result:
            raise DataError("the run kept no weights on its way", where="run_of", hint="train it with `curve`")
        shape, device = Shape(**result["shape"]), resolve_device(self.device)
        loaded = {t: suites.load_tokens(s.files()[suites.TOKENS]) for t, s in ctx.refs["targets"].items()}
        values: dict[str, list[float]] = {target: [] for target in loaded}
        for number in range(len(result["curve"])):
            model = loop.load(files[POINT.format(number)], shape).to(device)
            for target, tokens in loaded.items():
                scores = evaluate.evaluate([model], shape, tokens, precision=self.precision, stride=self.stride)
                values[target].append(evaluate.summary(tokens, scores)["measures"][_main(tokens.kind)])
        targets = {t: {"kind": k.kind, "measure": _main(k.kind), "values": values[t]} for t, k in loaded.items()}
        return {"points": result["curve"], "targets": targets}


def _main(kind: str) -> str:
    """The measure that falls as a model learns."""
    return "log_loss" if kind == "labels" else "bits_per_byte"
