"""Arms that differ in one thing: age, domain, or the side of a threshold, at equal tokens; and their manifest."""

import datetime
import itertools

import numpy as np
import polars as pl
import pytest
from support_scores import context, corpus, notes, random_corpus, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.dates import days
from winnow.core.operators.budget import Budget
from winnow.pipeline.measure.overlap import Overlap
from winnow.selectors.score.age import Age
from winnow.selectors.score.domain import Domain, host_of
from winnow.selectors.score.random_ import Random
from winnow.selectors.score.threshold import Threshold


def tokens(count):
    return Budget(count, "tokens")


def kept(op, rows, cuts=()):
    return run(op, rows, cuts)["kept"].to_list()


def dated(values, dtype=pl.String):
    return corpus([0.0] * len(values), date=pl.Series(values, dtype=dtype))


def test_a_window_is_half_open_and_the_undated_are_in_no_window():
    rows = dated(["2018-12-31", "2019-01-01T00:00:00Z", "2019-06-15", "2020-01-01", "2019", None, "yesterday"])
    inside = kept(Age(by="date", since="2019-01-01", until=2020), rows)
    assert inside == [False, True, True, False, True, False, False]
    before, after = kept(Age(by="date", until="2019-01-01"), rows), kept(Age(by="date", since=2020), rows)
    total = [a + b + c for a, b, c in zip(inside, before, after, strict=True)]
    assert total == [1, 1, 1, 1, 1, 0, 0]  # windows side by side share nothing and lose nothing
    assert notes(Age(by="date", since="1999"), rows)["excluded"] == {"no score": 2}


@pytest.mark.parametrize("column", [
    pl.Series([datetime.date(2018, 5, 1), datetime.date(2019, 5, 1), None]),
    pl.Series(["2018-05-01T23:00", "2019-05-01T01:00", None]).str.to_datetime("%Y-%m-%dT%H:%M"),
    pl.Series([2018, 2019, None]), pl.Series([2018, 2019, 99_999]), pl.Series(["2018-05", "2019-05-01", "2019-13-01"]),
])  # fmt: skip
def test_dates_times_years_and_texts_are_dates(column):
    rows = corpus([0.0] * 3).with_columns(column.alias("date"))
    assert kept(Age(by="date", since="2019-01-01"), rows) == [False, True, False]
    assert days(column.alias("date")).null_count() >= 1


def test_windows_that_cannot_be_are_refused():
    for fields in ({}, {"since": "x"}, {"since": 2020, "until": 2019}, {"since": 2020, "until": "2020-01-01"}):
        with pytest.raises(ConfigError):
            Age(by="date", **fields).validate()
    with pytest.raises(DataError, match="no dates"):
        kept(Age(by="score", since=2019), corpus([1.0]))


def test_domains_in_and_out_are_complements():
    rows = corpus([0.0] * 5, topic=pl.Series(["law", "health", "law", None, "sport"]))
    assert kept(Domain(by="topic", include=("law", "sport")), rows) == [True, False, True, False, True]
    assert kept(Domain(by="topic", exclude=("law", "sport")), rows) == [False, True, False, False, False]
    assert notes(Domain(by="topic", exclude=("law",)), rows)["excluded"] == {"not eligible": 2, "no score": 1}


def test_a_host_stands_for_its_subdomains_and_not_for_its_look_alikes():
    urls = ["https://www.Example.org/a", "http://me:pw@example.org:80/", "https://counterexample.org", "example.org.evil.com/x",
            "//a.b.example.org", None, "", "https://other.net/?u=example.org"]  # fmt: skip
    rows = corpus([0.0] * len(urls), url=pl.Series(urls))
    assert kept(Domain(by="url", include=("example.org",), match="host"), rows) == [True, True, False, False, True, False, False, False]  # fmt: skip
    assert kept(Domain(by="url", exclude=("EXAMPLE.org",), match="host"), rows) == [False, False, True, True, False, False, False, True]  # fmt: skip
    assert host_of(pl.Series(["a.de.", "ftp://x:1/y", "/path only"])).to_list() == ["a.de", "x", None]


def test_domains_that_cannot_be_are_refused():
    for fields in ({}, {"include": ("a",), "exclude": ("a",)}):
        with pytest.raises(ConfigError):
            Domain(by="topic", **fields).validate()


def test_an_open_axis_with_a_budget_is_random():
    rows = random_corpus(300).with_columns(date=pl.lit("2019-01-01"), topic=pl.lit("law"))
    want = kept(Random(budget=tokens(900), salt="s"), rows)
    assert kept(Age(by="date", since="0001", budget=tokens(900), salt="s"), rows, (7, 200)) == want
    assert kept(Domain(by="topic", include=("law",), budget=tokens(900), salt="s"), rows, (100,)) == want


BUDGET = 45_000


@pytest.fixture(scope="module")
def arms():
    """A pool with arms of equal tokens on both sides of quality and toxicity, and of time."""
    draw = np.random.default_rng(1)
    count = 9000
    rows = corpus(
        draw.normal(size=count), draw.integers(5, 40, count), toxicity=pl.Series(draw.random(count)),
        date=pl.Series([f"{y}-03-01" if y < 2023 else None for y in draw.integers(2013, 2024, count)]),
    )  # fmt: skip
    ops = {
        "kept_good": Threshold(by="score", at_least=0.4, budget=tokens(BUDGET)),
        "kept_poor": Threshold(by="score", at_least=0.4, outside=True, budget=tokens(BUDGET)),
        "kept_clean": Threshold(by="toxicity", at_most=0.7, budget=tokens(BUDGET)),
        "kept_toxic": Threshold(by="toxicity", at_most=0.7, outside=True, budget=tokens(BUDGET)),
        "kept_old": Age(by="date", until=2018, budget=tokens(BUDGET)),
        "kept_new": Age(by="date", since=2018, budget=tokens(BUDGET)),
    }
    return rows.with_columns(**{name: run(op, rows, ctx=context())["kept"] for name, op in ops.items()}), tuple(ops)


def test_arms_hold_equal_tokens_to_a_thousandth_and_two_directions_share_nothing(arms):
    rows, names = arms
    for name in names:
        spent = rows.filter(name)["token_count"].sum()
        assert BUDGET - 40 < spent <= BUDGET
    for one, other in (names[:2], names[2:4], names[4:]):
        assert not (rows[one] & rows[other]).any()
    found = notes(Overlap(of=names), rows)
    assert found["largest_difference"] < 0.001


def test_the_manifest_counts_overlaps_means_dates_and_drop_rates(arms):
    rows, names = arms
    op = Overlap(of=names, means=("score", "toxicity"), date="date")
    found = notes(op, rows)
    total = rows["token_count"].sum()
    assert (found["pool"]["docs"], found["pool"]["cost"]) == (9000, total)
    for name, arm in zip(names, found["arms"], strict=True):
        mine = rows.filter(name)
        assert (arm["docs"], arm["cost"]) == (mine.height, mine["token_count"].sum())
        assert arm["kept_share"] + arm["drop_rate"] == pytest.approx(1.0)
        assert arm["means"] == pytest.approx([mine["score"].mean(), mine["toxicity"].mean()], abs=1e-6)
        years = dict(mine.group_by(pl.col("date").str.slice(0, 4)).agg(pl.len()).rows())
        assert {y: d["docs"] for y, d in arm["dates"].items()} == {k or "none": v for k, v in years.items()}
        assert sum(d["cost"] for d in arm["dates"].values()) == arm["cost"]
    assert len(found["pairs"]) == 15
    for pair in found["pairs"]:
        one, other = (names[i] for i in pair["selections"])
        both = rows.filter(pl.col(one) & pl.col(other))["token_count"].sum()
        assert pair["cost"] == both
        assert pair["jaccard"] == pytest.approx(both / rows.filter(pl.col(one) | pl.col(other))["token_count"].sum())
    counts = run(op, rows, (1, 999))["num_selections"]
    assert counts.to_list() == sum(rows[n].cast(pl.Int32) for n in names).to_list()


def test_the_manifest_does_not_depend_on_parts_and_holds_odd_scores_apart(arms):
    rows, names = arms
    op = Overlap(of=names[:2], means=("score",), date="date", unit="month")
    odd = rows.with_columns(
        score=pl.Series([None, float("nan"), float("inf"), 1e300] * 2250).set(rows["score"] > 0, 1.0)
    )
    whole = op.merge([op.summarise(odd, None, context())])
    edges = [0, 3, 1000, 9000]
    parts = [op.summarise(odd[a:b], None, context()) for a, b in itertools.pairwise(edges)]
    assert op.merge([parts[2], op.merge([parts[1], parts[0]])]).equals(whole)
    assert notes(op, odd)["arms"][0]["means"] == [1.0]
    kept_odd = odd.filter(pl.col(names[1]))["score"]
    assert notes(op, odd)["arms"][1]["without_score"] == [(~(kept_odd == 1.0)).fill_null(value=True).sum()]
    assert set(notes(op, odd)["arms"][0]["dates"]) > {"2013-03", "none"}


def test_overlaps_of_nothing_are_refused_and_empty_pools_are_counted():
    with pytest.raises(ConfigError):
        Overlap(of=()).validate()
    empty = corpus([], kept_a=pl.Series([], dtype=pl.Boolean))
    found = notes(Overlap(of=("kept_a",), means=("score",)), empty)
    assert found["arms"] == [{"docs": 0, "cost": 0, "kept_share": 0.0, "drop_rate": 1.0, "means": [None],
                              "without_score": [0], "dates": {}}]  # fmt: skip
