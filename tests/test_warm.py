"""`winnow warm`: what a recipe needs is compiled into the installation, and a run that follows compiles nothing."""

import json
import os
import subprocess
import sys

import pytest
from cli_runs import winnow as called

from winnow.core import kernel_files
from winnow.dags.driver import warm
from winnow.dags.driver.session import make_runner, planned
from winnow.dags.recipe.yaml_recipe import parse_recipe

RECIPE = """
name: small
stages:
  docs: {use: jsonl, files: "%s", columns: {score: float64}}
"""
AS_INSTALLED = """
import sys
from pathlib import Path
from winnow.core import kernel_files
from winnow.core.kernel_watch import compiled
kernel_files.INSTALLED = Path(sys.argv.pop(1))
from winnow.cli import main
cold = kernel_files.is_cold()
with compiled() as kernels:
    code = main(sys.argv[1:])
print(code, cold, kernel_files.is_cold(), len(kernels))
"""


def process(tmp_path, user, *args):
    """A process of this user, whose installation keeps kernels in a folder of the test."""
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"XDG_CACHE_HOME": str(tmp_path / user)}
    command = [sys.executable, "-c", AS_INSTALLED, str(tmp_path / "installed"), *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout, done.stderr
    *_, said, told = done.stdout.splitlines()
    return said, told.split(), done.stderr


def test_what_is_warmed_as_one_user_is_there_for_another(tmp_path):
    """The files of the recipe are not there while it is warmed, as in an image that is built."""
    (tmp_path / "small.yaml").write_text(RECIPE % "data/*.jsonl")
    said, told, _ = process(tmp_path, "root", "warm", "small.yaml", "--json")
    found = json.loads(said)
    assert found["left"] == []
    assert found["for_all"]
    assert found["folder"] == str(tmp_path / "installed")
    assert told == ["0", "True", "False", str(len(found["kernels"]))]
    assert {k["kernel"] for k in found["kernels"]} >= {"hashing_kernels.hash_rows_128", "jsonl_kernels.read_lines"}
    assert all(k["cpu_s"] > 0 for k in found["kernels"])

    (tmp_path / "data").mkdir()
    lines = [json.dumps({"text": f"Text {n}.", "score": n}) for n in range(9)]
    (tmp_path / "data" / "a.jsonl").write_text("\n".join(lines))
    said, told, errors = process(tmp_path, "app", "run", "small.yaml", "--workers", "0")
    assert told == ["0", "False", "False", "0"]
    assert not list((tmp_path / "app").rglob("*.nbc"))
    assert "compiling kernels" not in errors


def test_a_first_run_says_that_it_compiles_and_where_that_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE % "a.jsonl")
    (tmp_path / "a.jsonl").write_text('{"text": "One.", "score": 1}\n')
    counts = iter([3, 12])
    monkeypatch.setattr(kernel_files, "is_cold", lambda: True)
    monkeypatch.setattr(kernel_files, "count_kept", lambda: next(counts))
    said = called(capsys, "run", "small.yaml").err
    assert "compiling kernels as they are needed" in said
    assert "compiled 9 kernels, kept in" in said


@pytest.mark.parametrize("reader", sorted(warm._WRITERS))
def test_every_kind_of_input_has_its_sample(tmp_path, reader):
    more = ", columns: {score: float64, NESTED: int64}" if reader in ("jsonl", "csv", "parquet") else ""
    more = more.replace("NESTED", "n" if reader == "csv" else "meta.n")
    more += ", text_field: body" if more else ""
    text = f"name: a\nstages:\n  docs: {{use: {reader}, files: nowhere/*{more}}}\n"
    left: list[str] = []
    recipe = warm._sampled(parse_recipe(text, name="a", folder=tmp_path), tmp_path, left)
    session = planned(recipe, out=str(tmp_path / "run"), write=True)
    make_runner(session, engine="auto", workers=0).run(session.plan, session.nodes(None))
    assert left == []
    assert _documents(tmp_path / "run") == len(warm._texts()) > 40


def _documents(root):
    """Rows of the only stage, from its manifest."""
    (manifest,) = root.glob("*/manifest.json")
    return json.loads(manifest.read_text())["rows"]


def test_what_trains_stays_out_with_what_builds_on_it_and_it_is_said(tmp_path):
    text = """
name: a
stages:
  docs: {use: jsonl, files: nowhere/*}
  half: {use: random, inputs: docs, budget: 10 docs}
  model: {use: train, inputs: [docs, half], tokens: 1000}
  loss: {use: lm_nats, inputs: docs, model: model}
"""
    left: list[str] = []
    recipe = warm._sampled(parse_recipe(text, name="a", folder=tmp_path), tmp_path, left)
    assert [stage.name for stage in recipe.stages] == ["docs", "half"]
    assert left == ["nothing is trained, no endpoint is asked: loss, model"]
