"""`write`: every kept document once (or by its weight), readable by others and by later stages."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest
import zstandard
from support import put_corpus, run, texts

from winnow.core.errors import ConfigError

DOCUMENTS = texts(120, seed=3)

RECIPE = """
seed: 5
stages:
  docs:   {{use: jsonl, files: "{folder}/raw/*.jsonl", id: content}}
  tok:    {{use: count_tokens, inputs: docs}}
  best:   {{use: top_k, inputs: [docs, tok], by: tok, budget: 40 docs}}
  corpus: {{use: write, inputs: [docs, best], format: {format}, carry: [tok.token_count], {more}}}
  again:  {{use: count_tokens, inputs: corpus, tokenizer: words}}
"""


def result(tmp_path: Path, kind: str = "parquet", more: str = "shard_bytes: 6KB"):
    put_corpus(tmp_path / "raw", DOCUMENTS, files=3)
    return run(RECIPE.format(folder=tmp_path, format=kind, more=more), tmp_path, tmp_path / "root")


def rows_of(folder: Path, kind: str) -> pl.DataFrame:
    """The shards as a stranger would read them."""
    files = sorted(folder.glob(f"shard-*.{kind}"))
    assert files
    if kind == "parquet":
        return pl.concat([pl.read_parquet(f) for f in files])
    if kind == "arrow":
        return pl.concat([pl.read_ipc(f, memory_map=False) if "memory_map" in pl.read_ipc.__code__.co_varnames
                          else pl.read_ipc(f) for f in files])  # fmt: skip
    lines = []
    for f in files:
        lines += (
            zstandard.ZstdDecompressor()
            .stream_reader(io.BytesIO(f.read_bytes()), read_across_frames=True)
            .read()
            .splitlines()
        )
    return pl.DataFrame([json.loads(line) for line in lines])


@pytest.mark.parametrize("kind", ["parquet", "arrow", "jsonl.zst"])
def test_every_kept_document_is_written_once_and_later_stages_read_it(tmp_path, kind):
    found = result(tmp_path, kind)
    rows = rows_of(found.folder("corpus") / "shards", kind)
    expected = found.table("docs", "doc_id", "text")
    kept = found.table("best", "kept").column("kept").to_pylist()
    wanted = {
        d.hex(): t
        for d, t, k in zip(
            expected.column("doc_id").to_pylist(), expected.column("text").to_pylist(), kept, strict=True
        )
        if k
    }
    assert len(wanted) == 40
    assert dict(zip(rows["doc_id"], rows["text"], strict=True)) == wanted
    assert rows.height == 40
    assert rows["tok_token_count"].to_list() == [-(-len(t.encode()) // 4) for t in rows["text"]]
    words = found.table("again", "token_count").column("token_count").to_pylist()
    assert sum(words) == sum(len(t.split()) for t in wanted.values())
    assert len(list((found.folder("corpus") / "shards").glob("shard-*"))) > 1


def test_a_size_of_shards_is_refused_where_a_shard_is_a_part_of_the_input(tmp_path):
    with pytest.raises(ConfigError, match="shard_bytes has no effect with order source") as error:
        result(tmp_path, more="order: source, shard_bytes: 6KB")
    assert "give `order: shuffled`" in error.value.hint


def test_shards_are_shuffled_and_source_order_is_kept_on_request(tmp_path):
    shuffled = rows_of(result(tmp_path).folder("corpus") / "shards", "parquet")
    found = result(tmp_path, more="order: source")
    ordered = rows_of(found.folder("corpus") / "shards", "parquet")
    source = [d.hex() for d in found.table("docs", "doc_id").column("doc_id").to_pylist()]
    assert [d for d in source if d in set(ordered["doc_id"])] == ordered["doc_id"].to_list()
    assert sorted(shuffled["doc_id"]) == sorted(ordered["doc_id"])
    assert shuffled["doc_id"].to_list() != ordered["doc_id"].to_list()


def test_the_index_says_what_each_shard_holds(tmp_path):
    folder = result(tmp_path).folder("corpus") / "shards"
    index = json.loads((folder.with_name("shards.meta") / "index.json").read_text())["shards"]
    assert sum(s["rows"] for s in index) == 40
    for shard in index:
        assert (folder / shard["file"]).stat().st_size == shard["bytes"]
        assert pl.read_parquet(folder / shard["file"]).height == shard["rows"]


WEIGHTED = """
stages:
  docs:   {{use: jsonl, files: "{folder}/raw/*.jsonl", id: content, columns: {{w: float64}}}}
  all:    {{use: filter, inputs: docs, keep: {{any: "w >= 0 OR w IS NULL"}}}}
  corpus: {{use: write, inputs: [docs, all], repeat: w}}
"""


def test_rows_are_repeated_by_weight_under_ids_of_their_own(tmp_path):
    documents = [{"text": f"document {i}", "w": w} for i, w in enumerate([0.0, 1.0, 2.0, 3.0, 2.5] * 200)]
    put_corpus(tmp_path / "raw", documents, files=2)
    found = run(WEIGHTED.format(folder=tmp_path), tmp_path, tmp_path / "root")
    rows = rows_of(found.folder("corpus") / "shards", "parquet")
    times = dict(rows.group_by("text").len().iter_rows())
    copies = [times.get(d["text"], 0) for d in documents]
    for copy, document in zip(copies, documents, strict=True):
        assert copy in (int(document["w"]), -(-document["w"] // 1)), document
    halves = [c for c, d in zip(copies, documents, strict=True) if d["w"] == 2.5]
    assert 70 <= sum(c == 3 for c in halves) <= 130, "the half is drawn by doc_id"
    assert rows["doc_id"].n_unique() == rows.height


def test_a_negative_weight_is_an_error(tmp_path):
    from winnow.core.errors import DataError

    put_corpus(tmp_path / "raw", [{"text": "a", "w": 1.0}, {"text": "b", "w": -1.0}], files=1)
    recipe = WEIGHTED.format(folder=tmp_path).replace("w >= 0 OR w IS NULL", "w < 9")
    with pytest.raises(DataError, match="the weight -1, not one from 0"):
        run(recipe, tmp_path, tmp_path / "root")
