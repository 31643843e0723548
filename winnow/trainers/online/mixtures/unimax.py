"""Domains alike, as far as their repeats allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from winnow.core.numerics.water_filling import water_fill
from winnow.trainers.online.mixing import Domains, Floats, Mixing, MixturePolicy
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class Unimax(MixturePolicy):
    """The same share of the run's tokens for every domain, less for those that would be read over `max_repeats` times.

    As `mixture: {shares: unimax}`: what a small domain cannot give is shared out among the others, the smallest first.

    Cost: none at a step.
    Source: UniMax (Chung et al. 2023).
    """

    name: ClassVar[str] = "unimax"
    blind: ClassVar[bool] = True

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """Even shares under the cap."""
        return Even(told=told, domains=domains, max_repeats=self.max_repeats)


@dataclass(kw_only=True)
class Even(Mixing):
    """The same shares all along."""

    max_repeats: float

    def first(self) -> Floats:
        """Water-filled."""
        amounts = water_fill([int(size * self.max_repeats) for size in self.sizes], self.data.num_tokens)
        return np.array(amounts, dtype=np.float64) / sum(amounts)
