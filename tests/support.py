"""Small corpora, recipes and runs for tests of the frame."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard

from winnow.core.store import parts
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import Manifest, Receipt, StageDir
from winnow.core.store.store import Store
from winnow.dags.driver.runner import Runner, RunSettings
from winnow.dags.recipe import registry
from winnow.dags.recipe.plan import Plan, make_plan
from winnow.dags.recipe.yaml_recipe import Recipe, parse_recipe
from winnow.dags.shapes.stage_run import Options, StageRun

WORDS = [
    "the",
    "a",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "was",
    "on",
    "are",
    "with",
    "as",
    "at",
    "be",
    "this",
    "have",
    "from",
    "or",
    "had",
    "by",
    "not",
    "but",
    "some",
    "what",
    "there",
    "we",
    "can",
    "out",
    "other",
    "were",
    "all",
    "your",
    "when",
    "up",
    "use",
    "word",
    "how",
    "said",
    "each",
    "which",
    "she",
    "do",
    "their",
    "time",
    "if",
    "will",
    "way",
    "about",
    "many",
    "then",
    "them",
    "would",
    "write",
    "like",
    "so",
    "these",
    "her",
    "long",
    "make",
    "thing",
    "see",
    "him",
    "two",
    "has",
    "look",
    "more",
    "day",
    "could",
    "go",
    "come",
    "did",
    "my",
    "sound",
    "no",
    "most",
    "number",
    "who",
    "over",
    "know",
    "water",
    "than",
    "call",
    "first",
    "people",
    "may",
    "down",
    "side",
    "been",
    "now",
    "find",
    "any",
    "new",
    "work",
    "part",
    "take",
    "get",
    "place",
    "made",
    "live",
    "where",
    "after",
    "back",
    "little",
    "only",
    "round",
    "man",
    "year",
    "came",
    "show",
    "every",
    "good",
    "me",
    "give",
    "our",
    "under",
    "name",
    "very",
]


def texts(n: int, seed: int = 0) -> list[str]:
    """n documents: prose of common words, one in six an exact and one in six a near duplicate, some short or odd."""
    draw = random.Random(seed)
    out: list[str] = []
    for i in range(n):
        kind = i % 12
        if kind in (5, 11) and i > 12:
            out.append(out[draw.randrange(i - 5) // 12 * 12])  # an exact copy
        elif kind in (4, 10) and i > 12:
            words = out[draw.randrange(i - 5) // 12 * 12 + 1].split(" ")
            words[draw.randrange(len(words))] = "changed"
            out.append(" ".join(words))
        elif kind == 7:
            out.append(["", "short", "naïve façade — 日本語のテキスト", "x" * 300, "\n\n- a\n- b\n"][i // 12 % 5])
        else:
            lines = [" ".join(draw.choices(WORDS, k=draw.randrange(8, 30))) for _ in range(draw.randrange(2, 6))]
            out.append("\n".join(f"{line.capitalize()}." for line in lines))
    return out


def lines_of(documents: list[Any]) -> bytes:
    """JSON Lines: a text or a whole record each."""
    rows = [d if isinstance(d, dict) else {"text": d} for d in documents]
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in rows)


def put_file(path: Path, data: bytes) -> Path:
    """A file, compressed as its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    elif path.suffix == ".zst":
        data = zstandard.compress(data)
    path.write_bytes(data)
    return path


def put_corpus(folder: Path, documents: list[Any], files: int, suffix: str = ".jsonl") -> Path:
    """The documents in order, cut into files of equal length."""
    step = -(-len(documents) // files)
    for i in range(files):
        put_file(folder / f"f{i:03d}{suffix}", lines_of(documents[i * step : (i + 1) * step]))
    return folder


def put_letters(folder: Path) -> Path:
    """60 short texts of six characters with `good` 0 and 1 in turn, and an empty one, for models that train in a second."""
    draw = random.Random(3)
    docs = [{"text": "".join(draw.choices("abcde ", k=draw.randint(1, 70))), "good": float(n % 2)} for n in range(60)]
    put_corpus(folder / "raw", [*docs, {"text": "", "good": 1.0}], 2)
    return folder


@dataclass
class Ran:
    """What a run left."""

    store: Store
    plan: Plan
    runner: Runner
    runs: list[StageRun]
    seconds: float

    def of(self, name: str) -> StageRun:
        """The stage run of a stage."""
        folder = self.plan.node(name).folder
        return next(r for r in self.runs if r.node.folder == folder)

    def manifest(self, name: str) -> Manifest:
        """The manifest of a stage."""
        found = self.of(name).manifest
        assert found is not None
        return found

    @property
    def digests(self) -> dict[str, str]:
        """Node name -> content digest."""
        return {n.name: self._by_folder()[n.folder].manifest.content_digest for n in self.plan.nodes}

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Node name -> what it noted, of those that noted anything."""
        return {n.name: dict(m) for n in self.plan.nodes if (m := self._by_folder()[n.folder].manifest.metrics)}

    @property
    def computed(self) -> dict[str, int]:
        """Node name -> units computed by this run, of those that computed any."""
        return {n.name: c for n in self.plan.nodes if (c := self._by_folder()[n.folder].computed)}

    def _by_folder(self) -> dict[str, StageRun]:
        return {r.node.folder: r for r in self.runs}

    def counts(self, name: str) -> dict[str, int]:
        """Counters of a stage."""
        return dict(self.manifest(name).counts)

    def folder(self, name: str) -> Path:
        """A stage's folder."""
        return self.store.local_copy(self.plan.node(name).folder)

    def shards(self, name: str) -> dict[str, str]:
        """Published file -> digest of its bytes (what `shards/*` matches: no hidden file of a killed attempt)."""
        found = sorted((self.folder(name) / "shards").glob("[!.]*"))
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in found}

    def files(self) -> dict[str, list[tuple[str, str, str]]]:
        """Node name -> (unit, columns, digest) of every file of its final receipts."""
        return {
            n.name: sorted((r.unit, ",".join(f.columns) or f.name, f.digest)
                           for r in self._by_folder()[n.folder].manifest.receipts for f in r.files)
            for n in self.plan.nodes
        }  # fmt: skip

    def table(self, name: str, *columns: str) -> pa.Table:
        """Columns of a rows or columns stage in part order, with doc_id and text where asked."""
        node = self.plan.node(name)
        own = self.manifest(name).named("part")
        space = (node.space or node).folder
        rows = {r.node.folder: r for r in self.runs}[space].manifest.named("part")
        pieces = []
        for unit, receipt in own.items():
            wanted = {c: (receipt if receipt.file_of(c) else rows[unit], c) for c in columns}
            pieces.append(parts.read_columns(self.store, wanted))
        return pa.concat_tables(pieces)

    def quarantine(self, name: str) -> list[dict[str, Any]]:
        """Every quarantined row or record of a stage."""
        refs = [r.quarantine for r in self.manifest(name).receipts if r.quarantine]
        return [row for ref in refs for row in parts.read_file(self.store, ref).to_pylist()]


def plan_of(recipe: str, folder: Path, root: Path | None = None) -> Plan:
    """The plan of a recipe text."""
    return make_plan(parse_recipe(recipe, name="test", folder=folder), open_store(root) if root else None)


def run(
    recipe: str, folder: Path, root: Path, *, engine: str = "local", workers: int = 0, until: str = "", name: str = "test",
    **options: Any,
) -> Ran:  # fmt: skip
    """Run a recipe text whose files lie below `folder`."""
    loaded = parse_recipe(recipe, name="test", folder=folder)
    return run_loaded(loaded, root, engine=engine, workers=workers, until=until, name=name, **options)


def run_loaded(
    recipe: Recipe, root: Path, *, engine: str = "local", workers: int = 0, until: str = "", name: str = "test",
    **options: Any,
) -> Ran:  # fmt: skip
    """Run a recipe."""
    store = open_store(root)
    plan = make_plan(recipe, store)
    settings = RunSettings(name=name, engine=engine, workers=workers, options=Options(**options))
    runner = Runner(store, settings)
    nodes = plan.until(until) if until else plan.nodes
    result = runner.run(plan, nodes)
    plan.nodes = list(nodes)
    return Ran(store=store, plan=plan, runner=runner, runs=result.runs, seconds=result.seconds)


def forget() -> None:
    """Empty what a process remembers of a store, as if it were new."""
    parts._checked.clear()


@contextlib.contextmanager
def own_operators(**found: str) -> Any:
    """Operators of test modules, under registered names, in this process."""
    before = dict(registry.REGISTRY)
    registry.REGISTRY.update(found)
    try:
        yield
    finally:
        registry.REGISTRY.clear()
        registry.REGISTRY.update(before)


def held(root: Path) -> dict[tuple[str, str, str, str], Receipt]:
    """(folder, phase, unit, key) -> receipt of everything committed below a root, in manifests or not."""
    store = open_store(root)
    out = {}
    for folder in store.folders():
        stage = StageDir(store, folder)
        manifest = stage.manifest()
        found = list(manifest.receipts) if manifest else []
        for phase in store.folders(f"{folder}/receipts"):
            found += stage.receipts(phase)
        out |= {(folder, r.phase, r.unit, r.key): r for r in found}
    return out
