"""Stages that a recipe need not write: columns with one standard way to be made are made, and `plan` shows how.

An operator says for which columns it is implied (`Operator.implied_for`): tokens by the recipe's tokenizer, signals,
vectors of words and the graph over them. A stage that the recipe writes always comes first, and the implied one is
the stage that one would write: same folder, same fingerprint. What looks at all rows at once (a graph) is asked about
the rows of the stage that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import Kind, Union
from winnow.core.store.locations import refuse_scheme
from winnow.dags.recipe.names import find_column
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.registry import operator_class
from winnow.dags.recipe.text_versions import text_of
from winnow.dags.recipe.user_operators import is_user_target
from winnow.dags.recipe.yaml_recipe import StageSpec

IMPLIED = {"count_tokens": "tokens", "signals": "signals", "ngram_vectors": "vectors", "knn_graph": "graph"}


@cache
def makers() -> dict[str, str]:
    """Column -> the operator that is implied for it."""
    return {column: name for name in IMPLIED for column in operator_class(name).implied_for}


def implied_for(column: str, node: Node, earlier: Sequence[Node]) -> str:
    """The operator that makes the column for a stage; '' where a stage of the recipe has it, or none is implied."""
    if column not in makers():
        return ""
    written = [n for n in earlier if not n.implicit and not n.hidden and _space(n) is node.space]
    try:
        found = find_column(column, (node.inputs, written), where="")
    except ConfigError:  # it could be several: resolving says so
        return ""
    united = [m for n in written if isinstance(n.operator, Union) for m in n.inputs]
    if found or any(column in m.outputs for m in united):  # some documents have it: resolving says which have not
        return ""
    return makers()[column]


def missing(names: Iterable[str], node: Node, earlier: Sequence[Node]) -> dict[str, list[str]]:
    """Operator that is implied for a stage -> the columns that it is implied for; no other one is read of it."""
    found: dict[str, list[str]] = {}
    for name in names:
        use = implied_for(name, node, earlier)
        if use and not (node.implicit and node.operator.name == use):
            found.setdefault(use, []).append(name)
    return found


def spec_of(
    use: str, columns: Iterable[str], node: Node, where: str | None, *, tokenizer: str, taken: Collection[str],
    text: tuple[str, ...] = (),
) -> StageSpec:  # fmt: skip
    """The implied stage with the columns, over the rows of a stage that needs it; `text` says whose text it reads."""
    assert node.space is not None
    name = IMPLIED[use]
    name = name if name not in taken else f"{name}_of_{node.space.name}"
    name = name if name not in taken else f"{name}_for_{node.spoken}"
    dialect = next(iter(node.operator.dialects().values()), "")
    config = {"tokenizer": tokenizer} if use == "count_tokens" else {}
    config |= operator_class(use).implied_fields(columns, dialect)
    asked = _asked(node, where) if operator_class(use).shape_name == "Whole" else None
    return StageSpec(name=name, use=use, inputs=(node.space.name,), where=asked, text=text, config=config)


def same_stage(spec: StageSpec, node: Node, earlier: Sequence[Node], specs: Callable[[Node], StageSpec]) -> Node | None:
    """An implied stage that is already there, made alike for the same rows of the same text."""
    there = [n for n in earlier if n.implicit and n.operator.name == spec.use and _space(n) is node.space]
    alike = [n for n in there if _serves(specs(n).config, spec.config)]
    text = _text(node, earlier, spec)
    same = (n for n in alike if _text(n, earlier[: list(earlier).index(n)], specs(n)) is text)
    return next((n for n in same if specs(n).where == spec.where), None)


def as_implied(made: Node, earlier: Sequence[Node]) -> Node:
    """The stage as one that is implied; where a written one measures the same text, it tells how one pass would do."""
    made.implicit = True
    written = (n for n in earlier if n.operator.name == made.operator.name and not (n.implicit or n.hidden))
    beside = next((n for n in written if n.space is made.space and n.text is made.text), None)
    more = getattr(made.operator, "groups", ())
    if beside is not None and more:
        has = getattr(beside.operator, "groups", ())
        also = f"`groups: [{', '.join(dict.fromkeys([*has, *more]))}]` at {beside.spoken!r}"
        made.told.append(f"reads the same text as {beside.spoken!r} once more: {also} measures all in one pass")
    return made


def _serves(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a stage with one config has all that one with the other has: the same, and groups besides."""
    rest, asked = ({k: v for k, v in c.items() if k != "groups"} for c in (made, wanted))
    return rest == asked and {*wanted.get("groups", ())} <= {*made.get("groups", ())}


def _text(node: Node, above: Sequence[Node], spec: StageSpec) -> Node | None:
    """The editor whose text a stage at some place of the recipe reads; None also where that is not clear."""
    with suppress(ConfigError):
        return text_of(node.space, above, spec.text, where="")
    return None


def _asked(node: Node, where: str | None) -> str | None:
    """The rows that a stage considers, as a condition."""
    kept = (
        [n for n in node.inputs if n.kind is Kind.COLUMNS and "kept" in n.outputs] if node.operator.population else []
    )
    parts = [f"kept_{n.spoken}" for n in kept] + ([f"({where})" if kept else where] if where else [])
    return " and ".join(parts) or None


def _space(node: Node) -> Node | None:
    return node if node.kind is Kind.ROWS else node.space


def refuse_path(stage: StageSpec, port: str, value: str) -> None:
    """Check that a path in a reference port may stand for a stage.

    Raises:
        ConfigError: the port names a stage that reads no documents, or the path is of no file system; what to write.
    """
    where = f"stages.{stage.name}.{port}"
    refuse_scheme(value, where=where)
    only = {} if is_user_target(stage.use) else operator_class(stage.use).stage_only
    hint = only.get(port.partition(".")[0])
    if hint is not None:
        raise ConfigError(f"{value!r} is a path, and {port} names a stage", where=where,
                          hint=f"{hint}, and name it here")  # fmt: skip
