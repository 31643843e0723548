"""`winnow new` writes a module and a test that work as they stand, and overwrites nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import plan_of, put_corpus, texts

import winnow as w
from winnow.core.errors import ConfigError
from winnow.dags.before.scaffold import scaffold


@pytest.mark.parametrize("kind", ["scorer", "selector"])
def test_a_new_module_and_its_test_pass_as_they_stand(tmp_path, kind):
    made = scaffold(kind, "house_style", tmp_path)
    assert (made.module.name, made.test.name) == ("house_style.py", "test_house_style.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), made.test.name],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["scorer", "selector"])
def test_the_line_is_a_stage_of_a_recipe_beside_the_module(tmp_path, kind):
    made = scaffold(kind, "house_style", tmp_path)
    put_corpus(tmp_path / "raw", texts(12), 1)
    recipe = f'stages:\n  docs: {{use: jsonl, files: "{tmp_path}/raw/*.jsonl"}}\n{made.line}\n'
    node = plan_of(recipe, tmp_path).node("house_style")
    assert node.operator.target == "house_style:house_style"
    assert "house_style:house_style" in made.check


def test_the_checker_sees_a_broken_edit(tmp_path, monkeypatch):
    """The contract test of the scaffold can fail: a score that hangs on its neighbours is found."""
    made = scaffold("scorer", "house_style", tmp_path)
    monkeypatch.chdir(tmp_path)
    made.module.write_text(made.module.read_text().replace(".clip(1)", ".clip(1).max()"))
    assert not w.check_target("house_style:house_style")["ok"]


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("scorer", "2fast", "cannot name a function"),
        ("scorer", "class", "cannot name a function"),
        ("scorer", "_x", "cannot name a function"),
        ("scorer", "../x", "cannot name a function"),
        ("scorer", "json", "a module of Python"),
        ("scorer", "polars", "an installed module"),
        ("selector", "kept", "every row has a column"),
        ("scorr", "fine", "did you mean 'scorer'"),
    ],
)
def test_names_that_cannot_work_are_refused_and_nothing_is_written(tmp_path, kind, name, told):
    with pytest.raises(ConfigError) as found:
        scaffold(kind, name, tmp_path)
    assert told in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "test_house_style.py").write_text("mine")
    with pytest.raises(ConfigError, match="already there"):
        scaffold("scorer", "house_style", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["test_house_style.py"]


def environment():
    root = str(Path(w.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": root, "PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "1"}
