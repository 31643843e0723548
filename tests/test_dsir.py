"""DSIR: weights are what the formula says, the reference package agrees, and layouts do not matter."""

import json

import numpy as np
import polars as pl
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.scorers.target.dsir import Dsir
from winnow.selectors.score.random_ import Random
from winnow.selectors.target.dsir_resample import DsirResample
from winnow.testing.in_memory import MemorySource, run_fold

WORDS = ["river", "stone", "market", "violin", "carbon", "letter", "winter", "engine", "garden", "signal"]


def ids(count, seed=0):
    raw = np.random.default_rng(seed + 1000).bytes(16 * count)
    return pl.Series([raw[16 * i : 16 * i + 16] for i in range(count)], dtype=pl.Binary)


def corpus(num, seed, favour=0, length=130):
    draw = np.random.default_rng(seed)
    odds = np.ones(len(WORDS))
    odds[:5] += favour
    texts = [" ".join(draw.choice(WORDS, size=length + i % 7, p=odds / odds.sum())) for i in range(num)]
    return pl.DataFrame({"doc_id": ids(num, seed), "text": texts})


def context(tmp_path, target, notes=None):
    return Context(seed=3, work=tmp_path, refs={"target": MemorySource(rows=target)}, notes=notes)


def weights(op, parts, ctx):
    return pl.concat(run_fold(op, parts, ctx))


@pytest.mark.parametrize(("gram", "bucket"), [("hello", 7620), ("hello world", 1529), ("the", 8288)])
def test_the_exact_mode_has_the_buckets_of_the_reference(gram, bucket):
    found = Dsir(target="t", hash="sha256")._counted(pl.Series([gram]))
    assert bucket in found["bucket"].to_list()
    assert found["count"].sum() == 2 * len(gram.split()) - 1


def test_shares_of_one_and_nothing_give_the_known_ratios(tmp_path):
    op = Dsir(target="t", hash="sha256", ngrams=1, num_buckets=2, min_words=0)
    words = [f"w{i}" for i in range(40)]
    zero, one = (next(w for w in words if op._counted(pl.Series([w]))["bucket"][0] == b) for b in (0, 1))
    pool = pl.DataFrame({"doc_id": ids(2), "text": [zero, one]})
    target = pl.DataFrame({"doc_id": ids(1), "text": [f"{zero} {zero}"]})
    found = weights(op, pool, context(tmp_path, target))["dsir_log_weight"].to_list()
    assert found[0] == pytest.approx(0.6931, abs=1e-4)
    assert found[1] == pytest.approx(-17.73, abs=0.01)


def test_the_reference_package_gives_the_same_weights(tmp_path):
    hashed = pytest.importorskip("data_selection").HashedNgramDSIR
    pool, target = corpus(40, 1), corpus(15, 2, favour=4)
    pool = pool.with_columns(text=pl.col("text") + ". It's (really) 3.5 km; 'quoted' naïve — Ünïcode!")
    paths = []
    for name, rows in (("pool", pool), ("target", target)):
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("".join(json.dumps({"text": t}) + "\n" for t in rows["text"]))
    oracle = hashed([str(paths[0])], [str(paths[1])], str(tmp_path / "cache"), num_proc=1)
    oracle.fit_importance_estimator(num_tokens_to_fit="all")
    oracle.compute_importance_weights()
    (file,) = sorted((tmp_path / "cache").rglob("log_importance_weights/*.npy"))
    found = weights(Dsir(target="t", hash="sha256"), pool, context(tmp_path, target))
    assert np.allclose(found["dsir_log_weight"].to_numpy(), np.load(file).ravel(), rtol=0, atol=1e-4)


def test_the_same_text_on_both_sides_weighs_nothing_and_then_draws_like_any_equal_scores(tmp_path):
    pool = corpus(60, 4)
    found = weights(Dsir(target="t"), pool, context(tmp_path, pool))
    assert found["dsir_log_weight"].abs().max() == 0.0
    from winnow.selectors.score.sample import Sample

    rows = pool.with_columns(found).with_columns(flat=pl.lit(1.5))
    chosen = [
        pl.concat(run_fold(op, rows, Context(seed=5, work=tmp_path)))["kept"].to_list()
        for op in (DsirResample(budget=Budget(20, "docs")), Sample(by="flat", budget=Budget(20, "docs")))
    ]
    assert sum(chosen[0]) == 20
    assert chosen[0] != [True] * 20 + [False] * 40
    assert sum(a and b for a, b in zip(*chosen, strict=True)) == 20  # one primitive, one draw


@pytest.mark.parametrize("mode", ["fast", "sha256"])
@pytest.mark.parametrize("length", [1, 2, 100])
def test_a_text_of_some_words_has_twice_as_many_ngrams_less_one(tmp_path, mode, length):
    text = " ".join(f"word{i}" for i in range(length))
    op = Dsir(target="t", hash=mode, min_words=0)
    assert op._counted(pl.Series([text]))["count"].sum() == 2 * length - 1
    pool = pl.DataFrame({"doc_id": ids(1), "text": [text]})
    assert weights(op, pool, context(tmp_path, pool))["dsir_words"].to_list() == [length]


@pytest.mark.parametrize("mode", ["fast", "sha256"])
def test_a_resampled_set_is_nearer_to_the_target_than_a_random_one(tmp_path, mode):
    pool, target = pl.concat([corpus(150, 1), corpus(50, 2, favour=4)]), corpus(40, 3, favour=4)
    op = Dsir(target="t", hash=mode, smoothing=0.5)
    rows = pool.with_columns(weights(op, pool, context(tmp_path, target)))

    def apart(chosen):
        p, q = (op._shares(op._counted(r["text"])) for r in (target, rows.filter(chosen)))
        return float((p * (np.log(p) - np.log(q))).sum())

    budget, ctx = Budget(50, "docs"), Context(seed=1, work=tmp_path)
    drawn = pl.concat(run_fold(DsirResample(budget=budget), rows, ctx))["kept"]
    chance = [pl.concat(run_fold(Random(budget=budget, salt=str(i)), rows, ctx))["kept"] for i in range(5)]
    assert drawn.sum() == 50
    assert apart(drawn) < 0.5 * min(apart(c) for c in chance)


@pytest.mark.parametrize("mode", ["fast", "sha256"])
def test_target_like_texts_weigh_more_and_the_selection_moves_toward_the_target(tmp_path, mode):
    pool = pl.concat([corpus(80, 1), corpus(20, 2, favour=6)])
    notes = {}
    found = weights(Dsir(target="t", hash=mode), pool, context(tmp_path, corpus(30, 3, favour=6), notes))
    near, far = found["dsir_log_weight"][80:], found["dsir_log_weight"][:80]
    assert near.min() > far.max()
    assert notes["kl_target_pool_nats"] > 0.05


def test_parts_do_not_matter(tmp_path):
    pool, ctx = corpus(50, 1), context(tmp_path, corpus(20, 2, favour=3))
    whole = weights(Dsir(target="t"), pool, ctx)
    assert whole.equals(weights(Dsir(target="t"), [pool[:7], pool[7:31], pool[31:31], pool[31:]], ctx))


def test_short_empty_and_missing_texts_have_no_weight_and_are_never_drawn(tmp_path):
    texts = [None, "", "too short", "river " * 120]
    pool = pl.DataFrame({"doc_id": ids(4), "text": texts})
    found = weights(Dsir(target="t"), pool, context(tmp_path, corpus(5, 2)))
    assert found["dsir_log_weight"].is_null().to_list() == [True, True, True, False]
    assert found["dsir_words"].to_list() == [None, 0, 2, 120]
    rows = pool.with_columns(found)
    kept = pl.concat(run_fold(DsirResample(budget=Budget(4, "docs")), rows, Context(seed=1, work=tmp_path)))["kept"]
    assert kept.to_list() == [False, False, False, True]


def test_per_ngram_takes_the_length_out(tmp_path):
    pool = pl.DataFrame({"doc_id": ids(2), "text": ["river stone " * 60, "river stone " * 600]})
    target = corpus(10, 2, favour=6)
    summed = weights(Dsir(target="t", ngrams=1), pool, context(tmp_path, target))["dsir_log_weight"]
    mean = weights(Dsir(target="t", ngrams=1, per="ngram"), pool, context(tmp_path, target))["dsir_log_weight"]
    assert summed[1] == pytest.approx(10 * summed[0])
    assert mean[1] == pytest.approx(mean[0])


def test_an_empty_target_is_refused_and_an_empty_pool_weighs_nothing(tmp_path):
    empty = pl.DataFrame({"doc_id": ids(2), "text": ["", None]})
    for nothing in (empty, empty[:0]):
        with pytest.raises(DataError, match="target has no n-grams"):
            weights(Dsir(target="t"), corpus(3, 1), context(tmp_path, nothing))
    found = weights(Dsir(target="t"), empty, context(tmp_path, corpus(3, 1)))
    assert found["dsir_log_weight"].null_count() == 2


@pytest.mark.parametrize(
    ("field", "value"), [("num_buckets", 1), ("ngrams", 0), ("ngrams", 4), ("min_words", -1), ("smoothing", -0.1)]
)
def test_sizes_without_sense_are_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        Dsir(target="t", **{field: value}).validate()
