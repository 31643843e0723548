"""What is compiled while one looks: for `winnow warm`, and for the line of a first run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


@contextlib.contextmanager
def compiled() -> Iterator[list[tuple[str, float]]]:
    """Inside: (module.kernel, CPU seconds) of every kernel that this process compiles for calls from Python."""
    from numba.core import event

    out: list[tuple[str, float]] = []
    begun: list[float] = []

    class Watch(event.Listener):
        def on_start(self, event: event.Event) -> None:
            begun.append(time.process_time())

        def on_end(self, event: event.Event) -> None:
            function = event.data["dispatcher"].py_func
            name = f"{function.__module__.split('.')[-1]}.{function.__name__}"
            out.append((name, time.process_time() - begun.pop()))

    watch = Watch()
    event.register("numba:compile", watch)
    try:
        yield out
    finally:
        event.unregister("numba:compile", watch)
