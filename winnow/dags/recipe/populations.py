"""Which rows a stage is about: a recipe reads from top to bottom.

A *cleaning decision* (a filter, a deduplication) says what is unwanted, so what is written below it on the same rows is
about what it kept: selectors, writers, trainers, later decisions, and whatever looks at other rows to answer for one
(`Operator.after_decisions`). A stage that says its population has that one: it names a decision among its `inputs`, in
its `where`, or in a field that takes verdicts. `ignore: [clean]` leaves decisions out, `ignore: all` every one. Any
other decision (a selection under a budget, a verdict from elsewhere) counts only where it is named, and what measures
each row by itself measures all of them. A filter whose clauses read a verdict (`kept_clean OR score > 3`, `held_out`)
decides that one anew: its rows are those before it.

What is not said is filled in as a person would write it: of all decisions above, those that no other one of them stands
for (each considered only what the ones before it had kept), among the `inputs` of a selector or writer, in the `where`
of others. So a recipe that says it and one that does not have the same fingerprints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import CLEANING, Kind, Operator, Sub, sql
from winnow.dags.recipe.names import find_column
from winnow.dags.recipe.nodes import Node, Population
from winnow.dags.recipe.yaml_recipe import StageSpec

ALL = "all"


def decides(node: Node, operator: Operator) -> str:
    """What the face of a stage does to rows: `cleaning`, `choosing`, or '' where it keeps and drops none."""
    if not is_verdict(node):
        return ""
    return "cleaning" if operator.role in CLEANING else "choosing"


def is_verdict(node: Node) -> bool:
    """Whether a stage keeps some rows and drops others."""
    return node.kind is Kind.COLUMNS and node.outputs.get("kept") == pa.bool_()


def population_of(node: Node, named: Sequence[Node]) -> list[tuple[int, str]]:
    """(input number, column) of every verdict among the inputs that are named: all must be true of a candidate."""
    return [(i, "kept") for i, n in enumerate(node.inputs) if n in named and is_verdict(n)]


def narrowed(
    stage: StageSpec, sub: Sub, operator: Operator, space: Node | None, faces: Mapping[str, Node]
) -> tuple[Sub, Population | None]:
    """The stage with its population filled in, and that population; None where the stage measures all rows.

    Raises: ConfigError for an `ignore` that names no cleaning decision above, or that changes nothing.
    """
    asking = Asking(stage, sub, operator, space, faces)
    if space is None:
        asking.refuse_ignore("reads no rows of its own")
        return sub, None
    if not asking.said and not operator.after_decisions():
        asking.refuse_ignore("is about its selection" if operator.takes else "measures all rows, whatever was decided")
        return sub, asking.population([asking.taken()]) if operator.takes else None
    if not asking.said:
        return asking.by_default()
    asking.refuse_ignore(f"says its population: {asking.population(asking.groups).words}")
    return asking.as_said()


class Asking:
    """One stage, the decisions above it on the same rows, and which of them it names."""

    def __init__(
        self, stage: StageSpec, sub: Sub, operator: Operator, space: Node | None, faces: Mapping[str, Node]
    ) -> None:
        self.stage, self.sub, self.operator, self.faces = stage, sub, operator, faces
        self.space = space
        self.above = [n for n in faces.values() if n.decides and n.space is space] if space is not None else []
        self.inputs = [faces[name] for name in sub.inputs if name in faces]
        conditions = sql.conjuncts(sub.where) if sub.where else []
        self.holding = [node for text in conditions if (node := self._verdict(text)) is not None]
        self.mentioned = [n for name in _names_in(sub.where) if (n := self._verdict(name)) is not None]
        self.asked_of = self._among_inputs()
        self.groups: list[tuple[Node, ...]] = [(n,) for n in dict.fromkeys([*self.asked_of, *self.holding])]
        fields = [tuple(filter(None, map(self._verdict, group))) for group in operator.chosen_from()]
        self.groups += [group for group in fields if group and group not in self.groups]
        self.rest = sub.where if len(self.holding) < len(conditions) else None
        self.said = bool(self.groups or self.mentioned)
        flags = {node for node, column in self._read() if node.outputs.get(column) == pa.bool_()}
        self.judged = flags & set(self.above) if operator.role == "filter" else set()

    def _among_inputs(self) -> list[Node]:
        """The decisions that are inputs for their verdicts; not those of which another stage reads a column."""
        verdicts = [n for n in self.inputs if n in self.above]
        if self.operator.population:
            return verdicts
        if self.operator.chosen_from():
            return []
        read = {node for node, column in self._read() if not (node in self.mentioned and column == "kept")}
        return [n for n in verdicts if n not in read]

    def _read(self) -> Iterator[tuple[Node, str]]:
        """The columns that the operator reads and that can be found by now."""
        for name in (*self.operator.needs(), *self.operator.looks_up(), *_names_in(self.sub.where)):
            found = self._column(name)
            if found is not None:
                yield found

    def _verdict(self, name: str) -> Node | None:
        """The decision whose `kept` a name means."""
        found = self._column(name.strip().replace('"', ""))
        return found[0] if found and found[1] == "kept" and found[0] in self.above else None

    def _column(self, name: str) -> tuple[Node, str] | None:
        visible = [n for n in self.faces.values() if (n if n.kind is Kind.ROWS else n.space) is self.space]
        with suppress(ConfigError):  # two candidates: told where the column is resolved
            return find_column(name, (self.inputs, visible), where="")
        return None

    def refuse_ignore(self, reason: str) -> None:
        """Raise ConfigError where the stage has an `ignore` without effect."""
        if self.stage.ignore:
            told = f"`ignore` has no effect: the stage {reason}"
            raise ConfigError(told, where=f"stages.{self.stage.name}.ignore", hint="leave it out")

    def as_said(self) -> tuple[Sub, Population]:
        """The population that the stage names; a decision among the inputs of what takes no verdicts is a condition."""
        sub = self.sub
        if not self.operator.population:
            sub = _conditioned(sub, [n for n in self.asked_of if n not in self.holding])
        return sub, self.population(self.groups)

    def by_default(self) -> tuple[Sub, Population]:
        """The population of a stage that names none: what all cleaning above it kept, but for what it ignores."""
        cleaning = [n for n in self.above if n.decides == "cleaning"]
        ignored = self._ignored(cleaning)
        common = [n for n in self._respected(cleaning) if not {n, *respected(n)} & self.judged]
        chosen = frontier([n for n in common if n not in ignored])
        idle = [n.spoken for n in ignored if n not in common]
        if idle and self.stage.ignore != (ALL,):
            why = (
                "decides anew"
                if idle[0] in {n.spoken for n in self.judged}
                else "works on selections that do not respect"
            )
            self.refuse_ignore(f"{why} {idle[0]!r}")
        standing = [n for n in ignored if any(n in respected(c) for c in chosen)]
        if standing and self.stage.ignore != (ALL,):
            by = next(c for c in chosen if standing[0] in respected(c))
            told = f"`ignore` has no effect on {standing[0].spoken!r}: {by.spoken!r} considered only what it kept"
            hint = f"ignore {by.spoken!r} as well, or give {by.spoken!r} the `ignore`"
            raise ConfigError(told, where=f"stages.{self.stage.name}.ignore", hint=hint)
        groups = [(n,) for n in chosen]
        sub = self.sub
        if self.operator.population:
            sub = dataclasses.replace(sub, inputs=(*sub.inputs, *(n.spoken for n in chosen)))
        else:
            sub = _conditioned(sub, chosen)
        return sub, self.population(groups, ignored)

    def _ignored(self, cleaning: Sequence[Node]) -> list[Node]:
        if not self.stage.ignore:
            return []
        if not cleaning:
            self.refuse_ignore("has no cleaning decision above it on the same rows")
        if self.stage.ignore == (ALL,):
            return list(cleaning)
        known = {n.spoken: n for n in cleaning}
        for name in self.stage.ignore:
            if name not in known:
                chosen = any(n.spoken == name for n in self.above)
                told = "a selection, which counts only where it is named" if chosen else "no cleaning decision above"
                hint = "leave it out" if chosen else did_you_mean(name, known)
                where = f"stages.{self.stage.name}.ignore"
                raise ConfigError(f"`ignore` names {name!r}: {told}", where=where, hint=hint)
        return [known[name] for name in dict.fromkeys(self.stage.ignore)]

    def taken(self) -> tuple[Node, ...]:
        """The selections that the stage works on; none where it takes documents themselves."""
        found = tuple(dict.fromkeys(n for n in _selections(self.sub, self.operator, self.faces) if n in self.above))
        return found if len(found) == len(set(_selections(self.sub, self.operator, self.faces))) else ()

    def _respected(self, cleaning: Sequence[Node]) -> list[Node]:
        """The cleaning that every selection respects which the stage works on; all of it where it takes none."""
        taken = [n for n in _selections(self.sub, self.operator, self.faces) if _rows_of(n) is self.space]
        return [n for n in cleaning if all(n is t or n in respected(t) for t in taken)]

    def population(self, groups: Sequence[tuple[Node, ...]], ignored: Sequence[Node] = ()) -> Population:
        """The population of some decisions, with the cleaning above that it does not respect."""
        assert self.space is not None
        groups = [group for group in groups if group]
        respects = frozenset(n for group in groups for n in _of_any(group))
        named = {*self.mentioned, *(self.faces[name] for name in _refs(self.sub) if name in self.faces)}
        lacking = [n for n in self.above if n.decides == "cleaning" and n not in respects and n not in named]
        return Population(
            space=self.space, groups=tuple(groups), said=self.said, where=self.rest, respects=respects,
            ignored=tuple(n for n in lacking if n in ignored),
            judged=tuple(n for n in lacking if n in self.judged and n not in ignored),
            missed=tuple(n for n in lacking if n not in ignored and n not in self.judged),
        )  # fmt: skip


def respected(node: Node) -> frozenset[Node]:
    """The decisions that kept every row which a decision keeps, without itself."""
    return node.about.respects if node.about else frozenset()


def frontier(decisions: Iterable[Node]) -> list[Node]:
    """Those of some decisions that no other of them stands for, in an order that names and places do not change."""
    known = list(decisions)
    last = [n for n in known if not any(n in respected(other) for other in known)]
    return sorted(last, key=lambda n: (n.lineage, n.fingerprint))


def _of_any(group: tuple[Node, ...]) -> frozenset[Node]:
    """The decisions that kept every row which one of a group keeps."""
    return frozenset.intersection(*(respected(n) | {n} for n in group))


def _conditioned(sub: Sub, decisions: Sequence[Node]) -> Sub:
    if not decisions:
        return sub
    kept = " and ".join(f"kept_{n.spoken}" for n in decisions)
    return dataclasses.replace(sub, where=f"{kept} and ({sub.where})" if sub.where else kept)


def _refs(sub: Sub) -> Iterator[str]:
    """The stages that a stage refers to."""
    for value in sub.refs.values():
        yield from value.values() if isinstance(value, Mapping) else [value]


def _selections(sub: Sub, operator: Operator, faces: Mapping[str, Node]) -> Iterator[Node]:
    for port in operator.takes:
        value = sub.refs.get(port) or ()
        names = value.values() if isinstance(value, Mapping) else [value] if isinstance(value, str) else []
        yield from (faces[name] for name in names if name in faces)


def rows_of(sub: Sub, operator: Operator, faces: Mapping[str, Node]) -> Node | None:
    """The row space that a stage is about: that of its inputs, else of the selections it works on."""
    named = [faces[name] for name in sub.inputs if name in faces] or list(_selections(sub, operator, faces))
    return _rows_of(named[0]) if named else None


def _rows_of(node: Node) -> Node | None:
    return node if node.kind is Kind.ROWS else node.space


def _names_in(where: str | None) -> list[str]:
    return sql.column_names(where) if where else []
