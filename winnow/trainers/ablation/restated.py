"""Selections made again in a fold of their pool, with all before them that has to be made again for it.

A stage is made again by declaring it once more as a sub-stage, with the fold as a condition on its rows, and with what
it reads made again where that depends on other rows. Columns keep their names: `by: quality` of a selection that is
made again means the `quality` that is made again, where there is one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import LOOKS_AROUND, Composite, Operator, Planned, Scope, Sub
from winnow.trainers.ablation.fold_of_pool import COLUMN, FoldOfPool
from winnow.trainers.ablation.scaling import of_fold

ALWAYS = ("selector", "graph")  # roles of what a fold cannot share with the pool: choices, and relations between rows
OUTER = "^"  # stands for the leading dot of a sibling's name while a composite expands inside a composite


class Restated:
    """What a selection depends on, made again per fold. `add` takes a sub-stage and gives its reference."""

    def __init__(
        self, scope: Scope, pool: str, *, folds: int, seed: int, refit: bool, add: Callable[[Sub], str]
    ) -> None:
        self.scope, self.pool, self.folds, self.seed, self.refit, self.add = scope, pool, folds, seed, refit, add
        self._again: dict[str, bool] = {}
        self._made: dict[str, str] = {}  # name of a sub-stage -> its reference

    def fold(self) -> str:
        """The stage that says which fold a document belongs to."""
        return self.add(Sub(name="folds", operator=FoldOfPool(num=self.folds), inputs=(self.pool,), seed=self.seed))

    def selection(self, stage: str, fold: int, *, name: str, seed: int) -> str:
        """A selection of one fold, drawn with `seed`.

        Raises:
            ConfigError: the stage keeps every row of the pool, so that there is nothing to restrict, or a budget is too
                small to be divided.
        """
        if self.scope.planned(stage).space != self.pool:
            raise ConfigError(f"{stage!r} is all rows, and no selection", where=f"stages.{self.scope.stage}.folds",
                              hint="name a selection, such as `random` with a budget")  # fmt: skip
        return self._restate(stage, fold, name=f"fold{fold}_{name}", seed=seed)

    def saw_the_pool(self, stage: str) -> list[str]:
        """Stages before a selection that looked at all of the pool, and are not made again per fold."""
        seen: dict[str, bool] = {}
        todo = [stage]
        while todo:
            for name in self._read(self.scope.planned(todo.pop())):
                if name not in seen:
                    planned = self.scope.planned(name)
                    inside = planned.space == self.pool and not self.is_again(name)
                    seen[name] = inside and any(op.shape_name in LOOKS_AROUND for op in planned.operators)
                    todo.append(name)
        return [name for name, looked in seen.items() if looked]

    def comes_from_the_pool(self, name: str) -> bool:
        """Whether a stage reads documents of the pool, however far above."""
        planned = self.scope.planned(name.partition(".")[0])
        return planned.space == self.pool or any(self.comes_from_the_pool(read) for read in self._read(planned))

    def is_again(self, name: str) -> bool:
        """Whether a stage before a selection is made again per fold."""
        if name not in self._again:
            self._again[name] = False  # nothing reads itself
            planned = self.scope.planned(name)
            inside = planned.space == self.pool and any(self._looks(op) for op in planned.operators)
            self._again[name] = inside or any(self.is_again(read) for read in self._read(planned))
        return self._again[name]

    def _looks(self, operator: Operator) -> bool:
        return operator.shape_name in LOOKS_AROUND and (self.refit or operator.role in ALWAYS)

    @staticmethod
    def _read(planned: Planned) -> list[str]:
        return list(dict.fromkeys(name.partition(".")[0] for name in (*planned.inputs, *planned.refs)))

    def _restate(self, stage: str, fold: int, *, name: str, seed: int) -> str:
        if name in self._made:
            return self._made[name]
        declared = self.scope.lookup(stage)
        sub = dataclasses.replace(
            declared,
            name=name,
            inputs=tuple(self._place(one, fold) for one in self._inputs(declared)),
            beside=tuple(self._place(one, fold) for one in self._beside(declared)),
            refs={port: self._ref(value, fold) for port, value in declared.refs.items()},
            seed=seed,
            repeats=stage,
        )
        if self.scope.planned(stage).space == self.pool:
            sub = self._within(sub, fold)
        self._made[name] = [self.add(one) for one in expanded(sub, self.scope, pool=self.pool)][-1]
        return self._made[name]

    def _within(self, sub: Sub, fold: int) -> Sub:
        """The stage on the rows of a fold, with the fold's share of its budget."""
        condition = f"{COLUMN} = {fold}"
        try:
            operator = of_fold(sub.operator, self.folds)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"stages.{sub.repeats}.{error.where}", hint=error.hint) from error
        where = f"({sub.where}) AND {condition}" if sub.where else condition
        return dataclasses.replace(sub, operator=operator, inputs=(*sub.inputs, self.fold()), where=where)

    def _inputs(self, declared: Sub) -> list[str]:
        """Inputs as declared; of a composite then those found by name that must be another stage, because it hands
        nothing else to its sub-stages.
        """
        found: tuple[str, ...] = ()
        if isinstance(declared.operator, Composite):
            found = self.scope.planned(declared.name).inputs
            found = tuple(name for name in found if self.is_again(name.partition(".")[0]))
        return list(dict.fromkeys((*declared.inputs, *found)))

    def _beside(self, declared: Sub) -> list[str]:
        """Stages that were found by name: columns of them are read, and none of their decisions counts."""
        if isinstance(declared.operator, Composite):
            return []
        return [name for name in self.scope.planned(declared.name).inputs if name not in declared.inputs]

    def _ref(self, value: Any, fold: int) -> Any:
        if isinstance(value, Mapping):
            return {key: self._place(name, fold) for key, name in value.items()}
        return self._place(value, fold)

    def _place(self, name: str, fold: int) -> str:
        """The stage that takes the place of another one in a fold: itself, where it is not made again."""
        stage, _, inner = name.partition(".")
        if not self.is_again(stage):
            return name
        seed = self.scope.lookup(stage).seed
        face = self._restate(stage, fold, name=f"fold{fold}_{stage}", seed=self.scope.seed if seed is None else seed)
        return f"{face}_{inner}" if inner else face


def expanded(sub: Sub, scope: Scope, *, pool: str) -> Iterator[Sub]:
    """A sub-stage as it is, or a composite's own ones under its name, the last of them its face."""
    if not isinstance(sub.operator, Composite):
        yield sub
        return
    refs = {port: _mapped(value, _outward) for port, value in sub.refs.items()}
    inner = dataclasses.replace(
        scope, stage=sub.name, inputs=tuple(map(_outward, sub.inputs)), where=sub.where,
        seed=scope.seed if sub.seed is None else sub.seed,
        space=lambda name: pool if name.startswith(OUTER) else scope.space(name),
    )  # fmt: skip
    own = dataclasses.replace(sub.operator, **refs).expand(inner)
    names = {f".{one.name}": f".{sub.name}" if one is own[-1] else f".{sub.name}_{one.name}" for one in own}

    def inward(name: str) -> str:
        return f".{name[1:]}" if name.startswith(OUTER) else names.get(name, name)

    for one in own:
        yield from expanded(
            dataclasses.replace(
                one, name=names[f".{one.name}"][1:], inputs=tuple(map(inward, one.inputs)),
                beside=tuple(map(inward, one.beside)),
                refs={port: _mapped(value, inward) for port, value in one.refs.items()},
                seed=inner.seed if one.seed is None else one.seed, after=tuple(map(inward, one.after)),
                repeats=sub.repeats if one is own[-1] else "",
            ),
            scope, pool=pool,
        )  # fmt: skip


def _outward(name: str) -> str:
    return f"{OUTER}{name[1:]}" if name.startswith(".") else name


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    return {k: change(v) for k, v in value.items()} if isinstance(value, Mapping) else change(value)
