"""Work functions for the engine tests: imported by name in worker processes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from winnow.core.errors import ConfigError, DataError
from winnow.dags.engines.failures import conceal
from winnow.dags.engines.time_limits import beat, watchdog

seen = []  # what this process was asked so far


class OddlyShapedError(DataError):
    """Raised by a user's operator."""


def work(payload):
    seen.append(payload.get("x"))
    return globals()["do_" + payload["do"]](payload)


def leave_mark(path, *pids):
    """Write process ids down where a test waits for them: whole, or not at all."""
    mark = Path(path)
    mark.with_suffix(".tmp").write_text(" ".join(map(str, pids)))
    mark.with_suffix(".tmp").rename(mark)


def do_square(payload):
    return {"y": payload["x"] ** 2, "floats": [0.1, 1e300], "text": "é\u2028"}


def do_pid(payload):
    time.sleep(payload.get("sleep", 0))
    return {"pid": os.getpid(), "parent": os.getppid(), "seen": len(seen)}


def do_span(payload):
    begin = time.monotonic()  # one clock for all processes of a machine
    time.sleep(payload["sleep"])
    return {"begin": begin, "end": time.monotonic()}


def do_env(payload):
    return {"env": {name: os.environ.get(name) for name in payload["names"]}}


def do_threads(payload):
    import polars as pl

    return {"polars": pl.thread_pool_size()}


def do_config_error(payload):
    raise ConfigError("bad threshold 7", where="stage best", hint="use a share in [0, 1]")


def do_odd_error(payload):
    raise OddlyShapedError("a row is bent", where="part 3")


def do_value_error(payload):
    conceal("s3cret")
    raise ValueError("no such key s3cret")


def do_memory_error(payload):
    raise MemoryError("cannot allocate")


def do_exit(payload):
    sys.exit(3)


def do_interrupt(payload):
    raise KeyboardInterrupt


def do_hard_exit(payload):
    os._exit(payload["code"])


def do_not_a_dict(payload):
    return 7


def do_not_json(payload):
    return {"y": object()}


def do_kill_itself(payload):
    if "mark" in payload:
        with open(payload["mark"], "a") as file:
            file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def do_segfault(payload):
    import ctypes

    ctypes.string_at(0)


def do_regex_bomb(payload):
    leave_mark(payload["mark"], os.getpid())
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds the GIL for longer than any test


def do_beats(payload):
    for _ in range(payload["times"]):
        time.sleep(payload["each"])
        beat()
    return {"done": True}


def do_own_limit(payload):
    with watchdog(0):
        time.sleep(payload["free"])  # no limit here
    time.sleep(payload["bound"])  # the task's own limit again
    return {"done": True}


def do_hang(payload):
    """Hangs together with a grandchild; writes both process ids down."""
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    leave_mark(payload["mark"], os.getpid(), grandchild.pid)
    time.sleep(600)


def do_die_but_leave_a_child(payload):
    """A forked child keeps the worker's pipes open after the worker's death."""
    if os.fork() == 0:
        time.sleep(600)
    leave_mark(payload["mark"], os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


def do_print(payload):
    print("noise on standard output")
    os.write(1, b"more noise\n")
    return {"done": True}


def do_signal_state(payload):
    return {
        "sigint_ignored": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "leads": os.getsid(0) == os.getpid(),
    }


def do_import_selectors(payload):
    import selectors

    return {"file": selectors.__file__}
