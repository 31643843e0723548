"""A random draw with another selection's document lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import put_corpus, run, texts
from test_trainers import Source, id_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.selectors.score.length_matched import LengthMatched


def pool(count: int = 4000) -> pl.DataFrame:
    draw = np.random.Generator(np.random.Philox(key=1))
    tokens = np.exp(draw.normal(5, 1.2, count)).astype(np.int64)
    return pl.DataFrame({"doc_id": [id_of(i) for i in range(count)], "token_count": tokens}).sort("doc_id")


def solved(rows: pl.DataFrame, chosen: pl.DataFrame, *, seed: int = 7) -> pl.DataFrame:
    like = Source(chosen.select("doc_id").with_columns(kept=True))
    return LengthMatched(like="best").solve(rows, Context(seed=seed, work=Path(), refs={"like": like}))


def test_the_draw_has_the_lengths_and_the_tokens_of_the_other_selection():
    rows = pool()
    long = rows.filter(pl.col("token_count") > 400).gather_every(2)
    kept = rows.filter(solved(rows, long)["kept"])
    assert kept["token_count"].sum() == pytest.approx(long["token_count"].sum(), rel=0.02)
    for quantile in (0.1, 0.5, 0.9):
        assert kept["token_count"].quantile(quantile) == pytest.approx(long["token_count"].quantile(quantile), rel=0.1)
    overlap = kept.join(long, on="doc_id", how="semi").height / kept.height
    assert overlap == pytest.approx(0.5, abs=0.1), "drawn from all documents of these lengths"


def test_every_seed_draws_other_documents_and_order_does_not_matter():
    rows = pool(1000)
    chosen = rows.gather_every(5)
    one, two = (solved(rows, chosen, seed=s)["kept"] for s in (1, 2))
    assert (one != two).sum() > 50
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=3)
    again = shuffled.with_columns(solved(shuffled, chosen, seed=1)).sort("doc_id")["kept"]
    assert again.equals(one, check_names=False)


def test_bins_with_too_few_documents_are_taken_whole_and_documents_without_tokens_never():
    rows = pl.DataFrame({"doc_id": [id_of(i) for i in range(6)], "token_count": [10, 10, 1000, 0, None, 11]}).sort(
        "doc_id"
    )
    out = rows.with_columns(solved(rows, rows.filter(pl.col("token_count") == 1000)))
    assert out.filter("kept")["token_count"].to_list() == [1000]


def test_a_selection_of_other_documents_is_an_error():
    rows = pool(50)
    with pytest.raises(DataError, match="none of the 1 documents"):
        solved(rows, pl.DataFrame({"doc_id": [id_of("elsewhere")]}))
    with pytest.raises(ConfigError, match="no selection to match"):
        LengthMatched().validate()


RECIPE = """
seed: 3
tokenizer: bytes/4
stages:
  docs:  {use: jsonl, files: "raw/*.jsonl", id: content}
  tok:   {use: count_tokens, inputs: docs}
  best:  {use: top_k, inputs: [docs, tok], by: text_bytes, budget: 2k tokens}
  alike: {use: length_matched, inputs: [docs, tok], like: best}
"""


def test_any_layout_gives_the_same_draw_and_a_second_run_computes_nothing(tmp_path):
    put_corpus(tmp_path / "raw", texts(120), 3)
    runs = [run(RECIPE, tmp_path, tmp_path / f"root{parts}", part_bytes=size, batch_rows=batch)
            for parts, size, batch in ((1, 10**9, 1024), (2, 4000, 7))]  # fmt: skip
    assert len({r.digests["alike"] for r in runs}) == 1
    assert runs[0].metrics["alike"]["tokens"]["matched"] > 1500
    assert run(RECIPE, tmp_path, tmp_path / "root1", part_bytes=10**9).computed == {}
