"""Budgets shared out among groups: water-filling, and quotas that repeat what is too small."""

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_scores import context, corpus, filled, in_order, notes, random_corpus, run, walked

from winnow.core.errors import ConfigError
from winnow.core.numerics.water_filling import apportion, water_fill
from winnow.core.operators.budget import Budget
from winnow.selectors.score.quota import Quota
from winnow.selectors.score.random_ import Random
from winnow.selectors.score.top_k import TopK

CUTS = st.lists(st.integers(0, 40), max_size=4).map(tuple)
WEIGHTS = st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.0])


def tokens(count):
    return Budget(count, "tokens")


# water-filling


@pytest.mark.parametrize(("sizes", "total", "want"), [
    ((10, 3, 1), 8, (4, 3, 1)), ((10, 3, 1), 9, (5, 3, 1)), ((10, 3, 1), 6, (3, 2, 1)), ((10, 3, 1), 14, (10, 3, 1)),
    ((10, 3, 1), 99, (10, 3, 1)), ((10, 3, 1), 0, (0, 0, 0)), ((), 5, ()), ((0, 5), 3, (0, 3)),
])  # fmt: skip
def test_water_rises_over_what_is_full(sizes, total, want):
    assert tuple(water_fill(sizes, total)) == want


@pytest.mark.parametrize(("epochs", "want"), [(1, [1, 10, 19]), (4, [4, 13, 13])])
def test_unimax_is_water_filling_of_epochs(epochs, want):
    assert water_fill([epochs * size for size in (1, 10, 100)], 30) == want


@settings(max_examples=200, deadline=None)
@given(groups=st.lists(st.tuples(st.integers(0, 60), WEIGHTS), max_size=8), total=st.integers(0, 300))
def test_amounts_add_up_and_stay_near_the_exact_level(groups, total):
    sizes, weights = [g[0] for g in groups], [g[1] for g in groups]
    got = water_fill(sizes, total, weights)
    assert sum(got) == min(total, sum(s for s, w in groups if w))
    assert all(0 <= a <= s for a, s in zip(got, sizes, strict=True))
    exact = filled(sizes, [Fraction(str(w)) for w in weights], total)
    assert all(abs(a - x) < 1 + 1e-6 for a, x in zip(got, exact, strict=True))


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(0, 60), max_size=6), total=st.integers(0, 200), epochs=st.integers(1, 5))
def test_unimax_one_source_at_a_time_gives_the_same_to_within_a_unit(sizes, total, epochs):
    left, want = float(total), {}
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for place, i in enumerate(order):
        want[i] = min(left / (len(sizes) - place), epochs * sizes[i])
        left -= want[i]
    got = water_fill([epochs * size for size in sizes], total)
    assert all(abs(got[i] - want[i]) <= 1 + 1e-9 for i in want)


def test_remainders_go_to_the_largest_and_then_to_the_first():
    assert apportion(10, [Fraction(1, 3)] * 3) == [4, 3, 3]
    assert apportion(10, [Fraction(1), Fraction(2), Fraction(4)]) == [1, 3, 6]
    assert apportion(7, [Fraction(0), Fraction(0)]) == [0, 0]
    assert water_fill([9, 9], 3, [0.1, 0.2]) == [1, 2]  # 0.1 is a tenth, not the float next to it


@pytest.mark.parametrize("given", [([1, -1], 3, None), ([1], -1, None), ([1], 1, [-1.0]), ([1], 1, [float("nan")]),
                                   ([1], 1, [float("inf")]), ([1], 1, [1.0, 2.0])])  # fmt: skip
def test_amounts_that_cannot_be_are_refused(given):
    with pytest.raises(ConfigError):
        water_fill(*given)


# quota


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(0, 40), budget=st.integers(1, 2500), cuts=CUTS, repeats=st.sampled_from([1.0, 2.5]),
       shares=st.sampled_from(["equal", "proportional", {"g0": 0.7, "g2": 0.3, "nobody": 5.0}]))  # fmt: skip
def test_a_quota_takes_the_best_of_every_share_and_repeats_what_is_too_small(
    seed, height, budget, cuts, repeats, shares
):
    rows = random_corpus(height, seed)
    got = run(
        Quota(per=("group",), budget=tokens(budget), shares=shares, by="score", max_repeats=repeats, absent="remark"),
        rows,
        cuts,
    )
    costs, want = rows["token_count"].to_list(), [0.0] * height
    groups = [[i for i in in_order(rows) if rows["group"][i] == g] for g in ("g0", "g1", "g2")]
    held = [sum(costs[i] for i in order) for order in groups]
    weights = {"equal": [1, 1, 1], "proportional": held}.get(shares) if isinstance(shares, str) else [0.7, 0.0, 0.3]
    for order, size, amount in zip(
        groups, held, water_fill([int(h * repeats) for h in held], budget, weights), strict=True
    ):
        times = max(1.0, int(Fraction(amount, size) * 2**20) / 2**20) if size else 1.0
        for i in walked(order, costs, amount):
            want[i] = times
    assert got["weight"].to_list() == want
    assert got["kept"].to_list() == [w > 0 for w in want]
    assert (got["weight"] * rows["token_count"]).sum() <= budget


def test_the_budget_is_used_while_there_is_anything_to_use():
    rows = corpus([0.0] * 60, group=pl.Series(["a"] * 5 + ["b"] * 55))
    taken = run(Quota(per=("group",), budget=tokens(40)), rows).filter("kept").height
    assert taken == 40  # 20 and 20 asked for; a has 5, b takes 35
    repeated = run(Quota(per=("group",), budget=tokens(40), max_repeats=4.0), rows)
    assert repeated["weight"].sum() == 40
    assert repeated["weight"][:5].to_list() == [4.0] * 5


def test_without_a_score_a_quota_of_one_group_is_random_with_lots_of_its_own():
    rows = random_corpus(80).with_columns(one=pl.lit("x"))
    for budget in (tokens(300), Budget(0.2, "share"), Budget(7, "docs")):
        op = Quota(per=("one",), budget=budget, salt="s")
        assert run(op, rows, (9, 41)).equals(run(Random(budget=budget, salt="quota\0s"), rows))
    assert not run(Quota(per=("one",), budget=tokens(300)), rows).equals(
        run(Quota(per=("one",), budget=tokens(300)), rows, ctx=context(seed=8))
    )


def test_with_a_score_a_proportional_quota_is_top_k_per_group():
    rows = random_corpus(80)
    quota = Quota(per=("group",), budget=tokens(300), shares="proportional", by="score")
    assert run(quota, rows, (9, 41)).equals(run(TopK(by="score", budget=tokens(300), per=("group",)), rows))


def test_shares_that_found_no_document_and_documents_without_a_group_are_noted():
    rows = random_corpus(80)
    found = notes(Quota(per=("group",), budget=tokens(300), shares={"g0": 0.5, "gO": 0.5}, absent="remark"), rows)
    assert found["absent"] == ["gO"]
    assert found["excluded"]["no group"] == rows["group"].null_count()
    assert set(found["groups"]) == {"g0", "g1", "g2"}


@pytest.mark.parametrize("fields", [{"per": ()}, {"shares": {"a": -1.0}}, {"shares": {"a": 0.0}}, {"max_repeats": 0.9},
                                    {"shares": {}}, {"budget": Budget(1, "epochs")}])  # fmt: skip
def test_quotas_that_cannot_be_are_refused(fields):
    with pytest.raises(ConfigError):
        Quota(**{"per": ("group",), "budget": tokens(3)} | fields).validate()
    if "shares" in fields:
        with pytest.raises(ConfigError):
            TopK(by="score", budget=tokens(3), per=("group",), quota=fields["shares"]).validate()


def test_whole_numbers_and_truth_values_make_groups_too():
    rows = corpus(np.arange(12.0), number=pl.Series([1, 2] * 6), flag=pl.Series([True, False] * 6))
    by_number = run(Quota(per=("number",), budget=Budget(4, "docs"), shares={"2": 1.0}, by="score"), rows)
    assert np.flatnonzero(by_number["kept"].to_numpy()).tolist() == [5, 7, 9, 11]
    by_flag = run(Quota(per=("flag",), budget=Budget(4, "docs"), shares={"false": 1.0}, by="score"), rows)
    assert by_flag.equals(by_number)
