"""`sample` draws without replacement with odds exp(score / temperature), whatever the layout."""

import itertools

import numpy as np
import polars as pl
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import rng
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.selectors.score.random_ import Random
from winnow.selectors.score.sample import Sample
from winnow.selectors.score.top_k import TopK
from winnow.testing.in_memory import fold_state, run_fold

SEEDS = 250


def ids(count, first=0):
    raw = np.random.default_rng(first).bytes(16 * count)
    return pl.Series([raw[16 * i : 16 * i + 16] for i in range(count)], dtype=pl.Binary)


def corpus(scores, costs=None):
    count = len(scores)
    return pl.DataFrame({"doc_id": ids(count), "score": pl.Series(scores, dtype=pl.Float64),
                         "token_count": pl.Series(costs or [1] * count, dtype=pl.Int64)})  # fmt: skip


def kept(op, rows, tmp_path, seed=7, cuts=1):
    bounds = np.linspace(0, rows.height, cuts + 1).astype(int)
    parts = [rows[a:b] for a, b in itertools.pairwise(bounds.tolist())]
    return pl.concat(run_fold(op, parts, Context(seed=seed, work=tmp_path)))["kept"].to_numpy()


def docs(count):
    return Budget(count, "docs")


def chi_square(observed, expected):
    observed, expected = np.asarray(observed, float), np.asarray(expected, float)
    return float(((observed - expected) ** 2 / expected).sum())


def pair_probabilities(weights):
    """Probability of every pair as the outcome of two successive draws without replacement."""
    total, out = sum(weights), {}
    for i, j in itertools.permutations(range(len(weights)), 2):
        chance = weights[i] / total * weights[j] / (total - weights[i])
        out[frozenset((i, j))] = out.get(frozenset((i, j)), 0.0) + chance
    return out


def test_inclusion_probabilities_are_those_of_successive_draws():
    want = pair_probabilities([4, 2, 1, 1])
    included = [sum(p for pair, p in want.items() if i in pair) for i in range(4)]
    assert np.allclose(included, [0.8095, 0.5714, 0.3095, 0.3095], atol=5e-5)


def test_pairs_over_many_seeds_come_as_often_as_theory_says(tmp_path):
    rows = corpus(np.log([4.0, 2.0, 1.0, 1.0]))
    want = pair_probabilities([4, 2, 1, 1])
    seen = dict.fromkeys(want, 0)
    for seed in range(SEEDS):
        chosen = np.flatnonzero(kept(Sample(by="score", budget=docs(2)), rows, tmp_path, seed))
        seen[frozenset(chosen.tolist())] += 1
    assert chi_square(list(seen.values()), [SEEDS * p for p in want.values()]) < 20.5  # p = 0.001 at 5 degrees


def test_pairs_over_many_documents_come_as_often_as_theory_says():
    worlds = 100_000
    scores = np.tile(np.log([4.0, 2.0, 1.0, 1.0]), worlds)
    rows = pl.DataFrame({"doc_id": ids(4 * worlds), "score": scores})
    op = Sample(by="score", budget=docs(2))
    words = op._ranks(rows, {"known": "none"}, Context(seed=3, work=None)).words[0].reshape(worlds, 4)
    chosen = np.sort(np.argsort(words, axis=1)[:, :2], axis=1)
    want = pair_probabilities([4, 2, 1, 1])
    seen = [int(((chosen == sorted(pair)).all(axis=1)).sum()) for pair in want]
    assert chi_square(seen, [worlds * p for p in want.values()]) < 20.5


def test_draws_with_a_budget_in_tokens_are_walked_as_often_as_theory_says(tmp_path):
    worlds, weights, costs, budget = 2000, [4.0, 2.0, 1.0, 1.0], [3, 1, 2, 2], 4
    want: dict[frozenset[int], float] = {}
    for order in itertools.permutations(range(4)):
        chance, left, spent, taken = 1.0, sum(weights), 0, []
        for i in order:
            chance, left = chance * weights[i] / left, left - weights[i]
        for i in order:
            if spent + costs[i] > budget:
                continue  # passed over: more than a hundredth of the budget is left, or nothing fits any more
            spent, taken = spent + costs[i], [*taken, i]
        want[frozenset(taken)] = want.get(frozenset(taken), 0.0) + chance
    assert sum(want.values()) == pytest.approx(1.0)
    rows = pl.DataFrame({
        "doc_id": ids(4 * worlds, 2), "score": np.tile(np.log(weights), worlds), "token_count": costs * worlds,
        "world": np.repeat(np.arange(worlds), 4),
    })  # fmt: skip
    op = Sample(by="score", budget=Budget(budget * worlds, "tokens"), per=("world",), quota="equal")
    order = rows["doc_id"].arg_sort()
    verdict = np.empty(rows.height, dtype=bool)
    verdict[order.to_numpy()] = kept(op, rows[order], tmp_path)
    sets = [frozenset(np.flatnonzero(world).tolist()) for world in verdict.reshape(worlds, 4)]
    assert set(sets) <= set(want)
    seen = [sets.count(one) for one in want]
    assert chi_square(seen, [worlds * p for p in want.values()]) < 27.9  # p = 0.001 at up to 9 degrees


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_divides_the_score(temperature):
    worlds = 40_000
    weights = np.array([4.0, 2.0, 1.0, 1.0])
    rows = pl.DataFrame({"doc_id": ids(4 * worlds, 1), "score": np.tile(np.log(weights), worlds)})
    op = Sample(by="score", budget=docs(1), temperature=temperature)
    words = op._ranks(rows, {"known": "none"}, Context(seed=3, work=None)).words[0].reshape(worlds, 4)
    odds = weights ** (1 / temperature)
    seen = np.bincount(words.argmin(axis=1), minlength=4)
    assert chi_square(seen, worlds * odds / odds.sum()) < 16.3  # p = 0.001 at 3 degrees


def test_a_temperature_near_zero_is_top_k(tmp_path):
    draw = np.random.default_rng(5)
    rows = corpus(draw.normal(size=3000), draw.integers(1, 500, size=3000).tolist())
    budget = Budget(60_000, "tokens")
    want = kept(TopK(by="score", budget=budget), rows, tmp_path)
    for normalise in ("none", "z"):
        op = Sample(by="score", budget=budget, temperature=1e-7, normalise=normalise)
        assert np.array_equal(kept(op, rows, tmp_path, cuts=3), want)


def test_a_high_temperature_draws_everyone_alike(tmp_path):
    rows = corpus(np.linspace(-3, 3, 12))
    seen = np.zeros(12)
    for seed in range(SEEDS):
        seen += kept(Sample(by="score", budget=docs(4), temperature=1e9), rows, tmp_path, seed)
    expected = np.full(12, SEEDS * 4 / 12)
    assert chi_square(seen, expected) * 12 / 8 < 31.3  # draws of 4 of 12 vary less: (1 - 4/12); p = 0.001 at 11
    assert abs(np.corrcoef(seen, np.arange(12))[0, 1]) < 0.75


def test_equal_scores_are_drawn_uniformly_even_when_normalised(tmp_path):
    rows = corpus([2.5] * 10)
    seen = sum(kept(Sample(by="score", budget=docs(5), normalise="z"), rows, tmp_path, seed) for seed in range(300))
    assert chi_square(seen, np.full(10, 150)) * 2 < 27.9  # p = 0.001 at 9 degrees


def test_the_draw_is_no_mirror_of_random(tmp_path):
    rows = corpus([0.0] * 2000)
    lots = kept(Random(budget=docs(1000)), rows, tmp_path)
    drawn = kept(Sample(by="score", budget=docs(1000)), rows, tmp_path)
    assert 430 < (lots & drawn).sum() < 570  # the same lots would give 0 or 1000


def test_seed_and_salt_draw_anew_and_nothing_else_does(tmp_path):
    rows = corpus(np.random.default_rng(1).normal(size=1000))
    base = Sample(by="score", budget=docs(300))
    first = kept(base, rows, tmp_path)
    assert np.array_equal(kept(base, rows, tmp_path, cuts=7), first)
    assert np.array_equal(kept(base, rows.reverse(), tmp_path)[::-1], first)
    for other in (
        kept(base, rows, tmp_path, seed=8),
        kept(Sample(by="score", budget=docs(300), salt="b"), rows, tmp_path),
    ):
        assert (other & first).sum() < 230


def test_a_smaller_budget_is_a_subset_and_no_budget_is_overrun(tmp_path):
    draw = np.random.default_rng(2)
    rows = corpus(draw.normal(size=2000), draw.integers(1, 900, size=2000).tolist())
    cost = rows["token_count"].to_numpy()
    last = np.zeros(2000, dtype=bool)
    for tokens in (90_000, 200_000, 400_000, 10**7):  # every document is within a hundredth: none is passed over
        now = kept(Sample(by="score", budget=Budget(tokens, "tokens")), rows, tmp_path)
        assert now[last].all()
        assert cost[now].sum() <= tokens
        last = now
    assert last.all()


def test_normalising_gives_the_z_scores_of_the_corpus(tmp_path):
    score = np.random.default_rng(3).gamma(2.0, size=4000)
    rows = corpus(score)
    op = Sample(by="score", budget=docs(700), normalise="z", temperature=0.7)
    noise = rng.gumbel(rows["doc_id"], seed=7, salt="sample\0")
    key = (score - score.mean()) / score.std() / 0.7 + noise
    want = np.zeros(4000, dtype=bool)
    want[np.argsort(-key)[:700]] = True
    assert np.array_equal(kept(op, rows, tmp_path, cuts=5), want)
    stretched = rows.with_columns(pl.col("score") * 1024 - 4096)
    assert np.array_equal(kept(op, stretched, tmp_path), want)
    tiny = rows.with_columns(pl.col("score") * 2.0**-80)
    assert np.array_equal(kept(op, tiny, tmp_path), want)


def test_what_has_no_odds_is_never_drawn_and_counted(tmp_path):
    rows = corpus([0.0, None, float("nan"), float("-inf"), 1.0, float("inf")])
    op = Sample(by="score", budget=docs(100))
    assert kept(op, rows, tmp_path).tolist() == [True, False, False, False, True, True]
    state = fold_state(op, rows, Context(seed=7, work=tmp_path))
    assert state["cut.excluded"].to_list() == [3]
    assert kept(Sample(by="score", budget=docs(1)), rows, tmp_path).tolist() == [False] * 5 + [True]
    with pytest.raises(DataError, match="infinity"):
        kept(Sample(by="score", budget=docs(1), normalise="z"), rows, tmp_path)


@pytest.mark.parametrize("normalise", ["none", "z"])
@pytest.mark.parametrize("scores", [[], [None, None], [1.5]])
def test_hardly_any_rows_are_rows_too(scores, normalise, tmp_path):
    out = kept(Sample(by="score", budget=docs(5), normalise=normalise), corpus(scores), tmp_path, cuts=2)
    assert out.tolist() == [s is not None for s in scores]


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {"temperature": float("nan")}, {"by": ""},
                                    {"budget": Budget(2, "epochs")}])  # fmt: skip
def test_fields_that_cannot_work_are_refused(fields):
    with pytest.raises(ConfigError):
        Sample(**{"by": "score", "budget": docs(1)} | fields).validate()


def test_a_text_column_is_no_score(tmp_path):
    rows = corpus([1.0]).with_columns(score=pl.lit("high"))
    with pytest.raises(DataError, match="cannot draw by"):
        kept(Sample(by="score", budget=docs(1)), rows, tmp_path)
