"""Mixtures: UniMax, temperatures, DoReMi and any simplex become weights of documents within budgets and caps."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import put_corpus, run, texts

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.shares import average_shares, excess_step, temperature_shares
from winnow.core.numerics.water_filling import water_fill
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.scorers.doremi import Doremi
from winnow.selectors.score.mixture import Mixture
from winnow.selectors.score.random_ import Random
from winnow.testing.in_memory import MemorySource, run_fit, run_fold


def unimax(sizes, budget, epochs):
    """Units of the budget per source: what `shares: unimax` shares out."""
    return water_fill([epochs * size for size in sizes], budget)


SIZES = st.lists(st.integers(0, 400), min_size=1, max_size=12)


def pool(sizes, seed=0):
    """Documents of one token each, `sizes` of them per domain."""
    raw = np.random.default_rng(seed).bytes(16 * sum(sizes.values()))
    names = [name for name, size in sizes.items() for _ in range(size)]
    rows = pl.DataFrame({"doc_id": [raw[16 * i : 16 * i + 16] for i in range(len(names))], "domain": names})
    return rows.with_columns(token_count=pl.lit(1, pl.Int64)).sort("doc_id")


def mixed(rows, parts=1, notes=None, refs=None, **fields):
    fields = {"budget": Budget(100, "tokens")} | fields
    cuts = np.linspace(0, rows.height, parts + 1).astype(int)
    ctx = Context(seed=1, work=None, notes=notes, refs=refs or {})
    op = Mixture(per=("domain",), **fields)
    op.validate()
    return rows.hstack(pl.concat(run_fold(op, [rows[a:b] for a, b in itertools.pairwise(cuts)], ctx)))


def spent(found):
    return dict(found.group_by("domain").agg((pl.col("weight") * pl.col("token_count")).sum()).iter_rows())


@pytest.mark.parametrize(("epochs", "want"), [(1, [1, 10, 19]), (4, [4, 13, 13])])
def test_unimax_gives_what_the_paper_s_loop_gives(epochs, want):
    assert unimax([1, 10, 100], 30, epochs) == want
    found = mixed(pool({"a": 1, "b": 10, "c": 100}), budget=Budget(30, "tokens"), max_repeats=epochs)
    assert spent(found) == pytest.approx(dict(zip("abc", want, strict=True)), abs=1e-4)


@given(SIZES, st.integers(0, 3000), st.integers(1, 6))
def test_unimax_is_within_every_cap_uses_the_budget_and_is_even_where_it_can_be(sizes, budget, epochs):
    amounts = unimax(sizes, budget, epochs)
    assert all(0 <= a <= epochs * s for a, s in zip(amounts, sizes, strict=True))
    assert sum(amounts) == min(budget, epochs * sum(sizes))
    free = [a for a, s in zip(amounts, sizes, strict=True) if a < epochs * s]
    assert not free or max(amounts) - min(free) <= 1


@given(SIZES, st.integers(0, 3000), st.sampled_from([1, 5, 10]))
def test_unimax_is_the_loop_of_the_paper_to_a_unit(sizes, budget, epochs):
    left, want = float(budget), [0.0] * len(sizes)
    for place, i in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        want[i] = min(left / (len(sizes) - place), epochs * sizes[i])
        left -= want[i]
    assert unimax(sizes, budget, epochs) == pytest.approx(want, abs=1)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8), st.integers(50, 3000), st.integers(1, 6))
def test_unimax_agrees_with_the_library(sizes, budget, epochs):
    library = pytest.importorskip("unimax", reason="unimax-sampling (Python 3.12) is not installed")
    names = [str(i) for i in range(len(sizes))]
    want = library.unimax(dict(zip(names, sizes, strict=True)), budget, epochs).budgets
    assert unimax(sizes, budget, epochs) == pytest.approx([want[n] for n in names], abs=1)


def test_temperatures_run_from_proportional_to_uniform():
    sizes = [5, 50, 500, 0]
    assert temperature_shares(sizes, 1.0) == pytest.approx([5 / 555, 50 / 555, 500 / 555, 0])
    assert temperature_shares(sizes, float("inf")) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    want = np.array([5, 50, 500]) ** (1 / 3.33)
    assert temperature_shares(sizes, 3.33)[:3] == pytest.approx(want / want.sum())
    assert temperature_shares([0, 0], 2.0) == [0, 0]


def test_an_alpha_is_the_exponent_and_0_is_even():
    rows = pool({"a": 400, "b": 25})
    for fields, same in (
        ({"shares": "alpha", "alpha": 0.5}, {"shares": "temperature", "temperature": 2.0}),
        ({"shares": "alpha", "alpha": 1.0}, {"shares": "proportional"}),
        ({"shares": "alpha", "alpha": 0.0}, {"shares": "equal"}),
    ):
        assert mixed(rows, **fields).equals(mixed(rows, **same))
    assert spent(mixed(rows, shares="alpha", alpha=0.5)) == pytest.approx({"a": 80, "b": 20}, abs=1e-4)


def test_small_values_share_as_one():
    rows = pool({"a": 400, "b": 30, "c": 10, "other": 60})
    notes = {}
    found = mixed(rows, shares="equal", least=50, max_repeats=1, notes=notes)
    assert spent(found) == {"a": 50, "other": 30, "b": 15, "c": 5}
    assert {value: row["size"] for value, row in notes["domains"].items()} == {"a": 400, "other": 100}
    mixed(rows, least=30, notes=notes)
    assert {value: row["size"] for value, row in notes["domains"].items()} == {"a": 400, "b": 30, "other": 70}
    given = mixed(rows, shares={"a": 0.2, "other": 0.8}, least=50, max_repeats=2)
    assert spent(given) == pytest.approx({"a": 20, "other": 48, "b": 24, "c": 8}, abs=1e-4)
    assert spent(mixed(rows, shares="equal", least=10**6, max_repeats=1)) == {"a": 80, "b": 6, "c": 2, "other": 12}


def test_one_domain_is_drawn_as_by_lot_and_a_draw_from_a_mixture_favours_no_domain():
    rows = pool({"a": 12})
    seen = sum(mixed(rows, budget=Budget(4, "tokens"), max_repeats=1, salt=str(i))["kept"].cast(int) for i in range(60))
    assert ((seen - 20) ** 2 / 20).sum() * 12 / 8 < 31.3  # p = 0.001 at 11 degrees
    first = mixed(pool({"a": 3000, "b": 500}), budget=Budget(1000, "tokens"), max_repeats=1).filter("kept")
    (found,) = run_fold(Random(budget=Budget(300, "docs")), [first.drop("kept", "weight")], Context(seed=1, work=None))
    drawn = (first["domain"] == "a").filter(found["kept"]).mean()
    assert abs(drawn - 0.5) < 4 * 0.5 / np.sqrt(300)  # with the lots of `random` it would be 1


def test_scores_that_are_none_are_counted_and_a_giant_document_ends_its_domain():
    rows = pool({"a": 40, "b": 40}).with_columns(score=pl.int_range(80).cast(pl.Float64))
    lost = rows.with_columns(score=pl.when(pl.col("score") >= 70).then(float("nan")).otherwise("score"))
    lost = lost.with_columns(score=pl.when(pl.col("score") < 5).then(None).otherwise("score"))
    found = mixed(lost, by="score", budget=Budget(20, "tokens"), notes=(notes := {}))
    assert notes["excluded"] == {"no score": 15}
    assert found.filter("kept")["score"].is_not_null().all()
    assert found.filter("kept")["score"].is_not_nan().all()
    giant = rows.with_columns(token_count=pl.when(pl.col("domain") == "b").then(10**6).otherwise(1))
    assert spent(mixed(giant, budget=Budget(30, "tokens"))) == {"a": 15.0, "b": 0.0}
    assert spent(mixed(rows, budget=Budget(10**6, "tokens"))) == {"a": 160.0, "b": 160.0}  # four times all there is


def test_one_step_of_doremi_is_the_softmax_of_the_excess():
    half = np.array([0.5, 0.5])
    assert excess_step(half, np.array([1.0, 0.0]), smoothing=0.0) == pytest.approx([0.7311, 0.2689], abs=1e-4)
    assert excess_step(half, np.array([1.0, 0.0]), smoothing=1e-3) == pytest.approx([0.7308, 0.2692], abs=1e-4)


def test_equal_excess_changes_nothing_and_an_absent_domain_keeps_its_last():
    shares = np.array([0.2, 0.3, 0.5])
    found = excess_step(shares, np.full(3, 0.7), smoothing=0.0)
    assert found == pytest.approx(shares)
    seen = np.array([[1.0, 0.0], [np.nan, 0.0]])
    assert average_shares(seen) == pytest.approx(average_shares(np.array([[1.0, 0.0], [1.0, 0.0]])))
    assert average_shares(np.zeros((0, 2))) == pytest.approx([0.5, 0.5])


def test_a_simplex_becomes_weights_that_spend_its_shares_of_the_budget():
    rows = pool({"a": 300, "b": 100, "c": 50})
    notes = {}
    shares = {"a": 0.5, "b": 0.2, "c": 0.3}
    found = mixed(rows, shares=shares, budget=Budget(400, "tokens"), notes=notes)
    assert spent(found) == pytest.approx({"a": 200, "b": 80, "c": 120}, abs=1e-4)
    assert found.filter(pl.col("domain") == "c")["weight"].unique().to_list() == pytest.approx([2.4], abs=1e-5)
    assert set(found.filter(pl.col("domain") == "a")["weight"]) == {0.0, 1.0}
    assert notes["domains"]["c"] == {"size": 50, "share": 0.3, "epochs_wanted": 2.4}
    assert notes["epochs"] == pytest.approx({"a": 2 / 3, "b": 0.8, "c": 2.4}, abs=1e-5)
    assert notes["over_cap"] == []


def test_a_share_above_the_cap_is_warned_about_and_goes_to_the_others_or_nowhere():
    rows, notes = pool({"a": 300, "b": 10}), {}
    found = mixed(rows, shares={"a": 0.5, "b": 0.5}, budget=Budget(200, "tokens"), notes=notes)
    assert spent(found) == pytest.approx({"a": 160, "b": 40}, abs=1e-4)
    assert notes["over_cap"] == ["b"]
    (remark,) = notes["remarks"]
    assert remark.startswith("b: the share asks for more than 4 repeats and is capped")
    assert notes["domains"]["b"]["epochs_wanted"] == 10
    left = mixed(rows, shares={"a": 0.5, "b": 0.5}, budget=Budget(200, "tokens"), overflow="leave")
    assert spent(left) == pytest.approx({"a": 100, "b": 40}, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.sampled_from(["unimax", "temperature", "proportional"]),
    st.integers(1, 500),
    st.sampled_from([1.0, 2.5, 4.0]),
)
def test_no_document_is_used_more_often_than_the_cap_and_the_budget_is_spent(sizes, shares, budget, cap):
    rows = pool({chr(97 + i): size for i, size in enumerate(sizes)})
    tau = {"temperature": 2.0} if shares == "temperature" else {}
    found = mixed(rows, shares=shares, budget=Budget(budget, "tokens"), max_repeats=cap, **tau)
    assert found["weight"].max() <= cap
    total = (found["weight"] * found["token_count"]).sum()
    most = sum(int(cap * s) for s in sizes)
    assert total <= min(budget, most) + 1e-6
    assert total >= min(budget, most) - 1e-3 * len(sizes)  # weights are rounded down


def test_parts_do_not_matter_and_documents_without_a_domain_are_counted():
    rows = pool({"a": 80, "b": 30}).with_columns(
        domain=pl.when(pl.int_range(110) % 10 == 0).then(None).otherwise("domain")
    )
    notes = {}
    one, many = mixed(rows, notes=notes), mixed(rows, parts=5)
    assert one.equals(many)
    assert one.filter(pl.col("domain").is_null())["kept"].sum() == 0
    assert notes["excluded"] == {"no group": 11}
    assert mixed(rows[:0]).height == 0


def test_best_first_and_by_lot():
    rows = pool({"a": 40, "b": 40}).with_columns(score=pl.int_range(80).cast(pl.Float64))
    best = mixed(rows, by="score", budget=Budget(20, "tokens"))
    worst_kept = best.filter("kept").group_by("domain").agg(pl.col("score").min()).sort("domain")["score"]
    lost = best.filter(~pl.col("kept")).group_by("domain").agg(pl.col("score").max()).sort("domain")["score"]
    assert (worst_kept > lost).all()
    assert spent(best) == {"a": 10, "b": 10}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shares", {"a": 0.0}), ("shares", {"a": -1.0}), ("shares", {"a": float("nan")}), ("max_repeats", 0.5),
        ("temperature", 0.0), ("temperature", 2.0), ("alpha", 0.5), ("alpha", -1.0), ("least", -1),
    ],
)  # fmt: skip
def test_mixtures_without_sense_are_refused(field, value):
    with pytest.raises(ConfigError):
        Mixture(per=("domain",), budget=Budget(1, "tokens"), **{field: value}).validate()
    with pytest.raises(ConfigError, match="domains"):
        Mixture(per=(), budget=Budget(1, "tokens")).validate()
    with pytest.raises(ConfigError, match="epochs"):
        Mixture(per=("domain",), budget=Budget(1, "epochs")).validate()


def losses(seed=0):
    rows = pool({"easy": 200, "hard": 100, "known": 100}, seed)
    gap = rows["domain"].replace_strict({"easy": 0.0, "hard": 0.4, "known": -0.5}, return_dtype=pl.Float64)
    return rows.with_columns(token_count=pl.lit(10), reference=pl.lit(30.0), proxy=30.0 + 10 * gap)


def test_doremi_raises_the_domain_in_excess_and_feeds_a_mixture(tmp_path):
    rows = losses()
    op = Doremi(per=("domain",), proxy="proxy", reference="reference", steps=20)
    result = run_fit(op, [rows[:130], rows[130:]], Context(seed=1, work=tmp_path))
    weights = result["weights"]
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights["hard"] > 0.8 > weights["easy"] == pytest.approx(weights["known"])
    again = run_fit(op, rows, Context(seed=1, work=tmp_path))
    assert again == result
    source = MemorySource(metrics=result)
    found = mixed(rows.drop("proxy"), weights_from="dro", refs={"weights_from": source}, budget=Budget(1000, "tokens"))
    assert spent(found)["hard"] == pytest.approx(1000 * weights["hard"], abs=10)


def test_doremi_counts_what_it_leaves_out_and_refuses_infinite_losses(tmp_path):
    rows = losses().with_columns(proxy=pl.when(pl.int_range(400) < 7).then(float("nan")).otherwise("proxy"))
    op = Doremi(per=("domain",), proxy="proxy", reference="reference")
    assert run_fit(op, rows, Context(seed=1, work=tmp_path))["left_out"] == 7
    with pytest.raises(DataError, match="infinite"):
        run_fit(op, rows.with_columns(proxy=pl.lit(float("inf"))), Context(seed=1, work=tmp_path))
    with pytest.raises(DataError, match="no document"):
        run_fit(op, rows[:0], Context(seed=1, work=tmp_path))
    with pytest.raises(DataError, match="shares"):
        mixed(rows, weights_from="dro", refs={"weights_from": MemorySource(metrics={"loss": 1})})
    for wrong in ({"steps": 0}, {"smoothing": 1.0}, {"eta": 0.0}, {"per": ()}):
        with pytest.raises(ConfigError):
            Doremi(**({"per": ("domain",), "proxy": "p", "reference": "r"} | wrong)).validate()


RECIPE = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", columns: {kind: string, when: string, proxy: float64, reference: float64}}
  size: {use: count_tokens, inputs: docs}
  even: {use: mixture, inputs: size, per: [kind], budget: 2000 tokens}
  warm: {use: mixture, inputs: size, per: [kind], budget: 2000 tokens, shares: temperature, temperature: 3, least: 500}
  dro: {use: doremi, inputs: size, per: [kind], proxy: proxy, reference: reference, steps: 10}
  learn: {use: mixture, inputs: size, per: [kind], budget: 2000 tokens, weights_from: dro}
  old: {use: age, inputs: size, by: when, until: 2019, budget: 500 tokens}
  arms: {use: overlap, inputs: size, of: [kept_even, kept_old], means: [proxy], date: when}
"""


def test_every_layout_gives_the_same_weights(tmp_path):
    rows = [
        {"text": t, "kind": "ab"[i % 5 == 0], "when": f"{2010 + i % 15}-02-01", "proxy": 3.0 + i % 5, "reference": 3.5}
        for i, t in enumerate(texts(60))
    ]
    put_corpus(tmp_path / "raw", rows, 2)
    options = [{}, {"part_bytes": 2000, "batch_rows": 7}, {"part_bytes": 5000}]
    found = [run(RECIPE, tmp_path, tmp_path / f"out{i}", **o) for i, o in enumerate(options)]
    names = ("even", "warm", "dro", "learn", "old", "arms")
    assert [[f.digests[n] for n in names] for f in found[1:]] == [[found[0].digests[n] for n in names]] * 2
    assert found[0].metrics["even"]["domains"]["a"]["share"] == 0.5
    assert [f.metrics["arms"]["arms"] for f in found[1:]] == [found[0].metrics["arms"]["arms"]] * 2
    assert run(RECIPE, tmp_path, tmp_path / "out0").computed == {}
