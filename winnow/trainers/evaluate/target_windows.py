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

    Less than `most_padding` of all that is yielded is padding. A window without a token is in no batch.
    """
    length = plan.stop - plan.start
    order = np.argsort(length, kind="stable")
    order = order[length[order] > 0]
    begin = 0
    for stop in ends_of_batches(length[order], batch_tokens, most_padding=most_padding):
        rows, begin = order[begin:stop], stop
        position = plan.start[rows][:, None] + np.arange(int(length[rows[-1]]))[None, :]
        inside = position < plan.stop[rows][:, None]
        place = np.minimum(target.offsets[:-1][plan.request[rows]][:, None] + position, len(target.ids) - 1)
        before = np.where(position == 0, end, target.ids[np.maximum(place - 1, 0)].astype(np.int64))
        counts = inside & (position >= plan.score[rows][:, None])
        yield np.where(inside, before, end), place, counts, plan.request[rows]


def ends_of_batches(length: Ints, batch_tokens: int, *, most_padding: float = 1.0) -> list[int]:
    """Where batches of windows of ascending `length` i64[W] end, so that less than `most_padding` of them is padding.

    Each is below that share by itself, but for small ones, which take what the others leave of it: at first those below
    a sixteenth of `batch_tokens`, then below half of that and so on, until the sum is right.
    """
    small = batch_tokens // 16
    while True:
        ends: list[int] = []
        padded = at = 0
        while at < len(length):
            ahead = length[at : at + max(1, batch_tokens // int(length[at]))]
            size = ahead * np.arange(1, len(ahead) + 1)
            fits = (size <= batch_tokens) & (
                (most_padding >= 1) | (np.cumsum(ahead) > (1 - most_padding) * size) | (size <= small)
            )
            count = len(fits) if fits.all() else max(1, int(np.argmin(fits)))
            padded, at = padded + int(size[count - 1]), at + count
            ends.append(at)
        if most_padding >= 1 or not small or padded - int(length.sum()) < most_padding * padded:
            return ends
        small //= 2


def hidden_of(model: Any, inputs: Ints, *, precision: Precision) -> Any:
    """What the head of the model reads: a tensor [B, L, D] without gradients, on the model's device."""
    import torch

    device = device_of(model)
    with one_thread(), torch.no_grad(), autocast(precision, device=device):
        return model.hidden(torch.from_numpy(inputs).to(device))


def device_of(model: Any) -> Literal["cpu", "cuda"]:
    """Where the model's weights are."""
    return "cuda" if model.head.weight.device.type == "cuda" else "cpu"
