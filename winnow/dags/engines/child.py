"""Worker processes: a fresh interpreter that runs tasks one after another, and dies when its parent does.

Neither forked (Polars and OpenMP hang after a fork) nor multiprocessing's spawn (which imports the caller's
`__main__` again): `python -P -c` with pipes of its own. The worker leads a session, so a terminal's Ctrl-C
does not reach it and its whole family can be killed as a group. A *lifeline* pipe that the parent only ever
holds open asks the kernel for SIGKILL to the group when the last writer is gone: no thread and no GIL is
needed, so a worker stuck in C code leaves no orphan either when the driver is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from typing import Any

from winnow.core.errors import EngineError
from winnow.dags.engines import machine
from winnow.dags.engines.base import Death
from winnow.dags.engines.failures import engine_failure
from winnow.dags.engines.perform import perform, reply
from winnow.dags.engines.time_limits import arm, timed_out

_BOOT = (
    "import json, sys; c = json.loads(sys.argv[1]); sys.path[:] = c['path']; "
    "from winnow.dags.engines.child import serve; serve(c)"
)
_HEADER = struct.Struct("<Q")
_HELLO = b"hello"


class Child:
    """A worker process as its parent sees it."""

    def __init__(
        self, function: str, *, threads: int = 1, devices: tuple[str, ...] | None = None, plain: bool = False
    ) -> None:
        self.threads, self.devices = threads, devices
        self.plain = plain  # it runs no user code, so pyarrow need not look for pandas
        self.warmed: set[str] = set()  # identities of the heavy operators it has run
        self._ready = False
        self._kills = 0  # the kernel's kills for memory when the task began
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        inbox, self._inbox = os.pipe()
        self._outbox, outbox = os.pipe()
        lifeline, self._lifeline = os.pipe()
        fds = {"inbox": inbox, "outbox": outbox, "lifeline": lifeline, "words": self._words.fileno()}
        config = {"function": function, "path": machine.import_path(), "plain": plain, **fds}
        env = machine.worker_environment() | machine.thread_variables(threads)
        if devices is not None:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        if not sys.executable:
            raise EngineError("this process does not know its Python interpreter (sys.executable is empty)")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, json.dumps(config)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # standard output belongs to the driver's results
                env=env,
                pass_fds=list(fds.values()),
                start_new_session=True,
            )
        finally:
            for fd in (inbox, outbox, lifeline):
                os.close(fd)

    def fileno(self) -> int:
        """The descriptor that becomes readable when a reply is there or the worker is gone."""
        return self._outbox

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def send(self, wire: bytes) -> None:
        """Hand over one task; the pipe has room for one. Raises: OSError if the process is gone."""
        self._kills = machine.oom_kills()
        _write(self._inbox, wire)

    def receive(self) -> bytes | None:
        """The reply; b'' if that was only the start-up message; None if the process is gone."""
        try:
            body = _read(self._outbox)
        except OSError:
            return None
        if body == _HELLO:
            self._ready = True
            return b""
        return body

    def run(self, wire: bytes) -> bytes:
        """Send one task and wait for its reply; a death is a reply too."""
        with contextlib.suppress(OSError):
            self.send(wire)
        while not (body := self.receive()):
            if body is None:
                status, failure = self.autopsy()
                return reply(status, error=vars(failure))
        return body

    def autopsy(self) -> Death:
        """Why the process is gone; kills what is left of it."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it closed its pipe and lives on
            code = -signal.SIGKILL
        words = self._last_words()
        started = self._ready
        self.kill()
        if death := timed_out(words):
            return death
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        if code == -signal.SIGKILL and machine.oom_kills() > self._kills:
            hint = "use fewer workers, or raise memory_gb so that fewer run side by side"
            return "oom", engine_failure(f"a worker was {how}: out of memory", hint=hint, words=words)
        if not started:
            return "lost", engine_failure(f"a worker {how} while it started", words=words)
        return "lost", engine_failure(f"a worker was {how}" if code < 0 else f"a worker {how}", words=words)

    def signal_kill(self) -> None:
        """SIGKILL to the worker and every process it started; does not wait."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill the worker and every process it started."""
        self.signal_kill()
        self._reap(1)

    def hang_up(self) -> None:
        """Send no more tasks: an idle worker ends by itself."""
        if self._inbox >= 0:
            os.close(self._inbox)
            self._inbox = -1

    def close(self, grace_s: float = 2) -> None:
        """Let the worker end by itself, and kill it after `grace_s` seconds."""
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace_s)
        self.kill()

    def _reap(self, timeout: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=timeout)
        for name in ("_inbox", "_outbox", "_lifeline"):
            if (fd := getattr(self, name)) >= 0:
                os.close(fd)
                setattr(self, name, -1)
        self._words.close()

    def _last_words(self) -> str:
        return os.pread(self._words.fileno(), 1 << 20, 0).decode(errors="replace")


def serve(config: dict[str, Any]) -> None:
    """Perform the tasks of the inbox and write replies to the outbox, until the inbox ends."""
    for name in ("inbox", "outbox", "lifeline", "words"):
        os.set_inheritable(config[name], False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(config["lifeline"])
    arm(config["words"])
    _write(config["outbox"], _HELLO)
    from winnow.core.quick_start import few_collections, quick_end, without_pandas

    if config["plain"]:
        without_pandas()
    with few_collections():
        while (wire := _read(config["inbox"])) is not None:
            _write(config["outbox"], perform(config["function"], wire))
    quick_end()


def _die_with_parent(lifeline: int) -> None:
    """End our process group as soon as nobody holds the other end of `lifeline` any more."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        leads = os.getpgrp() == os.getpid()
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid() if leads else os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        watch = select.poll()
        watch.register(lifeline, select.POLLIN)
        if watch.poll(0):  # gone before we asked
            os._exit(1)
        return

    def wait() -> None:  # elsewhere a thread must do, which needs the GIL
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _write(fd: int, body: bytes) -> None:
    view = memoryview(_HEADER.pack(len(body)) + body)
    while view:
        view = view[os.write(fd, view) :]


def _read(fd: int) -> bytes | None:
    """The next frame; None if the writer is gone."""
    header = _exactly(fd, _HEADER.size)
    return None if header is None else _exactly(fd, _HEADER.unpack(header)[0])


def _exactly(fd: int, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        piece = os.read(fd, min(count - len(parts), 1 << 20))
        if not piece:
            return None
        parts += piece
    return bytes(parts)


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
