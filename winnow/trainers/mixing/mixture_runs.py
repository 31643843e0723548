"""Runs on drawn mixtures, as a table for the fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from winnow.core.errors import ConfigError
from winnow.core.operators import Operator, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.trainers.ablation.grid import derived_seed
from winnow.trainers.mixing.domain_sizes import DomainSizes
from winnow.trainers.mixing.drawn_mixture import Drawing, DrawnMixture
from winnow.trainers.mixing.proxies import Proxies, ProxyGrid


@dataclass(frozen=True, kw_only=True)
class MixtureRuns(Drawing, Proxies):
    """A table of proxy runs on drawn mixtures, for `regmix`, `swarm`, `mixing_law` and the other fits.

    `mixture` names a `mixture` stage: its values (`per`), budget, cap on repeats and rows are those of every run; only
    the shares are drawn, around the pool's own. Each run is trained on its mixture, with one tokenizer, initialisation
    and order for all, and scored on every target of `eval`. With more `runs` the first ones stay what they were.

    Files, also under their own names in `runs/`: runs.parquet (shares as they came out, losses, losses on the way).

    Cost: `runs` trainings: `winnow plan --estimate` says how long.
    Source: RegMix (Liu et al. 2024, arXiv 2407.01492): 512 runs of 1M parameters on 1B tokens there
    """

    name: ClassVar[str] = "mixture_runs"
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers", "scipy")
    takes: ClassVar[tuple[str, ...]] = ("mixture",)

    mixture: str = port("ref")
    runs: int = 64

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range, or two fields do not go together.
        """
        self.check_drawing()
        self.check_runs(self.runs)

    def like(self) -> str:
        """The mixture."""
        return self.mixture

    def expand(self, scope: Scope) -> list[Sub]:
        """Sizes of the pool; a mixture, its selection, its run and scores per number; the table."""
        labels = [f"m{number}" for number in range(self.runs)]
        grid = MixtureGrid(self, scope, labels)
        for number, label in enumerate(labels):
            grid.mix(label, grid.draw(part_of(self, Drawing), number, label))
        runs = grid.trained(labels)
        table = grid.collected("table", runs, grid.mixed(labels), unit=grid.operator.budget.unit)
        subs = [*grid.subs.values()]
        return [*(s for s in subs if f".{s.name}" != table), grid.subs[table[1:]]]


class MixtureGrid(ProxyGrid):
    """The grid of runs on mixtures of one stage."""

    def __init__(self, stage: Proxies, scope: Scope, labels: Sequence[str]) -> None:
        super().__init__(stage, scope, labels)
        self.declared = mixture_of(scope, stage.like())
        self.operator = cast(Any, self.declared.operator)
        self.weights: dict[str, str] = {}
        like = self.operator
        sizes = DomainSizes(per=like.per, unit=like.budget.unit, least=like.least)
        self.sizes = self.add(Sub(name="sizes", operator=sizes, inputs=self.declared.inputs, where=self.declared.where))

    def draw(self, drawing: Mapping[str, Any], number: int, label: str) -> str:
        """The stage of a mixture by lot."""
        operator = DrawnMixture(number=number, budget=int(self.operator.budget.amount), sizes="",
                                max_repeats=self.operator.max_repeats, **drawing)  # fmt: skip
        seed = derived_seed(self.scope.seed, "mixtures", 0)
        return self.add(Sub(name=f"draw_{label}", operator=operator, refs={"sizes": self.sizes}, seed=seed))

    def mix(self, label: str, weights: str) -> None:
        """Make a label's selection from the stage that has its weights; the same lots for all of them."""
        operator = dataclasses.replace(self.operator, shares="unimax", temperature=1.0, alpha=1.0, weights_from=weights)
        base = self.scope.seed if self.declared.seed is None else self.declared.seed
        sub = dataclasses.replace(self.declared, name=f"mix_{label}", operator=operator, seed=base,
                                  refs={"weights_from": weights}, repeats=self.stage.like())  # fmt: skip
        self.weights[label], self.made[label] = weights, self.add(sub)

    def refuse_unit(self, wanted: str) -> None:
        """Raise ConfigError where the mixture's budget counts something else."""
        if self.operator.budget.unit != wanted:
            raise ConfigError(f"the budget of {self.stage.like()!r} is {self.operator.budget}",
                              where=f"stages.{self.scope.stage}.mixture", hint=f"give it {wanted}")  # fmt: skip

    def capped(self) -> dict[str, Any]:
        """Fields of a fit for the same budget and cap on repeats."""
        return {"runs": "", "budget": self.operator.budget, "max_repeats": self.operator.max_repeats}

    def mixed(self, labels: Sequence[str]) -> dict[str, Any]:
        """References of the table: weights of every label, what its selection took, and the pool's sizes."""
        unit = self.operator.budget.unit
        used = {label: self.add(Sub(name=f"used_{label}", inputs=(*self.declared.inputs, self.made[label]),
                                    operator=DomainSizes(per=self.operator.per, unit=unit, used=True)))
                for label in labels}  # fmt: skip
        if self.operator.least:
            used = {}  # the values behind `other` are not told apart there
        return {"drawn": {label: self.weights[label] for label in labels}, "sizes": self.sizes,
                **({"used": used} if used else {})}  # fmt: skip


def mixture_of(scope: Scope, stage: str) -> Sub:
    """The `mixture` stage of that name.

    Raises:
        ConfigError: it is none, or its budget is no amount.
    """
    declared = scope.lookup(stage)
    operator: Operator = declared.operator
    if operator.name != "mixture":
        raise ConfigError(f"{stage!r} is a {operator.name}, and not a mixture", where=f"stages.{scope.stage}.mixture",
                          hint="name a stage as `mixed: {use: mixture, per: topic, budget: 5M tokens}`")  # fmt: skip
    budget: Any = operator.budget  # type: ignore[attr-defined]
    if budget.unit in ("share", "epochs"):
        raise ConfigError(f"the budget of {stage!r} is {budget}", where=f"stages.{scope.stage}.mixture",
                          hint="caps on repeats need an amount: give tokens, bytes or docs")  # fmt: skip
    return declared
