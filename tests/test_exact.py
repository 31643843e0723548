"""Exact duplicates: equal texts and only those, the smallest doc_id stays, whatever the layout."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from winnow.core.errors import DataError
from winnow.core.operators import Context
from winnow.core.words.hashing import as_lanes, from_lanes, text_hash
from winnow.pipeline.dedup.exact import Exact
from winnow.testing.in_memory import run_group

CONTEXT = Context(seed=0, work=Path())


def frame(texts: list[str | None], prefix: str = "doc") -> pl.DataFrame:
    names = pa.array([f"{prefix}{i}" for i in range(len(texts))], pa.large_string())
    hashes = text_hash(pa.array(texts, pa.large_string()))
    columns = {"doc_id": text_hash(names), "text_hash": hashes}
    return pl.DataFrame({name: pl.Series(c.cast(pa.large_binary())) for name, c in columns.items()})


def solve(parts: list[pl.DataFrame], buckets: int = 4) -> pl.DataFrame:
    """doc_id and the outputs of all parts, in doc_id order."""
    answers = run_group(Exact(), parts, buckets, CONTEXT)
    both = [pl.concat([p, a], how="horizontal") for p, a in zip(parts, answers, strict=True)]
    return pl.concat(both).sort("doc_id")


def corpus() -> pl.DataFrame:
    rng = random.Random(5)
    return frame([f"text {rng.randrange(150)}" for _ in range(400)])


def test_every_text_is_kept_once_by_its_smallest_id():
    rows = solve([corpus()])
    expected: dict[bytes, bytes] = {}
    for doc, text in rows.select("doc_id", "text_hash").rows():
        expected[text] = min(doc, expected.get(text, doc))
    sizes = dict(rows.group_by("text_hash").len().rows())
    for doc, text, kept, duplicate_of, size in rows.rows():
        assert kept == (doc == expected[text])
        assert duplicate_of == (None if kept else expected[text])
        assert size == sizes[text]
    assert rows["kept"].sum() == len(expected)


@pytest.mark.parametrize("parts", [1, 2, 8])
@pytest.mark.parametrize("buckets", [1, 8, 64])
def test_the_answer_does_not_depend_on_parts_buckets_or_order(parts, buckets):
    whole = corpus()
    mixed = whole.sample(fraction=1.0, shuffle=True, seed=parts)
    cuts = [mixed.slice(at * 400 // parts, 400 // parts) for at in range(parts)]
    assert solve(cuts, buckets).equals(solve([whole], 1))


def test_texts_that_share_only_the_first_64_bits_are_never_merged():
    rows = frame(["a", "b", "c"])
    lanes = as_lanes(rows["text_hash"].to_arrow()).copy()
    lanes[:, 0] = lanes[0, 0]
    lanes[2] = lanes[1]
    rows = rows.with_columns(text_hash=pl.Series(from_lanes(lanes).cast(pa.large_binary())))
    answer = run_group(Exact(), [rows], 8, CONTEXT)[0]
    assert answer["exact_cluster_size"].to_list() == [1, 2, 2]
    assert answer["kept"].to_list()[0]
    assert answer["kept"].sum() == 2


def test_rows_without_text_are_nobodys_duplicate_but_empty_texts_are_equal():
    rows = frame([None, None, "", "", "x"])
    rows = pl.concat([rows, frame(["x"], "more").with_columns(text_hash=pl.lit(None, pl.Binary))])
    answer = run_group(Exact(), [rows], 2, CONTEXT)[0]
    assert answer["exact_cluster_size"].to_list() == [1, 1, 2, 2, 1, 1]
    assert answer["kept"].to_list()[:2] == [True, True]


def test_an_empty_part_and_an_empty_corpus_are_answered():
    assert run_group(Exact(), [frame(["a"]).clear()], 2, CONTEXT)[0].height == 0
    assert solve([frame(["a"]).clear(), frame(["a"])])["kept"].to_list() == [True]


def test_the_outputs_have_the_declared_names_and_types():
    answer = run_group(Exact(), [corpus()], 3, CONTEXT)[0]
    assert answer.columns == list(Exact().outputs())
    assert answer.dtypes == [pl.Boolean, pl.Binary, pl.Int32]


def test_a_repeated_doc_id_is_an_error_and_not_a_second_row():
    rows = frame(["a", "a"])
    keys = Exact().keys(rows, CONTEXT)
    answers = Exact().resolve(keys.sort("key", "doc_id", "hash"), CONTEXT)
    with pytest.raises(DataError, match="unique"):
        Exact().collect(rows, pl.concat([answers, answers]), CONTEXT)
