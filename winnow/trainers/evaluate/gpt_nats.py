"""Losses of documents under a model that winnow trained, as it ended or at a point on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, port
from winnow.trainers.evaluate.evaluate_gpt import untrained
from winnow.trainers.evaluate.model_nats import ModelNats
from winnow.trainers.evaluate.target_windows import BATCH_TOKENS, device_of, hidden_of
from winnow.trainers.evaluate.token_nats import Bools, Ints, Values, Wanted, values_of
from winnow.trainers.model import loop
from winnow.trainers.model.device import Device, Machine, Precision, computing, product_type, resolve_device
from winnow.trainers.model.head import Workspace, token_nats
from winnow.trainers.model.milestones import KEPT, POINT
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.start import WEIGHTS


@dataclass(frozen=True, kw_only=True)
class GptNats(ModelNats):
    """Losses of documents in token ids under a model that winnow trained.

    References: `run_of`, a trained model. A document's first token is predicted from the end mark; the mark at its own
    end is not scored, because it has no bytes. `step` is a point that the run kept (`curve`, `loss_at`).

    Source: own
    """

    name: ClassVar[str] = "gpt_nats"
    uses: ClassVar[tuple[str, ...]] = ("torch",)

    step: int = -1  # of the run; -1: its end
    run_of: str = port("ref", default="")

    def model(self, ctx: Context) -> Gpt:
        """The trained model.

        Raises:
            ConfigError: the reference holds no model, none of that step, or weights that are no numbers.
        """
        return Gpt(trained(ctx, device=self.device, step=self.step), precision=self.precision)


def trained(ctx: Context, *, device: Device, step: int = -1) -> Any:
    """The trained model behind the reference `run_of`, on its device; -1: as it ended.

    Raises:
        ConfigError: the reference holds no model, or none of that step.
    """
    source = ctx.ref("run_of")
    missing = untrained({"model": source})
    if missing:
        raise ConfigError(f"the model was not trained: {missing['model']}", where="model")
    told, files = source.result(), source.files()
    if told.get("shape") is None or WEIGHTS not in files:
        raise ConfigError("this stage holds no trained model", where="model", hint="name a `train` stage")
    name = WEIGHTS if step < 0 else _point(told, step)
    return loop.load(files[name], Shape(**told["shape"])).to(resolve_device(device))


def _point(told: dict[str, Any], step: int) -> str:
    """The file of the weights that a run kept at a step."""
    curve, apart = ([point["step"] for point in told.get(name, ())] for name in ("curve", "kept"))
    kept = sorted({*curve, *apart})
    if step not in kept:
        raise ConfigError(f"the run kept no weights at step {step}", where="at",
                          hint=f"it kept those at {', '.join(map(str, kept))}" if kept else "train it with `loss_at` "
                          "or `curve`")  # fmt: skip
    return KEPT.format(step) if step in apart else POINT.format(curve.index(step))


class Gpt:
    """A model of winnow's as `TokenNats`."""

    def __init__(self, model: Any, *, precision: Precision) -> None:
        broken = [n for n, w in model.named_parameters() if not bool(w.isfinite().all())]
        if broken:
            raise ConfigError(f"{len(broken)} of the model's weights are no finite numbers, such as {broken[0]}",
                              where="model")  # fmt: skip
        self._model, self._precision, self._device = model, precision, device_of(model)
        shape: Shape = model.shape
        self.context = self.longest = shape.context
        self.first, self.vocab = shape.vocab - 1, shape.vocab
        self.room = BATCH_TOKENS[self._device]
        self._space = Workspace(shape.vocab, dtype=product_type(precision, device=self._device), device=self._device)

    def values(self, inputs: Ints, counts: Bools, answers: Ints, wanted: Wanted, /) -> Values:
        """Of the tokens where `counts`."""
        import torch

        with computing(Machine(device=self._device)), torch.no_grad():
            hidden_BLD = hidden_of(self._model, inputs, precision=self._precision)
            hidden_ND = hidden_BLD[torch.from_numpy(counts).to(self._device)]
            answer, weight = torch.from_numpy(answers).to(self._device), self._model.head.weight
            if not (wanted.ranks or wanted.el2n):
                nats = token_nats(hidden_ND, weight, answer, workspace=self._space)
                return Values(nats=nats.double().cpu().numpy().astype(np.float64))
            x, head = hidden_ND.to(self._space.dtype), weight.to(self._space.dtype)
            return values_of(lambda chunk: x[chunk] @ head.T, answer, self._space.chunks(len(answers)), wanted)
