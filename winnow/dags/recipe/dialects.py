"""Columns that several frameworks measure differently under one name: limits meant for one are not read of another."""

from __future__ import annotations

from winnow.core.errors import ConfigError
from winnow.core.operators import Derive, Rewrite, Union
from winnow.dags.recipe.nodes import Node


def check_dialects(node: Node) -> None:
    """Check that limits meet numbers of their own dialect; of numbers out of files, which do not say it, tell.

    Raises:
        ConfigError: a column is measured in another dialect; what to write.
    """
    untold: dict[tuple[str, str], list[str]] = {}
    for column, wanted in node.operator.dialects().items():
        number, name = node.columns[column]
        for maker in makers(node.inputs[number], name):
            said = str(getattr(maker.operator, "dialect", ""))
            if said and said != wanted:
                what = f"its limits mean `dialect: {wanted}`, and {maker.spoken!r} measures {column!r} in {said}"
                raise ConfigError(what, where="preset", hint=_hint(node, maker, wanted))
            if isinstance(maker.operator, Derive):
                untold.setdefault((maker.spoken, wanted), []).append(column)
    for (reader, wanted), columns in untold.items():
        node.told.append(
            f"reads {', '.join(columns)} from the files of {reader!r}, which do not say how they were measured: the "
            f"preset means `dialect: {wanted}`; `signals` measures them anew"
        )


def makers(source: Node, column: str) -> list[Node]:
    """The stages that measured a column of a stage: through writers that carried it, and unions."""
    operator = source.operator
    if isinstance(operator, Union):
        return [maker for one in source.inputs if column in one.outputs for maker in makers(one, column)]
    if isinstance(operator, Rewrite) and column in operator.carried():
        number, name = source.columns[operator.carried()[column]]
        return makers(source.inputs[number], name)
    return [source]


def _hint(node: Node, maker: Node, wanted: str) -> str:
    """What to write: the stage with the other dialect, and a second one where both are needed."""
    if maker.implicit:
        return f"write the stage: `{maker.spoken}: {{use: {maker.operator.name}, dialect: {wanted}, ...}}`"
    return (
        f"`dialect: {wanted}` at {maker.spoken!r}, or a second `{maker.operator.name}` stage with it, named among the "
        f"`inputs` of {node.spoken!r}"
    )
