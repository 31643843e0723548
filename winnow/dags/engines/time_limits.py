"""Time limits of tasks, and the last words of a process that one of them ends.

faulthandler's timer is a C thread that needs no GIL: it stops a regex or a kernel that never comes back. It writes
the stacks of all threads to the file of last words and ends the process; the engine then reads that file.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from winnow.dags.engines.base import Death
from winnow.dags.engines.failures import engine_failure

_TIMEOUT_MARK = "Timeout ("  # what faulthandler writes first when the limit has passed


@dataclass
class _Watch:
    fd: int | None = None  # file of last words; None: not a worker, nothing is enforced
    limit_s: float = 0


_watch = _Watch()


def arm(last_words: int | None) -> None:
    """Make this process a worker: time limits end it, and stacks go to file descriptor `last_words`; None undoes it."""
    faulthandler.cancel_dump_traceback_later()
    _watch.fd, _watch.limit_s = last_words, 0
    if last_words is not None:
        faulthandler.enable(file=last_words, all_threads=True)
    elif sys.__stderr__ is not None:
        faulthandler.enable(file=sys.__stderr__)


def in_worker() -> bool:
    """Whether time limits hold in this process, and nothing but tasks run in it."""
    return _watch.fd is not None


def timed_out(words: str) -> Death | None:
    """The death that the last words of a process report, if a time limit ended it."""
    if _TIMEOUT_MARK not in words:
        return None
    hint = "raise timeout_s, or look at the stacks"
    return "timeout", engine_failure("the time limit of a batch has passed", hint=hint, words=words)


def beat() -> None:
    """Start the current time limit anew, as another batch begins. Cost: about 50 microseconds."""
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
