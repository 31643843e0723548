"""Which stage a column name means.

A name comes from `inputs`; else from the one earlier stage of the same row space that adds it, which then becomes
an input. How a column may be named is in `names`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import ROW_COLUMNS, Composite, Derive, FoundFile, Kind, Rewrite, Scope, Sub, Union
from winnow.core.operators.retext import TEXTS
from winnow.dags.recipe.adds import adding, hint_of, lines_that_add
from winnow.dags.recipe.names import find_column, spellings
from winnow.dags.recipe.nodes import Columns, Node, provided
from winnow.dags.recipe.text_versions import check_taken


def expanded(operator: Composite, scope: Scope) -> list[Sub]:
    """The sub-stages of a composite; an error that names one of its fields names the stage as well."""
    try:
        return operator.expand(scope)
    except ConfigError as error:
        if error.where.partition(".")[0] not in {field.name for field in dataclasses.fields(operator)}:
            raise
        where = f"stages.{scope.stage}.{error.where}"
        raise ConfigError(error.what, where=where, hint=error.hint) from error


def check_files(node: Node, found: Sequence[FoundFile]) -> None:
    """What the operator has to say of its files; an error names the stage and the field."""
    try:
        node.operator.check_files([file.path for file in found])
    except ConfigError as error:
        where = ".".join(filter(None, ["stages", node.spoken, error.where]))
        raise ConfigError(error.what, where=where, hint=error.hint) from error


def resolve_columns(node: Node, names: Sequence[str], earlier: Sequence[Node], implied: Sequence[Node] = ()) -> Columns:
    """Name -> (number in `node.inputs`, column on disk); found stages are appended to `node.inputs`.

    Of stages that are implied for this one only what no stage of the recipe has is read.

    Raises ConfigError naming the candidates where a name means two columns or none.
    """
    out: Columns = {}
    space = [n for n in earlier if (n if n.kind is Kind.ROWS else n.space) is node.space]
    visible = [n for n in space if not n.hidden]
    for name in names:
        source, column = _find(name, node, visible, implied)
        if not any(source is n for n in node.inputs):
            node.inputs.append(source)
        out[name] = (next(i for i, n in enumerate(node.inputs) if n is source), column)
    return out


def settle(node: Node, earlier: Sequence[Node]) -> None:
    """Fill in what only the rows of a stage decide. Raises ConfigError where they do not, or no text can be meant."""
    space = node.space
    if space is None:
        return
    columns = {c for n in (space, *earlier) if (n is space or n.space is space) and not n.hidden for c in n.outputs}
    readers = readers_of(space)
    pages = bool(readers) and all(isinstance(n.operator, Derive) and n.operator.opens_pages() for n in readers)
    try:
        node.operator = node.operator.settled(columns, pages=pages)
    except ConfigError as error:
        raise ConfigError(error.what, where=f"stages.{node.name}.{error.where}", hint=error.hint) from error
    check_taken(node)


def check_refs(node: Node) -> None:
    """Check that every reference has the columns that are read of it. Raises ConfigError where one has not."""
    for port, names in node.operator.reads().items():
        source = node.refs.get(port)
        if not isinstance(source, Node):
            continue
        rows = source.kind in (Kind.ROWS, Kind.COLUMNS)
        have = {*ROW_COLUMNS, *provided(source)} if rows else {*source.operator.holds}
        missing = [name for name in names if name not in have]
        if missing:
            hint = f"name a stage that adds {missing[0]!r} to those documents" if have else "name a stage of documents"
            lines = lines_that_add(missing[0], source.name, ()) if source.kind is Kind.ROWS else []
            if lines:
                ready = lines[0].replace(":", f"_of_{source.name}:", 1)
                hint = f"add above this stage `{ready}`, and write `{port}: {ready.partition(':')[0]}`"
            what = f"stage {source.name!r} ({source.kind}) has no column {missing[0]!r}"
            raise ConfigError(what, where=f"stages.{node.name}.{port}", hint=hint)


def refuse_shared_ids(node: Node) -> None:
    """Raise ConfigError where two inputs of a `concat` go back to one reader, or to readers of one `source`."""
    seen: list[Node] = []
    for source in node.inputs:
        readers = named_by(source)
        for reader in readers:
            other = next((n for n in seen if n is reader or _same_source(n, reader)), None)
            if other is not None:
                same = f"hold documents of {reader.name!r}" if other is reader else "have the same `source`"
                raise ConfigError(
                    f"two inputs of `concat` {same}, so their documents could share ids",
                    where=f"stages.{node.name}.inputs", hint="give each reader its own `source:`, and unite it once",
                )  # fmt: skip
        seen += readers


def _same_source(one: Node, two: Node) -> bool:
    """Whether both are readers of one `source`; what gives new ids has none."""
    sources = [str(getattr(n.operator, "source", "")) for n in (one, two) if isinstance(n.operator, Derive)]
    return len(sources) == 2 and sources[0] == sources[1]


def named_by(node: Node) -> list[Node]:
    """The stages that gave the documents of a rows stage their ids: readers, and what makes other documents of them."""
    if isinstance(node.operator, Derive) or (isinstance(node.operator, Rewrite) and node.operator.new_ids):
        return [node]
    above = node.inputs if isinstance(node.operator, Union) else [node.space] if node.space else []
    return [one for n in above for one in named_by(n)]


def readers_of(node: Node) -> list[Node]:
    """The readers whose documents a rows stage holds."""
    if isinstance(node.operator, Derive):
        return [node]
    above = node.inputs if isinstance(node.operator, Union) else [node.space] if node.space else []
    return [reader for n in above for reader in readers_of(n)]


def _find(name: str, node: Node, visible: Sequence[Node], implied: Sequence[Node]) -> tuple[Node, str]:
    assert node.space is not None
    if name in ROW_COLUMNS:
        return (node.text if node.text is not None and name in TEXTS else node.space), name
    sibling = _of_sibling(name, node)
    if sibling is not None:
        return sibling
    named = name.partition(".")[0]  # a policy's columns are for its runs; others must name the stage
    others = [n for n in visible if n.operator.role != "policy" or n.name == named]
    said = [n for n in node.inputs if not any(n is made for made in implied)]
    written = [n for n in others if not n.implicit]
    found = find_column(name, (said, written, implied, others), where=_where(node))
    if found is None:
        hint = _hint(name, others)
        if _in_rule(name, node) and not hint.startswith("did you mean"):
            hint += f"; a text, as against a column, stands in single quotes: '{name}'"
        raise ConfigError(f"no stage of these rows has a column {name!r}", where=_where(node), hint=hint)
    return found


def _of_sibling(name: str, node: Node) -> tuple[Node, str] | None:
    """What `SUB.column` means inside a composite: a column of a sub-stage among the inputs."""
    sub, _, column = name.rpartition(".")
    mine = [n for n in node.inputs if node.face_of and n.name == f"{node.face_of}.{sub}" and column in n.outputs]
    return (mine[0], column) if sub and mine else None


def _in_rule(name: str, node: Node) -> bool:
    """Whether the name stands in the stage's `where` or in one of its clauses."""
    keep = getattr(node.operator, "keep", None)
    rules = [*keep.values()] if isinstance(keep, Mapping) else []
    return any(name in str(rule) for rule in (*rules, node.where or ""))


def _hint(name: str, visible: Sequence[Node]) -> str:
    united = [m for n in visible if isinstance(n.operator, Union) for m in n.inputs if name in m.outputs]
    if united:
        lacks = f"`concat` has the columns of all its inputs: not all of them have {name!r}, as {united[0].name!r} does"
        return f"{lacks}; with `columns: union` it is null there"
    if f"kept_{name}" in {c for n in visible for c in spellings(n)}:
        return f"{name!r} is a stage: write `kept_{name}` for what it keeps, or name it among the `inputs`"
    plain = {c for n in visible for c in (*n.outputs, *(ROW_COLUMNS if n.kind is Kind.ROWS else ()))}
    near = did_you_mean(name, {*plain, *(c for n in visible for c in spellings(n))})
    lines = lines_that_add(name, _rows(visible), {n.spoken for n in visible})
    if lines:
        return hint_of(name, lines)
    if near.startswith("did you mean"):
        return near
    added = did_you_mean(name, adding())
    if added.startswith("did you mean"):
        return added
    return f"{did_you_mean(name, plain)}; a field of your files is named among the `columns:` of their reader"


def _rows(visible: Sequence[Node]) -> str:
    """The stage that opens these rows."""
    return next((n.spoken for n in visible if n.kind is Kind.ROWS), "ROWS")


def _where(node: Node) -> str:
    return f"stages.{node.spoken}"
