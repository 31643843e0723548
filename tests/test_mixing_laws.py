"""Repeated tokens, schedules, drawn mixtures and weighted scores: planted truths, and what is said where there is none."""

from __future__ import annotations

import dataclasses
import tarfile

import numpy as np
import polars as pl
import pytest
from support_mixing import PACKS, drawn, fitted, remarks, table_of

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import build
from winnow.testing.in_memory import MemorySource
from winnow.trainers.mixing import runs as tables
from winnow.trainers.mixing.climb import Climb
from winnow.trainers.mixing.climb_step import ClimbStep
from winnow.trainers.mixing.collected_runs import CollectedRuns
from winnow.trainers.mixing.crossvalidate import left_out
from winnow.trainers.mixing.domain_sizes import DomainSizes
from winnow.trainers.mixing.drawn_mixture import DrawnMixture
from winnow.trainers.mixing.exponential import fit_law
from winnow.trainers.mixing.meta_rater import MetaRater
from winnow.trainers.mixing.mixture_runs import MixtureRuns
from winnow.trainers.mixing.regmix_d import RegMixD
from winnow.trainers.mixing.repeated_tokens import effective, fit_repeats
from winnow.trainers.mixing.repetition_law import RepetitionLaw
from winnow.trainers.mixing.score_moments import ScoreMoments
from winnow.trainers.mixing.weighted_score import WeightedScore

# --- repeated tokens ---------------------------------------------------------------------------------------------------


def repeated(n=60, rate=6.0, seed=0, noise=0.0):
    """Runs on scarce books (1M tokens, worth 3 of web) and much web at several budgets, and the true loss of both."""
    g = np.random.default_rng(seed)
    shares = g.dirichlet([1.0, 1.0], n)
    tokens = g.choice([2_000_000, 8_000_000, 32_000_000], n)
    unique = np.tile([1e6, 1e9], (n, 1))

    def loss(shares, tokens):
        value = effective(shares * tokens[:, None], np.tile([1e6, 1e9], (len(shares), 1)), rate)[0]
        return 1.8 + (value @ [3e-6, 1e-6]) ** -0.3

    return table_of(shares, loss(shares, tokens) + noise * g.standard_normal(n), tokens=tokens, unique=unique,
                    values=["books", "web"]), loss  # fmt: skip


def test_effective_tokens_of_repeated_data():
    seen, unique = np.asarray([5.0, 10.0, 20.0, 1e9, 3.0]), np.asarray([10.0, 10.0, 10.0, 10.0, 0.0])
    value, slope, _ = effective(seen, unique, 4.0)
    assert value[:2].tolist() == [5.0, 10.0]
    assert value[2] == pytest.approx(10 * (1 + 4 * (1 - np.exp(-0.25))))
    assert value[3] == pytest.approx(10 * (1 + 4))
    assert value[4] == 0
    assert slope.tolist() == pytest.approx([1, 1, np.exp(-0.25), 0, 0])
    up = effective(seen + 1e-5, unique, 4.0)[0]
    assert (up - value)[:3] / 1e-5 == pytest.approx([1, np.exp(0.0), np.exp(-0.25)], rel=1e-3)
    assert effective(np.asarray([20.0]), np.asarray([10.0]), 4.0 + 1e-6)[0][0] - value[2] == pytest.approx(
        1e-6 * effective(seen, unique, 4.0)[2][2], rel=1e-3
    )


def test_the_rate_at_which_repeats_lose_their_worth_is_found():
    runs, _ = repeated(rate=6.0)
    known = np.concatenate((runs.shares * runs.tokens[:, None], runs.unique), axis=1)
    law = fit_repeats(known, runs.losses[:, 0])
    assert law.told
    assert law.repeats == pytest.approx(6, rel=0.15)
    assert law.worth[0] / law.worth[1] == pytest.approx(3, rel=0.15)
    assert np.abs(law(known) - runs.losses[:, 0]).max() < 0.01
    once = known.copy()
    once[:, 2] = 1e9  # nothing is repeated
    assert not fit_repeats(once, runs.losses[:, 0]).told


def test_few_repeats_say_nothing_of_the_rate():
    runs, _ = repeated(noise=0.01)
    seen = runs.shares * runs.tokens[:, None]
    known = np.concatenate((seen, np.column_stack([np.maximum(seen[:, 0] / 1.05, 1e6), runs.unique[:, 1]])), axis=1)
    value = effective(seen, known[:, 2:], 6.0)[0] @ [3e-6, 1e-6]
    law = fit_repeats(known, 1.8 + value**-0.3 + 0.01 * np.random.default_rng(3).standard_normal(len(seen)))
    assert not law.told
    assert law.repeats == pytest.approx(15.4)


def test_shares_and_epochs_under_a_budget_are_those_of_a_search(tmp_path):
    runs, loss = repeated(noise=0.002)
    for budget in (2_000_000, 64_000_000):
        operator = RepetitionLaw(runs="t", budget=Budget(budget, "tokens"), sizes={"books": 1e6, "web": 1e9})
        found, notes = fitted(operator, runs, tmp_path)
        share = np.linspace(0, min(1, 20 * 1e6 / budget), 2_001)
        grid = np.column_stack([share, 1 - share])
        losses = loss(grid, np.full(len(grid), float(budget)))
        mine = loss(np.asarray([[found["weights"]["books"], found["weights"]["web"]]]), np.asarray([float(budget)]))[0]
        assert mine < losses.min() + 0.003
        assert found["epochs"]["books"] == pytest.approx(found["weights"]["books"] * budget / 1e6)
        assert found["gap"] < 1e-4
        assert "do not say how fast" not in remarks(notes)
    assert found["epochs"]["books"] > 3  # scarce and worth more: repeated, and less often than the cap


def test_runs_that_repeat_nothing_take_the_usual_rate_and_say_so(tmp_path):
    runs, _ = repeated()
    plenty = dataclasses.replace(runs, unique=np.full_like(runs.unique, 1e9))
    operator = RepetitionLaw(runs="t", budget=Budget(10**7, "tokens"), sizes={"books": 1e6, "web": 1e9})
    found, notes = fitted(operator, plenty, tmp_path)
    assert found["laws"]["t0"]["repeats"] == pytest.approx(15.4)
    assert "the runs do not say how fast repeated tokens lose their worth" in remarks(notes)
    bare = table_of(runs.shares, runs.losses, values=["books", "web"])
    with pytest.raises(DataError, match="say not what they saw"):
        fitted(operator, bare, tmp_path)
    with pytest.raises(ConfigError, match="shares under no budget"):
        build(RepetitionLaw, {"runs": "t"}, where="stages.s")


# --- schedules ---------------------------------------------------------------------------------------------------------


def trajectories(n=200, seed=0, late="b"):
    """Runs in which early losses fall with the first value and late ones with another one."""
    shares = drawn(n, 3, seed)
    at = {"a": 0, "b": 1}[late]
    points = np.asarray([0, 100, 200, 300, 400])
    curves = np.full((n, 1, 5), 6.0)
    for p in range(1, 5):
        speed = shares[:, 0] if p <= 2 else shares[:, at]
        curves[:, 0, p] = curves[:, 0, p - 1] - speed + 0.3 * (shares**2).sum(axis=1)
    curves += 0.005 * np.random.default_rng(seed + 1).standard_normal(curves.shape)
    return table_of(shares, curves[:, :, -1], points=points, curves=curves)


def test_a_schedule_follows_what_helps_when(tmp_path):
    given = {"runs": "t", "phases": 2, "simulated": 1_500, "model": "lightgbm", "prior": dict.fromkeys("abc", 1.0)}
    found, _ = fitted(RegMixD(**given), trajectories(), tmp_path)
    first, second = (phase["weights"] for phase in found["phases"])
    assert first["a"] > 0.55 > second["a"]
    assert second["b"] > 0.55 > first["b"]
    assert [phase["tokens"] for phase in found["phases"]] == [[0, 200], [200, 400]]
    for phase in found["phases"]:
        assert phase["fit"]["spearman"] > 0.95
        assert phase["fit"]["rmse"] < 0.1 < phase["fit"]["rmse_of_mean"] < 1
    assert found["weights"]["a"] == pytest.approx((first["a"] + second["a"]) / 2)
    assert fitted(RegMixD(**given, phase=2), trajectories(), tmp_path)[0]["weights"] == second
    assert found["predicted"]["t0"] < 4.5


def test_a_schedule_that_is_no_better_than_one_mixture_says_so(tmp_path):
    operator = RegMixD(runs="t", phases=2, simulated=2_000, model="linear")
    _, notes = fitted(operator, trajectories(late="a"), tmp_path)
    assert "`regmix` is as good here" in remarks(notes)
    with pytest.raises(DataError, match="0 points of loss on the way for 2 phases"):
        fitted(operator, table_of(drawn(20, 3), np.arange(20.0) + 1), tmp_path)
    for fields, says in (({"phases": 1}, "no schedule"), ({"phase": 4}, "phase 4 of 3")):
        with pytest.raises(ConfigError, match=says):
            build(RegMixD, {"runs": "t", **fields}, where="stages.s")


# --- mixtures that are drawn -------------------------------------------------------------------------------------------


def mixture(number, tmp_path, sizes=None, seed=3, **fields):
    sizes = sizes or {"a": 600, "b": 300, "c": 100}
    operator = DrawnMixture(number=number, sizes="s", **{"budget": 500, "max_repeats": 4.0, **fields})
    source = MemorySource(metrics={"sizes": sizes})
    return operator.run(Context(seed=seed, work=tmp_path, refs={"sizes": source}))


def test_drawn_mixtures_are_shares_within_their_caps_around_the_pool(tmp_path):
    found = [mixture(number, tmp_path) for number in range(200)]
    table = np.asarray([[one["weights"][v] for v in "abc"] for one in found])
    assert np.allclose(table.sum(axis=1), 1)
    assert table[:, 2].max() <= 0.8 + 1e-9  # 4 x 100 of 500
    assert not any(one["moved"] for one in found)
    tempered = np.sqrt([0.6, 0.3, 0.1])
    free = [list(mixture(number, tmp_path, max_repeats=1e6)["weights"].values()) for number in range(200)]
    assert np.abs(np.mean(free, axis=0) - tempered / tempered.sum()).max() < 0.06
    assert (table < 0.01).any()
    assert (table > 0.9).any()
    assert not ((table > 0) & (table < 0.001)).any()
    assert mixture(7, tmp_path) == mixture(7, tmp_path)
    assert mixture(7, tmp_path)["weights"] != mixture(7, tmp_path, seed=4)["weights"]
    less = mixture(7, tmp_path, sizes={"a": 600, "b": 300, "c": 100, "d": 1})["weights"]
    assert less["d"] < 0.1


def test_a_budget_that_only_one_mixture_fits_moves_draws_there_and_a_larger_one_is_refused(tmp_path):
    found = mixture(0, tmp_path, budget=990, max_repeats=1.0)
    assert found["moved"]
    assert found["weights"]["a"] == pytest.approx(600 / 990, abs=0.02)
    with pytest.raises(DataError, match=r"are 50\.0% of the budget"):
        mixture(0, tmp_path, budget=8_000)


def test_frozen_values_are_drawn_as_one(tmp_path):
    for number in range(20):
        found = mixture(number, tmp_path, frozen={"a": 3.0, "b": 1.0}, budget=200)["weights"]
        assert found["a"] == pytest.approx(3 * found["b"])
        assert sum(found.values()) == pytest.approx(1)
    with pytest.raises(DataError, match="no document has the value 'x'"):
        mixture(0, tmp_path, frozen={"a": 1.0, "x": 1.0})


def test_sizes_of_values(tmp_path):
    rows = pl.DataFrame({
        "doc_id": [bytes([i]) * 16 for i in range(60)], "topic": [["x", "y", "z", None][i % 4] for i in range(60)],
        "token_count": [i + 1 for i in range(60)], "weight": [1.0 if i % 2 else 2.5 for i in range(60)],
    })  # fmt: skip
    ctx = Context(seed=0, work=tmp_path)

    def sizes(parts, **fields):
        operator, step = DomainSizes(per=("topic",), **fields), 60 // parts
        sample = pl.concat([operator.sample(rows[i : i + step], ctx) for i in range(0, 60, step)])
        assert sample.height <= 3 * parts  # a row per part and value, not per document
        return operator.fit(sample.sort("doc_id"), ctx)["sizes"]

    truth = {t: sum(c for c, u in rows.select("token_count", "topic").iter_rows() if u == t) for t in "xyz"}
    assert sizes(1) == sizes(6) == truth
    assert sizes(4, unit="docs") == {"x": 15, "y": 15, "z": 15}
    assert sizes(4, least=450) == {"other": truth["x"], "y": truth["y"], "z": truth["z"]}
    assert sizes(2, used=True)["y"] == truth["y"]  # weight 1
    assert sizes(2, used=True)["x"] == pytest.approx(2.5 * truth["x"], abs=8)
    with pytest.raises(DataError, match="no document has a value"):
        DomainSizes(per=("topic",)).fit(
            DomainSizes(per=("topic",)).sample(rows.filter(pl.col("topic").is_null()), ctx), ctx
        )


def test_a_step_of_climb_takes_from_the_best_and_says_where_it_knows_nothing(tmp_path):
    shares = drawn(60, 3)
    step = ClimbStep(runs="t", num=8, share_left=0.05, simulated=2_000, prior=dict.fromkeys("abc", 1.0))
    found, _ = fitted(step, table_of(shares, 3 - shares[:, 1] + 0.2 * (shares**2).sum(axis=1)), tmp_path)
    assert len(found["mixtures"]) == 8
    assert found["left"] == 100
    assert min(one["b"] for one in found["mixtures"]) > 0.6
    assert len({tuple(one.values()) for one in found["mixtures"]}) == 8
    noise = 3 + 0.05 * np.random.default_rng(5).standard_normal(60)
    blind, notes = fitted(step, table_of(shares, noise), tmp_path)
    assert blind["left"] == 2_000
    assert "the search is not narrowed" in remarks(notes)
    with pytest.raises(ConfigError, match="fewer than 8"):
        ClimbStep(runs="t", num=8, share_left=0.001, simulated=200).validate()


# --- weighted scores ---------------------------------------------------------------------------------------------------


def test_moments_are_those_of_all_rows_and_scores_are_standardised(tmp_path):
    g = np.random.default_rng(0)
    rows = pl.DataFrame({"doc_id": [i.to_bytes(16, "big") for i in range(90)], "p": 5 + 2 * g.standard_normal(90),
                         "q": 1e6 + g.standard_normal(90)}).with_columns(pl.when(pl.col("doc_id") == bytes(16)).then(None)
                         .otherwise("p").alias("p"))  # fmt: skip
    scores, notes = {"first": "p", "second": "q"}, {}
    moments = ScoreMoments(scores=scores)
    ctx = Context(seed=0, work=tmp_path, notes=notes)
    sample = pl.concat([moments.sample(rows[i : i + 30], ctx) for i in range(0, 90, 30)])
    told = moments.fit(sample, ctx)
    whole = rows.drop_nulls()
    assert told["moments"]["second"]["deviation"] == pytest.approx(whole["q"].std(ddof=0), rel=1e-6)
    assert told["moments"]["first"]["mean"] == pytest.approx(whole["p"].mean())
    assert "1 of 90 documents lack a score" in remarks(notes)
    refs = {
        "moments": MemorySource(metrics=told),
        "weights": MemorySource(metrics={"weights": {"first": 0.75, "second": 0.25}}),
    }
    answer = WeightedScore(scores=scores, moments="m", weights="w").open(Context(seed=0, work=tmp_path, refs=refs))(
        rows
    )
    z = [(whole[c] - whole[c].mean()) / whole[c].std(ddof=0) for c in "pq"]
    assert answer["meta_rater"].null_count() == 1
    assert answer["meta_rater"].drop_nulls().to_numpy() == pytest.approx((0.75 * z[0] + 0.25 * z[1]).to_numpy())
    wild = rows.with_columns(pl.lit(1e12).alias("p"))
    bounded = WeightedScore(scores=scores, moments="m", weights="w").open(Context(seed=0, work=tmp_path, refs=refs))(
        wild
    )
    assert bounded["meta_rater"].max() < 0.75 * 5 + 0.25 * 5
    with pytest.raises(DataError, match="'first' is the same for all 90"):
        moments.fit(moments.sample(wild.with_columns(pl.lit(3.0).alias("p")), ctx), ctx)


# --- the table of a stage ----------------------------------------------------------------------------------------------


def collected(tmp_path, results, *, used=None):
    drawn_by = {"m0": {"a": 0.5, "b": 0.5}, "m1": {"a": 0.9, "b": 0.1}, "m2": {"a": 0.2, "b": 0.8}}
    refs = {
        "drawn": {k: MemorySource(metrics={"weights": w}) for k, w in drawn_by.items()},
        "runs": {f"{k}/0": MemorySource(metrics=r) for k, r in results.items()},
        "scores": {f"{k}/0/t": MemorySource(metrics={"targets": {"t": {"kind": "documents", "measures": {"bits_per_byte": 2.0 + i}}}})
                   for i, k in enumerate(results)},
        "sizes": MemorySource(metrics={"sizes": {"a": 300, "b": 100}}),
    }  # fmt: skip
    if used:
        refs["used"] = {k: MemorySource(metrics={"sizes": u}) for k, u in used.items()}
    notes = {}
    told = CollectedRuns(targets=("t",)).run(Context(seed=0, work=tmp_path, refs=refs, notes=notes))
    return told, tables.load(tmp_path / tables.FILE), notes


RUN = {"tokens": 1_000, "epochs": 2.0, "parameters": 9}


def test_a_table_has_what_was_used_and_leaves_out_runs_that_failed(tmp_path):
    used = {"m0": {"a": 60, "b": 40}, "m1": {"a": 90, "b": 10}, "m2": {"a": 20, "b": 80}}
    told, runs, notes = collected(tmp_path, {"m0": RUN, "m1": {"failed": "loss is nan"}, "m2": RUN}, used=used)
    assert runs.names == ("m0", "m2")
    assert runs.shares[0].tolist() == [0.6, 0.4]
    assert runs.losses[:, 0].tolist() == [2.0, 4.0]
    assert runs.tokens.tolist() == [200, 200]  # two passes over 100 tokens, as the pool counts them
    assert runs.unique[0].tolist() == [300, 100]
    assert told["prior"] == {"a": 0.75, "b": 0.25}
    assert "1 of 3 runs failed and are left out (m1: loss is nan)" in remarks(notes)
    assert "10.0% off the drawn one" in remarks(notes)
    with pytest.raises(DataError, match="2 of 3 runs failed"):
        collected(tmp_path, {"m0": RUN, "m1": {"failed": "x"}, "m2": {"failed": "y"}})


@pytest.mark.parametrize(
    ("cls", "fields", "says"),
    [
        (MixtureRuns, {"mixture": "m", "runs": 1}, "1 run fit nothing"),
        (MixtureRuns, {"mixture": "m", "temperature": 2.0}, "temperature is 2"),
        (MixtureRuns, {"mixture": "m", "strength": [5.0, 0.1]}, "strength is"),
        (MixtureRuns, {"mixture": "m", "min_share": 0.6}, "min_share is 0.6"),
        (MixtureRuns, {"mixture": "m", "curve": -1}, "curve is -1"),
        (MixtureRuns, {"mixture": "m", "may_overlap": ["x"]}, "'x' is none of"),
        (Climb, {"mixture": "m", "iterations": [8]}, "two or more"),
        (Climb, {"mixture": "m", "keep": 1.0}, "keep is 1.0"),
        (Climb, {"mixture": "m", "frozen": {"a": 1.0, "b": 1.0}}, "not narrowed"),
        (Climb, {"mixture": "m", "iterations": [8, 8, 8], "simulated": 200}, "fewer than 8"),
        (MetaRater, {"selection": "s", "scores": {"a": "b"}}, "weighed against nothing"),
        (MetaRater, {"selection": "s", "scores": {"a": "b", "c": "d"}, "best": 10**9}, "the best 1000000000 of"),
    ],
)
def test_fields_of_stages_that_train_are_checked(cls, fields, says):
    with pytest.raises(ConfigError) as error:
        build(cls, {"eval": {"t": "held"}, **fields}, where="stages.s")
    assert says in str(error.value)


# --- published runs ----------------------------------------------------------------------------------------------------


@pytest.mark.packs
def test_the_mixing_law_predicts_published_mixtures_that_it_did_not_see():
    pack = PACKS / "m_mixinglaws.tar.xz"
    if not pack.exists():
        pytest.skip(f"{pack} is absent")
    with tarfile.open(pack) as tar:
        text = tar.extractfile("m_mixinglaws/data/5Mix/70M.txt").read().decode()
    found = {}
    for line in text.splitlines():
        run, target, loss = line.split("\t")
        name, step = run.rsplit("/", 2)[1:]
        if step == "30000":
            found.setdefault(name, {})[target.rsplit(".", 2)[1]] = float(loss)
    shares = np.asarray([[float(x) for x in name.split("-")[1:]] for name in found])
    assert shares.shape == (26, 5)
    for target in ("Github", "Pile-CC", "Books3"):
        losses = np.asarray([row[target] for row in found.values()])
        predicted, mean = left_out(fit_law, shares, losses, folds=5, seed=0)
        error, of_mean = (np.mean(np.abs(p - losses) / losses) for p in (predicted, mean))
        assert error < 0.02
        assert error < 0.5 * of_mean
