"""`plan` says which `where:` spares a stage rows that nobody asks about; taking it changes no shard."""

import pytest
from support import put_corpus, run, texts

from winnow.dags.before import narrower as before
from winnow.dags.before.narrower import narrower, narrower_lines

RECIPE = """
seed: 4
stages:
  docs:   {use: jsonl, files: "raw/*", id: position}
  sig:    {use: signals, inputs: docs}
  page:   {use: language, inputs: docsWHERE}
  clean:  {use: filter, inputs: [docs, sig], keep: {long: "word_count > 12"}}
  unique: {use: minhash, inputs: docs, threshold: 0.7}
  tok:    {use: count_tokens, inputs: docs}
  best:   {use: top_k, inputs: docs, by: BY, budget: 50%}
  corpus: {use: write, inputs: [docs, best], carry: [CARRY], shard_bytes: 8KB}
"""
PLAIN = RECIPE.replace("WHERE", "").replace("BY", "language_score").replace("CARRY", "language")


@pytest.fixture
def folder(tmp_path):
    return put_corpus(tmp_path / "raw", texts(120, seed=6), 2).parent


def told(found):
    return narrower(found.plan.nodes, found.store)


def test_a_stage_that_only_later_rows_ask_for_is_named_with_what_it_saves_and_the_shards_stay(folder, monkeypatch):
    monkeypatch.setattr(before, "LEAST_SAVED", 0.0)  # seconds of a test say nothing
    found = run(PLAIN, folder, folder / "out", part_bytes=6000)
    kept = found.counts("unique")
    page = next(one for one in told(found) if one["stage"] == "page")
    assert page["where"] == "kept_unique"
    assert page["kept_share"] == pytest.approx(kept["kept"] / kept["rows"])
    assert page["saved_seconds"] == pytest.approx(page["seconds"] * (1 - page["kept_share"]))
    (line,) = [text for _, text in narrower_lines([page])]
    assert line.startswith(
        "page: nothing reads it of rows that 'unique' drops; written below that with `where: kept_unique` it"
    )
    assert "\n" not in line
    apart = PLAIN.replace("  page:   {use: language, inputs: docs}\n", "")
    below = "  page:   {use: language, inputs: docs, where: kept_unique}\n  tok:"
    spared = run(apart.replace("  tok:", below), folder,
                 folder / "again", part_bytes=6000)  # fmt: skip
    assert spared.counts("page")["masked"] == kept["rows"] - kept["kept"]
    assert spared.shards("corpus") == found.shards("corpus")
    assert not [one for one in told(spared) if one["stage"] == "page"]


@pytest.mark.parametrize(
    "edit",
    [
        ("12\"}", "12\", en: \"language = 'en'\"}"),  # a filter reads it
        ("inputs: [docs, best], carry", "inputs: docs, ignore: [clean, unique], carry"),  # all rows are written
        ("{use: count_tokens, inputs: docs}", "{use: filter, inputs: [docs, page], keep: {all: \"language IS NOT NULL\"}}"),
    ],
    ids=["a filter above", "everything is written", "a filter apart"],
)  # fmt: skip
def test_what_is_asked_for_of_all_rows_is_left_alone(folder, edit, monkeypatch):
    recipe = PLAIN.replace(*edit)
    if "en:" in recipe:
        recipe = recipe.replace("inputs: [docs, sig]", "inputs: [docs, sig, page]")
    monkeypatch.setattr(before, "LEAST_SAVED", 0.0)
    found = run(recipe, folder, folder / "out", part_bytes=6000)
    assert not [one for one in told(found) if one["stage"] == "page" and one["where"] == "kept_unique"]


def test_before_the_first_run_only_scorers_are_named(folder):
    (folder / "mine.py").write_text(
        "import polars as pl\nimport winnow\n\n@winnow.scorer('caps')\ndef caps(text: pl.Series) -> pl.Series:\n"
        "    return text.str.count_matches('[A-Z]')\n"
    )
    recipe = RECIPE.replace("WHERE", "").replace("BY", "caps").replace("CARRY", "language")
    recipe = recipe.replace("  clean:", '  caps:   {use: "mine:caps", inputs: docs}\n  clean:')
    from winnow.core.store.locations import open_store
    from winnow.dags.recipe.plan import make_plan
    from winnow.dags.recipe.yaml_recipe import parse_recipe

    store = open_store(folder / "out")
    plan = make_plan(parse_recipe(recipe, name="test", folder=folder), store)
    found = narrower(plan.nodes, store)
    assert [(one["stage"], one["where"], one["saved_seconds"]) for one in found] == [("caps", "kept_unique", None)]
    estimated = {"stages": [
        {"stage": "caps", "core_seconds": {"value": 8.0}, "kept_share": None},
        {"stage": "page", "core_seconds": {"value": 0.1}, "kept_share": None},
        {"stage": "unique", "core_seconds": {"value": 2.0}, "kept_share": {"value": 0.25}},
    ]}  # fmt: skip
    (one,) = narrower(plan.nodes, store, estimated)
    assert (one["stage"], one["seconds"], one["saved_seconds"]) == ("caps", 8.0, 6.0)
    assert "(75.0% of its rows, 6.0 of 8.0 s)" in next(narrower_lines([one]))[1]


def test_what_saves_little_is_not_worth_a_line(folder):
    found = run(PLAIN, folder, folder / "out", part_bytes=6000)
    for page, named in ((4.0, False), (40.0, True)):
        stages = [
            {"stage": "sig", "core_seconds": {"value": 100.0}, "kept_share": None},
            {"stage": "page", "core_seconds": {"value": page}, "kept_share": None},
            {"stage": "unique", "core_seconds": {"value": 1.0}, "kept_share": {"value": 0.5}},
        ]
        out = narrower(found.plan.nodes, found.store, {"stages": stages})
        assert ("page" in [one["stage"] for one in out]) is named
