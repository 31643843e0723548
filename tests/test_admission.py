"""The admission loop by itself, over an engine that runs nothing: what starts, what waits, what comes back."""

import time

import pytest

from winnow.core.errors import EngineError
from winnow.core.operators import Resources
from winnow.dags.engines.admission import Admission, Room, fits
from winnow.dags.engines.base import Task
from winnow.dags.engines.failures import engine_failure
from winnow.dags.engines.perform import reply


class Still(Admission):
    """Tasks end when a test says so."""

    name = "still"

    def __init__(self, **room):
        super().__init__()
        self.have = Room(
            **{"together": Resources(cpus=4, memory_gb=10), "single": Resources(cpus=2, memory_gb=8)} | room
        )
        self.needs, self.ended, self.killed = {}, [], []

    def room(self):
        return self.have

    def start(self, task, wire, need):
        self.needs[task.id] = need
        return task.id

    def poll(self, timeout):
        ended, self.ended = self.ended, []
        if not ended:
            time.sleep(timeout)
        return ended

    def kill(self, handles):
        self.killed += handles

    def end(self, *ids):
        self.ended += [(id_, reply("ok", value={"id": id_})) for id_ in ids]
        return [outcome.value["id"] for outcome in self.wait(0)]


def submit(engine, **tasks):
    for name, wants in tasks.items():
        engine.submit(Task(id=name, payload={}, resources=Resources(**{"cpus": 1, "memory_gb": 1} | wants)))
    return sorted(engine.running)


def test_tasks_start_while_they_fit_and_in_the_order_of_submission():
    engine = Still()
    assert submit(engine, a={}, b={"cpus": 2}, c={"cpus": 2}, d={}) == ["a", "b"]  # d would fit, and c is before it
    assert engine.end("a") == ["a"]
    assert sorted(engine.running) == ["b", "c"]
    assert engine.end("b") == ["b"]
    assert sorted(engine.running) == ["c", "d"]


def test_one_task_always_runs_with_at_most_what_one_node_has():
    engine = Still()
    assert submit(engine, big={"cpus": 64, "memory_gb": 1e6}, next={"memory_gb": 3}) == ["big"]
    assert engine.needs["big"] == Resources(cpus=2, memory_gb=8)
    engine.end("big")
    assert list(engine.running) == ["next"]


def test_memory_is_not_promised_twice_and_shares_of_a_cpu_add_up():
    engine = Still()
    assert submit(engine, a={"memory_gb": 6}, b={"memory_gb": 5}) == ["a"]
    engine = Still()
    assert len(submit(engine, **{f"t{n}": {"cpus": 0.1, "memory_gb": 0} for n in range(41)})) == 40
    assert not fits(Resources(gpus=1), [Resources(gpus=2)], Resources(cpus=9, gpus=2, memory_gb=99))
    assert fits(Resources(gpus=0), [Resources(gpus=3)], Resources(cpus=9, gpus=2, memory_gb=99))


def test_a_gpu_that_no_node_has_is_an_error_unless_nodes_may_join():
    engine = Still()
    assert submit(engine, a={"gpus": 1}, b={}) == ["b"]
    (outcome,) = engine.wait(5)
    assert (outcome.id, outcome.status) == ("a", "error")
    assert submit(Still(may_grow=True), a={"gpus": 1}) == ["a"]


def test_a_death_is_an_outcome_with_its_time():
    engine = Still()
    submit(engine, a={})
    time.sleep(0.02)
    engine.ended.append(("a", ("lost", engine_failure("a worker ended with exit code 7"))))
    (outcome,) = engine.wait(5)
    assert (outcome.status, outcome.error.what) == ("lost", "a worker ended with exit code 7")
    assert 0.02 <= outcome.seconds < 5


def test_room_that_grows_is_used_while_nothing_ends():
    engine = Still()
    submit(engine, a={"cpus": 2}, b={"cpus": 2}, c={"cpus": 2})
    engine.have = Room(together=Resources(cpus=6, memory_gb=10), single=engine.have.single)
    assert engine.wait(0.01) == []
    assert sorted(engine.running) == ["a", "b", "c"]
    assert engine.capacity() == 6


def test_cancel_kills_what_runs_and_forgets_what_waits():
    engine = Still()
    submit(engine, gpu={"gpus": 1}, a={"cpus": 2}, b={"cpus": 2}, c={})
    engine.cancel()
    assert engine.killed == ["a", "b"]
    began = time.monotonic()
    assert engine.wait(30) == []
    assert time.monotonic() - began < 5
    assert submit(engine, d={}) == ["d"]


def test_a_task_is_not_taken_where_workers_cannot_be_reached(monkeypatch):
    engine = Still()

    def unreachable():
        raise EngineError("no cluster")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "room", unreachable)
        with pytest.raises(EngineError):
            submit(engine, a={})
    assert engine.wait(0) == []
    assert submit(engine, b={}) == ["b"]
