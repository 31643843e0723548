"""Tasks: what the driver writes for one unit of a stage and a worker reads, one frozen class per kind of work.

A shape's file holds the classes of its tasks. On the wire a task is JSON: the name of its class, and the fields that
are not at their defaults. It holds names and keys, never data, so it stays small however large a part is.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from winnow.core.errors import EngineError

KIND = "do"  # the one key on the wire that is no field: the class of the task


class Urgency(enum.IntEnum):
    """What starts first where several tasks wait."""

    FIRST = 0  # a whole stage waits for this one task
    CHAIN = 1  # a part on its way through the recipe
    LAST = 2  # long, and nothing else should wait for it


@dataclass(frozen=True, kw_only=True)
class UnitTask:
    """One unit of one stage; the class says what is done, and adds the fields that this needs."""

    urgency: ClassVar[Urgency] = Urgency.CHAIN
    per_row: ClassVar[bool] = False  # rows are answered in batches: the stage's time limit is one of a batch
    all_rows: ClassVar[bool] = False  # holds all rows of the stage at once: memory is asked for in proportion
    nested: ClassVar[str] = ""  # a field with tasks of the same class

    root: str  # location of the store
    folder: str  # of the stage
    phase: str
    unit: str
    key: str  # digest of everything the unit's result is a function of
    batch_rows: int = 1024
    inputs: tuple[str, ...] = ()  # keys of the part's receipts, one per input of the stage
    consumed: tuple[str, ...] = ()  # digests of the same receipts
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # port -> paths of files outside the store
    seen: Mapping[str, Sequence[str | int]] = field(default_factory=dict)  # path -> what `input_stamps` knows of it
    listed: str = ""  # name in the store of {"files", "seen"}, where there are too many for a task

    def run(self) -> dict[str, Any]:
        """Do the work and commit it; the answer is small, since the receipt is what counts."""
        raise NotImplementedError

    def together_with(self, others: Sequence[UnitTask]) -> UnitTask:
        """This task with others over the same part, to be done in one process."""
        assert not others, f"a {type(self).__name__} is done by itself"
        return self

    def row_by_row(self) -> UnitTask | None:
        """The task that finds the rows for which this one loses its worker; None where there is no such task."""
        return None


def to_wire(task: UnitTask) -> dict[str, Any]:
    """The task as JSON values."""
    defaults = {f.name: _default(f) for f in dataclasses.fields(task)}
    return {KIND: type(task).__name__, **_unlike(task, defaults)}


def from_wire(wire: Mapping[str, Any], cls: type[UnitTask]) -> UnitTask:
    """The task that `to_wire` wrote. Raises EngineError naming a field that is missing or unknown."""
    body = {name: _frozen(value) for name, value in wire.items() if name != KIND}
    if cls.nested in body:
        shared = {name: value for name, value in body.items() if name != cls.nested}
        body[cls.nested] = tuple(_built({**shared, **inner}, cls) for inner in body[cls.nested])
    return _built(body, cls)


def _built(body: Mapping[str, Any], cls: type[UnitTask]) -> UnitTask:
    fields = dataclasses.fields(cls)
    unknown = sorted(body.keys() - {f.name for f in fields})
    if unknown:
        raise EngineError(f"a {cls.__name__} has no field {unknown[0]!r}", hint=_HINT)
    missing = [f.name for f in fields if f.name not in body and _default(f) is dataclasses.MISSING]
    if missing:
        raise EngineError(f"a {cls.__name__} came without {missing[0]!r}", hint=_HINT)
    return cls(**body)


_HINT = "driver and workers must run the same version of winnow"


def _unlike(task: UnitTask, known: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose values differ from what the reader knows; tasks inside the task leave out what it says."""
    out = {}
    for name in (f.name for f in dataclasses.fields(task)):
        value = getattr(task, name)
        if value == known[name]:
            continue
        inner = name == task.nested
        out[name] = [_unlike(each, {**vars(task), name: ()}) for each in value] if inner else value
    return out


def _default(each: dataclasses.Field[Any]) -> Any:
    if each.default_factory is not dataclasses.MISSING:
        return each.default_factory()
    return each.default


def _frozen(value: Any) -> Any:
    """JSON values as a task holds them: lists are tuples."""
    if isinstance(value, list | tuple):
        return tuple(_frozen(each) for each in value)
    return {name: _frozen(each) for name, each in value.items()} if isinstance(value, dict) else value
