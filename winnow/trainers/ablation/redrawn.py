"""Which selections every seed draws anew: those that draw lots, and those that are made of such.

A `union` of random subsets, or phases that select from them, would otherwise have one draw of what they are made of at
all seeds, beside a baseline that has another one at each.
"""

from __future__ import annotations

from winnow.core.operators import Operator, Scope


def draws(operator: Operator) -> bool:
    """Whether a selection may draw lots, so that every seed has it drawn anew; what came of it its documents say."""
    return operator.seeded


def made_of(scope: Scope, stage: str) -> tuple[str, ...]:
    """The selectors whose decisions a selection is made of and that draw lots, or are made of such."""
    if not scope.lookup(stage).operator.made_of_selections:
        return ()
    inner = [name for name in scope.verdicts(stage) if scope.lookup(name).operator.role == "selector"]
    return tuple(name for name in inner if is_redrawn(scope, name))


def is_redrawn(scope: Scope, stage: str) -> bool:
    """Whether every seed has another draw of a selection, or of one that it is made of."""
    return draws(scope.lookup(stage).operator) or bool(made_of(scope, stage))
