"""What the arms of an ablation begin from: a trained model or nothing, and old data mixed into the new.

All arms may continue one model (`start`), or some of them one each (`starts`); the others begin from scratch. The
tokenizer is that of the start, and the shape must be: what differs is refused with both values. A share of an arm's
tokens may be replayed from an old selection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Scope, port
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.model.continued import check_share
from winnow.trainers.model.held import Held, held
from winnow.trainers.model.shape import Shape

Share = float | dict[str, float]
Role = Literal["old", "new", "unseen"]


@dataclass(frozen=True, kw_only=True)
class Starting:
    """What the arms of a comparison begin from, and what they replay."""

    start: str = port("ref", default="")  # a trained model that every arm continues; default: from scratch
    starts: dict[str, str] | None = port("refs", default=None)  # label -> trained model; the others begin from scratch
    replay: str = port("ref", default="")  # an old selection, mixed evenly into the arms' own data
    replay_share: Share = 0.0  # of a run's tokens: one number for every label, or by label
    curve: int = 0  # points of each run at which it is scored on every target, besides the one before its first step
    roles: dict[str, Role] | None = None  # target -> old (the start knew it), new, unseen: for the lines of the curve

    def begins(self, label: str) -> tuple[str, float]:
        """(stage that a label continues, "" from scratch; share that it replays); not asked of a control."""
        start = self.start or dict(self.starts or {}).get(label, "")
        share = self.replay_share.get(label, 0.0) if isinstance(self.replay_share, dict) else self.replay_share
        return start, share


def check_curve(fields: Starting, targets: Iterable[str]) -> None:
    """Check the fields of the curve.

    Raises:
        ConfigError: a role is given to no target, or to no curve, or the number of points is negative.
    """
    if fields.curve < 0:
        raise ConfigError(f"curve is {fields.curve}, and must be at least 0", where="curve")
    if fields.roles and not fields.curve:
        raise ConfigError("roles name targets of a curve, and there is none", where="roles", hint="add `curve: 8`")
    known = list(targets)
    for name in fields.roles or {}:
        if name not in known:
            raise ConfigError(f"no target is called {name!r}", where="roles", hint=did_you_mean(name, known))


def check_starting(fields: Starting, labels: Iterable[str], *, scratch: Mapping[str, bool]) -> None:
    """Check the fields against the labels of the comparison, and against fields whose models begin from `scratch`.

    Raises:
        ConfigError: they say two things at once or half of one, name no arm, or a share is none.
    """
    known = list(labels)
    for name, used in scratch.items():
        if used and (fields.start or fields.starts or fields.replay):
            raise ConfigError(f"{name} does not go with a start or replay", where=name,
                              hint="its models begin from scratch: compare them in an ablation of its own")  # fmt: skip
    if fields.start and fields.starts:
        raise ConfigError("start and starts both say what arms begin from", where="starts", hint="give one of them")
    shares = fields.replay_share if isinstance(fields.replay_share, dict) else {}
    for where, names in (("starts", fields.starts or {}), ("replay_share", shares)):
        for name in names:
            if name not in known:
                raise ConfigError(f"no arm is called {name!r}", where=where, hint=did_you_mean(name, known))
    given = [*shares.values()] if isinstance(fields.replay_share, dict) else [fields.replay_share]
    if fields.replay and not any(given):
        raise ConfigError("replay has no share", where="replay_share", hint="0.1 replays a tenth of each run's tokens")
    if any(given) and not fields.replay:
        raise ConfigError("replay_share has nothing to replay", where="replay", hint="name the old selection")
    for share in given:
        if share or isinstance(fields.replay_share, dict):
            check_share(share, where="replay_share")


class Starts:
    """The starts of an ablation's labels, resolved to names of stages."""

    def __init__(self, fields: Starting, scope: Scope, shape: Shape) -> None:
        self.fields, self.scope = fields, scope
        names = dict(fields.starts or {}) or ({BASELINE: fields.start} if fields.start else {})
        self.held: dict[str, Held] = {
            label: held(scope, name, where=f"starts.{label}" if fields.starts else "start")
            for label, name in names.items()
        }  # fmt: skip
        for label, found in self.held.items():
            if found.shape is not None and found.shape != shape:
                theirs, own = found.shape.beside(shape)
                of = f" of {label!r}" if fields.starts else ""
                raise ConfigError(f"the start{of} has {theirs}, and this stage's model {own}",
                                  where=f"starts.{label}" if fields.starts else "start",
                                  hint="give the stage the size of its start")  # fmt: skip

    @property
    def tokenizer(self) -> str:
        """The tokenizer's stage; empty where nothing is continued and one is fitted on the pool."""
        return next((found.tokenizer for found in self.held.values()), "")

    def of(self, label: str) -> Held | None:
        """What a label's runs continue; `label` is the baseline's for a control."""
        return next(iter(self.held.values()), None) if self.fields.start else self.held.get(label)

    def share(self, label: str) -> float:
        """Share of a label's tokens that is replayed."""
        return self.fields.begins(label)[1]

    def refuse_parts(self, label: str) -> None:
        """Raise ConfigError where a label that is trained in parts should replay as well."""
        if self.share(label):
            raise ConfigError(f"{label!r} is trained in phases or redraws, where nothing is replayed",
                              where="replay_share", hint="make the replay a phase of its own")  # fmt: skip

    def run_fields(self, label: str) -> dict[str, Any]:
        """Fields of a label's runs, where they differ from those of a run from scratch on its own data."""
        fields: dict[str, Any] = {} if self.of(label) is None else {"init_seed": 0}
        if self.share(label):
            weighted = "weight" in self.scope.lookup(self.fields.replay).operator.outputs()
            fields |= {"replay_share": self.share(label), "replay_weighted": weighted}
        return fields

    def run_refs(self, label: str, replay_tokens: str) -> dict[str, str]:
        """References of a label's runs, besides those of a run from scratch on its own data."""
        found = self.of(label)
        refs = {} if found is None else {"start": found.model}
        if self.share(label):
            refs |= {"replay": self.fields.replay, "replay_tokens": replay_tokens}
        return refs

    def old(self) -> dict[str, str]:
        """Label -> selection that a start was trained on, or that is replayed: they must not hold a target either."""
        chosen = [name for found in self.held.values() for name in found.selections]
        out = {f"start/{i}": name for i, name in enumerate(dict.fromkeys(chosen))}
        return {**out, **({"replay": self.fields.replay} if self.fields.replay else {})}
