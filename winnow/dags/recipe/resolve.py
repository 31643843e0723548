"""Which stage a column name means.

A name comes from `inputs`; else from the one earlier stage of the same row space that adds it, which then becomes
an input. `stage.column`, `stage_column` and `kept_stage` name a stage outright; a bare stage name means its only
(or principal) column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Derive, Kind, Union
from winnow.core.store.schema import STATE
from winnow.dags.recipe.nodes import Columns, Node, provided
from winnow.dags.recipe.registry import operator_class

MEASURING = ("signals", "language")  # operators whose columns people name before they name the stage


def resolve_columns(node: Node, names: Sequence[str], earlier: Sequence[Node]) -> Columns:
    """Name -> (number in `node.inputs`, column on disk); found stages are appended to `node.inputs`.

    Raises ConfigError naming the candidates where a name means two columns or none.
    """
    out: Columns = {}
    space = [n for n in earlier if (n if n.kind is Kind.ROWS else n.space) is node.space]
    visible = [n for n in space if not n.hidden]
    for name in names:
        source, column = _find(name, node, visible)
        if not any(source is n for n in node.inputs):
            node.inputs.append(source)
        out[name] = (next(i for i, n in enumerate(node.inputs) if n is source), column)
    return out


def check_refs(node: Node) -> None:
    """Nothing, where every reference has the columns that are read of it. Raises ConfigError otherwise."""
    for port, names in node.operator.reads().items():
        source = node.refs.get(port)
        if not isinstance(source, Node):
            continue
        have = {**ROW_COLUMNS, **provided(source)} if source.kind in (Kind.ROWS, Kind.COLUMNS) else {}
        missing = [name for name in names if name not in have]
        if missing:
            hint = f"name a stage that adds {missing[0]!r} to those documents" if have else "name a stage of documents"
            what = f"stage {source.name!r} ({source.kind}) has no column {missing[0]!r}"
            raise ConfigError(what, where=f"stages.{node.name}.{port}", hint=hint)


def refuse_shared_ids(node: Node) -> None:
    """Raise ConfigError where two inputs of a `concat` go back to one reader, or to readers of one `source`."""
    seen: list[Node] = []
    for source in node.inputs:
        readers = _readers(source)
        for reader in readers:
            other = next((n for n in seen if _source_of(n) == _source_of(reader)), None)
            if other is not None:
                same = f"hold documents of {reader.name!r}" if other is reader else "have the same `source`"
                raise ConfigError(
                    f"two inputs of `concat` {same}, so their documents could share ids",
                    where=f"stages.{node.name}.inputs", hint="give each reader its own `source:`, and unite it once",
                )  # fmt: skip
        seen += readers


def _source_of(reader: Node) -> str:
    return str(getattr(reader.operator, "source", ""))


def _readers(node: Node) -> list[Node]:
    """The readers whose documents a rows stage holds."""
    if isinstance(node.operator, Derive):
        return [node]
    above = node.inputs if isinstance(node.operator, Union) else [node.space] if node.space else []
    return [reader for n in above for reader in _readers(n)]


def population_of(node: Node) -> list[tuple[int, str]]:
    """(input number, column) of every `kept` among the inputs: all must be true for a row to be a candidate."""
    return [(i, "kept") for i, n in enumerate(node.inputs) if n.kind is Kind.COLUMNS and "kept" in n.outputs]


def qualified(node: Node) -> dict[str, str]:
    """Every name that means a column of this stage outright -> column on disk."""
    stage = node.face_of or node.name
    columns = [*node.outputs, STATE] if node.kind is Kind.COLUMNS else [*ROW_COLUMNS, *node.outputs]
    out = {}
    for column in columns:
        out[f"{stage}.{column}"] = column
        out[f"{stage}_{column}"] = column
    if "kept" in node.outputs:
        out[f"kept_{stage}"] = "kept"
    principal = _principal(node)
    if principal:
        out[stage] = principal
    return out


def _principal(node: Node) -> str:
    declared = getattr(type(node.operator), "principal", "")
    if declared:
        return str(declared)
    return next(iter(node.outputs)) if node.kind is Kind.COLUMNS and len(node.outputs) == 1 else ""


def _find(name: str, node: Node, visible: Sequence[Node]) -> tuple[Node, str]:
    assert node.space is not None
    if name in ROW_COLUMNS:
        return node.space, name
    given = _unique(name, node.inputs, node, bare=True)
    if given:
        return given
    outright = [(n, qualified(n)[name]) for n in visible if name in qualified(n)]
    if len(outright) == 1:
        return outright[0]
    found = _unique(name, visible, node, bare=True)
    if found:
        return found
    raise ConfigError(f"no stage of these rows has a column {name!r}", where=_where(node), hint=_hint(name, visible))


def _unique(name: str, nodes: Sequence[Node], node: Node, *, bare: bool) -> tuple[Node, str] | None:
    found = [n for n in nodes if name in _own_columns(n)]
    outright = [(n, qualified(n)[name]) for n in nodes if name in qualified(n)]
    if len(outright) == 1:
        return outright[0]
    if len(found) > 1:
        options = ", ".join(f"{n.face_of or n.name}.{name}" for n in found)
        raise ConfigError(f"column {name!r} could be any of {options}", where=_where(node), hint="name one of them")
    return (found[0], name) if found else None


def _own_columns(node: Node) -> Mapping[str, object]:
    return {**node.outputs} if node.kind in (Kind.COLUMNS, Kind.ROWS) else {}


def _hint(name: str, visible: Sequence[Node]) -> str:
    if name == "token_count":
        return "add `tokens: {use: count_tokens, inputs: ...}`"
    united = [m for n in visible if isinstance(n.operator, Union) for m in n.inputs if name in m.outputs]
    if united:
        return f"`concat` has the columns of all its inputs: not all of them have {name!r}, as {united[0].name!r} does"
    for operator in MEASURING:
        if name in operator_class(operator)().outputs():
            return f"`{operator}` measures it: add a stage `{{use: {operator}, inputs: ...}}`"
    plain = {c for n in visible for c in (*n.outputs, *(ROW_COLUMNS if n.kind is Kind.ROWS else ()))}
    near = did_you_mean(name, {*plain, *(c for n in visible for c in qualified(n))})
    return near if near.startswith("did you mean") else did_you_mean(name, plain)


def _where(node: Node) -> str:
    return f"stages.{node.face_of or node.name}"
