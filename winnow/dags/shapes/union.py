"""Union: the parts of all inputs listed by reference; the driver writes receipts, and no worker is asked."""

from __future__ import annotations

import dataclasses

from winnow.core.store.manifest import unit_key
from winnow.dags.shapes.stage_run import Item, StageRun


class UnionRun(StageRun):
    """Parts of all inputs by reference: the driver writes receipts, nothing else."""

    @property
    def closed(self) -> bool:
        """True when every input is."""
        return self.manifest is not None or (all(r.closed for r in self.inputs) and self._all_there())

    def ready(self) -> list[Item]:
        """Nothing to compute: receipts are copied as parts arrive."""
        for number, run in enumerate(self.inputs):
            for unit, receipt in list(run.parts.items()):
                name = f"{number:02d}-{unit}"
                if name in self.parts:
                    continue
                key = unit_key("concat", receipt.digest)
                copy = dataclasses.replace(receipt, unit=name, key=key, notes={}, run={})
                self.parts[name] = self.dir.receipt("part", name, copy.key) or self.dir.commit(copy)
                self.cached += 1
                self.version += 1
        self.known = len(self.parts)
        return []

    def _all_there(self) -> bool:
        return len(self.parts) == sum(len(r.parts) for r in self.inputs)

    def finished(self) -> bool:
        """True when every part of every input is listed."""
        return self.closed
