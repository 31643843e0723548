"""How an error reaches a person: what, where, hint; a traceback goes to a file, never to the terminal."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from contextlib import suppress
from typing import Any

from winnow.core.errors import EngineError, Interrupted, StoreError, WinnowError
from winnow.core.store.store import Store

STOPPED = "stopped; finished units are kept; run again to go on"


def as_error(error: BaseException, root: Store | None) -> WinnowError:
    """The error to show: one of ours as it is, Ctrl-C as Interrupted, anything else as a bug with a log file."""
    if isinstance(error, WinnowError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(STOPPED)
    problem = " ".join(str(error).split())[:200]
    what = f"unexpected {type(error).__name__}: {problem}" if problem else f"unexpected {type(error).__name__}"
    return EngineError(what, hint=f"this is a bug; details in {_write_log(error, root)}")


def error_json(error: WinnowError) -> dict[str, Any]:
    """{"error": {"kind", "what", "where", "hint", "exit_code"}}."""
    return {"error": {"kind": type(error).__name__, "what": error.what, "where": error.where, "hint": error.hint,
                      "exit_code": error.exit_code}}  # fmt: skip


def error_lines(error: WinnowError) -> list[tuple[str, str]]:
    """(style, line) for a terminal."""
    if isinstance(error, Interrupted):
        return [("yellow", STOPPED)]
    lines = [("bold red", f"error: {error.what}")]
    lines += [("red", f"where: {error.where}")] if error.where else []
    lines += [("red", f"hint:  {error.hint}")] if error.hint else []
    return lines


def _write_log(error: BaseException, root: Store | None) -> str:
    """The traceback in ROOT/logs, or in a temporary file where that cannot be."""
    text = "".join(traceback.format_exception(error))
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    if root is not None and root.exists(""):
        with suppress(StoreError):
            root.put(f"logs/{name}", text.encode("utf-8", "replace"))
            return root.where(f"logs/{name}")
    handle, temporary = tempfile.mkstemp(prefix="winnow-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as sink:
        sink.write(text)
    return temporary
