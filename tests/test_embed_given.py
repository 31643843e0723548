"""`vectors_from`: vectors that came with the data go onto the grid, whatever the reader and the layout."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from support import run

from winnow.core.errors import ConfigError

RECIPE = """
stages:
  docs: {{use: {reader}, id: "field:id", columns: {{embedding: string}}}}
  v: {{use: vectors_from, inputs: docs, column: embedding, dim: 4, max_bad_share: 0.5}}
  graph: {{use: knn_graph, inputs: v, k: 3}}
  cover: {{use: facility_location, inputs: [docs, graph], budget: 3 docs}}
"""
VECTORS = np.random.default_rng(0).normal(size=(20, 4)).round(6).tolist()


def put(folder, vectors) -> None:
    rows = [{"id": f"d{i}", "text": f"text {i}", "embedding": v} for i, v in enumerate(vectors)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    schema = {"embedding": pl.List(pl.Float64)}
    if all(v is None or isinstance(v, list) for v in vectors):
        pl.DataFrame(rows, schema_overrides=schema).write_parquet(folder / "docs.parquet")


def vectors_of(ran) -> dict[bytes, list[int] | None]:
    table = pl.from_arrow(ran.table("v", "doc_id", "vector"))
    return {i: None if v is None else np.frombuffer(v, "<i2").tolist() for i, v in table.iter_rows()}


def test_lists_become_directions_on_the_grid_the_same_from_both_readers_and_for_any_layout(tmp_path):
    put(tmp_path, [*VECTORS, None, [0, 0, 0, 0]])
    ran = [
        run(RECIPE.format(reader=f"{use}, files: docs.{use}"), tmp_path, tmp_path / f"{use}{n}", **options)
        for use in ("jsonl", "parquet")
        for n, options in enumerate(({}, {"part_bytes": 700, "batch_rows": 3}))
    ]
    assert len({r.digests["v"] for r in ran[:2]}) == len({r.digests["cover"] for r in ran[:2]}) == 1
    want = [tuple(np.rint(2048 * np.array(v) / np.linalg.norm(v)).astype(int).tolist()) for v in VECTORS]
    for one in ran:
        found = list(vectors_of(one).values())
        assert sorted(tuple(v) for v in found if v is not None) == sorted(want)
        assert sum(v is None for v in found) == 2
        assert one.manifest("cover").counts["kept"] == 3


@pytest.mark.parametrize("cell", [[1, 2, 3], [1, 2, 3, None], "no list", {"a": 1}, [1, 2, 3, 4, 5]])
def test_a_cell_that_is_no_vector_fails_its_row_alone(tmp_path, cell):
    put(tmp_path, [*VECTORS, cell])
    ran = run(RECIPE.format(reader="jsonl, files: docs.jsonl"), tmp_path, tmp_path / "out", until="v")
    counts = ran.manifest("v").counts
    assert (counts["failed"], counts["ok"]) == (1, 20)
    (bad,) = ran.quarantine("v")
    assert "embedding" in bad["message"] or "null" in bad["message"]


def test_a_column_that_holds_no_text_and_a_dimension_without_sense_are_refused(tmp_path):
    put(tmp_path, VECTORS)
    recipe = RECIPE.format(reader="jsonl, files: docs.jsonl")
    with pytest.raises(ConfigError, match="lists as text"):
        run(recipe.replace("column: embedding", "column: text_bytes"), tmp_path, tmp_path / "out")
    with pytest.raises(ConfigError, match="dim is 0"):
        run(recipe.replace("dim: 4", "dim: 0"), tmp_path, tmp_path / "out")
