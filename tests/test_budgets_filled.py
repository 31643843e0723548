"""Budgets are filled, and what is not is told: for every operator that has one, with a document that never fits."""

from __future__ import annotations

import dataclasses
import json
import typing

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import run
from support_scores import walked
from test_bad_selections import PLAIN, SELECTIONS, START, put, remarks

from winnow.core.numerics.walk import MOST_LEGS, walk
from winnow.core.operators.budget import Budget
from winnow.dags.recipe.registry import REGISTRY, operator_class

MORE = {
    "threshold": "{use: threshold, inputs: docs, by: score, at_least: 0, budget: %s}",
    "per_group": "{use: per_group, inputs: docs, by: score, per: site, budget: %s}",
    "upsample": "{use: upsample, inputs: docs, by: score, discard: 0, budget: %s}",
    "buckets": "{use: buckets, inputs: docs, scores: [score], num: 2, mixture: {0-1: 1.0}, budget: %s}",
    "age": "{use: age, inputs: docs, by: year, since: 2000, budget: %s}",
    "dsir_resample": "{use: dsir_resample, inputs: docs, by: score, budget: %s}",
    "function": "{use: 'best:best', inputs: docs, budget: %s}",
    "phases": "{use: phases, inputs: docs, phases: [{name: one, select: kept_all, tokens: %s}]}",
}
ALL = SELECTIONS | MORE
EXTRA = "  all: {use: threshold, inputs: docs, by: score, at_least: 0}\n"
BY_WEIGHT = {"upsample", "buckets"}  # a share of a large document is a share of its tokens
BEST = """
import polars as pl
import winnow

@winnow.selector("best", needs=("score", "token_count"))
def best(rows: pl.DataFrame, budget: int) -> pl.Series:
    fits = rows["token_count"] < 100
    spent = (rows["token_count"] * fits).cum_sum()
    return (fits & (spent <= budget)).cast(pl.Float64)
"""


def with_budgets() -> set[str]:
    found = set()
    for name in REGISTRY:
        cls = operator_class(name)
        if REGISTRY[name].startswith("winnow.trainers.mixing."):  # the tokens of a run that shares are for
            continue
        hints = typing.get_type_hints(cls)
        budgets = [Budget in (hints[f.name], *typing.get_args(hints[f.name])) for f in dataclasses.fields(cls)]
        found |= {name} if any(budgets) else set()
    return found


def go(folder, rows, budget: str, stages: dict[str, str] = ALL):
    put(folder, [{"year": 2020, **row} for row in rows])
    (folder / "best.py").write_text(BEST)
    start = START.replace("site: string", "site: string, year: int64") + EXTRA
    return run(start + "".join(f"  {n}: {text % budget}\n" for n, text in stages.items()), folder, folder / "out")


def test_every_operator_with_a_budget_is_tried_here():
    uses = {text.split("use: ")[1].split(",")[0] for text in ALL.values()}
    assert with_budgets() <= uses
    assert len(with_budgets()) >= 21


def test_one_large_document_ends_no_selection_and_the_fill_is_told(tmp_path):
    rows = [*PLAIN, {"text": "giant " * 5000, "score": 0.9}]
    ran = go(tmp_path, rows, "64 tokens")
    cost = np.array([-(-len(row["text"]) // 4) for row in rows])
    origins = pl.from_arrow(ran.table("docs", "origin"))["origin"].to_list()
    at = np.argsort([int(origin.rpartition("#")[2]) for origin in origins])
    for name in ALL:
        metrics = ran.manifest(name).metrics
        table = pl.from_arrow(ran.table(name, "kept", "weight"))
        asked = 128 if name == "per_group" else 64
        weight = table["weight"].fill_null(0).to_numpy()[at]
        spent = float((weight * cost).sum())
        assert spent <= asked, name
        assert metrics["filled"] == pytest.approx(spent / asked, rel=1e-6), name
        assert metrics["filled"] > 0.75, name
        if name not in BY_WEIGHT:
            assert weight[-1] == 0, name
        said = [line for line in remarks(ran, name) if "is filled" in line]
        assert bool(said) == (metrics["filled"] < 0.95), name


@pytest.mark.parametrize("case", ["best", "lots", "some"])
def test_a_large_document_third_in_the_ranking(tmp_path, case):
    rows = [{"text": f"doc {i} " + "word " * 40, "s": float(i)} for i in range(100)] + [
        {"text": "large " * 20000, "s": 97.5}
    ]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    use = {"best": "{use: top_k, inputs: docs, by: s, budget: 2k tokens}", "lots": "{use: random, inputs: docs, budget: 3k tokens}",
           "some": "{use: sample, inputs: docs, by: s, budget: 3k tokens, normalise: z}"}[case]  # fmt: skip
    recipe = f"tokenizer: bytes/4\nstages:\n  docs: {{use: jsonl, files: docs.jsonl, columns: {{s: float64}}}}\n  {case}: {use}\n"
    ran = run(recipe, tmp_path, tmp_path / "out")
    metrics = ran.manifest(case).metrics
    assert metrics["kept_cost"] / (2000 if case == "best" else 3000) == metrics["filled"] > 0.97
    assert "remarks" not in metrics


COSTS = st.lists(
    st.one_of(st.integers(0, 12), st.integers(0, 400), st.sampled_from([1, 2, 4, 8, 1000, 10**9])), max_size=60
)


@settings(max_examples=300, deadline=None)
@given(costs=COSTS, budget=st.integers(0, 1500))
@example(costs=[90, 50, 9, 60, 1], budget=100)  # 60 is passed over as 50 was, though the budget is nearly full
def test_a_walk_in_memory_is_the_walk_row_by_row(costs, budget):
    found = walk(np.array(costs, dtype=np.int64), budget)
    want = walked(list(range(len(costs))), costs, budget)
    assert set(np.flatnonzero(found.taken).tolist()) == want
    assert found.left == budget - sum(costs[i] for i in want) >= 0


@settings(max_examples=300, deadline=None)
@given(costs=COSTS, budget=st.integers(0, 1500))
@example(costs=[90, 50, 9, 60, 1], budget=100)  # 60 is passed over as 50 was, though the budget is nearly full
def test_the_verdict_of_greedy_selections_walks_as_well(costs, budget):
    from winnow.selectors.coverage.walk_kernels import ENDED, TAKEN, verdict

    spent, limit, taken = 0, budget, set()
    for number, cost in enumerate(costs):
        said, limit = verdict(cost, spent, limit, budget)
        if said == ENDED:
            break
        if said == TAKEN:
            spent += cost
            taken.add(number)
    assert taken == walked(list(range(len(costs))), costs, budget)


def test_a_walk_ends_after_so_many_documents_that_did_not_fit():
    costs = [c for left in range(4000, 0, -1) for c in (1, left)]  # every second one is by one too large
    found = walk(np.array(costs, dtype=np.int64), 4000)
    assert (len(found.stops), found.ended, int(found.taken.sum())) == (MOST_LEGS, True, MOST_LEGS)


def test_what_passed_nothing_over_is_part_of_every_larger_budget():
    draw = np.random.default_rng(4)
    costs = draw.integers(1, 11, 3000)  # at most a hundredth of the smallest budget
    small, large = (walk(costs.astype(np.int64), b).taken for b in (1000, 5000))
    assert not (small & ~large).any()
    assert np.flatnonzero(small).max() == small.sum() - 1  # the head of the ranking
