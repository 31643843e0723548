"""What a `concat` has: the columns of its inputs, and that no document is in it twice."""

from __future__ import annotations

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Kind
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.resolve import refuse_shared_ids
from winnow.dags.recipe.shared_files import refuse_shared_files


def union_outputs(node: Node) -> dict[str, pa.DataType]:
    """The columns that all inputs of a `concat` have. Raises: ConfigError where types, ids or files clash."""
    out: dict[str, pa.DataType] = {}
    for source in node.inputs:
        if source.kind is not Kind.ROWS:
            raise ConfigError(f"`concat` unites row spaces; {source.name!r} is {source.kind}")
        for name, kind in source.outputs.items():
            if out.setdefault(name, kind) != kind:
                raise ConfigError(
                    f"column {name!r} is {out[name]} in one input and {kind} in {source.name!r}",
                    where=f"stages.{node.name}.inputs", hint="declare one type in the readers' `columns`",
                )  # fmt: skip
    if getattr(node.operator, "columns", "shared") != "union":
        out = _shared(node, out)
    refuse_shared_ids(node)
    refuse_shared_files(node)
    return out


def _shared(node: Node, found: dict[str, pa.DataType]) -> dict[str, pa.DataType]:
    """The columns that all inputs have; of the others it is told that they are left out."""
    left = {name: [s.name for s in node.inputs if name in s.outputs] for name in found}
    some = {name: have for name, have in left.items() if len(have) < len(node.inputs)}
    if some:
        named = ", ".join(f"{name!r} (of {' and '.join(have)})" for name, have in list(some.items())[:5])
        node.told.append(
            f"leaves out {len(some)} column{'s' * (len(some) > 1)} that not all inputs have: {named}; `columns: union` "
            "keeps them, null where absent"
        )
    return {name: kind for name, kind in found.items() if name not in some}
