"""The base rate of a target in the pool: a guide to how much a selection can be worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.operators import Context, Exactness, Job, Resources, port
from winnow.trainers.evaluate import suites

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BaseRate(Job):
    """Share of the pool's tokens in documents that look like the target, in [0, 1].

    One over it would bound what a selection can be worth if such tokens alone taught the target, and all alike. Others
    teach or disturb, and a threshold makes like and unlike of what are degrees, so it is a guide and no bound.

    The target's items are dealt into two halves. One half and the pool give smoothed token frequencies; a text's
    score is its mean log ratio of the two. A document looks like the target where it scores at most `spread` standard
    deviations below the mean of the other half's items. Reads tokens, no text.

    Source: own; log ratios of token frequencies as in Moore and Lewis 2010 with unigrams
    """

    name: ClassVar[str] = "target_base_rate"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-6)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    vocab: int
    spread: float = 2.0
    tokens: str = port("ref", default="")
    target: str = port("ref", default="")  # its `target_tokens`

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `share` of tokens and of documents in [0, 1], and `how` documents were judged."""
        frame = ctx.ref("tokens").frame("tokens").drop_nulls()
        lengths = frame["tokens"].list.len().to_numpy().astype(np.int64)
        flat = frame["tokens"].list.explode(empty_as_null=False).to_numpy()
        held = suites.load_tokens(ctx.ref("target").files()[suites.TOKENS])
        share, documents = base_rate(
            (flat, np.concatenate(([0], np.cumsum(lengths)))), (held.ids, held.offsets), vocab=self.vocab,
            spread=self.spread,
        )  # fmt: skip
        how = f"by token frequencies: at most {self.spread:g} sd below the mean of held-out target items"
        return {"share": share, "documents_share": documents, "how": how}


def base_rate(
    pool: tuple[Any, Any], target: tuple[Any, Any], *, vocab: int, spread: float = 2.0
) -> tuple[float, float]:
    """(share of tokens, share of documents) of the pool that look like the target; see `BaseRate`.

    Shapes: (ids [tokens], offsets i64[texts + 1]) each.
    """
    ids, offsets = target
    item = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    taught = item % 2 == 0
    ratio = _log_frequencies(ids[taught], vocab) - _log_frequencies(pool[0], vocab)
    held = _means(ratio[ids], offsets)[1::2]
    held = held if len(held) else _means(ratio[ids], offsets)
    threshold = held.mean() - spread * held.std(ddof=1 if len(held) > 1 else 0)
    scores, lengths = _means(ratio[pool[0]], pool[1]), np.diff(pool[1])
    alike = (scores >= threshold) & (lengths > 0)
    return float(lengths[alike].sum() / max(1, lengths.sum())), float(alike.mean()) if len(alike) else 0.0


def _log_frequencies(ids: Any, vocab: int) -> Floats:
    counts = np.bincount(ids, minlength=vocab).astype(np.float64) + 0.5
    return np.asarray(np.log(counts / counts.sum()))


def _means(values: Floats, offsets: Any) -> Floats:
    sums = np.concatenate(([0.0], np.cumsum(values)))
    return np.asarray((sums[offsets[1:]] - sums[offsets[:-1]]) / np.maximum(1, np.diff(offsets)))
