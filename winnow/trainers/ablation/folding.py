"""Folds of the pool: every seed selects from documents of its own."""

from __future__ import annotations

from dataclasses import dataclass

from winnow.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Folding:
    """Whether each seed has a fold of the pool to itself, so that the interval speaks of the method."""

    folds: bool = False  # seed s selects from its own disjoint fold of the pool, with budgets divided by `seeds`
    refit: bool = False  # with `folds`: what is fitted on the pool before a selection is fitted on each fold


def check_folding(folding: Folding, *, seeds: int, budgets: tuple[int, ...]) -> None:
    """Check the fields.

    Raises:
        ConfigError: folds of one seed, `refit` without folds, or folds together with larger random draws.
    """
    if folding.refit and not folding.folds:
        raise ConfigError("refit without folds fits everything on the pool, as without it", where="refit",
                          hint="add `folds: true`")  # fmt: skip
    if folding.folds and seeds < 2:
        raise ConfigError("one seed has all of the pool as its fold", where="folds", hint="give 2 seeds or more")
    if folding.folds and budgets:
        raise ConfigError("folds do not go with budgets: a larger random draw would outgrow its fold", where="folds",
                          hint="ask for the token multiplier without folds")  # fmt: skip
