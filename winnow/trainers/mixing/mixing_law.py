"""The exponential law of mixtures, fitted per target, nested over tokens where the runs are shorter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.trainers.compare import law as tokens_law
from winnow.trainers.mixing.crossvalidate import Predictor
from winnow.trainers.mixing.exponential import Law, fit_law, least_runs
from winnow.trainers.mixing.runs import Runs
from winnow.trainers.mixing.share_fit import Asked, Floats, ShareFit
from winnow.trainers.mixing.swarm import optimum

LEAST_POINTS = 4  # of a curve, for a law of three numbers


@dataclass(frozen=True, kw_only=True)
class MixingLaw(ShareFit):
    """Shares of a mixture by the exponential mixing law: the result's `weights`, for `mixture: {weights_from: ...}`.

    Each target has L(r) = c + k exp(t.r) in the shares r (`laws` has c, and t + log k per value), by Huber and L-BFGS
    from several starts. Their weighted mean is convex in the shares; its minimum within the caps is chosen, and `gap`
    says by how much the true one is lower at most. With `at_tokens`, each run's curve is first extrapolated to that
    many tokens by L(D) = E + A D^-alpha, and the law is fitted to what comes out. Where left-out runs are not predicted
    better than by their mean, the weights are the prior's, which is remarked.

    Raises:
        DataError: `at_tokens`, and the runs have no curves of 4 points or more (`mixture_runs: {curve: 8}`).
    Cost: `folds` + 2 fits per target of 5 L-BFGS starts each: seconds.
    Source: Ye et al. 2024 (arXiv 2403.16952); nesting over steps as there, over model sizes not; certificate own
    """

    name: ClassVar[str] = "mixing_law"

    at_tokens: int = 0  # predict losses after so many tokens, from the runs' curves; 0: at the runs' ends

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        if self.at_tokens < 0:
            raise ConfigError(f"at_tokens is {self.at_tokens}, and must be 0 or more", where="at_tokens")

    def least_runs(self, values: int) -> int:
        """One more than a law has numbers."""
        return least_runs(values)

    def fit_one(self, shares: Floats, losses: Floats) -> Law:
        """The exponential law."""
        return fit_law(shares, losses)

    def asked(self, ctx: Context) -> Asked:
        """With losses at `at_tokens`. Raises DataError where the runs have no curves."""
        asked = super().asked(ctx)
        return replace(asked, runs=extrapolated(asked.runs, self.at_tokens)) if self.at_tokens else asked

    def choose(self, asked: Asked, laws: Mapping[str, Predictor]) -> tuple[Floats, dict[str, Any]]:
        """The minimum of the weighted mean."""
        found = optimum(asked, laws, kl=0.0)  # type: ignore[arg-type]  # `fit_one` makes laws
        values = asked.runs.values
        shown = {name: {"floor": law.floor, "rates": dict(zip(values, law.rates.tolist(), strict=True))}
                 for name, law in laws.items() if isinstance(law, Law)}  # fmt: skip
        return found.shares, {"laws": shown, "objective_at_optimum": found.value, "gap": found.gap}


def extrapolated(runs: Runs, tokens: int) -> Runs:
    """The runs with the losses that their curves reach after so many tokens.

    Raises:
        DataError: they have no curves of enough points after the first step.
    """
    seen = runs.points > 0
    if seen.sum() < LEAST_POINTS or not runs.curves.size:
        raise DataError(f"the runs have {int(seen.sum())} points of loss on the way, and a law over tokens needs "
                        f"{LEAST_POINTS}", where="at_tokens", hint="`mixture_runs: {curve: 8}`")  # fmt: skip
    logs = np.log(runs.points[seen].astype(np.float64))
    losses = np.empty_like(runs.losses)
    for run in range(len(runs)):
        for target in range(len(runs.targets)):
            found = tokens_law.fit_law(logs, runs.curves[run, target, seen][None])
            losses[run, target] = float(np.exp(found.log_loss(np.log([float(tokens)]))[0, 0]))
    return replace(runs, losses=losses)
