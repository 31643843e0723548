"""What the driver costs per unit of work, and whether that grows with their number.

    python benchmarks/bench_scale.py [--parts 100 1000 10000] [--profile] [--json FILE]
    python benchmarks/bench_scale.py --plan [10 100]   # the paper plan for so many TB, from the code's own rules

The real plan, runner, queue, shapes and receipts. The engine answers every task at once with the receipts that a
worker would commit (made-up digests, the real columns), and the store is a tree of dictionaries that counts what is
asked of it; so what is measured is the driver alone. CPU of the answers is taken out. Memory is the largest resident
size less what the process had before and less what the store itself holds. A unit is one receipt: a part of one stage.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import importlib
import io
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import orjson
import pyarrow as pa

from winnow.core.errors import StoreError
from winnow.core.store.locations import SCHEMES, open_store
from winnow.core.store.manifest import FileRef, Receipt, solved_key, unit_key
from winnow.core.store.store import Stat, Store, check_key
from winnow.dags.engines.base import Outcome, Task
from winnow.dags.engines.registry import ENGINES, Entry

RECIPE = """
seed: 7
stages:
  docs:   {{use: jsonl, files: "{files}"}}
  lang:   {{use: language, inputs: docs}}
  sig:    {{use: signals, inputs: docs}}
  clean:  {{use: filter, inputs: [lang, sig], preset: gopher_quality, keep: {{english: "language = 'en'"}}}}
  unique: {{use: minhash, inputs: docs, threshold: 0.75}}
  best:   {{use: top_k, inputs: docs, by: sig.word_count, budget: 50%}}
  corpus: {{use: write, inputs: [docs, best]}}
"""
PART_BYTES, PART_ROWS, KEPT = 128 << 20, 42_000, 0.3
PART_SCHEME = "counted"
AT_ONCE = 5  # answers per look: as they come from a cluster, a few at a time


class CountedStore(Store):
    """Files in a tree of dictionaries, one tree per process, with what was asked of it; `asking` says by whom."""

    tree: ClassVar[dict[str, Any]] = {}
    disk = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as the process; what files hold is no memory of the driver
    asked: ClassVar[Counter[str]] = Counter()
    asking, held, number = "driver", 0, 0

    def __init__(self, location: str) -> None:
        self._location = location

    @property
    def location(self) -> str:
        return self._location

    def where(self, key: str = "") -> str:
        return f"{self._location}/{key}"

    def create(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def put_new(self, key: str, data: bytes) -> bool:
        folder, name = self._place(key, "put_new", make=True)
        if name in folder:
            return False
        self._keep(folder, name, data)
        return True

    def put(self, key: str, data: bytes) -> None:
        folder, name = self._place(key, "put", make=True)
        folder.pop(name, None)
        self._keep(folder, name, data)

    @contextmanager
    def writing(self, key: str) -> Iterator[IO[bytes]]:
        sink = io.BytesIO()
        yield sink
        self.put_new(key, sink.getvalue())

    def publish(self, key: str, as_key: str) -> bool:
        """The name alone: what the driver publishes here was never written."""
        folder, name = self._place(as_key, "publish", make=True)
        if name in folder:
            return False
        self._keep(folder, name, b"")
        return True

    def get(self, key: str) -> bytes:
        return self._file(key, "get")

    def find(self, key: str) -> bytes | None:
        folder, name = self._place(key, "get")
        return os.pread(self.disk.fileno(), *folder[name][::-1]) if isinstance(folder.get(name), tuple) else None

    def open_buffer(self, key: str) -> pa.BufferReader:
        return pa.BufferReader(self._file(key, "get"))

    def open_range(self, key: str, start: int, length: int) -> pa.Buffer:
        return pa.py_buffer(self._file(key, "get")[start : start + length])

    def local_copy(self, key: str) -> Path:
        raise NotImplementedError(key)

    def copy_out(self, key: str, target: Path) -> bool:
        raise NotImplementedError(key)

    def stat(self, key: str) -> Stat | None:
        folder, name = self._place(key, "stat")
        found = folder.get(name)
        if not isinstance(found, tuple):
            return None
        return Stat(size=found[1], modified_ns=1, bytes_id=found[0])

    def exists(self, key: str) -> bool:
        folder, name = self._place(key, "exists")
        return name in folder

    def list(self, prefix: str) -> list[str]:
        inside = self._inside(prefix, "list")
        return [f"{prefix}/{n}" if prefix else n for n in sorted(inside) if isinstance(inside[n], tuple)]

    def hidden(self, prefix: str = "") -> list[str]:
        return []

    def folders(self, prefix: str = "") -> list[str]:
        inside = self._inside(prefix, "folders")
        return sorted(n for n in inside if isinstance(inside[n], dict))

    def walk(self, prefix: str) -> list[str]:
        raise NotImplementedError(prefix)

    def delete(self, key: str) -> None:
        folder, name = self._place(key, "delete")
        CountedStore.held -= _held(folder.pop(name, None))

    def drop_empty(self, key: str) -> None:
        pass

    def _place(self, key: str, verb: str, *, make: bool = False) -> tuple[dict[str, Any], str]:
        self.asked[f"{self.asking} {verb}"] += 1
        *above, name = check_key(key, self._location).split("/")
        folder = self.tree
        for each in above:
            folder = folder.setdefault(each, {}) if make else folder.get(each, {})
        return folder, name

    def _inside(self, prefix: str, verb: str) -> dict[str, Any]:
        folder, name = self._place(prefix, verb)
        found = folder.get(name, {}) if prefix else self.tree
        return found if isinstance(found, dict) else {}

    def _file(self, key: str, verb: str) -> bytes:
        folder, name = self._place(key, verb)
        if not isinstance(folder.get(name), tuple):
            raise StoreError("the store failed: No such file", where=self.where(key))
        at, size = folder[name]
        return os.pread(self.disk.fileno(), size, at)

    def _keep(self, folder: dict[str, Any], name: str, data: bytes) -> None:
        os.pwrite(self.disk.fileno(), data, self.number)
        folder[name] = (self.number, len(data))
        CountedStore.number += max(len(data), 1)
        CountedStore.held += _held(folder[name]) + sys.getsizeof(name) + 100  # its place in the dictionary


def _held(found: Any) -> int:
    if isinstance(found, dict):
        return sum(_held(each) + sys.getsizeof(name) + 100 for name, each in found.items())
    return sys.getsizeof(found) + sum(map(sys.getsizeof, found)) if found else 0


class Answers:
    """An engine whose tasks are done when they are submitted."""

    name = "answers"
    seconds, receipts, most = 0.0, 0, 0
    tasks: ClassVar[Counter[str]] = Counter()

    def __init__(self, *, workers: int | None = None, memory_gb: float | None = None) -> None:
        self._done: list[Outcome] = []
        self._looked = 0
        self._before = resident()

    def capacity(self) -> int:
        return 1000

    def memory_gb(self) -> float:
        return 1e9

    def submit(self, task: Task) -> None:
        begun = time.process_time()
        CountedStore.asking = "worker"
        task.wire()
        Answers.tasks[task.payload["do"]] += 1
        made: dict[str, Receipt] = {}
        for inner in ({}, *task.payload.get("siblings", ())):
            wire = {**task.payload, **inner}
            answer(wire if wire["key"] else _keyed(wire, made), made)
        CountedStore.asking = "driver"
        self._done.append(Outcome(id=task.id, status="ok"))
        Answers.seconds += time.process_time() - begun

    def wait(self, timeout: float) -> list[Outcome]:
        done, self._done = self._done[:AT_ONCE], self._done[AT_ONCE:]
        self._looked += 1
        if self._looked % 100 == 0:
            Answers.most = max(Answers.most, resident() - self._before - CountedStore.held)
        return done

    def cancel(self) -> None:
        self._done = []

    def close(self) -> None:
        Answers.most = max(Answers.most, resident() - self._before - CountedStore.held)

    def probe(self, store: Store) -> None:
        pass


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def answer(task: Mapping[str, Any], made: dict[str, Receipt]) -> None:
    """Commit what a worker would commit for a task."""
    from winnow.dags.shapes.stage_file import read_stage

    stage = read_stage(task["root"], task["folder"])
    made[task["folder"]] = ANSWERS.get(task["do"], _one)(stage, task)


def _keyed(task: Mapping[str, Any], made: Mapping[str, Receipt]) -> dict[str, Any]:
    """The task of a Map behind another one, with the key that its worker makes."""
    from winnow.dags.shapes import map as maps
    from winnow.dags.shapes.unit_task import from_wire, to_wire

    return to_wire(maps._keyed(from_wire({**task, "siblings": []}, maps.MapTask), made))


def _commit(stage: Any, task: Mapping[str, Any], **more: Any) -> Receipt:
    given = {"phase": task["phase"], "unit": task["unit"], "key": task["key"], "consumed": tuple(task.get("consumed", ())),
             "run": {"seconds": 0.1, "host": "node", "peak_bytes": 1}} | more  # fmt: skip
    Answers.receipts += 1
    return stage.dir.commit(Receipt(**given))


def _digest(*parts: Any) -> str:
    return unit_key(*parts)


def _part(stage: Any, task: Mapping[str, Any], columns: Sequence[str], **more: Any) -> Receipt:
    unit = more.get("unit", task["unit"])
    key = f"{task['folder']}/_data/part/{unit}.{task['key'][:12]}-arrow.unit"
    counts = {"rows": PART_ROWS, "masked": 0, "ok": PART_ROWS, "text_bytes": PART_BYTES}
    if "kept" in columns:
        counts["kept"] = int(PART_ROWS * KEPT)
    ref = FileRef(key=key, columns=tuple(columns), size=1000, digest=_digest(key))
    content = {c: _digest(c, unit, stage.folder) for c in columns}
    told = {"content": content, "files": (ref,), "counts": counts}
    return _commit(stage, task, rows=PART_ROWS, row_digest=_digest(unit), **told, **more)


def _read(stage: Any, task: Mapping[str, Any]) -> None:
    name = f"{task['unit']}.000"
    _part(stage, task, ["doc_id", "text_hash", "text_bytes", "text", "origin", *stage.outputs], phase="part", unit=name)
    _commit(stage, task, extra={"parts": [name], "names": []}, counts={"bad": 0})


def _columns(stage: Any, task: Mapping[str, Any]) -> Receipt:
    return _part(stage, task, [*stage.outputs, "state"])


def _solve(stage: Any, task: Mapping[str, Any]) -> None:
    from winnow.core.store.parts import committed

    for number, unit in enumerate(sorted(committed(stage.store, stage.inputs[0]).named("part"))):
        _part(
            stage, {**task, "key": solved_key(task["key"], number)}, [*stage.outputs, "state"], phase="part", unit=unit
        )


def _count(stage: Any, task: Mapping[str, Any]) -> None:
    _commit(stage, task, extra={"rows": int(PART_ROWS * KEPT), "bytes": int(PART_BYTES * KEPT)})


def _shard(stage: Any, task: Mapping[str, Any]) -> None:
    _part(stage, task, ["doc_id", "text_hash", "text_bytes", "text", "origin"])


def _merge(stage: Any, task: Mapping[str, Any]) -> None:
    _one(stage, task, **({"extra": {"done": True}} if task["last"] else {}))


def _one(stage: Any, task: Mapping[str, Any], **more: Any) -> None:
    key = f"{task['folder']}/_data/{task['phase']}/{task['unit']}.{task['key'][:12]}-arrow.unit"
    ref = FileRef(key=key, columns=("key", "doc_id"), size=1000, digest=_digest(key))
    _commit(stage, task, rows=PART_ROWS, content={"*": _digest(key)}, files=(ref,), **more)


def _table(stage: Any, task: Mapping[str, Any]) -> None:
    """A unit of pairs with their places, or what is sent back."""
    named = [f"{task['folder']}/_data/{task['phase']}/{task['unit']}.{n}-arrow.unit" for n in "ab"]
    files = tuple(FileRef(key=key, columns=("a", "b"), size=1000, digest=_digest(key)) for key in named)
    _commit(stage, task, rows=PART_ROWS, content={"*": _digest(named)}, files=files)


def _solved(stage: Any, task: Mapping[str, Any]) -> None:
    _one(stage, task, notes={"sizes": [], "largest": []})


ANSWERS: dict[str, Callable[..., None]] = {
    "ReadTask": _read, "MapTask": _columns, "DecideTask": _columns, "CollectTask": _columns, "SolveTask": _solve,
    "CountTask": _count, "ShardTask": _shard, "MergeTask": _merge, "ResolveTask": _table,
    "SolvePiecesTask": _solved, "PlaceTask": _columns, "FoldAtOnceTask": _solve,
}  # fmt: skip


def measured(parts: int, *, profile: bool = False) -> dict[str, Any]:
    """One run of the recipe over `parts` parts in this process."""
    from winnow.dags.driver.progress import LineWatcher
    from winnow.dags.driver.runner import Runner, RunSettings
    from winnow.dags.recipe.plan import make_plan
    from winnow.dags.recipe.yaml_recipe import parse_recipe

    SCHEMES[PART_SCHEME] = CountedStore
    ENGINES["answers"] = Entry(f"{__name__}:Answers", "answers at once")
    sys.modules.setdefault(__name__, importlib.import_module(__name__))
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "docs.jsonl")
        files.write_text('{"text": "one"}\n')
        store = open_store(f"{PART_SCHEME}://scale")
        plan = make_plan(parse_recipe(RECIPE.format(files=files), name="scale", folder=Path(folder)), store)
        _lay_out(store, plan, parts)
        gc.collect()
        profiler = cProfile.Profile()
        begun = time.process_time()
        if profile:
            profiler.enable()
        runner = Runner(store, RunSettings(name="scale", engine="answers"), LineWatcher(io.StringIO()))
        runner.run(plan, plan.nodes)
        profiler.disable()
        spent = time.process_time() - begun - Answers.seconds
        if profile:
            pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(45)
    units = Answers.receipts
    asked = {name.partition(" ")[2]: n for name, n in sorted(CountedStore.asked.items()) if name.startswith("driver")}
    return {"parts": parts, "units": units, "tasks": sum(Answers.tasks.values()), "cpu_s": round(spent, 2),
            "us_per_unit": round(spent / units * 1e6, 1), "memory_mb": round(Answers.most / 1e6, 1),
            "bytes_per_unit": round(Answers.most / units), "asked": asked,
            "store_operations_per_unit": round(sum(asked.values()) / units, 2), "by_task": dict(Answers.tasks)}  # fmt: skip


def _lay_out(store: Store, plan: Any, parts: int) -> None:
    """A layout of one file in so many pieces: the reader keeps a layout that is there."""
    node = next(n for n in plan.nodes if n.name == "docs")
    one = node.files["files"][0]
    units = [[{"rel": one.rel, "digest": one.digest, "size": parts * PART_BYTES, "start": n * PART_BYTES,
               "stop": (n + 1) * PART_BYTES}] for n in range(parts)]  # fmt: skip
    store.put_new(f"{node.folder}/layout.json", orjson.dumps({"part_bytes": PART_BYTES, "units": units}))


DOCUMENT_BYTES, PAIRED, PAIRS, KEY_BYTES, EDGE_BYTES = 3000, 0.25, 0.5, 32, 48  # assumed, and said in the table's page
CORES, US_PER_UNIT, UNIT_BYTES = 1000, 120, 1600  # cores assumed; of the driver as measured above


def paper_plan(terabytes: float) -> dict[str, list[tuple[Any, ...]]]:
    """What a run over so many 1e12 bytes of text is made of, by the rules that the run itself follows."""
    from winnow.core.operators.budget import parse_bytes
    from winnow.dags.recipe.input_files import part_bytes
    from winnow.dags.shapes.exchange import levels_of
    from winnow.dags.shapes.fold import FAN_IN
    from winnow.dags.shapes.group import MOST_LOOKING, ROWS_PER_BUCKET
    from winnow.pipeline.write.write import Write

    size = terabytes * 1e12
    parts = -(-int(size) // part_bytes(int(size)))
    rows = int(size / DOCUMENT_BYTES)
    bands = 14
    buckets = min(MOST_LOOKING, -(-rows * bands // ROWS_PER_BUCKET))
    pieces = min(MOST_LOOKING, -(-int(rows * PAIRS) // ROWS_PER_BUCKET))
    shards = Write(shard_bytes=f"{parse_bytes('256MB')}B").num_shards(rows, int(size * KEPT))
    exchanges = {
        "band keys to buckets": (levels_of(parts, buckets), rows * bands * KEY_BYTES),
        "pairs to buckets of pieces": (levels_of(buckets, pieces), int(rows * PAIRS) * EDGE_BYTES),
        "answers back to parts": (levels_of(pieces, parts), int(rows * PAIRED) * EDGE_BYTES),
        "documents to shards": (levels_of(parts, shards), int(size * KEPT * 0.35)),
    }
    deals = {name: one.bundles * one.groups for name, (one, _) in exchanges.items()}
    merges = sum(-(-parts // FAN_IN**n) for n in range(1, 5) if parts > FAN_IN ** (n - 1))
    tasks = {
        "read": parts, "language, signals (one task), filter": 2 * parts, "minhash signatures": parts,
        "minhash pairs": parts + deals["band keys to buckets"] + buckets,
        "minhash clusters": 1 + buckets + deals["pairs to buckets of pieces"] + pieces + deals["answers back to parts"]
        + parts,
        "top_k": 2 * parts + merges, "write": 2 * parts + deals["documents to shards"] + shards,
    }  # fmt: skip
    receipts = sum(tasks.values()) + 2 * parts  # a reader's units beside its parts, and one of two fused Maps
    return {
        "Tasks": list(tasks.items()),
        "Exchanges": [(name, one.senders, one.receivers, 2 if one.two else 1, one.width, one.group, one.pieces,
                       one.senders * one.receivers, held * (2 if one.two else 1) / 1e12)
                      for name, (one, held) in exchanges.items()],
        "Memory of one task, GB": [
            ("the check of near-duplicates (`check: false` leaves it out): 150 bytes per row", rows * 150 / 1e9),
            ("labels of pieces: 16 bytes per row that occurs in a pair", rows * PAIRED * 16 / 1e9),
            ("a bucket of band keys", rows * bands / buckets * KEY_BYTES / 1e9),
            ("a bucket of pieces", rows * PAIRS / pieces * EDGE_BYTES / 1e9),
            ("a deal of documents: about what one part sent", size * KEPT * 0.35 / parts / 1e9),
            ("a part", part_bytes(int(size)) / 1e9),
        ],
        "Looks of buckets into parts": [("band keys: columns opened", buckets * parts),
                                        ("pieces: columns opened, at most", pieces * parts)],
        "Driver": [("receipts", receipts), ("store operations of the driver", int(receipts * 1.08)),
                   ("receipts and files put by workers", 2 * receipts),
                   ("CPU seconds", receipts * US_PER_UNIT / 1e6), ("memory, GB", receipts * UNIT_BYTES / 1e9),
                   ("tasks a second that the driver can hand out", 1e6 / US_PER_UNIT),
                   (f"seconds of a task at which {CORES} cores wait for it", CORES * US_PER_UNIT / 1e6)],
    }  # fmt: skip


def as_tables(plans: Mapping[float, Mapping[str, list[tuple[Any, ...]]]]) -> str:
    """The plans as Markdown: side by side where a line has one figure, else one below the other."""
    out = []
    for what in next(iter(plans.values())):
        held = {f"{size:g} TB": plan[what] for size, plan in plans.items()}
        if what == "Exchanges":
            titles = ("senders", "receivers", "levels", "in a bundle", "in a group", "pieces read", "with one level",
                      "TB written")  # fmt: skip
            rows = [(f"{size}: {name}", *values) for size, lines in held.items() for name, *values in lines]
        else:
            titles = tuple(held)
            rows = [(many[0][0], *(one[1] for one in many)) for many in zip(*held.values(), strict=True)]
        out += ["", f"| {what} | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(titles)]
        out += [f"| {name} | " + " | ".join(map(_shown, values)) + " |" for name, *values in rows]
    return "\n".join(out)


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def main() -> None:
    """Each number of parts in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--one", type=int, help="in this process")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plan", type=float, nargs="*")
    given = parser.parse_args()
    if given.plan is not None:
        print(as_tables({size: paper_plan(size) for size in given.plan or (10, 100)}))
        return
    if given.one:
        print(json.dumps(measured(given.one, profile=given.profile)))
        return
    rows = []
    for parts in given.parts:
        call = [sys.executable, __file__, "--one", str(parts), *(["--profile"] if given.profile else [])]
        rows.append(json.loads(subprocess.run(call, stdout=subprocess.PIPE, check=True, text=True).stdout))
        print(json.dumps(rows[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
