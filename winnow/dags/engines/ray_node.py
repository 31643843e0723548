"""What the Ray engine runs on the nodes; imported by Ray's workers, never importing Ray."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from winnow.core.quick_start import seldom_collected
from winnow.core.store.locations import open_store
from winnow.dags.engines.child import Child
from winnow.dags.engines.last_words import perform_with_last_words


def perform_here(spec: dict[str, Any], wire: bytes) -> bytes:
    """The reply to a task, from this Ray worker or from a child process of its own."""
    _extend_path(spec["path"])
    seldom_collected()
    if threads := spec["isolate_threads"]:
        child = Child(spec["function"], threads=threads)
        try:
            return child.run(wire)
        finally:
            child.kill()
    return perform_with_last_words(spec["function"], wire, spec["token"])


class WarmWorker:
    """An actor: a process that keeps what operators have built."""

    def run(self, spec: dict[str, Any], wire: bytes) -> bytes:
        """The reply to a task."""
        return perform_here(spec, wire)


def read_probe(location: str, key: str) -> str:
    """What this node reads of the driver's bytes in a store."""
    return open_store(location).get(key).decode()


def _extend_path(entries: Iterable[str]) -> None:
    known = set(sys.path)
    sys.path.extend(entry for entry in entries if entry not in known)
