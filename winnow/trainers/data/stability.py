"""Continued training without the early drop: a fixed subset for several epochs, mixed with replayed old data.

At the start of continued training the skill on the old (and even the new) domain falls and comes back. A smaller
subset for more epochs, and the old mixture's rates for the replayed part, make the drop smaller. Warming the
learning rate up again drops alone: compare with an arm that goes on with old data and the same rates.

Source: stability gap (2406.14833)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from winnow.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class StabilityPlan:
    """Tokens of a continued run: `subset` x `epochs` + all of `replay` is the budget, to the token."""

    subset: int  # of one epoch
    epochs: int
    replay: Mapping[str, int]  # domain -> tokens in all

    @property
    def budget(self) -> int:
        """Tokens of the whole run."""
        return self.subset * self.epochs + sum(self.replay.values())


def stability_plan(budget: int, *, epochs: int, replay: Mapping[str, float]) -> StabilityPlan:
    """The plan that spends `budget` tokens; `replay` gives each old domain's share of them.

    Shares are rounded to tokens; what the epochs cannot split evenly goes to the domain of the largest share.

    Raises:
        ConfigError: shares do not fit, nothing is left for the subset, or the budget does not split over the epochs
            and no domain is there to take the rest.
    """
    total = sum(replay.values())
    if epochs < 1 or not all(share > 0 for share in replay.values()) or not 0 <= total < 1:
        raise ConfigError(
            f"{epochs} epochs and replay of {total:g} of all tokens are no plan",
            where="replay",
            hint="epochs from 1; every share above 0; shares that sum to less than 1",
        )
    tokens = {domain: round(budget * share) for domain, share in replay.items()}
    subset, rest = divmod(budget - sum(tokens.values()), epochs)
    if subset < 1 or (rest and not tokens):
        raise ConfigError(
            f"{budget} tokens do not split into {epochs} epochs",
            where="budget",
            hint=f"give {max(1, subset) * epochs} or {(max(1, subset) + 1) * epochs}",
        )
    if rest:
        tokens[max(tokens, key=lambda domain: (tokens[domain], domain))] += rest
    return StabilityPlan(subset=subset, epochs=epochs, replay=tokens)


def evaluation_steps(steps: int, *, points: int = 24) -> tuple[int, ...]:
    """Where to look at a continued run: 0, then closely, then at growing distances, and the end.

    At most `points` steps after 0: where a step would be looked at twice, there are fewer.
    """
    first = 1 if points > 1 else max(1, steps)  # one look is at the end
    raw = np.round(np.geomspace(first, max(1, steps), points)).astype(np.int64)  # the end is among them
    return tuple(int(step) for step in np.union1d(0, raw[raw <= steps]))


def gap_depth(performance: Sequence[float]) -> float:
    """How far performance (higher is better) falls below its start, at least 0."""
    return max(0.0, performance[0] - min(performance))


def recovery(performance: Sequence[float], steps: Sequence[int]) -> int | None:
    """The first step with the performance of the start after the deepest fall below it; 0 without a fall, None if it
    never returns.
    """
    worst = min(range(len(performance)), key=lambda k: performance[k])
    if performance[worst] >= performance[0]:
        return 0
    return next((steps[k] for k in range(worst, len(performance)) if performance[k] >= performance[0]), None)
