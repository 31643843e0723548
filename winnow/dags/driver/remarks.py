"""Remarks of a committed stage: what probably is not meant, from its counts, its metrics and its operator.

A remark is one sentence with its figure and the next action. It is made anew whenever a stage is shown, so a cached
stage tells its remarks again. Under `strict: true` a remark fails the run, after everything else has run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.core.errors import DataError
from winnow.core.operators import Operator
from winnow.core.operators.notes import REMARKS
from winnow.core.operators.usual_remarks import usual_remarks
from winnow.core.store.manifest import Manifest
from winnow.core.store.no_value import number_remarks
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.records import shown
from winnow.dags.shapes.stage_run import StageRun


def remarks_of(operator: Operator | None, manifest: Manifest) -> tuple[str, ...]:
    """All remarks of one stage, each once; `operator` is None where this version has it no longer."""
    counts: Mapping[str, int] = manifest.counts
    metrics: Mapping[str, Any] = manifest.metrics
    said = [*number_remarks(counts), *metrics.get(REMARKS, ())]
    if operator is not None:
        said = [*usual_remarks(operator, counts, metrics), *operator.remarks(counts, metrics), *said]
    return tuple(dict.fromkeys(said))


def refused_remarks(runs: Sequence[StageRun], nodes: Sequence[Node]) -> DataError | None:
    """The error of a run whose strict stages have remarks; None where none has."""
    by_folder = {r.node.folder: r for r in runs}
    found = []
    for node in nodes:
        manifest = by_folder[node.folder].manifest
        if node.strict and manifest is not None:
            name = shown(node.name, node.face_of, hidden=node.hidden)
            found += [f"{name}: {line}" for line in remarks_of(node.operator, manifest)]
    if not found:
        return None
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return DataError(
        f"a remark under `strict: true`: {found[0]}{more}",
        hint="mend what it tells; `strict: false` on the stage lets its remarks pass, everything is committed",
    )
