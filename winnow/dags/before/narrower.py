"""Stages that measure rows whose value nobody asks for: which `where:` would spare them, and how much that is.

`winnow plan --json` has them under `narrower`: [{"stage", "where", "after", "kept_share", "seconds", "saved_seconds"}];
the last three are of an `--estimate`, else of the stages' last run here, and null where neither says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from winnow.core.operators import Map
from winnow.core.store.manifest import Manifest, StageDir
from winnow.core.store.store import Store
from winnow.core.terminal import percent
from winnow.dags.recipe.nodes import Node

LEAST_SAVED = 0.05  # of the seconds of all stages that are known
EXPENSIVE = ("scorer",)  # roles that are told without figures


def narrower(
    nodes: Sequence[Node], store: Store, estimated: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:  # fmt: skip
    """What is worth narrowing, in plan order; see the module. Cost: stages squared, and a manifest each."""
    place = {id(node): number for number, node in enumerate(nodes)}
    known = {node.spoken: _figures(node, store, estimated) for node in nodes}
    total = sum(seconds for seconds, _ in known.values() if seconds is not None)
    out = []
    for node in nodes:
        decision = _decision(node, nodes, place) if _may_be_narrowed(node) else None
        if decision is None:
            continue
        seconds, (_, kept) = known[node.spoken][0], known[decision.spoken]
        saved = seconds * (1 - kept) if seconds is not None and kept is not None else None
        worth = node.operator.role in EXPENSIVE if saved is None else saved >= LEAST_SAVED * total
        if not worth:
            continue
        out.append({"stage": node.spoken, "where": f"kept_{decision.spoken}", "after": decision.spoken,
                    "kept_share": kept, "seconds": seconds, "saved_seconds": saved})  # fmt: skip
    return out


def narrower_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """(style, line), one per stage."""
    for one in found:
        if one["saved_seconds"] is None:
            saved = "what that saves, `--estimate` says"
        else:
            saved = (
                f"{percent(1 - one['kept_share'])} of its rows, {one['saved_seconds']:.1f} of {one['seconds']:.1f} s"
            )
        told = f"{one['stage']}: nothing reads it of rows that {one['after']!r} drops; "
        yield "", f"{told}written below that with `where: {one['where']}` it spares them ({saved})"


def _may_be_narrowed(node: Node) -> bool:
    """A stage that a person wrote, which reads the text of every row by itself."""
    if not isinstance(node.operator, Map) or node.implicit or node.hidden or node.face_of or node.decides:
        return False
    return "text" in node.columns and not node.where and not node.population and node.about is None


def _decision(node: Node, nodes: Sequence[Node], place: Mapping[int, int]) -> Node | None:
    """The latest decision behind which all who read the stage stand, and which can be made without it."""
    readers = [n for n in nodes if any(source is node for source in n.sources())]
    if not readers or any(not n.population or _all_refs(n, node) for n in readers):
        return None
    common = set.intersection(*({id(d) for d in _decisions(reader)} for reader in readers))
    free = [n for n in nodes if id(n) in common and n.decides == "cleaning" and not _depends(n, node)]
    return max(free, key=lambda n: place[id(n)], default=None)


def _all_refs(reader: Node, node: Node) -> bool:
    """True where the stage is read by reference: as a whole."""
    return not any(source is node for source in reader.inputs)


def _decisions(node: Node) -> Iterator[Node]:
    """The decisions that its rows have passed, and those that these have passed."""
    for number, column in node.population:
        if column == "kept":
            yield node.inputs[number]
            yield from _decisions(node.inputs[number])


def _depends(node: Node, on: Node) -> bool:
    seen: set[int] = set()
    left = [node]
    while left:
        one = left.pop()
        if one is on:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            left += one.sources()
    return False


def _figures(node: Node, store: Store, estimated: Mapping[str, Any] | None) -> tuple[float | None, float | None]:
    """(seconds, share of the rows of its space that it keeps), each None where it is not known."""
    for stage in (estimated or {}).get("stages", ()):
        if stage["stage"] == node.spoken:
            share = stage["kept_share"]
            return stage["core_seconds"]["value"], None if share is None else share["value"]
    manifest: Manifest | None = StageDir(store, node.folder).manifest()
    if manifest is None:
        return None, None
    rows, kept = manifest.counts.get("rows", 0), manifest.counts.get("kept")
    return manifest.seconds, kept / rows if kept is not None and rows else None
