"""Built and compiled modules that wait for the next run of the same shape: one warm process trains many arms.

A module is lent to one run at a time and comes back when the run ends; the next run sets all its weights, so it
starts from the bits of a fresh build. At most `MOST_IDLE` shapes wait.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from winnow.trainers.model.device import Machine, product_type, resolve_device
from winnow.trainers.model.head import Workspace
from winnow.trainers.model.initialise import empty, reset
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape

MOST_IDLE = 2
Key = tuple[Shape, str, str, bool]


@dataclass(frozen=True, kw_only=True)
class Body:
    """A module on its device, the function that runs it up to the head, and the head's buffers."""

    model: Any
    hidden: Callable[[Any, Any], Any]  # (ids, segments or None) -> [B, T, D]; compiled where that was asked for
    workspace: Workspace
    device: str
    dtype: Any


_IDLE: OrderedDict[Key, Body] = OrderedDict()


@contextlib.contextmanager
def body(shape: Shape, recipe: Recipe, machine: Machine, *, init_seed: int) -> Iterator[Body]:
    """A body with the weights of `init_seed`, for the time of the context."""
    device = resolve_device(machine.device)
    dtype = product_type(recipe.precision, device=device)
    key = (shape, device, str(dtype), machine.compiled)
    ready = _IDLE.pop(key, None) or _build(shape, device, dtype, compiled=machine.compiled)
    reset(ready.model, init_seed=init_seed)
    yield ready  # a run that fails does not give its body back
    ready.model.zero_grad(set_to_none=True)
    _IDLE[key] = ready
    while len(_IDLE) > MOST_IDLE:
        _IDLE.popitem(last=False)


def forget() -> None:
    """Let all waiting modules go."""
    _IDLE.clear()


def _build(shape: Shape, device: str, dtype: Any, *, compiled: bool) -> Body:
    import torch

    model = empty(shape, device=device)
    hidden = torch.compile(model.hidden, dynamic=False) if compiled else model.hidden
    workspace = Workspace(shape.vocab, dtype=dtype, device=device)
    return Body(model=model, hidden=hidden, workspace=workspace, device=device, dtype=dtype)
