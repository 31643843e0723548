"""Can an arm be trained as its stage says? What a run could not do is refused before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Kind, Scope


def check_arms(arms: Mapping[str, str], scope: Scope) -> None:
    """Check the stages of the arms {where in the ablation: stage}.

    Raises:
        ConfigError: a stage decides nothing about its rows, or unites selections of which one has phases.
    """
    for where, stage in arms.items():
        place = f"stages.{scope.stage}.{where}"
        operator = scope.lookup(stage).operator
        decides = isinstance(operator, Composite) or operator.kind is Kind.COLUMNS  # not: the documents themselves
        if decides and "kept" not in operator.outputs():
            raise ConfigError(
                f"{stage!r} ({operator.name}) has no `kept`: it selects nothing", where=place,
                hint="name a selection, or the stage that reads the documents for all of them",
            )  # fmt: skip
        for inner in _with_parts(stage, scope):
            raise ConfigError(
                f"{stage!r} ({operator.name}) is made of {inner!r}, whose phases it does not keep", where=place,
                hint=f"name {inner!r} itself as the arm, or unite the verdicts that its phases select from",
            )  # fmt: skip


def _with_parts(stage: str, scope: Scope) -> Iterator[str]:
    """The selections that a selection is made of and that are trained in parts, whatever lies between."""
    if not scope.lookup(stage).operator.made_of_selections:
        return
    for inner in scope.verdicts(stage):
        if scope.lookup(inner).operator.training_parts():
            yield inner
        yield from _with_parts(inner, scope)
