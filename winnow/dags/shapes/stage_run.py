"""The driver's view of one stage while a run goes on: which units exist, are ready, cached, computed or failed.

A stage run holds nothing that is not on disk. `poll` returns the work that can start now; `arrived` takes in a
unit whose receipt exists. What a unit's result is a function of is its key; equal keys are reused across stages of
one operator ("adopted" by reference), so one more input file computes one more part.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from winnow.core.errors import WinnowError
from winnow.core.operators import Kind, Operator, port_fields
from winnow.core.operators.notes import merged
from winnow.core.store.manifest import FINAL_PHASES, Manifest, Receipt, StageDir, add_counts, content_digest, unit_key
from winnow.core.store.names import data_folders
from winnow.core.store.parts import check_unchanged
from winnow.core.store.store import Store
from winnow.dags.recipe.input_stamps import to_plain
from winnow.dags.shapes import part_keys
from winnow.dags.shapes.held_columns import lacking, told_of
from winnow.dags.shapes.options import Options
from winnow.dags.shapes.quarantine import refuse_bad_share
from winnow.dags.shapes.removal import removed_of
from winnow.dags.shapes.siblings import held_by_siblings, still_there
from winnow.dags.shapes.stage_file import refresh_record, snapshot_code
from winnow.dags.shapes.unit_task import UnitTask

if TYPE_CHECKING:
    from winnow.dags.recipe.nodes import Node

LOOK_S = 1.0  # between two looks for the manifest of another runner
MOST_FILES = 16  # named in a task; more are put into a file of the stage
NOT_FINAL = ("label", "send", "deal", "resolve", "return", "sample")  # needed until the stage is complete


@dataclass(eq=False, kw_only=True)
class Item:
    """One unit of work that can start now."""

    run: StageRun
    task: UnitTask
    fuse: str = ""  # items with the same non-empty value may share one task
    behind: bool = False  # it follows others in their task: its key is known when they are done
    attempts: int = 0
    isolate: bool = False
    memory_scale: float = 1.0

    @property
    def id(self) -> str:
        """Unique within a run."""
        return f"{self.run.node.name}/{self.task.phase}/{self.task.unit}"


class StageRun:
    """Shared by all shapes: inputs, receipts, adoption, completion."""

    final_phase = "part"

    def __init__(self, node: Node, store: Store, others: Mapping[str, StageRun], options: Options) -> None:
        self.node, self.store, self.options = node, store, options
        self.operator: Operator = node.operator
        self.dir = StageDir(store, node.folder)
        self.inputs = [others[n.folder] for n in node.inputs]
        self.refs = {p: [others[n.folder] for n in (v.values() if isinstance(v, dict) else [v])]
                     for p, v in node.refs.items()}  # fmt: skip
        self.after: list[StageRun] = []  # a check that may refuse: the runner fills it in
        self.awaited: list[StageRun] = []  # whose columns are looked at when this is complete: the runner fills it in
        self.checked: list[tuple[str, Any]] = []  # (stage, expectation beside what was found), once complete
        self.parts: dict[str, Receipt] = {}
        self.manifest: Manifest | None = None
        self.failures: list[WinnowError] = []
        self.doubts: list[WinnowError] = []
        self.cached = self.computed = self.known = self.busy = 0
        self.seconds = self.begun_at = 0.0
        self.version = 0  # grows when something arrives: consumers look again
        self.started = self.blocked = False
        self.lacked: list[str] = []  # columns that what was here before did not have
        self._looked_at, self._missed = 0.0, False  # when another runner's manifest was looked for; a receipt is gone
        self._scheduled: set[tuple[str, str]] = set()
        self._adoptable: dict[str, list[Receipt]] | None = None
        self._seen: tuple[int, ...] | None = None
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._on_disk: dict[str, set[str]] = {}  # phase -> its receipts when it was first asked for
        self._listed: set[str] = set()

    # -- what shapes implement ---------------------------------------------------------------------------

    def ready(self) -> list[Item]:
        """Work that can start now; called when an input or this stage has changed."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """True when the names of all parts are known."""
        return self.manifest is not None

    def finished(self) -> bool:
        """True when every final unit has its receipt."""
        raise NotImplementedError

    def final_receipts(self) -> Iterable[Receipt]:
        """What the manifest keeps."""
        return self.parts.values()

    def units_done(self) -> int:
        """How many units are there, to show."""
        return max(self.cached + self.computed, len(self.parts))

    def noted(self) -> dict[str, Any]:
        """What the operator noted, of every receipt that the manifest keeps."""
        return merged(r.notes for r in self.final_receipts())

    # -- life --------------------------------------------------------------------------------------------

    def sources(self) -> list[StageRun]:
        """Inputs and references."""
        return [*self.inputs, *(r for many in self.refs.values() for r in many)]

    def poll(self) -> list[Item]:
        """Items that can start now; commits the stage when all its units are there."""
        if self.manifest or self.failures or self.blocked:
            return []
        due = self._missed or self.doubts or time.monotonic() - self._looked_at >= LOOK_S
        if self.started and due and self._done_elsewhere():
            return []
        if self.doubts and all(s.manifest for s in self.sources()):
            self.failures += self.doubts
            self.version += 1
            return []
        if any(s.failures or s.blocked for s in (*self.sources(), *self.after, *self.awaited)):
            self.blocked = True
            return []
        if not all(s.manifest for s in self.after):
            return []
        seen = (self.version, *(s.version for s in (*self.sources(), *self.awaited)))
        if seen == self._seen and not self.restless():
            return []
        if not self.started and not self._start():
            return []
        self._seen = seen
        items = [i for i in self.ready() if (i.task.phase, i.task.unit) not in self._scheduled]
        if self.manifest or (items and not self.busy and self._done_elsewhere()):  # by another runner meanwhile
            return []
        self._scheduled |= {(i.task.phase, i.task.unit) for i in items}
        self.busy += len(items)
        if not items and not self.busy:
            self._complete()
        return items

    def restless(self) -> bool:
        """True where this stage must be looked at even if nothing has been announced."""
        return False

    def _start(self) -> bool:
        manifest = self.dir.manifest()
        if manifest is not None:
            if not all(s.manifest for s in (*self.sources(), *self.awaited)):
                return False  # whether the manifest may be reused is known only when the inputs are
            self.lacked = lacking(self.node, manifest.receipts)
            if manifest.consumed == self._consumed() and not self.lacked:
                self._refuse_tampered(manifest)
                if not self._too_bad(manifest.counts, manifest.receipts):
                    self._adopt_manifest(manifest)
                return False
            self.store.delete(f"{self.node.folder}/manifest.json")
            self.retract()
        self.lacked = self.lacked or lacking(self.node, self.dir.receipts("part"))
        if self.lacked:
            self.dir.drop_receipts()
        snapshot_code(self.store, self.node)
        refresh_record(self.store, self.node)  # a killed run may have left one of other limits, or of another version
        self.started, self.begun_at = True, time.monotonic()
        return True

    def _refuse_tampered(self, manifest: Manifest) -> None:
        """A file changed after its manifest was written is refused by name, even where nothing reads it again."""
        files = (f for r in manifest.receipts for f in r.files)
        check_unchanged(self.store, files, since=f"{self.node.folder}/manifest.json")

    def overtaken(self) -> bool:
        """True where another runner has committed this stage since the last look; its result is taken then."""
        return self.started and not self.manifest and not self.failures and self._done_elsewhere()

    def _done_elsewhere(self, *, surely: bool = False) -> bool:
        """Another runner has committed this stage meanwhile: what it made is what counts."""
        surely = surely or self._missed
        self._looked_at, self._missed = time.monotonic(), False
        head = f"{self.node.folder}/manifest.json"
        if not (self.store.exists(head) if self.doubts or surely else self.store.stamp(head)):
            return False
        if not all(s.manifest for s in (*self.sources(), *self.awaited)):
            return False
        manifest = self.dir.manifest()
        if manifest is None or manifest.consumed != self._consumed() or lacking(self.node, manifest.receipts):
            return False
        self.failures.clear()
        self._adopt_manifest(manifest)
        return True

    def _adopt_manifest(self, manifest: Manifest) -> None:
        snapshot_code(self.store, self.node)
        refresh_record(self.store, self.node)
        if self.unfinished():  # a run that was killed between its commit and what comes after
            self.manifest = manifest
            self.parts, self.known = manifest.named("part"), sum(r.phase in FINAL_PHASES for r in manifest.receipts)
            self.dir.drop_receipts()
            self.after_commit()
        self.manifest = manifest
        self.parts = manifest.named("part")
        self.cached = self.known = sum(r.phase in FINAL_PHASES for r in manifest.receipts)
        self.version += 1

    def _complete(self) -> None:
        if not self.finished() or not all(s.manifest for s in (*self.sources(), *self.awaited)):
            return
        receipts = tuple(self.final_receipts())
        counts = add_counts(r.counts for r in receipts if r.phase != "raw")
        if self._too_bad(counts, receipts):
            return
        finals = [r for r in receipts if r.phase in FINAL_PHASES]
        lacked = {"summary": told_of(self.lacked)} if self.lacked else {}
        self.manifest = self.dir.finish(
            Manifest(
                kind=self.node.kind.value,
                fingerprint=self.node.fingerprint,
                content_digest=content_digest(finals),
                consumed=self._consumed(),
                rows=sum(r.rows for r in finals),
                counts=counts,
                seconds=self.seconds,
                metrics=lacked | removed_of(self) | self.noted(),
                receipts=receipts,
            )
        )
        self.after_commit()
        kept = {(r.phase, r.unit) for r in receipts}  # the rest only an unfinished stage needs
        self._receipts = {name: r for name, r in self._receipts.items() if name in kept}
        self._scheduled, self._on_disk = set(), {}
        self.version += 1

    def unfinished(self) -> bool:
        """True where `after_commit` has not run to its end."""
        return "receipts" in self.store.folders(self.node.folder) or bool(self._left_overs())

    def retract(self) -> None:
        """Remove what was published of a result that no longer counts."""

    def after_commit(self) -> None:
        """Remove what only this stage's own tasks needed."""
        for key in self._left_overs():
            self.store.delete(key)

    def _left_overs(self) -> list[str]:
        """Folders that are there and of no more use."""
        folder = self.node.folder
        there = {f"{folder}/{name}" for name in self.store.folders(folder)}
        for data in there & {*data_folders(folder)}:
            there |= {f"{data}/{phase}" for phase in self.store.folders(data)}
        known = [f"{folder}/lists", *(key for phase in NOT_FINAL for key in data_folders(folder, phase))]
        return [key for key in known if key in there]

    def _consumed(self) -> dict[str, str]:
        return {s.node.fingerprint: s.manifest.content_digest for s in self.sources() if s.manifest}

    def _too_bad(self, counts: Mapping[str, int], receipts: Sequence[Receipt]) -> bool:
        """True, and the stage has failed, where more rows are bad than this recipe allows (the last one may differ)."""
        try:
            self._check_bad_share(counts, receipts)
        except WinnowError as error:
            self.failures.append(error)
        return bool(self.failures)

    def _check_bad_share(self, counts: Mapping[str, int], receipts: Sequence[Receipt]) -> None:
        refuse_bad_share(self.store, self.node, counts, receipts)

    # -- units -------------------------------------------------------------------------------------------

    def common(self, phase: str, unit: str, key: str, receipts: Sequence[Receipt] = ()) -> dict[str, Any]:
        """The fields that every task of this stage has; `receipts` are those of the part that it reads."""
        ports = [p for p, k in port_fields(self.operator).items() if k == "files" and self.node.kind is not Kind.ROWS]
        files = {p: tuple(f.path for f in self.node.files.get(p, ())) for p in ports}
        known = to_plain({f.path: f.seen for p in ports for f in self.node.files.get(p, ())})
        read: dict[str, Any] = {"files": files, "seen": {path: tuple(values) for path, values in known.items()}}
        if len(read["seen"]) > MOST_FILES:
            listed = f"{self.node.folder}/files.json"
            self.store.put(listed, orjson.dumps(read, option=orjson.OPT_SORT_KEYS))
            read = {"listed": listed}
        return {
            "root": self.store.location, "folder": self.node.folder, "phase": phase, "unit": unit, "key": key,
            "batch_rows": self.options.batch_rows, **read,
            "inputs": tuple(r.key for r in receipts), "consumed": tuple(r.digest for r in receipts),
        }  # fmt: skip

    def receipt_of(self, phase: str, unit: str, key: str) -> Receipt | None:
        """A unit's receipt: known already, on disk, or adopted from a sibling stage."""
        known = self._receipts.get((phase, unit))
        if known is not None and known.key == key:
            return known
        if (phase, unit) in self._scheduled:
            return None
        receipt = self._committed(phase, unit, key) or self._adopt(phase, unit, key)
        if receipt is not None:
            self._receipts[phase, unit] = receipt
            if phase == self.final_phase:
                self.cached += 1
        return receipt

    def _committed(self, phase: str, unit: str, key: str) -> Receipt | None:
        """A receipt that was there when this phase was first asked for; what came later, the task itself will find."""
        if phase not in self._on_disk:
            self._on_disk[phase] = self.dir.committed_keys(phase)
        there = self.dir.receipt_key(phase, unit, key) in self._on_disk[phase]
        return self.dir.receipt(phase, unit, key) if there else None

    def arrived(self, item: Item) -> None:
        """A task came back well: its receipt is on disk."""
        self.busy -= 1
        if self.manifest:
            return
        task = item.task
        receipt = self.dir.receipt(task.phase, task.unit, task.key)
        self._missed |= receipt is None
        if receipt is not None:
            self._receipts[task.phase, task.unit] = receipt
            self.seconds += float(receipt.run.get("seconds", 0.0))
            if task.phase == self.final_phase:
                self.computed += 1
        self.version += 1

    def released(self, item: Item) -> None:
        """An item that followed others is under way no more, and not done."""
        self.busy -= 1
        self.version += 1

    def took(self, receipt: Receipt) -> None:
        """A final unit was computed in this run, by a task of another name."""
        self._receipts[receipt.phase, receipt.unit] = receipt
        self.computed += 1

    def gave_up(self, item: Item, error: WinnowError) -> None:
        """A unit failed for good; the stage cannot commit, others go on."""
        self.busy -= 1
        if self.manifest or self._done_elsewhere(surely=True):
            return
        if self.store.exists(f"{self.node.folder}/manifest.json"):
            self.doubts.append(error)  # another runner may have cleaned up under it: known when the inputs are
        else:
            self.failures.append(error)
        self.version += 1

    def _adopt(self, phase: str, unit: str, key: str) -> Receipt | None:
        if phase not in ("part", "summary-00", "sample"):
            return None
        other = still_there(self.store, self._held().get(key, ()), phase)
        return other and self.dir.commit(dataclasses.replace(other, unit=unit, run={}))

    def _held(self) -> dict[str, list[Receipt]]:
        if self._adoptable is None:
            self._adoptable = held_by_siblings(self.store, self.node, self.held_by)
        return self._adoptable

    def held_by(self, sibling: StageDir) -> list[Receipt]:
        """Receipts of a sibling stage."""
        manifest = sibling.manifest()
        held = list(manifest.receipts) if manifest else sibling.receipts("part")
        return [r for r in held if not lacking(self.node, [r])]

    # -- keys --------------------------------------------------------------------------------------------

    def inputs_of(self, unit: str) -> list[Receipt] | None:
        """Every input's receipt of one part, or None while one is missing."""
        receipts = [run.parts.get(unit) for run in self.inputs]
        return None if any(r is None for r in receipts) else [r for r in receipts if r is not None]

    def part_key(self, phase: str, receipts: Sequence[Receipt], *more: Any) -> str:
        """Key of a part's unit."""
        return part_keys.part_key(self.node, phase, self.refs_digest(), receipts, *more)

    def refs_digest(self) -> list[str]:
        """Content digests of the references (all complete)."""
        return [r.manifest.content_digest for many in self.refs.values() for r in many if r.manifest]

    def refs_ready(self) -> bool:
        """True when every reference is complete."""
        return all(r.manifest for many in self.refs.values() for r in many)

    def put_list(self, units: Sequence[tuple[Any, ...]]) -> str:
        """Commit a list for tasks of many inputs, once; returns its name: `unit_key(units)`."""
        name = unit_key(units)
        if name not in self._listed:
            self.store.put_new(f"{self.node.folder}/lists/{name}.json", orjson.dumps(units))
            self._listed.add(name)
        return name
