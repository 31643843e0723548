"""A log-linear law per target, and the convex minimum of their mean beside a prior, within repeat caps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.operators import Context
from winnow.core.operators.contract import Meaning
from winnow.core.terminal import percent
from winnow.trainers.mixing.crossvalidate import Predictor
from winnow.trainers.mixing.exponential import Law, fit_law, least_runs
from winnow.trainers.mixing.share_fit import FROZEN, Asked, Floats, ShareFit
from winnow.trainers.mixing.simplex import Minimum, minimise

OTHER_PROPORTIONS = 0.01  # of all tokens: what frozen values may differ from their proportions
SMALLEST = 1e-12  # share below which the divergence is not followed


@dataclass(frozen=True, kw_only=True)
class Swarm(ShareFit):
    """Shares of a mixture by log-linear laws: the result's `weights`, for `mixture: {weights_from: ...}`.

    Each target has a law L = c + exp(t.shares); what is minimised is their weighted mean plus `kl` times the divergence
    KL(shares || prior), within the caps of `budget` and `max_repeats`. That is convex: `gap` says by how much the true
    minimum is lower at most. On reuse, `frozen` {value: share} keeps an earlier mixture's values at their proportions
    as one value, so that runs need to vary only its share and what is new. Where left-out runs are not predicted better
    than by their mean, the weights are the prior's, which is remarked.

    Cost: `folds` + 2 fits per target of 5 L-BFGS starts each: seconds.
    Source: Olmix (Chen et al. 2026, arXiv 2602.12237): log-linear laws, KL, repetition constraints, reuse; law of
    Ye et al. 2024 (arXiv 2403.16952); certificate, folds and the fallback own
    """

    name: ClassVar[str] = "swarm"

    meaning: ClassVar[Mapping[str, Meaning]] = {"frozen": "labels"}

    kl: float = 0.05  # weight of the divergence from the prior, in nats of loss; 0: none
    frozen: dict[str, float] | None = None  # values whose proportions stay as they are

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        if not 0 <= self.kl < float("inf"):
            raise ConfigError(f"kl is {self.kl}, and must be 0 or more", where="kl")
        if self.frozen is not None and (len(self.frozen) < 2 or min(self.frozen.values()) <= 0):
            raise ConfigError(
                f"frozen is {self.frozen}", where="frozen", hint="two values or more, with shares above 0"
            )

    def least_runs(self, values: int) -> int:
        """One more than a law has numbers."""
        return least_runs(values)

    def fit_one(self, shares: Floats, losses: Floats) -> Law:
        """The log-linear law."""
        return fit_law(shares, losses)

    def asked(self, ctx: Context) -> Asked:
        """With frozen values as one. Raises DataError where the runs do not keep their proportions."""
        asked = super().asked(ctx)
        return merged(asked, self.frozen) if self.frozen else asked

    def choose(self, asked: Asked, laws: Mapping[str, Predictor]) -> tuple[Floats, dict[str, Any]]:
        """The convex minimum."""
        found = optimum(asked, laws, kl=self.kl)  # type: ignore[arg-type]  # `fit_one` makes laws
        return found.shares, {"objective_at_optimum": found.value, "gap": found.gap}


def optimum(asked: Asked, laws: Mapping[str, Law], *, kl: float) -> Minimum:
    """The minimum of the mean loss of laws plus `kl` times the divergence from the prior."""

    def smooth(shares: Floats) -> tuple[float, Floats]:
        value, gradient = 0.0, np.zeros_like(shares)
        for name, weight in asked.weights.items():
            loss, slope = laws[name].gradient(shares)
            value, gradient = value + weight * loss, gradient + weight * slope
        if kl:
            ratio = np.log(np.maximum(shares, SMALLEST) / np.maximum(asked.prior, SMALLEST))
            value, gradient = value + kl * float(shares @ ratio), gradient + kl * (ratio + 1)
        return value, gradient

    caps = np.where(asked.prior > 0, asked.caps, 0.0) if kl else asked.caps
    return minimise(smooth, asked.prior, caps)


def merged(asked: Asked, frozen: Mapping[str, float]) -> Asked:
    """The same question with the frozen values as one.

    Raises:
        DataError: a frozen value is unknown, or a run has other proportions of them.
    """
    runs, total = asked.runs, sum(frozen.values())
    for name in frozen:
        if name not in runs.values:
            raise DataError(f"the runs have no share of {name!r}", where="frozen",
                            hint=did_you_mean(name, runs.values))  # fmt: skip
    parts = {name: share / total for name, share in frozen.items()}
    at = [runs.values.index(name) for name in parts]
    rest = [j for j in range(len(runs.values)) if j not in at]
    whole, even = runs.shares[:, at].sum(axis=1), np.asarray(list(parts.values()))
    off = np.abs(runs.shares[:, at] - whole[:, None] * even).max(axis=1)
    if off.max() > OTHER_PROPORTIONS:
        name = runs.names[int(off.argmax())]
        raise DataError(f"run {name!r} has the frozen values in other proportions ({percent(off.max())} of all)",
                        where="frozen", hint="give the runs' mixture the same `frozen`, or leave it out")  # fmt: skip

    def joined(values: Floats, one: Floats | float) -> Floats:
        return np.concatenate((values[..., rest], np.asarray(one)[..., None]), axis=-1)

    values = (*(runs.values[j] for j in rest), FROZEN)
    table = replace(runs, values=values, shares=joined(runs.shares, whole),
                    unique=joined(runs.unique, runs.unique[:, at].sum(axis=1)))  # fmt: skip
    return replace(asked, runs=table, prior=joined(asked.prior, asked.prior[at].sum()), frozen=parts,
                   caps=joined(asked.caps, min(1.0, float((asked.caps[at] / even).min()))))  # fmt: skip
