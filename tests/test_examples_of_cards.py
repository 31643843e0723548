"""The example on every operator's card is a recipe that plans, as it stands."""

import dataclasses
import importlib.metadata

import polars as pl
import pytest
import yaml
import zstandard
from cli_runs import winnow

from winnow.dags.before.checking import planned_with_errors
from winnow.dags.before.operator_card import card
from winnow.dags.recipe.adds import is_required
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.recipe.yaml_recipe import load_recipe

FILES = {
    "target/a.jsonl": b'{"text": "one"}\n', "raw/a.txt": b"one", "topics.py": b"x = 1\n", "concepts.txt": b"one\n",
    "notes.jsonl": b'{"url": "u", "grade": 1.0}\n', "model.ftz": b"x", "model.safetensors": b"x", "edu.bin": b"x", "model/config.json": b"{}",
    "minhashes.parquet": b"x", "lists/en": b"word\n", "ner/config.cfg": b"", "lists/blocked.txt": b"example.com\n",
    "rubric.txt": b"Rate: {{text}}", "pairs.txt": b"{{a}} or {{b}}?", "runs.csv": b"share_a,share_b,loss_c\n0.5,0.5,1.0\n", "pythia-70m/config.json": b"{}",
    "pythia-70m/model.safetensors": b"x", "pythia-70m/tokenizer.json": b"{}",
    "quiz.jsonl": b'{"question": "q", "answer": "a"}\n', "crawl/a.warc.gz": b"x", "site/a.html": b"x", "raw/a.csv": b"text,url\na,b\n",
    "answers/a.json": b'{"data": {"items": [{"text": "one", "id": 1}]}}',
    "raw/a.jsonl.zst": zstandard.compress(b'{"text": "one"}\n'),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    pl.DataFrame({"text": ["one"]}).write_parquet(tmp_path / "raw" / "a.parquet")
    (tmp_path / "saved").mkdir()
    pl.DataFrame({"text": ["one"]}).write_ipc(tmp_path / "saved" / "a.arrow")
    return tmp_path


def installed(library):
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


@pytest.mark.parametrize("name", REGISTRY)
def test_the_example_of_a_card_plans(folder, name):
    missing = [library for library in operator_class(name).uses if not installed(library)]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    example = card(name)["example"]
    (folder / "example.yaml").write_text(example)
    wrong, nodes = planned_with_errors(load_recipe("example.yaml"))
    assert [str(error) for error in wrong] == []
    stages = yaml.safe_load(example)["stages"]
    last = list(stages)[-1]
    assert stages[last]["use"] == name
    assert any(n.name == last or n.name.startswith(f"{last}.") for n in nodes)
    used = {
        w
        for stage in list(stages)[:-1]
        for w in [stage]
        if any(stage in str(s) for n, s in stages.items() if n != stage)
    }
    assert used == set(list(stages)[:-1])  # no line that nothing reads


@pytest.mark.parametrize("name", REGISTRY)
def test_an_example_gives_what_must_be_given(name):
    cls = operator_class(name)
    given = list(yaml.safe_load(card(name)["example"])["stages"].values())[-1]
    given = {"on" if key is True else key for key in given}  # what PyYAML makes of `on`
    fields = {each.name: each for each in dataclasses.fields(cls)}
    assert {field for field, each in fields.items() if is_required(each)} <= given
    assert given - {"use", "inputs", "source"} <= set(fields)


def test_the_terminal_prints_it(capsys):
    said = winnow(capsys, "list", "top_k").out
    assert said.rstrip().endswith("  top_k: {use: top_k, inputs: [docs, signals], by: word_count, budget: 5M tokens}")
