"""An engine as a plug-in would write it: `concurrent.futures` pools of one process each."""

import contextlib
import math
import multiprocessing
import os
import signal
import uuid
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from unittest import mock

from winnow.core.operators import Resources
from winnow.dags.engines import machine
from winnow.dags.engines.admission import Admission, Room
from winnow.dags.engines.base import WORK
from winnow.dags.engines.failures import engine_failure
from winnow.dags.engines.last_words import perform_with_last_words, read_words
from winnow.dags.engines.time_limits import timed_out

SPAWN = multiprocessing.get_context("spawn")


class Worker:
    """A pool of one process, which leads a group of its own."""

    def __init__(self, threads):
        self.threads, self.warmed = threads, set()
        self.pool = futures.ProcessPoolExecutor(1, mp_context=SPAWN, initializer=os.setsid)
        self.process = self.token = self.future = None

    def run(self, function, wire):
        """Send a task; the first one starts the process, whose libraries read their threads from its environment."""
        self.token, others = uuid.uuid4().hex, set(multiprocessing.active_children())
        with mock.patch.dict(os.environ, machine.thread_variables(self.threads)):
            self.future = self.pool.submit(perform_with_last_words, function, wire, self.token)
        if self.process is None:
            (self.process,) = set(multiprocessing.active_children()) - others

    def reply(self):
        """What came back, or why nothing did."""
        try:
            return self.future.result()
        except BrokenProcessPool:
            words = read_words([self.token]).get(self.token, "")
            self.process.join()
            what = f"a worker ended with exit code {self.process.exitcode}"
            return timed_out(words) or ("lost", engine_failure(what, words=words))

    def kill(self):
        """End the process, and what it started."""
        for end in (self.process.kill, lambda: os.killpg(self.process.pid, signal.SIGKILL)):
            with contextlib.suppress(ProcessLookupError):
                end()
        self.pool.shutdown(wait=True)


class PoolEngine(Admission):
    """Tasks run in pools of this machine; warm ones return to the process that knows them."""

    name = "pool"

    def __init__(self, *, workers=None, function=WORK, memory_gb=None):
        super().__init__()
        self.function, self.idle = function, []
        memory_gb = memory_gb or machine.available_memory_gb()
        self.have = Resources(cpus=workers or machine.available_cpus(), memory_gb=memory_gb)

    def room(self):
        return Room(together=self.have, single=self.have)

    def start(self, task, wire, need):
        threads = max(1, math.ceil(need.cpus))
        alike = [one for one in self.idle if one.threads == threads and one.process.is_alive() and not task.isolate]
        worker = min(alike, key=lambda one: (task.warm not in one.warmed, len(one.warmed)), default=None)
        if worker is not None:
            self.idle.remove(worker)
        elif self.idle and len(self.idle) + len(self.running) >= self.have.cpus:
            self.idle.pop(0).kill()
        worker = worker or Worker(threads)
        worker.run(self.function, wire)
        return worker

    def poll(self, timeout):
        known = {worker.future: worker for worker in self.running}
        ended = [known[future] for future in futures.wait(known, timeout, futures.FIRST_COMPLETED).done]
        for worker in ended:
            task = self.running[worker].task
            worker.warmed.add(task.warm)
            if task.isolate or worker.future.exception():
                worker.kill()
            else:
                self.idle.append(worker)
        return [(worker, worker.reply()) for worker in ended]

    def kill(self, handles):
        idle, self.idle = self.idle, []
        for worker in [*handles, *idle]:
            worker.kill()
