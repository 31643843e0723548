"""Every run keeps a record of its own: nothing is overwritten, every verb reaches it, and `forget` lets go of it."""

import json
import threading
from pathlib import Path

import orjson
import pytest
from cli_runs import make_input, winnow, write_recipe
from support import put_corpus, run, texts

import winnow as w
from winnow.cli import VERBS
from winnow.core.errors import ConfigError, DataError, StoreError
from winnow.core.store.locations import open_store
from winnow.dags.driver.runner import Runner
from winnow.dags.looking.runs import runs_json
from winnow.dags.recipe import history
from winnow.dags.recipe.records import latest_record, read_record

RECIPE = """
name: web
stages:
  docs:  {use: jsonl, files: "raw/*.jsonl"}
  sig:   {use: signals, inputs: docs}
  clean: {use: filter, inputs: [sig], keep: {long: "word_count >= 40"}}
  out:   {use: write, inputs: [docs, clean]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    make_input(tmp_path)
    write_recipe(tmp_path, RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def winnows(capsys, *args):
    said = winnow(capsys, *args)
    assert said.code == 0, said.err
    return said


def three_runs(capsys):
    """The recipe, another threshold, the recipe again."""
    for more in ([], ["--set", "clean.keep={long: word_count >= 60}"], []):
        winnows(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, *more)


def test_nothing_is_overwritten_and_runs_lists_them(folder, capsys):
    three_runs(capsys)
    (root,) = winnows(capsys, "runs", "out", "--json").json()["roots"]
    assert [r["run"] for r in root["runs"]] == ["web@1", "web@2", "web@3"]
    assert [r["outcome"] for r in root["runs"]] == ["finished"] * 3
    assert [r["same_as"] for r in root["runs"]] == ["", "", "@1"]
    assert root["runs"][1]["sets"] == {"clean.keep": "{long: word_count >= 60}"}
    kept = [r["kept"] for r in root["runs"]]
    assert kept[0] == kept[2] > kept[1]
    for r in root["runs"]:
        assert r["began"].endswith("+00:00")
        assert r["began"] <= r["ended"]
        assert r["seconds"] >= 0
        assert r["versions"]["winnow"] == w.__version__
        assert (r["stages"], r["complete"], r["recipe"]) == (4, 4, "web")
    said = winnows(capsys, "runs", "out").out
    assert "web@2" in said
    assert "as @1" in said
    assert "finished" in said
    short = winnows(capsys, "runs", "out:web", "-n", 1).out
    assert "web@3" in short
    assert "web@1" not in short
    assert "the latest 1 of 3" in short


LOOKS = {  # every verb that takes a finished run, and what stands before and behind it
    "why": ([], ["1.jsonl#0"]), "sample": ([], []), "sweep": ([], ["--vary", "clean.long:60=40,60"]),
    "diff": ([], ["out:web@1"]), "report": ([], []), "export": ([], ["out", "--to", "mine"]), "runs": ([], []),
    "forget": ([], []), "card": ([], []),
}  # fmt: skip
NO_RUN = {"schema", "run", "warm", "demo", "plan", "list", "check", "ablate", "new", "gc"}


def test_every_verb_takes_or_leaves_runs():
    assert set(LOOKS) | NO_RUN == {name for name, _ in VERBS}


@pytest.mark.parametrize("verb", sorted(set(LOOKS) - {"report"}))
@pytest.mark.parametrize("address", ["out:web@2", "out@2", "out@prev"])
def test_every_looking_verb_reaches_an_earlier_run(folder, capsys, verb, address):
    three_runs(capsys)
    before, behind = LOOKS[verb]
    told = winnows(capsys, verb, *before, address, *behind, "--json").json()
    text = json.dumps(told)
    assert "web@2" in text or verb == "runs"
    if verb == "runs":
        assert len(told["roots"][0]["runs"]) == 3


def test_dates_prev_and_what_is_not_there(folder, capsys):
    three_runs(capsys)
    began = read_record(open_store("out"), "web").began
    assert w.open(f"out:web@{began[:10]}").name == "web@3"
    assert w.open("out@prev").name == "web@2"
    assert w.open("out:web").name == "web"
    assert w.open("out", name="web@1").name == "web@1"
    assert w.open("out@1").about["outcome"] == "finished"
    assert w.open("out@1").frame("clean").collect().height > 0
    with pytest.raises(ConfigError, match="no record @9") as caught:
        w.open("out:web@9")
    assert "@1 (" in caught.value.hint
    with pytest.raises(ConfigError, match="has no earlier run"):
        history.earlier(w.open("out@1").record, "prev")


def test_diff_of_one_run_is_against_the_one_before(folder, capsys):
    three_runs(capsys)
    one = winnows(capsys, "diff", "out", "--json").json()
    two = winnows(capsys, "diff", "out@prev", "out", "--json").json()
    assert one == two
    assert winnows(capsys, "diff", "out@2", "--json").json() == one
    assert (one["a"]["run"], one["b"]["run"]) == ("web@2", "web")


def test_gc_keeps_what_any_record_reaches_until_it_is_forgotten(folder, capsys):
    three_runs(capsys)
    assert winnows(capsys, "gc", "out", "--json").json()["removed"] == []
    second = w.open("out@2").run.stage("clean").folder
    told = winnows(capsys, "forget", "out:web@2", "--json").json()
    assert (told["removed"], told["left"]) == (["web@2"], 2)
    assert (folder / "out" / second).is_dir()  # no stage is touched
    gone = {r["path"] for r in winnows(capsys, "gc", "out", "--json").json()["removed"]}
    assert second in gone
    assert [r["run"] for r in runs_json("out")["roots"][0]["runs"]] == ["web@1", "web@3"]
    assert w.open("out@prev").name == "web@1"


def test_forgetting_the_latest_shows_the_one_before_and_all_is_no_run(folder, capsys):
    three_runs(capsys)
    winnows(capsys, "forget", "out:web@3")
    assert read_record(open_store("out"), "web").number == 2
    said = winnow(capsys, "forget", "out")
    assert said.code == 2
    assert "out:web" in said.err
    winnows(capsys, "forget", "out", "--keep", 1)
    assert history.numbers(open_store("out"), "web") == [2]
    winnows(capsys, "forget", "out:web")
    with pytest.raises(ConfigError, match="no run"):
        w.open("out")
    assert winnows(capsys, "gc", "out", "--json").json()["kept_stages"] == 0


def test_a_failed_run_and_a_stopped_one_say_so(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    put_corpus(folder, texts(20), files=2)
    good = "stages:\n  docs: {use: jsonl, files: '*.jsonl'}\n  sig: {use: signals, inputs: docs}\n"
    bad = "stages:\n  docs: {use: jsonl, files: '*.jsonl', text_field: nothing}\n"
    with pytest.raises(DataError):
        run(bad, folder, tmp_path / "root")

    def stopped(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "_loop", stopped)
        with pytest.raises(w.Interrupted):
            run(good, folder, tmp_path / "root")
    run(good, folder, tmp_path / "root")
    store = open_store(tmp_path / "root")
    (name,) = history.names(store)
    found = list(history.records(store, name))
    assert [history.outcome(r) for r in found] == ["failed", "interrupted", "finished"]
    assert found[0].body["error"]["kind"] == "DataError"


def test_a_run_that_was_killed_began_and_did_not_end(tmp_path):
    store = open_store(tmp_path)
    body = {"format": 1, "began": history.now(), "driver": "nowhere-1", "stages": {}}
    assert history.begin(store, "web", body) == 1
    assert history.outcome(history.numbered(store, "web", 1)) == "interrupted"
    store.put("alive/nowhere-1.json", orjson.dumps({"run": "web", "number": 1}))
    assert history.outcome(history.numbered(store, "web", 1)) == "running"
    with pytest.raises(StoreError, match="going on"):
        history.forget(read_record(store, "web"), whole=True)
    assert history.numbers(store, "web") == [1]


def test_two_drivers_of_one_name_have_two_records(tmp_path):
    store, made = open_store(tmp_path), []
    barrier = threading.Barrier(8)

    def drive(i):
        barrier.wait()
        number = history.begin(store, "web", {"format": 1, "began": history.now(), "who": i, "stages": {}})
        history.end(store, "web", number, {"format": 1, "who": i, "outcome": "finished", "stages": {}})
        made.append(number)

    threads = [threading.Thread(target=drive, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == history.numbers(store, "web") == list(range(1, 9))
    assert sorted(r.body["who"] for r in history.records(store, "web")) == list(range(8))


def test_a_run_that_began_earlier_and_ends_later_does_not_become_the_latest(tmp_path):
    store, body = open_store(tmp_path), {"format": 1, "began": history.now(), "stages": {}}
    first, second = history.begin(store, "web", body), history.begin(store, "web", body)
    history.end(store, "web", second, {**body, "outcome": "finished"})
    history.end(store, "web", first, {**body, "outcome": "failed"})
    assert read_record(store, "web").number == second
    assert [history.outcome(r) for r in history.records(store, "web")] == ["failed", "finished"]


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("act", ["begin", "end", "forget"])
def test_killed_at_any_operation_the_history_stays_readable(tmp_path, act, monkeypatch):
    """Every prefix of the store operations of an act leaves records that all can be read, and a latest one."""
    body = {"format": 1, "began": history.now(), "stages": {}}
    for at in range(1, 12):
        store = open_store(tmp_path / f"{at}")
        for _ in range(2):
            history.end(store, "web", history.begin(store, "web", body), {**body, "outcome": "finished"})
        number = history.begin(store, "web", body) if act == "end" else 0
        left = [at]

        def counted(name, left=left, store=store):
            real = getattr(type(store), name)

            def op(self, *args):
                left[0] -= 1
                if left[0] == 0:
                    raise _Killed
                return real(self, *args)

            return op

        with monkeypatch.context() as patched:
            for name in ("put", "put_new", "delete"):
                patched.setattr(type(store), name, counted(name))
            try:
                if act == "begin":
                    history.begin(store, "web", body)
                elif act == "end":
                    history.end(store, "web", number, {**body, "outcome": "finished"})
                else:
                    history.forget(history.numbered(store, "web", 2), whole=False)
                done = True
            except _Killed:
                done = False
        latest = latest_record(store, "web")
        found = {r.number for r in history.records(store, "web")}
        assert latest.number in found
        assert {1} <= found <= {1, 2, 3}
        assert history.reached(store) == set()
        if done:
            return
    raise AssertionError("more operations than were tried")


def test_a_record_of_an_earlier_version_becomes_the_first(folder, capsys):
    winnows(capsys, "run", "web.yaml", "--out", "out", "--workers", 0)
    old = orjson.loads(Path("out/runs/web.json").read_bytes())
    for key in ("number", "began", "ended", "seconds", "outcome", "versions", "driver", "sets", "until"):
        old.pop(key)
    Path("out/runs/web.json").write_bytes(orjson.dumps(old))
    for path in sorted(Path("out/runs/history").rglob("*.json")):
        path.unlink()
    assert [r["run"] for r in runs_json("out")["roots"][0]["runs"]] == ["web"]
    winnows(capsys, "run", "web.yaml", "--out", "out", "--workers", 0)
    told = runs_json("out")["roots"][0]["runs"]
    assert [(r["run"], r["outcome"]) for r in told] == [("web@1", ""), ("web@2", "finished")]


def test_a_partial_run_keeps_what_the_latest_says_of_the_others(folder, capsys):
    winnows(capsys, "run", "web.yaml", "--out", "out", "--workers", 0)
    winnows(capsys, "run", "web.yaml", "--out", "out", "--workers", 0, "--until", "sig")
    told = runs_json("out")["roots"][0]["runs"]
    assert [(r["stages"], r["until"]) for r in told] == [(4, None), (4, "sig")]
