"""Decisions that nothing which leaves their rows respects.

What leaves a row space: writers, trainers, `concat` (which takes all rows of its inputs), and every stage that a field
of a stage of other rows refers to. Where nothing leaves it, its decisions are what the recipe is for. A verdict that a
stage reads as a column (`of: [kept_best]`, a clause) is used by that stage, and one that is ignored on the way out, by
name, is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from winnow.core.operators import Kind, Union
from winnow.dags.recipe.nodes import Node


def unrespected(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """(stage, what to do) for every decision that nothing respects."""
    faces = [node for node in nodes if not node.hidden]
    used = {node for face in faces for node in _uses(face)}
    for decision in (face for face in faces if face.decides):
        ends = list(_ends(decision, faces))
        if ends and decision not in used and not any(decision in _ignored(end) for end in ends):
            yield decision.spoken, _told(decision, ends, faces)


def _uses(face: Node) -> Iterator[Node]:
    """The decisions that a stage makes count: those it refers to, reads, or, where documents leave by it, respects."""
    for node in face.refers:
        yield from (node, *(node.about.respects if node.about else ()))
    respects = face.about.respects if face.about else frozenset()
    yield from face.about.judged if face.about else ()
    if _leaves(face):
        yield from respects
    for i, column in [*face.columns.values(), *face.where_columns.values()]:
        source = face.inputs[i]
        read = source.decides != "cleaning" or column.startswith(("kept", "weight"))
        if read and source not in respects:
            yield source  # of a selection, any column: who reads `bucket` takes it as a measure


def _ignored(face: Node) -> Iterator[Node]:
    """The decisions that do not count for a stage because it, or a decision that it respects, says so."""
    for node in (face, *face.refers, *_uses(face)):
        yield from node.about.ignored if node.about else ()


def _leaves(face: Node) -> bool:
    """Whether documents, or what was learnt of them, leave the row space by this stage."""
    return face.about is not None and face.operator.role in ("writer", "trainer")


def _ends(decision: Node, faces: Sequence[Node]) -> Iterator[Node]:
    """The stages by which a decision's row space is left; of a selection, not those that refer to others of it."""
    space = decision.space
    for face in faces:
        inside = face.about is not None and face.about.space is space
        united = isinstance(face.operator, Union) and space in face.inputs
        elsewhere = face.space is not space and decision.decides == "cleaning"
        referred = elsewhere and any((n if n.kind is Kind.ROWS else n.space) is space for n in face.refers)
        if (inside and _leaves(face)) or united or referred:
            yield face


def _told(decision: Node, ends: Sequence[Node], faces: Sequence[Node]) -> str:
    name = decision.spoken
    if decision.decides != "cleaning" and not all(isinstance(end.operator, Union) for end in ends):
        return f"chooses documents, and no stage takes them: name {name!r} among the inputs of one, or take it out"
    told = "; ".join(f"{end.spoken} is about {_about(end, decision)}" for end in ends[:3])
    told += f"; and {len(ends) - 3} more" if len(ends) > 3 else ""
    what = "refuses documents, and" if decision.decides == "cleaning" else "chooses documents, and"
    if all(isinstance(end.operator, Union) for end in ends):
        hint = f"decide below {ends[0].spoken!r}, or write what is kept and unite that"
    elif decision.decides == "cleaning" and all(faces.index(end) < faces.index(decision) for end in ends):
        hint = f"write {name!r} above {ends[0].spoken!r}"
    else:
        hint = f"name {name!r} among the inputs of what should respect it"
    hint += f", or say `ignore: [{name}]` there" if decision.decides == "cleaning" else f", or take {name!r} out"
    return f"{what} nothing respects that: {told}; {hint}"


def _about(end: Node, decision: Node) -> str:
    if end.about is not None and end.about.space is decision.space:
        return end.about.words
    assert decision.space is not None
    return f"ALL rows of {decision.space.spoken}" if isinstance(end.operator, Union) else "others"


def taken_apart(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """(stage, what to do) for a decision of which nobody says whether it goes on from one of its kind or replaces it.

    Each is named by a stage of its own, as alternatives are, and the later one considers what the earlier one kept.
    """
    faces = [node for node in nodes if not node.hidden]
    takers: dict[Node, list[Node]] = {}
    for face in faces:
        named = [n for group in face.about.groups for n in group] if face.about and face.about.said else []
        for node in [] if face.decides == "cleaning" else [*named, *face.refers]:
            takers.setdefault(node, []).append(face)
    for later in (face for face in faces if face.decides == "cleaning" and face.about and not face.about.said):
        for one in (n for n in faces if later.about and n in later.about.respects and _of_one_kind(n, later)):
            alone = [t for t in takers.get(one, ()) if not (t.about and later in t.about.respects)]
            if alone and later in takers:
                told = f"considers what {one.spoken} kept, and both are named apart"
                told += f" ({alone[0].spoken} takes {one.spoken}, {takers[later][0].spoken} takes {later.spoken})"
                yield (
                    later.spoken,
                    f"{told}: say `ignore: {one.spoken}` here if it is an alternative, else `where: kept_{one.spoken}`",
                )


def _of_one_kind(one: Node, other: Node) -> bool:
    return one.decides == "cleaning" and one.operator.name == other.operator.name
