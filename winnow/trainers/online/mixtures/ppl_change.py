"""Domains whose perplexity falls slowly, or rises, are read more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.numerics import numeric
from winnow.core.numerics.shares import temperature_shares
from winnow.core.operators import port
from winnow.trainers.online.mixing import (
    Domains,
    Floats,
    Labels,
    Mixing,
    MixturePolicy,
    check_labels,
    check_numbers,
    check_steps,
    text_loss,
)
from winnow.trainers.online.policy import Learner
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class PplChange(MixturePolicy):
    """Shares that follow the change of each domain's perplexity: r (1 + alpha x clip(change)), adding up to 1 again.

    `feedback` has a text for every domain, under its name. Between two looks `every` steps apart the change is
    (perplexity now - before) / before; below the mean over domains the share falls, above it rises. Shares begin by
    size. Equal changes leave them as they are.

    Cost: one forward pass over all texts every `every` steps.
    Source: Llama-3-SynE (arXiv 2407.18743), the topic mixture; alpha and clip own.
    """

    name: ClassVar[str] = "ppl_change"
    texts: ClassVar[tuple[str, ...]] = ("feedback",)

    feedback: Labels = port("refs")  # domain -> held-out rows or a `target_file`
    alpha: float = 0.5
    clip: float = 0.5  # largest change that counts, up or down; alpha x clip stays below 1
    every: int = 100

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        check_steps(self.every)
        check_numbers(self, alpha=0.0, clip=0.0)
        if self.alpha * self.clip >= 1:
            what = f"alpha x clip is {self.alpha * self.clip:g}: a share could fall to 0 at once"
            raise ConfigError(what, where="alpha", hint="stay below 1")

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """Shares by size at first.

        Raises:
            ConfigError: a text is of no domain, or a domain has none.
        """
        check_labels(sorted(told.texts), domains.names, where="feedback")
        return Adapting(told=told, domains=domains, policy=self)


@dataclass(kw_only=True)
class Adapting(Mixing):
    """Shares by the last two looks."""

    policy: PplChange
    before: list[float] = field(default_factory=list)  # losses of the last look

    todo = "lower `every`, so that there are two looks, raise `alpha`, or leave it out"

    @property
    def looks_every(self) -> int:  # type: ignore[override]
        """As the policy says."""
        return self.policy.every

    def first(self) -> Floats:
        """Shares by size."""
        return np.array(temperature_shares(self.sizes, 1.0))

    def look(self, step: int, learner: Learner) -> None:
        """Losses of the texts, and the next shares."""
        now = [text_loss(learner, self.told.texts[name]) for name in self.domains.names]
        if self.before:
            change = numeric.exp(np.array(now) - np.array(self.before)) - 1.0
            self.p = adapted(self.p, change, alpha=self.policy.alpha, clip=self.policy.clip)
        self.before = now

    def state(self) -> dict[str, Any]:
        """Shares and losses."""
        return {**super().state(), "before": self.before}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        super().restore(state)
        self.before = [float(loss) for loss in state["before"]]

    def figures(self) -> dict[str, Any]:
        """With the losses of the last look."""
        return {**super().figures(), "losses": dict(zip(self.domains.names, self.before, strict=False))}


def adapted(shares: Floats, change: Floats, *, alpha: float, clip: float) -> Floats:
    """Shares times 1 + alpha x clip(change), adding up to 1; equal changes give them back to the bit."""
    bounded = np.clip(change, -clip, clip)
    if (bounded == bounded[0]).all():
        return shares
    moved = shares * (1.0 + alpha * bounded)
    return np.asarray(moved / numeric.sum_in_order(moved))
