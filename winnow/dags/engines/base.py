"""The seam between runner and engines: tasks go out, outcomes come back, and failures are data.

An engine knows one thing: how to run tasks. A task names no function of its own and holds no text: the
engine is built with one work function (`module:function`), which gets the task's JSON payload and returns a
JSON object. Everything that can go wrong comes back as an `Outcome`, so only the runner decides what is
tried again:

| status    | the task                                                             |
|-----------|----------------------------------------------------------------------|
| `ok`      | returned a value                                                     |
| `error`   | raised: `error` says what                                            |
| `oom`     | was killed for memory, or raised MemoryError                         |
| `timeout` | let more than `timeout_s` pass between two calls of `beat`           |
| `lost`    | its process or node died: `error` names the signal or exit code      |

An engine takes any number of tasks and starts them in the order of submission; a task that does not fit yet
holds back those behind it, so nothing starves. What waits costs memory in the driver: the runner keeps at
most twice `capacity()` in flight.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from winnow.core import errors
from winnow.core.operators import Resources

if TYPE_CHECKING:
    from winnow.core.store.store import Store

Status = Literal["ok", "error", "lost", "oom", "timeout"]
WORK = "winnow.dags.shapes.worker:execute"
MAX_TASK_BYTES = 10_000


@dataclass(frozen=True, kw_only=True)
class Task:
    """A unit of work for the engine's work function."""

    id: str
    payload: dict[str, Any]  # JSON: operator spec and paths, never text or closures
    resources: Resources = field(default_factory=Resources)
    warm: str = ""  # identity of a heavy operator: prefer (ray: require) a process that has run it before
    isolate: bool = False  # a process of its own that ends with the task
    timeout_s: float = 0  # seconds between two `beat`s; 0 is no limit; not enforced in the driver's process
    user_code: bool = False  # never in the driver's process

    def wire(self) -> bytes:
        """What a worker needs of this task, as JSON.

        Raises: EngineError if the payload is not JSON or larger than MAX_TASK_BYTES.
        """
        call = {"id": self.id, "payload": self.payload, "timeout_s": self.timeout_s}
        try:
            body = json.dumps(call).encode()
        except (TypeError, ValueError) as exc:
            raise errors.EngineError(f"a task's payload is not JSON: {exc}", where=self.id) from exc
        if len(body) > MAX_TASK_BYTES:
            raise errors.EngineError(
                f"a task of {len(body):,} bytes is over the limit of {MAX_TASK_BYTES:,}",
                where=self.id,
                hint="put the data into a file and its path into the payload",
            )
        return body


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An exception as data."""

    kind: str  # class name: of core.errors where it is one of ours, else as raised
    what: str
    where: str = ""
    hint: str = ""
    traceback: str = ""  # for the debug log
    family: tuple[str, ...] = ()  # names of the class and its bases, so that `"DataError" in family` is isinstance

    def exception(self) -> errors.WinnowError:
        """The error to raise in the driver: the same class if it is one of ours, else an EngineError."""
        for name in (self.kind, *self.family):
            cls = getattr(errors, name, None)
            if isinstance(cls, type) and issubclass(cls, errors.WinnowError):
                return cls(self.what, where=self.where, hint=self.hint)
        return errors.EngineError(f"{self.kind}: {self.what}", where=self.where, hint=self.hint)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ended. `seconds` and `host` describe the attempt and belong in no result."""

    id: str
    status: Status
    value: dict[str, Any] = field(default_factory=dict)  # of the work function, when `ok`
    error: Failure | None = None  # set unless `ok`
    seconds: float = 0
    host: str = ""


Death = tuple[Status, Failure]  # how a process ended that could not say so itself


class Engine(Protocol):
    """Runs tasks somewhere."""

    name: str

    def capacity(self) -> int:
        """Tasks of one CPU that run side by side now; may change on a cluster that scales."""

    def memory_gb(self) -> float:
        """Memory in 1e9 bytes that one task may have at most; may change on a cluster that scales."""

    def submit(self, task: Task) -> None:
        """Take a task; it starts when it fits. Raises: EngineError if the task cannot be sent."""

    def wait(self, timeout: float) -> list[Outcome]:
        """Outcomes that are there; blocks until there is one, `timeout` seconds passed or nothing runs."""

    def cancel(self) -> None:
        """Kill and forget every task at once; the engine can be used again."""

    def close(self) -> None:
        """Release what the engine started."""

    def probe(self, store: Store) -> None:
        """Raise ConfigError unless every node reads what the driver writes into the store."""
