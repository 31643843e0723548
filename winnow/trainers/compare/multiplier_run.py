"""Jobs behind the token multiplier: the baseline's law with every arm's worth, and the pool's base rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.operators import Context, Exactness, Job, Resources, port
from winnow.trainers.compare.arms import MAIN, open_arm
from winnow.trainers.compare.multiplier import multiplier, multiplier_row
from winnow.trainers.evaluate import suites

BASELINE = "baseline"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TokenMultiplier(Job):
    """How many of the baseline's tokens each arm's tokens are worth, from baseline runs at several budgets.

    References: `runs` and `scores` hold {label/seed} and {label/seed/target}, where the baseline at another budget has
    the label `baseline@TOKENS`.

    Source: L(D) = E + A D^-alpha (Hoffmann et al. 2022, Huber on log L); inversion and interval are own
    """

    name: ClassVar[str] = "token_multiplier"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("scipy",)

    arms: tuple[str, ...]
    budgets: tuple[int, ...]
    tokens: int
    seeds: int
    target: str
    selection_flops: dict[str, float] | None = None
    runs: dict[str, str] | None = port("refs", default=None)
    scores: dict[str, str] | None = port("refs", default=None)
    base_rate: str = port("ref", default="")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `arms` {label: multiplier, interval, bounds, epochs}, the law, `budgets` and the base rate."""
        opened = {
            label: open_arm(label, self.seeds, ctx.refs["runs"], ctx.refs["scores"], (self.target,))
            for label in (*self.arms, *(label_of(b, self.tokens) for b in self.budgets))
        }
        base = [opened[label_of(b, self.tokens)] for b in self.budgets]
        curve = np.stack([arm.measure(self.target) for arm in base], axis=1)
        shape = base[0].runs[0]
        rows: dict[str, Any] = {}
        for label in self.arms:
            arm = opened[label]
            if arm.trained < self.seeds:
                continue
            score = np.asarray(arm.measure(self.target))
            found, law = multiplier(self.budgets, curve, score, tokens=self.tokens)
            cost = (self.selection_flops or {}).get(label)
            row = multiplier_row(found, parameters=shape["parameters"], tokens=self.tokens, selection_flops=cost)
            rows[label] = {**row, **_spent(arm.runs)}
            constants = law.constants()
        budgets = [
            {"tokens": b, "mean": float(np.mean(arm.measure(self.target))), **_spent(arm.runs)}
            for b, arm in zip(self.budgets, base, strict=True)
        ]
        rate = ctx.ref("base_rate").result() if "base_rate" in ctx.refs else None
        measure = MAIN[base[0].scores[0][self.target]["kind"]]
        return {"target": self.target, "measure": measure, "arms": rows, "law": constants if rows else {},
                "budgets": budgets, "base_rate": rate}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BaseRate(Job):
    """Share of the pool's tokens in documents that look like the target: it bounds what selection can be worth.

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
        """Metrics: `share` of tokens and of documents in [0, 1], and `how` they were told."""
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


def label_of(budget: int, tokens: int) -> str:
    """The label of the baseline's runs at a budget: its own at the ablation's, else with the budget."""
    return BASELINE if budget == tokens else f"{BASELINE}@{budget}"


def _spent(runs: Any) -> dict[str, Any]:
    """Passes over the selection and its unique tokens, averaged over seeds."""
    epochs, unique = ([run[key] for run in runs] for key in ("epochs", "selection_tokens"))
    return {"epochs": float(np.mean(epochs)), "unique_tokens": float(np.mean(unique))}
