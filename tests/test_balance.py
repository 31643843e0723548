"""Clusters as columns, and selections that even clusters and rare concepts out."""

import itertools
import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import put_corpus, run, texts
from support_vectors import modes, rows_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.pipeline.measure.clusters import Clusters
from winnow.selectors.balance.cluster_balanced import ClusterBalanced
from winnow.selectors.balance.hierarchical import Hierarchical, nearest_members, shared
from winnow.selectors.score.random_ import Random
from winnow.selectors.target.retrieve_tail import RetrieveTail, holders, rarest, share_of_yes
from winnow.testing.in_memory import MemorySource, run_fold, run_whole


def solved(op, rows, parts=1, notes=None, seed=1, refs=None):
    op.validate()
    cuts = np.linspace(0, rows.height, parts + 1).astype(int)
    pieces = [rows[a:b] for a, b in itertools.pairwise(cuts)]
    return rows.hstack(pl.concat(run_whole(op, pieces, Context(seed=seed, work=None, notes=notes, refs=refs or {}))))


def test_modes_are_clusters_for_any_parts():
    rows = rows_of(modes([50, 30, 20], 1)).with_columns(mode=pl.Series(np.repeat([0, 1, 2], [50, 30, 20])))
    rows = rows.sort("doc_id")
    notes = {}
    found = solved(Clusters(num=12), rows, notes=notes)
    assert found.group_by("mode", "cluster").len().height == notes["clusters"] == 12
    assert sum(notes["sizes"]) == 100
    assert found["cluster_similarity"].min() > 0.5
    assert found["cluster_similarity"].max() <= 1
    assert solved(Clusters(num=12), rows, parts=4).equals(found)
    assert solved(Clusters(num=12, center=True), rows).group_by("mode", "cluster").len().height == 12


def test_more_clusters_than_directions_and_documents_without_one():
    vectors = np.repeat(modes([4], 1), 3, axis=0)
    vectors[5] = 0
    notes = {}
    found = solved(Clusters(num=50), rows_of(vectors), notes=notes)
    assert notes["clusters"] == 4
    assert notes["without_vector"] == 1
    assert found["cluster"].null_count() == found["cluster_similarity"].null_count() == 1
    solved(Clusters(), rows_of(modes([100], 1)), notes=(free := {}))
    assert free["clusters"] == 10


def test_vectors_that_are_none_are_refused():
    rows = rows_of(modes([2], 1)).with_columns(vector=pl.Series([[1.0, float("inf")], [1.0, 0.0]]))
    with pytest.raises(DataError, match="infinity"):
        solved(Clusters(num=2), rows)
    for wrong in ({"num": -1}, {"iterations": 0}):
        with pytest.raises(ConfigError):
            Clusters(**wrong).validate()


def labelled(sizes, seed=0):
    names = [name for name, size in sizes.items() for _ in range(size)]
    raw = np.random.default_rng(seed).bytes(16 * len(names))
    ids = [raw[16 * i : 16 * i + 16] for i in range(len(names))]
    return pl.DataFrame({"doc_id": ids, "cluster": names}).sort("doc_id")


def mean_counts(beta, sizes, budget=30, draws=120):
    rows, total = labelled(sizes), dict.fromkeys(sizes, 0)
    for seed in range(draws):
        found = solved(ClusterBalanced(budget=Budget(budget, "docs"), beta=beta), rows, seed=seed)
        assert found["kept"].sum() == budget
        for name, count in found.filter("kept").group_by("cluster").len().iter_rows():
            total[name] += count
    return {name: count / draws for name, count in total.items()}


def test_expected_counts_are_equal_at_beta_1_and_proportional_at_beta_0():
    sizes = {"a": 2000, "b": 400, "c": 1600}
    even = mean_counts(1.0, sizes)
    assert list(even.values()) == pytest.approx([10, 10, 10], abs=1.0)  # 4 standard errors
    plain = mean_counts(0.0, sizes)
    assert plain == pytest.approx({"a": 15, "b": 3, "c": 12}, abs=1.0)
    between = mean_counts(0.5, sizes)
    assert even["b"] > between["b"] > plain["b"]


def test_a_balanced_draw_keeps_its_budget_in_tokens_and_counts_what_it_cannot_place():
    rows = labelled({"a": 50, "b": 5}).with_columns(token_count=pl.int_range(10, 65))
    rows = rows.with_columns(cluster=pl.when(pl.int_range(55) < 4).then(None).otherwise("cluster"))
    notes = {}
    op = ClusterBalanced(budget=Budget(700, "tokens"))
    found = solved(op, rows, notes=notes)
    assert 700 - 65 < found.filter("kept")["token_count"].sum() <= 700
    assert notes["excluded"] == 4
    assert found.filter(pl.col("cluster").is_null())["kept"].sum() == 0
    assert solved(op, rows, parts=3).equals(found)
    assert solved(ClusterBalanced(budget=Budget(1, "tokens")), rows)["kept"].sum() == 0
    assert solved(ClusterBalanced(budget=Budget(10**6, "tokens")), rows)["kept"].sum() == 51
    assert solved(op, rows[:0]).height == 0


def test_the_draw_is_no_mirror_of_random_and_one_giant_cluster_is_drawn_evenly():
    rows = labelled({"a": 2000})
    budget = Budget(1000, "docs")
    drawn = solved(ClusterBalanced(budget=budget), rows)["kept"]
    (lots,) = run_fold(Random(budget=budget), [rows], Context(seed=1, work=None))
    assert 430 < (drawn & lots["kept"]).sum() < 570  # the same lots would give 0 or 1000
    few = labelled({"a": 12})
    seen = sum(solved(ClusterBalanced(budget=Budget(4, "docs")), few, seed=i)["kept"].cast(int) for i in range(150))
    assert ((seen - 50) ** 2 / 50).sum() * 12 / 8 < 31.3  # p = 0.001 at 11 degrees


def test_budgets_and_betas_without_sense_are_refused():
    for wrong in ({"budget": Budget(1, "epochs")}, {"budget": Budget(1, "docs"), "beta": 1.5}):
        with pytest.raises(ConfigError):
            ClusterBalanced(**wrong).validate()


@pytest.mark.parametrize(
    ("amount", "want"),
    [(8, {(4, 3, 1)}), (9, {(5, 3, 1)}), (6, {(3, 2, 1), (2, 3, 1)}), (14, {(10, 3, 1)}), (99, {(10, 3, 1)})],
)
def test_amounts_fill_like_water_and_what_is_left_goes_by_lot(amount, want):
    zero = np.zeros(3, dtype=np.int64)
    found = {tuple(shared(np.array([amount]), zero, np.array([10, 3, 1]), str(i)).tolist()) for i in range(20)}
    assert found == want


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(0, 200), st.integers(0, 9))
def test_shares_are_exact_and_no_child_is_over_what_it_holds(sizes, amount, salt):
    sizes = np.array(sizes)
    found = shared(np.array([amount]), np.zeros(len(sizes), dtype=np.int64), sizes, str(salt))
    assert found.sum() == min(amount, sizes.sum())
    assert (found <= sizes).all()
    free = found[found < sizes]
    assert not len(free) or found.max() - free.min() <= 1


def test_leftovers_reach_every_child_alike():
    zero, sizes = np.zeros(4, dtype=np.int64), np.full(4, 9)
    total = sum(shared(np.array([2]), zero, sizes, str(i)) for i in range(400))
    assert total.tolist() == pytest.approx([200] * 4, abs=4 * 10)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 130),
    st.sampled_from([(6,), (12, 3), (20, 8, 2)]),
    st.integers(0, 2),
    st.sampled_from(["lot", "closest"]),
)
def test_a_tree_keeps_exactly_what_it_is_asked_for(num, levels, refinements, leaf):
    vectors = modes([70, 20, 10], 1)
    vectors[4] = 0
    op = Hierarchical(budget=Budget(num, "docs"), levels=levels, rounds=refinements, nearest=(5, 2), leaf=leaf)
    found = solved(op, rows_of(vectors).sort("doc_id"))
    assert found["kept"].sum() == min(num, 99)
    assert found["cluster"].null_count() == 1


def priced(seed=0, num=100, most=60):
    rows = rows_of(modes([70, 20, num - 90], 1)).with_columns(
        token_count=pl.Series(np.random.default_rng(seed).integers(0, most, size=num))
    )
    return rows.sort("doc_id")


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4000), st.sampled_from([(1,), (12, 3)]), st.sampled_from([1, 3]), st.integers(0, 3),
    st.sampled_from([3, 60]),
)  # fmt: skip
def test_a_budget_in_tokens_is_filled_until_one_more_document_would_overflow(budget, levels, repeats, seed, most):
    rows = priced(seed, most=most)
    fields = {"levels": levels, "max_repeats": repeats}
    found = solved(Hierarchical(budget=Budget(budget, "tokens"), **fields), rows)
    spent = (found["weight"] * found["token_count"]).sum()
    assert spent <= budget
    left, uses = budget - spent, int(found["weight"].sum())
    if left > budget // 100 and repeats == 1:  # no unused document would fit
        assert (found.filter(pl.col("weight") == 0)["token_count"] > left).all()
    if rows["token_count"].max() * 100 > budget:  # else nothing is passed over
        return
    if uses < repeats * rows.height:
        more = solved(Hierarchical(budget=Budget(uses + 1, "docs"), **fields), rows)
        assert (more["weight"] * more["token_count"]).sum() > budget
        assert (more["weight"] >= found["weight"]).all()
        assert (more["weight"] - found["weight"]).sum() == 1
    if uses:
        same = solved(Hierarchical(budget=Budget(uses, "docs"), **fields), rows)
        assert same["weight"].equals(found["weight"])


def test_a_small_cluster_is_repeated_in_whole_rounds_and_never_more_often_than_asked():
    rows = rows_of(modes([60, 5], 1)).with_columns(mode=pl.Series([0] * 60 + [1] * 5)).sort("doc_id")
    op = Hierarchical(budget=Budget(40, "docs"), levels=(2,), max_repeats=3)
    found = solved(op, rows)
    of = dict(found.group_by("mode").agg(pl.col("weight").sum()).iter_rows())
    assert of == {0: 25, 1: 15}
    assert found.filter(pl.col("mode") == 1)["weight"].to_list() == [3.0] * 5
    assert found["kept"].sum() == 30
    lots = solved(Hierarchical(budget=Budget(18, "docs"), levels=(2,), max_repeats=3), rows)
    assert sorted(lots.filter(pl.col("mode") == 1)["weight"]) == [1, 2, 2, 2, 2]


def test_documents_without_a_cost_are_counted_and_one_too_large_for_the_budget_ends_it():
    rows = priced().with_columns(token_count=pl.when(pl.int_range(100) < 30).then(None).otherwise(50))
    found = solved(Hierarchical(budget=Budget(520, "tokens"), levels=(3,)), rows, notes=(notes := {}))
    assert notes["excluded"] == 30
    assert found["kept"].sum() == 10
    assert found.filter(pl.col("token_count").is_null())["cluster"].null_count() == 30
    for budget, num in ((500, 10), (49, 0), (50, 1), (10**6, 70)):
        assert solved(Hierarchical(budget=Budget(budget, "tokens"), levels=(3,)), rows)["kept"].sum() == num
    with pytest.raises(DataError, match="whole number"):
        solved(Hierarchical(budget=Budget(49, "tokens"), levels=(3,)), rows.with_columns(token_count=0.5))


def test_a_tree_of_one_cluster_draws_everyone_alike():
    rows = rows_of(modes([12], 1)).sort("doc_id")
    op = Hierarchical(budget=Budget(4, "docs"), levels=(1,))
    seen = sum(solved(op, rows, seed=seed)["kept"].cast(int) for seed in range(150))
    assert ((seen - 50) ** 2 / 50).sum() * 12 / 8 < 31.3  # p = 0.001 at 11 degrees


RING_COUNTS, RING_AREAS = (20_000, 200, 1000, 500, 8000), np.array([0.25, 0.1, 0.2, 0.15, 0.3])


def rings(seed=0):
    """Documents in five discs of a plane, `RING_COUNTS` of them on `RING_AREAS`, seen from one point."""
    draw = np.random.default_rng(seed)
    ring = np.repeat(np.arange(5), RING_COUNTS)
    radius, angle = 0.25 * np.sqrt(RING_AREAS[ring] * draw.random(len(ring))), 2 * np.pi * draw.random(len(ring))
    middle = 0.35 * np.array([[-1, 0], [0, 1], [1, 0], [0, -1], [0, 0]])[ring]
    plane = middle + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return rows_of(np.concatenate([plane, np.ones((len(ring), 1))], axis=1)).with_columns(ring=pl.Series(ring))


def test_a_thousand_of_the_five_rings_are_spread_by_area():
    rows = rings().sort("doc_id")
    op = Hierarchical(budget=Budget(1000, "docs"), levels=(300,), rounds=6, nearest=(3,), iterations=10)
    kept = solved(op, rows).filter("kept").group_by("ring").len().sort("ring")["len"].to_numpy()
    assert kept.sum() == 1000
    assert np.abs(kept / (1000 * RING_AREAS) - 1).max() < 0.4  # by count it would be 673, 7, 34, 17 and 269


def arcs(seed=0):
    """Directions on two arcs of equal length, one with 20 times as many documents."""
    draw = np.random.default_rng(seed)
    angle = np.concatenate([draw.uniform(0, 1, 2000), draw.uniform(3, 4, 100)])
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), np.repeat([0, 1], [2000, 100])


def test_samples_are_spread_by_area_and_not_by_count():
    vectors, arc = arcs()
    rows = rows_of(vectors).with_columns(arc=pl.Series(arc)).sort("doc_id")
    share = {}
    for refinements in (0, 10):
        op = Hierarchical(budget=Budget(80, "docs"), levels=(40,), rounds=refinements)
        found = solved(op, rows)
        share[refinements] = found.filter("kept")["arc"].mean()
        assert solved(op, rows, parts=3).equals(found)
    assert share[0] > 2 * 100 / 2100
    assert abs(share[10] - 0.5) < abs(share[0] - 0.5)
    assert 0.4 < share[10] < 0.6
    tree = Hierarchical(budget=Budget(80, "docs"), levels=(60, 8))
    assert solved(tree, rows).filter("kept")["arc"].mean() > 2 * 100 / 2100


def test_the_closest_documents_of_a_leaf_are_the_nearest_to_its_centre():
    home, similarity = np.array([0, 1, 0, 1, 0], dtype=np.int32), np.array([5, 1, 9, 2, 9], dtype=np.int32)
    assert nearest_members(home, similarity, 1).tolist() == [False, False, True, True, False]
    rows = rows_of(modes([60, 40], 2)).sort("doc_id")
    wide = solved(Clusters(num=1), rows)
    found = solved(Hierarchical(budget=Budget(10, "docs"), levels=(1,), leaf="closest"), rows)
    near = wide.sort("cluster_similarity", descending=True).head(10)["doc_id"]
    assert set(found.filter("kept")["doc_id"]) == set(near)


def test_trees_without_documents_or_sense():
    op = Hierarchical(budget=Budget(0.5, "share"), levels=(4, 2))
    assert solved(op, rows_of(np.zeros((3, 16))))["kept"].sum() == 0
    assert solved(op, rows_of(modes([1], 1))[:0]).height == 0
    assert solved(Hierarchical(budget=Budget(9, "docs"), levels=(50, 20)), rows_of(modes([3], 1)))["kept"].sum() == 3
    good = {"budget": Budget(5, "docs"), "levels": (4, 2)}
    for wrong in (
        {"budget": Budget(5, "epochs")},
        {"max_repeats": 0},
        {"levels": ()},
        {"levels": (2, 4)},
        {"levels": (4, 0)},
        {"rounds": -1},
        {"nearest": ()},
    ):
        with pytest.raises(ConfigError):
            Hierarchical(**(good | wrong)).validate()


def naming(counts, seed=0):
    """Documents that name concept i, `counts[i]` of them, with vectors around a direction of each."""
    rows = rows_of(modes(counts, seed, dim=24), first=seed)
    names = [[i] for i, n in enumerate(counts) for _ in range(n)]
    return rows.with_columns(concepts=pl.Series(names, dtype=pl.List(pl.Int32))).sort("doc_id")


def test_every_rare_concept_has_its_texts_or_all_there_are():
    rows, notes = naming([40, 12, 3, 30, 50]), {}
    op = RetrieveTail(per_concept=5, tail_share=0.5)
    found = solved(op, rows, notes=notes)
    assert dict(found.filter("kept").group_by("tail_concept").len().iter_rows()) == {1: 5, 2: 3, 3: 5}
    assert [(row["id"], row["taken"]) for row in notes["concepts"]] == [(2, 3), (1, 5), (3, 5)]
    assert found.filter(~pl.col("kept"))["tail_rank"].null_count() == (~found["kept"]).sum()
    assert solved(op, rows, parts=4).equals(found)


def test_texts_are_ranked_by_nearness_to_the_prompts_that_name_the_concept():
    rows = naming([30, 30])
    prompt = naming([1, 1], seed=5)
    source = MemorySource(rows=prompt)
    found = solved(
        RetrieveTail(per_concept=4, tail_share=1.0, target="p", target_concepts="q"),
        rows,
        refs={"target": source, "target_concepts": source},
    )
    unit = np.stack([np.frombuffer(v, dtype=np.int16) for v in rows["vector"]]).astype(float)
    for number in (0, 1):
        aim = prompt.filter(pl.col("concepts").list.first() == number)["vector"][0]
        near = unit @ np.frombuffer(aim, dtype=np.int16).astype(float)
        own = np.flatnonzero((rows["concepts"].list.first() == number).to_numpy())
        want = own[np.argsort(-near[own], kind="stable")[:4]]
        ranks = found.filter(pl.col("tail_concept") == number).sort("tail_rank")
        assert ranks["doc_id"].to_list() == rows["doc_id"].gather(want).to_list()
        assert ranks["tail_rank"].to_list() == [0, 1, 2, 3]


def test_texts_that_name_a_concept_and_mean_another_do_not_count_for_it():
    around = modes([1, 1, 1, 1], 5, dim=24)
    about = [0] * 100 + [3] * 300 + [1] * 150 + [2] * 300  # of 400 texts that name concept 0 a quarter is about it
    named = [[0]] * 400 + [[1]] * 150 + [[2]] * 300
    draw = np.random.default_rng(0)
    rows = rows_of(around[about] + 0.2 * draw.normal(size=(850, 24)))
    rows = rows.with_columns(concepts=pl.Series(named, dtype=pl.List(pl.Int32))).sort("doc_id")
    prompts = rows_of(around[:3], first=9).with_columns(concepts=pl.Series([[0], [1], [2]], dtype=pl.List(pl.Int32)))
    source, notes = MemorySource(rows=prompts), {}
    refs = {"target": source, "target_concepts": source}
    given = {"per_concept": 50, "tail_share": 0.3, "target": "p", "target_concepts": "q"}
    plain = solved(RetrieveTail(**given), rows, refs=refs)
    assert plain["tail_concept"].drop_nulls().unique().to_list() == [1]
    found = solved(RetrieveTail(**given, relevant_from=0.6), rows, refs=refs, notes=notes)
    assert found["tail_concept"].drop_nulls().unique().to_list() == [0]
    assert notes["concepts"] == [{"id": 0, "texts": 400, "taken": 50, "relevant": 100}]
    assert solved(RetrieveTail(**given, relevant_from=0.6), rows, refs=refs, parts=5).equals(found)


def test_the_share_of_yes_is_that_of_the_first_thousand_answers_with_200_of_them_or_of_all():
    assert share_of_yes(np.zeros(0, dtype=bool)) == 0.0
    assert share_of_yes(np.array([True, False, False, False])) == 0.25
    late = np.arange(3000) >= 1000  # the 200th yes is answer 1,200
    assert share_of_yes(late) == pytest.approx(200 / 1200)
    early = np.arange(3000) < 500
    assert share_of_yes(early) == 0.5


def test_a_text_of_two_rare_concepts_serves_both():
    rows = naming([6, 6]).with_columns(concepts=pl.Series([[0, 1]] * 12, dtype=pl.List(pl.Int32)))
    notes = {}
    found = solved(RetrieveTail(per_concept=3, tail_share=1.0), rows, notes=notes)
    assert [row["taken"] for row in notes["concepts"]] == [3, 3]
    assert found["kept"].sum() == 3
    assert set(found["tail_concept"].drop_nulls()) == {0}


def test_the_tail_is_the_rarest_share_rounded_up():
    concepts, counts = np.array([2, 5, 7, 9]), np.array([1, 1, 3, 8])
    assert rarest(concepts, counts, 0.25).tolist() == [2]
    assert rarest(concepts, counts, 0.3).tolist() == [2, 5]
    assert rarest(concepts[::-1], counts[::-1], 0.5).tolist() == [2, 5]
    assert rarest(concepts[:0], counts[:0], 0.3).tolist() == []


@given(st.lists(st.lists(st.integers(0, 6), max_size=5), max_size=12))
def test_who_names_a_concept_is_found_once_whatever_the_order_of_the_lists(lists):
    ids = np.array([c for row in lists for c in row], dtype=np.int64)
    found = holders(np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64), ids)
    want = {c: [i for i, row in enumerate(lists) if c in row] for c in sorted({*ids.tolist()})}
    assert {c: found.of(c).tolist() for c in found.concepts.tolist()} == want
    assert found.counts().tolist() == [len(rows) for rows in want.values()]
    assert found.of(99).tolist() == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 12), st.floats(0.01, 1))
def test_every_concept_of_the_tail_gets_the_lesser_of_what_is_asked_for_and_what_there_is(counts, asked, share):
    rows, notes = naming([max(c, 1) for c in counts]), {}
    found = solved(RetrieveTail(per_concept=asked, tail_share=share), rows, notes=notes)
    ids = sorted(range(len(counts)), key=lambda i: (max(counts[i], 1), i))[: notes["tail"]]
    assert {row["id"]: row["taken"] for row in notes["concepts"]} == {i: min(asked, max(counts[i], 1)) for i in ids}
    assert notes["tail"] == math.ceil(Fraction(repr(share)) * len(counts))
    assert found["kept"].sum() == sum(min(asked, max(counts[i], 1)) for i in ids)


def test_equally_near_texts_go_by_doc_id_and_a_target_may_be_the_pool_or_say_nothing():
    rows = rows_of(np.tile(modes([1], 1), (9, 1))).with_columns(concepts=pl.Series([[0]] * 9, dtype=pl.List(pl.Int32)))
    rows = rows.sort("doc_id")
    found = solved(RetrieveTail(per_concept=4, tail_share=1.0), rows)
    assert found["kept"].to_list() == [True] * 4 + [False] * 5
    assert found["tail_rank"].to_list() == [0, 1, 2, 3, *[None] * 5]
    rows = naming([8, 5, 2])
    refs = dict.fromkeys(("target", "target_concepts"), MemorySource(rows=rows))
    op = RetrieveTail(per_concept=3, tail_share=1.0, target="p", target_concepts="q")
    assert solved(op, rows, refs=refs)["kept"].equals(solved(RetrieveTail(per_concept=3, tail_share=1.0), rows)["kept"])
    for nothing in (rows[:0], rows.with_columns(vector=pl.lit(None, pl.Binary))):
        with pytest.raises(DataError, match="none of the target's"):
            solved(op, rows, refs=dict.fromkeys(refs, MemorySource(rows=nothing)))
    silent = MemorySource(rows=rows.with_columns(concepts=pl.lit(None, pl.List(pl.Int32))))
    solved(op, rows, notes=(notes := {}), refs=dict.fromkeys(refs, silent))
    assert notes["without_prompt"] == notes["tail"] == 3


def test_tails_without_texts_or_sense():
    empty = naming([5]).with_columns(concepts=pl.lit(None, pl.List(pl.Int32)))
    assert solved(RetrieveTail(), empty)["kept"].sum() == 0
    assert solved(RetrieveTail(), naming([5])[:0]).height == 0
    with pytest.raises(DataError, match="lists"):
        solved(RetrieveTail(), empty.with_columns(concepts=pl.lit(1)))
    other = rows_of(modes([2], 1, dim=8)).with_columns(concepts=pl.Series([[0], [0]], dtype=pl.List(pl.Int32)))
    with pytest.raises(DataError, match="dimensions"):
        solved(RetrieveTail(target="p", target_concepts="q"), naming([5]), refs={"target": MemorySource(rows=other)})
    for wrong in ({"per_concept": 0}, {"tail_share": 0.0}, {"target": "p"}, {"relevant_from": 2.0}):
        with pytest.raises(ConfigError):
            RetrieveTail(**wrong).validate()


RECIPE = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl"}
  prompts: {use: jsonl, files: "ask/*.jsonl"}
  vec: {use: ngram_vectors, inputs: docs, dim: 64}
  aim: {use: ngram_vectors, inputs: prompts, dim: 64}
  named: {use: concepts, inputs: docs, files: words.txt}
  asked: {use: concepts, inputs: prompts, files: words.txt}
  size: {use: count_tokens, inputs: docs}
  tree: {use: hierarchical, inputs: vec, budget: 20 docs, levels: [8, 3], rounds: 2, nearest: [4, 2]}
  paid: {use: hierarchical, inputs: [vec, size], budget: 900 tokens, levels: [6], leaf: closest, max_repeats: 2}
  rare: {use: retrieve_tail, inputs: [vec, named], target: aim, target_concepts: asked, per_concept: 4, tail_share: 0.6}
"""


def test_every_layout_gives_the_same_stages_and_nothing_is_done_twice(tmp_path):
    put_corpus(tmp_path / "raw", texts(60, seed=1), 2)
    put_corpus(tmp_path / "ask", ["the water is there", "some time to go", "a thing"], 1)
    (tmp_path / "words.txt").write_text("water\ntime\nthing\nthe\npeople may\n")
    options = [{}, {"part_bytes": 2000, "batch_rows": 7}]
    found = [run(RECIPE, tmp_path, tmp_path / f"out{i}", **o) for i, o in enumerate(options)]
    names = ("tree", "paid", "rare")
    assert [found[1].digests[n] for n in names] == [found[0].digests[n] for n in names]
    assert found[0].metrics["tree"]["clusters"] == [8, 3]
    assert found[0].metrics["rare"]["tail"] >= 2
    assert run(RECIPE, tmp_path, tmp_path / "out0").computed == {}
