"""Both optimisers behind one face: a step at a learning rate factor, and a state of named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.core.errors import DataError
from winnow.trainers.model.muon import Muon
from winnow.trainers.model.recipe import Recipe

BETAS = (0.9, 0.95)
EPS = 1e-8
ADAM_STATE = ("exp_avg", "exp_avg_sq", "step")


class Updates:
    """Updates a model's weights in place: Muon and AdamW, or AdamW alone."""

    def __init__(self, model: Any, recipe: Recipe, *, dtype: Any) -> None:
        import torch

        self._named = dict(sorted(model.named_parameters()))
        hidden = [w for name, w in self._named.items() if name.startswith("blocks.")]
        muon = recipe.optimizer == "muon"
        self._lr_hidden = recipe.lr_hidden
        self._muon = Muon(hidden, weight_decay=recipe.weight_decay, dtype=dtype) if muon else None
        split = [
            {"params": [model.embedding.weight], "lr": recipe.lr_embedding},
            {"params": [model.head.weight], "lr": recipe.lr_head},
        ]
        every = [{"params": list(self._named.values()), "lr": recipe.lr_adamw}]
        self._adam = torch.optim.AdamW(
            split if muon else every,
            betas=BETAS,
            eps=EPS,
            weight_decay=0.0 if muon else recipe.weight_decay,
            fused=True,
        )
        self._base = [group["lr"] for group in self._adam.param_groups]

    def step(self, factor: float) -> None:
        """One update from the gradients that are there, every learning rate multiplied by `factor`."""
        for group, lr in zip(self._adam.param_groups, self._base, strict=True):
            group["lr"] = lr * factor
        if self._muon is not None:
            self._muon.step(self._lr_hidden * factor)
        self._adam.step()

    def scaled(self, name: str, gradient: Any) -> Any:
        """A gradient of the weight of that name over the root of AdamW's second moments, bias-corrected as its next
        step has them; as it is where AdamW keeps none of it (Muon's matrices, and all before the first step).
        """
        state = self._adam.state.get(self._named[name], {})
        if "exp_avg_sq" not in state:
            return gradient
        corrected = state["exp_avg_sq"] / (1.0 - BETAS[1] ** float(state["step"]))
        return gradient / (corrected.sqrt() + EPS)

    def tensors(self) -> dict[str, Any]:
        """Everything a later step depends on, by name; empty before the first step."""
        state: dict[str, Any] = {}
        for name, weight in self._named.items():
            if weight in self._adam.state:
                state |= {f"adam.{name}.{key}": self._adam.state[weight][key] for key in ADAM_STATE}
        if state and self._muon is not None:
            state |= {f"muon.{number}": buffer for number, buffer in enumerate(self._muon.buffers)}
        return state

    def load(self, tensors: Mapping[str, Any]) -> None:
        """Go on from what `tensors()` gave.

        Raises:
            DataError: a tensor is missing, or there is one that this optimiser has no use for.
        """
        unused = dict(tensors)
        try:
            for group in self._adam.param_groups:
                for weight in group["params"]:
                    name = next(n for n, w in self._named.items() if w is weight)
                    state = {key: unused.pop(f"adam.{name}.{key}") for key in ADAM_STATE}
                    self._adam.state[weight] = {k: v.to(weight.device).clone() for k, v in state.items()}
            for number, buffer in enumerate(self._muon.buffers if self._muon is not None else ()):
                buffer.copy_(unused.pop(f"muon.{number}"))
        except KeyError as error:
            raise DataError(f"the optimiser state has no tensor {error.args[0]!r}") from error
        if unused:
            raise DataError(f"the optimiser state has {len(unused)} tensors too many", where=min(unused))
