"""Accuracies of tasks with unlike numbers of choices on one scale: 0 is a guess, 1 is all right.

Source: DCLM's CORE (centred accuracy, mean over tasks), Li et al. 2024; the tasks here are the user's own, so a
mean is comparable with another one over the same tasks alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from winnow.core.errors import ConfigError


def centred(accuracy: float, chance: float) -> float:
    """(accuracy - chance) / (1 - chance): 0 at chance, 1 where all is right, below 0 worse than a guess.

    Raises:
        ConfigError: chance is not in [0, 1).
    """
    if not 0 <= chance < 1:
        raise ConfigError(f"chance is {chance}, not in [0, 1)", where="chance")
    return (accuracy - chance) / (1 - chance)


def core(tasks: Mapping[str, tuple[float, float]]) -> float:
    """Mean over tasks of the centred accuracy; task -> (accuracy, chance). NaN where there is no task."""
    return mean([centred(*task) for task in tasks.values()])


def mean(values: Sequence[float]) -> float:
    """The unweighted mean, such as bits per byte over the targets of a suite; NaN of nothing."""
    return math.fsum(values) / len(values) if values else math.nan
