"""Whose text a stage reads: a recipe reads from top to bottom.

An editor puts another text beside the one it read, and so does an extractor with the main text of a page
(`core.operators.retext`; here both are called editors). What is written below it on the same rows reads that one,
whoever its inputs are; what is written above reads the text as it was. Editors stack: each reads the text of the one
above it, and a stage that chooses among several texts stands for all of them. `text: STAGE` says another one, an editor
above or the stage of the documents themselves. Two editors of which neither reads what the other wrote leave two texts;
a stage below them has to say which.

References too: a stage that reads the text of documents which one of its fields names reads the newest of their rows
that stands above it. A field that names an editor means its text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Kind, Operator, Union, sql
from winnow.core.operators.retext import TEXT_OF, TEXTS, Retext
from winnow.dags.recipe.nodes import Node


def is_editor(node: Node) -> bool:
    """Whether a stage gives its rows another text."""
    return isinstance(node.operator, Retext)


def lineage_of(editor: Node | None) -> Iterator[Node]:
    """An editor, and those whose text it was made of or chosen from, the newest first."""
    todo, seen = [editor], set[Node]()
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            todo += [*reversed(node.chosen_from), node.text]


def chosen_from(operator: Operator, columns: Mapping[str, tuple[int, str]], inputs: Sequence[Node]) -> list[Node]:
    """The editors among whose texts a stage with these columns chooses. Raises: ConfigError where one is no text."""
    names = operator.chooses_from() if isinstance(operator, Retext) else ()
    for name in names:
        if columns[name][1] != "text":
            raise ConfigError(f"{name!r} is no text", where="texts", hint="the text that a stage gives: `main.text`")
    return [node for node in (inputs[columns[name][0]] for name in names) if is_editor(node)]


def text_of(space: Node | None, earlier: Sequence[Node], said: Sequence[str], *, where: str) -> Node | None:
    """The editor whose text counts for what is written below `earlier` on some rows; None: their own.

    Raises: ConfigError where two texts could be meant.
    """
    if space is None:
        return None
    editors = [n for n in earlier if is_editor(n) and n.space is space and not n.repeats]
    named = {n.spoken: n for n in editors} | {n.name: n for n in editors} | {space.spoken: None, space.name: None}
    chosen = [named[name] for name in said if name in named]
    if len(chosen) > 1:
        raise ConfigError(f"`text` names two texts of {space.spoken}", where=f"{where}.text", hint="name one of them")
    if chosen:
        return chosen[0]
    below = {old for n in editors for old in lineage_of(n) if old is not n}
    newest = [n for n in editors if n not in below]
    if len(newest) > 1:
        names = " and ".join(repr(n.spoken) for n in newest)
        raise ConfigError(
            f"the text of {space.spoken} could be that of {names}: neither reads what the other wrote", where=where,
            hint=f"say which: `text: {newest[-1].spoken}`, or let one edit what the other left",
        )  # fmt: skip
    return newest[0] if newest else None


def with_texts(
    refs: Mapping[str, Any], operator: Operator, earlier: Sequence[Node], said: Sequence[str], *, where: str
) -> dict[str, Any]:
    """References of a stage, and beside each whose text is read the editors that count there."""
    out = dict(refs)
    for port in texts_read(operator):
        value = refs.get(port)
        if isinstance(value, Mapping):
            found = {k: _text_behind(n, earlier, said, where=where) for k, n in value.items()}
            labelled = {k: n for k, n in found.items() if n is not None}
            out |= {f"{port}{TEXT_OF}": labelled} if labelled else {}
        elif isinstance(value, Node) and (one := _text_behind(value, earlier, said, where=where)) is not None:
            out[f"{port}{TEXT_OF}"] = one
    return out


def texts_read(operator: Operator) -> list[str]:
    """The reference ports of an operator whose documents' text it reads."""
    declared = [port for port, columns in operator.reads().items() if set(columns) & set(TEXTS)]
    return list(dict.fromkeys([*operator.texts_of, *declared]))


def _text_behind(node: Node, earlier: Sequence[Node], said: Sequence[str], *, where: str) -> Node | None:
    if is_editor(node) or node.kind not in (Kind.ROWS, Kind.COLUMNS):
        return None
    return text_of(node if node.kind is Kind.ROWS else node.space, earlier, said, where=where)


def needs_text(operator: Operator, where: str | None) -> bool:
    """Whether an operator under a condition reads the text of its rows, its hash or its bytes."""
    if isinstance(operator, Retext) and operator.chooses_from():
        return False  # it says which texts
    names = {*operator.needs(), *operator.looks_up(), *(sql.column_names(where) if where else ())}
    return bool(names & set(TEXTS))


def reads_text(node: Node) -> bool:
    """Whether a stage reads the text of its rows, or of what it refers to."""
    places = [*node.columns.values(), *node.where_columns.values()]
    return any(column in TEXTS for _, column in places) or bool(texts_read(node.operator))


def texts_used(node: Node) -> Iterator[Node]:
    """The editors whose text a stage reads."""
    for number, column in [*node.columns.values(), *node.where_columns.values()]:
        if column in TEXTS and is_editor(node.inputs[number]):
            yield node.inputs[number]
    for port, value in node.refs.items():
        found = value.values() if isinstance(value, Mapping) else [value]
        yield from (n for n in found if port.endswith(TEXT_OF) or is_editor(n))


def check_taken(node: Node) -> None:
    """Raise ConfigError where an extractor takes the place of a text without reading it, or reads one for a page."""
    if not (isinstance(node.operator, Retext) and node.operator.whole and node.text is not None):
        return
    assert node.space is not None
    above, where, beside = list(lineage_of(node.text)), f"stages.{node.spoken}", node.operator.beside()
    taken = next((n for n in above if isinstance(n.operator, Retext) and n.operator.whole), None)
    if taken is not None:
        what = f"{node.spoken!r} would read the text that {taken.spoken!r} took from the pages"
        hint = f"leave one of them out, or write `text: {node.space.spoken}` here, and below it whose text is meant"
        raise ConfigError(what, where=where, hint=hint)
    if "text" not in beside:
        what = f"{node.spoken!r} takes its text from {beside[0]!r}: what {above[0].spoken!r} changed would be lost"
        raise ConfigError(what, where=where, hint=f"write {above[0].spoken!r} below it, or leave it out")


def check_said(name: str, said: Sequence[str], above: Sequence[Node]) -> None:
    """Raise ConfigError where the `text` of a stage names what has no text of its own."""
    where = f"stages.{name}.text"
    editors = [n for n in above if is_editor(n)]
    holders = [*editors, *(n.space for n in editors if n.space is not None)]
    texts = {n.spoken for n in holders}
    if said and not texts:
        hint = f"leave it out; a reader's field of the files that holds the text is `text_field: {said[0]}`"
        raise ConfigError("`text` has no effect: no stage above edits a text", where=where, hint=hint)
    for one in said:
        if one not in texts and all(one != n.name for n in holders):
            hint = f"{did_you_mean(one, texts)}: an editor above, or the stage of the documents that it edits"
            raise ConfigError(f"`text` names {one!r}, which has no text of its own", where=where, hint=hint)


def check_read(name: str, said: Sequence[str], nodes: Sequence[Node]) -> None:
    """Raise ConfigError where a stage says whose text it reads, and reads none."""
    named = [n for n in nodes if n.spoken == name]
    mine = [*named, *(n for one in named for n in one.inputs if n.implicit)]  # what is implied reads the same text
    if said and (not any(reads_text(n) for n in mine) or any(n.chosen_from for n in mine)):
        told = f"`text` has no effect: the stage {'says its `texts`' if named[-1].chosen_from else 'reads no text'}"
        raise ConfigError(told, where=f"stages.{name}.text", hint="leave it out")


def told_of_union(node: Node, earlier: Sequence[Node]) -> None:
    """Tell that a `concat` takes documents as they were read, where an editor stands above it."""
    if isinstance(node.operator, Union):
        edited = [n.spoken for n in earlier if is_editor(n) and n.space in node.inputs]
        if edited:
            names = ", ".join(dict.fromkeys(edited))
            node.told.append(f"takes the texts as they were read, without the changes of {names}: edit below it")
