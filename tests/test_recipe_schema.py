"""The schema of recipes takes what is right and refuses what is wrong; `winnow list` prints recipes."""

import copy
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from winnow.cli import main
from winnow.dags.before.catalogue import described
from winnow.dags.before.recipe_schema import recipe_schema
from winnow.dags.recipe.registry import REGISTRY
from winnow.dags.recipe.yaml_recipe import RECIPES

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[1]
GOOD = {
    "seed": 7,
    "stages": {
        "docs": {"use": "jsonl", "files": "raw/*.jsonl", "id": "content"},
        "clean": {"use": "filter", "inputs": "docs", "preset": "gopher_quality"},
        "best": {"use": "top_k", "inputs": ["docs", "clean"], "by": "word_count", "budget": "5M tokens"},
        "near": {"use": "knn_graph", "inputs": "docs", "k": 16, "center": True},
    },
}


def load(text):
    return YAML(typ="safe", pure=True).load(text)


def blocks():
    """Whole recipes in the pages."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            if re.search(r"^stages:", block, re.MULTILINE):
                yield page.name, block


@pytest.fixture(scope="module")
def validator():
    made = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def test_built_in_recipes_and_those_of_the_pages_are_right(validator):
    found = [(p.name, p.read_text("utf-8")) for p in RECIPES.glob("*.yaml")] + list(blocks())
    assert len(found) > 5
    for name, text in found:
        assert [f"{name}: {list(e.path)}: {e.message[:200]}" for e in validator.iter_errors(load(text))] == []


WRONG = [
    ("stages", None), ("stagse", {}), ("seed", [1]), ("tokenizer", 3), ("vars", []), ("strict", [True]), ("expect", 3),
    ("name", 7), ("about", []), ("max_bad_share", []),
    *[(f"docs.{key}", value) for key, value in (
        ("use", None), ("use", "jsonll"), ("use", 3), ("files", 7), ("files", None), ("id", 3), ("colums", {}),
        ("columns", "url"), ("max_record_mb", "much"), ("text_field", 5))],
    *[(f"best.{key}", value) for key, value in (
        ("budget", None), ("by", None), ("budget", 7), ("budget", "much"), ("by", 3), ("inputs", 3), ("inputs", {}),
        ("where", 3), ("seed", []), ("timeout_s", {}), ("strict", []), ("expect", "many"), ("limit", 3), ("bdget", "1%"))],
    *[(f"near.{key}", value) for key, value in (
        ("k", "many"), ("k", 1.5), ("k", []), ("center", "yes"), ("min_recall", "high"), ("vectors", 3), ("kk", 3))],
    ("clean.keep", "word_count > 3"), ("clean.preset", 3), ("bad name", {"use": "exact", "inputs": "docs"}),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value"), WRONG, ids=[f"{p}={v}" for p, v in WRONG])
def test_what_is_wrong_is_refused(validator, place, value):
    recipe = copy.deepcopy(GOOD)
    assert validator.is_valid(recipe)
    stage, _, key = place.rpartition(".")
    into = recipe["stages"][stage] if stage else recipe["stages"] if place == "bad name" else recipe
    if value is None:
        del into[key]
    else:
        into[key] = value
    assert not validator.is_valid(recipe)


def test_the_schema_knows_every_operator(validator):
    known = [rule["if"]["properties"]["use"]["const"] for rule in
             validator.schema["properties"]["stages"]["additionalProperties"]["allOf"]]  # fmt: skip
    assert known == list(REGISTRY)


def test_list_prints_a_recipe_and_schema_prints_the_schema(capsys):
    assert main(["list", "quickstart"]) == 0
    assert load(capsys.readouterr().out)["stages"]["spread"]["use"] == "facility_location"
    assert described("quickstart")["recipe"].startswith("#") or "stages:" in described("quickstart")["recipe"]
    assert main(["schema"]) == 0
    assert '"winnow recipe"' in capsys.readouterr().out
