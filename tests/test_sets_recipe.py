"""`winnow ablate`: sets that lie on disk become the recipe a person would write, and its comparison."""

import json
from pathlib import Path

import polars as pl
import pytest
from cli_runs import winnow
from test_ablation_run import sentences

from winnow.core.errors import ConfigError
from winnow.dags.recipe.comparison_recipe import asked, comparison_recipe
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.yaml_recipe import parse_recipe

TINY = [w for f in ("vocab=320", "width=24", "layers=1", "heads=2", "context=32", "batch=4", "lr_hidden=0.02")
        for w in ("--set", f"effect.{f}")]  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two sets and a target: `good` like the target, `odd` with its words shuffled and another text field."""
    import random

    draw = random.Random(3)
    for name in ("good", "odd", "held"):
        (tmp_path / name).mkdir()
    for number in range(2):
        rows = [{"text": sentences(draw, 12, shuffled=False)} for _ in range(30)]
        (tmp_path / "good" / f"{number}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    rows = [{"content": sentences(draw, 12, shuffled=True)} for _ in range(60)]
    pl.DataFrame(rows).write_parquet(tmp_path / "odd" / "part.parquet")
    (tmp_path / "good" / "index.json").write_text("{}")
    rows = [{"text": sentences(draw, 12, shuffled=False)} for _ in range(20)]
    (tmp_path / "held" / "out.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe_of(*words, evals=("held/out.jsonl",), **more):
    return comparison_recipe(asked(words, evals, **more))


def stages(recipe):
    return {s.name: s for s in recipe.stages}


@pytest.mark.train
def test_sets_are_compared_with_equal_tokens_and_a_control_and_the_printed_recipe_is_the_same(here, capsys):
    pytest.importorskip("torch")
    words = ["ablate", "odd=odd", "good=good", "--text-field", "odd=content", "--eval", "target=held/out.jsonl",
             "--seeds", "2", "--tokens", "3000", "--out", "out", *TINY]  # fmt: skip
    said = winnow(capsys, *words, "--workers", 0, "--json")
    assert said.code == 0, said.err
    found = said.json()["stages"]["effect"]["metrics"]
    assert found["arms"]["good"]["effects"]["target"]["mean_diff"] < -0.05
    assert (list(found["arms"]), list(found["aa"]), found["tokens"]) == (["good"], ["aa"], 3000)
    printed = winnow(capsys, *words, "--print-recipe")
    Path("mine.yaml").write_text(printed.out)
    told = winnow(capsys, "plan", "mine.yaml", "--out", "out", "--json").json()
    assert {s["state"] for s in told["stages"]} == {"cached"}


def test_one_reader_per_format_and_text_field_and_every_set_by_its_files(here):
    made = stages(recipe_of("good=good", "odd=odd/*.parquet", text_fields=["odd=content"]))
    assert [(s.use, s.config["files"], s.config.get("text_field", "text")) for s in made.values() if "base" in s.config] == [
        ("jsonl", ["good/**/*.jsonl"], "text"), ("parquet", ["odd/*.parquet"], "content"),
    ]  # fmt: skip
    assert made["docs"].use == "concat"
    assert made["safe"].config == {"against": "out"}
    assert (made["good"].use, made["good"].where) == ("random", "starts_with(origin, 'good/')")
    assert made["odd"].inputs == ("docs", "safe")
    assert made["odd"].config == made["good"].config
    assert made["effect"].config["baseline"] == "good"
    assert made["effect"].config["arms"] == {"odd": "odd"}


def test_the_arms_of_the_planned_recipe_hold_exactly_the_documents_of_their_files(here, capsys):
    for name in ("a", "a2", "ab"):
        (here / "many").mkdir(exist_ok=True)
        (here / "many" / f"{name}.jsonl").write_text(
            "".join(json.dumps({"text": f"{name} {i}"}) + "\n" for i in range(5))
        )
    words = {"x": ["many/a.jsonl", "many/ab.jsonl"], "y": ["many/a2.jsonl"], "z": ["many"]}
    recipe = recipe_of(*(f"{n}={p}" for n, paths in words.items() for p in paths))
    text = "\n".join(line for line in recipe.text.splitlines() if " effect:" not in line)
    (here / "arms.yaml").write_text(text + "\n")
    told = winnow(capsys, "run", "arms.yaml", "--out", "out", "--workers", 0, "--json").json()
    assert {n: told["stages"][n]["kept"] for n in words} == {"x": 10, "y": 5, "z": 15}


def test_a_file_of_questions_is_a_target_too(here):
    Path("quiz.jsonl").write_text(json.dumps({"query": "a", "choices": ["b", "c"], "gold": 0}) + "\n")
    made = stages(
        recipe_of("good=good", "odd=odd", evals=["held/out.jsonl", "quiz.jsonl"], text_fields=["odd=content"])
    )
    assert made["quiz"].use == "target_file"
    assert made["effect"].config["eval"] == {"out": "out", "quiz": "quiz"}
    assert [s.name for s in made.values() if s.use == "decontaminate"] == ["safe"]


def test_its_yaml_reads_back_as_the_same_recipe(here):
    recipe = recipe_of("good=good", "odd=odd", text_fields=["odd=content"], tokens="2k", seeds=3)
    again = parse_recipe(recipe.text, name="ablate", folder=Path.cwd())
    one, two = (make_plan(r, None) for r in (recipe, again))
    assert [n.fingerprint for n in one.nodes] == [n.fingerprint for n in two.nodes]
    assert stages(again)["effect"].config["tokens"] == 2000


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        (["good=good"], {}, "1 sets, and two are compared"),
        (["good"], {}, "'good' has no name"),
        (["good=good", "odd=nowhere/*"], {}, "no file matches"),
        (["good=good", "odd=odd"], {"baseline": "god"}, "no set is called 'god'"),
        (["good=good", "out=odd"], {}, "'out' names a set and a target"),
        (["good=good", "aa=odd"], {}, "'aa' is not free"),
        (["good=good", "odd=odd"], {"text_fields": ["od=content"]}, "no set or target is called 'od'"),
        (["good=good", "odd=odd", "all=odd"], {"text_fields": ["odd=content"]}, "two text fields are named"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_runs(here, words, more, message):
    with pytest.raises(ConfigError, match=message):
        recipe_of(*words, **more)
