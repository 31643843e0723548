"""What a deduplication removed of every source: the reader that a part's documents come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from winnow.core.operators import Kind
from winnow.core.store.manifest import Receipt
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.resolve import readers_of

if TYPE_CHECKING:
    from winnow.dags.shapes.stage_run import StageRun

REMOVED = "removed"  # metric: source -> {"asked", "removed"}


def removed_by_source(
    node: Node, rows: Mapping[str, Receipt], parts: Mapping[str, Receipt]
) -> dict[str, dict[str, int]]:
    """Source -> documents that the stage was asked about, and those it removed; {} for what is no deduplication.

    `rows` are the parts of the documents, `parts` those of the stage, by the same names. A source is called by the
    reader's `source`, else by the reader.
    """
    if (
        node.operator.role != "dedup"
        or node.kind is not Kind.COLUMNS
        or "kept" not in node.outputs
        or node.space is None
    ):
        return {}
    readers = {r.folder: getattr(r.operator, "source", "") or r.spoken for r in readers_of(node.space)}
    out: dict[str, dict[str, int]] = {}
    for unit, receipt in parts.items():
        folders = [f.key.partition("/")[0] for f in rows[unit].files] if unit in rows else []
        name = next((readers[f] for f in folders if f in readers), node.space.spoken)
        asked = receipt.rows - receipt.counts.get("masked", 0)
        told = out.setdefault(name, {"asked": 0, "removed": 0})
        told["asked"] += asked
        told["removed"] += asked - receipt.counts.get("kept", 0)
    return dict(sorted(out.items()))


def removed_of(run: StageRun) -> dict[str, Any]:
    """The metric `removed` of a stage whose parts are all there; {} for what is no deduplication."""
    rows = next((r.parts for r in run.inputs if r.node is run.node.space), {})
    found = removed_by_source(run.node, rows, run.parts) if rows else {}
    return {REMOVED: found} if found else {}
