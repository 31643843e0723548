"""What every source lost at every decision, and which losses are far from those of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

from winnow.core.terminal import percent
from winnow.dags.looking.report.rows_pass import RowsPass

SHOWN = 24
FEWEST = 30  # rows asked about, below which a share alarms nobody
ODDS = 3.0  # an alarm: odds of being kept that many times larger or smaller than elsewhere ...
DEVIATIONS = 5.0  # ... that many standard errors away ...
POINTS, FACTOR = 0.1, 2.0  # ... and a share that differs by ten points or by that factor
TOLD = 3  # alarms per stage that are spelled out


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One source at one decision; `odds` against all other sources where that is an alarm, else 0."""

    asked: int
    kept: int
    odds: float

    @property
    def share(self) -> float | None:
        """Kept of those asked about."""
        return self.kept / self.asked if self.asked else None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One source."""

    reader: str
    folder: str
    rows: int
    cells: list[Cell]

    @property
    def name(self) -> str:
        """`reader/folder`, or the one that there is."""
        return "/".join(part for part in (self.reader, self.folder) if part)


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A source that a decision treats unlike the others."""

    stage: str
    sentence: str


@dataclass(kw_only=True)
class Sources:
    """Sources by size, alarming ones always among them; `rest` sums up the others."""

    by: str  # what tells them apart, in words
    stages: list[str]
    lines: list[Line]
    total: Line
    num_sources: int
    num_alarms: int
    alarms: list[Alarm]  # of filters and dedup: a selector is meant to prefer


def sources_of(found: RowsPass) -> Sources:
    """The table of a row space."""
    shares = found.shares
    num = len(found.decisions)
    sums = [(int(shares.asked[:, d].sum()), int(shares.kept[:, d].sum())) for d in range(num)]
    lines = []
    for g, (reader, folder) in enumerate(shares.names):
        pairs = [(int(shares.asked[g, d]), int(shares.kept[g, d])) for d in range(num)]
        cells = [Cell(asked=a, kept=k, odds=_odds(a, k, *sums[d])) for d, (a, k) in enumerate(pairs)]
        lines.append(Line(reader=reader, folder=folder, rows=int(shares.rows[g]), cells=cells))
    lines.sort(key=lambda line: (-line.rows, line.reader, line.folder))
    alarming = [line for line in lines if any(c.odds for c in line.cells)]
    shown = lines[:SHOWN] + [line for line in alarming if line not in lines[:SHOWN]][:SHOWN]
    total = Line(reader="", folder="", rows=sum(line.rows for line in lines),
                 cells=[Cell(asked=a, kept=k, odds=0.0) for a, k in sums])  # fmt: skip
    return Sources(
        by=shares.by, stages=[v.shown for v in found.decisions], lines=shown, total=total, num_sources=len(lines),
        num_alarms=len(alarming), alarms=_alarms(found, lines, total),
    )  # fmt: skip


def _odds(asked: int, kept: int, all_asked: int, all_kept: int) -> float:
    """Odds of being kept against those elsewhere, where they are far apart; else 0."""
    elsewhere, kept_elsewhere = all_asked - asked, all_kept - kept
    if asked < FEWEST or elsewhere < FEWEST:
        return 0.0
    share = (kept_elsewhere + 0.5) / (elsewhere + 1)
    error = math.sqrt(share * (1 - share) * (1 / asked + 1 / elsewhere))
    odds = (kept + 0.5) / (asked - kept + 0.5) / (share / (1 - share))
    own = kept / asked
    sure = abs(own - share) > DEVIATIONS * error and not 1 / ODDS < odds < ODDS
    far = abs(own - share) >= POINTS or own >= FACTOR * share or own <= share / FACTOR
    return odds if sure and far else 0.0


def _alarms(found: RowsPass, lines: list[Line], total: Line) -> list[Alarm]:
    out = []
    for d, view in enumerate(found.decisions):
        if view.role in ("selector", "") or (view.file and found.shares.by in view.file.columns):
            continue  # what a rule is about, it treats unlike
        far = sorted((x for x in lines if x.cells[d].odds), key=lambda x: -abs(math.log(x.cells[d].odds)))
        for line in far[:TOLD]:
            own, every = line.cells[d], total.cells[d]
            others = (every.kept - own.kept) / max(every.asked - own.asked, 1)
            whose = f"{own.asked:,} documents of {line.name}"
            what = f"keeps {percent(own.share or 0.0)} of {whose}, {percent(others)} of all others"
            out.append(Alarm(stage=view.shown, sentence=what))
        if len(far) > TOLD:
            out.append(Alarm(stage=view.shown, sentence=f"{len(far) - TOLD} more sources are far from the others"))
    return out
