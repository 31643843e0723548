"""Thresholds, quantiles and ranks per group keep exactly what their docstrings say, whatever the layout."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import put_corpus, texts
from support import run as run_recipe
from support_scores import context, corpus, in_order, notes, random_corpus, run, walked

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import budget_cut, row_ranks
from winnow.core.numerics.water_filling import water_fill
from winnow.core.operators.budget import Budget
from winnow.selectors.score.buckets import Buckets
from winnow.selectors.score.per_group import PerGroup
from winnow.selectors.score.quantile import Quantile
from winnow.selectors.score.quota import Quota
from winnow.selectors.score.random_ import Random
from winnow.selectors.score.sample import Sample
from winnow.selectors.score.threshold import Threshold
from winnow.selectors.score.top_k import TopK
from winnow.selectors.score.upsample import Upsample
from winnow.selectors.sets.phases import Phases
from winnow.testing.in_memory import fold_state

CUTS = st.lists(st.integers(0, 40), max_size=4).map(tuple)


def docs(count):
    return Budget(count, "docs")


def tokens(count):
    return Budget(count, "tokens")


def kept(op, rows, cuts=(), seed=7):
    return set(np.flatnonzero(run(op, rows, cuts, context(seed))["kept"].to_numpy()).tolist())


# many cuts in many groups: the machinery under all of it


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999), height=st.integers(0, 40), cuts=CUTS, budgets=st.lists(st.integers(0, 400), max_size=5),
    listed=st.sampled_from([1, 3, 4096]), same=st.booleans(),
)  # fmt: skip
def test_every_cut_of_every_group_is_where_a_sort_puts_it(seed, height, cuts, budgets, listed, same):
    rows = random_corpus(height, seed)
    if same:
        rows = rows.with_columns(score=pl.lit(0.5))
    budgets = sorted(budgets)

    class Tiers(TopK):
        beyond = "stop"

        def targets(self):
            return lambda found: dict.fromkeys(found.of("rows"), budgets)

        def decide(self, rows, state, ctx):
            return pl.DataFrame({"tier": budget_cut.tiers(self.ranks(rows, ctx), state)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget_cut, "LISTED_ROWS", listed)
        got = run(Tiers(by="score", budget=tokens(1), per=("group",)), rows, cuts)["tier"].to_list()
    costs, want = rows["token_count"].to_list(), [-1] * height
    for group in ("g0", "g1", "g2"):
        order = [i for i in in_order(rows) if rows["group"][i] == group]
        for i, spent in zip(order, np.cumsum([costs[i] for i in order]), strict=True):
            want[i] = sum(spent > b for b in budgets)
    if budgets:
        assert got == want


@settings(max_examples=30, deadline=None)
@given(bounds=st.lists(st.tuples(*[st.integers(0, 2)] * 4), max_size=40), seed=st.integers(0, 99))
def test_rows_are_searched_among_bounds_word_by_word(bounds, seed):
    rows = np.random.default_rng(seed).integers(0, 3, size=(4, 60))
    bounds = np.array(sorted(bounds), dtype=np.int64).reshape(-1, 4).T
    found = row_ranks.count_at_most(rows[0], rows[1:].astype(np.uint64), np.ascontiguousarray(bounds[0]), bounds[1:].astype(np.uint64))  # fmt: skip
    assert found.tolist() == [sum(tuple(b) <= tuple(r) for b in bounds.T) for r in rows.T]


def test_more_groups_than_can_be_cut_are_refused(monkeypatch):
    monkeypatch.setattr(budget_cut, "MOST_CUTS", 9)
    rows = corpus([1.0] * 10, group=pl.Series([str(i) for i in range(10)]))
    with pytest.raises(DataError, match="10 cuts"):
        run(TopK(by="score", budget=docs(2), per=("group",)), rows)


# top_k, random and sample per group


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(0, 40), budget=st.integers(1, 900), cuts=CUTS,
       quota=st.sampled_from(["equal", "proportional", {"g0": 0.7, "g2": 0.1, "nobody": 5.0}]))  # fmt: skip
def test_top_k_per_group_takes_the_best_of_every_share(seed, height, budget, cuts, quota):
    rows = random_corpus(height, seed)
    got = kept(TopK(by="score", budget=tokens(budget), per=("group",), quota=quota, absent="remark"), rows, cuts)
    costs, want = rows["token_count"].to_list(), set()
    groups = {g: [i for i in in_order(rows) if rows["group"][i] == g] for g in ("g0", "g1", "g2")}
    held = [sum(costs[i] for i in order) for order in groups.values()]
    weights = {"equal": [1, 1, 1], "proportional": held}.get(quota) if isinstance(quota, str) else [0.7, 0.0, 0.1]
    for order, amount in zip(groups.values(), water_fill(held, budget, weights), strict=True):
        want |= walked(order, costs, amount)
    assert got == want


@pytest.mark.parametrize("make", [
    lambda **more: TopK(by="score", budget=tokens(300), **more),
    lambda **more: Random(budget=tokens(300), salt="" if more else "random per\0", **more),  # lots of their own
    lambda **more: Sample(by="score", budget=tokens(300), normalise="z", **more),
])  # fmt: skip
def test_one_group_is_no_group(make):
    rows = random_corpus(60).with_columns(one=pl.lit("x"))
    assert kept(make(per=("one",)), rows, (7, 30)) == kept(make(), rows)


@pytest.mark.parametrize("make", [
    lambda **more: Random(budget=docs(30), per=("group",), **more),
    lambda **more: Sample(by="score", budget=docs(30), per=("group",), temperature=0.3, **more),
])  # fmt: skip
def test_draws_per_group_keep_their_quotas_and_do_not_depend_on_the_layout(make):
    rows = random_corpus(200)
    got = kept(make(quota={"g0": 2.0, "g1": 1.0}), rows)
    assert got == kept(make(quota={"g0": 2.0, "g1": 1.0}), rows, (3, 50, 51, 199))
    assert rows[sorted(got)]["group"].value_counts(sort=True).rows() == [("g0", 20), ("g1", 10)]
    assert got != kept(make(quota={"g0": 2.0, "g1": 1.0}, salt="b"), rows)


def test_several_columns_make_groups_of_their_combinations():
    rows = corpus(range(8), a=pl.Series(list("xxxxyyyy")), b=pl.Series([1, 1, 2, 2, 1, 1, 2, 2]))
    assert kept(PerGroup(by="score", per=("a", "b"), budget=docs(1)), rows) == {1, 3, 5, 7}


# threshold


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), low=st.floats(0, 1), high=st.floats(0, 1), cuts=CUTS)
def test_a_threshold_keeps_what_lies_within_and_its_inverse_the_rest(seed, low, high, cuts):
    rows = random_corpus(40, seed)
    low, high = min(low, high), max(low, high)
    scores = rows["score"].to_list()
    real = {i for i, s in enumerate(scores) if s is not None and s == s}
    inside = kept(Threshold(by="score", at_least=low, at_most=high), rows, cuts)
    outside = kept(Threshold(by="score", at_least=low, at_most=high, outside=True), rows)
    assert inside == {i for i in real if low <= scores[i] <= high}
    assert inside | outside == real
    assert not inside & outside


def test_a_threshold_at_minus_infinity_is_the_identity_and_with_a_budget_it_is_random():
    rows = corpus(np.random.default_rng(1).normal(size=300), np.random.default_rng(2).integers(1, 99, 300))
    assert len(kept(Threshold(by="score", at_least=float("-inf")), rows)) == 300
    for budget in (tokens(4_000), docs(20), Budget(0.1, "share")):
        want = kept(Random(budget=budget, salt="s"), rows)
        assert kept(Threshold(by="score", at_least=float("-inf"), budget=budget, salt="s"), rows, (9, 200)) == want


def test_null_nan_and_infinite_scores_are_counted_apart_and_the_counts_add_up():
    rows = corpus([0.0, None, float("nan"), float("inf"), float("-inf"), 2.0, 2.0], [1, 1, 1, 1, 1, None, 1])
    found = notes(Threshold(by="score", at_least=1.0, budget=tokens(50)), rows)
    assert found["excluded"] == {"no score": 2, "not eligible": 2, "no cost": 1}
    assert (found["kept_rows"], found["infinite_scores"], found["candidates"]) == (2, 2, 7)
    assert found["kept_rows"] + sum(found["excluded"].values()) == 7
    found = notes(TopK(by="score", budget=tokens(2)), rows)
    assert found["excluded"] == {"no score": 2, "no cost": 1}
    assert (found["kept_rows"], found["kept_cost"], found["infinite_scores"]) == (2, 2, 2)


@pytest.mark.parametrize("fields", [{}, {"at_least": float("nan")}, {"at_least": 2.0, "at_most": 1.0}, {"at_least": 0.0, "by": ""},
                                    {"at_least": 0.0, "budget": Budget(1, "epochs")}])  # fmt: skip
def test_thresholds_that_cannot_work_are_refused(fields):
    with pytest.raises(ConfigError):
        Threshold(**{"by": "score"} | fields).validate()


# quantile


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(0, 40), cuts=CUTS, share=st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.999, 1.0]),
       descending=st.booleans(), per=st.sampled_from([(), ("group",)]), listed=st.sampled_from([1, 4096]))  # fmt: skip
def test_a_quantile_is_the_first_score_at_which_the_share_is_reached(
    seed, height, cuts, share, descending, per, listed
):
    rows = random_corpus(height, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget_cut, "LISTED_ROWS", listed)
        got = kept(Quantile(by="score", share=share, descending=descending, per=per), rows, cuts)
    want, costs = set(), rows["token_count"].to_list()
    for group in ("g0", "g1", "g2") if per else (None,):
        order = [i for i in in_order(rows, descending=descending) if not per or rows["group"][i] == group]
        total = sum(costs[i] for i in order)
        spent, at = 0, None
        for i in order:
            spent += costs[i]
            if spent * 1000 >= round(share * 1000) * total:
                at = rows["score"][i]
                break
        want |= {i for i in order if (rows["score"][i] >= at if descending else rows["score"][i] <= at)}
    assert got == want


def test_the_noted_threshold_selects_the_same_documents():
    rows = random_corpus(200)
    op = Quantile(by="score", share=0.3)
    assert kept(Threshold(by="score", at_least=notes(op, rows)["thresholds"][""]), rows) == kept(op, rows)
    low = Quantile(by="score", share=0.3, descending=False, count="docs")
    assert kept(Threshold(by="score", at_most=notes(low, rows)["thresholds"][""]), rows) == kept(low, rows)


def test_equal_scores_share_one_fate_at_a_quantile():
    assert len(kept(Quantile(by="score", share=0.01), corpus([3.0] * 9))) == 9
    assert kept(Quantile(by="score", share=0.5, count="docs"), corpus([1, 2, 2, 2])) == {1, 2, 3}


def test_heavy_documents_weigh_more_in_a_quantile():
    rows = corpus([4, 3, 2, 1], [1, 1, 97, 1])
    assert kept(Quantile(by="score", share=0.5), rows) == {0, 1, 2}
    assert kept(Quantile(by="score", share=0.5, count="docs"), rows) == {0, 1}


# per_group


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(0, 40), share=st.sampled_from([0.1, 0.5, 1.0]), cuts=CUTS)
def test_per_group_keeps_the_mix_to_within_one_document(seed, height, share, cuts):
    rows = random_corpus(height, seed)
    got = kept(PerGroup(by="score", per=("group",), share=share), rows, cuts)
    costs, want = rows["token_count"].to_list(), set()
    for group in ("g0", "g1", "g2"):
        order = [i for i in in_order(rows) if rows["group"][i] == group]
        total = sum(costs[i] for i in order)
        mine = walked(order, costs, int(total * share))
        want |= mine
        left = share * total - sum(costs[i] for i in mine)
        assert 0 <= left < 1 + max((costs[i] for i in order), default=0)
    assert got == want


def test_a_budget_of_each_group_is_its_own():
    rows = corpus([5, 4, 3, 2, 1], [10, 10, 10, 10, 10], group=pl.Series(list("aaabb")))
    assert kept(PerGroup(by="score", per=("group",), budget=tokens(20)), rows) == {0, 1, 3, 4}
    assert kept(PerGroup(by="score", per=("group",), budget=Budget(0.5, "share")), rows) == {0, 3}


@pytest.mark.parametrize("fields", [{"per": ()}, {}, {"share": 0.1, "budget": docs(1)}, {"share": 0.0}, {"share": 1.5}])
def test_groups_that_cannot_be_are_refused(fields):
    with pytest.raises(ConfigError):
        PerGroup(**{"by": "score", "per": ("group",)} | fields).validate()


# bad input, every operator


PHASE = {"name": "one", "select": "chosen", "by": "score", "tokens": tokens(100), "repeats": 2}
OPERATORS = [
    TopK(by="score", budget=tokens(100)),
    TopK(by="score", budget=tokens(100), per=("group",)),
    Threshold(by="score", at_least=0.0, budget=tokens(100)),
    Quota(per=("group",), budget=tokens(100), by="score"),
    PerGroup(by="score", per=("group",), budget=tokens(100)),
    Sample(by="score", budget=tokens(100)),
    Random(budget=tokens(100)),
]
WEIGHING = [
    Upsample(by="score", budget=tokens(100), discard=0.0, max_repeats=2.0),
    Buckets(scores=("score",), budget=tokens(100), mixture={"0-19": 1.0}, max_repeats=2.0),
    Phases(phases=(PHASE,)),
]
UNBOUND = [
    Threshold(by="score", at_least=-5.0),
    Quantile(by="score", share=1.0),
    PerGroup(by="score", per=("group",), share=1.0),
    Buckets(scores=("score",)),
]


def named(op):
    return f"{op.name}{len(getattr(op, 'per', ''))}"


@pytest.mark.parametrize("op", OPERATORS, ids=named)
def test_budgets_that_are_too_large_or_too_small(op):
    few = corpus([1.0, 2.0], [30, 30], group=["a", "a"])
    assert kept(op, few) == {0, 1}  # fewer documents than the budget
    assert kept(op, corpus([1.0], [101], group=["a"])) == set()  # one document larger than the budget
    assert kept(op, corpus([], [], group=pl.Series([], dtype=pl.String))) == set()
    if not isinstance(op, Random):
        assert kept(op, corpus([None, float("nan")], group=["a", "a"])) == set()
    equal = corpus([1.0] * 9, [40] * 9, group=["a"] * 9)
    assert len(kept(op, equal)) == 2
    if isinstance(op, TopK | Quota | PerGroup):  # ties by doc_id
        assert kept(op, equal) == set(sorted(range(9), key=lambda i: equal["doc_id"][i])[:2])


@pytest.mark.parametrize("op", WEIGHING, ids=named)
def test_weights_stay_within_budgets_that_are_too_large_or_too_small(op):
    def spent(scores, costs):
        rows = corpus(scores, costs).with_columns(group=pl.lit("a"), chosen=pl.lit(value=True))
        weight = run(op, rows)["weight"].to_numpy()
        assert weight.max(initial=0) <= 2
        return float((weight * np.array(costs, dtype=float)).sum())

    assert spent([1.0, 2.0], [20, 20]) == 80  # fewer than the budget: everything, twice
    assert spent([1.0], [1000]) <= 100  # one document larger than the budget
    assert 80 <= spent([1.0] * 9, [40] * 9) <= 100.001  # all scores equal
    assert spent([], []) == spent([None, float("nan")], [5, 5]) == 0


@pytest.mark.parametrize("op", [o for o in (*OPERATORS, *WEIGHING, *UNBOUND) if not isinstance(o, Random)], ids=named)
def test_nan_and_null_are_never_kept_and_every_score_that_is_no_number_is_counted(op):
    scores = [None, float("nan"), float("inf"), float("-inf"), 2.0, 1.0, None]
    rows = corpus(scores, group=["a"] * 7, chosen=[True] * 7)
    weight = run(op, rows, (3,))["weight"].to_numpy()
    assert not weight[[0, 1, 6]].any()
    assert weight[[4, 5]].all()
    found = notes(op, rows)
    assert found["excluded"]["no score"] == 3
    assert found["infinite_scores"] == (1 if isinstance(op, Sample) else 2)  # odds of 0 are no odds


def test_a_budget_of_0_is_no_budget_and_a_share_that_rounds_to_0_keeps_one_document():
    for text in ("0 tokens", "0%"):
        with pytest.raises(ConfigError, match="above 0"):
            Budget.parse(text)
    rows = corpus([1.0, 1.0, 3.0, 1.0, 1.0])
    assert kept(TopK(by="score", budget=Budget(0.1, "share")), rows) == {2}


def test_merged_summaries_and_states_have_equal_bytes_for_any_parts():
    rows = random_corpus(300)
    op = TopK(by="score", budget=tokens(900), per=("group",), quota="equal")
    whole = fold_state(op, rows, context())
    for cuts in ((1, 2, 3), (150,), (299,)):
        edges = [0, *cuts, 300]
        assert fold_state(op, [rows[a:b] for a, b in itertools.pairwise(edges)], context()).equals(whole)


# through the frame: layouts, resume, metrics

RECIPE = """
seed: 3
stages:
  docs:  {use: jsonl, files: "raw/*.jsonl", id: content}
  sig:   {use: signals, inputs: docs}
  lang:  {use: language, inputs: docs}
  clean: {use: filter, inputs: [docs, sig], keep: {words: "word_count > 8"}}
  once:  {use: exact, inputs: docs, ignore: all}
  t:     {use: threshold, inputs: [docs, clean], by: word_count, at_least: 60, budget: 2k tokens}
  q:     {use: quantile, inputs: [docs, clean], by: word_count, share: 0.3, per: language}
  g:     {use: per_group, inputs: [docs, clean], by: word_count, share: 0.3, per: language}
  k:     {use: top_k, inputs: [docs, clean], by: word_count, budget: 2k tokens, per: language, quota: equal}
  s:     {use: sample, inputs: [docs, clean], by: word_count, budget: 2k tokens, per: language, normalise: z}
  w:     {use: quota, inputs: [docs, clean], per: language, budget: 9k tokens, max_repeats: 3, shares: {en: 0.5, ja: 0.5}, absent: remark}
  u:     {use: upsample, inputs: [docs, clean], by: word_count, budget: 6k tokens, tiers: 5}
  r:     {use: rehydrate, inputs: docs, among: kept_once, passed: kept_clean, size: exact_cluster_size, least_docs: 5}
  b:     {use: buckets, inputs: docs, scores: [word_count, mean_word_length], num: 5, ignore: all}
  any:   {use: union, inputs: docs, of: [kept_t, kept_k], weights: [t.weight, k.weight]}
  both:  {use: intersect, inputs: docs, of: [kept_t, kept_k]}
  rest:  {use: difference, inputs: docs, of: [kept_clean, kept_any]}
  p:     {use: phases, inputs: docs, phases: [{name: one, select: kept_clean, tokens: 3k tokens}, {name: two, select: [kept_k, kept_q], tokens: 2k tokens, repeats: 2}]}
  a:     {use: domain, inputs: [docs, clean], by: language, exclude: [ja], absent: remark, budget: 1k tokens}
  o:     {use: overlap, inputs: docs, of: [kept_t, kept_k, kept_a], means: [word_count]}
  out:   {use: write, inputs: [docs, u], repeat: u.weight, shard_bytes: 8KB}
"""
STAGES = ("t", "q", "g", "k", "s", "w", "u", "r", "b", "any", "both", "rest", "p", "a", "o", "out")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = put_corpus(tmp_path_factory.mktemp("scores") / "raw", texts(240), 1).parent
    return folder, run_recipe(RECIPE, folder, tmp_path_factory.mktemp("plain"))


def test_every_layout_gives_the_same_digests(ran, tmp_path):
    folder, plain = ran
    again = run_recipe(RECIPE, folder, tmp_path, part_bytes=9_000, batch_rows=7, buckets=3)
    assert len(again.of("docs").parts) > 3
    assert {s: again.digests[s] for s in STAGES} == {s: plain.digests[s] for s in STAGES}
    assert again.shards("out") == plain.shards("out")


def test_a_run_that_lost_a_manifest_ends_the_same(ran, tmp_path):
    folder, plain = ran
    first = run_recipe(RECIPE, folder, tmp_path, until="k", part_bytes=20_000)
    (tmp_path / first.plan.node("k").folder / "manifest.json").unlink()
    again = run_recipe(RECIPE, folder, tmp_path, until="k", part_bytes=20_000)
    assert again.digests["k"] == plain.digests["k"]
    assert set(again.computed) == {"k"}


def test_the_selections_are_not_trivial(ran):
    _, plain = ran
    pool = plain.counts("clean")["kept"]
    for stage in ("t", "q", "g", "k", "s", "w", "any", "both", "rest", "a"):
        assert 0 < plain.counts(stage)["kept"] < pool, stage
    metrics = plain.manifest("o").metrics
    assert metrics["arms"][1]["docs"] == plain.counts("k")["kept"]
    assert plain.manifest("t").metrics["excluded"]["not eligible"] > 0
