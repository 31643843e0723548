"""Job: one task over references, with files and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.operators import Job, Kind
from winnow.core.store.manifest import Receipt, unit_key
from winnow.dags.shapes.published import PublishingRun
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.unit_task import UnitTask, Urgency
from winnow.dags.shapes.work import commit_folder, context, make_work, operator_of


class JobRun(PublishingRun):
    """One task over references."""

    operator: Job

    @property
    def final_phase(self) -> str:  # type: ignore[override]
        """`result` or `artefact`."""
        return "result" if self.node.kind is Kind.RESULT else "artefact"

    @property
    def published_phase(self) -> str:  # type: ignore[override]
        """Its one receipt."""
        return self.final_phase

    def ready(self) -> list[Item]:
        """The one item, when every reference and input is complete."""
        if not self.refs_ready() or not all(r.manifest for r in self.inputs):
            return []
        self.known = 1
        key = unit_key(self.node.family, "job", self.refs_digest())
        if self.receipt_of(self.final_phase, "all", key) is not None:
            return []
        return [Item(run=self, task=JobTask(**self.common(self.final_phase, "all", key)))]

    def finished(self) -> bool:
        """True when done."""
        return (self.final_phase, "all") in self._receipts

    def final_receipts(self) -> list[Receipt]:
        """The one receipt."""
        return [self._receipts[self.final_phase, "all"]]


@dataclass(frozen=True, kw_only=True)
class JobTask(UnitTask):
    """The one task of a job."""

    urgency: ClassVar[Urgency] = Urgency.LAST

    def run(self) -> dict[str, Any]:
        """Commit the files and metrics of the job."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        notes: dict[str, Any] = {}
        with context(work, notes=notes) as ctx:
            metrics = operator_of(work, Job).run(ctx)
            commit_folder(work, ctx.work, metrics, notes)
        return {}
