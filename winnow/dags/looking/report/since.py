"""What a run has changed since the run of its name before it: stages, fields, rows kept then and now."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from winnow.core.errors import ConfigError, WinnowError
from winnow.dags.looking.address import decisions
from winnow.dags.looking.changes import as_text
from winnow.dags.looking.diff_fields import changed_fields
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.recipe.history import PREVIOUS, earlier, outcome

MOST = 30  # stages told of each kind


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A stage with the fields in which it differs, each as a short text."""

    stage: str
    fields: list[str]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a decision or a write kept then and now; None where the run has no such stage, or not its result."""

    stage: str
    then: int | None
    now: int | None

    @property
    def difference(self) -> int | None:
        """Now less then."""
        return None if self.then is None or self.now is None else self.now - self.then


@dataclass(kw_only=True)
class Since:
    """The difference to the run before."""

    run: str  # NAME@NUMBER
    date: str
    outcome: str
    changed: list[Changed]
    kept: list[Kept]  # those that differ
    same: int  # decisions and writes that kept as much
    command: str
    left_out: int = 0  # changed stages and decisions that are not told
    problem: str = ""  # why it cannot be compared


def since_of(run: FinishedRun) -> Since | None:
    """The difference to the run before; None where there is none. What cannot be compared says why."""
    try:
        record = earlier(run.record, PREVIOUS)
    except ConfigError:
        return None
    before = FinishedRun(record)
    name = run.record.name.partition("@")[0]
    root = run.store.location
    sides = [f"{root}:{record.name}", f"{root}:{run.record.name}"] if "@" in run.record.name else [f"{root}:{name}"]
    out = Since(
        run=record.name, date=record.began, outcome=outcome(record), changed=[], kept=[], same=0,
        command=" ".join(["winnow diff", *map(shlex.quote, sides)]),
    )  # fmt: skip
    try:
        changed = [
            Changed(stage=s, fields=[as_text(c) for c in many]) for s, many in changed_fields(before, run).items()
        ]
        kept = _kept(before, run)
    except (WinnowError, KeyError, TypeError, AttributeError) as error:
        out.problem = error.what if isinstance(error, WinnowError) else f"it was recorded in another form: {error!r}"
        return out
    differing = [k for k in kept if k.then != k.now]
    out.same = len(kept) - len(differing)
    out.changed, out.kept = changed[:MOST], differing[:MOST]
    out.left_out = len(changed) + len(differing) - len(out.changed) - len(out.kept)
    return out


def _kept(before: FinishedRun, after: FinishedRun) -> list[Kept]:
    then, now = ({v.shown: _rows(v) for v in _telling(run)} for run in (before, after))
    return [Kept(stage=name, then=then.get(name), now=now.get(name)) for name in dict.fromkeys([*now, *then])]


def _telling(run: FinishedRun) -> list[FinishedStage]:
    written = [v for v in run.stages if v.is_write and v.complete and not v.hidden]
    return list({v.folder: v for v in (*decisions(run), *written)}.values())


def _rows(view: FinishedStage) -> int | None:
    if view.manifest is None:
        return None
    return view.manifest.rows if view.is_write else view.manifest.counts.get("kept")
