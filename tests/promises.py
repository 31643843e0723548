"""What every run promises, checked on any recipe: see `check_promises`."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import support
from promises_populations import misread
from recipes_at_random import Drawn, dumped
from support import Ran, held

from winnow import cli
from winnow.core.errors import ConfigError, ContractError, DataError, WinnowError
from winnow.core.operators import Derive, Kind, Rewrite, sql
from winnow.core.operators.budget import Budget
from winnow.core.store.manifest import FINAL_PHASES
from winnow.core.store.schema import STATE, STATE_MASKED
from winnow.dags.recipe.nodes import Node

LAYOUTS = tuple((p, b, k) for p in (1, 2, 3, 7) for b in (1, 7, 1024) for k in (1, 5, 33))  # parts, batch rows, buckets
TIMES_ITS_SHARE = ("per_group",)  # a budget of its own for every group
BY_THE_PHASE = ("phases",)


class BrokenPromiseError(AssertionError):
    """A promise that a run broke."""


def promised(ok: object, told: object) -> None:
    """Raise BrokenPromiseError unless `ok`."""
    if not ok:
        raise BrokenPromiseError(str(told))


@dataclasses.dataclass
class Ended:
    """How a run ended: with what it left, or with an error on purpose."""

    ran: Ran | None = None
    error: WinnowError | None = None

    @property
    def what(self) -> str:
        """The error without what depends on the cut."""
        return type(self.error).__name__ if self.error else "ok"


def check_promises(drawn: Drawn, root: Path, *, kill: Callable[..., Any] | None = None) -> str:
    """'ok' or the error on purpose of a recipe whose every run keeps every promise; raises BrokenPromiseError."""
    r = random.Random(drawn.seed ^ 0x5EED)
    text, folder = drawn.text, drawn.folder
    size = sum(p.stat().st_size for p in folder.glob("r*/*"))
    layouts = [{"part_bytes": size // p + 1, "batch_rows": b, "buckets": k} for p, b, k in r.sample(LAYOUTS, 3)]
    first = ended(text, folder, root / "a", **layouts[0])
    if first.ran is None:
        other = ended(text, folder, root / "b", **layouts[1])
        promised(other.what == first.what, f"{layouts[0]}: {first.error}\n{layouts[1]}: {other.error}")
        return f"{first.what}: {first.error.what if first.error else ''}"
    ran = first.ran
    _counted(drawn, ran)
    for node in ran.plan.nodes:
        _node(ran, node)
    misreadings = list(misread(drawn.recipe, ran, frame))
    promised(not misreadings, "\n".join(misreadings))
    pool = {"workers": 2} if r.random() < 0.02 else {}
    same(ran, ended(text, folder, root / "b", **layouts[1], **pool), told=f"{layouts[0]} and {layouts[1]} {pool}")
    if drawn.again:
        _otherwise_cut(drawn, ran, root / "c", layouts[2])
    _nothing_to_do(ran, text, folder, layouts[2], "a run that had nothing to do")
    if r.random() < 0.4:
        _stopped(r, ran, text, folder, root / "d", layouts[r.randrange(2)])
    if kill is not None and r.random() < 0.2:
        _killed(r, ran, text, folder, root / "k", layouts[0], kill)
    if r.random() < 0.5:
        _looked_at(r, drawn, ran, root)
    if r.random() < 0.5:
        _collected(r, ran, text, folder, layouts[0])
    return "ok"


def ended(text: str, folder: Path, root: Path, **options: Any) -> Ended:
    """A run, or the error on purpose that ended it; anything else that is raised is a bug."""
    support.forget()
    try:
        return Ended(ran=support.run(text, folder, root, **options))
    except WinnowError as error:
        unwanted = (
            isinstance(error, ContractError)
            or error.exit_code not in (2, 3)
            or "bug" in str(error)
            or "rows failed" in str(error)
        )
        promised(not unwanted, f"{type(error).__name__}: {error}")
        promised(not isinstance(error, ConfigError), f"a ConfigError after planning: {error}")
        promised(isinstance(error, DataError) and error.where, f"no place: {error}")
        return Ended(error=error)


def same(ran: Ran, other: Ended, *, told: str) -> None:
    """Equal digests of every stage, equal bytes of every shard."""
    promised(other.ran is not None, f"{told}: {other.error}")
    assert other.ran is not None
    differ = [n for n, d in ran.digests.items() if other.ran.digests[n] != d]
    promised(not differ, f"{told}: {differ} differ")
    for node in ran.plan.nodes:
        if isinstance(node.operator, Rewrite) and not node.operator.by_source():
            promised(ran.shards(node.name) == other.ran.shards(node.name), f"{told}: shards of {node.name}")
    for name, notes in ran.metrics.items():
        promised(
            notes == other.ran.metrics.get(name), f"{told}: notes of {name}\n{notes}\n{other.ran.metrics.get(name)}"
        )


def frame(ran: Ran, name: str, *columns: str) -> pl.DataFrame:
    """Columns of a stage by doc_id."""
    table = ran.table(name, "doc_id", *columns)
    out = pl.from_arrow(table)
    assert isinstance(out, pl.DataFrame)
    return out.sort("doc_id")


# --- nothing is lost


def _counted(drawn: Drawn, ran: Ran) -> None:
    """Every record is a row or in quarantine, with a reason."""
    for one in drawn.corpora:
        rows, bad = ran.manifest(one.name).rows, ran.counts(one.name).get("bad", 0)
        promised(rows + bad == one.records, f"{one.name}: {rows} rows and {bad} bad of {one.records} records")
        named = ran.quarantine(one.name)
        promised(len(named) == bad and all(b["origin"] and b["error"] and b["message"] for b in named), named)


def _node(ran: Ran, node: Node) -> None:
    """What one stage counts is what its columns hold, and its decision is one over its population."""
    if node.kind is Kind.COLUMNS:
        counts, space = ran.counts(node.name), node.space
        assert space is not None
        state = frame(ran, node.name, STATE)[STATE].to_numpy()
        rows = ran.manifest(space.name).rows
        promised(len(state) == rows, f"{node.name}: {len(state)} of {rows} rows")
        promised(
            counts.get("failed", 0) == 0,
            f"{node.name}: {counts['failed']} rows failed: {ran.quarantine(node.name)[:3]}",
        )
        told = sum(counts.get(s, 0) for s in ("ok", "masked", "failed", "null"))
        promised(told == rows, f"{node.name}: states of {told} of {rows} rows")
        inside = population(ran, node)
        promised(
            ((state != STATE_MASKED) == inside).all(),
            f"{node.name}: {inside.sum()} rows are asked, {(state != STATE_MASKED).sum()} answered",
        )
        if "kept" in node.outputs and not node.hidden:
            _decision(ran, node, inside)
    elif node.kind is Kind.ROWS:
        ids = frame(ran, node.name)["doc_id"]
        promised(ids.n_unique() == len(ids), f"{node.name}: {len(ids) - ids.n_unique()} doc_ids are repeated")
        if isinstance(node.operator, Rewrite):
            _written(ran, node)


def population(ran: Ran, node: Node) -> np.ndarray:
    """Which rows a stage is asked about, by doc_id."""
    assert node.space is not None
    inside = np.ones(ran.manifest(node.space.name).rows, dtype=bool)
    for i, column in node.population:
        inside &= frame(ran, node.inputs[i].name, column)[column].fill_null(value=False).to_numpy()
    if node.where:
        columns = {n: frame(ran, node.inputs[i].name, c)[c] for n, (i, c) in node.where_columns.items()}
        truth = pl.DataFrame(columns).select(sql.expression(node.where).alias("t"))["t"]
        inside &= truth.cast(pl.Boolean).fill_null(value=False).to_numpy()
    return inside


def _decision(ran: Ran, node: Node, inside: np.ndarray) -> None:
    names = [n for n in ("kept", "weight") if n in node.outputs]
    columns = frame(ran, node.name, *names)
    kept = columns["kept"].fill_null(value=False).to_numpy()
    promised(not (kept & ~inside).any(), f"{node.name}: keeps rows outside of its population")
    promised(ran.counts(node.name)["kept"] == kept.sum(), f"{node.name}: counts another number of kept rows")
    promised(not (columns["kept"].is_null().to_numpy() & inside).any(), f"{node.name}: kept is null")
    if "weight" not in names:
        return
    weight = columns["weight"].fill_null(0.0).to_numpy()
    promised(np.isfinite(weight).all() and (weight >= 0).all(), f"{node.name}: weights {weight[~(weight >= 0)]}")
    promised(((weight > 0) == kept).all(), f"{node.name}: kept without weight, or weight without kept")
    budget = getattr(node.operator, "budget", None)
    if isinstance(budget, Budget) and node.operator.name not in TIMES_ITS_SHARE:
        cost = np.ones(len(weight))
        if budget.unit in ("tokens", "bytes"):
            i, column = node.columns["token_count" if budget.unit == "tokens" else "text_bytes"]
            cost = frame(ran, node.inputs[i].name, column)[column].fill_null(0).to_numpy()
        filled = getattr(node.operator, "redraws", 1)  # every redraw fills the budget once
        used, most = float((cost * weight).sum()), filled * budget.of(int(inside.sum()))
        promised(used <= most * (1 + 1e-9), f"{node.name}: {used} of a budget of {most} {budget.unit}")


def _written(ran: Ran, node: Node) -> None:
    """A write holds its population, as often as `repeat` says."""
    inside = population(ran, node)
    repeat = getattr(node.operator, "repeat", None)
    wanted = int(inside.sum())
    rows = ran.manifest(node.name).rows
    if repeat is None:
        promised(rows == wanted, f"{node.name}: {rows} rows of {wanted}")
        assert node.space is not None
        source = (node.text or node.space).name  # an editor's text is written
        ids = set(frame(ran, source, "text_hash").filter(pl.Series(inside))["text_hash"])
        promised(set(frame(ran, node.name, "text_hash")["text_hash"]) == ids, f"{node.name}: other texts")
    else:
        i, column = node.columns[repeat]
        weight = frame(ran, node.inputs[i].name, column)[column].fill_null(0.0).to_numpy()[inside]
        promised(
            np.floor(weight).sum() <= rows <= np.ceil(weight).sum(),
            f"{node.name}: {rows} rows for weights {weight.sum()}",
        )


# --- the same result


def _otherwise_cut(drawn: Drawn, ran: Ran, root: Path, layout: dict[str, Any]) -> None:
    """The same documents under other file names, in another order and form, are kept and dropped alike."""
    recipe = json.loads(json.dumps(drawn.recipe))
    for one in drawn.again:
        recipe["stages"][one.name] |= {"files": f"again/{one.name}/*"}
    other = ended(dumped(recipe), drawn.folder, root, **layout)
    promised(other.ran is not None, f"otherwise cut: {other.error}")
    assert other.ran is not None
    by_origin = _by_origin(ran)
    for node in ran.plan.nodes:
        if node.name in by_origin:
            continue
        if node.kind is Kind.COLUMNS:
            promised(ran.digests[node.name] == other.ran.digests[node.name], f"otherwise cut: {node.name} differs")
        elif node.kind is Kind.ROWS:
            one, two = (frame(f, node.name, "text_hash", *node.outputs) for f in (ran, other.ran))
            promised(one.sort(pl.all()).equals(two.sort(pl.all())), f"otherwise cut: {node.name} has other rows")


def _by_origin(ran: Ran) -> set[str]:
    """Stages that look at `origin`, or at such a stage."""
    found: set[str] = set()
    for node in ran.plan.nodes:
        looks = "origin" in node.columns or "origin" in node.where_columns
        if looks and not isinstance(node.operator, Rewrite):
            found.add(node.name)
        if any(s.name in found for s in node.sources()) or (node.space is not None and node.space.name in found):
            found.add(node.name)
    return found


def _nothing_to_do(ran: Ran, text: str, folder: Path, layout: dict[str, Any], told: str) -> None:
    again = ended(text, folder, Path(ran.store.location), **layout)
    same(ran, again, told=told)
    assert again.ran is not None
    promised(not again.ran.computed, f"{told} computed {again.ran.computed}")


class Stop(KeyboardInterrupt):
    """Ctrl-C at an operation of the store."""


@dataclasses.dataclass
class Stopper:
    """Counts changes below a root and raises at one of them."""

    root: str = ""
    at: int = 0
    how: type[BaseException] = Stop
    ticks: int = 0

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Audit hook; idle while `root` is empty."""
        if not self.root or event not in ("open", "os.link", "os.rename", "os.remove", "os.mkdir"):
            return
        if event == "open" and not (
            isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            return
        path = arguments[1] if event == "os.link" else arguments[0]
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(self.root):
            self.ticks += 1
            if self.ticks == self.at:
                raise self.how(28, "No space left on device") if self.how is OSError else self.how()


STOPPER = Stopper()
_HOOKED: list[bool] = []


@contextlib.contextmanager
def stopping(root: Path, at: int, how: type[BaseException] = Stop) -> Iterator[Stopper]:
    """Within, the `at`-th change below `root` raises."""
    if not _HOOKED:
        sys.addaudithook(STOPPER.audit)
        _HOOKED.append(True)
    STOPPER.root, STOPPER.at, STOPPER.how, STOPPER.ticks = f"{root}/", at, how, 0
    try:
        yield STOPPER
    finally:
        STOPPER.root = ""


def _stopped(r: random.Random, ran: Ran, text: str, folder: Path, root: Path, layout: dict[str, Any]) -> None:
    """A run stopped at any operations and run again ends the same, and what had a receipt is not made again."""
    ticks = 60 * len(ran.plan.nodes)
    for _ in range(2):
        at, how = r.randrange(1, ticks), r.choice([Stop, OSError])
        support.forget()
        with stopping(root, at, how), contextlib.suppress(Stop, WinnowError):
            support.run(text, folder, root, **layout)
        ticks = min(ticks, STOPPER.ticks + 1)
    before = {(folder, x.phase, x.unit): x for (folder, *_), x in held(root).items()}
    stamps = {f.key: (root / f.key).stat().st_ino for x in before.values() for f in x.files if (root / f.key).exists()}
    resumed = ended(text, folder, root, **layout)
    told = f"stopped at operation {at} by {how.__name__}"
    same(ran, resumed, told=told)
    after = {key: (root / key).stat().st_ino for key in stamps if (root / key).exists()}
    promised(all(stamps[key] == ino for key, ino in after.items()), f"{told}: committed files were written again")
    assert resumed.ran is not None
    for run in resumed.ran.runs:
        had = sum(1 for key in before if key[0] == run.node.folder and key[1] in FINAL_PHASES and _whole(key, before))
        promised(run.cached >= had, f"{told}: {run.node.name} had {had} units and reused {run.cached}")


def _whole(key: tuple[str, str, str], before: dict[tuple[str, str, str], Any]) -> bool:
    """Whether nothing is left to read of what a receipt is about: a unit of a reader that has parts may not be done."""
    folder, phase, name = key
    unit = name.rpartition(".")[0] if phase == "part" else ""
    return not unit or (folder, "unit", unit) in before


def _killed(
    r: random.Random, ran: Ran, text: str, folder: Path, root: Path, layout: dict[str, Any], kill: Callable[..., Any]
) -> None:
    """A process killed at any operation, and the next one."""
    writes = [n.name for n in ran.plan.nodes if isinstance(n.operator, Rewrite)]
    command = {
        "folder": str(folder),
        "root": str(root),
        "out": f"{root}.json",
        "recipe": text,
        "options": layout,
        "shards": writes,
    }
    at = r.randrange(1, 60 * len(ran.plan.nodes))
    first = kill(**command, kill_at=at)
    second = kill(**command) if "killed" in first else first
    promised("digests" in second, f"killed at {at}: {second}")
    promised(second["digests"] == ran.digests, f"killed at {at}: other digests")


# --- looking


def command(*words: str) -> dict[str, Any]:
    """The JSON of a command that ends with 0, 2 or 3 and without a traceback; said in words too."""
    told, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(errors):
        code = cli.main([*words, "--json"])
        plain = cli.main(list(words)) if len("".join(words)) % 3 == 0 else code
    allowed = code in (0, 2, 3) or "this is a bug" not in errors.getvalue()
    promised(allowed and plain == code, f"{words}: exit {code} and {plain}\n{errors.getvalue()}")
    lines = [line for line in told.getvalue().split("\n") if line.startswith("{")]
    promised(lines, f"{words}: no JSON\n{told.getvalue()}")
    out: dict[str, Any] = json.loads(lines[0])
    return out


def _looked_at(r: random.Random, drawn: Drawn, ran: Ran, root: Path) -> None:
    """Every verb that looks at a run answers about it."""
    at = ran.store.location
    (drawn.folder / "recipe.yaml").write_text(drawn.text, "utf-8")
    spaces = [n for n in ran.plan.nodes if n.kind is Kind.ROWS]
    for space in r.sample(spaces, min(2, len(spaces))):
        ids = frame(ran, space.name, "origin")
        for i in r.sample(range(ids.height), min(3, ids.height)):
            _why(ran, at, ids["doc_id"][i].hex())
    deciding = [
        n.face_of or n.name for n in ran.plan.nodes if "kept" in n.outputs and n.kind is Kind.COLUMNS and not n.hidden
    ]
    for words in (["--kept"], ["--dropped"], ["--cluster"], ["--bad"], ["--largest", "--cluster"]):
        command("sample", at, *words, "-n", str(r.choice([1, 5, 1000])))
    for name in r.sample(deciding, min(2, len(deciding))):
        command("sample", at, "--dropped", "--stage", name)
        command("sample", at, "--by", name)
        command(
            "sweep",
            at,
            "--vary",
            f"{name}.{r.choice(['budget=1 docs,50%', 'c0=text_bytes > 3', 'c0:NUMBER=1,2', 'share=0.2', 'at_least=0.3'])}",
        )
    if r.random() < 0.3:
        command("report", at)
    command("plan", str(drawn.folder / "recipe.yaml"), "--out", at, *(["--estimate"] if r.random() < 0.5 else []))
    changed = json.loads(json.dumps(drawn.recipe)) | {"seed": 77}
    last = list(changed["stages"])[-2]
    changed["stages"][last].pop("where", None)
    other = root / "other.yaml"
    other.write_text(dumped(changed), "utf-8")
    support.forget()
    with contextlib.suppress(DataError, ConfigError):
        support.run(dumped(changed), drawn.folder, Path(at), name="other")
    command("diff", f"{at}:test", f"{at}:other")
    command("diff", f"{at}:other", f"{at}:test")
    if deciding:
        command("diff", f"{at}:test", f"{at}:other", "--stage", r.choice(deciding))


def _why(ran: Ran, at: str, doc: str) -> None:
    told = command("why", at, doc, "--name", "test")
    promised("error" not in told, f"why {doc}: {told}")


def _collected(r: random.Random, ran: Ran, text: str, folder: Path, layout: dict[str, Any]) -> None:
    """gc removes what no run needs and nothing else."""
    root = Path(ran.store.location)
    if (root / "runs" / "other.json").exists():
        command("forget", f"{root}:other")
    command("run", str(_recipe_file(root, text, folder)), "--out", str(root), "--name", "test", "--workers", "0")
    before = {p: p.stat().st_ino for p in root.rglob("*") if p.is_file()}
    told = command("gc", str(root), "--dry-run")
    promised({p: p.stat().st_ino for p in root.rglob("*") if p.is_file()} == before, "gc --dry-run changed files")
    needed = {f.key for n in ran.plan.nodes for x in ran.manifest(n.name).receipts for f in x.files}
    wrong = [x["path"] for x in told["removed"] if any(k == x["path"] or k.startswith(x["path"] + "/") for k in needed)]
    promised(not wrong, f"gc would remove {wrong}")
    command("gc", str(root))
    _nothing_to_do(ran, text, folder, layout, "a run after gc")


def _recipe_file(root: Path, text: str, folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, "utf-8")
    return path


__all__ = ["BrokenPromiseError", "Derive", "check_promises"]
