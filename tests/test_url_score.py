"""`url_score`: what it reads of an address, a planted truth, and labels that are drawn."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import polars as pl
import pytest
from support import put_corpus, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.scorers.url_score import UrlScore
from winnow.scorers.url_score_fit import LONGEST_ADDRESS, UrlScoreFit, line_of
from winnow.testing.in_memory import run_fit

RECIPE = """
seed: 4
stages:
  docs:  {use: jsonl, files: "raw/*.jsonl", columns: {url: string, good: bool, coin: bool, half: bool}}
  score: {use: url_score, inputs: docs, positive: "CASE WHEN half THEN good END", dim: 8, bucket: 20000}
  chance: {use: url_score, inputs: docs, positive: "CASE WHEN half THEN coin END", dim: 8, bucket: 20000}
"""


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """The chance that one of the label has a higher score than one without; ties count half."""
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    for value in np.unique(score):
        same = score == value
        ranks[same] = ranks[same].mean()
    yes = int(label.sum())
    return (ranks[label].sum() - yes * (yes + 1) / 2) / (yes * (len(score) - yes))


def rows():
    draw = random.Random(3)
    words = ["history", "library", "physics", "archive", "lesson", "museum", "essay", "report"]
    bait = ["bonus", "casino", "cheap", "win", "free", "coupon", "hot", "deal"]
    out = []
    for n in range(900):
        good = draw.random() < 0.5
        some, other = (words, bait) if good else (bait, words)
        said = [draw.choice(some if draw.random() < 0.85 else other) for _ in range(3)]
        tld = draw.choice(["org", "com", "net"])
        url = f"https://www.{said[0]}{draw.randrange(999)}.{tld}/{said[1]}-{said[2]}/{draw.randrange(10**6)}"
        out.append(
            {
                "text": f"page {n}",
                "url": url if n else None,
                "good": good,
                "coin": draw.random() < 0.5,
                "half": draw.random() < 0.5,
            }
        )
    return out


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("urls")
    put_corpus(folder / "raw", rows(), 2)
    return run(RECIPE, folder, folder / "root")


def scored(ran, stage):
    columns = ["url", "good", "coin", "half"]
    held = ran.table("docs", *columns)
    score = ran.table(stage, "score")
    return pl.DataFrame({name: held[name].to_pylist() for name in columns} | {"score": score["score"].to_pylist()})


def test_addresses_of_one_kind_score_higher_on_rows_that_were_not_among_the_positives(ran):
    frame = scored(ran, "score")
    assert frame.filter(pl.col("url").is_null())["score"].to_list() == [None]
    new = frame.filter(~pl.col("half"), pl.col("url").is_not_null())
    assert auc(new["score"].to_numpy(), new["good"].to_numpy()) > 0.9
    assert frame["score"].drop_nulls().is_between(0, 1).all()


def test_labels_that_were_drawn_are_not_predicted(ran):
    new = scored(ran, "chance").filter(~pl.col("half"), pl.col("url").is_not_null())
    assert abs(auc(new["score"].to_numpy(), new["coin"].to_numpy()) - 0.5) < 0.08


def test_the_fit_says_what_it_was_fitted_on_and_rows_without_a_label_are_not(ran, tmp_path):
    frame = scored(ran, "score").with_columns(doc_id=pl.Series([n.to_bytes(16, "big") for n in range(900)]))
    fit = UrlScoreFit(positive="CASE WHEN half THEN good END", most=100, dim=4, bucket=1000, epoch=1)
    some = run_fit(fit, [frame[:300], frame[300:]], Context(seed=1, work=tmp_path))
    assert (some["positive_addresses"], some["other_addresses"]) == (100, 100)
    model = (tmp_path / "model.bin").read_bytes()
    for parts in ([frame[:7], frame[7:800], frame[800:]], [frame.reverse()]):
        run_fit(fit, parts, Context(seed=1, work=tmp_path))
        assert (tmp_path / "model.bin").read_bytes() == model
    metrics = run_fit(dataclasses.replace(fit, most=5000), [frame], Context(seed=1, work=tmp_path))
    sides = [
        sum(row["good"] is good and row["half"] and row["url"] is not None for row in rows()) for good in (True, False)
    ]
    assert [metrics["positive_addresses"], metrics["other_addresses"]] == sides


@pytest.mark.parametrize(("url", "line"), [
    ("https://www.Example.org/A-b/?q=1#top", "example.org/a-b/?q=1 example org a b q 1"),
    ("http://me:pw@host.de:80/", "host.de:80 host de 80"), ("example.org", "example.org example org"),
    (" ftp://a.b/c d ", "a.b/cd a b cd"), ("", ""), ("https://", ""), (None, None), ("https://münchen.de/ß", "münchen.de/ß münchen de ß"),
])  # fmt: skip
def test_what_is_read_of_an_address(url, line):
    found = pl.DataFrame({"url": pl.Series([url], dtype=pl.String)}).select(line_of(pl.col("url"))).item()
    assert found == line


def test_a_long_address_is_cut_and_a_label_of_fasttext_is_none():
    lines = (
        pl.DataFrame({"url": ["a.b/" + "x" * 5000, "a.b/__label__positive"]}).select(line_of(pl.col("url"))).to_series()
    )
    assert len(lines[0]) <= 2 * LONGEST_ADDRESS + 4
    assert not any(word.startswith("__label__") for word in lines[1].split())


def test_a_side_without_an_address_is_an_error(tmp_path):
    put_corpus(tmp_path / "raw", [{"text": "a", "url": None, "good": True, "coin": True, "half": True}] * 3, 1)
    with pytest.raises(DataError, match="no positive document has a 'url'"):
        run(RECIPE, tmp_path, tmp_path / "root")


@pytest.mark.parametrize(("fields", "where"), [
    ({"column": ""}, "column"), ({"shortest": 0}, "shortest"), ({"shortest": 7}, "longest"), ({"lr": 0.0}, "lr"),
    ({"most": 0}, "most"), ({"epoch": 0}, "epoch"), ({"bucket": 0}, "bucket"), ({"dim": 0}, "dim"),
    ({"positive": "sum(x) > 3"}, "positive"),
])  # fmt: skip
def test_numbers_that_cannot_work_are_refused(fields, where):
    with pytest.raises(ConfigError) as error:
        UrlScore(**{"positive": "x", **fields}).validate()
    assert error.value.where == where
