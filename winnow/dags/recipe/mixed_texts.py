"""Rules about two texts of one document, and edited texts that nobody reads: remarks of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Kind, sql
from winnow.core.operators.contract import ACTING
from winnow.core.operators.retext import TEXTS
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.text_versions import is_editor, lineage_of, texts_used

COUNTED = "token_count"  # what budgets count in


def texts_behind(node: Node) -> set[Node]:
    """The texts that a stage's columns are measures of: editors, and the stage of the documents where none edits."""
    if is_editor(node) or node.kind is not Kind.COLUMNS:
        return set()
    places = [*node.columns.values()]
    read = {node.inputs[i] for i, column in places if column not in ("doc_id", "origin")}
    own = {node.inputs[i] for i, column in places if column in TEXTS}
    return own | {text for source in read - own for text in texts_behind(source)}


def mixed_texts(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """(stage, what to do) for a rule that mixes measures of two texts, and for budgets in tokens of another text."""
    for node in (n for n in nodes if n.kind is not Kind.ROWS or n.about is not None):
        yield from ((node.spoken, told) for told in _rules(node))
        yield from ((node.spoken, told) for told in _tokens(node))
        yield from ((node.spoken, told) for told in _spans(node))


def _rules(node: Node) -> Iterator[str]:
    clauses = getattr(node.operator, "clauses", None)
    rules: Mapping[str, str] = clauses() if callable(clauses) else {}
    for name, rule in rules.items():
        try:
            columns = [c for c in sql.column_names(rule) if c in node.columns]
        except ConfigError:
            continue
        of: dict[Node, str] = {}
        for column in columns:
            source = node.inputs[node.columns[column][0]]
            found = {source} if column in TEXTS and is_editor(source) else texts_behind(source)
            for text in found:
                of.setdefault(text, column)
        if len(of) > 1:
            said = " and ".join(f"{column!r} of the text of {text.spoken}" for text, column in of.items())
            yield f"clause {name!r} mixes measures of two texts, {said}: measure both below the same editor"


def _tokens(node: Node) -> Iterator[str]:
    if COUNTED not in node.columns or node.operator.role not in ACTING or node.space is None:
        return
    counter = node.inputs[node.columns[COUNTED][0]]
    newest = node.text
    if newest is not None and texts_behind(counter) and newest not in texts_behind(counter):
        yield (
            f"counts tokens of the text that {counter.spoken!r} read, and takes that of {newest.spoken!r}: "
            f"write {counter.spoken!r} below {newest.spoken!r}"
        )


def _spans(node: Node) -> Iterator[str]:
    """Places in a text that are those of another text than the stage reads."""
    text = node.text or node.space
    if text is None or "text" not in node.columns:
        return
    for name, (number, column) in node.columns.items():
        source = node.inputs[number]
        kind, of = node.inputs[number].outputs.get(column), texts_behind(source)
        lists = kind is not None and (pa.types.is_list(kind) or pa.types.is_large_list(kind))
        if lists and of and text not in of:
            named = " and ".join(one.spoken for one in of)
            yield (
                f"reads {name!r}, places in the text of {named}, beside the text of {text.spoken}: "
                f"write {source.spoken!r} below {text.spoken!r}, or say `text: {named}`"
            )


def alternatives(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """(stage, what to do) for what is about the rows that one of several texts passed, where any of them is enough."""
    faces = [n for n in nodes if not n.hidden]
    for choosing in (n for n in nodes if n.chosen_from):
        rules = {choosing.inputs[i] for i, column in choosing.columns.values() if column == "kept"}
        for face in faces:
            respects = face.about.respects if face.about is not None else frozenset()
            for rule in (n for n in nodes if n in rules and n in respects):
                below = nodes.index(face) > nodes.index(choosing)
                how = f"name a decision on what {choosing.spoken!r} chose among its inputs, or say" if below else "say"
                what = f"is about rows that {rule.spoken!r} kept, one of the rules of {choosing.spoken!r}"
                yield face.spoken, f"{what}, where any of them is enough: {how} `ignore: [{rule.spoken}]`"


def unread_texts(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """(stage, what to do) for an editor whose text no stage reads, where documents are taken from its rows."""
    read = {editor for node in nodes for used in texts_used(node) for editor in lineage_of(used)}
    for editor in (n for n in nodes if is_editor(n) and n not in read):
        beside = [n for n in nodes if n.space is editor.space and n.spoken != editor.spoken]  # not parts of one stage
        ends = [n for n in beside if n.operator.role in ACTING]
        if ends:
            below = nodes.index(ends[-1]) > nodes.index(editor)
            how = "say whose with `text`" if below else f"write {editor.spoken!r} above {ends[-1].spoken!r}"
            yield editor.spoken, f"edits the text, and no stage reads what it wrote: {how}"
