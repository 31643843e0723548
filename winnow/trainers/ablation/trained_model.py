"""The face of a `train` stage: its model in files of their own names, and what it reached."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from winnow.core.errors import DataError
from winnow.core.operators import Context, Exactness, Job, Kind, Resources, Source, port
from winnow.trainers.compare.policy_lines import policy_text
from winnow.trainers.data.encoder import FILE
from winnow.trainers.model.sizes import weights_text
from winnow.trainers.model.start import WEIGHTS, tokens_behind

SHAPE_FILE = "model.json"
FACTS = ("shape", "parameters", "steps", "tokens", "epochs", "unique_tokens", "selection_documents", "precision",
         "first_loss", "last_loss", "start", "replay", "policy", "weights")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainedModel(Job):
    """A trained model in files, and its scores.

    Files, also under their own names in `model/`: weights.npz, tokenizer.json, model.json. References: `run_of`,
    `tokenizer`, `scores` {target} and `curves` {target}.

    Source: own
    """

    name: ClassVar[str] = "trained_model"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    publishes: ClassVar[str] = "model"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    run_of: str = port("ref", default="")
    tokenizer: str = port("ref", default="")
    scores: dict[str, str] | None = port("refs", default=None)
    curves: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: those of the run, `tokens_behind` (its start's included), `scores` {target: measures}, and `curve`
        {target: measure, steps, tokens, values}.

        Raises:
            DataError: training failed.
        """
        source = ctx.ref("run_of")
        result = source.result()
        if "failed" in result:
            raise DataError(f"training failed: {result['failed']}", hint="lower the learning rates")
        shutil.copyfile(source.files()[WEIGHTS], ctx.work / WEIGHTS)
        shutil.copyfile(ctx.ref("tokenizer").files()[FILE], ctx.work / FILE)
        behind = tokens_behind(result)
        (ctx.work / SHAPE_FILE).write_bytes(orjson.dumps({"shape": result["shape"], "tokens": behind}))
        scores = {t: one.result()["targets"][t]["measures"] for t, one in ctx.refs.get("scores", {}).items()}
        asked = {t: found for t, one in ctx.refs.get("scores", {}).items()
                 if (found := one.result()["targets"][t].get("asked"))}  # fmt: skip
        ctx.note("summary", _summary(result, scores))
        return {**{name: result[name] for name in FACTS if name in result}, "tokens_behind": behind, "scores": scores,
                **({"asked": asked} if asked else {}),
                "curve": {t: _curve(one, t) for t, one in ctx.refs.get("curves", {}).items()}}  # fmt: skip


def _curve(source: Source, target: str) -> dict[str, Any]:
    result = source.result()
    row = result["targets"][target]
    steps, tokens = ([point[name] for point in result["points"]] for name in ("step", "tokens"))
    return {"measure": row["measure"], "steps": steps, "tokens": tokens, "values": row["values"]}


def _summary(result: Mapping[str, Any], scores: Mapping[str, Mapping[str, float]]) -> str:
    """The stage's line in a terminal."""
    before = f" after {result['start']['tokens']:,}" if result.get("start", {}).get("tokens") else ""
    reached = "".join(f"; {target} {name} {value:.3f}" for target, measures in scores.items()
                      for name, value in list(measures.items())[:1])  # fmt: skip
    size, epochs = f"{weights_text(result['parameters'])} parameters", f"{result['epochs']:.2f} epochs"
    loss = policy_text(result["policy"] | result) if "policy" in result else f"training loss {result['last_loss']:.3f}"
    return f"{size}, {result['tokens']:,} tokens{before}, {epochs}, {loss}{reached}"
