"""Policies that choose domains: their published numbers, their uniform limits, exact resume, and bad input."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.support_mixtures import labels, mixing, pool, text
from tests.support_policies import END, RECIPE, SHAPE, bits
from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.shares import excess_step, floored, temperature_shares
from winnow.core.numerics.water_filling import water_fill
from winnow.trainers.data import pack
from winnow.trainers.model import checkpoint, loop, parallel
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.usage import TOKENS, WEIGHT
from winnow.trainers.online.mixing import domains_of
from winnow.trainers.online.mixtures import bandit, curriculum, gradient_gram, ppl_change, skill_it
from winnow.trainers.online.mixtures.bandit import Bandit
from winnow.trainers.online.mixtures.curriculum import Curriculum
from winnow.trainers.online.mixtures.doge import Doge
from winnow.trainers.online.mixtures.doremi_proxy import DoremiProxy
from winnow.trainers.online.mixtures.gradient_gram import GradientGram
from winnow.trainers.online.mixtures.ppl_change import PplChange
from winnow.trainers.online.mixtures.skill_it import SkillIt
from winnow.trainers.online.mixtures.temperature import Temperature
from winnow.trainers.online.mixtures.unimax import Unimax
from winnow.trainers.online.told import Told

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

COUNT = 90
FEEDBACK = {"a": "x", "b": "y", "c": "z"}
EDGES = {"a": {"a": 1.0, "b": 0.5, "c": 0.2}, "b": {"b": 1.0}, "c": {"c": 1.0, "a": 0.1}}
PER = ("kind",)


def told(names: str = "abc") -> dict[str, Any]:
    """Everything that any of the policies reads."""
    values = pl.Series(np.random.default_rng(3).normal(size=COUNT))
    return {
        "columns": {"per": labels(COUNT, names), "by": values, "reference": pl.Series(np.full(COUNT, 30.0))},
        "texts": {name: text(k) for k, name in enumerate(sorted(set(names)))},
    }


POLICIES = {
    "temperature": Temperature(per=PER, temperature=3.0),
    "unimax": Unimax(per=PER),
    "skill_it": SkillIt(per=PER, feedback=FEEDBACK, edges=EDGES, every=4, normalise=True),
    "bandit": Bandit(per=PER),
    "exp3": Bandit(per=PER, update="exp3", every=2),
    "doge": Doge(per=PER, every=5, probe_rows=2),
    "doge_texts": Doge(per=PER, every=9, probe_rows=2, feedback=FEEDBACK),
    "doremi_proxy": DoremiProxy(per=PER, reference="nll"),
    "gradient_gram": GradientGram(per=PER, every=5, probe_rows=2),
    "ppl_change": PplChange(per=PER, feedback=FEEDBACK, every=3, alpha=1.9),
    "curriculum": Curriculum(by="score", buckets=4, pacing=0.7),
    "growing": Curriculum(by="score", buckets=4, opening="growing"),
}


def fitted(policy: Any, plain: Any = None, *, names: str = "abc", **how: Any) -> tuple[Any, Any, Any]:
    """(model and losses, the run, its data)."""
    known = told(names)
    texts = known["texts"] if policy.texts and getattr(policy, "feedback", ()) else {}
    data, run = mixing(policy, plain or pool(COUNT), columns=known["columns"], texts=texts)
    return loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run, **how), run, data


# --- published numbers


def test_skill_it_gives_the_shares_of_its_paper_and_of_lego():
    matrix = np.array([[1.0, 0.5], [0.0, 1.0]])
    found = skill_it.skill_shares(matrix, np.array([2.0, 3.0]), eta=0.5)
    assert found == pytest.approx([0.562177, 0.437823], abs=5e-7)
    lego = np.eye(5)
    lego[1, [0, 2, 3]] = 0.5
    first = skill_it.skill_shares(lego, np.ones(5), eta=0.5)
    assert first == pytest.approx([0.163479, 0.346085, 0.163479, 0.163479, 0.163479], abs=5e-7)
    even = np.full(2, 0.5)
    assert (skill_it.skill_shares(np.eye(2), np.full(2, 7.0), eta=0.5) == even).all()
    assert (skill_it.skill_shares(matrix, np.array([2.0, 9.0]), eta=0.0) == even).all()
    moved = skill_it.skill_shares(np.array([[1.0, 0.5, 1.0], [0.0, 1.0, 1.0]]), np.array([2.0, 3.0, 11.0]), eta=0.5)
    assert moved == pytest.approx(found, abs=1e-12)  # a loss that every skill helps alike adds the same to all


def test_doremi_gives_the_shares_of_its_check():
    half, excess = np.array([0.5, 0.5]), np.maximum(0, np.array([2.5, 3.0]) - np.array([2.0, 2.9]))
    assert excess_step(half, excess, smoothing=0.0) == pytest.approx([0.598688, 0.401312], abs=5e-7)
    assert excess_step(half, excess) == pytest.approx([0.598589, 0.401411], abs=5e-7)


def test_syne_keeps_shares_of_equal_changes_and_stays_a_simplex():
    shares = np.array([0.2, 0.3, 0.5])
    assert ppl_change.adapted(shares, np.full(3, -0.3), alpha=0.5, clip=0.5) is shares
    found = ppl_change.adapted(shares, np.array([0.1, -0.1, 9.0]), alpha=0.5, clip=0.5)
    want = shares * np.array([1.05, 0.95, 1.25])
    assert found == pytest.approx(want / want.sum(), abs=1e-12)
    assert ppl_change.adapted(shares, np.array([0.0, 2.0, 9.0]), alpha=1.0, clip=0.5)[1:] == pytest.approx(
        np.array([0.45, 0.75]) / 1.4
    )


def pulled(rewards: Any, *, pulls: int, gamma: float = 0.1, forget: float = 0.01, seed: int = 0) -> np.ndarray:
    """Shares of the second arm after every pull of an EXP3 bandit with these chances of a reward of 1."""
    rng = np.random.default_rng(seed)
    logs, shares, out = np.zeros(2), np.full(2, 0.5), []
    for pull in range(pulls):
        arm = int(rng.random() > shares[0])
        reward = 2.0 * (rng.random() < rewards(pull)[arm]) - 1.0
        logs = bandit.shared_back(bandit.exp3_step(logs, arm, reward, shares, gamma=gamma), forget)
        shares = bandit.exp3_shares(logs, gamma)
        out.append(shares[1])
    return np.array(out)


def test_exp3_finds_the_better_arm_follows_a_switch_and_explores_without_end_at_gamma_1():
    for seed in range(3):
        assert pulled(lambda _: (0.1, 0.9), pulls=2000, forget=0.0, seed=seed)[-200:].mean() > 0.8
        turned = pulled(lambda k: (0.1, 0.9) if k < 2000 else (0.9, 0.1), pulls=4000, seed=seed)
        assert turned[1800:2000].mean() > 0.8
        assert turned[-200:].mean() < 0.2
        stuck = pulled(lambda k: (0.1, 0.9) if k < 2000 else (0.9, 0.1), pulls=2500, seed=seed)
        assert stuck[-100:].mean() < 0.3, "within 500 pulls of the switch"
    assert bandit.exp3_shares(np.array([0.0, -30.0, 4.0]), 1.0) == pytest.approx(np.full(3, 1 / 3), abs=1e-15)


def test_odm_explores_by_its_rate_and_follows_the_reward():
    assert bandit.odm_rate(0, 4) == 0.25
    assert bandit.odm_rate(1, 4) == 0.25
    assert bandit.odm_rate(100, 4) == pytest.approx(np.sqrt(np.log(4) / 400))
    reward, looks = np.array([8.0, 4.0, 4.0, 2.0]), 99
    before, now = bandit.odm_rate(99, 4), bandit.odm_rate(100, 4)
    soft = np.exp(before * reward) / np.exp(before * reward).sum()
    assert bandit.odm_shares(reward, looks) == pytest.approx((1 - 4 * now) * soft + now, abs=1e-12)
    assert bandit.odm_shares(np.full(3, 5.0), 1000) == pytest.approx(np.full(3, 1 / 3), abs=1e-15)


def test_rewards_are_rescaled_between_the_20th_and_80th_percentile():
    before = list(np.linspace(0.0, 10.0, 101))
    assert [bandit.rescaled(x, before) for x in (2.0, 5.0, 8.0, 0.0, 10.0)] == pytest.approx([-1, 0, 1, -1, 1])
    assert bandit.rescaled(3.0, [2.0, 2.0]) == bandit.rescaled(3.0, []) == 0.0


def test_a_gram_matrix_gives_more_to_domains_that_help_the_large_ones():
    one, other = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([1.0, 1.0])}
    gram = gradient_gram.gram_of([one, other, {"w": torch.tensor([0.0, -1.0])}])
    assert gram.tolist() == [[1.0, 1.0, 0.0], [1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]
    sizes = np.array([0.8, 0.1, 0.1])
    found = gradient_gram.gram_shares(gram, sizes, eta=1.0, p_min=0.0)
    gains = gram / (4 / 3) @ sizes
    want = sizes * np.exp(gains)
    assert found == pytest.approx(want / want.sum(), abs=1e-12)
    assert gradient_gram.gram_shares(gram, sizes, eta=0.0) is sizes
    assert gradient_gram.gram_shares(np.eye(2), np.array([0.5, 0.5]), eta=3.0).tolist() == [0.5, 0.5]


def test_shares_have_a_floor():
    assert floored(np.array([0.9, 0.09, 0.01]), 0.05) == pytest.approx([0.95 * 0.9 / 0.99, 0.95 * 0.09 / 0.99, 0.05])
    assert floored(np.array([0.94, 0.051, 0.009]), 0.05) == pytest.approx([0.9, 0.05, 0.05])
    assert floored(np.array([1.0, 0.0, 0.0]), 0.1) == pytest.approx([0.8, 0.1, 0.1])
    with pytest.raises(ConfigError, match="3 shares of at least 0"):
        floored(np.full(3, 1 / 3), 0.5)


def test_buckets_are_a_stable_sort_within_groups_of_equal_tokens():
    value = np.array([3.0, 1.0, 2.0, 2.0, np.nan, 0.0])
    assert curriculum.buckets_of(value, np.ones(6, dtype=np.int64), 5).tolist() == [4, 1, 2, 3, -1, 0]
    assert curriculum.buckets_of(value, np.ones(6, dtype=np.int64), 5, descending=True).tolist() == [0, 3, 1, 2, -1, 4]
    heavy = np.array([1, 1, 1, 1, 1, 4])
    assert curriculum.buckets_of(value, heavy, 2).tolist() == [1, 1, 1, 1, -1, 0]
    group = pl.Series(["x", "x", "y", "y", "y", None])
    assert curriculum.buckets_of(value, np.ones(6, dtype=np.int64), 2, group=group).tolist() == [1, 0, 0, 1, -1, -1]
    rng = np.random.default_rng(0)
    values, tokens = rng.normal(size=4000), rng.integers(1, 50, 4000)
    found = curriculum.buckets_of(values, tokens, 10)
    assert np.bincount(found, weights=tokens) == pytest.approx(np.full(10, tokens.sum() / 10), abs=50)
    assert all(values[found == k].max() <= values[found == k + 1].min() for k in range(9))


def test_buckets_open_by_their_share_of_the_steps():
    sizes = np.array([50.0, 30.0, 20.0])
    course = [curriculum.bucket_shares(sizes, k, 20, pacing=0.5, opening="in_turn").tolist() for k in range(20)]
    assert course == [[1.0, 0.0, 0.0]] * 5 + [[0.0, 1.0, 0.0]] * 3 + [[0.0, 0.0, 1.0]] * 2 + [[0.5, 0.3, 0.2]] * 10
    growing = [curriculum.bucket_shares(sizes, k, 10, pacing=1.0, opening="growing") for k in (0, 5, 9)]
    assert [x.tolist() for x in growing] == [[1.0, 0.0, 0.0], [0.625, 0.375, 0.0], [0.5, 0.3, 0.2]]


# --- in a run


@pytest.mark.parametrize("name", POLICIES)
def test_one_domain_trains_to_the_bits_of_the_plain_run(name, plain_bits):
    policy = POLICIES[name]
    policy = dataclasses.replace(policy, buckets=1) if isinstance(policy, Curriculum) else policy
    if isinstance(policy, SkillIt):
        policy = dataclasses.replace(policy, edges={"a": {"a": 1.0}}, feedback={"a": "x"})
    got, run, _ = fitted(policy, names="a")
    assert bits(got) == plain_bits
    assert run.record.figures.get("weights", {"a": 1.0}) == {"a": 1.0}


@pytest.fixture(scope="module")
def plain_bits() -> Any:
    return bits(loop.fit(pool(COUNT), SHAPE, RECIPE, init_seed=1))


@pytest.fixture(scope="module")
def even_bits() -> Any:
    return bits(fitted(Temperature(per=PER, temperature=float("inf")))[0])


@pytest.mark.parametrize(
    "policy",
    [
        SkillIt(per=PER, feedback=FEEDBACK, edges=EDGES, every=4, eta=0.0),
        SkillIt(per=PER, feedback=FEEDBACK, edges={k: dict.fromkeys("abc", 0.5) for k in "abc"}, every=4),
        Doge(per=PER, every=5, probe_rows=2, eta=0.0), DoremiProxy(per=PER, reference="nll", eta=0.0),
        Bandit(per=PER, update="exp3", gamma=1.0),
    ],
    ids=["skill_it", "skill_it_without_edges", "doge", "doremi_proxy", "bandit"],
)  # fmt: skip
def test_without_a_step_shares_stay_those_of_a_fixed_mixture_to_the_bit(policy, even_bits):
    assert bits(fitted(policy)[0]) == even_bits


def test_gradient_gram_and_ppl_change_without_a_step_are_the_mixture_by_size():
    by_size = bits(fitted(Temperature(per=PER))[0])
    assert bits(fitted(GradientGram(per=PER, every=5, probe_rows=2, eta=0.0))[0]) == by_size
    assert bits(fitted(PplChange(per=PER, feedback=FEEDBACK, every=3, alpha=0.0))[0]) == by_size


def test_static_shares_are_those_of_the_selector():
    plain = pool(COUNT)
    _, run, data = fitted(Temperature(per=PER, temperature=3.0), plain)
    sizes = [source.plan.num_tokens for source in data.sources]
    assert list(run.record.figures["weights"].values()) == temperature_shares(sizes, 3.0)
    _, run, data = fitted(Unimax(per=PER, max_repeats=1.4), plain)
    amounts = water_fill([int(size * 1.4) for size in sizes], plain.tokens)
    assert list(run.record.figures["weights"].values()) == pytest.approx(np.array(amounts) / plain.tokens)


class KilledError(Exception):
    """Stands for a kill."""


def killed(step: int, model: object) -> None:
    raise KilledError(step)


QUICK = ("skill_it", "exp3", "curriculum")
ALL = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in POLICIES]


@pytest.mark.parametrize("name", ALL)
def test_killed_at_five_points_a_run_goes_on_to_the_same_bits_shares_and_record(name, tmp_path):
    wanted, whole, data = fitted(POLICIES[name])
    plan = Checkpoints(step=Folder(path=tmp_path / "run"), at=checkpoint.stops(data.num_steps, 4))
    for step in (1, 5, 10, 13, data.num_steps - 1):
        with pytest.raises(KilledError):
            fitted(POLICIES[name], checkpoints=plan, watch=killed, watch_at=(step,))
    again, run, _ = fitted(POLICIES[name], checkpoints=plan)
    assert bits(again) == bits(wanted)
    assert run.record.figures == whole.record.figures
    for column in (TOKENS, WEIGHT):
        assert run.record.columns[column].tobytes() == whole.record.columns[column].tobytes()
    assert run.record.columns[TOKENS].sum() == data.num_tokens
    moved = [point["shares"] for point in run.record.figures["shares"]]
    assert (len({str(shares) for shares in moved}) > 1) == (name not in ("temperature", "unimax"))
    assert sum(one["tokens"] for one in run.record.figures["domains"].values()) == data.num_tokens
    other = Temperature(per=PER, temperature=2.5)
    with pytest.raises(DataError, match="of another run"):
        fitted(other, checkpoints=plan)


def test_two_processes_read_the_stream_of_one():
    policy, known = POLICIES["skill_it"], told()
    (_, losses), one, _ = fitted(policy)
    data, run = mixing(policy, pool(COUNT), columns=known["columns"], texts=known["texts"])
    _, curve = parallel.fit(data, SHAPE, RECIPE, init_seed=1, workers=2, policy=run)
    assert np.abs(curve - losses).max() < 1e-4
    assert run.record.columns[TOKENS].tobytes() == one.record.columns[TOKENS].tobytes()
    assert run.record.figures["domains"] == one.record.figures["domains"]
    for name, share in one.record.figures["weights"].items():
        assert run.record.figures["weights"][name] == pytest.approx(share, abs=1e-5)


def test_domains_that_the_model_has_not_learned_are_read_more():
    """Domain `a` is one text over and over, `b` is noise: the bandit and doremi see it in the losses."""
    rng = np.random.default_rng(0)
    ids = [[1, 2, 3, 4] * 5 if i % 2 == 0 else rng.integers(0, END, 20).tolist() for i in range(80)]
    names = sorted(rng.bytes(16) for _ in ids)
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series(ids, dtype=pl.List(pl.UInt16))})
    documents = pack.documents_of(frame.select("doc_id"), frame)
    plain = pack.batches_of(documents, context=SHAPE.context, batch=4, tokens=3000, end=END, seed=0)
    columns = {"per": labels(80, "ab"), "reference": pl.Series([90.0, 20.0] * 40)}
    for policy in (Bandit(per=PER, max_repeats=9), DoremiProxy(per=PER, reference="nll", max_repeats=9, eta=0.1)):
        data, run = mixing(policy, plain, columns=columns)
        loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
        assert run.record.figures["weights"]["b"] > 0.55, policy.name
        course = [point["shares"]["b"] for point in run.record.figures["shares"]]
        assert np.mean(course[len(course) // 2 :]) > 0.53, policy.name


def test_doge_follows_the_gradient_of_a_target():
    """The texts are those of domain `a`, which has tokens of its own: its gradient points there."""
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 25, 20).tolist() if i % 2 == 0 else rng.integers(30, END, 20).tolist() for i in range(80)]
    names = sorted(rng.bytes(16) for _ in ids)
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series(ids, dtype=pl.List(pl.UInt16))})
    documents = pack.documents_of(frame.select("doc_id"), frame)
    plain = pack.batches_of(documents, context=SHAPE.context, batch=4, tokens=2000, end=END, seed=0)
    own = pack.batches_of(documents, context=SHAPE.context, batch=4, tokens=400, end=END, seed=0)
    rows = own.filled(np.array([0]), np.array([SHAPE.context]))
    texts = {"a": [rows]} if int(rows.ids[0, 1]) < 25 else {"b": [rows]}
    (label,) = texts
    policy = Doge(per=PER, every=5, feedback={label: "x"}, max_repeats=9)
    data, run = mixing(policy, plain, columns={"per": labels(80, "ab")}, texts=texts)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    assert run.record.figures["weights"][label] > 0.6


def test_a_curriculum_reads_what_the_plain_run_reads_in_order():
    plain = pool(COUNT, tokens=1500)
    _, run, data = fitted(Curriculum(by="score", buckets=5), plain)
    total = [source.plan.num_tokens for source in data.sources]
    read = [one["tokens"] for one in run.record.figures["domains"].values()]
    step = SHAPE.context * 4
    assert np.array(read) == pytest.approx(np.array(total) * 1500 / sum(total), abs=step)
    first = [next(iter(k for k, v in point["shares"].items() if v == 1.0)) for point in run.record.figures["shares"]]
    assert first == sorted(first)


# --- bad input


def test_documents_of_no_domain_are_told():
    known = told()
    series = known["columns"]["per"].to_list()
    columns = {"per": pl.Series([None, None, *series[2:]], dtype=pl.String)}
    data, run = mixing(Unimax(per=PER), pool(COUNT), columns=columns)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    assert run.record.figures["left_out"] == 2
    assert any("2 of 90 documents have no domain and are not trained on: give them" in r for r in run.record.remarks())
    with pytest.raises(DataError, match="none of 90 documents of the selection has a domain"):
        mixing(Unimax(per=PER), pool(COUNT), columns={"per": pl.Series([None] * COUNT, dtype=pl.String)})
    many = pl.Series([str(i) for i in range(1001)])
    with pytest.raises(DataError, match=r"1,001 domains \('0', '1', '10', \.\.\.\), and a mixture takes 1,000"):
        domains_of(Told(steps=1, seed=0, vocab=9, context=9, batch=1, columns={"per": many}))


def test_a_domain_that_runs_out_is_told():
    columns = {"per": pl.Series(["a"] * 5 + ["b"] * 85)}
    data, run = mixing(Temperature(per=PER, temperature=float("inf"), max_repeats=2.5), pool(COUNT), columns=columns)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    assert run.record.figures["domains"]["a"]["epochs"] == pytest.approx(2.5, abs=0.3)
    (remark,) = [r for r in run.record.remarks() if "gave its share to the others" in r]
    assert remark.startswith("'a' was read 2.5 times by step")


def skilled(edges: dict[str, dict[str, float]], texts: str = "abc", **more: Any) -> Any:
    known = told(texts)
    policy = SkillIt(per=PER, feedback=FEEDBACK, edges=edges, **more)
    data, run = mixing(policy, pool(COUNT), columns=told()["columns"], texts=known["texts"])
    return loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run), run


def test_a_graph_without_edges_is_told_and_shares_stay_even():
    _, run = skilled({k: dict.fromkeys("abc", 0.0) for k in "abc"}, every=5)
    assert set(run.record.figures["weights"].values()) == {1 / 3}
    assert any(r.startswith("the graph has no edges, or the same from every skill") for r in run.record.remarks())
    _, bare = skilled({}, every=5)
    assert bare.record.figures == run.record.figures, "`edges: {}` is such a graph"
    _, run = skilled({k: {k: 1.0} for k in "abc"}, every=50)
    told_back = run.record.remarks()
    assert any("no edges between skills: each share follows that skill's own loss alone" in r for r in told_back)
    assert any(r.startswith("shares never moved: the run has 19 steps, and `every` is 50") for r in told_back)
    _, run = skilled(EDGES, every=5)
    assert run.record.remarks() == ()


@pytest.mark.parametrize(
    ("edges", "texts", "match", "hint"),
    [
        ({**EDGES, "d": {"a": 1.0}}, "abc", "no document of the selection has the skill 'd'", "there are a, b, c"),
        ({"a": EDGES["a"], "b": EDGES["b"]}, "abc", "the graph has no skill 'c', which documents have", "it has a, b"),
        (EDGES, "ab", "the graph has edges to 'c', and no text is called so", "its texts are a, b"),
        (EDGES, "abcd", "the graph has no edge to the text 'd'", "leave the text out, or give an edge of 0 to it"),
    ],
)
def test_graphs_of_other_skills_or_texts_are_refused_with_those_that_there_are(edges, texts, match, hint):
    with pytest.raises(ConfigError, match=match) as error:
        skilled(edges, texts)
    assert error.value.hint == hint


def test_a_result_without_a_graph_is_refused():
    assert skill_it.graph_of({"graph": {"a": {"b": 1}}}) == {"a": {"b": 1.0}}
    for result in ({}, {"graph": [1]}, {"graph": {"a": 1}}):
        with pytest.raises(DataError, match="the result has no graph"):
            skill_it.graph_of(result)


def test_texts_of_other_domains_are_refused_with_those_that_there_are():
    known = told("abd")
    policy = PplChange(per=PER, feedback=FEEDBACK)
    _, run = mixing(policy, pool(COUNT), columns=told()["columns"], texts=known["texts"])
    with pytest.raises(
        ConfigError, match="there is a text for 'd', a domain that no document of the selection has"
    ) as error:
        run.begin()
    assert "a, b, c" in error.value.hint
    _, run = mixing(policy, pool(COUNT), columns=told()["columns"], texts=told("ab")["texts"])
    with pytest.raises(ConfigError, match=r"the domain 'c' has no text\n") as error:
        run.begin()
    assert error.value.hint.endswith("`feedback: {c: STAGE, ...}`")
    _, run = mixing(policy, pool(COUNT), columns=told()["columns"], texts=told("a")["texts"])
    with pytest.raises(ConfigError, match=r"the domain 'b' has no text \(nor have 1 more\)"):
        run.begin()


def test_a_reference_without_values_is_refused_and_gaps_are_told():
    columns = told()["columns"]
    policy = DoremiProxy(per=PER, reference="nll")
    nothing = {**columns, "reference": pl.Series([None] * COUNT, dtype=pl.Float64)}
    _, run = mixing(policy, pool(COUNT), columns=nothing)
    with pytest.raises(DataError, match="none of 90 documents has a loss under the reference"):
        run.begin()
    gaps = {**columns, "reference": pl.Series([None] * 3 + [1e6] * 87, dtype=pl.Float64)}
    data, run = mixing(policy, pool(COUNT), columns=gaps)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    assert any("3 of 90 documents have no reference loss and count in no excess" in r for r in run.record.remarks())
    assert any(r.startswith("no domain has excess loss in the end") for r in run.record.remarks())


def test_a_curriculum_without_values_is_refused_and_few_buckets_are_told():
    nothing = {"by": pl.Series([None] * COUNT, dtype=pl.Float64)}
    with pytest.raises(DataError, match="none of 90 documents has a value to sort by"):
        mixing(Curriculum(by="score"), pool(COUNT), columns=nothing)
    values = {"by": pl.Series([None] + [float(i) for i in range(89)], dtype=pl.Float64)}
    data, run = mixing(Curriculum(by="score", buckets=500), pool(COUNT), columns=values)
    loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run)
    first, second = run.record.remarks()
    assert first.startswith("1 of 90 documents have no value of `by` and are not trained on")
    assert "of 500 buckets have documents: the selection is too small for more" in second


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: Unimax(per=()), "per"), (lambda: Unimax(per=PER, max_repeats=0.5), "max_repeats"),
        (lambda: Temperature(per=PER, temperature=0.0), "temperature"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK), "graph"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK, graph="g", edges=EDGES), "graph"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK, edges={"a": {"b": -1.0}}), "edges.a.b"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK, edges={"a": {"d": 1.0}}), "edges.a.d"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK, edges={"a": {"a": 1.0}}), "feedback.b"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK, edges=EDGES, every=0), "every"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK, edges=EDGES, window=0), "window"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK, edges=EDGES, eta=-1.0), "eta"),
        (lambda: SkillIt(per=PER, feedback=FEEDBACK, edges=EDGES, p_min=1.0), "p_min"),
        (lambda: Bandit(per=PER, decay=1.1), "decay"), (lambda: Bandit(per=PER, update="exp3", gamma=-0.1), "gamma"),
        (lambda: Doge(per=PER, smoothing=1.0), "smoothing"), (lambda: Doge(per=PER, probe_rows=0), "probe_rows"),
        (lambda: DoremiProxy(per=PER, reference="x", eta=float("inf")), "eta"),
        (lambda: GradientGram(per=PER, decay=1.0), "decay"), (lambda: GradientGram(per=PER, p_min=-0.1), "p_min"),
        (lambda: PplChange(per=PER, feedback=FEEDBACK, alpha=2.0), "alpha"),
        (lambda: Curriculum(by="x", buckets=0), "buckets"), (lambda: Curriculum(by="x", pacing=0.0), "pacing"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_where_they_stand(make, where):
    with pytest.raises(ConfigError) as error:
        make().validate()
    assert error.value.where == where
