"""A grid over weight decay, epochs and learning rates, from which every arm gets the cell that suits it best.

A small selected set is seen more often, and a model that sees its data often wants another weight decay than one that
sees it once. Arms that share one setting are therefore compared at the best of one of them. Here every arm and the
baseline is compared at its own best cell, and that cell is chosen on seeds that the verdict never sees.

Source: the grid and its seeds own; decay about 30 times the usual for repeated data: Kim et al. 2025 (arXiv 2509.14786)
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Operator
from winnow.core.operators.budget import Budget

AXES = ("weight_decay", "learning_rate", "epochs")  # the order of the grid: the last one varies fastest
TUNE_SEEDS = 2
Axes = dict[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What an ablation tunes for each of its arms. All tokens of a run stay `tokens`."""

    tune: Axes | None = None  # weight_decay, epochs, learning_rate factors: each arm is compared at its own best cell
    tune_seeds: int = TUNE_SEEDS  # runs of each cell that choose it, at seeds of their own
    tune_target: str = ""  # what cells are chosen by; default: the primary target

    def tuning_cells(self) -> dict[str, dict[str, float]]:
        """Name of a cell -> its values, in the order in which ties are decided; none where nothing is tuned."""
        axes = {axis: (self.tune or {})[axis] for axis in AXES if axis in (self.tune or {})}
        cells = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
        return {cell_name(values): values for values in cells} if axes else {}

    def check_tuning(self, targets: Sequence[str], refused: Mapping[str, tuple[bool, str]]) -> None:
        """Check the fields; `refused` maps a field that does not go with a grid to (whether it is set, what to do).

        Raises:
            ConfigError: the grid is none, a number is out of its range, or a field has no effect.
        """
        if self.tune is None:
            for name, default in (("tune_seeds", TUNE_SEEDS), ("tune_target", "")):
                if getattr(self, name) != default:
                    raise ConfigError(f"{name} is {getattr(self, name)}, and nothing is tuned", where=name,
                                      hint="give a grid: `tune: {weight_decay: [0, 0.1, 3]}`")  # fmt: skip
            return
        for axis, values in self.tune.items():
            _check_axis(axis, values)
        if len(self.tuning_cells()) < 2:
            raise ConfigError("a grid of one cell leaves nothing to choose", where="tune",
                              hint="give two values or more for one of " + ", ".join(AXES))  # fmt: skip
        if self.tune_seeds < 1:
            raise ConfigError(f"tune_seeds is {self.tune_seeds}, and must be at least 1", where="tune_seeds")
        if self.tune_target and self.tune_target not in targets:
            hint = did_you_mean(self.tune_target, targets)
            raise ConfigError(f"{self.tune_target!r} is none of {', '.join(targets)}", where="tune_target", hint=hint)
        for name, (used, hint) in refused.items():
            if used:
                raise ConfigError(f"tune does not go with {name}", where="tune", hint=hint)


def cell_name(values: Mapping[str, float]) -> str:
    """How a cell is written: `weight_decay 0.1, epochs 4`."""
    return ", ".join(f"{axis} {value:g}" for axis, value in values.items())


def budget_share(label: str, selector: Operator, *, tokens: int, epochs: float) -> float:
    """Factor on a selection's budget at which it holds tokens / epochs of what its budget counts.

    Raises:
        ConfigError: the selection has no budget in tokens, so that it cannot be made smaller or larger.
    """
    budget = getattr(selector, "budget", None)
    if not isinstance(budget, Budget) or budget.unit != "tokens":
        what = f"has a budget of {budget}" if isinstance(budget, Budget) else "has no budget"
        raise ConfigError(
            f"the selection of {label!r} ({selector.name}) {what}: epochs cannot be chosen for it", where="tune.epochs",
            hint="give it a budget in tokens, or put a selector that has one (`random`, `top_k`) behind it",
        )  # fmt: skip
    return tokens / epochs / budget.amount


def _check_axis(axis: str, values: Sequence[float]) -> None:
    if axis not in AXES:
        raise ConfigError(f"tune has no {axis!r}", where="tune", hint=did_you_mean(axis, AXES))
    if not values or len(set(values)) < len(values):
        raise ConfigError(f"{axis} is {list(values)}", where=f"tune.{axis}", hint="give values that differ")
    least = min(values)
    if least < 0 or (least == 0 and axis != "weight_decay"):
        bound = "at least 0" if axis == "weight_decay" else "above 0"
        raise ConfigError(f"{least:g} is among them, and all must be {bound}", where=f"tune.{axis}")
