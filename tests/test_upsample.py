"""Weights that rise with quality: upsampling curves, rehydration and buckets of several scorers."""

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_scores import corpus, in_order, notes, random_corpus, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators.budget import Budget
from winnow.pipeline.write.write import Write
from winnow.selectors.score.buckets import Buckets
from winnow.selectors.score.rehydrate import Rehydrate, bin_of, span
from winnow.selectors.score.upsample import Upsample, scaled

CUTS = st.lists(st.integers(0, 60), max_size=4).map(tuple)


def tokens(count):
    return Budget(count, "tokens")


def weights(op, rows, cuts=()):
    return run(op, rows, cuts)["weight"].to_numpy()


# upsample


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), budget=st.integers(1, 9000), power=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
       discard=st.sampled_from([0.0, 0.4, 0.9]), cap=st.sampled_from([1.0, 2.5, 7.0]), tiers=st.integers(2, 12), cuts=CUTS)  # fmt: skip
def test_weights_rise_with_the_score_within_budget_and_cap(seed, budget, power, discard, cap, tiers, cuts):
    rows = random_corpus(60, seed)
    op = Upsample(by="score", budget=tokens(budget), power=power, discard=discard, max_repeats=cap, tiers=tiers)
    got = weights(op, rows, cuts)
    order, cost = in_order(rows), rows["token_count"].to_numpy()
    assert all(b <= a for a, b in zip(got[order], got[order[1:]], strict=False))
    assert (got * cost).sum() <= budget
    assert got.max() <= cap
    assert set(np.flatnonzero(got)) <= set(order)
    total, spent = cost[order].sum(), np.cumsum(cost[order])
    tier = np.array([sum(s > total * e // tiers for e in range(1, tiers)) for s in spent])
    middle = 1 - (tier + 0.5) / tiers
    assert (got[order][middle <= discard] == 0).all()
    held = [(np.unique(got[order][tier == t]), cost[order][tier == t].sum()) for t in range(tiers) if (tier == t).any()]
    assert all(len(found) == 1 for found, _ in held)  # one weight per tier
    usable = cost[order][middle > discard].sum()
    open_ones = got[order][(got[order] > 0) & (got[order] < cap)]
    if len(open_ones) or (middle > discard).any():  # the budget is used to within rounding, or the cap is everywhere
        short = min(budget, cap * usable) - (got * cost).sum()
        assert 0 <= short <= total * 2.0**-19 * 10 + 1e-6


def test_the_weights_are_those_of_the_curve():
    rows = corpus(range(100), [10] * 100)
    got = weights(Upsample(by="score", budget=tokens(500), tiers=4, discard=0.5, power=1.0), rows)
    # tiers of 25 documents; middles .875 and .625 -> heights .75 and .25; 250 * (3c + c) = 500 -> c = 1/2
    assert np.unique(got[:50]).tolist() == [0.0]
    assert got[50] == pytest.approx(0.5, abs=1e-5)
    assert got[99] == pytest.approx(1.5, abs=1e-5)
    assert (got * 2**20 == np.floor(got * 2**20)).all()


def test_a_flat_curve_uses_all_alike_and_a_cap_of_1_is_everything_once():
    rows = random_corpus(80).filter(pl.col("score").is_not_null() & pl.col("score").is_not_nan())
    total = int(rows["token_count"].sum())
    flat = weights(Upsample(by="score", budget=tokens(total // 2), power=0.0, discard=0.0), rows)
    assert len(np.unique(flat)) == 1
    assert flat[0] == pytest.approx(0.5, abs=1e-3)
    assert np.unique(
        weights(Upsample(by="score", budget=tokens(9 * total), max_repeats=1.0, discard=0.0), rows)
    ).tolist() == [1.0]


def test_groups_have_their_own_tiers_and_share_the_budget():
    rows = random_corpus(400).with_columns(score=pl.when(pl.col("group") == "g0").then(pl.col("score") + 9).otherwise(pl.col("score")))  # fmt: skip
    op = Upsample(by="score", budget=tokens(3000), per=("group",), quota={"g0": 2.0, "g1": 1.0}, tiers=5)
    table = rows.with_columns(w=weights(op, rows, (11, 300))).with_columns(t=pl.col("w") * pl.col("token_count"))
    spent = dict(table.group_by("group").agg(pl.col("t").sum()).rows())
    assert spent["g0"] == pytest.approx(2000, abs=1)
    assert spent["g1"] == pytest.approx(1000, abs=1)
    assert (spent["g2"], spent[None]) == (0.0, 0.0)
    found = notes(op, rows)
    assert found["weighted_cost"] == pytest.approx(3000, abs=2)


def test_all_scores_equal_and_a_document_larger_than_the_budget_stay_within_it():
    op = Upsample(by="score", budget=tokens(100), tiers=4)
    for rows in (corpus([1.0] * 40, [10] * 40), corpus([1.0], [1000]), corpus([None, float("nan")], [5, 5])):
        got = weights(op, rows)
        assert (got * rows["token_count"].to_numpy()).sum() <= 100
    assert weights(op, corpus([], [])).tolist() == []


@settings(max_examples=40, deadline=None)
@given(curve=st.lists(st.integers(0, 1 << 30), min_size=1, max_size=6), budget=st.integers(0, 10_000),
       cap=st.integers(1, 9), data=st.data())  # fmt: skip
def test_the_scale_is_the_largest_that_fits(curve, budget, cap, data):
    costs = data.draw(st.lists(st.integers(0, 500), min_size=len(curve), max_size=len(curve)))
    got = scaled(curve, costs, budget, Fraction(cap))
    spent = sum(w * c for w, c in zip(got, costs, strict=True))
    assert spent <= budget
    if spent and max(got) < cap:  # one step more of the tallest would overflow, to within the grid
        assert budget - spent <= sum(costs) * max(1, max(curve) / (1 << 30)) * 2.0**-19 * max(1, (1 << 30) / max(curve))


@pytest.mark.parametrize("fields", [{"discard": 1.0}, {"power": -1.0}, {"tiers": 1}, {"max_repeats": 0.5}, {"by": ""},
                                    {"budget": Budget(2, "epochs")}, {"quota": {"a": 1.0}}])  # fmt: skip
def test_curves_that_are_none_are_refused(fields):
    with pytest.raises(ConfigError):
        Upsample(**{"by": "score", "budget": tokens(5)} | fields).validate()


def test_write_follows_the_weights():
    rows = corpus(np.random.default_rng(3).random(4000), [10] * 4000)
    got = run(Upsample(by="score", budget=tokens(60_000)), rows).with_columns(rows["doc_id"])
    copies = Write(repeat="weight").copies(got.to_arrow().cast(got.to_arrow().schema))
    assert copies.sum() * 10 == pytest.approx(60_000, rel=0.02)
    assert (abs(copies - got["weight"].to_numpy()) < 1).all()


# rehydrate


def clusters(sizes_passed):
    """Documents as (size, passed) repeated `count` times."""
    size = [s for s, _, n in sizes_passed for _ in range(n)]
    passed = [p for _, p, n in sizes_passed for _ in range(n)]
    return corpus([0.0] * len(size), minhash_cluster_size=pl.Series(size, dtype=pl.Int32),
                  kept_unique=[True] * len(size), kept_clean=passed)  # fmt: skip


def test_sizes_that_are_dropped_less_are_used_more():
    # drop rates: 1 -> .6, 2 -> .4, 5-8 -> .2; overall (60 + 40 + 20) / 300 = .4
    rows = clusters([(1, True, 40), (1, False, 60), (2, True, 60), (2, False, 40), (7, True, 80), (7, False, 20)])
    op = Rehydrate(among="kept_unique", passed="kept_clean", max_repeats=5.0)
    table = rows.with_columns(w=weights(op, rows, (17, 150)))
    assert dict(table.filter("kept_clean").group_by("minhash_cluster_size").agg(pl.col("w").first()).rows()) == {1: 1.0, 2: 1.0, 7: 5.0}  # fmt: skip
    assert table.filter(~pl.col("kept_clean"))["w"].sum() == 0
    found = notes(op, rows)
    assert found["drop_rate"] == pytest.approx(0.4)
    assert [s["sizes"] for s in found["sizes"]] == ["1", "2", "5-8"]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), cuts=CUTS, least=st.integers(1, 10))
def test_weights_of_sizes_are_the_docstring_in_fractions(seed, cuts, least):
    draw = np.random.default_rng(seed)
    rows = clusters([(int(s), bool(p), 1) for s, p in zip(draw.geometric(0.4, 60), draw.random(60) < 0.5, strict=True)])
    rows = rows.with_columns(kept_unique=pl.Series(draw.random(60) < 0.8).set(pl.Series(draw.random(60) < 0.1), None))
    op = Rehydrate(among="kept_unique", passed="kept_clean", least_docs=least)
    got = weights(op, rows, cuts)
    pool = rows.with_columns(bin=bin_of(rows["minhash_cluster_size"])).filter(
        pl.col("kept_unique").fill_null(value=False)
    )
    rate = {
        b: Fraction(int((~g["kept_clean"]).sum()), g.height) for (b,), g in pool.group_by("bin") if g.height >= least
    }
    overall = Fraction(int((~pool["kept_clean"]).sum()), max(pool.height, 1))
    for i, (b, unique, passed) in enumerate(zip(bin_of(rows["minhash_cluster_size"]), rows["kept_unique"], rows["kept_clean"], strict=True)):  # fmt: skip
        want = Fraction(0)
        if unique and passed:
            less = overall - rate.get(b, overall)
            want = 1 + 9 * less / (overall - min(rate.values())) if less > 0 else Fraction(1)
        assert abs(got[i] - want) < 2.0**-20


def test_sizes_fall_into_bins_by_powers_of_two():
    assert bin_of(pl.Series([1, 2, 3, 4, 5, 8, 9, None])).to_list() == [0, 1, 2, 2, 3, 3, 4, -1]
    assert [span(b) for b in range(5)] == ["1", "2", "3-4", "5-8", "9-16"]


def test_rehydration_without_rates_or_sizes_repeats_nothing():
    op = Rehydrate(among="kept_unique", passed="kept_clean")
    rows = clusters([(3, True, 5), (9, False, 5)])  # fewer than `least_docs`
    assert sorted(set(weights(op, rows))) == [0.0, 1.0]
    unknown = rows.with_columns(minhash_cluster_size=pl.lit(None, dtype=pl.Int32))
    assert weights(op, unknown).sum() == 0
    assert notes(op, unknown)["without_size"] == 10
    with pytest.raises(DataError, match="below 1"):
        weights(op, rows.with_columns(minhash_cluster_size=pl.lit(0)))
    with pytest.raises(DataError, match="true or false"):
        weights(op, rows.with_columns(kept_clean=pl.lit(1)))
    with pytest.raises(ConfigError):
        Rehydrate(among="kept_unique", passed="kept_unique").validate()


# buckets


def bucket_of(rows, column, num):
    """Number of quantiles below each score, from the docstring."""
    score, cost = rows[column].to_list(), rows["token_count"].to_list()
    real = sorted((s, cost[i]) for i, s in enumerate(score) if s is not None and s == s)
    total, out = sum(c for _, c in real), []
    for s in score:
        if s is None or s != s:
            out.append(None)
            continue
        below = sum(c for other, c in real if other < s)
        out.append(sum(below * num >= e * total for e in range(1, num)))
    return out


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), num=st.integers(2, 20), combine=st.sampled_from(["max", "mean"]), cuts=CUTS)
def test_a_bucket_is_the_rank_under_each_scorer_combined(seed, num, combine, cuts):
    rows = random_corpus(50, seed).with_columns(token_count=pl.col("token_count") + 1)
    other = random_corpus(50, seed + 1)["score"].fill_nan(0.5).fill_null(0.25).round(1)
    rows = rows.with_columns(other=other)
    got = run(Buckets(scores=("score", "other"), num=num, combine=combine), rows, cuts)
    want = []
    for one, two in zip(bucket_of(rows, "score", num), bucket_of(rows, "other", num), strict=True):
        said = [b for b in (one, two) if b is not None]
        want.append(max(said) if combine == "max" else (2 * sum(said) + len(said)) // (2 * len(said)))
    assert got["bucket"].to_list() == want
    assert got["kept"].all()


def test_distinct_scores_fill_all_buckets_alike_whatever_the_scale():
    rows = corpus(range(100)).with_columns(tiny=pl.col("score") * -1e-9)
    got = run(Buckets(scores=("score",)), rows)["bucket"]
    assert got.value_counts()["count"].unique().to_list() == [5]
    assert got.to_list() == sorted(got)
    assert run(Buckets(scores=("tiny",)), rows)["bucket"].to_list() == got.reverse().to_list()
    both = run(Buckets(scores=("score", "tiny")), rows)["bucket"]
    assert both.min() >= 9  # good under one is good


def test_a_scorer_that_says_nothing_changes_nothing():
    rows = random_corpus(60)
    alone = run(Buckets(scores=("score",)), rows)
    for value in (pl.lit(3.0), pl.lit(None, dtype=pl.Float64), pl.lit(float("nan"))):
        with_it = run(Buckets(scores=("score", "dull")), rows.with_columns(dull=value))
        known = alone["bucket"].is_not_null()
        assert with_it.filter(known)["bucket"].to_list() == alone.filter(known)["bucket"].to_list()
    assert alone.filter(~known)["kept"].sum() == 0
    assert notes(Buckets(scores=("score",)), rows)["without_score"] == (~known).sum() > 0


def test_a_mixture_gives_every_range_its_share_of_the_budget():
    rows = corpus(range(100), [10] * 100)
    op = Buckets(
        scores=("score",), num=10, mixture={"9": 0.5, "7-8": 0.3, "0-3": 0.2}, budget=tokens(400), max_repeats=4.0
    )
    table = rows.with_columns(run(op, rows, (33,))).with_columns(t=pl.col("weight") * pl.col("token_count"))
    spent = dict(table.group_by(pl.col("bucket")).agg(pl.col("t").sum()).rows())
    assert spent[9] == pytest.approx(200)  # 100 tokens, twice
    assert spent[7] + spent[8] == pytest.approx(120, abs=0.01)
    assert sum(spent[b] for b in range(4)) == pytest.approx(80, abs=0.01)
    assert spent[4] == spent[5] == spent[6] == 0
    poor = Buckets(scores=("score",), num=10, mixture={"9": 0.5, "0-3": 0.5}, budget=tokens(400))  # 9 holds only 100
    table = rows.with_columns(run(poor, rows)).with_columns(t=pl.col("weight") * pl.col("token_count"))
    assert table["t"].sum() == pytest.approx(400, abs=0.01)
    assert table.filter(pl.col("bucket") == 9)["t"].sum() == 100


@pytest.mark.parametrize("fields", [{"scores": ()}, {"scores": ("a", "a")}, {"num": 1}, {"at_least": 20}, {"mixture": {"3": 1.0}},
                                    {"mixture": {"3": 1.0, "2-4": 1.0}, "budget": tokens(3)}, {"budget": tokens(3)},
                                    {"mixture": {"20": 1.0}, "budget": tokens(3)}, {"max_repeats": 0.0}])  # fmt: skip
def test_buckets_that_cannot_be_are_refused(fields):
    with pytest.raises(ConfigError):
        Buckets(**{"scores": ("score",)} | fields).validate()
