"""Derive: a reader's sticky layout, units of files read into parts, ids numbered at the end where they must be."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from winnow.core.errors import DataError, StoreError
from winnow.core.operators import Bad, Choice, Derive, FileSlice, Lacks, port_fields
from winnow.core.store.manifest import Receipt, StageDir, unit_key
from winnow.core.store.parts import find_receipt
from winnow.dags.engines.time_limits import beat
from winnow.dags.recipe.input_files import InputFile, cut_units, part_bytes, slice_json, text_bytes
from winnow.dags.recipe.input_stamps import Watch, from_plain, to_plain
from winnow.dags.shapes import numbering
from winnow.dags.shapes.arrivals import Arrivals
from winnow.dags.shapes.declared_columns import absences, choices, names_there, refuse_absent_columns
from winnow.dags.shapes.quarantine import counts_by_error, first_record
from winnow.dags.shapes.reader_parts import commit_numbered, commit_part, id_rule, numbered_ids, recut, save_bad
from winnow.dags.shapes.stage_run import Item
from winnow.dags.shapes.unit_task import UnitTask, Urgency
from winnow.dags.shapes.work import Work, make_work, operator_of, read_list

LOOK_SHARE = 50  # seconds between two looks at all receipts, for each second that a look takes


class DeriveRun(numbering.NumberedApart):
    """A reader: a sticky layout, units that close lists of parts, ids numbered at the end where they must be."""

    operator: Derive
    layout: list[list[dict[str, Any]]] | None = None
    looked, pause = 0.0, 1.0  # when parts of units that are being read were looked for; seconds to the next time

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._done: dict[str, Receipt] = {}  # units that are read, of which parts have not been taken yet
        self._with_parts: set[str] = set()  # units of which there are parts
        self._own = Arrivals([self])
        self._asked = False  # all units have been looked for

    @property
    def closed(self) -> bool:
        """True when every unit is done (and numbered)."""
        return self.manifest is not None or self._all_parts() is not None

    @property
    def rule(self) -> str:
        """How documents are named."""
        return id_rule(self.operator)

    @property
    def read_phase(self) -> str:
        """What reading a unit commits: parts, or raw parts that wait for their ids."""
        return "part" if self.rule == "position" else "raw"

    def restless(self) -> bool:
        """Parts of long units are looked for once a second, or less often where a look takes long."""
        return self.busy > 0 and self.rule == "position" and time.monotonic() - self.looked > self.pause

    def ready(self) -> list[Item]:
        """Units without a receipt; then, for ids that need all records, the numbering."""
        self._load_layout()
        assert self.layout is not None
        self.known = len(self.layout)
        items = []
        for number, slices in enumerate([] if self._asked else self.layout):
            unit = f"{number:05d}"
            key = self._unit_key(slices, number)
            receipt = self.receipt_of("unit", unit, key) or self._adopt_unit(unit, key)
            if receipt is None:
                items.append(Item(run=self, task=ReadTask(**self.common("unit", unit, key), number=number)))
            else:
                self._done[unit] = receipt
        self._asked = True
        if self.rule != "position" and self.busy:
            return items
        done = [self._done[unit] for unit in sorted(self._done)]
        if self.rule == "position":
            self._gather(done)
            return items
        return items or ([] if len(done) < len(self.layout) else self._number(done))

    def units_done(self) -> int:
        """Units of which parts are there: a part is named after its unit."""
        self._with_parts |= {name.rpartition(".")[0] for name in self._own.fresh()}
        return len(self._with_parts)

    def finished(self) -> bool:
        """True when every listed part is there."""
        parts = self._all_parts()
        return parts is not None and all(p in self.parts for p in parts)

    def _check_bad_share(self, counts: Mapping[str, int], receipts: Sequence[Receipt]) -> None:
        if not counts.get("rows"):
            bad = (
                f"; {counts['bad']} records are in quarantine ({counts_by_error(counts)})" if counts.get("bad") else ""
            )
            files = len(self.node.files["files"])
            field = getattr(self.operator, "text_field", None)
            lacks = "missing_text" in bad and field is not None
            hint = f"`text_field:` names the field with the text (here {field!r})" if lacks else (
                "check `files` and the fields that name text and id")  # fmt: skip
            raise DataError(
                f"stage {self.node.name!r} read no documents from {files} file{'s' * (files != 1)}{bad}"
                + first_record(self.store, receipts),
                where=self.store.where(self.node.folder), hint=hint,
            )  # fmt: skip
        super()._check_bad_share(counts, receipts)
        refuse_absent_columns(self.node.name, counts, receipts)

    def final_receipts(self) -> list[Receipt]:
        """Parts, units (which hold the quarantine) and raw parts (for readers that share units with this one)."""
        others = [r for (phase, _), r in sorted(self._receipts.items()) if phase in ("unit", "raw")]
        return [*(self.parts[p] for p in sorted(self.parts)), *others]

    def after_commit(self) -> None:
        """The paths of the input files are needed no more."""
        super().after_commit()
        self.store.delete(f"{self.node.folder}/paths.json")
        if self._beside:
            self.store.delete(f"{self.node.folder}/beside.json")

    def held_by(self, sibling: StageDir) -> list[Receipt]:
        """Units and parts of another reader."""
        manifest = sibling.manifest()
        if manifest:
            return list(manifest.receipts)
        return [r for phase in ("unit", "part", "raw") for r in sibling.receipts(phase)]

    def _load_layout(self) -> None:
        if self.layout is not None:
            return
        files = self.node.files["files"]
        name = f"{self.node.folder}/layout.json"
        if not self.store.exists(name):
            given, worker_gb = self.options.part_bytes, self.options.worker_gb
            step = given or part_bytes(sum(f.size for f in files), worker_gb)
            target = given or part_bytes(text_bytes(files), worker_gb)
            units = [slice_json(u) for u in cut_units(files, self.operator.splittable, step)]
            self.store.put_new(name, orjson.dumps({"part_bytes": target, "units": units}))
        loaded = orjson.loads(self.store.get(name))
        self.layout, self.target = loaded["units"], loaded["part_bytes"]
        self.store.put(f"{self.node.folder}/paths.json", orjson.dumps(_paths(files)))
        if self._beside:
            beside = {port: list(_paths(self.node.files[port]).values()) for port in self._beside}
            self.store.put(f"{self.node.folder}/beside.json", orjson.dumps(beside))

    @property
    def _beside(self) -> list[str]:
        """Ports of files beside those that are read in units."""
        return sorted(port for port in self.node.files if port != "files")

    def _unit_key(self, slices: list[dict[str, Any]], number: int = 1) -> str:
        rels = [f.rel for f in self.node.files["files"]] if self._beside and not number else []
        return unit_key(self.node.family, "unit", slices, self.target, *([rels] if rels else []))

    def _adopt_unit(self, unit: str, key: str) -> Receipt | None:
        """A unit of the same slices read by a sibling reader, with its parts, by reference."""
        if ("unit", unit) in self._scheduled:
            return None
        held = self.adoptable_units().get(key)
        if held is None:
            return None
        receipt, parts = held
        names = []
        for number, part in enumerate(parts):
            names.append(f"{unit}.{number:03d}")
            copy = self.dir.commit(dataclasses.replace(part, unit=names[-1], run={}))
            self._receipts[part.phase, names[-1]] = copy
            self.cached += part.phase == "part"
        extra = {**receipt.extra, "parts": names}
        own = self.dir.commit(dataclasses.replace(receipt, unit=unit, extra=extra, run={}))
        self._receipts["unit", unit] = own
        return own

    def adoptable_units(self) -> dict[str, tuple[Receipt, list[Receipt]]]:
        """Unit key -> (its receipt, its parts) over all sibling readers."""
        if not hasattr(self, "_units"):
            self._units: dict[str, tuple[Receipt, list[Receipt]]] = {}
            for folder in self.store.folders():
                if folder.startswith(f"{self.operator.name}-") and folder != self.node.folder:
                    held = self.held_by(StageDir(self.store, folder))
                    parts = {r.unit: r for r in held if r.phase == self.read_phase}
                    for r in held:
                        names = r.extra.get("parts", []) if r.phase == "unit" else []
                        if r.phase == "unit" and all(n in parts for n in names):
                            self._units[r.key] = (r, [parts[n] for n in names])
        return self._units

    def _gather(self, done: list[Receipt]) -> None:
        """Parts of finished units, and of those still being read."""
        before = len(self.parts)
        for unit in done:
            for name in unit.extra["parts"]:
                if name not in self.parts:
                    receipt = self._receipts.get(("part", name)) or self.dir.receipt("part", name, unit.key)
                    if receipt is None:
                        self._take_manifest(name)
                        return
                    self._take(name, receipt)
            del self._done[unit.unit]
        if self.restless():
            begun = time.monotonic()
            for receipt in self.dir.receipts("part", known=self.parts):
                self._take(receipt.unit, receipt)
            self.looked = time.monotonic()
            self.pause = max(1.0, LOOK_SHARE * (self.looked - begun))
        if len(self.parts) != before:
            self.version += 1

    def _take(self, name: str, receipt: Receipt) -> None:
        self.parts[name] = receipt
        self._receipts["part", name] = receipt
        if ("unit", name.rpartition(".")[0]) in self._scheduled:
            self.computed += 1
        elif receipt.run:
            self.cached += 1

    def _take_manifest(self, name: str) -> None:
        """A part's receipt is gone because another runner's manifest has absorbed it: that is what counts."""
        if not self._done_elsewhere():
            raise StoreError(
                f"part {name} was read, and its receipt is gone",
                where=self.store.where(self.node.folder), hint="remove this stage folder and run again",
            )  # fmt: skip

    def _number(self, done: list[Receipt]) -> list[Item]:
        units = [(name, r.key) for r in done for name in r.extra["parts"]]
        for name, unit in units:
            if ("raw", name) not in self._receipts:
                raw = self.dir.receipt("raw", name, unit)
                if raw is None:
                    self._take_manifest(name)
                    return []
                self._receipts["raw", name] = raw
        key = unit_key("number", self.node.family, units)
        parts = {name: self.receipt_of("part", name, key) for name, _ in units}
        if all(parts.values()):
            fresh = [n for n in parts if n not in self.parts]
            self.parts |= {n: r for n, r in parts.items() if r}
            self.version += bool(fresh)
            return []
        raws = [self._receipts["raw", name] for name, _ in units]
        if sum(r.rows for r in raws) > (self.options.pieces or numbering.ONE_TASK_ROWS):
            return self.number_apart(raws, key)
        task = NumberTask(**self.common("numbered", "all", key), units=self.put_list(units))
        return [Item(run=self, task=task)]

    def step(self, phase: str, unit: str, key: str, **fields: Any) -> Item | Receipt | None:
        """A step of numbering in buckets, or its receipt; None while it is under way."""
        receipt = self.receipt_of(phase, unit, key)
        if receipt or (phase, unit) in self._scheduled:
            return receipt
        return Item(run=self, task=NameTask(**self.common(phase, unit, key), **fields))

    def arrived(self, item: Item) -> None:
        """A unit whose parts are to be taken; numbering commits many parts at once."""
        super().arrived(item)
        read = self._receipts.get(("unit", item.task.unit)) if isinstance(item.task, ReadTask) else None
        if read is not None:
            self._done[read.unit] = read
        if isinstance(item.task, NumberTask):
            for receipt in self.dir.receipts("part"):
                if receipt.key == item.task.key:
                    self._receipts["part", receipt.unit] = receipt
                    self.computed += 1

    def _all_parts(self) -> list[str] | None:
        if self.layout is None or self.busy:
            return None
        units = [self._receipts.get(("unit", f"{n:05d}")) for n in range(len(self.layout))]
        if any(u is None for u in units):
            return None
        names = [name for u in units if u for name in u.extra["parts"]]
        return names if all(n in self.parts for n in names) else None


@dataclass(frozen=True, kw_only=True)
class ReadTask(UnitTask):
    """One unit of files: its documents as parts."""

    number: int  # of the unit in the layout

    def run(self) -> dict[str, Any]:
        """Commit parts as they fill, then the unit's receipt, which closes the list of them."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        layout = orjson.loads(work.store.get(f"{self.folder}/layout.json"))
        files = orjson.loads(work.store.get(f"{self.folder}/paths.json"))
        slices = [FileSlice(**raw, path=files[raw["rel"]][0]) for raw in layout["units"][self.number]]
        told: list[Bad | Lacks | Choice] = []
        reader, beside = _with_beside(work, operator_of(work, Derive))
        seen = {s.path: files[s.rel][1:] for s in slices} | {path: stamp for path, *stamp in beside}
        work.watch = Watch(from_plain(seen), {s.path: s.rel for s in slices})
        if beside and not self.number:
            reader.look_around(list(files), told.append)
        names: list[str] = []
        for table in recut(reader.read(slices, told.append), layout["part_bytes"]):
            beat()
            names.append(f"{self.unit}.{len(names):03d}")
            commit_part(work, names[-1], table)
            del table  # before the next one is gathered
        bad = [one for one in told if isinstance(one, Bad)]
        lacks = [one for one in told if isinstance(one, Lacks)]
        kinds = Counter(b.error for b in bad)
        counts = {"bad": len(bad)} | {f"bad:{error}": kinds[error] for error in sorted(kinds)}
        counts |= absences(lacks) | choices(one for one in told if isinstance(one, Choice))
        extra = {"parts": names, "names": names_there(lacks)}
        work.commit(extra=extra, counts=counts, quarantine=save_bad(work, bad) if bad else None)
        return {}


def _paths(files: Sequence[InputFile]) -> dict[str, list[Any]]:
    """Relative path -> where the file lies and what is to be found there."""
    return {f.rel: [f.path, *to_plain({"": f.seen})[""]] for f in files}


def _with_beside(work: Work, reader: Derive) -> tuple[Derive, list[list[Any]]]:
    """The reader with the paths of its other files instead of their patterns, and those paths with their stamps."""
    name = f"{work.task.folder}/beside.json"
    if not [
        port
        for port, kind in port_fields(reader).items()
        if kind == "files" and port != "files" and getattr(reader, port)
    ]:
        return reader, []
    held = orjson.loads(work.store.get(name))
    named = {port: tuple(path for path, *_ in files) for port, files in held.items()}
    return dataclasses.replace(reader, **named), [one for files in held.values() for one in files]


@dataclass(frozen=True, kw_only=True)
class NumberTask(UnitTask):
    """doc_id for every raw part of a reader whose ids depend on all records (content ordinals, unique fields)."""

    urgency: ClassVar[Urgency] = Urgency.FIRST

    units: str  # name of the list of raw parts

    def run(self) -> dict[str, Any]:
        """Commit every part: the files of its raw part, and its ids."""
        work = make_work(self)
        receipts = [find_receipt(work.store, self.folder, "raw", u, k) for u, k in read_list(work, self.units)]
        ids = numbered_ids(work, receipts)
        start = 0
        for receipt in receipts:
            piece = work.on_unit(receipt.unit, self.key)
            if piece.done("part") is None:
                commit_numbered(piece, receipt, ids.slice(start, receipt.rows))
            start += receipt.rows
        return {}


@dataclass(frozen=True, kw_only=True)
class NameTask(UnitTask):
    """One step of numbering in buckets, of one raw part or of one bucket: the phase says which."""

    raw: str = ""  # key of the raw part
    senders: str = ""  # name of the list of files that hold what was sent
    piece: int = 0  # which piece of them
    of: int = 0  # pieces in each file
    buckets: int = 0  # or parts: what is sent to
    width: int = 1  # of them in a bundle

    def run(self) -> dict[str, Any]:
        """Commit hashes by bucket, ordinals by part, or a part with its ids."""
        work = make_work(self)
        if work.done() is not None:
            return {}
        if self.phase == "resolve":
            numbering.number_names(work, self, self.buckets, self.width)
        elif self.phase == "send":
            numbering.send_names(work, numbering.raw_receipt(work, self.raw), self.buckets, self.width)
        else:
            numbering.name_part(work, numbering.raw_receipt(work, self.raw), self)
        return {}
