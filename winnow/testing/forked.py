"""A process apart that answers many questions, each in a fork of what it has imported.

A fresh interpreter costs a second of imports and of loading kernels, and a check of all operators asks for a hundred.
What is imported before the forks starts no computation, so that no thread of a pool is lost.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SERVE = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from winnow.testing import forked; forked.serve()"
_FORKS = sys.platform == "linux"  # elsewhere a fork after imports may hang: one process for each question
_running: dict[str, Forks] = {}


class Forks:
    """The process as its parent sees it; it ends when that ends."""

    def __init__(self, environ: Mapping[str, str], path: Sequence[str], preload: str) -> None:
        self.key = (dict(environ), list(path))
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _SERVE, json.dumps(list(path)), preload],
            env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, function: str, *arguments: Any, words: Path) -> int:
        """Exit code of a call of `module:name`, negative for a signal; what it said on stderr is in `words`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = {"function": function, "arguments": arguments, "words": str(words), "cwd": str(Path.cwd())}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        return int(answer) if answer else self._process.wait()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def ask(
    environ: Mapping[str, str], path: Sequence[str], preload: str, function: str, *arguments: Any, words: Path
) -> int:
    """`Forks.ask` of the process that runs already, where environment and path are the same.

    `preload`: the `module:name` that it calls before the first fork.
    """
    running = _running.get(preload)
    if running is not None and (running.key != (dict(environ), list(path)) or running._process.poll() is not None):
        _running.pop(preload).close()
        running = None
    if running is None:
        running = _running[preload] = Forks(environ, path, preload)
    code = running.ask(function, *arguments, words=words)
    if not _FORKS:
        _running.pop(preload).close()
    return code


@atexit.register
def _close_all() -> None:
    while _running:
        _running.popitem()[1].close()


def serve() -> None:
    """What the process does: import, then fork for every line of standard input and print how the fork ended."""
    _named(sys.argv[2])()
    for line in sys.stdin:
        question = json.loads(line)
        if not _FORKS:
            print(_answer(question), flush=True)  # noqa: T201
            return
        pid = os.fork()
        if pid == 0:
            os._exit(_answer(question))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201


def _answer(question: Mapping[str, Any]) -> int:
    os.chdir(question["cwd"])
    words = os.open(question["words"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(words, 2)
    if _FORKS:
        os.dup2(words, 1)  # the answers go there
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    importlib.invalidate_caches()  # files may have come since the last look
    try:
        _named(question["function"])(*question["arguments"])
    except BaseException:  # noqa: BLE001 (operators raise anything)
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    sys.stdout.flush()
    return 0


def _named(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)
