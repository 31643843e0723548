"""The losses of tokens under any model, and what they say of the documents that the tokens are of.

Shape suffixes: N tokens, D documents, B windows of a batch, L tokens of its longest, C tokens of a chunk, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Measure = Literal[
    "nll", "scored_tokens", "bits_per_byte", "nats_per_token", "token_variance", "token_max", "learnable_median",
    "top_k_share", "el2n",
]  # fmt: skip
RANKED = ("learnable_median", "top_k_share")  # measures that ask how likely the truth was beside the other tokens
SPREAD = ("el2n",)  # measures that need the whole distribution


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a model is asked of every token besides its loss; each costs a pass over the logits."""

    ranks: bool = False
    el2n: bool = False

    @classmethod
    def by(cls, measures: Sequence[str]) -> Wanted:
        """What these measures need."""
        return cls(ranks=any(m in RANKED for m in measures), el2n=any(m in SPREAD for m in measures))


@dataclass(frozen=True, kw_only=True)
class Values:
    """One value per token: `nats` f64[N], `rank` i64[N] of the truth (1: the likeliest), `el2n` f64[N]."""

    nats: Floats
    rank: Ints | None = None
    el2n: Floats | None = None

    @classmethod
    def empty(cls, count: int, wanted: Wanted) -> Values:
        """Room for `count` tokens; NaN until filled."""
        nats = np.full(count, np.nan)
        rank = np.zeros(count, dtype=np.int64) if wanted.ranks else None
        return cls(nats=nats, rank=rank, el2n=np.full(count, np.nan) if wanted.el2n else None)

    def put(self, at: Ints, found: Values) -> None:
        """Set the tokens at these places."""
        for name in ("nats", "rank", "el2n"):
            mine, theirs = getattr(self, name), getattr(found, name)
            if mine is not None:
                mine[at] = theirs


class TokenNats(Protocol):
    """A model that says the loss of tokens, given those before them in a window."""

    @property
    def context(self) -> int:
        """Predicted tokens of a window where nobody asks for another number."""

    @property
    def longest(self) -> int:
        """Most predicted tokens of a window."""

    @property
    def first(self) -> int:
        """The id from which a document's first token is predicted."""

    @property
    def vocab(self) -> int:
        """Ids that the model knows."""

    @property
    def room(self) -> int:
        """Tokens of a forward pass, padding included."""

    def values(self, inputs: Ints, counts: Bools, answers: Ints, wanted: Wanted, /) -> Values:
        """Of the tokens where `counts` bool[B, L]: inputs i64[B, L], answers i64[N] in their order."""


def values_of(logits: Callable[[slice], Any], answers: Any, chunks: Sequence[slice], wanted: Wanted) -> Values:
    """Values of tokens from the logits f[C, V] of every chunk; `answers` i64[N] is a tensor on their device.

    Ties rank alike, at the best rank. EL2N is the length of (distribution - truth): sqrt(sum p^2 - 2 p(truth) + 1).
    """
    import torch

    parts: dict[str, list[Any]] = {"nats": [], "rank": [], "el2n": []}
    with torch.no_grad():
        for chunk in chunks:
            row, answer = logits(chunk).float(), answers[chunk][:, None]
            total, picked = row.logsumexp(dim=1), row.gather(1, answer)
            parts["nats"].append(total - picked[:, 0])
            if wanted.ranks:
                parts["rank"].append((row > picked).sum(dim=1) + 1)
            if wanted.el2n:
                shares = (row - total[:, None]).exp_()
                truth = shares.gather(1, answer)[:, 0]
                square = shares.square_().sum(dim=1) - 2 * truth + 1
                parts["el2n"].append(square.clamp(min=0).sqrt())
    arrays = {name: torch.cat(found).cpu().numpy() for name, found in parts.items() if found}
    return Values(
        nats=arrays["nats"].astype(np.float64),
        rank=arrays["rank"].astype(np.int64) if wanted.ranks else None,
        el2n=arrays["el2n"].astype(np.float64) if wanted.el2n else None,
    )


def measured(
    values: Values, offsets: Ints, num_bytes: Ints, measures: Sequence[str], *, top_k: int, least_learnable: int
) -> dict[str, Floats]:
    """Measures of documents f64[D]; the tokens of document d are [offsets[d], offsets[d + 1]). NaN without a token.

    `learnable_median` (SALT) is the median of the losses of tokens whose truth is among the `top_k` likeliest, NaN
    where there are fewer than `least_learnable`; `top_k_share` the share of those tokens; `token_variance` is over
    tokens.
    Sums run over a document's own tokens in their order, whatever documents stand beside it.
    """
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    count = np.where(lengths > 0, lengths, np.nan)

    def sums(of: npt.NDArray[Any]) -> Floats:
        return np.asarray(np.bincount(owner, weights=of, minlength=len(lengths)), dtype=np.float64)

    nats = sums(values.nats)
    ways: dict[str, Callable[[], Floats]] = {
        "nll": lambda: nats * (count / count),
        "scored_tokens": lambda: lengths.astype(np.float64),
        "bits_per_byte": lambda: nats * (count / count) / (np.where(num_bytes > 0, num_bytes, np.nan) * math.log(2)),
        "nats_per_token": lambda: nats / count,
        "token_variance": lambda: sums((values.nats - (nats / count)[owner]) ** 2) / count,
        "token_max": lambda: _largest(values.nats, offsets),
        "learnable_median": lambda: _learnable(values, owner, len(lengths), top_k=top_k, least=least_learnable),
        "top_k_share": lambda: sums(_ranks(values) <= top_k) / count,
        "el2n": lambda: sums(_given(values.el2n)) / count,
    }
    return {name: ways[name]() for name in measures}


def _ranks(values: Values) -> Ints:
    assert values.rank is not None
    return values.rank


def _given(found: Floats | None) -> Floats:
    assert found is not None
    return found


def _largest(nats: Floats, offsets: Ints) -> Floats:
    out = np.full(len(offsets) - 1, np.nan)
    some = np.flatnonzero(np.diff(offsets))
    if len(some):  # `reduceat` runs to the next start: documents without a token between two are skipped
        out[some] = np.maximum.reduceat(nats, offsets[:-1][some])
    return out


def _learnable(values: Values, owner: Ints, documents: int, *, top_k: int, least: int) -> Floats:
    """Median per document over the tokens that rank among the `top_k`."""
    kept = _ranks(values) <= top_k
    nats, own = values.nats[kept], owner[kept]
    order = np.lexsort((nats, own))
    counts = np.bincount(own, minlength=documents)
    start = np.cumsum(counts) - counts
    out = np.full(documents, np.nan)
    enough = np.flatnonzero(counts >= max(1, least))
    ordered = nats[order]
    low, high = start[enough] + (counts[enough] - 1) // 2, start[enough] + counts[enough] // 2
    out[enough] = (ordered[low] + ordered[high]) / 2
    return out
