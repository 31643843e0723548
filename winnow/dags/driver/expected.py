"""Expectations held against a stage when it is committed, or taken as it was: by counts, by metrics, by its columns.

An unmet one fails the stage: it stays committed, what builds on it does not run, everything else does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Kind
from winnow.core.store.manifest import Manifest
from winnow.core.store.parts import mask_of, read_columns
from winnow.core.store.schema import STATE, STATE_MASKED, contiguous
from winnow.dags.recipe.expectation import Checked, Facts
from winnow.dags.recipe.expected import Expected, of_equal_stages
from winnow.dags.recipe.nodes import Node
from winnow.dags.shapes.stage_run import StageRun


def await_columns(runs: Mapping[str, StageRun], nodes: Sequence[Node]) -> None:
    """Let every stage wait, before it commits, for the stages whose columns its expectations look at."""
    for folder, expected in of_equal_stages(nodes).items():
        sources = {source.folder for _, one in expected for source, _ in one.columns.values()}
        runs[folder].awaited += [runs[f] for f in sources if f != folder]


@dataclass(kw_only=True)
class Checks:
    """What is expected of each stage, held against it once, when it is complete."""

    expected: Mapping[str, Sequence[tuple[Node, Expected]]]
    runs: Mapping[str, StageRun]

    def look(self, run: StageRun) -> None:
        """Check a stage that has just been completed; what it does not meet is a failure of it."""
        wanted = self.expected.get(run.node.folder, ())
        if run.manifest is None or run.checked or not wanted:
            return
        unmet = []
        for node, one in wanted:
            checked = one.expectation.check(self._facts(run, run.manifest, one))
            run.checked.append((node.name, checked))
            unmet += [] if checked.met else [(node, one, checked)]
        run.version += 1
        if unmet:
            run.failures.append(_refused(unmet, run))

    def _facts(self, run: StageRun, manifest: Manifest, one: Expected) -> Facts:
        node, counts = run.node, manifest.counts
        deciding = node.kind is Kind.COLUMNS and "kept" in node.outputs
        asked = manifest.rows - counts.get("masked", 0)
        answered = counts.get("true:matched", counts.get("ok", 0))  # a join answers what it found
        fill, tasks = manifest.metrics.get("filled"), manifest.metrics.get("tasks")
        tasks = tasks if "contaminated_items" in node.outputs else None
        removed = manifest.metrics.get("removed") if node.operator.role == "dedup" else None
        return Facts(
            asked=asked, rows=counts["kept"] if deciding else asked, answered=answered, deciding=deciding,
            fill=float(fill) if isinstance(fill, int | float) else None,
            tasks={name: (one["items"], one["found"]) for name, one in tasks.items()} if tasks is not None else None,
            removed={name: (one["asked"], one["removed"]) for name, one in removed.items()} if removed else None,
            columns={name: partial(self._values, run, self.runs[source.folder], column)
                     for name, (source, column) in one.columns.items()},
        )  # fmt: skip

    def _values(self, run: StageRun, source: StageRun, column: str) -> Iterator[pa.Array]:
        """A column part by part, of the rows that count in a stage."""
        assert run.manifest is not None
        assert source.manifest is not None
        held = source.manifest.named("part")
        for unit, receipt in run.manifest.named("part").items():
            masks = [c for c in (STATE, "kept") if receipt.file_of(c) and run.node.kind is Kind.COLUMNS]
            wanted = {"value": (held[unit], column)} | {f"mask_{c}": (receipt, c) for c in masks}
            table = read_columns(run.store, wanted)
            values = contiguous(table.column("value"))
            keep = np.ones(len(values), dtype=bool)
            if STATE in masks:
                keep &= np.asarray(contiguous(table.column(f"mask_{STATE}"))) != STATE_MASKED
            if "kept" in masks:
                keep &= mask_of(table.column("mask_kept"))
            yield values if keep.all() else values.filter(pa.array(keep))


def _refused(unmet: Sequence[tuple[Node, Expected, Checked]], run: StageRun) -> DataError:
    node, first, checked = unmet[0]
    more = "".join(f"; {c}" for _, _, c in unmet[1:])
    return DataError(
        f"stage {node.spoken!r} is not what is expected: {checked}{more}",
        where=first.where,
        hint=f"the stage is committed, what builds on it has not run; look: `winnow sample {run.store.where()}`; then "
        "change the recipe, or what it expects",
    )


def checked_json(run: StageRun, name: str) -> list[dict[str, Any]]:
    """`expect` of a stage in `run --json` and in the record of a run."""
    return [{"expect": c.key, "what": c.what, "found": c.found, "met": c.met} for n, c in run.checked if n == name]
