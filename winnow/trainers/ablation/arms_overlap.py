"""All selections of an ablation against all its targets, in one job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from winnow.core.errors import DataError
from winnow.core.operators import Context, Job, Resources, Source, port
from winnow.core.store.ids import digest_bytes
from winnow.trainers.ablation.target_overlap import SHORTEST, overlap_of
from winnow.trainers.evaluate.suites import suite_of


@dataclass(frozen=True, kw_only=True)
class ArmsOverlap(Job):
    """Items of the targets that the selections repeat; a selection with any of a guarded target is refused.

    References: `selections` {label or label/seed}, `overlaps` {target: its `target_overlap`}, `targets`.

    Source: own
    """

    name: ClassVar[str] = "arms_overlap"
    role: ClassVar[str] = "trainer"
    version: ClassVar[int] = 2
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    reported: tuple[str, ...] = ()  # targets whose overlap is reported and not refused
    shortest: int = SHORTEST
    selections: dict[str, str] | None = port("refs", default=None)
    overlaps: dict[str, str] | None = port("refs", default=None)
    targets: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `targets` {target: the selection with the most overlap, its items and documents}, and `digests`
        {selection: 32 hex digits of its documents}.

        Raises:
            DataError: a selection repeats items of a target that is not among `reported`; it names some.
        """
        selections: Mapping[str, Source] = ctx.refs["selections"]
        rows = {name: source.frame("doc_id", where_kept=True) for name, source in selections.items()}
        targets: dict[str, dict[str, Any]] = {}
        for target, marks in ctx.refs["overlaps"].items():
            suite = suite_of(ctx.refs["targets"][target], target=target)
            each = {n: overlap_of(r, marks, suite, shortest=self.shortest) for n, r in rows.items()}
            worst = max(each, key=lambda name: each[name]["items"])
            targets[target] = {"selection": worst, **each[worst]}
            if each[worst]["items"] and target not in self.reported:
                self._refuse(target, worst, each[worst])
        return {"targets": targets, "digests": {name: _digest(one) for name, one in rows.items()}}

    def _refuse(self, target: str, selection: str, row: Mapping[str, Any]) -> None:
        more = ", ..." if row["items"] > len(row["names"]) else ""
        raise DataError(
            f"the selection repeats {row['items']} items of target {target!r} in {row['documents']} documents: "
            f"{', '.join(row['names'])}{more}",
            where=f"arm {selection!r}",
            hint="put a `decontaminate` stage against the target before the selections, "
            f"or accept it with `may_overlap: [{target}]`",
        )


def _digest(selected: pl.DataFrame) -> str:
    """Of the documents, whatever their order and weights."""
    return digest_bytes(b"".join(selected["doc_id"].sort().to_list()))
