"""Domains by how much their gradients help all domains, or a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.numerics.shares import smoothed, tilted
from winnow.core.operators import port
from winnow.trainers.online.mixing import (
    Averaging,
    Domains,
    Labels,
    Mixing,
    MixturePolicy,
    check_numbers,
    check_steps,
)
from winnow.trainers.online.mixing import inner as inner_product
from winnow.trainers.online.policy import Learner
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class Doge(MixturePolicy):
    """Shares that rise for domains whose gradient points where the mean gradient of all domains points.

    Every `every` steps the gradient of `probe_rows` rows of each domain is taken; the gain of domain k is
    <g_k, target> over the mean squared length of all g, the target being the mean of all g, or the gradient on the
    texts of `feedback` where there are some. Shares are multiplied by exp(eta x gain), less `smoothing` spread over
    all. The result's `weights` are the mean of all shares: give the run to `mixture` as `weights_from`.

    What differs from the paper [from memory]: it takes the gradients of the step's own rows at every step, scales gains
    by learning rate over mu, and trains a proxy model whose averaged shares the real one uses; here gains are free of
    scale, gradients come from rows drawn for it, and the shares act at once as well.

    Cost: forward and backward over domains x `probe_rows` rows every `every` steps, and that many gradients in memory.
    Source: DoGE (Fan et al. 2023, arXiv 2310.15393), from memory.
    """

    name: ClassVar[str] = "doge"
    texts: ClassVar[tuple[str, ...]] = ("feedback",)

    feedback: Labels = port("refs", default=())  # label -> texts to learn for; default: all domains
    eta: float = 1.0
    smoothing: float = 1e-3
    every: int = 50
    probe_rows: int = 4  # of each domain at a look

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        check_steps(self.every)
        check_numbers(self, eta=0.0, probe_rows=1)
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"smoothing is {self.smoothing}, and lies in [0, 1)", where="smoothing")

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """Even shares at first."""
        return Pointing(told=told, domains=domains, policy=self)


@dataclass(kw_only=True)
class Pointing(Averaging):
    """Shares by gradients."""

    policy: Doge

    @property
    def looks_every(self) -> int:  # type: ignore[override]
        """As the policy says."""
        return self.policy.every

    def look(self, step: int, learner: Learner) -> None:
        """Gradients of all domains, and the next shares."""
        found = []
        for k in range(len(self.domains.names)):
            rows = self.data.probe(k, step, self.policy.probe_rows)
            found.append(learner.gradient(rows, rows.weights))
        target = self._text(learner) if self.told.texts else mean_of(found)
        size = float(np.mean([inner_product(g, g) for g in found]))
        gains = np.array([inner_product(g, target) for g in found]) / max(size, 1e-30)
        self.move(smoothed(tilted(self.p, self.policy.eta * gains), self.policy.smoothing))

    def _text(self, learner: Learner) -> dict[str, Any]:
        """Mean gradient on the texts, each of them alike."""
        found = []
        for label in sorted(self.told.texts):
            rows = list(self.told.texts[label])
            total = sum(float(batch.weights.sum(dtype=np.float64)) for batch in rows)
            parts = [learner.gradient(batch, batch.weights) for batch in rows]
            share = [float(batch.weights.sum(dtype=np.float64)) / total for batch in rows]
            found.append({name: sum(s * part[name] for s, part in zip(share, parts, strict=True)) for name in parts[0]})
        return mean_of(found)


def mean_of(gradients: list[dict[str, Any]]) -> dict[str, Any]:
    """Their mean, parameter by parameter."""
    return {name: sum(g[name] for g in gradients) / len(gradients) for name in gradients[0]}
