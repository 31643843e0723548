"""Columns of other people that are called what winnow's own are called: carried as they are, or refused when planned."""

from __future__ import annotations

import json

import polars as pl
import pytest
from support import run

from winnow.core.errors import ConfigError
from winnow.core.store.formats import format_named, format_names
from winnow.trainers.data.shards import find_shards

OURS = [
    "token_count",
    "tokens",
    "kept",
    "weight",
    "rank",
    "cluster",
    "near_cluster_size",
    "pass_long",
    "chained",
]
DOCS = 30


def documents(name: str) -> list[dict[str, str]]:
    return [{"text": f"document {n} " * (n % 7 + 1), name: f"about {n}"} for n in range(DOCS)]


def written(folder, name: str, stages: str):
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents(name)))
    (folder / "notes.jsonl").write_text("".join(
        json.dumps({"text": one["text"], name: one[name]}) + "\n" for one in documents(name)
    ))  # fmt: skip
    return run(stages, folder, folder / "made")


@pytest.mark.parametrize("form", format_names())
def test_a_text_called_token_count_is_carried_as_text(tmp_path, form):
    ran = written(
        tmp_path,
        "token_count",
        f"""
stages:
  docs: {{use: jsonl, files: a.jsonl, columns: {{token_count: string}}}}
  pick: {{use: random, inputs: docs, budget: 10 docs}}
  corpus: {{use: write, inputs: [docs, pick], format: {form}, carry: [token_count]}}
""",
    )
    shards = ran.folder("corpus") / "shards"
    rows = pl.concat(frame for shard in find_shards(shards) for frame in shard.read(["text", "token_count"]))
    known = {one["text"] + one["token_count"] for one in documents("token_count")}
    assert len(rows) == 10
    assert set(rows["text"] + rows["token_count"]) <= known
    assert all(p.name.endswith(format_named(form).suffix) for p in shards.iterdir())
    index = json.loads((ran.folder("corpus") / "shards.meta" / "index.json").read_bytes())
    assert {shard["tokens"] for shard in index["shards"]} == {None}


@pytest.mark.parametrize("stage", [
    "pick: {use: top_k, inputs: docs, by: text_bytes, budget: 100 tokens}",
    "pick: {use: random, inputs: docs, budget: 100 tokens}",
    "pick: {use: length_matched, inputs: docs, like: one}",
])  # fmt: skip
def test_a_number_of_tokens_that_is_a_text_is_refused_when_the_recipe_is_planned(tmp_path, stage):
    with pytest.raises(
        ConfigError, match="`token_count` of stage 'docs' is large_string, not a number of tokens"
    ) as error:
        written(
            tmp_path,
            "token_count",
            f"""
stages:
  docs: {{use: jsonl, files: a.jsonl, columns: {{token_count: string}}}}
  one: {{use: random, inputs: docs, budget: 1 docs}}
  {stage}
""",
        )
    assert error.value.where == "stages.pick.token_count"
    assert "count_tokens" in error.value.hint
    assert not list((tmp_path / "made").glob("*-*"))


@pytest.mark.parametrize("name", OURS)
def test_a_reader_may_give_texts_the_names_of_our_columns(tmp_path, name):
    ran = written(
        tmp_path,
        name,
        f"""
stages:
  docs: {{use: jsonl, files: a.jsonl, columns: {{{name}: string}}}}
  some: {{use: filter, inputs: docs, keep: {{some: "{name} != 'about 3'"}}}}
  once: {{use: minhash, inputs: docs, where: kept_some, threshold: 0.95}}
  pick: {{use: random, inputs: [docs, once], budget: 8 docs}}
  corpus: {{use: write, inputs: [docs, pick], carry: [docs.{name}]}}
""",
    )
    rows = pl.read_parquet(list((ran.folder("corpus") / "shards").iterdir()))
    found = rows[f"docs_{name}"].to_list()
    assert set(found) <= {one[name] for one in documents(name)} - {"about 3"}
    assert len(set(found)) == len(found) > 0


@pytest.mark.parametrize("name", OURS)
def test_joined_texts_of_our_names_are_texts_or_refused(tmp_path, name):
    stages = f"""
stages:
  docs: {{use: jsonl, files: a.jsonl}}
  more: {{use: join, inputs: docs, files: notes.jsonl, key: text, on: text, columns: {{{name}: string}}}}
  corpus: {{use: write, inputs: docs, carry: [more.{name}]}}
"""
    if name == "kept":
        with pytest.raises(ConfigError, match="`kept` is large_string, and means a decision"):
            written(tmp_path, name, stages)
        return
    ran = written(tmp_path, name, stages)
    rows = pl.read_parquet(list((ran.folder("corpus") / "shards").iterdir()))
    assert rows[f"more_{name}"].null_count() == 0
