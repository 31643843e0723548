"""Forward passes of a body over rows of a step: what the head reads, and the loss of every token.

Shape suffixes: B rows, T context, D width, N = B x T tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.trainers.data.batches import Batch
from winnow.trainers.model.device import Precision, autocast
from winnow.trainers.model.head import token_nats
from winnow.trainers.model.warm import Body


def tensor_of(array: npt.NDArray[Any], device: str) -> Any:
    """The array on a device."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def rows_of(batch: Batch, part: slice) -> Batch:
    """Some rows of a batch."""
    return Batch(**{f.name: getattr(batch, f.name)[part] for f in dataclasses.fields(batch)})


def passes_of(rows: Batch, micro_rows: int) -> list[slice]:
    """The rows of each forward pass; 0: all in one."""
    micro = micro_rows or max(1, len(rows.ids))
    return [slice(start, start + micro) for start in range(0, len(rows.ids), micro)]


def is_packed(rows: Batch) -> bool:
    """Whether a row holds several pieces, so that attention needs their numbers."""
    return bool(rows.segments.max(initial=-1) > 0)  # fill lies at the end of a row, where nothing sees it


def hidden_of(body: Body, rows: Batch, *, precision: Precision, several: bool) -> Any:
    """What the head reads of some rows, [N, D], by the body's own (perhaps compiled) function."""
    with autocast(precision, device=body.device):
        hidden_BTD = body.hidden(
            tensor_of(rows.ids, body.device), tensor_of(rows.segments, body.device) if several else None
        )
    return hidden_BTD.flatten(0, 1)


def nats_of(body: Body, rows: Batch, *, precision: Precision, micro_rows: int = 0) -> npt.NDArray[np.float32]:
    """Loss of every target of the rows, f32[B, T]; no gradients, pass by pass."""
    return read_of(body, rows, precision=precision, micro_rows=micro_rows, measure=lambda _: None)[0]


def read_of(
    body: Body, rows: Batch, *, precision: Precision, micro_rows: int, measure: Callable[[Any], Any]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """(loss of every target f32[B, T], `measure` of what the head reads f32[B, T] or None); no gradients."""
    import torch

    several, out = is_packed(rows), np.zeros(rows.ids.shape, dtype=np.float32)
    measured: npt.NDArray[np.float32] | None = None
    with torch.no_grad():
        for part in passes_of(rows, micro_rows):
            some = rows_of(rows, part)
            hidden_ND = hidden_of(body, some, precision=precision, several=several)
            targets_N = tensor_of(some.targets, body.device).flatten()
            nats = token_nats(hidden_ND, body.model.head.weight, targets_N, workspace=body.workspace)
            out[part] = nats.view(some.ids.shape).cpu().numpy()
            more = array_of(measure(hidden_ND), some)
            if more is not None:
                measured = np.zeros_like(out) if measured is None else measured
                measured[part] = more
    return out, measured


def array_of(values_N: Any, rows: Batch) -> npt.NDArray[np.float32] | None:
    """A number of every token of a pass, f32[B, T] on the CPU; None for none."""
    if values_N is None:
        return None
    array: npt.NDArray[np.float32] = values_N.detach().float().view(rows.ids.shape).cpu().numpy()
    return array
