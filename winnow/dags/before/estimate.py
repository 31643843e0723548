"""`winnow plan --estimate`: time, disk and tokens out, from a small sample of the input run in a scratch root.

    {"share", "sample": {"bytes", "input_bytes", "share", "documents", "units", "files", "heads", "bad", "seconds"},
     "stages": [{"stage", "operator", "covered", "asked", "kept", "kept_share": {"value", "low", "high"},
                 "core_seconds_per_mb", "core_seconds": {...}, "disk_bytes": {...}, "memory_gb"}],
     "totals": {"documents", "documents_out", "bytes_out", "tokens_out", "core_seconds", "disk_bytes":
                {"value", "low", "high"}},
     "passed": {"documents", "bytes", "tokens"},
     "tokens_from", "workers", "wall_seconds", "bounds": [{"stage", "bound"}], "not_timed": [{"stage", "why"}],
     "memory_free_gb"}

What a row decides alone (readers, Maps, filters) is measured with its error: the 95 % interval of a ratio estimate over
clusters (the units of the sample), for a kept share never narrower than the binomial one. What needs the corpus is
not: a sample of share s holds both documents of a pair with probability about s^2, so its dedup rate says nothing, and
`documents_out` is an upper bound there. Such stages are run on the sample for their time alone. `passed` is what comes
through the decisions that rows make alone; the totals are cut to what the budgets after them let through.

The sample is run twice: cut into its units, which gives the errors (and loads what has to be loaded), and as one unit
per reader, which gives the time. What the cut costs more is the fixed cost of a unit; `low` and `high` of a time are
without any fixed cost and with all of it growing with the input. Stages that need the corpus are scaled by bytes.
`memory_gb` is what a stage over all rows would ask for with the estimated documents (null for others).
"""

from __future__ import annotations

import copy
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from winnow.core.errors import ConfigError, DataError, WinnowError
from winnow.core.operators import Derive, FileSlice, Kind, Whole
from winnow.core.operators.budget import Budget
from winnow.core.operators.duplicates import cluster_columns
from winnow.core.store.locations import open_store
from winnow.core.store.parts import mask_of, read_columns
from winnow.core.store.schema import contiguous
from winnow.core.store.store import Store
from winnow.dags.before.estimate_sample import Sample, choose
from winnow.dags.before.estimate_totals import Estimate, capped, kept_share, summed, totals
from winnow.dags.driver.memory import looked_up_width
from winnow.dags.driver.runner import Runner, RunSettings
from winnow.dags.driver.session import shown_name
from winnow.dags.engines.machine import available_memory_gb
from winnow.dags.recipe.input_files import part_bytes, slice_json
from winnow.dags.recipe.meanings import counts_tokens, estimated_by
from winnow.dags.recipe.plan import Node, Plan
from winnow.dags.shapes.stage_run import StageRun

SHARE = 0.001
MOST_BYTES = 64 << 20
PART_BYTES = 1 << 30  # one part per unit


@dataclass(kw_only=True)
class Scope:
    """The part of a plan that a sample speaks of: one row space up to its first `write`."""

    space: Node
    end: Node | None
    readers: list[Node]
    alone: list[Node] = field(default_factory=list)  # readers, unions and stages whose rows decide alone
    timed: list[Node] = field(default_factory=list)  # the others that can run on the sample
    left: dict[str, str] = field(default_factory=dict)  # stage -> why it is not even timed


def estimate(
    plan: Plan, *, nodes: Sequence[Node] | None = None, share: float = SHARE, most_bytes: int = MOST_BYTES,
    seed: int = 0, workers: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Time, disk and tokens out of a plan, with their errors; see the module.

    `workers` are the CPUs that a real run would have (default: this machine's).
    Raises: ConfigError where the plan reads no files or the share is none; DataError where the sample cannot be read.
    Cost: runs `share` of the input twice, at least 1 MB and at most `most_bytes`; writes some times that to scratch.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="winnow-estimate-") as folder:
        scope = _scope(_copied(plan.nodes if nodes is None else nodes))
        samples = _sampled(scope, share, most_bytes, seed, Path(folder))
        cut, whole = open_store(Path(folder) / "cut"), open_store(Path(folder) / "whole")
        runs = _run(scope.alone, plan, _laid_out(cut, scope, {n: s.units for n, s in samples.items()}))
        _laid_out(whole, scope, {n: [[p for u in s.units for p in u]] for n, s in samples.items()})
        timed = _timed(scope, plan, whole)
        answer = Measured(scope, samples, runs, timed).as_json(cut)
    core = summed([s["core_seconds"] for s in answer["stages"]])
    answer["totals"] |= {"core_seconds": core, "disk_bytes": summed([s["disk_bytes"] for s in answer["stages"]])}
    num = workers or os.cpu_count() or 1
    answer["sample"]["seconds"] = round(time.monotonic() - begun, 2)
    return {
        "share": share, **answer, "workers": num,
        "wall_seconds": {k: v / num for k, v in core.items() if v is not None},
        "not_timed": [{"stage": s, "why": w} for s, w in scope.left.items()],
        "memory_free_gb": available_memory_gb(),
    }  # fmt: skip


def _copied(nodes: Sequence[Node]) -> list[Node]:
    """Copies of the nodes that read each other, with every share of bad rows allowed: those are counted instead."""
    twins: dict[int, Node] = {}
    for node in nodes:
        twin = twins[id(node)] = copy.copy(node)
        twin.inputs = [twins[id(n)] for n in node.inputs]
        twin.refs = {p: {k: twins[id(n)] for k, n in v.items()} if isinstance(v, dict) else twins[id(v)]
                     for p, v in node.refs.items()}  # fmt: skip
        twin.space = twins[id(node.space)] if node.space is not None else None
        twin.files, twin.max_bad_share, twin.strict = dict(node.files), 1.0, False
    return list(twins.values())


def _scope(nodes: Sequence[Node]) -> Scope:
    """What of the plan the sample speaks of. Raises ConfigError where it reads no files."""
    writes = [n for n in nodes if n.operator.shape_name == "Rewrite" and n.space is not None]
    decisions = [n for n in nodes if n.kind is Kind.COLUMNS and "kept" in n.outputs]
    end = writes[0] if writes else decisions[-1] if decisions else None
    space = end.space if end is not None else next((n for n in nodes if n.kind is Kind.ROWS), None)
    readers = list(_readers(space)) if space is not None else []
    if space is None or not readers:
        raise ConfigError("this plan reads no files that could be sampled", hint="--estimate needs a reader stage")
    scope = Scope(space=space, end=end, readers=readers)
    known: set[int] = set()
    runnable: set[int] = set()
    for node in nodes:
        mine = node in readers or (node.operator.shape_name == "Union" and _inside(node, readers))
        by_row = node.operator.shape_name == "Map" and not node.operator.asks
        if mine or (by_row and node.space is space and all(id(n) in known for n in node.sources())):
            known.add(id(node))
            runnable.add(id(node))
            scope.alone.append(node)
            continue
        why = _why_not(node, space, runnable)
        if why:
            scope.left[shown_name(node)] = why
        else:
            runnable.add(id(node))
            scope.timed.append(node)
    return scope


def _why_not(node: Node, space: Node, runnable: set[int]) -> str:
    """Why a stage cannot be timed on the sample; '' where it can."""
    if node.operator.shape_name == "Derive":
        return "it reads other files, which were not sampled"
    if node.operator.in_comparison or node.operator.name in ("evaluate_gpt", "evaluate_curve"):
        return "it trains or reads targets: told below"
    if node.operator.asks:
        return "it asks an endpoint, which only a run does: `winnow plan` says how much"
    if node.operator.shape_name in ("Fit", "Job"):
        return "it trains or compares: its time does not follow from the input's size"
    missing = [shown_name(n) for n in node.sources() if id(n) not in runnable]
    if missing:
        return f"it needs {', '.join(dict.fromkeys(missing))}"
    takes_rows = node.operator.shape_name in ("Map", "Group", "Whole", "Linked", "Fold", "Rewrite")
    return "" if takes_rows and node.space is space else "it lies behind the first `write`"


def _readers(space: Node) -> Iterator[Node]:
    if space.operator.shape_name == "Derive":
        yield space
    elif space.operator.shape_name == "Union":
        for source in space.inputs:
            yield from _readers(source)


def _inside(node: Node, readers: Sequence[Node]) -> bool:
    return all(n in readers or (n.operator.shape_name == "Union" and _inside(n, readers)) for n in node.inputs)


def _sampled(scope: Scope, share: float, most_bytes: int, seed: int, scratch: Path) -> dict[str, Sample]:
    """Reader -> its sample; the reader's files are those of the sample from here on."""
    out = {}
    total = sum(f.size for n in scope.readers for f in n.files["files"]) or 1
    for node in scope.readers:
        assert isinstance(node.operator, Derive)
        files, folder = node.files["files"], scratch / node.name
        folder.mkdir()
        most = max(1, most_bytes * sum(f.size for f in files) // total)
        sample = choose(files, node.operator, share=share, most_bytes=most, seed=seed, scratch=folder)
        node.files["files"], node.operator = sample.files, sample.reads(node.operator)
        out[node.name] = sample
    return out


def _laid_out(store: Store, scope: Scope, units: Mapping[str, list[list[FileSlice]]]) -> Store:
    """The store with the layouts that make every reader read just these units."""
    for node in scope.readers:
        layout = {"part_bytes": PART_BYTES, "units": [slice_json(u) for u in units[node.name]]}
        store.put_new(f"{node.folder}/layout.json", orjson.dumps(layout))
    return store


def _run(nodes: Sequence[Node], plan: Plan, store: Store) -> dict[str, StageRun]:
    """Folder -> finished stage run, in this process."""
    runner = Runner(store, RunSettings(name="estimate", engine="local", workers=0))
    try:
        runner.run(plan, nodes)
    except DataError as error:
        hint = "a larger --share reads more; " + (error.hint or "look at the input")
        raise DataError(f"the sample could not be run: {error.what}", where=error.where, hint=hint) from error
    return {r.node.folder: r for r in runner.runs}


def _places(node: Node) -> dict[str, str]:
    """Prefix of a part's name -> the reader that it came from: a union puts `NN-` before the names of its inputs'."""
    if node.operator.shape_name == "Derive":
        return {"": node.name}
    return {f"{i:02d}-{p}": reader for i, n in enumerate(node.inputs) for p, reader in _places(n).items()}


class Measured:
    """What the sample showed, unit by unit; `runs` of it cut into units, `whole` of it as one unit per reader."""

    def __init__(
        self, scope: Scope, samples: Mapping[str, Sample], runs: Mapping[str, StageRun], whole: Mapping[str, StageRun]
    ) -> None:
        self.scope, self.samples, self.runs, self.whole = scope, samples, runs, whole
        self.places = sorted(_places(scope.space).items(), key=lambda p: -len(p[0]))
        self.names = list(samples)
        self.sizes = [np.asarray(s.unit_bytes, dtype=np.float64) for s in samples.values()]
        self.total_bytes = [s.total_bytes for s in samples.values()]
        self.grown = sum(self.total_bytes) / max(sum(s.bytes for s in samples.values()), 1)  # input per sample

    def as_json(self, store: Store) -> dict[str, Any]:
        """Everything but the sums over stages."""
        alone = [self.stage(n) for n in self.scope.alone]
        timed = [self.stage(n, covered=False) for n in self.scope.timed]
        rows, kept, size, tokens = self._out(store)
        read = sum(s.bytes for s in self.samples.values())
        sample = {
            "bytes": read, "input_bytes": sum(self.total_bytes), "share": read / max(sum(self.total_bytes), 1),
            "documents": int(sum(r.sum() for r in rows)), "units": sum(len(s) for s in self.sizes),
            "files": sum(len({p.rel for u in s.units for p in u}) for s in self.samples.values()),
            "heads": [h for s in self.samples.values() for h in s.heads],
            "bad": sum(r.manifest.counts.get("bad", 0) for r in self.runs.values() if r.manifest),
        }  # fmt: skip
        out = {"documents": rows, "documents_out": kept, "bytes_out": size, "tokens_out": tokens}
        found = {n: totals(v, self.sizes, self.total_bytes) for n, v in out.items()}
        for node, stage in zip([*self.scope.alone, *self.scope.timed], [*alone, *timed], strict=True):
            stage["memory_gb"] = self._memory_gb(node, found["documents"]["value"])
        bounds = list(_bounds(self.scope, found))
        passed = {n.removesuffix("_out"): found[n] for n in ("documents_out", "bytes_out", "tokens_out")}
        for budget in _budgets(self.scope):
            found |= capped(found, budget)
        counting = self._counting()
        by = estimated_by(counting) if counting else "bytes/4"
        tokens_from = (shown_name(counting) if counting else "no stage") + (f" (an estimate: {by})" if by else "")
        return {"sample": sample, "stages": [*alone, *timed], "totals": found, "passed": passed,
                "tokens_from": tokens_from, "bounds": bounds}  # fmt: skip

    def stage(self, node: Node, *, covered: bool = True) -> dict[str, Any]:
        """One stage: its kept share, time and disk."""
        decides = covered and "kept" in node.outputs
        asked, kept = self._by_unit(node, "rows", "-masked"), self._by_unit(node, "kept")
        run = self.whole[node.folder]
        files = {f.key: f.size for r in (run.manifest.receipts if run.manifest else ()) for f in r.files}
        disk = sum(size for key, size in files.items() if key.startswith(node.folder))
        core: Estimate = {"value": run.seconds * self.grown, "low": None, "high": None}
        core = self._seconds(node) if covered else core
        return {
            "stage": shown_name(node), "operator": node.operator.name, "covered": covered,
            "asked": int(sum(a.sum() for a in asked)) if decides else None,
            "kept": int(sum(k.sum() for k in kept)) if decides else None,
            "kept_share": kept_share(kept, asked, self.sizes, self.total_bytes) if decides else None,
            "core_seconds_per_mb": core["value"] / max(sum(self.total_bytes), 1) * 1e6, "core_seconds": core,
            "disk_bytes": {"value": disk * self.grown, "low": None, "high": None},
        }  # fmt: skip

    def _memory_gb(self, node: Node, documents: float) -> float | None:
        """What a stage over all rows would ask for; None for other shapes."""
        run = self.whole[node.folder]
        if not isinstance(node.operator, Whole) or run.manifest is None:
            return None
        counts = run.manifest.counts
        asked = 1.0 - counts.get("masked", 0) / max(counts.get("rows", 0), 1)
        return node.operator.memory_gb(round(documents * asked), looked_up_width(run))

    def _seconds(self, node: Node) -> Estimate:
        """Core seconds over the whole input: bytes at the pace of one large unit, and the fixed cost of real units."""
        once = self.whole[node.folder].seconds
        pieces = self._unit_seconds(node)
        num = len(self.names)
        fixed = (float(np.median(pieces)) * len(pieces) - once) / (len(pieces) - num) if len(pieces) > num else 0.0
        fixed = min(max(fixed, 0.0), 0.9 * once / num)
        units = sum(max(1.0, b / part_bytes(b)) for b in self.total_bytes)
        pace = (once - fixed * num) * self.grown
        value = pace + fixed * units
        return {"value": value, "low": min(pace, value), "high": max(once * self.grown, value)}

    def _unit_seconds(self, node: Node) -> list[float]:
        """Seconds of every unit of the sample."""
        manifest = self.runs[node.folder].manifest
        phase = "unit" if node.operator.shape_name == "Derive" else "part"
        return [float(r.run.get("seconds", 0.0)) for r in (manifest.receipts if manifest else ()) if r.phase == phase]

    def _by_unit(self, node: Node, *names: str) -> list[np.ndarray]:
        """Counters of a columns stage, summed per unit of the sample; '-name' is taken away."""
        out = self._blank()
        run = self.runs.get(node.folder)
        parts = run.manifest.named("part") if run and run.manifest and node.kind is Kind.COLUMNS else {}
        for part, receipt in parts.items():
            reader, unit = self._at(part)
            for name in names:
                sign = -1 if name.startswith("-") else 1
                out[reader][unit] += sign * receipt.counts.get(name.lstrip("-"), 0)
        return out

    def _at(self, part: str) -> tuple[int, int]:
        """(number of the reader, number of the unit) of a part."""
        prefix, reader = next((p, r) for p, r in self.places if part.startswith(p))
        return self.names.index(reader), int(part.removeprefix(prefix).partition(".")[0])

    def _blank(self) -> list[np.ndarray]:
        """A zero for every unit of every reader."""
        return [np.zeros(len(s)) for s in self.sizes]

    def _counting(self) -> Node | None:
        """The stage that counts tokens, where its rows do it alone."""
        return next((n for n in self.scope.alone if counts_tokens(n)), None)

    def _out(self, store: Store) -> list[list[np.ndarray]]:
        """Per unit: documents; and documents, bytes and tokens of those that pass all decisions rows make alone."""
        rows, kept, size, tokens = (self._blank() for _ in range(4))
        here = [n for n in _decisions_behind(self.scope.end) if n in self.scope.alone]
        counting = self._counting()
        own = self.runs[self.scope.space.folder].manifest
        assert own is not None
        for part, receipt in own.named("part").items():
            reader, unit = self._at(part)
            text = np.asarray(contiguous(read_columns(store, {"b": (receipt, "text_bytes")}).column("b")))
            keep = np.ones(len(text), dtype=bool)
            for node in here:
                keep &= mask_of(self._column(store, node, part, "kept"))
            count = -(-text // 4)
            if counting is not None:
                count = np.asarray(contiguous(self._column(store, counting, part, "token_count")).fill_null(0))
            values = (len(text), keep.sum(), text[keep].sum(), count[keep].sum())
            for into, value in zip((rows, kept, size, tokens), values, strict=True):
                into[reader][unit] += float(value)
        return [rows, kept, size, tokens]

    def _column(self, store: Store, node: Node, part: str, column: str) -> Any:
        manifest = self.runs[node.folder].manifest
        assert manifest is not None
        return read_columns(store, {column: (manifest.named("part")[part], column)}).column(column)


def _timed(scope: Scope, plan: Plan, store: Store) -> dict[str, StageRun]:
    """All stages that can run on the sample; where one that needs the corpus fails, those whose rows decide alone."""
    if scope.timed:
        try:
            return _run([*scope.alone, *scope.timed], plan, store)
        except WinnowError as error:
            scope.left |= {shown_name(n): f"the sample is not enough for it: {error.what}" for n in scope.timed}
            scope.timed = []
    return _run(scope.alone, plan, store)


def _decisions_behind(end: Node | None) -> list[Node]:
    """Every stage whose decision chooses the rows of the end, itself included."""
    out: list[Node] = []
    todo = [end] if end is not None else []
    while todo:
        node = todo.pop()
        if "kept" in node.outputs and node not in out:
            out.append(node)
        pairs = [*node.population, *node.where_columns.values()]
        todo += [node.inputs[i] for i, c in pairs if c == "kept" and node.inputs[i] not in out]
    return out


def _budgets(scope: Scope) -> list[Budget]:
    """What the selections on the way to the end may take at most."""
    chosen = [n for n in _decisions_behind(scope.end) if n not in scope.alone and n.operator.role == "selector"]
    found = [getattr(n.operator, "budget", None) for n in chosen]
    return [b for b in found if isinstance(b, Budget)]


def _bounds(scope: Scope, found: Mapping[str, Estimate]) -> Iterator[dict[str, str]]:
    """What can be said of the decisions that need the corpus."""
    for node in _decisions_behind(scope.end)[::-1]:
        if node in scope.alone:
            continue
        budget = getattr(node.operator, "budget", None)
        if node.operator.role == "dedup" or cluster_columns(node.outputs) is not None:
            at_most = math.ceil(found["documents_out"]["high"] or found["documents_out"]["value"])
            bound = f"keeps at most the {at_most:,} documents before it; how many are duplicates no sample can tell"
        elif budget is not None:
            bound = f"keeps at most {budget} of them"
        else:
            bound = "keeps at most what comes before it"
        yield {"stage": shown_name(node), "bound": bound}
