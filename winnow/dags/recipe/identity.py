"""Fingerprints of nodes: what a stage is, without a name in it.

A column of another stage is known as (input number, column on disk), inputs are ordered by lineage (so that another
input file does not renumber them), files by content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import Derive, Rewrite, Union, sql
from winnow.core.operators.fingerprint import fingerprint, operator_identity
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.registry import plugin_code


def identify(node: Node) -> None:
    """Order the inputs of a resolved node, and give it its identity, family, lineage and fingerprint."""
    order = sorted(range(len(node.inputs)), key=lambda i: (node.inputs[i].lineage, node.inputs[i].fingerprint))
    if not isinstance(node.operator, Union):
        _reorder(node, order)
    canon = {name: f"_{i}_{column}" for name, (i, column) in {**node.columns, **node.where_columns}.items()}
    body = operator_identity(node.operator, code=node.user.digest if node.user else plugin_code(node.operator))
    for key in node.operator.columns_from:
        body["config"][key] = canonical_columns(getattr(node.operator, key), canon)
    body |= {
        "seed": node.seed if node.operator.seeded else None,
        "columns": {n: list(c) for n, c in node.columns.items() if n not in _free_names(node)},
        "where": sql.rename_columns(node.where, canon) if node.where else None,
        "population": sorted([list(p) for p in node.population]),
        "files": {p: [[f.rel, f.digest] for f in files] for p, files in node.files.items()},
    }
    if getattr(node.operator, "id", "") == "field:doc_id":
        body["ids"] = 3  # 3: 32 hex digits are the id
    if getattr(node.operator, "id", "") == "content" and getattr(node.operator, "source", ""):
        body["ids"] = 2  # 2: two sources give equal texts different ids
    if isinstance(node.operator, Rewrite):
        body["carried"] = list(node.operator.carried())
    node.identity = body
    beside = {port: files for port, files in body["files"].items() if port != "files"} or None
    node.family = fingerprint({**body, "files": beside} if isinstance(node.operator, Derive) else body)
    for name in ("lineage", "fingerprint"):
        refs = {p: {k: getattr(n, name) for k, n in r.items()} if isinstance(r, dict) else getattr(r, name)
                for p, r in node.refs.items()}  # fmt: skip
        own = body if name == "fingerprint" else node.family
        setattr(node, name, fingerprint([own, [getattr(n, name) for n in node.inputs], refs]))


def _free_names(node: Node) -> set[str]:
    """Names the user chose for columns (fields in `columns_from`): only what they resolve to is identity."""
    texts: list[str] = []
    for key in node.operator.columns_from:
        texts += _texts(getattr(node.operator, key))
    return {n for text in texts for n in _names_in(text)}


def _names_in(text: str) -> list[str]:
    try:
        return sql.column_names(text)
    except ConfigError:
        return [text]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in _texts(v)]
    return [t for v in value for t in _texts(v)] if isinstance(value, list | tuple) else []


def canonical_columns(value: Any, canon: Mapping[str, str]) -> Any:
    """A field's value with the names of columns that `canon` maps written as it says."""
    if isinstance(value, str):
        try:
            return sql.rename_columns(value, canon)
        except ConfigError:
            return value
    if isinstance(value, Mapping):
        return {k: canonical_columns(v, canon) for k, v in value.items()}
    return [canonical_columns(v, canon) for v in value] if isinstance(value, list | tuple) else value


def _reorder(node: Node, order: Sequence[int]) -> None:
    position = {old: new for new, old in enumerate(order)}
    node.inputs = [node.inputs[i] for i in order]
    node.columns = {n: (position[i], c) for n, (i, c) in node.columns.items()}
    node.where_columns = {n: (position[i], c) for n, (i, c) in node.where_columns.items()}
    node.population = [(position[i], c) for i, c in node.population]
