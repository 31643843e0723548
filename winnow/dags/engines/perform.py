"""What happens where a task runs: the work function is called, and a reply as JSON says how that went."""

from __future__ import annotations

import importlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

from winnow.core import errors
from winnow.dags.engines import machine
from winnow.dags.engines.base import Outcome, Status
from winnow.dags.engines.failures import describe, failure_from
from winnow.dags.engines.time_limits import in_worker, watchdog


def perform(function: str, wire: bytes) -> bytes:
    """The reply to a task as JSON. Raises KeyboardInterrupt alone, and that only in the driver's process."""
    call = json.loads(wire)
    started = time.monotonic()
    try:
        work = resolve(function)  # imports do not count against the limit
        if in_worker():  # what the task before needed is not this one's
            machine.forget_peak()
        with watchdog(call["timeout_s"]):
            value = work(call["payload"])
        if not isinstance(value, dict):
            raise errors.EngineError(f"{function} returned {type(value).__name__}, not a dict", where=call["id"])
        return reply("ok", value=value, started=started)
    except BaseException as exc:
        if isinstance(exc, KeyboardInterrupt) and not in_worker():
            raise
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
    work: Callable[[dict[str, Any]], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return work
