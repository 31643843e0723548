"""Stage runs of the shapes that work part by part or once: Map, Whole, Fit, Job, union."""

from __future__ import annotations

import dataclasses
from typing import Any

from winnow.core.operators import Job, Kind
from winnow.core.store.manifest import Receipt, solved_key, unit_key
from winnow.dags.driver.stage_run import Item, StageRun


class MapRun(StageRun):
    """One item per part, as soon as every input has that part; sibling Maps over a part share a task."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._looked: set[str] = set()  # parts that are done or under way

    @property
    def closed(self) -> bool:
        """True when the inputs are and every part has been done."""
        return self.manifest is not None or self.finished()

    def ready(self) -> list[Item]:
        """Parts whose inputs are there."""
        if not self.refs_ready():
            return []
        items = []
        self.known = max(self.known, len(self.inputs[0].parts))
        for unit in sorted(self.inputs[0].parts.keys() - self._looked):
            receipts = self.inputs_of(unit)
            if receipts is None:
                continue
            self._looked.add(unit)
            key = self.part_key("part", receipts)
            found = self.found("part", unit, key)
            if found is not None:
                self.parts[unit] = found
                self.version += 1
                continue
            items.append(self._make(unit, key, receipts))
        return items

    def _make(self, unit: str, key: str, receipts: list[Receipt]) -> Item:
        space = self.node.space.folder if self.node.space else ""
        return self.item("map", "part", unit, key, fuse=f"{space}/{unit}", **self.part_payload(receipts))

    def arrived(self, item: Item) -> None:
        """One more part."""
        super().arrived(item)
        found = self._receipts.get(("part", item.unit))
        if item.phase == "part" and found is not None and not self.manifest:
            self.parts[item.unit] = found

    def _inputs_closed(self) -> bool:
        return all(r.closed for r in self.inputs)

    def finished(self) -> bool:
        """True when every part of the row space is done."""
        return self._inputs_closed() and len(self.parts) == len(self.inputs[0].parts)


class WholeRun(StageRun):
    """One task over all sidecars that commits every part."""

    @property
    def closed(self) -> bool:
        """True when solved."""
        return self.manifest is not None or (bool(self.parts) and self.finished())

    def ready(self) -> list[Item]:
        """The one item, when all inputs are complete."""
        if not self.refs_ready() or not all(r.manifest for r in self.inputs):
            return []
        units = sorted(self.inputs[0].parts)
        self.known = len(units)
        rows = [[r.row_digest for r in self.inputs_of(u) or ()] for u in units]
        digests = [r.manifest.content_digest for r in self.inputs if r.manifest]
        key = unit_key(self.node.family, "solve", self.refs_digest(), digests, rows)
        found = {u: self.found("part", u, solved_key(key, n)) for n, u in enumerate(units)}
        self.parts = {u: r for u, r in found.items() if r}
        if len(self.parts) == len(units):
            return []
        return [self.item("solve", "solved", "all", key)]

    def arrived(self, item: Item) -> None:
        """Every part has been committed by the one task."""
        keys = {u: solved_key(item.key, n) for n, u in enumerate(sorted(self.inputs[0].parts))}
        for receipt in self.dir.receipts("part"):
            if receipt.key == keys.get(receipt.unit) and receipt.unit not in self.parts:
                self._receipts["part", receipt.unit] = self.parts[receipt.unit] = receipt
                self.computed += 1
                self.seconds = max(self.seconds, float(receipt.run.get("seconds", 0.0)))
        super().arrived(item)

    def finished(self) -> bool:
        """True when every part is there."""
        return set(self.parts) == set(self.inputs[0].parts) and all(r.closed for r in self.inputs)


class FitRun(StageRun):
    """Samples part by part, then one fit."""

    final_phase = "artefact"

    def ready(self) -> list[Item]:
        """Samples of the parts that are there; the fit when all are."""
        if not self.refs_ready():
            return []
        items, samples = [], []
        for unit in sorted(self.inputs[0].parts):
            receipts = self.inputs_of(unit)
            if receipts is None:
                continue
            key = self.part_key("sample", receipts)
            found = self.found("sample", unit, key)
            if found is None:
                items.append(self.item("sample", "sample", unit, key, **self.part_payload(receipts)))
            else:
                samples.append(found)
        if items or not all(r.closed for r in self.inputs) or len(samples) < len(self.inputs[0].parts):
            return items
        key = unit_key(self.node.family, "fit", self.refs_digest(), [s.digest for s in samples])
        if self.found("artefact", "all", key) is not None:
            return []
        units = [(s.unit, s.key) for s in samples]
        return [self.item("fit", "artefact", "all", key, list=self.put_list(units))]

    def finished(self) -> bool:
        """True when fitted."""
        return ("artefact", "all") in self._receipts

    def final_receipts(self) -> list[Receipt]:
        """The artefact."""
        return [self._receipts["artefact", "all"]]


class JobRun(StageRun):
    """One task over references."""

    @property
    def final_phase(self) -> str:  # type: ignore[override]
        """`result` or `artefact`."""
        return "result" if self.node.kind is Kind.RESULT else "artefact"

    def ready(self) -> list[Item]:
        """The one item, when every reference and input is complete."""
        if not self.refs_ready() or not all(r.manifest for r in self.inputs):
            return []
        self.known = 1
        key = unit_key(self.node.family, "job", self.refs_digest())
        if self.found(self.final_phase, "all", key) is not None:
            return []
        return [self.item("job", self.final_phase, "all", key)]

    def finished(self) -> bool:
        """True when done."""
        return (self.final_phase, "all") in self._receipts

    def final_receipts(self) -> list[Receipt]:
        """The one receipt."""
        return [self._receipts[self.final_phase, "all"]]

    def after_commit(self) -> None:
        """Publish an artefact's files under their own names, where the operator wants that."""
        super().after_commit()
        for source, target in self._published():
            self.store.link_new(source, target)

    def unfinished(self) -> bool:
        """True where files are not all published."""
        return super().unfinished() or not all(self.store.exists(target) for _, target in self._published())

    def retract(self) -> None:
        """Remove the published files."""
        operator = self.node.operator
        if isinstance(operator, Job) and operator.publishes:
            self.store.delete(f"{self.node.folder}/{operator.publishes}")

    def _published(self) -> list[tuple[str, str]]:
        """(committed file, its published name) of every file."""
        operator, manifest = self.node.operator, self.manifest or self.dir.manifest()
        if manifest is None or not isinstance(operator, Job) or not operator.publishes:
            return []
        folder = f"{self.node.folder}/{operator.publishes}"
        return [(f.key, f"{folder}/{f.name}") for r in manifest.named(self.final_phase).values() for f in r.files]


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
