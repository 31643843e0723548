"""Last words: what a worker that dies leaves in a file, for engines that hold no descriptor of its process.

A task has a file on the machine where it runs, named by a token that the driver knows. A time limit and a crash
write stacks there; a task that ends takes its file away.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

from winnow.dags.engines.perform import perform
from winnow.dags.engines.time_limits import arm


def perform_with_last_words(function: str, wire: bytes, token: str) -> bytes:
    """The reply to a task, whose time limit holds while it runs in this process."""
    file = words_file(token)
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        arm(fd)
        return perform(function, wire)
    finally:
        arm(None)
        os.close(fd)
        file.unlink()


def words_file(token: str) -> Path:
    """Where the last words of a task's attempt are kept on this machine."""
    return Path(tempfile.gettempdir()) / f"winnow-words-{token}"


def read_words(tokens: Iterable[str]) -> dict[str, str]:
    """Token -> what a worker that died on this machine left; the files are removed."""
    words = {}
    for token in tokens:
        with contextlib.suppress(OSError):
            words[token] = f"host {socket.gethostname()}\n" + words_file(token).read_text(errors="replace")
            words_file(token).unlink()
    return words
