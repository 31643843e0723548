"""Selections of selections, and phases of training."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_scores import context, corpus, notes, random_corpus, run

from winnow.core.errors import ConfigError, DataError
from winnow.selectors.sets.difference import Difference
from winnow.selectors.sets.intersect import Intersect
from winnow.selectors.sets.phases import Phases
from winnow.selectors.sets.union import Union

VERDICTS = st.lists(st.tuples(*[st.sampled_from([True, False, None])] * 3, *[st.sampled_from([0.0, 0.5, 1.0, 3.0])] * 3), max_size=20)  # fmt: skip
NAMES, WEIGHTS = ("kept_a", "kept_b", "kept_c"), ("a_weight", "b_weight", "c_weight")


def selections(table):
    columns = list(zip(*table, strict=True)) or [()] * 6
    made = {n: pl.Series(c, dtype=pl.Boolean) for n, c in zip(NAMES, columns, strict=False)}
    made |= {n: pl.Series(c, dtype=pl.Float64) for n, c in zip(WEIGHTS, columns[3:], strict=True)}
    return corpus([0.0] * len(table), **made)


@settings(max_examples=30, deadline=None)
@given(table=VERDICTS, cut=st.integers(0, 20))
def test_sets_are_sets_and_weights_are_extremes(table, cut):
    rows = selections(table)
    kept = [[bool(row[i]) for i in range(3)] for row in table]
    weight = [[row[3 + i] if row[i] else 0.0 for i in range(3)] for row in table]
    want = {
        Union: ([any(k) for k in kept], [max(w) for w in weight]),
        Intersect: ([all(k) for k in kept], [min(w) for w in weight]),
        Difference: ([k[0] and not any(k[1:]) for k in kept], [w[0] if not any(k[1:]) else 0.0 for k, w in zip(kept, weight, strict=True)]),
    }  # fmt: skip
    for cls, (verdicts, weights) in want.items():
        assert run(cls(of=NAMES), rows, (cut,))["kept"].to_list() == verdicts
        weighted = run(cls(of=NAMES, weights=WEIGHTS), rows, (cut,))
        assert weighted["weight"].to_list() == weights
        assert weighted["kept"].to_list() == [w > 0 for w in weights]


def test_the_parts_of_a_union_do_not_overlap():
    rows = selections([(a, b, True, 1.0, 1.0, 1.0) for a in (True, False, None) for b in (True, False, None)])
    either = run(Union(of=NAMES[:2]), rows)["kept"]
    parts = [run(op, rows)["kept"] for op in (Difference(of=NAMES[:2]), Difference(of=("kept_b", "kept_a")), Intersect(of=NAMES[:2]))]  # fmt: skip
    assert sum(p.cast(pl.Int64) for p in parts).to_list() == either.cast(pl.Int64).to_list()


def test_overlaps_are_noted():
    rows = selections([(True, True, False, 1, 1, 1), (True, None, True, 1, 1, 1), (False, True, False, 1, 1, 1)])
    found = notes(Union(of=NAMES), rows)
    assert found["overlap"] == [[2, 1, 1], [1, 2, 0], [1, 0, 1]]
    assert found["kept_rows"] == 3


def test_what_is_no_selection_is_refused():
    for of, weights in (((), ()), (("kept_a",), ()), (("kept_a", "kept_a"), ()), (NAMES, ("a_weight",))):
        with pytest.raises(ConfigError):
            Union(of=of, weights=weights).validate()
    with pytest.raises(DataError, match="true or false"):
        run(Union(of=("kept_a", "score")), selections([(True, True, True, 1.0, 1.0, 1.0)]))
    with pytest.raises(DataError, match="negative"):
        run(Union(of=NAMES, weights=WEIGHTS), selections([(True, True, True, -1.0, 1.0, 1.0)]))


# phases


def pool(count=400):
    draw = np.random.default_rng(4)
    return random_corpus(count, 5).with_columns(
        kept_web=pl.Series(draw.random(count) < 0.9), kept_hq=pl.Series(draw.random(count) < 0.4)
    )


def seen(rows, answer, name):
    return int((answer[f"weight_{name}"] * rows["token_count"]).sum())


def test_repeats_times_unique_tokens_is_the_budget_to_within_a_document():
    rows = pool()
    op = Phases(phases=({"name": "first", "select": "kept_web", "tokens": "3k tokens"},
                        {"name": "second", "select": "kept_hq", "tokens": "4k tokens", "repeats": 4}))  # fmt: skip
    got = run(op, rows, (50, 333))
    most = int(rows["token_count"].max())
    assert 3000 - most <= seen(rows, got, "first") <= 3000
    assert 4000 - 4 * most <= seen(rows, got, "second") <= 4000
    assert set(got["weight_second"].unique()) == {0.0, 4.0}
    assert got.filter(~rows["kept_hq"])["weight_second"].sum() == 0
    assert got["weight"].to_list() == (got["weight_first"] + got["weight_second"]).to_list()
    assert got["kept"].to_list() == (got["weight"] > 0).to_list()
    found = notes(op, rows)["phases"]
    assert [p["seen_tokens"] for p in found] == [seen(rows, got, n) for n in ("first", "second")]
    assert found[1]["docs"] == (got["weight_second"] > 0).sum()


def test_shares_are_replay_and_scores_replace_lots():
    rows = pool()
    op = Phases(
        phases=({"name": "end", "select": ["kept_hq", "kept_web"], "shares": [0.75, 0.25], "tokens": "2k tokens"},)
    )
    parts = notes(op, rows)["phases"][0]["parts_tokens"]
    assert 1450 <= parts[0] <= 1500
    assert 450 <= parts[1] <= 500
    best = Phases(phases=({"name": "top", "select": "kept_hq", "tokens": "500 tokens", "by": "score"},))
    taken = run(best, rows)["kept"]
    real = rows["score"].is_not_null() & rows["score"].is_not_nan() & rows["kept_hq"]
    left = 500
    for kept, cost in (
        rows.with_columns(kept=taken)
        .filter(real)
        .sort("score", descending=True)
        .select("kept", "token_count")
        .iter_rows()
    ):
        assert kept or cost > left or left <= 5, "what is passed over does not fit"
        left -= cost if kept else 0
    assert 0 <= left <= 25


def test_phases_draw_independently_and_other_seeds_anew():
    rows = pool()
    op = Phases(phases=tuple({"name": n, "select": "kept_web", "tokens": "4k tokens"} for n in ("one", "two")))
    got, other = run(op, rows), run(op, rows, ctx=context(seed=8))
    assert got["weight_one"].to_list() != got["weight_two"].to_list()
    assert got["weight_one"].to_list() != other["weight_one"].to_list()
    turned = run(Phases(phases=op.phases[::-1]), rows)
    assert all(turned[c].to_list() == got[c].to_list() for c in ("weight_one", "weight_two")), "whatever the order"


def test_a_phase_that_finds_too_little_is_shorter_and_says_so():
    rows = pool(20)
    op = Phases(
        phases=(
            {"name": "long", "select": "kept_hq", "tokens": "1M tokens", "schedule": "cosine", "warmup_share": 0.1},
        )
    )
    (found,) = notes(op, rows)["phases"]
    assert found["tokens"] == 1_000_000
    assert found["seen_tokens"] == rows.filter("kept_hq")["token_count"].sum()
    assert (found["schedule"], found["warmup_share"]) == ("cosine", 0.1)


PHASE = {"name": "x", "select": "kept_web", "tokens": "1k tokens"}


@pytest.mark.parametrize("phases", [
    (), (PHASE, PHASE), (PHASE | {"name": "a b"},), (PHASE | {"tokens": "3 docs"},), (PHASE | {"repeats": 0},),
    (PHASE | {"schedule": "steps"},), (PHASE | {"warmup_share": 2},), (PHASE | {"select": []},), (PHASE | {"epochs": 3},),
    ({"name": "x"},), ("kept_web",), (PHASE | {"shares": [0.5, 0.5]},), (PHASE | {"select": ["a", "a"]},),
])  # fmt: skip
def test_phases_that_cannot_be_are_refused(phases):
    with pytest.raises(ConfigError):
        Phases(phases=phases).validate()
