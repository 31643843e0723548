"""Arms that are averages of other arms' models: a model soup, and the branches of one trunk put together again."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from winnow.core.errors import ConfigError

FORM = "write `soup: {label: [arm, other]}`, or `{label: {arm: 2, other: 1}}` with weights"


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """Which further arms of an ablation are averages of the weights of others, seed by seed."""

    soup: dict[str, Any] | None = None  # arm -> the arms whose weights are averaged, or {arm: its weight}

    def soups(self) -> dict[str, dict[str, float]]:
        """Label -> members with their weights, in the given order.

        Raises:
            ConfigError: a soup has fewer than two different members, or a weight is no number above 0.
        """
        return {label: _members(label, value) for label, value in (self.soup or {}).items()}


def check_soups(soups: Mapping[str, Mapping[str, float]], *, starts: Mapping[str, str], taken: Collection[str]) -> None:
    """Check that every member is an arm, that those of one soup begin alike, and that every label is free.

    `starts` is {arm: the model that it continues, or ""}, `taken` are labels that are not free.

    Raises:
        ConfigError: it is not so.
    """
    for label, members in soups.items():
        if label in taken:
            raise ConfigError(f"{label!r} is not free for an average", where=f"soup.{label}", hint="another label")
        for member in members:
            if member not in starts:
                raise ConfigError(
                    f"{member!r} is no arm", where=f"soup.{label}", hint=f"an average of {', '.join(starts)}"
                )
        begun = {member: starts[member] or "from scratch" for member in members}
        if len(set(begun.values())) > 1:
            told = ", ".join(f"{member} {start}" for member, start in begun.items())
            raise ConfigError(f"the arms of an average begin alike, and not {told}", where=f"soup.{label}",
                              hint="give all of them one start")  # fmt: skip


def _members(label: str, value: Any) -> dict[str, float]:
    where = f"soup.{label}"
    named = value if isinstance(value, Mapping) else dict.fromkeys(value, 1) if isinstance(value, list | tuple) else {}
    repeated = isinstance(value, list | tuple) and len(named) < len(value)
    if len(named) < 2 or repeated:
        raise ConfigError(f"{value!r} are not two or more different arms", where=where, hint=FORM)
    for member, weight in named.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not (math.isfinite(weight) and weight > 0):
            raise ConfigError(f"the weight of {member!r} is {weight!r}", where=where, hint="a number above 0")
    return {str(member): float(weight) for member, weight in named.items()}
