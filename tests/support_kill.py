"""A process that runs recipes in forked children and kills them at a chosen change of the file system.

Children are forked from a parent that has imported everything and computed nothing, so that no thread is lost.
Operations are counted by audit events (open for writing, link, rename, remove, mkdir, rmdir) below the root, and
by the first bytes written to every data file: a child with `kill_at: n` ends by SIGKILL just before its n-th.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EVENTS = ("os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir")


class Killer:
    """The parent process, as a test sees it."""

    def __init__(self) -> None:
        env = os.environ | {"PYTHONPATH": f"{HERE.parent}:{HERE}", "POLARS_MAX_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def __call__(self, **command: Any) -> dict[str, Any]:
        """Run one command in a child: its answer, or {"killed": signal}."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the parent."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=20)
        assert self._process.stdout
        self._process.stdout.close()


def serve() -> None:
    """Fork a child per line of standard input, answer on standard output."""
    _preload()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        out = Path(command["out"])
        out.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            _child(command)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            answer = {"killed": os.WTERMSIG(status)}
        else:
            answer = json.loads(out.read_text()) if out.exists() else {"error": f"exit {status}"}
            _import_too(answer.pop("modules", []))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _import_too(modules: list[str]) -> None:
    """What a child had to import, so that the next one need not: it is most of a small run's time."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _preload() -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet
    import support
    import support_ops

    from winnow.core.words import hashing
    from winnow.pipeline.dedup.shingling import sketched

    assert support
    assert support_ops
    text = pa.array(["a b c", "d"], pa.large_string())
    ids = hashing.text_hash(text)
    table = pa.table({"t": text, "i": pa.array([1, 2]), "f": ids})
    for name in table.column_names:
        hashing.column_digest(ids, table.column(name).chunk(0))
    hashing.table_digest(table, table.column_names)
    hashing.row_digest(ids)
    sketched(text, 2, 4)
    assert np


class _Clock:
    """Counts operations; `log` holds the keys of the data files written."""

    def __init__(self, root: str, kill_at: int | None) -> None:
        self.root, self.kill_at, self.ticks = root, kill_at, 0
        self.log: list[str] = []
        self.names: list[str] = []

    def tick(self, what: str) -> None:
        """One operation is about to happen."""
        self.ticks += 1
        self.names.append(what)
        if self.ticks == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Audit hook."""
        if event == "open":
            path, _, flags = arguments
            if not (isinstance(path, str | bytes | os.PathLike) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        elif event not in EVENTS:
            return
        path = os.fsdecode(arguments[1] if event == "os.link" else arguments[0])
        if event in ("os.remove", "os.rmdir") and not path.startswith("/"):
            path = f"{self.root}/{path}"  # shutil.rmtree works relative to a folder's descriptor
        if (path + "/").startswith(self.root + "/") and not (event == "os.mkdir" and os.path.isdir(path)):
            self.tick(f"{event} {path[len(self.root) + 1 :]}")


def _child(command: dict[str, Any]) -> None:
    import support

    from winnow.core.store import parts
    from winnow.core.store.posix_store import PosixStore
    from winnow.core.store.store import Store

    code, known = 1, set(sys.modules)
    try:
        os.setpgid(0, 0)
        os.fsync = lambda fd: None  # type: ignore[assignment]
        clock = _Clock(command["root"], command.get("kill_at"))
        writing, write = PosixStore.writing, parts.HashingSink.write

        def logged(self: Store, key: str) -> Any:
            clock.log.append(key)
            return writing(self, key)

        def torn(self: parts.HashingSink, data: Any) -> int:
            if self.size == 0:
                self.sink.write(memoryview(data)[:3])
                self.sink.flush()
                clock.tick("first bytes")
                self.sink.seek(0)
            return write(self, data)

        PosixStore.writing, parts.HashingSink.write = logged, torn  # type: ignore[method-assign]
        sys.addaudithook(clock.audit)
        with support.own_operators(**command.get("operators", {})):
            found = support.run(
                command["recipe"], Path(command["folder"]), Path(command["root"]), **command.get("options", {})
            )
        body = {
            "digests": found.digests, "metrics": found.metrics, "computed": found.computed, "ticks": clock.ticks, "written": clock.log,
            "shards": {s: found.shards(s) for s in command.get("shards", ())}, "seconds": found.seconds,
            "names": clock.names if command.get("names") else [], "modules": [m for m in sys.modules if m not in known],
        }  # fmt: skip
        Path(command["out"]).write_text(json.dumps(body))
        code = 0
    except BaseException:
        Path(command["out"]).write_text(json.dumps({"error": traceback.format_exc()}))
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
