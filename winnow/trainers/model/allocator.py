"""Memory that stays with the process between steps: glibc's allocator, tuned while a CPU trains.

Every step allocates and frees the same large buffers. By default glibc gives those above a threshold back to the
system at once, and the next step faults the pages in again. Inside `roomy` they stay: 1.0 to 1.2 times the tokens per
CPU second (`python benchmarks/bench_training.py --allocator` tunes a whole process by its environment). Other work of
the same process wants its memory back, so the settings hold for a training run alone; another allocator than glibc's
is left as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # glibc's names of the settings, M_*
KEEP = {MMAP_THRESHOLD: 1 << 30, TRIM_THRESHOLD: (1 << 31) - 1, TOP_PAD: 1 << 26}
LEAVE = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20, TOP_PAD: 128 << 10}  # where glibc's own rule ends up

_inside = 0


@contextlib.contextmanager
def roomy() -> Iterator[None]:
    """Freed buffers stay with the process inside; behind the outermost one they go back to the system."""
    global _inside  # noqa: PLW0603 - the allocator is one for the process
    libc = glibc()
    if libc is None:
        yield
        return
    if _inside == 0:
        _set(libc, KEEP)
    _inside += 1
    try:
        yield
    finally:
        _inside -= 1
        if _inside == 0:
            _set(libc, LEAVE)
            libc.malloc_trim(0)


def glibc() -> Any | None:
    """The C library of this process where it is glibc; None elsewhere (musl, macOS, Windows)."""
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc if all(hasattr(libc, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")) else None


def _set(libc: Any, values: dict[int, int]) -> None:
    for name, value in values.items():
        libc.mallopt(name, value)
