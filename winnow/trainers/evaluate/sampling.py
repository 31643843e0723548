"""Text drawn from a trained model, token by token: temperature, top-p, ids that never come.

Every token is drawn by a uniform number that is a function of (seed, sample, position), so a sample does not depend on
how many are drawn beside it beyond the last bits of the model's products. All samples of a prompt grow together; those
that reached their end leave the batch. No keys and values are kept: a step reads the text anew.

Shape suffixes: B samples that still grow, L tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.numerics.rng import uniform
from winnow.trainers.evaluate.target_windows import device_of, hidden_of
from winnow.trainers.model.device import Machine, Precision, computing

Ints = npt.NDArray[np.int64]
SALT = "winnow.sample_text"
AT_ONCE = 256  # samples of one forward pass


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How text is drawn; `sample_text` and `drawn_text` share these fields."""

    temperature: float = 0.7  # 0: the likeliest token
    top_p: float = 0.9  # the likeliest tokens that together have this probability; 1: all
    max_tokens: int = 128

    def check(self) -> None:
        """Raise ConfigError for a number out of its range."""
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature}, and must be 0 or more", where="temperature")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}, and must be in (0, 1]", where="top_p")
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}, and must be at least 1", where="max_tokens")


def drawn(
    model: Any, prompt: Sequence[int], numbers: Ints, *, how: Draws, seed: int, banned: Ints, precision: Precision
) -> list[Ints]:
    """Continuations of a prompt (ids, the end mark first), one for each sample number: ids without the end mark.

    A continuation ends where the end mark is drawn, or after `max_tokens`. `banned` are ids that are never drawn.
    Cost: max_tokens forward passes over prompt and text; positions beyond the model's context are forgotten.
    """
    out: list[Ints] = []
    with computing(Machine(device=device_of(model))):
        for start in range(0, len(numbers), AT_ONCE):
            here = numbers[start : start + AT_ONCE]
            out += _grown(model, prompt, here, how=how, seed=seed, banned=banned, precision=precision)
    return out


def _grown(
    model: Any, prompt: Sequence[int], numbers: Ints, *, how: Draws, seed: int, banned: Ints, precision: Precision
) -> list[Ints]:
    end, context = model.shape.vocab - 1, model.shape.context
    text = np.empty((len(numbers), len(prompt) + how.max_tokens), dtype=np.int64)
    text[:, : len(prompt)] = prompt
    length = np.full(len(numbers), how.max_tokens)
    alive = np.arange(len(numbers))
    for step in range(how.max_tokens):
        stop = len(prompt) + step
        logits = _logits(model, text[alive, max(0, stop - context) : stop], precision=precision)
        logits[:, banned] = -np.inf
        places = np.stack((numbers[alive], np.full(len(alive), step)), axis=1).astype(np.uint64)
        chosen = choose(logits, uniform(places, seed=seed, salt=SALT), how=how)
        text[alive, stop] = chosen
        length[alive[chosen == end]] = step
        alive = alive[chosen != end]
        if not len(alive):
            break
    return [row[len(prompt) : len(prompt) + count] for row, count in zip(text, length.tolist(), strict=True)]


def choose(logits: npt.NDArray[np.float64], draws: npt.NDArray[np.float64], *, how: Draws) -> Ints:
    """A token for every row of logits f64[B, V], by a uniform number each; equal logits in the order of their ids."""
    order = np.argsort(-logits, axis=1, kind="stable")
    if how.temperature == 0:
        return order[:, 0].astype(np.int64)
    ranked = np.take_along_axis(logits, order, axis=1)
    shares = np.exp((ranked - ranked[:, :1]) / how.temperature)
    ends = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
    kept = np.minimum((ends < how.top_p).sum(axis=1), logits.shape[1] - 1)  # the last token that is kept
    mass = np.take_along_axis(ends, kept[:, None], axis=1)[:, 0]
    place = np.minimum((ends < (draws * mass)[:, None]).sum(axis=1), kept)
    return np.take_along_axis(order, place[:, None], axis=1)[:, 0].astype(np.int64)


def _logits(model: Any, ids: Ints, *, precision: Precision) -> npt.NDArray[np.float64]:
    """Logits of the token behind each row, f64[B, V]."""
    import torch

    last = hidden_of(model, np.ascontiguousarray(ids), precision=precision)[:, -1]
    with torch.no_grad():
        weight = model.head.weight
        found: npt.NDArray[np.float64] = (last.to(weight.dtype) @ weight.T).double().cpu().numpy()
    return found


def expected_max(values: npt.NDArray[np.float64], of: int) -> float:
    """Mean, over all ways to take `of` of the values, of the largest: an unbiased estimate; NaN for fewer values."""
    count = len(values)
    if count < of:
        return float("nan")
    rank = np.arange(1, count + 1)
    # P(the r-th smallest is the largest of those taken) = C(r - 1, of - 1) / C(count, of), by logs of factorials
    weights = np.zeros(count)
    logs = np.concatenate(([0.0], np.cumsum(np.log(rank))))
    some = rank >= of
    r = rank[some]
    weights[some] = np.exp(logs[r - 1] - logs[of - 1] - logs[r - of] - (logs[count] - logs[of] - logs[count - of]))
    return float((np.sort(values) * weights).sum())
