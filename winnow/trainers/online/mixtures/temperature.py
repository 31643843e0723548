"""Domains in proportion to a power of their size, from the first step to the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.numerics.shares import temperature_shares
from winnow.trainers.online.mixing import Domains, Floats, Mixing, MixturePolicy
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class Temperature(MixturePolicy):
    """Shares in proportion to size^(1 / temperature): 1 as they are, infinite the same for all. Sizes are tokens.

    As `mixture: {shares: temperature}`, of the tokens of a run instead of the documents of a budget: nothing is drawn
    into a selection, rows are drawn while the model trains.

    Cost: none at a step.
    Source: temperature sampling as in mBERT and XLM.
    """

    name: ClassVar[str] = "temperature"
    blind: ClassVar[bool] = True

    temperature: float = 1.0

    def validate(self) -> None:
        """Check the fields."""
        super().validate()
        if not self.temperature > 0:
            raise ConfigError(f"temperature is {self.temperature}, and must be above 0", where="temperature")

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """Shares by size."""
        return Tempered(told=told, domains=domains, temperature=self.temperature)


@dataclass(kw_only=True)
class Tempered(Mixing):
    """The same shares all along."""

    temperature: float

    def first(self) -> Floats:
        """By size."""
        return np.array(temperature_shares(self.sizes, self.temperature))
