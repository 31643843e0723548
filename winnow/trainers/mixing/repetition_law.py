"""Shares under a token budget by what repeated tokens are still worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.operators.effect import ReadAt
from winnow.trainers.mixing.crossvalidate import Predictor, Quality
from winnow.trainers.mixing.repeated_tokens import USUAL, RepeatLaw, fit_repeats
from winnow.trainers.mixing.share_fit import Asked, Floats, ShareFit
from winnow.trainers.mixing.simplex import minimise


@dataclass(frozen=True, kw_only=True)
class RepetitionLaw(ShareFit):
    """Shares and epochs of a mixture under a token budget: the result's `weights`, for `mixture: {weights_from: ...}`.

    Each target has a law of what was seen of every value and how much of it was new: tokens beyond the unique ones
    count less with every epoch, at a rate (R*) that is fitted where the runs repeat data and differ in how often, and
    is the usual 15.4 where they do not, which is remarked. The weighted mean of the laws at `budget` tokens is convex
    in the shares; `gap` says by how much the true minimum is lower at most, `epochs` what each value is repeated. The
    runs need tokens and unique tokens: `mixture_runs` with `weighting: repeat`, so that documents are read again and
    not only weighed more, or a table with `tokens` and `unique`; runs at several budgets say most.

    Raises:
        DataError: a run has no tokens, or no unique tokens.
    Cost: `folds` + 1 fits per target of up to 18 L-BFGS runs each: seconds to a minute.
    Source: effective tokens of Muennighoff et al. 2023; mixtures as in Sedova et al. 2026 (arXiv 2605.12715: 15 to 20
    epochs of scarce data in a mixture are worth it), form of the law own
    """

    name: ClassVar[str] = "repetition_law"
    read_at: ClassVar[ReadAt] = {}  # there always is a budget

    max_repeats: float = 20.0  # epochs of a value at most

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: there is no budget, or a number is out of its range.
        """
        super().validate()
        if self.budget is None:
            raise ConfigError(
                "shares under no budget", where="budget", hint="give the tokens of the run: `budget: 5B tokens`"
            )

    def least_runs(self, values: int) -> int:
        """One more than the law has numbers."""
        return values + 4

    def asked(self, ctx: Context) -> Asked:
        """With tokens. Raises DataError where the runs have none."""
        asked = super().asked(ctx)
        if not (asked.runs.tokens > 0).all() or not (asked.runs.unique >= 0).all():
            raise DataError("the runs say not what they saw: tokens, and unique tokens of every value", where="runs",
                            hint="name the columns: `runs_table: {tokens: tokens, unique: unique_*}`")  # fmt: skip
        return asked

    def features(self, asked: Asked) -> Floats:
        """Tokens seen of every value, then unique ones, f64[runs, 2 x values]."""
        return np.concatenate((asked.runs.shares * asked.runs.tokens[:, None], asked.runs.unique), axis=1)

    def at(self, asked: Asked, shares: Floats) -> Floats:
        """The same within the budget."""
        held = np.broadcast_to(self._held(asked), shares.shape)
        return np.concatenate((shares * asked.budget, held), axis=1)

    def fit_one(self, shares: Floats, losses: Floats) -> RepeatLaw:
        """The law of repeated tokens."""
        return fit_repeats(shares, losses)

    def choose(self, asked: Asked, laws: Mapping[str, Predictor]) -> tuple[Floats, dict[str, Any]]:
        """The minimum of the weighted mean at the budget."""
        held = self._held(asked)
        known: dict[str, Any] = dict(laws)

        def smooth(shares: Floats) -> tuple[float, Floats]:
            value, gradient = 0.0, np.zeros_like(shares)
            for name, weight in asked.weights.items():
                loss, slope = known[name].gradient(shares * asked.budget, held)
                value, gradient = value + weight * loss, gradient + weight * slope * asked.budget
            return value, gradient

        found = minimise(smooth, asked.prior, asked.caps)
        shown = {name: {"floor": law.floor, "alpha": law.alpha, "repeats": law.repeats, "told": law.told,
                        "worth": dict(zip(asked.runs.values, (law.worth / law.worth.max()).tolist(), strict=True))}
                 for name, law in known.items()}  # fmt: skip
        return found.shares, {"laws": shown, "objective_at_optimum": found.value, "gap": found.gap}

    def tell(self, ctx: Context, asked: Asked, found: Floats, overall: Quality, laws: Mapping[str, Predictor]) -> None:
        """Remark laws whose rate of decay is not from the runs, too."""
        super().tell(ctx, asked, found, overall, laws)
        unsaid = [name for name, law in laws.items() if isinstance(law, RepeatLaw) and not law.told]
        if unsaid:
            names = ", ".join(unsaid[:3])
            ctx.remark(f"{names}: the runs do not say how fast repeated tokens lose their worth: taken as usual "
                       f"(R* = {USUAL:g}): add runs that repeat data, at several budgets")  # fmt: skip

    @staticmethod
    def _held(asked: Asked) -> Floats:
        sizes = asked.sizes or {}
        return np.asarray([float(sizes.get(value, 0.0)) for value in asked.runs.values])
