"""`simhash`: codes are what the definition says, alike for texts alike, and go into `redundancy` for any layout."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import put_corpus, run, texts

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.core.words.hashing import ngram_hashes
from winnow.pipeline.measure.simhash import SimHash


def codes_of(found: list[str | None], n: int, tmp_path) -> list[int | None]:
    batch = pa.record_batch({"text": pa.array(found, pa.large_string())})
    return SimHash(n=n).open(Context(seed=0, work=tmp_path))(batch).column("simhash").to_pylist()


def by_definition(text: str, n: int) -> int:
    """In plain whole numbers."""
    _, hashes = ngram_hashes(pa.array([text], pa.large_string()), n)
    sums = [0] * 64
    for word in hashes.tolist():
        x = (word + 0x9E3779B97F4A7C15) % 2**64
        x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ x >> 27) * 0x94D049BB133111EB) % 2**64
        x ^= x >> 31
        for bit in range(64):
            sums[bit] += 1 if x >> bit & 1 else -1
    return sum(1 << bit for bit in range(64) if sums[bit] > 0)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_codes_are_the_signs_of_sums_over_all_occurrences(tmp_path, n):
    found = [*texts(30, seed=3), "one", "one one two", "a b", "日本語のテキスト", "ä ö ü ä"]
    made = codes_of(found, n, tmp_path)
    assert [code or 0 for code in made] == [by_definition(text, n) for text in found]
    assert sum(code is None for code in made) < 5


def test_texts_without_a_word_have_no_code(tmp_path):
    assert codes_of(["", None, " ,.;! ", "word"], 2, tmp_path)[:3] == [None] * 3
    assert codes_of([], 2, tmp_path) == []


def test_bits_that_differ_grow_with_what_differs(tmp_path):
    draw = np.random.default_rng(0)
    words = [f"w{i}" for i in draw.integers(0, 5000, size=400)]
    shares, apart = [0.0, 0.05, 0.25, 1.0], []
    for share in shares:
        other = [f"x{i}" if draw.random() < share else w for i, w in enumerate(words)]
        one, two = codes_of([" ".join(words), " ".join(other)], 1, tmp_path)
        apart.append((one ^ two).bit_count())
    assert apart == sorted(apart)
    assert apart[0] == 0
    assert apart[1] <= 12
    assert 20 <= apart[3] <= 44


@pytest.mark.parametrize("n", [0, -1, 33])
def test_an_impossible_number_of_words_is_refused(n):
    with pytest.raises(ConfigError, match="n is"):
        SimHash(n=n).validate()


RECIPE = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl"}
  codes: {use: simhash, inputs: docs, n: 1}
  apart: {use: redundancy, inputs: codes, metric: hamming, column: simhash, distance: 8}
"""


def test_codes_feed_redundancy_with_equal_results_for_every_layout(tmp_path):
    plain = texts(60, seed=1)
    near = [text + " and one more word" for text in plain[:20]]
    put_corpus(tmp_path / "raw", plain + near, 3)
    options = [{}, {"part_bytes": 1500, "batch_rows": 7}, {"part_bytes": 6000, "workers": 2}]
    ran = [run(RECIPE, tmp_path, tmp_path / f"out{i}", **o) for i, o in enumerate(options)]
    assert len({(r.digests["codes"], r.digests["apart"]) for r in ran}) == 1
    assert run(RECIPE, tmp_path, tmp_path / "out0").computed == {}
    table = pl.from_arrow(ran[0].table("codes", "doc_id", "simhash")).with_columns(
        kept=pl.from_arrow(ran[0].table("apart", "kept"))["kept"]
    )
    kept: list[int] = []
    for code, verdict in table.sort("doc_id").select("simhash", "kept").iter_rows():
        assert verdict == (code is not None and all((code ^ one).bit_count() > 8 for one in kept))
        kept += [code] if verdict else []
    assert len(kept) < 80
