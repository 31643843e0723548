"""The token multiplier as a job: the baseline's law, and what every arm is worth in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.operators import Context, Exactness, Job, port
from winnow.trainers.compare.arms import BASELINE, MAIN, open_arm
from winnow.trainers.compare.multiplier import multiplier, multiplier_row


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


def label_of(budget: int, tokens: int) -> str:
    """The label of the baseline's runs at a budget: its own at the ablation's, else with the budget."""
    return BASELINE if budget == tokens else f"{BASELINE}@{budget}"


def _spent(runs: Any) -> dict[str, Any]:
    """Passes over the selection and its unique tokens, averaged over seeds."""
    epochs, unique = ([run[key] for run in runs] for key in ("epochs", "selection_tokens"))
    return {"epochs": float(np.mean(epochs)), "unique_tokens": float(np.mean(unique))}
