"""Soft labels as a policy asks for them; the training loop makes them of a teacher's weights."""

from __future__ import annotations

from dataclasses import dataclass

from winnow.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Soft:
    """Labels of one forward pass: `share` of the loss is the cross-entropy to what the teacher expects.

    An answer of `Acting.head_extra`. `teacher` is a port of `Told.models`; its logits are divided by `temperature`.
    """

    share: float
    teacher: str = "teacher"
    temperature: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SoftStored:
    """Labels that a teacher gave before: `share` of the loss is the cross-entropy to what is stored of a token.

    An answer of `Acting.head_extra`. `labels` is a port of `Told.labels`; a token without a label has its own loss.
    """

    share: float
    labels: str = "labels"


def check_softness(share: float, temperature: float) -> None:
    """Raise ConfigError for a share outside [0, 1] or a temperature that is not above 0."""
    if not 0 <= share <= 1:
        raise ConfigError(f"share is {share}, and must be in [0, 1]", where="share")
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature is {temperature}, and must be above 0", where="temperature")
