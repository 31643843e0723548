"""`minhash` on documents that nobody planted: every pair that is there, no other, and templates are no duplicates."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support_mixing import PACKS

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MODULES = ("bench_natural", "natural", "truth", "common", "planted")
pytestmark = pytest.mark.packs


@pytest.fixture(scope="module")
def bench():
    before = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS))
    import bench_natural
    import natural
    import planted

    yield bench_natural, natural, planted
    sys.path[:] = before
    for name in MODULES:
        sys.modules.pop(name, None)


def rows_of(read, pack, most=10**9):
    if not (PACKS / f"{pack}.tar.xz").is_file():
        pytest.skip(f"the pack {pack} is not here")
    rows = []
    for row in read(PACKS):
        rows.append(row)
        if len(rows) == most:
            break
    return rows


def test_news_that_went_out_twice_are_found_and_nothing_else(bench):
    program, natural, planted = bench
    rows = rows_of(natural.bbc, "text_bbc")
    removed, pairs = program.answered(rows)
    true = program.true_pairs(rows)
    assert len(true) > 100
    assert pairs <= true
    assert planted.tail(len(pairs), len(true), 0.95) > 1e-6 or len(pairs) > 0.95 * len(true)
    assert 0 < len(removed) <= len(true)


@pytest.mark.parametrize(("name", "pack"), [("manual", "text_cppdocs"), ("laws", "text_gesetze")])
def test_templates_are_no_duplicates(bench, name, pack):
    program, natural, _ = bench
    rows = rows_of(getattr(natural, name), pack, 1500)
    removed, pairs = program.answered(rows)
    true = program.true_pairs(rows)
    assert pairs <= true
    assert len(removed) <= 0.002 * len(rows)


def test_the_same_page_by_three_extractors_is_one(bench):
    program, natural, _ = bench
    pytest.importorskip("trafilatura")
    pytest.importorskip("resiliparse")
    rows = rows_of(natural.extracted, "html_scrapinghub", 120)
    removed, pairs = program.answered(rows)
    true = program.true_pairs(rows)
    could, went = program.groups(rows, removed)
    assert went == len(removed)  # no page goes for another one
    assert went > 0.75 * could
    assert len(pairs & true) > 0.95 * len(true)
    assert len(pairs - true) <= 2  # folded words, at the threshold


def test_editions_of_a_book_are_one(bench):
    program, natural, _ = bench
    rows = rows_of(natural.editions, "text_gutenberg")
    removed, _ = program.answered(rows)
    could, went = program.groups(rows, removed)
    assert went == len(removed)
    assert went >= could - 1
