"""Expectations bound to the stages of a plan: which columns they look at, and which stages the recipe's own mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Kind
from winnow.dags.recipe.expectation import Expectation
from winnow.dags.recipe.expectations import check_column, own_columns, parse_expectations
from winnow.dags.recipe.names import find_column, spellings
from winnow.dags.recipe.nodes import Node, provided
from winnow.dags.recipe.yaml_recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Expected:
    """An expectation of one stage; `columns`: name -> (stage that holds it, column on disk)."""

    expectation: Expectation
    where: str
    columns: Mapping[str, tuple[Node, str]] = field(default_factory=dict)


def expect_all(recipe: Recipe, faces: Mapping[str, Node], nodes: Sequence[Node], *, whole: bool) -> None:
    """Bind what a recipe expects of its stages, and of its end points where all of it is planned.

    Raises: ConfigError for what cannot be expected there.
    """
    for stage in recipe.stages:
        if stage.expect is not None and stage.name in faces:
            face = faces[stage.name]
            expect(face, stage.expect, nodes[: nodes.index(face)], where=f"stages.{stage.name}.expect")
    if recipe.expect is not None and whole:
        expect_of_ends(nodes, recipe.expect)


def expect(node: Node, value: Any, earlier: Sequence[Node], *, where: str) -> None:
    """Bind what a recipe expects of a stage to it.

    Raises: ConfigError for what no stage of this kind can meet, and for columns that are not there.
    """
    for one in parse_expectations(value, where=where):
        at = f"{where}.{one.key}"
        unfit = one.unfit(node)
        if unfit:
            hint = "say it of a stage that does" + (", such as `count_tokens`" if "tokens" in one.key else "")
            raise ConfigError(f"{one.key!r} cannot be expected of {node.spoken!r} ({node.operator.name}): it {unfit}",
                              where=at, hint=hint)  # fmt: skip
        node.expects.append(_bound(one, node, earlier, at))


def expect_of_ends(nodes: Sequence[Node], value: Any) -> None:
    """Bind what a recipe expects of its run to each end point that it can be said of: stages that no other reads.

    Raises: ConfigError where it can be said of none, or one has not the column.
    """
    read = {id(n) for node in nodes for n in (*node.sources(), *node.after)}
    ends = [n for n in nodes if id(n) not in read and not n.hidden]
    for one in parse_expectations(value, where="expect"):
        at = f"expect.{one.key}"
        meant = [n for n in ends if not one.unfit(n) and not (one.reads() and n.kind is Kind.TABLE)]
        if not meant:
            names = ", ".join(f"{n.spoken} ({n.operator.name})" for n in ends)
            raise ConfigError(f"{one.key!r} can be expected of no end point of this recipe", where=at,
                              hint=f"its end points are {names}; say it of another stage")  # fmt: skip
        for node in meant:
            node.expects.append(_bound(one, node, nodes, at))


def _bound(one: Expectation, node: Node, earlier: Sequence[Node], where: str) -> Expected:
    columns = {name: _column(name, node, earlier, where) for name in one.reads()}
    for name, (source, column) in columns.items():
        check_column(one, name, {**ROW_COLUMNS, **provided(source)}[column], where=where)
    return Expected(expectation=one, where=where, columns=columns)


def _column(name: str, node: Node, earlier: Sequence[Node], where: str) -> tuple[Node, str]:
    """(stage that holds it, column on disk) of a name: the stage's own first, then what its rows have."""
    own = {**{c: c for c in own_columns(node)}, **spellings(node)}
    if name in own:
        return node, own[name]
    space = node if node.kind is Kind.ROWS else node.space
    if space is not None and node.kind is not Kind.TABLE:
        if name in ROW_COLUMNS:
            return space, name
        same = [
            n for n in earlier if (n if n.kind is Kind.ROWS else n.space) is space and not n.hidden and n is not node
        ]
        found = find_column(name, (node.inputs if node.kind is Kind.COLUMNS else (), same), where=where)
        if found is not None:
            _refuse_later(found[0], node, where)
            return found
    raise ConfigError(f"{node.spoken!r} and its rows have no column {name!r}", where=where, hint=_hint(name, node, own))


def _hint(name: str, node: Node, own: Mapping[str, str]) -> str:
    if node.kind is Kind.ROWS and node.space is not None:
        return f"`carry: [{name}]` on {node.spoken!r} takes it along"
    if name == "token_count" and node.kind is Kind.ROWS:
        return "say it of the stage that counts tokens"
    if name != "token_count":
        return did_you_mean(name, own)
    return "count them: `tokens: {use: count_tokens, inputs: ...}` above this stage"


def _refuse_later(source: Node, node: Node, where: str) -> None:
    """A stage that is built on an equal stage cannot be waited for. Raises ConfigError."""
    todo, seen = [source], set[int]()
    while todo:
        above = todo.pop()
        if above.folder == node.folder:
            what = f"{source.spoken!r}, whose column this looks at, is built on a stage equal to {node.spoken!r}"
            raise ConfigError(what, where=where, hint=f"say it of {source.spoken!r}")
        if id(above) not in seen:
            seen.add(id(above))
            todo += [*above.sources(), *above.after, *(n for e in above.expects for n, _ in e.columns.values())]


def of_equal_stages(nodes: Sequence[Node]) -> dict[str, list[tuple[Node, Expected]]]:
    """Folder -> what is expected of the stage in it, under whichever of its names."""
    out: dict[str, list[tuple[Node, Expected]]] = {}
    for node in nodes:
        out.setdefault(node.folder, []).extend((node, one) for one in node.expects)
    return {folder: found for folder, found in out.items() if found}
