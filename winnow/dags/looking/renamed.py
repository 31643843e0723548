"""Which stages of two plans or runs are the same ones under other names: a new name is no change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Named:
    """A stage by its name, with its folder (which holds no name of a stage) and its operator."""

    name: str
    folder: str
    operator: str


def same_stages(was: Sequence[Named], now: Sequence[Named]) -> dict[str, str]:
    """Name now -> name before, of the stages that are in both.

    Two are the same where name and folder agree, else where the folder does, else where the name does. What is left of
    an operator is paired in its order, where both have as many.
    """
    out: dict[str, str] = {}
    rules: tuple[Callable[[Named], str], ...] = (
        lambda s: f"{s.name} {s.folder}", lambda s: s.folder, lambda s: s.name, lambda s: s.operator,
    )  # fmt: skip
    for rule in rules:
        taken = set(out.values())
        old, new = [s for s in was if s.name not in taken], [s for s in now if s.name not in out]
        there, here = _by(old, rule), _by(new, rule)
        for key in (k for k in here if len(here[k]) == len(there.get(k, ()))):
            out |= dict(zip(here[key], there[key], strict=True))
    return out


def names_now(pairs: Mapping[str, str]) -> dict[str, str]:
    """Name before -> name now, of `same_stages`."""
    return {was: now for now, was in pairs.items()}


def _by(stages: Sequence[Named], rule: Callable[[Named], str]) -> dict[str, list[str]]:
    """Names of stages by what the rule says of them."""
    out: dict[str, list[str]] = {}
    for stage in stages:
        out.setdefault(rule(stage), []).append(stage.name)
    return out
