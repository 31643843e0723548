"""A run on an object store in a process of its own, which others kill at a request of their choice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CODE = """
import json, os, sys, traceback
from pathlib import Path
import support
from winnow.core.store import remote_client
remote_client.obstore()
command = json.loads(sys.stdin.readline())
def say(what):
    print(json.dumps(what), flush=True)
def child(name, root):
    try:
        say(os.getpid())
        found = support.run(command["recipe"], Path(command["folder"]), root, name=name, **command["options"])
        say({"digests": found.digests, "shards": {s: found.shards(s) for s in command["shards"]}})
    except BaseException:
        say({"error": traceback.format_exc()})
    finally:
        os._exit(0)
say("ready")  # everything is imported: what comes now are requests
for line in sys.stdin:
    pid = os.fork()  # no thread has begun here, so none is lost
    if pid == 0:
        child(*json.loads(line))
    if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
        say(None)
"""


class Driver:
    """Drivers, one at a time, forked from a process that has imported everything."""

    def __init__(self, folder: Path, recipe: str, cache: Path, shards: list[str], **options: Any) -> None:
        env = os.environ | {
            "PYTHONPATH": f"{HERE.parent}:{HERE}",
            "POLARS_MAX_THREADS": "1",
            "WINNOW_STORE_CACHE": str(cache),
        }
        self.pid = 0  # of the driver that runs
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        self._tell({"folder": str(folder), "recipe": recipe, "options": options, "shards": shards})
        assert self.answer() == "ready"

    def start(self, root: str, name: str = "test") -> None:
        """Begin a run."""
        self._tell([name, root])
        self.pid = self.answer()

    def answer(self) -> Any:
        """What it printed; None where it was killed."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def run(self, root: str, name: str = "test") -> Any:
        """A run, and its answer."""
        self.start(root, name)
        return self.answer()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()

    def _tell(self, what: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
