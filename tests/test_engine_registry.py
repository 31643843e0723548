"""A new engine is a file and a line: every place that names engines asks the registry."""

import re
from pathlib import Path

import pytest
from support import put_corpus, run, texts

import winnow
from winnow.core.errors import ConfigError
from winnow.dags.engines import registry
from winnow.dags.engines.registry import Entry, choose_engine, engine_help, engine_names

RECIPE = """
stages:
  docs:   {use: jsonl, files: "raw/*"}
  clean:  {use: filter, inputs: docs, keep: {x: "text_bytes > 40"}}
  exact:  {use: exact, inputs: docs, where: kept_clean}
  unique: {use: minhash, inputs: [docs, exact]}
  best:   {use: random, inputs: [docs, unique], budget: 50%}
  corpus: {use: write, inputs: [docs, best], shard_bytes: 4KB}
"""


@pytest.fixture
def plugged(monkeypatch):
    monkeypatch.setitem(registry.ENGINES, "pool", Entry("pool_engine:PoolEngine", "pools of one process"))


@pytest.fixture
def folder(tmp_path):
    return put_corpus(tmp_path / "in" / "raw", texts(90, seed=3), 3).parent


def test_a_recipe_gives_the_same_digests_and_bytes_on_an_engine_of_one_more_line(folder, tmp_path, plugged):
    local = run(RECIPE, folder, tmp_path / "local", part_bytes=4000)
    there = run(RECIPE, folder, tmp_path / "there", part_bytes=4000, engine="pool", workers=2)
    assert there.runner.engine.name == "pool"
    assert there.digests == local.digests
    assert there.shards("corpus") == local.shards("corpus")
    assert len(there.shards("corpus")) > 1


def test_a_plugged_engine_is_known_to_the_verbs_and_to_python(folder, tmp_path, plugged, monkeypatch):
    assert "pool" in engine_names()
    assert "pool: pools of one process" in engine_help()
    (folder / "web.yaml").write_text(RECIPE)
    monkeypatch.chdir(folder)
    result = winnow.run_recipe("web.yaml", out=str(tmp_path / "out"), engine="pool", workers=1, until="clean")
    assert all(one.manifest for one in result.runs)
    with pytest.raises(ConfigError) as caught:
        winnow.run_recipe("web.yaml", out=str(tmp_path / "none"), engine="poool")
    assert caught.value.hint == "did you mean 'pool'?"
    assert not list((tmp_path / "none").glob("runs/*"))


def test_auto_leaves_an_engine_alone_that_does_not_say_when_it_suits(plugged):
    assert choose_engine("auto", pending=1).name == "local"
    assert choose_engine("pool", pending=1, workers=2).capacity() == 2


def test_an_engine_may_say_when_it_suits(monkeypatch):
    entry = Entry("pool_engine:PoolEngine", "pools of one process", lambda pending, workers: pending > 2)
    monkeypatch.setattr(registry, "ENGINES", {"pool": entry, **registry.ENGINES})
    assert [choose_engine("auto", pending=n).name for n in (2, 3)] == ["local", "pool"]


def test_the_command_line_names_what_the_registry_has():
    from winnow.cli.run import Engine

    (option,) = Engine.__metadata__
    assert option.metavar == "auto|ray|local"
    assert all(entry.what in option.help for entry in registry.ENGINES.values())


def test_no_other_file_lists_the_names_of_engines():
    package = Path(winnow.__file__).parent
    files = [path for path in package.rglob("*.py") if path.parent.name != "engines"]
    listed = re.compile(r"""\b(auto|ray|local)["'|, ]+(auto|ray|local)\b""")
    assert listed.search('engine not in ("auto", "local")')
    assert listed.search("auto|ray")
    assert [str(path) for path in files if listed.search(path.read_text())] == []


def test_the_engine_of_the_tests_is_short():
    assert len(Path(__file__).with_name("pool_engine.py").read_text().splitlines()) < 100


def test_the_environment_says_the_workers_where_nothing_else_does(monkeypatch):
    monkeypatch.setenv("WINNOW_WORKERS", "3")
    assert registry.workers_given(None) == 3
    assert registry.workers_given(0) == 0
    monkeypatch.setenv("WINNOW_WORKERS", " ")
    assert registry.workers_given(None) is None
    monkeypatch.setenv("WINNOW_WORKERS", "all")
    with pytest.raises(ConfigError, match="WINNOW_WORKERS"):
        registry.workers_given(None)


@pytest.mark.processes
def test_a_run_that_says_nothing_uses_processes_and_the_environment_can_say_otherwise(folder, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        "winnow.dags.engines.local.Child", lambda *a, **k: made.append(a) or pytest.fail("a process was begun")
    )
    (folder / "r.yaml").write_text('stages:\n  docs: {use: jsonl, files: "raw/*"}\n')
    monkeypatch.setenv("WINNOW_WORKERS", "0")
    winnow.run_recipe(str(folder / "r.yaml"), out=str(tmp_path / "a"))
    assert not made
    monkeypatch.delenv("WINNOW_WORKERS")
    with pytest.raises(BaseException, match="a process was begun"):
        winnow.run_recipe(str(folder / "r.yaml"), out=str(tmp_path / "b"))
