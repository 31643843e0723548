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

import builtins
import contextlib
import faulthandler
import importlib
import json
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from winnow.core import errors
from winnow.core.operators import Resources
from winnow.dags.engines import machine

Status = Literal["ok", "error", "lost", "oom", "timeout"]
WORK = "winnow.dags.shapes.worker:execute"
MAX_TASK_BYTES = 10_000
TIMEOUT_MARK = "Timeout ("  # what faulthandler writes first when the limit has passed

_MESSAGE_CHARS = 2_000
_TRACEBACK_CHARS = 20_000


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

    def probe(self, root: Path) -> None:
        """Raise ConfigError unless every node reads what the driver writes in `root`."""


# --- exceptions as data -------------------------------------------------------------------------------------

_concealed: dict[str, None] = {}


def conceal(secret: str) -> None:
    """Never let this value leave the process in an error: it is replaced by `***`."""
    if secret:
        _concealed[secret] = None


def describe(exc: BaseException) -> dict[str, Any]:
    """The fields of a `Failure`: class, message, place and hint of an exception, and its traceback."""
    ours = isinstance(exc, errors.WinnowError)
    names = [cls.__name__ for cls in type(exc).__mro__ if cls not in (object, BaseException)]
    kind = next((name for name in names if hasattr(errors, name)), names[0]) if ours else names[0]
    what = exc.what if isinstance(exc, errors.WinnowError) else _message(exc)
    failure = Failure(
        kind=kind,
        what=_scrub(what)[:_MESSAGE_CHARS],
        where=_scrub(getattr(exc, "where", "")) if ours else "",
        hint=_scrub(getattr(exc, "hint", "")) if ours else _advice(exc),
        traceback=_scrub("".join(traceback.format_exception(exc)))[-_TRACEBACK_CHARS:],
        family=tuple(names),
    )
    return asdict(failure)


def _advice(exc: BaseException) -> str:
    """How to get a library that is missing; else nothing."""
    if not isinstance(exc, ModuleNotFoundError) or not exc.name:
        return ""
    from winnow.core.operators.fingerprint import how_to_install

    return how_to_install(exc.name)


def failure_from(fields: dict[str, Any]) -> Failure:
    """The `Failure` that `describe` turned into JSON fields."""
    return Failure(**{**fields, "family": tuple(fields["family"])})


def _message(exc: BaseException) -> str:
    try:
        text = str(exc)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may do anything
        text = f"(its message raised {type(broken).__name__})"
    return text or type(exc).__name__


def _scrub(text: str) -> str:
    for secret in _concealed:
        text = text.replace(secret, "***")
    return text


# --- time limits --------------------------------------------------------------------------------------------
# faulthandler's timer is a C thread that needs no GIL: it stops a regex or a kernel that never comes back.
# It writes the stacks of all threads to the file of last words and ends the process, which the engine then
# reads.


@dataclass
class _Watch:
    fd: int | None = None  # file of last words; None: not a worker, nothing is enforced
    limit_s: float = 0


_watch = _Watch()


def arm(last_words: int | None) -> None:
    """Let time limits end this process, and write stacks to file descriptor `last_words`; None ends that."""
    faulthandler.cancel_dump_traceback_later()
    _watch.fd, _watch.limit_s = last_words, 0
    if last_words is not None:
        faulthandler.enable(file=last_words, all_threads=True)
    elif sys.__stderr__ is not None:
        faulthandler.enable(file=sys.__stderr__)


def beat() -> None:
    """Start the current time limit anew: another batch begins. Cost: about 50 microseconds."""
    if _watch.fd is None:
        return
    if _watch.limit_s > 0:
        faulthandler.dump_traceback_later(_watch.limit_s, exit=True, file=_watch.fd)
    else:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def watchdog(seconds: float) -> Iterator[Callable[[], None]]:
    """`beat`, with a limit of `seconds` between two beats inside the block (0: none).

    The outer limit returns afterwards. In the driver's own process nothing is enforced.
    """
    before = _watch.limit_s
    _watch.limit_s = seconds
    beat()
    try:
        yield beat
    finally:
        _watch.limit_s = before
        beat()


# --- running one task ---------------------------------------------------------------------------------------


def perform(function: str, wire: bytes) -> bytes:
    """The reply to a task as JSON. Only KeyboardInterrupt gets through."""
    call = json.loads(wire)
    started = time.monotonic()
    try:
        work = resolve(function)  # imports do not count against the limit
        if _watch.fd is not None:  # a worker: what the task before needed is not this one's
            machine.forget_peak()
        with watchdog(call["timeout_s"]):
            value = work(call["payload"])
        if not isinstance(value, dict):
            raise errors.EngineError(f"{function} returned {type(value).__name__}, not a dict", where=call["id"])
        return reply("ok", value=value, started=started)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 - whatever work does, the engine reports it
        return reply("oom" if isinstance(exc, MemoryError) else "error", error=describe(exc), started=started)


def reply(
    status: Status,
    *,
    value: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
    started: float | None = None,
) -> bytes:
    """One reply as JSON; `started` is the monotonic time at which the task began."""
    seconds = 0.0 if started is None else time.monotonic() - started
    host = socket.gethostname()
    return json.dumps(
        {"status": status, "value": value or {}, "error": error, "seconds": seconds, "host": host}
    ).encode()


def outcome_from(task_id: str, body: bytes) -> Outcome:
    """The outcome in a reply."""
    fields = json.loads(body)
    error = failure_from(fields.pop("error")) if fields["error"] else fields.pop("error")
    return Outcome(id=task_id, error=error, **fields)


def resolve(function: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The function behind `module:name`."""
    module, _, name = function.partition(":")
    found: Callable[[dict[str, Any]], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return found


def engine_failure(what: str, *, hint: str = "", words: str = "") -> Failure:
    """A failure that the engine itself reports."""
    return Failure(
        kind="EngineError",
        what=what,
        hint=hint,
        traceback=words[-_TRACEBACK_CHARS:],
        family=("EngineError", "WinnowError", builtins.Exception.__name__),
    )
