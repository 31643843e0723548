"""What a run shows while it goes on: one line per stage, redrawn in a terminal, or plain lines elsewhere.

A watcher looks at each stage run's receipts once (new parts only), so watching costs nothing per document.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from winnow.core.operators import Kind
from winnow.core.terminal import console_on, duration, percent
from winnow.dags.driver.grid_progress import grids
from winnow.dags.driver.session import shown_name
from winnow.dags.shapes.stage_run import StageRun

if TYPE_CHECKING:
    from rich.table import Table

REDRAW_S = 0.25
LEAST_S = 0.002  # no rate is shown for less time
LINE_S = 5.0  # plain lines: at most one per stage in this time, and one when it is finished


@dataclass(kw_only=True)
class StageProgress:
    """What is known of one stage so far. Rates are over what this run computed, not over what was there."""

    name: str
    hidden: bool = False  # a sub-stage of a composite
    status: str = "waiting"  # waiting, running, done, cached, failed, blocked
    units: int = 0
    known: int = 0
    fresh: int | None = None  # units of this run; None: all of `units`
    rows: int = 0
    asked: int = 0
    kept: int | None = None
    bad: int = 0
    fresh_rows: int = 0
    fresh_bytes: int = 0
    seconds: float = 0.0
    seen: int = field(default=0, repr=False)
    since: float = field(default=0.0, repr=False)
    until: float = field(default=0.0, repr=False)

    @property
    def docs_per_s(self) -> float | None:
        """Documents a second, or None before anything was computed."""
        return self.fresh_rows / self.seconds if self.fresh_rows and self.seconds > LEAST_S else None

    @property
    def mb_per_s(self) -> float | None:
        """MB (1e6 bytes) of text a second whose rows were done, or None."""
        return self.fresh_bytes / 1e6 / self.seconds if self.fresh_bytes and self.seconds > LEAST_S else None

    @property
    def kept_share(self) -> float | None:
        """Kept rows over rows asked, in [0, 1], or None where nothing is decided."""
        return self.kept / self.asked if self.kept is not None and self.asked else None

    @property
    def eta_s(self) -> float | None:
        """Seconds to go by the rate of units so far, or None."""
        fresh = self.units if self.fresh is None else self.fresh
        if self.status != "running" or not fresh or self.units >= self.known or self.seconds <= 0:
            return None
        return self.seconds / fresh * (self.known - self.units)


class Tracker:
    """Keeps one StageProgress per stage run."""

    def __init__(self) -> None:
        self.stages: dict[str, StageProgress] = {}

    def note(self, runs: Sequence[StageRun]) -> None:
        """Remember when stages began to work and ended; cheap enough for every change."""
        now = time.monotonic()
        for run in runs:
            at = self.stages.get(run.node.folder)
            if at is None:
                at = self.stages[run.node.folder] = StageProgress(name=shown_name(run.node), hidden=run.node.hidden)
            if run.busy and not at.since:
                at.since = now
            if run.manifest and not at.until:
                at.until = now

    def look(self, runs: Sequence[StageRun]) -> list[StageProgress]:
        """The state of every stage, in plan order."""
        self.note(runs)
        spaces = {r.node.folder: r for r in runs if r.node.kind is Kind.ROWS}
        return [self._one(run, spaces) for run in runs]

    def _one(self, run: StageRun, spaces: dict[str, StageRun]) -> StageProgress:
        node = run.node
        at = self.stages[node.folder]
        if at.status in ("done", "cached"):
            return at
        if len(run.parts) < at.seen:
            at.seen = at.rows = at.asked = at.fresh_rows = at.fresh_bytes = at.bad = 0
            at.kept = None
        space = spaces.get(node.space.folder) if node.space else None
        for unit, receipt in itertools.islice(run.parts.items(), at.seen, None):
            text_bytes = receipt.counts.get("text_bytes")
            if text_bytes is None and space is not None and unit in space.parts:
                text_bytes = space.parts[unit].counts.get("text_bytes", 0)
            self._add(at, receipt, text_bytes or 0)
        at.seen = len(run.parts)
        at.known = max(run.known, at.units)
        at.units = run.units_done()
        at.seconds = (at.until or time.monotonic()) - at.since if at.since else 0.0
        at.status = _status(run)
        if run.manifest:
            at.units = at.known = max(at.known, at.units)
            counts = run.manifest.counts
            at.rows, at.bad = run.manifest.rows, counts.get("bad", 0) + counts.get("failed", 0)
        return at

    def _add(self, at: StageProgress, receipt: Any, text_bytes: int) -> None:
        counts = receipt.counts
        at.rows += receipt.rows
        at.asked += receipt.rows - counts.get("masked", 0)
        at.bad += counts.get("failed", 0)
        if "kept" in counts and "masked" in counts:  # a decision, not the shards that follow from it
            at.kept = (at.kept or 0) + counts["kept"]
        if receipt.run:
            at.fresh_rows += receipt.rows
            at.fresh_bytes += text_bytes


def _status(run: StageRun) -> str:
    if run.failures:
        return "failed"
    if run.blocked:
        return "blocked"
    if run.manifest:
        return "done" if run.computed else "cached"
    return "running" if run.busy or run.parts else "waiting"


class LineWatcher:
    """Plain lines on a stream: at most one per stage in five seconds, and one when a stage is finished."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream, self.tracker = stream, Tracker()
        self.said: dict[str, tuple[str, float]] = {}
        self.last = 0.0

    def update(self, runs: Sequence[StageRun], *, force: bool = False) -> None:
        """Say what is new."""
        now = time.monotonic()
        self.tracker.note(runs)
        if not force and now - self.last < REDRAW_S:
            return
        self.last = now
        for at in grids(self.tracker.look(runs), StageProgress):
            status, when = self.said.get(at.name, ("waiting", now))
            self.said.setdefault(at.name, (status, when))
            final = at.status in ("done", "cached", "failed", "blocked")
            if at.status != status if final else at.status == "running" and now - when >= LINE_S:
                self.said[at.name] = (at.status, now)
                print(" ".join(f"{at.name}: {line_of(at)}".split()), file=self.stream, flush=True)


class TerminalWatcher(contextlib.AbstractContextManager["TerminalWatcher"]):
    """A table on a terminal that is redrawn four times a second and stays when the run is over."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.live import Live

        self.tracker = Tracker()
        self.console = console_on(stream)
        self.live = Live(console=self.console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False,
                         vertical_overflow="ellipsis")  # fmt: skip
        self.last = 0.0

    def __enter__(self) -> TerminalWatcher:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def update(self, runs: Sequence[StageRun], *, force: bool = False) -> None:
        """Redraw."""
        now = time.monotonic()
        self.tracker.note(runs)
        if force or now - self.last >= REDRAW_S:
            self.last = now
            room = max(4, self.console.height - 3)
            shown = grids(self.tracker.look(runs), StageProgress)
            self.live.update(progress_table(folded(shown, room, force=force)), refresh=True)


def watcher_for(stream: IO[str]) -> LineWatcher | TerminalWatcher:
    """The watcher that suits a stream: the table has signs that not every encoding has."""
    signs = (getattr(stream, "encoding", "") or "").lower().replace("-", "").startswith("utf")
    return TerminalWatcher(stream) if stream.isatty() and signs else LineWatcher(stream)


def folded(stages: list[StageProgress], room: int, *, force: bool) -> list[StageProgress]:
    """The stages that fit on the screen: quiet sub-stages of composites go first, then other quiet stages.

    `force` (the last picture): every stage a person named, and sub-stages only where all fit.
    """
    if len(stages) <= room:
        return stages
    loud = ("running", "failed")
    named = [s for s in stages if not s.hidden or s.status in loud]
    if force or len(named) <= room:
        return named
    active = [s for s in named if s.status in loud]
    quiet = [s for s in named if s.status not in loud]
    chosen = {id(s) for s in [*active, *quiet[::-1]][:room]}
    return [s for s in named if id(s) in chosen]


def progress_table(stages: Sequence[StageProgress]) -> Table:
    """The stages as a table for a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("", "stage", "units", "docs", "docs/s", "MB/s", "kept", "time", "left"):
        right = title not in ("", "stage")
        table.add_column(title, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for at in stages:
        sign, style = _SIGNS[at.status]
        table.add_row(sign, at.name, *cells(at), style=style)
    return table


_SIGNS = {
    "waiting": ("·", "dim"), "running": ("▸", "bold"), "done": ("✓", "green"), "cached": ("=", "dim green"),
    "failed": ("✗", "bold red"), "blocked": ("–", "yellow"),
}  # fmt: skip


def cells(at: StageProgress) -> list[str]:
    """units, docs, docs/s, MB/s, kept, time, left as short texts."""
    units = f"{at.units}/{at.known}" if at.known else ""
    if at.status == "waiting":
        return ["", "", "", "", "", "", ""]
    share = at.kept_share
    took = "cached" if at.status == "cached" else duration(at.seconds) if at.seconds else ""
    return [
        units, f"{at.rows:,}" if at.rows else "", number(at.docs_per_s), number(at.mb_per_s),
        "" if share is None else percent(share), took, duration(at.eta_s) if at.eta_s is not None else "",
    ]  # fmt: skip


def line_of(at: StageProgress) -> str:
    """The same as one plain line."""
    units, docs, rate, speed, kept, took, left = cells(at)
    facts = [
        "" if at.status == "running" else at.status,
        f"{units} units" if units else "",
        f"{docs} docs" if docs else "",
        f"{rate} docs/s" if rate else "",
        f"{speed} MB/s" if speed else "",
        f"kept {kept}" if kept else "",
        f"{at.bad} bad" if at.bad else "",
        "" if took == "cached" else took,
        f"{left} left" if left else "",
    ]
    return ", ".join(f for f in facts if f)


def number(value: float | None) -> str:
    """Three digits with k, M, G: 1234567 -> '1.23M'."""
    if value is None:
        return ""
    for scale, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{sign}" if value < 999.5 * scale else f"{value / scale:.0f}{sign}"
    return f"{value:.3g}" if value >= 0.001 else "<0.001"
