"""Whether the columns that a stage reads, and those of its `where`, have types that it can work with."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import sql
from winnow.core.operators.sql_truth import check_truth
from winnow.dags.recipe.dialects import check_dialects
from winnow.dags.recipe.meanings import check_meanings
from winnow.dags.recipe.nodes import Node, provided


def check_types(node: Node, written: str | None) -> None:
    """Check a stage by the types that the stages declare whose columns it reads.

    `written` is the stage's own `where`, to which its population may have been added. Raises: ConfigError.
    """
    try:
        node.operator.check_types(_types(node, node.columns))
        check_meanings(node)
        check_dialects(node)
        if node.where:
            types = _types(node, node.where_columns)
            check_truth(node.where, types, where="where")
            own = sql.column_names(written) if written else []
            if written and node.where != written and types.keys() >= set(own):
                check_truth(written, {name: types[name] for name in own}, where="where")
    except ConfigError as error:
        raise ConfigError(error.what, where=f"stages.{node.name}.{error.where}", hint=error.hint) from error


def _types(node: Node, columns: Mapping[str, tuple[int, str]]) -> dict[str, pa.DataType]:
    return {name: provided(node.inputs[i])[column] for name, (i, column) in columns.items()}
