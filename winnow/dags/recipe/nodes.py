"""Nodes: stages with everything resolved, and the plan that holds them in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Kind, Operator, Planned, Rewrite, Sub
from winnow.core.operators.usercode import UserModule
from winnow.core.store.schema import STATE
from winnow.core.store.shard_format import IDS
from winnow.dags.recipe.input_files import InputFile
from winnow.dags.recipe.yaml_recipe import Recipe

if TYPE_CHECKING:
    from winnow.dags.recipe.expected import Expected

Columns = dict[str, tuple[int, str]]  # name as the operator says it -> (input number, column on disk)


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """The rows of its row space that a stage is about; see `populations` for how that is found."""

    space: Node
    groups: tuple[tuple[Node, ...], ...]  # a row was kept by one of every group
    said: bool  # the recipe names a decision; else it is what all cleaning above kept
    where: str | None  # what the recipe says besides, as it is written
    respects: frozenset[Node]  # decisions that kept every one of the rows
    ignored: tuple[Node, ...]  # cleaning decisions above that some of the rows did not pass, as the recipe says
    judged: tuple[Node, ...]  # cleaning decisions above whose verdicts the stage decides anew
    missed: tuple[Node, ...]  # cleaning decisions above that some of the rows did not pass, and nobody says so

    @property
    def words(self) -> str:
        """The population as a person reads it: `rows that unique kept`, `ALL rows of docs`."""
        named = ["any of " + ", ".join(n.spoken for n in g) if len(g) > 1 else g[0].spoken for g in self.groups]
        base = f"rows that {' and '.join(named)} kept" if named else f"rows of {self.space.spoken}"
        if self.where:
            return f"{base}, where {self.where}"
        return base if named else f"ALL {base}"

    @property
    def missing(self) -> str:
        """The cleaning decisions that do not count, as a person reads it; '' where all count."""
        told = [f"{n.spoken} (ignored)" for n in self.ignored] + [f"{n.spoken} (judged)" for n in self.judged]
        told += [n.spoken for n in self.missed]
        return f"not respected: {', '.join(told)}" if told else ""


@dataclass(kw_only=True, eq=False)
class Node:
    """One stage to run: an operator over resolved inputs, with its fingerprint."""

    name: str
    operator: Operator
    inputs: list[Node] = field(default_factory=list)
    columns: Columns = field(default_factory=dict)  # name as the operator says it -> (input number, on disk)
    where: str | None = None
    where_columns: Columns = field(default_factory=dict)
    population: list[tuple[int, str]] = field(default_factory=list)
    text: Node | None = None  # the editor whose text is that of its rows; None: the text as it was read
    chosen_from: list[Node] = field(default_factory=list)  # the editors among whose texts it chooses
    about: Population | None = None  # of a stage's face: the rows it is about; None where it measures all rows
    policies: dict[str, str] = field(default_factory=dict)  # of a stage's face: arm -> what acts while it trains
    refers: list[Node] = field(default_factory=list)  # of a stage's face: the stages that its fields name
    decides: str = ""  # of a stage's face: `cleaning`, `choosing`, or '' where it keeps and drops nothing
    refs: dict[str, Any] = field(default_factory=dict)  # port -> Node or {label: Node}
    after: list[Node] = field(default_factory=list)  # must be complete first, though nothing of them is read
    files: dict[str, list[InputFile]] = field(default_factory=dict)
    outputs: dict[str, pa.DataType] = field(default_factory=dict)
    seed: int = 0
    space: Node | None = None
    face_of: str = ""  # the stage the user wrote, for sub-stages; "" for plain stages
    repeats: str = ""  # the stage that a sub-stage is made like
    hidden: bool = False
    implicit: bool = False
    trusted: bool = False
    told: list[str] = field(default_factory=list)  # what a person should know of it before it runs
    user: UserModule | None = None
    max_bad_share: float = 0.001
    strict: bool = False
    timeout_s: float = 300.0
    expects: list[Expected] = field(default_factory=list)  # checked when the stage is complete
    family: str = ""  # the recipe alone: equal for other inputs
    lineage: str = ""  # the recipes of this stage and all it reads: equal for other input files
    fingerprint: str = ""
    identity: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """`{operator}-{fingerprint}`."""
        return f"{self.operator.name}-{self.fingerprint[:20]}"

    @property
    def called(self) -> str:
        """The operator as a recipe's `use:` says it: of a user's function `module:name`."""
        return str(getattr(self.operator, "target", "")) if self.user is not None else self.operator.name

    def declared(self) -> Sub:
        """The node as a composite sees it that refers to it: a sub-stage of another one, with names of stages."""
        refs = {p: {k: n.name for k, n in r.items()} if isinstance(r, dict) else r.name for p, r in self.refs.items()}
        return Sub(name=self.name, operator=self.operator, refs=refs, seed=self.seed)

    @property
    def kind(self) -> Kind:
        """What the stage leaves on disk."""
        return self.operator.kind

    @property
    def spoken(self) -> str:
        """The name that a person writes: a sub-stage's is that of its composite, or of the stage that it repeats."""
        return self.repeats or self.face_of or self.name

    def sources(self) -> list[Node]:
        """All nodes this one reads: inputs, then references."""
        out = list(self.inputs)
        for value in self.refs.values():
            out += value.values() if isinstance(value, dict) else [value]
        return out


@dataclass(kw_only=True)
class Plan:
    """All nodes in an order in which every node comes after what it reads."""

    recipe: Recipe
    nodes: list[Node]
    remarks: list[Any] = field(default_factory=list)  # `remarks.Remark`s about the plan itself

    def node(self, name: str) -> Node:
        """The node of a stage (for a composite: its face) or sub-stage `stage.sub`."""
        for node in self.nodes:
            if node.name == name or (node.face_of == name and not node.hidden):
                return node
        names = [n.name for n in self.nodes] + [n.face_of for n in self.nodes if n.face_of]
        raise ConfigError(f"no stage {name!r}", hint=did_you_mean(name, set(names)))

    def until(self, name: str) -> list[Node]:
        """The nodes needed for one stage, in plan order."""
        wanted: set[int] = set()
        todo = [self.node(name)]
        while todo:
            node = todo.pop()
            if id(node) not in wanted:
                wanted.add(id(node))
                todo += [*node.sources(), *node.after, *(n for e in node.expects for n, _ in e.columns.values())]
        return [n for n in self.nodes if id(n) in wanted]


def planned_as(face: Node, nodes: Sequence[Node]) -> Planned:
    """What a stage has become and reads, told to a composite after it; `nodes` are all so far."""
    own = [n for n in nodes if n is face or (face.face_of and n.face_of == face.face_of)]
    refs = [n for node in own for r in node.refs.values() for n in (r.values() if isinstance(r, dict) else [r])]
    spaces = [node.space.name for node in own if node.space is not None]

    def names(read: Iterable[Node]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n.name if n.hidden else n.spoken for n in read if n not in own))

    return Planned(
        operators=tuple(node.operator for node in own),
        inputs=names(n for node in own for n in node.inputs),
        refs=names(refs),
        space=spaces[-1] if spaces else "",
    )


def carried_types(node: Node) -> dict[str, pa.DataType]:
    """Name in the new row space -> type of the columns that a writer takes along; ids are texts there."""
    assert isinstance(node.operator, Rewrite)
    out = {}
    for name, wanted in node.operator.carried().items():
        i, column = node.columns[wanted]
        kind = provided(node.inputs[i])[column]
        out[name] = pa.large_string() if wanted in IDS else kind
    return out


def provided(node: Node) -> dict[str, pa.DataType]:
    """Columns a stage has on disk."""
    if node.kind is Kind.ROWS:
        return {**ROW_COLUMNS, **node.outputs}
    if node.kind is Kind.COLUMNS:
        return {**node.outputs, STATE: pa.uint8()}
    return {}
