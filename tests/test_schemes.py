"""A scheme that a door does not take is refused there by name, before anything is created."""

import contextlib
import os
from pathlib import Path

import pytest
from support import plan_of

import winnow as w
from winnow.cli import main
from winnow.core.errors import ConfigError
from winnow.core.operators import port_fields
from winnow.core.store.locations import refuse_scheme, scheme_of
from winnow.dags.recipe.found_files import find_files
from winnow.dags.recipe.registry import REGISTRY, class_at
from winnow.trainers.data.shards import find_shards

SCHEMES = ["s3", "gs", "hf", "https", "http", "file", "az", "hdfs", "s3a", "git+ssh", "ABFS"]
RECIPE = "stages:\n  docs: {use: jsonl, files: a.jsonl}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "r.yaml").write_text(RECIPE)
    before = sorted(os.listdir())
    yield
    assert sorted(os.listdir()) == before, "something was created"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_is_named_with_the_next_action(scheme):
    with pytest.raises(ConfigError, match=f"{scheme.lower()}:// is not supported yet".replace("+", r"\+")) as refused:
        refuse_scheme(f"{scheme}://bucket/x", where="files")
    assert refused.value.hint
    assert scheme_of(f"{scheme}://bucket/x") == scheme.lower()


@pytest.mark.parametrize("path", ["a/b", "./s3://x", "C:/x", "a:b", "s3:/x", "://x", "1s://x", ""])
def test_a_path_is_a_path(path):
    refuse_scheme(path)
    assert scheme_of(path) == ""


DOORS = {
    "run --out": ["run", "r.yaml", "--out", "URL"],
    "run DAG": ["run", "URL/r.yaml"],
    "plan --out": ["plan", "r.yaml", "--out", "URL"],
    "check": ["check", "URL/r.yaml"],
    "demo --out": ["demo", "--out", "URL"],
    "gc": ["gc", "URL"],
    "report RUN": ["report", "URL"],
    "report --out": ["report", "--out", "URL"],
    "why": ["why", "URL", "x"],
    "sample": ["sample", "URL"],
    "sweep": ["sweep", "URL", "--vary", "a=1"],
    "diff": ["diff", "URL", "URL"],
    "export RUN": ["export", "URL", "corpus", "--to", "x"],
    "ablate SETS": ["ablate", "a=URL/a.jsonl", "b=a.jsonl", "--eval", "a.jsonl"],
    "ablate --eval": ["ablate", "a=a.jsonl", "b=a.jsonl", "--eval", "t=URL/a.jsonl"],
    "ablate --out": ["ablate", "a=a.jsonl", "b=a.jsonl", "--eval", "t=a.jsonl", "--out", "URL"],
    "--set files": ["run", "r.yaml", "--out", "URL", "--set", "docs.files=a.jsonl"],
}


@pytest.mark.parametrize("door", DOORS)
def test_every_verb_refuses_it(door, capfd):
    with contextlib.suppress(SystemExit):
        assert main([a.replace("URL", "hdfs://bucket") for a in DOORS[door]]) == 2
    told = capfd.readouterr().err
    assert "hdfs:// is not supported yet" in told, told


def ports():
    for name, path in sorted(REGISTRY.items()):
        for port, kind in port_fields(class_at(path)).items():
            if kind in ("files", "ref", "refs"):
                yield pytest.param(name, port, kind, id=f"{name}.{port}")


@pytest.mark.parametrize(("name", "port", "kind"), list(ports()))
def test_every_port_of_every_operator_refuses_it(name, port, kind, tmp_path):
    if kind == "files":  # a port's files are found by one function
        with pytest.raises(ConfigError, match="hf:// is not supported yet"):
            find_files(["hf://datasets/x/*.parquet"], base="", folder=tmp_path, where=f"stages.x.{port}")
        return
    from winnow.dags.recipe.plan import Planner
    from winnow.dags.recipe.yaml_recipe import StageSpec, parse_recipe

    planner = Planner(parse_recipe(RECIPE, name="t", folder=tmp_path), None)
    with pytest.raises(ConfigError, match="hf:// is not supported yet"):
        planner._ref_name(StageSpec(name="x", use=name), port, "hf://datasets/x/*.parquet")


@pytest.mark.parametrize("recipe", [
    "stages:\n  docs: {use: jsonl, files: 'hdfs://b/*.jsonl'}\n",
    "stages:\n  docs: {use: jsonl, files: a.jsonl, base: 'hdfs://b'}\n",
    "stages:\n  docs: {use: text_files, files: ['a.jsonl', 'ftp://b/x']}\n",
])  # fmt: skip
def test_fields_that_are_paths_refuse_it(recipe, tmp_path):
    with pytest.raises(ConfigError, match="is not supported yet"):
        plan_of(recipe, tmp_path)


def test_python_refuses_it():
    for call in (lambda: w.run_recipe("r.yaml", out="hdfs://x"), lambda: w.open("hdfs://x"), lambda: find_shards("s3://x/*"),
                 lambda: find_shards([Path("a.jsonl"), "hf://x/a.parquet"])):  # fmt: skip
        with pytest.raises(ConfigError, match="is not supported yet"):
            call()
