"""Every engine runs tasks alike; processes may die, hang or be cancelled, and the engine goes on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pool_engine import PoolEngine

from winnow.core import errors
from winnow.core.operators import Resources
from winnow.core.store.locations import open_store
from winnow.dags.engines import machine, registry
from winnow.dags.engines.base import Task
from winnow.dags.engines.local import LocalEngine
from winnow.dags.engines.on_ray import RayEngine
from winnow.dags.engines.registry import choose_engine

WORK = "engine_tasks:work"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pool():
    engine = LocalEngine(workers=2, function=WORK)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def in_process():
    engine = LocalEngine(workers=0, function=WORK)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def on_ray():
    engine = RayEngine(workers=2, function=WORK)
    engine.capacity()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def plugged():
    engine = PoolEngine(workers=2, function=WORK)
    yield engine
    engine.close()


RAY = pytest.param("on_ray", marks=pytest.mark.ray)


@pytest.fixture(params=["in_process", "pool", "plugged", RAY])
def engine(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["pool", "plugged", RAY])
def workers(request):
    """Engines whose tasks run outside the driver; what a failed test left running is ended."""
    engine = request.getfixturevalue(request.param)
    yield engine
    engine.cancel()


def task(do, number=0, **options):
    names = {"resources", "warm", "isolate", "timeout_s", "user_code"}
    given = {name: options.pop(name) for name in names & set(options)}
    return Task(id=f"{do}-{number}", payload={"do": do, **options}, **given)


def run(engine, *tasks, within=60):
    """Outcomes by task id."""
    for one in tasks:
        engine.submit(one)
    outcomes, end = {}, time.monotonic() + within
    while len(outcomes) < len(tasks):
        assert time.monotonic() < end, f"only {sorted(outcomes)} came back"
        for outcome in engine.wait(5):
            assert outcome.id not in outcomes
            outcomes[outcome.id] = outcome
    return outcomes


def only(engine, one, **options):
    return run(engine, one, **options)[one.id]


def gone(pid, within=10.0):
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def appear(path, within=60.0):
    end = time.monotonic() + within
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} was never written"
        time.sleep(0.02)
    return path.read_text()


# --- all engines alike ---


def test_every_engine_gives_the_same_values_for_more_tasks_than_it_has_room_for(engine):
    done = run(engine, *(task("square", n, x=n) for n in range(12)))
    assert {id_: (o.status, o.error, o.value) for id_, o in done.items()} == {
        f"square-{n}": ("ok", None, {"y": n * n, "floats": [0.1, 1e300], "text": "é\u2028"}) for n in range(12)
    }
    assert all(o.host and o.seconds >= 0 for o in done.values())


def test_wait_with_nothing_under_way_returns_at_once(engine):
    began = time.monotonic()
    assert engine.wait(30) == []
    assert time.monotonic() - began < 1


def test_our_errors_arrive_with_class_message_place_and_hint(engine):
    outcome = only(engine, task("config_error"))
    error = outcome.error
    assert (outcome.status, error.kind, error.what) == ("error", "ConfigError", "bad threshold 7")
    assert (error.where, error.hint) == ("stage best", "use a share in [0, 1]")
    assert "do_config_error" in error.traceback
    raised = error.exception()
    assert type(raised) is errors.ConfigError
    assert str(raised) == str(errors.ConfigError(error.what, where=error.where, hint=error.hint))


def test_a_users_subclass_of_our_error_is_known_by_its_family(engine):
    error = only(engine, task("odd_error")).error
    assert error.kind == "DataError"
    assert error.family[:2] == ("OddlyShapedError", "DataError")
    assert type(error.exception()) is errors.DataError


def test_other_errors_arrive_by_name_and_secrets_stay_behind(engine):
    outcome = only(engine, task("value_error"))
    assert (outcome.status, outcome.error.kind, outcome.error.what) == (
        "error",
        "ValueError",
        "no such key ***",
    )
    assert "s3cret" not in repr(outcome)
    assert type(outcome.error.exception()) is errors.EngineError


def test_memory_errors_are_oom(engine):
    assert only(engine, task("memory_error")).status == "oom"


@pytest.mark.parametrize(
    ("do", "kind"), [("exit", "SystemExit"), ("not_a_dict", "EngineError"), ("not_json", "TypeError")]
)
def test_whatever_work_does_to_python_is_an_error_and_not_a_death(engine, do, kind):
    outcome = only(engine, task(do))
    assert (outcome.status, outcome.error.kind) == ("error", kind)


def test_a_task_over_ten_kilobytes_or_not_json_is_refused(engine):
    with pytest.raises(errors.EngineError, match="over the limit"):
        engine.submit(task("square", x="a" * 10_000))
    with pytest.raises(errors.EngineError, match="not JSON"):
        engine.submit(task("square", x=object()))
    assert engine.wait(0) == []


@pytest.mark.parametrize("options", [{"isolate": True}, {"user_code": True}])
def test_isolated_tasks_and_user_code_never_run_in_the_driver(engine, options):
    outcomes = run(engine, *(task("pid", n, **options) for n in range(2)))
    assert all(o.value["pid"] != os.getpid() for o in outcomes.values())


def test_an_isolated_task_has_a_fresh_process_that_ends_with_it(engine):
    first, second = run(engine, *(task("pid", n, isolate=True) for n in range(2))).values()
    assert first.value["seen"] == second.value["seen"] == 1
    assert first.value["pid"] != second.value["pid"]
    assert gone(first.value["pid"])


# --- deaths ---


@pytest.mark.parametrize("options", [{}, {"isolate": True}, {"warm": "model"}])
def test_a_killed_worker_loses_its_own_task_and_the_engine_goes_on(workers, options, tmp_path):
    around = [task("square", n, x=n, **options) for n in range(4)]
    outcomes = run(workers, *around[:2], task("kill_itself", mark=str(tmp_path / "m"), **options), *around[2:])
    lost = outcomes.pop("kill_itself-0")
    assert (lost.status, lost.error.kind) == ("lost", "EngineError")
    assert (tmp_path / "m").read_text() == "x"  # tried once: retries are the runner's
    assert {o.status for o in outcomes.values()} == {"ok"}


def test_the_death_of_a_worker_is_reported_by_signal_or_exit_code(pool):
    assert "signal 9 (SIGKILL)" in only(pool, task("kill_itself")).error.what
    assert "exit code 7" in only(pool, task("hard_exit", code=7)).error.what


def test_a_crash_leaves_its_stack(workers):
    outcome = only(workers, task("segfault"))
    assert outcome.status == "lost"
    assert "do_segfault" in outcome.error.traceback


def test_a_death_is_noticed_though_a_forked_child_holds_the_pipe(pool, tmp_path):
    outcome = only(pool, task("die_but_leave_a_child", mark=str(tmp_path / "pid")), within=10)
    assert outcome.status == "lost"


def test_sigkill_while_the_kernel_counts_a_kill_for_memory_is_oom(monkeypatch):
    counts = iter([4, 5])
    monkeypatch.setattr(machine, "oom_kills", lambda: next(counts))
    with contextlib.closing(LocalEngine(workers=1, function=WORK)) as engine:
        assert only(engine, task("kill_itself")).status == "oom"


def test_a_worker_that_died_idle_costs_no_task(pool):
    pid = only(pool, task("pid")).value["pid"]
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    time.sleep(0.3)  # a zombie's other threads may still be dying, and only then can it be waited for
    assert {o.status for o in run(pool, *(task("square", n, x=n) for n in range(4))).values()} == {"ok"}


def test_a_worker_that_cannot_start_is_lost_and_says_so(monkeypatch, capfd):
    monkeypatch.setattr("winnow.dags.engines.child._BOOT", "raise SystemExit(9)")
    with contextlib.closing(LocalEngine(workers=1, function=WORK)) as engine:
        outcome = only(engine, task("square", x=1))
    assert outcome.status == "lost"
    assert "exit code 9 while it started" in outcome.error.what


# --- time limits ---


@pytest.mark.parametrize("options", [{}, {"isolate": True}, {"warm": "model"}])
def test_c_code_that_holds_the_gil_is_ended_by_the_time_limit(workers, tmp_path, options):
    outcome = only(workers, task("regex_bomb", mark=str(tmp_path / "m"), timeout_s=0.5, **options))
    assert outcome.status == "timeout"
    assert "do_regex_bomb" in outcome.error.traceback
    assert only(workers, task("square", x=3)).value["y"] == 9


def test_the_time_limit_counts_from_the_last_beat(workers):
    assert only(workers, task("beats", times=6, each=0.25, timeout_s=1)).status == "ok"
    assert only(workers, task("beats", times=1, each=5, timeout_s=0.3)).status == "timeout"


def test_an_inner_limit_ends_with_its_block(workers):
    assert only(workers, task("own_limit", free=0.8, bound=0, timeout_s=0.4)).status == "ok"
    assert only(workers, task("own_limit", free=0, bound=5, timeout_s=0.4)).status == "timeout"


def test_no_limit_ends_the_driver(in_process):
    assert only(in_process, task("beats", times=1, each=0.3, timeout_s=0.1)).status == "ok"


# --- cancelling and leaving ---


def pids_of(marks):
    return [int(pid) for mark in marks for pid in appear(mark).split()]


@pytest.mark.parametrize("isolate", [False, True])
def test_cancel_is_quick_leaves_no_process_and_the_engine_can_go_on(workers, tmp_path, isolate):
    marks = [tmp_path / f"hang{n}" for n in range(2)]
    workers.submit(task("hang", 0, mark=str(marks[0]), warm="model"))
    workers.submit(task("hang", 1, mark=str(marks[1]), isolate=isolate))
    workers.submit(task("square", 2, x=2))
    pids = pids_of(marks)
    if workers.name == "ray":  # what work itself starts there is Ray's to clean up, and it may not
        pids = [pids[0], pids[2]]
    began = time.monotonic()
    workers.cancel()
    assert time.monotonic() - began < 3
    assert all(gone(pid) for pid in pids)
    assert workers.wait(0) == []
    assert only(workers, task("square", x=4)).value["y"] == 16


def test_cancel_stops_c_code_that_holds_the_gil(workers, tmp_path):
    workers.submit(task("regex_bomb", mark=str(tmp_path / "m")))
    pid = int(appear(tmp_path / "m"))
    time.sleep(0.2)
    workers.cancel()
    assert gone(pid)


def test_close_ends_idle_workers(tmp_path):
    engine = LocalEngine(workers=2, function=WORK)
    pids = {o.value["pid"] for o in run(engine, *(task("pid", n, sleep=0.2) for n in range(4))).values()}
    engine.close()
    assert all(gone(pid, within=0.1) for pid in pids)


DRIVER = """
import sys, time
sys.path.insert(0, {tests!r})
{imports}
engine = {engine}
for n, do in enumerate(["hang", "regex_bomb"]):
    engine.submit(Task(id=str(n), payload={{"do": do, "mark": {marks!r} + str(n)}}))
{end}
"""  # on purpose without a main guard


def driver(tmp_path, engine, end):
    imports = (
        "from winnow.dags.engines.base import Task\n"
        "from winnow.dags.engines.local import LocalEngine\n"
        "from winnow.dags.engines.on_ray import RayEngine"
    )
    script = tmp_path / "driver.py"
    marks = str(tmp_path / "mark")
    script.write_text(DRIVER.format(tests=str(ROOT / "tests"), imports=imports, engine=engine, marks=marks, end=end))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, str(script)], env=env, start_new_session=True)


@pytest.mark.parametrize(
    "engine",
    [
        f"LocalEngine(workers=2, function={WORK!r})",
        pytest.param(f"RayEngine(workers=2, function={WORK!r})", marks=[pytest.mark.ray, pytest.mark.slow]),
    ],
)
def test_kill_9_of_the_driver_leaves_no_orphan(tmp_path, engine):
    parent = driver(tmp_path, engine, "engine.wait(600)")
    pids = pids_of([tmp_path / "mark0", tmp_path / "mark1"])
    if engine.startswith("Ray"):  # what user code starts on a Ray worker is Ray's to clean up
        del pids[1]
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    assert [pid for pid in pids if not gone(pid, within=20)] == []


def test_a_driver_that_just_ends_leaves_no_orphan(tmp_path):
    wait = """
from pathlib import Path
while not all(Path(sys.argv[0]).with_name(f"mark{n}").exists() for n in (0, 1)):
    time.sleep(0.02)
"""
    parent = driver(tmp_path, f"LocalEngine(workers=2, function={WORK!r})", wait)
    pids = pids_of([tmp_path / "mark0", tmp_path / "mark1"])
    assert parent.wait(20) == 0
    assert all(gone(pid) for pid in pids)


def test_a_worker_outlives_the_thread_that_started_it():
    from threading import Thread

    with contextlib.closing(LocalEngine(workers=1, function=WORK)) as engine:
        thread = Thread(target=engine.submit, args=[task("pid", sleep=1)])
        thread.start()
        thread.join()
        assert engine.wait(30)[0].status == "ok"


def test_workers_do_not_see_the_terminals_interrupt(pool):
    assert only(pool, task("signal_state")).value == {"sigint_ignored": True, "leads": True}


def test_an_interrupt_raised_by_work_reaches_the_caller_only_in_process(in_process, workers):
    assert only(workers, task("interrupt")).status == "error"
    in_process.submit(task("interrupt"))
    with pytest.raises(KeyboardInterrupt):
        in_process.wait(1)
    in_process.cancel()


# --- what a worker is given ---


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, "1"), (1, "1"), (1.5, "2"), (2, "2")])
def test_thread_variables_are_pinned_in_the_worker_and_untouched_in_the_driver(workers, cpus, threads):
    before = dict(os.environ)
    names = [
        "POLARS_MAX_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ]
    outcome = only(workers, task("env", names=names, resources=Resources(cpus=cpus)))
    assert outcome.value["env"] == dict.fromkeys(names, threads)
    assert dict(os.environ) == before
    assert only(workers, task("threads", resources=Resources(cpus=cpus))).value["polars"] == int(threads)


def overlap(outcomes):
    (_, end), (begin, _) = sorted((o.value["begin"], o.value["end"]) for o in outcomes.values())
    return begin < end


def test_a_task_of_many_cpus_runs_alone(workers):
    wide = [task("span", n, sleep=0.5, resources=Resources(cpus=8)) for n in range(2)]
    assert not overlap(run(workers, *wide))


def test_tasks_run_side_by_side_up_to_capacity(workers):
    assert workers.capacity() == 2
    run(workers, *(task("pid", n, sleep=0.2) for n in range(2)))
    pids = {o.value["pid"] for o in run(workers, *(task("pid", n, sleep=0.5) for n in range(2))).values()}
    assert len(pids) == 2


def test_memory_beyond_what_is_free_is_not_promised_twice(workers):
    run(workers, *(task("pid", n, sleep=0.2) for n in range(2)))  # both processes are there
    most = workers.memory_gb() * 0.6  # of what the engine saw, which may be more than is free by now
    greedy = [task("span", n, sleep=0.5, resources=Resources(memory_gb=most)) for n in range(2)]
    assert not overlap(run(workers, *greedy))
    modest = [
        task("span", n, sleep=2, resources=Resources(memory_gb=0.1)) for n in range(2)
    ]  # a process may start late
    assert overlap(run(workers, *modest)) or overlap(run(workers, *modest))


def test_one_task_runs_however_much_memory_it_asks_for(workers):
    assert only(workers, task("square", x=2, resources=Resources(memory_gb=1e6))).status == "ok"


def test_a_gpu_that_does_not_exist_is_an_error(workers, monkeypatch):
    if machine.gpu_devices():
        pytest.skip("this machine has a GPU")
    outcome = only(workers, task("square", x=2, resources=Resources(gpus=1)))
    assert outcome.status == "error"
    assert "asks for 1 GPU" in outcome.error.what


def test_gpus_are_dealt_out_among_running_tasks(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with contextlib.closing(LocalEngine(workers=2, function=WORK)) as engine:
        one = [task("env", n, names=["CUDA_VISIBLE_DEVICES"], resources=Resources(gpus=1)) for n in range(2)]
        seen = sorted(o.value["env"]["CUDA_VISIBLE_DEVICES"] for o in run(engine, *one).values())
        both = task("env", 2, names=["CUDA_VISIBLE_DEVICES"], resources=Resources(gpus=2))
        assert seen == ["3", "5"]
        assert only(engine, both).value["env"]["CUDA_VISIBLE_DEVICES"] == "3,5"


def test_warm_tasks_return_to_a_process_that_knows_them(workers):
    names = ["model a", "model b"]
    first = run(workers, *(task("pid", n, warm=names[n], sleep=1.5) for n in range(2)))
    homes = [first[f"pid-{n}"].value["pid"] for n in range(2)]
    assert homes[0] != homes[1]
    for n in (1, 0, 0, 1):
        assert only(workers, task("pid", warm=names[n])).value["pid"] == homes[n]


def test_idle_warm_processes_make_room_at_once(workers, monkeypatch):
    monkeypatch.setattr("winnow.dags.engines.on_ray._IDLE_ACTOR_S", 1e9)
    run(workers, *(task("pid", n, warm=f"old {n}", sleep=0.5) for n in range(2)))
    run(workers, *(task("square", n, x=n, warm=f"new {n}") for n in range(2)))


def test_many_warm_identities_do_not_block_each_other(workers):
    tasks = [task("square", n, x=n, warm=f"model {n}") for n in range(3)]
    assert {o.status for o in run(workers, *tasks, task("square", 9, x=9)).values()} == {"ok"}


def test_standard_output_of_the_driver_stays_clean(pool, capfd):
    assert only(pool, task("print", isolate=True)).status == "ok"
    assert capfd.readouterr().out == ""


def test_the_package_folder_never_reaches_a_workers_path(monkeypatch):
    monkeypatch.syspath_prepend(str(machine.PACKAGE))
    monkeypatch.setenv("PYTHONPATH", f"{machine.PACKAGE}{os.pathsep}{ROOT}")
    monkeypatch.chdir(machine.PACKAGE)
    with contextlib.closing(LocalEngine(workers=1, function=WORK)) as engine:
        file = only(engine, task("import_selectors")).value["file"]
    assert not Path(file).is_relative_to(machine.PACKAGE)


# --- choosing ---


def test_auto_chooses_by_address_and_number_of_parts(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert choose_engine("auto", pending=0).name == "local"
    assert choose_engine("auto", pending=registry.MANY_PARTS - 1).name == "local"
    assert choose_engine("auto", pending=registry.MANY_PARTS).name == "ray"
    assert choose_engine("auto", pending=registry.MANY_PARTS, workers=0).name == "local"
    assert choose_engine("local", pending=1, workers=None).capacity() == machine.available_cpus()
    assert choose_engine("local", pending=1, workers=0).capacity() == 1
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert choose_engine("auto", pending=1).name == "ray"
    assert choose_engine("ray", pending=0).name == "local"  # nothing to run: no Ray is started


def test_an_unknown_engine_or_a_negative_number_of_workers_is_refused():
    with pytest.raises(errors.ConfigError, match="unknown engine 'spark'"):
        choose_engine("spark", pending=1)
    with pytest.raises(errors.ConfigError, match="not -1"):
        choose_engine("local", pending=1, workers=-1)


def test_a_missing_ray_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(errors.EngineError) as caught:
        RayEngine().submit(task("square", x=1))
    assert "[ray]" in caught.value.hint


def test_ray_refuses_to_start_from_inside_the_package(monkeypatch):
    monkeypatch.chdir(machine.PACKAGE / "dags")
    with pytest.raises(errors.ConfigError, match="inside the package"):
        RayEngine().capacity()


def test_choosing_an_engine_imports_no_ray():
    code = """
import sys
from winnow.dags.engines.registry import choose_engine
choose_engine("auto", pending=9999)
print("ray" in sys.modules)
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_cpu_quota_and_memory_limits_are_honoured(tmp_path, monkeypatch):
    files = {"cpu.max": "50000 100000", "memory.max": "3000000000", "memory.current": "1000000000"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_cgroup_files", lambda c, n: iter([tmp_path / n] if not c and n in files else []))
    assert machine.available_cpus() == 1
    assert machine.available_memory_gb() <= 2


@pytest.mark.parametrize(("version", "names"), [(2, ("memory.max", "memory.current", "inactive_file")),
                                                (1, ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))])  # fmt: skip
def test_files_in_the_page_cache_are_not_taken_for_memory_in_use(tmp_path, monkeypatch, version, names):
    limit, usage, cached = names
    (tmp_path / limit).write_text("400000000")
    (tmp_path / usage).write_text("390000000")
    (tmp_path / "memory.stat").write_text(f"anon 1000\n{cached} 250000000\nactive_file 7\n")
    controller = "" if version == 2 else "memory"
    found = {limit, usage}
    monkeypatch.setattr(
        machine, "_cgroup_files", lambda c, n: iter([tmp_path / n] if c == controller and n in found else [])
    )
    assert machine.available_memory_gb() == pytest.approx(0.26)


@pytest.mark.parametrize(("controller", "name"), [("", "memory.events"), ("memory", "memory.oom_control"), ("", "")])
def test_kills_for_memory_are_counted_as_they_happen_in_a_file_that_is_looked_up_once(
    tmp_path, monkeypatch, controller, name
):
    looked = []

    def files(c, n):
        looked.append(n)
        return iter([tmp_path / n] if (c, n) == (controller, name) else [])

    monkeypatch.setattr(machine, "_cgroup_files", files)
    if not name:  # of the machine as a whole
        machine.oom_kills()
        assert looked == ["memory.events", "memory.oom_control"]
        return
    for count in (0, 3, 4):
        (tmp_path / name).write_text(f"low 9\noom 7\noom_kill {count}\noom_group_kill 8\n")
        assert machine.oom_kills() == count
    assert looked[-1] == name
    assert len(looked) == len(set(looked))


# --- clusters ---


@pytest.mark.ray
def test_ray_reads_the_output_folder_or_says_who_does_not(on_ray, tmp_path, monkeypatch):
    on_ray.probe(open_store(tmp_path))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("winnow.dags.engines.on_ray.read_probe", lambda location, key: "something else")
    with pytest.raises(errors.ConfigError, match="1 of 1 nodes"):
        on_ray.probe(open_store(tmp_path))
    monkeypatch.setattr("winnow.dags.engines.on_ray._PROBE_S", 0.0)
    monkeypatch.setattr("winnow.dags.engines.on_ray.read_probe", lambda location, key: time.sleep(600))
    with pytest.raises(errors.EngineError, match="1 of 1 nodes did not say within 0 s whether they see"):
        on_ray.probe(open_store(tmp_path))


@pytest.mark.ray
@pytest.mark.slow
def test_a_removed_node_loses_its_task_and_the_engine_goes_on(tmp_path):
    code = f"""
import json, sys, time, pathlib
sys.path.insert(0, {str(ROOT / "tests")!r})
import ray
from ray.cluster_utils import Cluster
from winnow.core.operators import Resources
from winnow.core.store.locations import open_store
from winnow.dags.engines.base import Task
from winnow.dags.engines.on_ray import RayEngine
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 1}})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
import os
os.environ["RAY_ADDRESS"] = cluster.address
engine = RayEngine(function={WORK!r})
statuses = {{"capacity": engine.capacity()}}
engine.probe(open_store({str(tmp_path)!r}))
marks = [pathlib.Path({str(tmp_path)!r}) / f"m{{n}}" for n in range(2)]
for n, mark in enumerate(marks):
    engine.submit(Task(id=str(n), payload={{"do": "hang", "mark": str(mark)}}))
while not all(mark.exists() for mark in marks):
    time.sleep(.05)
cluster.remove_node(second, allow_graceful=False)
lost = []
end = time.time() + 90
while not lost and time.time() < end:
    lost = engine.wait(5)
statuses["lost"] = [(o.status, o.error.kind) for o in lost]
engine.cancel()
engine.submit(Task(id="after", payload={{"do": "square", "x": 5}}))
after = []
while not after and time.time() < end + 30:
    after = engine.wait(5)
statuses["after"] = [o.value["y"] for o in after]
engine.close()
ray.shutdown()
cluster.shutdown()
print(json.dumps(statuses))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found == {"capacity": 2, "lost": [["lost", "EngineError"]], "after": [25]}
