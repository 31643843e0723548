"""Windows over the requests of a target, and batches of them for one forward pass.

Requests are cut into windows of the context: without overlap by default, or every `stride` tokens, so that each
scored token but the first ones sees at least `context - stride` tokens. A request's first token is predicted from
the end mark; the end mark itself is never scored, because it has no bytes. Where context and answer are longer
than the window, the context loses its left end and no answer is cut; an answer longer than the window is scored in
several windows. Both are counted.

Windows are taken in order of their length and padded to the longest of their batch, so a batch costs what its
tokens cost.

Shape suffixes: W windows, B windows of a batch, L tokens of its longest, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.trainers.evaluate.suites import Tokenised
from winnow.trainers.model.device import Precision, autocast, one_thread

BATCH_TOKENS = {"cpu": 4096, "cuda": 1 << 16}  # of a forward pass, padding included
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Windows i64[W]: of `request`, tokens [start, stop) are predicted, those from `score` on count."""

    request: Ints
    start: Ints
    stop: Ints
    score: Ints
    cut_contexts: int  # requests whose context lost its left end
    long_answers: int  # requests whose scored text alone is longer than the context


def plan_windows(target: Tokenised, *, context: int, stride: int = 0) -> Plan:
    """Windows of at most `context` predicted tokens that score every scored token once.

    Raises:
        ConfigError: the stride is not in [0, context]; 0 means no overlap.
    """
    if not 0 <= stride <= context:
        raise ConfigError(f"stride is {stride}, not in [0, {context}]", where="stride")
    length, before = np.diff(target.offsets), target.context_tokens
    long = (length - before > context) & (before > 0)
    step = np.where(long, max(1, min(stride or context, context // 2)), stride or context)
    begin = np.where(long, np.maximum(before - (context - step), 0), length - context)
    begin = np.where((length <= context) | (before == 0), 0, begin)
    count = 1 + -(-np.maximum(length - begin - context, 0) // step)
    request = np.repeat(np.arange(len(length)), count)
    number = np.arange(len(request)) - np.repeat(np.cumsum(count) - count, count)
    start = begin[request] + number * step[request]
    fresh = np.where(number > 0, start + context - step[request], start)
    return Plan(
        request=request,
        start=start,
        stop=np.minimum(start + context, length[request]),
        score=np.maximum(fresh, before[request]),
        cut_contexts=int(((begin > 0) & ~long).sum()),
        long_answers=int((length - before > context).sum()) if target.kind in ("choices", "continuation") else 0,
    )


def batches(
    target: Tokenised, plan: Plan, *, end: int, batch_tokens: int = BATCH_TOKENS["cpu"], most_padding: float = 1.0
) -> Iterator[tuple[Ints, Ints, Bools, Ints]]:
    """(inputs i64[B, L], places of the predicted tokens in `target.ids` i64[B, L], which count bool[B, L], requests
    i64[B]) of every batch; inputs beyond a window's end are the end mark and count for nothing.

    No batch has a larger share of padding than `most_padding`, but for those below a sixteenth of `batch_tokens`.
    """
    length = plan.stop - plan.start
    order = np.argsort(length, kind="stable")
    at = 0
    while at < len(order):
        ahead = length[order[at : at + batch_tokens]]
        padded = ahead * np.arange(1, len(ahead) + 1)
        count = max(1, int(np.searchsorted(padded, batch_tokens, side="right")))
        if most_padding < 1:
            dense = (np.cumsum(ahead) >= (1 - most_padding) * padded) | (padded * 16 <= batch_tokens)
            count = max(1, min(count, int(np.argmin(dense)) if not dense.all() else count))
        rows = order[at : at + count]
        at += count
        position = plan.start[rows][:, None] + np.arange(int(length[rows].max()))[None, :]
        inside = position < plan.stop[rows][:, None]
        place = np.minimum(target.offsets[:-1][plan.request[rows]][:, None] + position, len(target.ids) - 1)
        before = np.where(position == 0, end, target.ids[np.maximum(place - 1, 0)].astype(np.int64))
        counts = inside & (position >= plan.score[rows][:, None])
        yield np.where(inside, before, end), place, counts, plan.request[rows]


def hidden_of(model: Any, inputs: Ints, *, precision: Precision) -> Any:
    """What the head of the model reads: a tensor [B, L, D] without gradients, on the model's device."""
    import torch

    device = device_of(model)
    with one_thread(), torch.no_grad(), autocast(precision, device=device):
        return model.hidden(torch.from_numpy(inputs).to(device))


def device_of(model: Any) -> Literal["cpu", "cuda"]:
    """Where the model's weights are."""
    return "cuda" if model.head.weight.device.type == "cuda" else "cpu"
