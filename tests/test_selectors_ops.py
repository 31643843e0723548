"""top_k and random keep exactly what a sort would keep, for any layout."""

import itertools
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_scores import walked

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import budget_cut, rng
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.selectors.score.random_ import Random
from winnow.selectors.score.top_k import TopK
from winnow.testing.in_memory import fold_state, run_fold

CTX = Context(seed=7, work=Path())


def frame(scores, costs=None, *, dtype=pl.Float64, seed=0) -> pl.DataFrame:
    n = len(scores)
    ids = np.random.default_rng(seed).bytes(16 * n)
    return pl.DataFrame(
        {
            "doc_id": pl.Series([ids[16 * i : 16 * i + 16] for i in range(n)], dtype=pl.Binary),
            "score": pl.Series(scores, dtype=dtype),
            "token_count": pl.Series([1] * n if costs is None else costs, dtype=pl.Int64),
        }
    )


def by_sorting(rows: pl.DataFrame, budget: int, *, descending: bool) -> list[bool]:
    """What the docstring says, row by row."""
    good = [
        (-s if descending else s, d, i, c)
        for i, (d, s, c) in enumerate(rows.select("doc_id", "score", "token_count").iter_rows())
        if s is not None and s == s and c is not None
    ]
    best = [i for _, _, i, _ in sorted(good, key=lambda g: g[:2])]
    taken = walked(best, rows["token_count"].to_list(), budget)
    return [i in taken for i in range(rows.height)]


def cut_in_parts(rows: pl.DataFrame, cuts: list[int]) -> list[pl.DataFrame]:
    edges = [0, *sorted(cuts), rows.height]
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]


SCORE = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 0.5, 5e-324]),
    st.floats(width=64),
    st.floats(0, 1),
)
ROW = st.tuples(SCORE, st.one_of(st.none(), st.integers(0, 20)))


@pytest.mark.parametrize("listed", [1, 3, 4096])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_top_k_keeps_what_a_sort_keeps(listed, data):
    pairs = data.draw(st.lists(ROW, max_size=40))
    rows = frame([s for s, _ in pairs], [c for _, c in pairs])
    amount = data.draw(st.integers(1, 250))
    cuts = data.draw(st.lists(st.integers(0, rows.height), max_size=4))
    descending = data.draw(st.booleans())
    op = TopK(by="score", budget=Budget(amount, "tokens"), descending=descending)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget_cut, "LISTED_ROWS", listed)
        answer = pl.concat(run_fold(op, cut_in_parts(rows, cuts), CTX))
        state = budget_cut.outcome(fold_state(op, rows, CTX)).row(0, named=True)
    expected = by_sorting(rows, amount, descending=descending)
    assert answer["kept"].to_list() == expected
    assert answer["weight"].to_list() == [float(k) for k in expected]
    assert state["kept_rows"] == sum(expected)
    assert state["kept_cost"] == sum(c for c, k in zip(rows["token_count"], expected, strict=True) if k)
    assert state["rows"] + state["excluded"] == rows.height


@pytest.mark.parametrize("distinct", [1, 2, 50, 30_000])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9999])
def test_top_k_cuts_through_heavy_ties_on_many_rows(distinct, share):
    draw = np.random.default_rng(distinct)
    rows = frame(draw.integers(0, distinct, 30_000) / 7, draw.integers(0, 1000, 30_000))
    amount = int(rows["token_count"].sum() * share)
    parts = cut_in_parts(rows, [100, 100, 9_000, 29_999])
    answer = pl.concat(run_fold(TopK(by="score", budget=Budget(amount, "tokens")), parts, CTX))
    assert answer["kept"].to_list() == by_sorting(rows, amount, descending=True)


@pytest.mark.parametrize("op", [TopK(by="score", budget=Budget(500, "tokens")), Random(budget=Budget(500, "tokens"))])
def test_any_order_and_grouping_of_merges_gives_equal_bytes(op, monkeypatch):
    monkeypatch.setattr(budget_cut, "LISTED_ROWS", 4)  # several rounds, lists included
    draw = np.random.default_rng(3)
    rows = frame(draw.normal(size=600).round(1), draw.integers(0, 9, 600))
    parts = cut_in_parts(rows, [0, 1, 17, 200, 201, 590])
    want_state, want = fold_state(op, parts, CTX), run_fold(op, parts, CTX)
    for seed in range(20):
        shuffle = random.Random(seed)

        def tree(fold, summaries, shuffle=shuffle):
            pool = list(summaries)
            shuffle.shuffle(pool)
            while len(pool) > 1:
                take = shuffle.randint(2, len(pool))
                pool = [fold.merge(pool[:take]), *pool[take:]]
                shuffle.shuffle(pool)
            return fold.merge(pool)

        state = fold_state(op, parts, CTX, tree)
        assert ipc(state) == ipc(want_state)
        assert [ipc(f) for f in run_fold(op, parts, CTX, tree)] == [ipc(f) for f in want]


def ipc(table: pl.DataFrame) -> bytes:
    import io

    sink = io.BytesIO()
    table.rechunk().write_ipc(sink, compat_level=pl.CompatLevel.oldest())
    return sink.getvalue()


def test_summaries_and_state_stay_small():
    draw = np.random.default_rng(3)
    rows = frame(draw.normal(size=200_000))
    op = TopK(by="score", budget=Budget(0.5, "share"))
    state, done, sizes = None, False, []
    while not done:
        summary = op.merge([op.summarise(rows, state, CTX)])
        sizes.append(summary.height)
        state, done = op.advance(summary, state, CTX)
        assert state.height == 1
    assert max(sizes) <= 65_537
    assert len(sizes) <= 3
    assert op.decide(rows, state, CTX)["kept"].sum() == 100_000


def test_equal_keys_take_one_round_more_and_go_by_doc_id():
    rows = frame([0.25] * 20_000)
    op = TopK(by="score", budget=Budget(5_000, "docs"))
    kept = run_fold(op, rows, CTX)[0]["kept"]
    assert rows.filter(kept)["doc_id"].max() < rows.filter(~kept)["doc_id"].min()
    assert kept.sum() == 5_000


@pytest.mark.parametrize("same_bytes", [8, 15])
def test_ids_that_differ_only_at_the_end_are_still_cut_exactly(same_bytes, monkeypatch):
    monkeypatch.setattr(budget_cut, "LISTED_ROWS", 1)
    ids = [b"p" * same_bytes + i.to_bytes(16 - same_bytes, "little") for i in range(200)]
    rows = frame([1.0] * 200).with_columns(doc_id=pl.Series(ids, dtype=pl.Binary))
    kept = run_fold(TopK(by="score", budget=Budget(77, "docs")), [rows[50:], rows[:50]], CTX)
    assert pl.concat(kept)["kept"].to_list() == by_sorting(pl.concat([rows[50:], rows[:50]]), 77, descending=True)


@pytest.mark.parametrize(
    ("costs", "budget", "kept"),
    [
        ([5, 100, 1], 10, [True, False, True]),  # larger than the budget
        ([5, 7, 6, 4, 1, 1], 10, [True, False, False, True, True, False]),  # larger than what is left
        ([990, 11, 10], 1000, [True, False, False]),  # a hundredth is left: full
        ([989, 12, 10, 1], 1000, [True, False, True, True]),
        ([11], 10, [False]),
    ],
)
def test_what_does_not_fit_is_passed_over_until_a_hundredth_is_left(costs, budget, kept):
    rows = frame([-float(i) for i in range(len(costs))], costs)
    op = TopK(by="score", budget=Budget(budget, "tokens"))
    assert run_fold(op, rows, CTX)[0]["kept"].to_list() == kept


@pytest.mark.parametrize("op", [TopK(by="score", budget=Budget(0.1, "share")), Random(budget=Budget(0.1, "share"))])
def test_an_empty_population_gives_empty_columns(op):
    answer = run_fold(op, frame([]), CTX)[0]
    assert answer.schema == {"kept": pl.Boolean, "weight": pl.Float64}
    assert answer.height == 0


def test_a_budget_above_everything_keeps_all_that_can_be_ranked():
    rows = frame([1.0, None, float("nan"), 2.0], [1, 1, 1, None])
    state = fold_state(TopK(by="score", budget=Budget(1e30, "tokens")), rows, CTX).row(0, named=True)
    assert run_fold(TopK(by="score", budget=Budget(1e30, "tokens")), rows, CTX)[0]["kept"].to_list() == [
        True,
        False,
        False,
        False,
    ]
    assert (state["rows"], state["excluded"]) == (1, 3)


def test_whole_number_keys_keep_all_their_bits():
    big = 2**60
    rows = frame([big, big + 1, big + 2, -big], dtype=pl.Int64)
    assert run_fold(TopK(by="score", budget=Budget(1, "docs")), rows, CTX)[0]["kept"].to_list() == [
        False,
        False,
        True,
        False,
    ]
    unsigned = frame([0, 2**64 - 1, 2**64 - 2], dtype=pl.UInt64)
    op = TopK(by="score", budget=Budget(2, "docs"), descending=False)
    assert run_fold(op, unsigned, CTX)[0]["kept"].to_list() == [True, False, True]


def test_a_share_counts_documents_and_bytes_come_from_text_bytes():
    rows = frame([1.0, None, 3.0, 4.0]).with_columns(text_bytes=pl.Series([10, 10, 10, 10], dtype=pl.Int64))
    half = run_fold(TopK(by="score", budget=Budget(0.5, "share")), rows, CTX)[0]["kept"]
    assert half.to_list() == [False, False, True, True]
    one = run_fold(TopK(by="score", budget=Budget(19, "bytes")), rows, CTX)[0]["kept"]
    assert one.to_list() == [False, False, False, True]
    assert TopK(by="score", budget=Budget(19, "bytes")).needs() == ("doc_id", "score", "text_bytes")
    assert TopK(by="token_count", budget=Budget(19, "tokens")).needs() == ("doc_id", "token_count")
    assert Random(budget=Budget(19, "docs")).needs() == ("doc_id",)


def test_random_keeps_the_documents_whose_lots_come_first():
    rows = frame([0.0] * 500, list(np.random.default_rng(1).integers(0, 30, 500)))
    lots = pl.Series(rng.keys(rows["doc_id"], seed=7, salt="a"))
    expected = by_sorting(rows.with_columns(score=lots), 2_000, descending=False)
    op = Random(budget=Budget(2_000, "tokens"), salt="a")
    assert run_fold(op, [rows[300:], rows[:300]], CTX)[0]["kept"].to_list() == expected[300:]
    assert run_fold(op, rows, CTX)[0]["kept"].to_list() == expected


def test_random_subsets_nest_and_other_salts_and_seeds_draw_anew():
    rows = frame([0.0] * 4_000)
    small, large = (run_fold(Random(budget=Budget(s, "share")), rows, CTX)[0]["kept"] for s in (0.1, 0.3))
    assert (small & ~large).sum() == 0
    for other in (
        run_fold(Random(budget=Budget(0.3, "share"), salt="b"), rows, CTX)[0]["kept"],
        run_fold(Random(budget=Budget(0.3, "share")), rows, Context(seed=8, work=Path()))[0]["kept"],
    ):
        assert other.sum() == 1_200
        assert abs((other & large).sum() - 360) < 5 * np.sqrt(4_000 * 0.09 * 0.91)


@pytest.mark.parametrize("op", [TopK(by="score", budget=Budget(2, "epochs")), Random(budget=Budget(2, "epochs"))])
def test_epochs_are_refused_while_planning(op):
    with pytest.raises(ConfigError, match="2 epochs"):
        op.validate()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (frame(["a"], dtype=pl.String), "it is String"),
        (frame([1.0], [-1]), "'token_count' is -1"),
        (frame([1.0]).with_columns(pl.col("token_count").cast(pl.Float64)), "expected whole numbers"),
        (frame([1.0]).drop("token_count"), "token_count"),
        (frame([1.0] * 5_000).with_columns(doc_id=pl.lit(b"x" * 16)), "share one doc_id"),
    ],
)
def test_data_that_cannot_be_ranked_are_refused(rows, says):
    with pytest.raises(DataError, match=says):
        run_fold(TopK(by="score", budget=Budget(3, "tokens")), rows, CTX)
