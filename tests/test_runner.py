"""The runner: bounded, fused, streaming; a failed stage stops what depends on it and nothing else."""

import json
import time
from pathlib import Path

import pytest
from support import lines_of, own_operators, plan_of, put_corpus, put_file, run, texts

from winnow.core.errors import DataError, EngineError, Interrupted
from winnow.core.store.locations import open_store
from winnow.dags.driver import runner as runners
from winnow.dags.driver.runner import Runner, RunSettings
from winnow.dags.engines.base import Outcome
from winnow.dags.engines.local import LocalEngine
from winnow.dags.shapes import fold
from winnow.dags.shapes.stage_run import Options
from winnow.dags.shapes.table import task_class
from winnow.dags.shapes.unit_task import from_wire

RECIPE = """
stages:
  docs:   {use: jsonl, files: "raw/*"}
  a:      {use: count_tokens, inputs: docs}
  b:      {use: filter, inputs: docs, keep: {x: "text_bytes > 40"}}
  c:      {use: filter, inputs: docs, keep: {x: "text_bytes > 80"}, ignore: all}
  exact:  {use: exact, inputs: docs, where: kept_b}
  unique: {use: minhash, inputs: docs, ignore: all}
  best:   {use: top_k, inputs: [docs, exact, b], by: token_count, budget: 50%}
  corpus: {use: write, inputs: [docs, best], shard_bytes: 4KB}
"""


class Watched(LocalEngine):
    """An engine that notes what it is given, and may run tasks out of order."""

    def __init__(self, workers=0, slots=3, hook=None):
        super().__init__(workers=workers, function="winnow.dags.shapes.worker:execute")
        self.slots, self.hook = slots, hook
        self.tasks, self.now, self.most, self.closed, self.cancelled = [], 0, 0, 0, 0

    def capacity(self):
        return self.slots

    def submit(self, task):
        self.tasks.append(task)
        self.now += 1
        self.most = max(self.most, self.now)
        super().submit(task)

    def wait(self, timeout):
        if self.hook:
            self.hook(self)
        done = super().wait(timeout)
        self.now -= len(done)
        return done

    def cancel(self):
        self.cancelled += 1
        super().cancel()

    def close(self):
        self.closed += 1
        super().close()


@pytest.fixture
def folder(tmp_path):
    return put_corpus(tmp_path / "in" / "raw", texts(90, seed=3), 3).parent


def watched(monkeypatch, folder, root, recipe=RECIPE, engine=None, **options):
    engine = engine or Watched()
    monkeypatch.setattr(runners, "choose_engine", lambda *a, **k: engine)
    plan = plan_of(recipe, folder, root)
    runner = Runner(open_store(root), RunSettings(name="t", options=Options(**({"part_bytes": 1500} | options))))
    return engine, plan, runner


def go(monkeypatch, folder, root, recipe=RECIPE, engine=None, **options):
    engine, plan, runner = watched(monkeypatch, folder, root, recipe, engine, **options)
    return engine, runner.run(plan, plan.nodes)


def test_at_most_twice_the_capacity_is_in_flight_and_it_is_used(monkeypatch, folder, tmp_path):
    engine, _ = go(monkeypatch, folder, tmp_path / "out")
    assert engine.most == 2 * engine.slots
    assert engine.now == 0
    assert len(engine.tasks) > 60


def test_tasks_are_small_plain_data_without_text(monkeypatch, folder, tmp_path):
    engine, _ = go(monkeypatch, folder, tmp_path / "out", buckets=16, part_bytes=6000)
    sizes = [len(task.wire()) for task in engine.tasks]
    assert max(sizes) < 5000
    assert not any("Over" in json.dumps(t.payload) and "\n" in json.dumps(t.payload) for t in engine.tasks)


def test_many_inputs_do_not_make_a_task_larger(monkeypatch, folder, tmp_path):
    few, _ = go(monkeypatch, folder, tmp_path / "few", part_bytes=6000)
    many, _ = go(monkeypatch, folder, tmp_path / "many", part_bytes=900)
    assert len(many.tasks) > 2 * len(few.tasks)
    longest = [max(len(t.wire()) for t in e.tasks if t.payload["do"] != "MergeTask") for e in (few, many)]
    assert longest[1] < longest[0] + 400


def units_of(task):
    """The units that a task of an engine computes."""
    first = from_wire(task.payload, task_class(task.payload["do"]))
    return [first, *getattr(first, "siblings", ())]


def test_sibling_maps_over_a_part_share_one_task(monkeypatch, folder, tmp_path):
    engine, result = go(monkeypatch, folder, tmp_path / "out")
    maps = [t for t in engine.tasks if t.payload["do"] == "MapTask"]
    parts = len(result.runs[0].parts)
    assert parts > 5
    folders = {"/".join(sorted(one.folder.split("-")[0] for one in units_of(t))) for t in maps}
    assert folders == {"count_tokens/filter/filter/minhash_signatures"}  # the four, always together
    assert len(maps) == parts


def test_other_branches_go_on_when_a_stage_fails_and_then_the_error_comes(monkeypatch, folder, tmp_path):
    (folder / "mine.py").write_text(
        "from winnow.scorers.function_scorer import scorer\n@scorer('mine')\ndef score(text):\n    raise ValueError('never')\n"
    )
    recipe = (
        RECIPE
        + '  mine: {use: "mine:score", inputs: docs}\n  best2: {use: top_k, inputs: docs, by: mine, budget: 10%}\n'
    )
    with pytest.raises(DataError, match="never") as failed:
        go(monkeypatch, folder, tmp_path / "out", recipe)
    assert "mine" in failed.value.where or "mine" in str(failed.value)
    root = tmp_path / "out"
    complete = {p.parent.name.rsplit("-", 1)[0] for p in root.glob("*/manifest.json")}
    assert {"jsonl", "count_tokens", "filter", "exact", "minhash_clusters", "write"} <= complete
    assert "function_scorer" not in complete
    assert len(list(root.glob("top_k-*/manifest.json"))) == 1


def test_nothing_is_written_outside_the_root(folder, tmp_path, monkeypatch):
    work = tmp_path / "cwd"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    before = sorted(p for p in (tmp_path / "in").rglob("*"))
    run(RECIPE, folder, tmp_path / "out", part_bytes=3000)
    assert sorted(p for p in (tmp_path / "in").rglob("*")) == before
    assert not list(work.iterdir())
    assert not list((tmp_path / "tmp").iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cwd", "in", "out", "tmp"]


def test_a_cached_run_starts_no_engine_and_is_quick(folder, tmp_path, monkeypatch):
    run(RECIPE, folder, tmp_path / "out", part_bytes=1500)

    def refuse(*arguments, **options):
        raise AssertionError("an engine was started")

    monkeypatch.setattr(runners, "choose_engine", refuse)
    begun = time.monotonic()
    again = run(RECIPE, folder, tmp_path / "out", part_bytes=1500)
    assert time.monotonic() - begun < 1
    assert again.computed == {}
    assert all(r.cached for r in again.runs)


def test_an_interrupt_ends_the_engine_and_keeps_what_is_done(monkeypatch, folder, tmp_path):
    def interrupt(engine):
        if len(list((tmp_path / "out").glob("*/receipts/part/*"))) > 3:
            raise KeyboardInterrupt

    engine = Watched(hook=interrupt)
    with monkeypatch.context() as patch, pytest.raises(Interrupted) as stopped:
        go(patch, folder, tmp_path / "out", engine=engine, part_bytes=4000)
    assert stopped.value.exit_code == 130
    assert engine.closed == 1
    assert engine.cancelled >= 1
    assert not list((tmp_path / "out" / "alive").glob("*"))
    done = len(list((tmp_path / "out").glob("*/receipts/part/*")))
    assert done > 3
    again = run(RECIPE, folder, tmp_path / "out", part_bytes=4000)
    fresh = run(RECIPE, folder, tmp_path / "fresh", part_bytes=4000)
    assert again.digests == fresh.digests
    assert sum(again.computed.values()) <= sum(fresh.computed.values()) - done


class Losing(Watched):
    """Loses the first attempts of one kind of task."""

    def __init__(self, do, times, status):
        super().__init__()
        self.do, self.times, self.status, self.lost = do, times, status, 0

    def submit(self, task):
        if task.payload["do"] == self.do and self.lost < self.times:
            self.lost += 1
            self.tasks.append(task)
            self.now += 1
            self._done.append(Outcome(id=task.id, status=self.status))
        else:
            super().submit(task)


@pytest.mark.parametrize(
    "do",
    [
        "ReadTask",
        "MapTask",
        "SendKeysTask",
        "ResolveTask",
        "CollectTask",
        "SummariseTask",
        "MergeTask",
        "DecideTask",
        "FoldAtOnceTask",
        "LabelTask",
        "SendLinksTask",
        "SolvePiecesTask",
        "PlaceTask",
        "SendRowsTask",
        "ShardTask",
    ],
)
@pytest.mark.parametrize("status", ["lost", "oom"])
def test_a_unit_whose_worker_was_lost_is_tried_again(monkeypatch, folder, tmp_path, do, status):
    if do in ("SummariseTask", "MergeTask", "DecideTask"):
        monkeypatch.setattr(fold, "AT_ONCE_ROWS", 0)
    engine, result = go(monkeypatch, folder, tmp_path / "out", engine=Losing(do, 1, status), part_bytes=6000)
    assert engine.lost == 1
    assert all(r.manifest for r in result.runs)
    if status == "oom" and do != "MapTask":
        again = [t.resources.memory_gb for t in engine.tasks if t.payload["do"] == do]
        assert max(again) == 2 * min(again)


def test_a_unit_that_is_always_lost_fails_alone(monkeypatch, folder, tmp_path):
    with pytest.raises(EngineError):
        go(monkeypatch, folder, tmp_path / "out", engine=Losing("LabelTask", 99, "lost"), part_bytes=6000)
    assert list((tmp_path / "out").glob("write-*/manifest.json"))


def test_of_several_failures_that_of_the_machine_is_raised_and_the_others_are_counted(monkeypatch, folder, tmp_path):
    (folder / "mine.py").write_text(
        "from winnow.scorers.function_scorer import scorer\n@scorer('mine')\ndef score(text):\n    raise ValueError('never')\n"
    )
    recipe = RECIPE.replace("  a: ", '  mine: {use: "mine:score", inputs: docs}\n  a: ')
    with pytest.raises(EngineError, match=r"lost \(and 1 more failed unit: mine\)") as failed:
        go(monkeypatch, folder, tmp_path / "out", recipe, Losing("LabelTask", 99, "lost"))
    assert failed.value.exit_code == 4


class LastFirst(Watched):
    """Ends the youngest task first."""

    def __init__(self, slots):
        super().__init__(slots=slots)
        self.held = []

    def submit(self, task):
        self.tasks.append(task)
        self.held.append(task)

    def wait(self, timeout):
        LocalEngine.submit(self, self.held.pop())
        return super().wait(timeout)


def keys_of(engine):
    """(what, stage, unit) -> key of every task."""
    found = {}
    for task in engine.tasks:
        for one in units_of(task):
            found[type(one).__name__, one.folder, one.unit, one.phase] = one.key
    return found


def test_no_key_depends_on_the_order_in_which_tasks_end(monkeypatch, folder, tmp_path):
    """Else a resumed run, which finds units in another order, would compute merges and fits again."""
    put_corpus(folder / "more", texts(40, seed=4), 2)
    recipe = (
        RECIPE.replace("inputs: docs", "inputs: all")
        .replace("[docs,", "[all,")
        .replace(
            "  a: ",
            '  more:   {use: jsonl, files: "more/*", source: b}\n  all:    {use: concat, inputs: [docs, more]}\n  a: ',
        )
    )
    with own_operators(typical="support_ops:Typical", halves="support_ops:Halves"):
        recipe += "  mean: {use: typical, inputs: all}\n  long: {use: halves, inputs: all}\n"
        one, _ = go(monkeypatch, folder, tmp_path / "one", recipe)
        two, _ = go(monkeypatch, folder, tmp_path / "two", recipe, LastFirst(slots=5))
    assert len(keys_of(one)) > 100
    assert keys_of(one) == keys_of(two)


def test_equal_stages_under_two_names_are_computed_once(folder, tmp_path):
    recipe = RECIPE + "  d: {use: filter, inputs: docs, keep: {x: 'text_bytes > 40'}, ignore: all}\n"
    found = run(recipe, folder, tmp_path / "out", part_bytes=6000)
    assert found.of("b") is found.of("d")
    assert Path(found.folder("b")) == Path(found.folder("d"))


def test_an_empty_selection_is_written_as_an_empty_corpus(folder, tmp_path):
    recipe = RECIPE.replace("text_bytes > 40", "text_bytes > 9999999")
    found = run(recipe, folder, tmp_path / "out", part_bytes=6000)
    assert found.manifest("corpus").rows == 0
    assert found.counts("exact")["masked"] == 90
    assert list(found.shards("corpus")) == ["shard-00000-of-00001.parquet"]


def test_counts_of_every_stage_add_up_to_the_rows(folder, tmp_path):
    put_file(folder / "raw" / "odd.jsonl", lines_of(["", "x"]))
    found = run(RECIPE, folder, tmp_path / "out", part_bytes=1500)
    rows = found.manifest("docs").rows
    assert rows == 92
    for name in ("a", "b", "c", "exact", "unique", "best"):
        counts = found.counts(name)
        assert counts["rows"] == rows == sum(counts[s] for s in ("ok", "masked", "failed", "null")), name


def test_maps_follow_the_reader_part_by_part(tmp_path, monkeypatch):
    """Chains stream: the first part is through its Maps before the last unit is read."""
    from winnow.dags.engines.local import LocalEngine

    put_corpus(tmp_path / "raw", texts(240), files=24)
    order: list[str] = []
    submit = LocalEngine.submit
    monkeypatch.setattr(
        LocalEngine, "submit", lambda self, task: (order.append(task.payload["do"]), submit(self, task))[1]
    )
    recipe = f"""
stages:
  docs: {{use: jsonl, files: "{tmp_path}/raw/*.jsonl"}}
  sig: {{use: signals, inputs: docs}}
  clean: {{use: filter, inputs: sig, keep: {{some: "word_count > 2"}}}}
"""
    run(recipe, tmp_path, tmp_path / "root", part_bytes=1024)
    assert order.count("ReadTask") >= 12
    assert order.index("MapTask") < len(order) - 1 - order[::-1].index("ReadTask")
    second = [i for i, do in enumerate(order) if do == "MapTask"][1]
    assert second < len(order) - 1 - order[::-1].index("ReadTask"), "the filter too"
