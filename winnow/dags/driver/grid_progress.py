"""One line for a grid: the runs of an ablation are many stages of one kind, and a person waits for all of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

LEAST = 3  # fewer stages of a kind are shown one by one
MEMBER = re.compile(r"(?P<grid>.+\.)(?:(?:rate|size|budget|tune)\d+_)?(?P<kind>train|score|ngram)_.+")
DONE = ("done", "cached")


class Progress(Protocol):
    """What a stage's progress is made of."""

    name: str
    hidden: bool
    status: str
    units: int
    known: int
    fresh: int | None
    seconds: float
    since: float
    until: float


P = TypeVar("P", bound=Progress)


def grids(stages: Sequence[P], make: Callable[..., P]) -> list[P]:
    """The stages, those of a grid (training runs of an ablation, its evaluations) as one at the place of the first.

    A run that failed or is blocked keeps a line of its own as well.
    """
    groups: dict[str, list[P]] = {}
    for stage in stages:
        match = MEMBER.fullmatch(stage.name) if stage.hidden else None
        if match:
            groups.setdefault(f"{match['grid']}{match['kind']}", []).append(stage)
    large = {name: members for name, members in groups.items() if len(members) >= LEAST}
    place = {id(member): name for name, members in large.items() for member in members}
    out: list[P] = []
    for stage in stages:
        name = place.get(id(stage))
        if name is None or stage.status in ("failed", "blocked"):
            out.append(stage)
        if name is not None and stage is large[name][0]:
            out.append(_one(name, large[name], make))
    return out


def _one(name: str, members: Sequence[P], make: Callable[..., P]) -> P:
    """Members as one stage: its units are runs, its time is from the first start to the last end."""
    done = [m for m in members if m.status in DONE]
    begun = min((m.since for m in members if m.since), default=0.0)
    over = len(done) == len(members)
    ended = max((m.until for m in members), default=0.0) if over else time.monotonic()
    made = make(name=name, hidden=True)
    made.units, made.known = len(done), len(members)
    made.fresh = sum(m.status == "done" for m in done)
    made.since, made.seconds = begun, ended - begun if begun else 0.0
    made.status = _status(members, over=over)
    return made


def _status(members: Sequence[P], *, over: bool) -> str:
    states = {m.status for m in members}
    if over:
        return "cached" if states == {"cached"} else "done"
    if states <= {"failed", "blocked", *DONE}:
        return "failed" if "failed" in states else "blocked"
    return "running" if states & {"running", *DONE} else "waiting"
