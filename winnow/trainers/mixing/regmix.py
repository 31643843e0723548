"""RegMix: losses regressed on shares, and the mean of the best of many simulated mixtures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.operators import Resources
from winnow.trainers.mixing.crossvalidate import Predictor
from winnow.trainers.mixing.share_fit import Asked, Floats, ShareFit
from winnow.trainers.mixing.simplex import dirichlet, within
from winnow.trainers.mixing.trees import fit_plane, fit_trees

Model = Literal["lightgbm", "linear"]


@dataclass(frozen=True, kw_only=True)
class Searching:
    """How mixtures are regressed on and searched."""

    model: Model = "lightgbm"
    simulated: int = 100_000  # mixtures, drawn around the prior
    best: int = 100  # of them: their mean is chosen

    def check_search(self) -> None:
        """Raise ConfigError where nothing would be chosen from."""
        if not 1 <= self.best <= self.simulated:
            raise ConfigError(f"the best {self.best} of {self.simulated}", where="best", hint="1 to `simulated`")

    def regress(self, shares: Floats, losses: Floats) -> Predictor:
        """What predicts a loss."""
        return fit_trees(shares, losses) if self.model == "lightgbm" else fit_plane(shares, losses)


@dataclass(frozen=True, kw_only=True)
class RegMix(Searching, ShareFit):
    """Shares of a mixture by regression: the result's `weights`, adding up to 1, for `mixture: {weights_from: ...}`.

    Each target's loss is regressed on the shares of the runs (boosted trees, or a plane), many mixtures are drawn
    from a Dirichlet distribution around the prior, and the mean of those with the smallest predicted loss is chosen.
    Draws beyond a cap are moved to the nearest shares within the caps. Where left-out runs are not predicted
    better than by their mean, the weights are the prior's, which is remarked.

    Cost: `folds` + 2 fits per target; `simulated` predictions per target (100,000: some seconds).
    Source: RegMix (Liu et al. 2024, arXiv 2407.01492), Dirichlet(prior), best 100 of 100,000 to 1M; caps, folds and the
    fallback own
    """

    name: ClassVar[str] = "regmix"
    uses: ClassVar[tuple[str, ...]] = ("lightgbm", "scipy")
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        self.check_search()

    def fit_one(self, shares: Floats, losses: Floats) -> Predictor:
        """Boosted trees or a plane."""
        return self.regress(shares, losses)

    def choose(self, asked: Asked, laws: Mapping[str, Predictor]) -> tuple[Floats, dict[str, Any]]:
        """The mean of the best simulated mixtures."""
        drawn = simulated(asked, self.simulated)
        predicted = asked.objective(laws, drawn)
        order = np.argsort(predicted, kind="stable")[: self.best]
        return drawn[order].mean(axis=0), {
            "simulated": self.simulated,
            "predicted_best": float(predicted[order].mean()),
        }


def simulated(asked: Asked, count: int) -> Floats:
    """Mixtures drawn around the prior, within the caps, f64[count, values]."""
    drawn = dirichlet(asked.prior, asked.runs.values, first=0, count=count, seed=asked.seed, salt="simulated")
    over = (drawn > asked.caps).any(axis=1)
    drawn[over] = within(drawn[over], asked.caps)
    return drawn
