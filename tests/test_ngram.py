"""n-gram models of training tokens: Witten-Bell by hand, what is counted, and what a comparison says of them."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from test_ablation_compare import World, bits
from test_evaluate import target_of
from test_trainers import Source, id_of

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.core.operators.contract import port_fields
from winnow.trainers.compare import lexical
from winnow.trainers.data import pack
from winnow.trainers.evaluate import ngram_model, suites
from winnow.trainers.evaluate.ngram_model import Events, events_in, events_of
from winnow.trainers.evaluate.ngram_scores import DATA_REFS, NgramScores, bits_per_byte, data_fields, passes_of
from winnow.trainers.model.train_gpt import Train

END = 4
VOCAB = 5


def events(texts: list[list[int]], weights: list[float] | None = None) -> Events:
    """Documents as training sees them: each begins behind the end mark and predicts its own end."""
    lengths = [len(text) + 1 for text in texts]
    ids = np.array([token for text in texts for token in [*text, END]])
    found = events_in(ids, np.cumsum([0, *lengths]), end=END)
    weight = np.repeat(np.asarray(weights or [1.0] * len(texts), dtype=np.float64), lengths)
    return Events(before=found.before, last=found.last, token=found.token, weight=weight)


def by_hand(texts: list[list[int]], weights: list[float], history: tuple[int, ...], token: int) -> float:
    """Interpolated Witten-Bell from its definition, by dictionaries."""
    below = by_hand(texts, weights, history[1:], token) if history else 1 / VOCAB
    counts: dict[int, float] = defaultdict(float)
    for text, weight in zip(texts, weights, strict=True):
        whole = [END, *text, END]
        for i in range(1, len(whole)):
            if i >= len(history) and tuple(whole[i - len(history) : i]) == history:
                counts[whole[i]] += weight
    total, kinds = sum(counts.values()), len(counts)
    return (counts[token] + kinds * below) / (total + kinds) if kinds else below


TEXTS = [[0, 1, 0, 1, 2], [0, 1, 1], [2], [], [2, 0, 0, 1]]


@pytest.mark.parametrize("weights", [[1.0] * 5, [0.5, 2.0, 1.0, 1.0, 0.25]])
def test_probabilities_are_witten_bell_s_and_sum_to_one(weights):
    model = ngram_model.fit(events(TEXTS, weights), vocab=VOCAB)
    for before in range(VOCAB):
        for last in range(VOCAB):
            every = Events(before=np.full(VOCAB, before), last=np.full(VOCAB, last), token=np.arange(VOCAB),
                           weight=np.ones(VOCAB))  # fmt: skip
            p = np.exp(-model.nats(every))
            assert p.sum(axis=1) == pytest.approx([1.0] * 3)
            assert p.min() > 0
            for row, history in enumerate([(), (last,), (before, last)]):
                expected = [by_hand(TEXTS, weights, history, token) for token in range(VOCAB)]
                assert p[row] == pytest.approx(expected, rel=1e-12)


def test_a_repeated_corpus_is_counted_as_one_pass_and_no_more_is_believed():
    once, twice = events(TEXTS), events([*TEXTS, *TEXTS])
    probe = events([[0, 2, 1], [1, 0, 0, 3]])
    model = ngram_model.fit(once, vocab=VOCAB)
    assert ngram_model.fit(twice, vocab=VOCAB, passes=2.0).nats(probe) == pytest.approx(model.nats(probe))
    assert ngram_model.fit(twice, vocab=VOCAB).nats(probe) != pytest.approx(model.nats(probe))
    with pytest.raises(ConfigError, match="no token"):
        ngram_model.fit(events([]), vocab=VOCAB)


def documents(texts: list[list[int]], weights: list[float] | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    frame = pl.DataFrame({"doc_id": [id_of(i) for i in range(len(texts))]})
    tokens = frame.with_columns(tokens=pl.Series(texts, dtype=pl.List(pl.UInt16)))
    return (frame if weights is None else frame.with_columns(weight=pl.Series(weights))), tokens


def counted(found: Events) -> dict[tuple[int, int, int], float]:
    out: dict[tuple[int, int, int], float] = defaultdict(float)
    for before, last, token, weight in zip(found.before, found.last, found.token, found.weight, strict=True):
        out[int(before), int(last), int(token)] += float(weight)
    return out


def test_what_is_counted_is_what_training_reads():
    """Whole documents in rows: every event once, none across documents; cut ones lose the token before the last."""
    draw = np.random.Generator(np.random.Philox(key=3))
    texts = [draw.integers(0, END, n).tolist() for n in (3, 9, 1, 6, 14, 2)]
    data = pack.documents_of(*documents(texts))
    whole = pack.batches_of(data, context=16, batch=2, tokens=data.num_tokens, end=END, seed=1)
    assert counted(events_of(whole.batch(s) for s in range(whole.num_steps))) == counted(events(texts))
    cut = pack.batches_of(data, context=4, batch=2, tokens=data.num_tokens, end=END, seed=1)
    found, expected = events_of(cut.batch(s) for s in range(cut.num_steps)), events(texts)
    pairs = lambda e: counted(Events(before=e.last * 0, last=e.last, token=e.token, weight=e.weight))  # noqa: E731
    assert pairs(found) == pairs(expected)
    pieces = sum(-(-(len(t) + 1) // 4) for t in texts)
    assert (found.before < 0).sum() == pieces
    short = pack.batches_of(data, context=4, batch=2, tokens=17, end=END, seed=1)
    assert len(events_of(short.batch(s) for s in range(short.num_steps))) == 17


def scored(tmp_path: Path, texts: list[list[int]], target: suites.Tokenised, weights=None, more=None, **fields) -> dict:
    selection, tokens = documents(texts, weights)
    suites.save_tokens(target, tmp_path / suites.TOKENS)
    refs = {
        "selection": Source(selection), "tokens": Source(tokens),
        "targets": {"held": Source(files={suites.TOKENS: tmp_path / suites.TOKENS})},
    }  # fmt: skip
    refs |= more or {}
    total = sum(len(text) + 1 for text in texts)
    values = {"init_seed": 0, "order_seed": 3, "tokens_per_run": total, "vocab": VOCAB, "context": 16, "batch": 2}
    operator = NgramScores(**{**values, "weighted": weights is not None, **fields})
    return operator.run(Context(seed=0, work=tmp_path, refs=refs))


def test_a_run_s_n_grams_are_scored_in_the_target_s_unit(tmp_path):
    target = target_of([(0, 5), (3, 2)], vocab=END)
    told = scored(tmp_path, TEXTS, target)
    nats = [0.0, 0.0, 0.0]
    for begin, skipped, stop in ((0, 0, 5), (5, 3, 10)):
        text = [END, *target.ids[begin:stop].tolist()]
        for i in range(1 + skipped, len(text)):
            for n in range(3):
                nats[n] -= math.log(by_hand(TEXTS, [1.0] * 5, tuple(text[max(0, i - n) : i]), text[i]))
    assert told["targets"]["held"] == pytest.approx([n / (21 * math.log(2)) for n in nats])
    assert told["tokens"] == told["counted"] == sum(len(t) + 1 for t in TEXTS)
    twice = scored(tmp_path, TEXTS, target, tokens_per_run=2 * told["tokens"])
    assert twice["targets"]["held"] == pytest.approx(told["targets"]["held"])
    heavy = scored(tmp_path, TEXTS, target, [5.0, 1.0, 1.0, 1.0, 1.0])
    assert heavy["targets"]["held"] != pytest.approx(told["targets"]["held"])


def test_every_reference_of_a_run_is_counted_or_known_to_decide_no_data(tmp_path):
    acting = {name for name in port_fields(Train) if name.startswith("policy")}  # the arm's own data are counted
    assert set(port_fields(Train)) == {*DATA_REFS, *acting, "gate", "start"}, (
        "a new one decides the data, or it does not: say which"
    )
    run = Train(init_seed=5, order_seed=3, tokens_per_run=40, replay_share=0.25, curve=2, lr_head=0.5, vocab=VOCAB)
    kept = data_fields(run)
    assert (kept["replay_share"], kept["order_seed"], kept["tokens_per_run"], kept["vocab"]) == (0.25, 3, 40, VOCAB)
    assert kept["init_seed"] == 0
    assert not {"curve", "lr_head", "start"} & kept.keys()


def test_what_is_replayed_is_counted(tmp_path):
    target = target_of([(0, 5)], vocab=END)
    fields = {"tokens_per_run": 64, "context": 4, "batch": 2}
    old, old_tokens = documents([[3, 3, 3, 3, 3, 3]] * 4)
    alone = scored(tmp_path, TEXTS, target, **fields)
    mixed = scored(tmp_path, TEXTS, target, replay_share=0.5, **fields,
                   more={"replay": Source(old), "replay_tokens": Source(old_tokens)})  # fmt: skip
    assert mixed["counted"] == mixed["tokens"] == alone["tokens"] == 64
    assert mixed["kinds"][0] > alone["kinds"][0], "token 3 is in the replayed text alone"


def test_what_is_replayed_keeps_its_weights(tmp_path):
    target = target_of([(0, 5)], vocab=END)

    def unigram(weights):
        old, old_tokens = documents([[3] * 6, [2] * 6], weights)
        more = {"replay": Source(old), "replay_tokens": Source(old_tokens)}
        fields = {"tokens_per_run": 64, "context": 4, "batch": 2, "replay_share": 0.5, "replay_weighted": True}
        return scored(tmp_path, TEXTS, target, more=more, **fields)["targets"]["held"][0]

    assert unigram([1.0, 1.0]) == unigram([2.0, 2.0]) != unigram([9.0, 1.0])


def test_of_several_choices_the_right_one_is_scored_and_labels_have_no_bits(tmp_path):
    target = target_of([(2, 1), (2, 3)], kind="choices", vocab=END)
    for gold, (begin, stop) in enumerate([(2, 3), (5, 8)]):
        told = scored(tmp_path, TEXTS, _one_item(target, gold))["targets"]["held"]
        unigram = -sum(math.log(by_hand(TEXTS, [1.0] * 5, (), int(t))) for t in target.ids[begin:stop])
        assert told[0] == pytest.approx(unigram / (3 * (stop - begin) * math.log(2)))
    assert scored(tmp_path, TEXTS, target_of([(0, 3)], kind="labels", vocab=END))["targets"] == {}


def _one_item(target: suites.Tokenised, gold: int) -> suites.Tokenised:
    import dataclasses

    return dataclasses.replace(target, first=np.array([0, 2]), gold=np.array([gold]), names=target.names[:1],
                               chance=np.array([0.5]))  # fmt: skip


def test_a_long_run_is_counted_up_to_the_cap(tmp_path):
    target = target_of([(0, 5)], vocab=END)
    told = scored(tmp_path, TEXTS * 20, target, most_tokens=100)
    assert 64 <= told["counted"] <= 100 < told["tokens"]
    run = SimpleNamespace(num_tokens=1000, epochs=4.0)
    assert [passes_of(run, counted) for counted in (1000, 500, 100)] == [4.0, 2.0, 1.0], "passes of what is counted"


def ngrams(world: World, effect, *, baseline=(3.0, 2.7, 2.6)) -> dict[str, Source]:
    """`ngram_scores` whose bigram has the given effect of an arm on a target."""
    out = {}
    for label in ("baseline", *world.arms):
        for s in range(world.seeds):
            shift = 0.0 if label == "baseline" else effect
            rows = {t: [baseline[0], baseline[1] + (shift if t == "ref" else -shift), baseline[2]]
                    for t in world.targets}  # fmt: skip
            out[f"{label}/{s}"] = Source(metrics={"targets": rows, "tokens": 900, "counted": 900, "kinds": [1, 2, 3]})
    return out


def test_every_effect_has_its_bigram_s_beside_it(tmp_path):
    world = World(tmp_path, bits)
    metrics = world.compared(refs={"lexical": ngrams(world, -0.1)})
    row = metrics["arms"]["best"]["effects"]["ref"]
    assert row["ngram"]["mean_diff"] == pytest.approx(-0.1)
    assert row["ngram"]["explained"] == pytest.approx(-0.1 / row["mean_diff"])
    assert row["ngram"]["order"] == 2
    assert metrics["aa"]["aa"]["effects"]["ref"]["ngram"]["explained"] is None, "no share of nothing"
    drawn = world.compared(refs={"lexical": ngrams(world, -0.1)}, fixed=())["arms"]["best"]["effects"]["ref"]
    assert drawn["selection"]["low"] is None, (
        "an arm that draws has no one selection to ask about, so its method's interval"
    )
    assert drawn["ngram"]["explained"] == pytest.approx(-0.1 / drawn["mean_diff"])
    assert metrics["lexical"]["targets"]["ref"]["below"] == pytest.approx(1 - 2.6 / 2.7, abs=2e-3)
    assert metrics["lexical"]["r"] is None, "two effects have no correlation"
    text = "\n".join([*lexical.lines(metrics), *metrics["notes"]])
    assert "best          ref             -0.100" in text
    assert "unigram 3.000, bigram 2.700, trigram 2.600" in text
    assert "not below a bigram" not in text


def test_a_bigram_s_effect_is_the_mean_over_seeds_and_its_share_that_of_these_selections(tmp_path):
    world = World(tmp_path, bits)
    refs = ngrams(world, -0.1)
    refs["best/3"].result()["targets"]["ref"][1] -= 0.4
    row = world.compared(refs={"lexical": refs}, fixed=("best", "aa"), baseline_fixed=True)["arms"]["best"]["effects"][
        "ref"
    ]
    assert row["ngram"]["mean_diff"] == pytest.approx(-0.2)
    assert (row["method"]["low"], row["question"]) == (None, "method"), "nothing is known of other draws"
    assert row["ngram"]["explained"] == pytest.approx(-0.2 / row["mean_diff"])


def test_over_all_effects_the_correlation_says_how_lexical_they_are():
    effects = {f"arm{i}": {"effects": {"ref": {"mean_diff": d, "ngram": {"mean_diff": n}}}}
               for i, (d, n) in enumerate([(-0.2, -0.19), (0.1, 0.12), (-0.05, -0.04)])}  # fmt: skip
    told = lexical._agreement({"arms": effects})
    assert told["r"] == pytest.approx(np.corrcoef([-0.2, 0.1, -0.05], [-0.19, 0.12, -0.04])[0, 1])
    assert told["r2"] == pytest.approx(told["r"] ** 2)
    assert "mostly lexical" in lexical._reading(told["r"])


def test_a_proxy_that_is_not_below_its_bigram_is_remarked_with_both_figures(tmp_path):
    world = World(tmp_path, bits)
    lexical_refs = ngrams(world, -0.1, baseline=(3.0, 2.55, 2.5))
    notes = "\n".join(world.compared(refs={"lexical": lexical_refs})["notes"])
    assert "not below a bigram on ref: 2.600 against 2.550 bits per byte" in notes
    assert "`proxy: small`" in notes
    assert "bigram on code" not in notes, "2.0 is below 2.55"


def test_a_learning_rate_at_which_nothing_is_learned_is_told(tmp_path):
    world = World(tmp_path, bits)
    slow = {"lexical": {"targets": {"ref": {"proxy": 3.4, "ngrams": [3.0, 2.7, 2.6]},
                                    "code": {"proxy": 2.8, "ngrams": [3.0, 2.7, 2.6]}}}}  # fmt: skip
    rates = {"0.1": Source(metrics={"arms": {}, "aa": {}, **slow})}
    notes = world.compared(refs={"lexical": ngrams(world, -0.1), "rates": rates})["notes"]
    told = [note for note in notes if note.startswith("at 0.1x the learning rates")]
    assert any("untrained on ref, 3.400 bits per byte against 3.000 of a unigram" in note for note in told)
    assert any("untrained on code, 2.800 bits per byte against 2.700 of a bigram" in note for note in told)


def test_tokens_left_uncounted_are_told(tmp_path):
    world = World(tmp_path, bits)
    refs = ngrams(world, -0.1)
    for source in refs.values():
        source.result()["counted"] = 500
    notes = "\n".join(world.compared(refs={"lexical": refs})["notes"])
    assert "6,000 of 10,800 training tokens are counted" in notes


def test_bits_per_byte_are_those_of_scored_tokens_alone():
    model = ngram_model.fit(events(TEXTS), vocab=VOCAB)
    target = target_of([(3, 2)], vocab=END)
    nats = model.nats(events_in(target.ids, target.offsets, end=END))[:, 3:].sum(axis=1)
    assert bits_per_byte(model, target, end=END) == pytest.approx(nats / math.log(2) / 6)
