"""What a comparison concludes of one measure: a row per arm, with an answer to each of two questions.

*this selection*: these documents, trained on, against the baseline's method; asked of an arm that has one selection at
all seeds. *this method*: what the rule gives on pools like this one, against the baseline's method; the arm's own draw
is noise too, and one selection is one draw of it. The two have other intervals and are never mixed.

Which interval (`interval` of an answer):

* `pooled`: noise of training and of the draw from all labels together (`variance_components`);
* `own`: as pooled, but an arm (or the baseline) whose own spread is out of line with the others' keeps its own (Welch);
* `paired`: paired t over seeds, where arm and baseline have the same documents at every seed, and so the same draw;
* `folds`: paired t over seeds, where every seed selects from a fold of the pool of its own.

Where a target is read in part, the noise of its items is part of every one of them (`item_noise`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.trainers.compare import intervals
from winnow.trainers.compare import variance_components as parts
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.common_documents import Common
from winnow.trainers.compare.question import Question

Floats = npt.NDArray[np.float64]
QUESTIONS: tuple[Question, ...] = ("selection", "method")
WORDS = {-1: "below", 1: "above", 2: "far above"}
WHY_DRAWN = "it draws another selection at every seed"
WHY_FOLDS = "every seed selects from another fold"
WHY_NO_DRAW = (
    "no label of this comparison draws its selection anew, so the noise of the draw is not seen: give it a baseline "
    "that draws (`random`), use `folds: true`, or ask `question: selection`"
)
WHY_SAME = "arm and baseline train on one and the same selection at all seeds"
WHY_ONE = "one seed gives no interval"


@dataclass(frozen=True)
class Items:
    """What the sample of a target's items adds to a difference: a variance and its degrees of freedom."""

    variance: float = 0.0
    df: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Scores of all labels on one measure, label -> value per seed, and the noise that they show together.

    `fixed` labels have one selection at all seeds; with `folds` every seed has a fold of the pool of its own.
    """

    scores: Mapping[str, Sequence[float]]
    common: Common
    fixed: frozenset[str]
    folds: bool = False
    apart: frozenset[str] = frozenset()  # labels whose noise is of another kind: each keeps its own
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        whole = max(len(values) for values in self.scores.values())
        object.__setattr__(self, "labels", tuple(n for n, v in self.scores.items() if len(v) == whole and whole > 1))

    @cached_property
    def lines(self) -> dict[str, int]:
        """Label -> how its spread lies to that of the labels like it (`variance_components.out_of_line`)."""
        if not self.labels:
            return {}
        everything = self._everything
        alike = np.array([[label not in self.apart for label in self.labels]])
        tested = parts.Spread(
            variances=everything.variances, df=np.where(alike, everything.df, 0.0), within=everything.within
        )
        found = parts.out_of_line(tested)[0]
        return dict(zip(self.labels, map(int, found), strict=True))

    @cached_property
    def spread(self) -> parts.Spread:
        """Variances of the labels of the pool, the others with 0 degrees of freedom."""
        found = self._everything
        kept = np.array([self.lines[label] in (0, 1) and label not in self.apart for label in self.labels])
        return parts.Spread(variances=found.variances, df=np.where(kept, found.df, 0.0), within=found.within)

    @cached_property
    def draws(self) -> bool:
        """Whether the noise of a draw is seen at all."""
        return bool((self.spread.within[self.spread.df[0] > 0] >= parts.LEAST_DRAWN).any()) if self.labels else False

    @cached_property
    def _everything(self) -> parts.Spread:
        values = [np.asarray(self.scores[label], dtype=np.float64) for label in self.labels]
        blocks = {n: self.common.between(n, n, seeds=len(v)) for n, v in zip(self.labels, values, strict=True)}
        variances = np.array([[v.var(ddof=1) for v in values]])
        df = np.array([[float(len(v) - 1) / self._repeats(n) for n, v in zip(self.labels, values, strict=True)]])
        within = np.array([parts.within_of(block) for block in blocks.values()])
        return parts.Spread(variances=variances, df=df, within=within)

    def _repeats(self, label: str) -> int:
        """Labels with the same documents at every seed, itself included: together they show one draw per seed."""
        seeds = len(self.scores[label])
        return sum(self.common.same(label, other, seeds=seeds) for other in self.labels)

    def row(self, arm: str, *, seeds: int, question: Question, items: Items) -> dict[str, Any]:
        """The row of one arm: what was asked for, both answers under `selection` and `method`, and the noise."""
        ours, base = (np.asarray(self.scores[label], dtype=np.float64)[:seeds] for label in (arm, BASELINE))
        differences = ours - base
        effect = intervals.paired_effect(list(differences))
        answers: dict[str, dict[str, Any]] = {asked: self._answer(arm, effect, asked, items) for asked in QUESTIONS}
        asked: Question = question
        if (asked == "selection" and arm not in self.fixed) or (answers["method"].get("why") == WHY_SAME):
            asked = "method" if answers["selection"].get("why") else "selection"
        return {
            **intervals.effect_row(effect, fixed_selection=arm in self.fixed),
            **answers[asked],
            "question": asked,
            **answers,
            "noise": self._noise(items),
            "spread": self.lines.get(arm, 0),
        }

    def _answer(self, arm: str, effect: intervals.Effect, question: Question, items: Items) -> dict[str, Any]:
        why = self._why_none(arm, effect, question)
        if why:
            return no_answer(why)
        baseline_part: float | None = None
        if self._pairs(arm, effect.n):
            name, found = ("folds" if self.folds else "paired"), _paired(effect, items)
        else:
            own = [label for label in (arm, BASELINE) if self.lines.get(label, 0) > 0 or label in self.apart]
            name = "own" if own else "pooled"
            found, part = self._pooled(arm, effect.n, question, own, items)
            baseline_part = None if arm in own else part
        told = _told(effect, found, name, baseline_part)
        return told | {"one_draw": question == "method" and arm in self.fixed and name != "folds"}

    def _why_none(self, arm: str, effect: intervals.Effect, question: Question) -> str:
        """Why a question has no answer for an arm; empty where it has."""
        fixed = arm in self.fixed
        if effect.n < 2:
            return WHY_ONE
        if question == "selection":
            return (WHY_FOLDS if self.folds else "") or ("" if fixed else WHY_DRAWN)
        if self.folds:
            return ""
        if fixed and self._pairs(arm, effect.n):
            return WHY_SAME
        return "" if self.draws or self._pairs(arm, effect.n) else WHY_NO_DRAW

    def _pairs(self, arm: str, seeds: int) -> bool:
        return self.folds or self.common.same(arm, BASELINE, seeds=seeds)

    def _pooled(
        self, arm: str, seeds: int, question: Question, own: Sequence[str], items: Items
    ) -> tuple[parts.Uncertainty, float]:
        """(error of the difference, the share l of the baseline's own noise in it)."""
        ours, base = (self.common.between(label, label, seeds=seeds) for label in (arm, BASELINE))
        alone = {arm: parts.own_weights(ours), BASELINE: parts.own_weights(base)}
        if question == "selection":
            gt, gd = (a + b for a, b in zip(alone[arm], alone[BASELINE], strict=True))
        else:
            gt, gd = parts.weights_of(ours, base, self.common.between(arm, BASELINE, seeds=seeds))
        kept = [
            parts.Own(label=self.labels.index(n), seeds=len(self.scores[n]), less=alone[n], rows=np.ones(1, dtype=bool))
            for n in own
        ]
        found = parts.keeping_own(self.spread, gt, gd, kept, extra=[(np.array([items.variance]), items.df)])
        t, d = (float(x[0]) for x in parts.components(self.spread))
        baseline = alone[BASELINE][0] * t + alone[BASELINE][1] * d
        total = float(found.variance[0])
        return found, min(1.0, float(np.sqrt(baseline / total))) if total > 0 else 0.0

    def summary(self) -> dict[str, Any]:
        """What the labels show of the noise of one run: standard deviations of `training` and `draw`; the variance over
        seeds of labels that are `drawn` anew and of `fixed` ones, each with its degrees of freedom and labels; and the
        labels that are `out_of_line`.
        """
        drawn = np.array([w >= parts.LEAST_DRAWN for _, w in self._within], dtype=np.bool_)  # one seed: none
        fixed = ~drawn
        noise = self._noise(Items())
        return {
            "training": noise["training"], "draw": noise["draw"],
            "drawn": self._pooled_over(drawn), "fixed": self._pooled_over(fixed),
            "out_of_line": {n: WORDS[line] for n, line in self.lines.items() if line},
        }  # fmt: skip

    @property
    def _within(self) -> list[tuple[str, float]]:
        return list(zip(self.labels, map(float, self.spread.within), strict=True)) if self.labels else []

    def _pooled_over(self, which: npt.NDArray[Any]) -> dict[str, Any]:
        df = self.spread.df[0] * which if self.labels else np.zeros(0)
        total = float(df.sum())
        variance = float((df * self.spread.variances[0]).sum() / total) if total else None
        return {"variance": variance, "df": total, "labels": int((df > 0).sum())}

    def _noise(self, items: Items) -> dict[str, float | None]:
        """Standard deviations: of training and of the draw (of one run), of the target's items (of the difference)."""
        if not self.labels:
            return {"training": None, "draw": None, "items": items.variance**0.5, "df": 0}
        t, d = (float(x[0]) for x in parts.components(self.spread))
        return {"training": t**0.5, "draw": d**0.5, "items": items.variance**0.5, "df": float(self.spread.df.sum())}


def no_answer(why: str) -> dict[str, Any]:
    """The fields of an answer that there is none of, with the reason."""
    empty = dict.fromkeys(("low", "high", "p", "mde", "df", "interval", "baseline_part"))
    return {**empty, "verdict": "cannot tell", "why": why}


def _paired(effect: intervals.Effect, items: Items) -> parts.Uncertainty:
    """Paired t over seeds, and the noise of the items."""
    one = np.ones((1, 1))
    found = parts.Uncertainty(weights=one, variances=one * effect.sd**2 / effect.n, df=one * float(effect.n - 1))
    return found.plus(np.array([items.variance]), items.df)


def _told(effect: intervals.Effect, found: parts.Uncertainty, name: str, baseline_part: float | None) -> dict[str, Any]:
    """The fields of one answer. Without any noise p is that of the sign flips: no spread is no certainty."""
    variance = float(found.variance[0])
    if variance <= (intervals.ROUNDING * effect.mean) ** 2:
        p, half, df = effect.p, 0.0, float(effect.n - 1)
    else:
        p = float(found.p_values(np.array([effect.mean]))[0])
        halves = found.half_widths(alpha=intervals.ALPHA)
        half, df = float(halves[0]), float(found.effective_df(halves, alpha=intervals.ALPHA)[0])
    low, high = effect.mean - half, effect.mean + half
    sd = (variance * effect.n) ** 0.5
    return {
        "low": low, "high": high, "p": p, "verdict": intervals.verdict_of(low, high), "sd": sd, "df": df,
        "mde": intervals.minimum_detectable_effect(sd, effect.n, df=df), "interval": name,
        "baseline_part": baseline_part,
    }  # fmt: skip
