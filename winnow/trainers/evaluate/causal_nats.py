"""Losses of documents under somebody else's causal language model, from a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from winnow.core.operators import Context, Resources, port
from winnow.trainers.evaluate.model_nats import ModelNats
from winnow.trainers.evaluate.token_nats import Bools, Ints, Values, Wanted, values_of
from winnow.trainers.model.causal_folder import Causal, opened
from winnow.trainers.model.device import Machine, computing, one_thread


@dataclass(frozen=True, kw_only=True)
class CausalNats(ModelNats):
    """Losses of documents in token ids under a causal model of transformers, from plain files.

    A document's first token is predicted from the tokenizer's BOS, where it has none from its EOS, as `lm-eval` does.

    Source: own
    """

    name: ClassVar[str] = "causal_nats"
    uses: ClassVar[tuple[str, ...]] = ("transformers", "tokenizers", "torch")

    files: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})  # their folder
    weights_gb: float = field(default=1.0, metadata={"identity": False})  # of the weights in float32

    def __post_init__(self) -> None:
        """A task asks for the memory of the weights, and for a GPU where one is demanded."""
        gpus = 1.0 if self.device == "cuda" else 0.0
        asked = Resources(cpus=1, gpus=gpus, memory_gb=1.5 + 1.2 * self.weights_gb)
        object.__setattr__(self, "resources", asked)

    def model(self, ctx: Context) -> CausalTokens:
        """The model.

        Raises:
            ConfigError: the files are no such model.
        """
        paths = [Path(path) for path in ctx.refs.get("files", self.files)]
        return CausalTokens(opened(paths, ctx.work, device=self.device, precision=self.precision))


class CausalTokens:
    """A causal model of transformers as `TokenNats`."""

    def __init__(self, causal: Causal) -> None:
        self._causal = causal
        self.context, self.longest = causal.context, causal.longest
        self.first, self.vocab = causal.first, causal.vocab
        self.room = causal.room

    def values(self, inputs: Ints, counts: Bools, answers: Ints, wanted: Wanted, /) -> Values:
        """Of the tokens where `counts`; windows are filled up on the right, where no token looks."""
        import torch

        causal = self._causal
        with computing(Machine(device=causal.device)), one_thread(), torch.no_grad():
            ids, at = (torch.from_numpy(array).to(causal.device) for array in (inputs, counts))
            logits = causal.logits(ids, at)
            chunks = causal.chunks(len(answers))
            return values_of(logits, torch.from_numpy(answers).to(causal.device), chunks, wanted)

    def bare(self, inputs: Ints) -> Any:
        """All logits f[B, L, V] of a batch: the plain forward pass that speed is measured beside."""
        import torch

        with computing(Machine(device=self._causal.device)), one_thread(), torch.no_grad():
            return self._causal.plain(torch.from_numpy(inputs).to(self._causal.device))
