"""What the Ray engine runs on the nodes; imported by Ray's workers, never importing Ray.

A Ray worker that dies cannot say why. So each task has a file of last words on its node, named by a token
that the driver knows: the time limit and crashes write stacks there, and a small task on every node reads
it afterwards.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from winnow.dags.engines.base import arm, perform
from winnow.dags.engines.child import Child


def perform_here(spec: dict[str, Any], wire: bytes) -> bytes:
    """The reply to a task, from this Ray worker or from a child process of its own."""
    _extend_path(spec["path"])
    if threads := spec.get("isolate_threads"):
        child = Child(spec["function"], threads=threads)
        try:
            return child.run(wire)
        finally:
            child.kill()
    file = words_file(spec["token"])
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        arm(fd)
        return perform(spec["function"], wire)
    finally:
        arm(None)
        os.close(fd)
        file.unlink()


class WarmWorker:
    """An actor: a process that keeps what operators have built."""

    def run(self, spec: dict[str, Any], wire: bytes) -> bytes:
        """The reply to a task."""
        return perform_here(spec, wire)


def words_file(token: str) -> Path:
    """Where the last words of a task's attempt are kept on this machine."""
    return Path(tempfile.gettempdir()) / f"winnow-words-{token}"


def read_words(tokens: Iterable[str]) -> dict[str, str]:
    """Token -> what a worker that died on this node left; the files are removed."""
    found = {}
    for token in tokens:
        with contextlib.suppress(OSError):
            found[token] = f"host {socket.gethostname()}\n" + words_file(token).read_text(errors="replace")
            words_file(token).unlink()
    return found


def read_probe(file: str) -> str:
    """What this node reads in the driver's file."""
    return Path(file).read_text()


def _extend_path(entries: Iterable[str]) -> None:
    known = set(sys.path)
    sys.path.extend(entry for entry in entries if entry not in known)
