"""`lm_nats` in recipes: own runs, points on their way, folders and n-grams side by side, and what is selected by them."""

import math
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import plan_of, put_corpus, run
from support_causal import plain_logits, plain_nats, save_causal
from test_ablation_run import sentences
from test_continued import code, result_of
from test_ngram_lm import arpa_of, made_up, plain_log10, some_texts, split

from winnow.core.errors import ConfigError, WinnowError
from winnow.dags.looking.why import explain
from winnow.dags.recipe.records import latest_record

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.train
TINY = ("vocab: 320, width: 24, layers: 1, heads: 2, context: 32, batch: 4, lr_hidden: 0.02, tokens: 3000, "
        "precision: fp32")  # fmt: skip
ARPA = "\\data\\\nngram 1=4\n\n\\1-grams:\n-2.0\t<unk>\t0\n-9\t<s>\t0\n-0.5\t</s>\t0\n-1.25\tthe\t0\n\n\\end\\\n"
RECIPE = """
seed: 1
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", columns: {{good: float64}}}}
  held: {{use: jsonl, files: "held/*.jsonl", source: held}}
  best: {{use: top_k, inputs: docs, by: good, budget: 1500 tokens}}
  base: {{use: train, selection: best, eval: {{held: held}}, may_overlap: [held], curve: 2, loss_at: [0, 9], {tiny}}}
  kn:   {{use: ngram_lm, inputs: docs, model_file: kn.arpa}}
  loss: {{use: lm_nats, inputs: docs, models: {{own: base, early: base, hf: {hf}, twin: {twin}, kn: kn}}, at: {{early: 0}},
          precision: fp32}}
  text: {{use: lm_nats, inputs: held, model: base, precision: fp32, measures: [nll]}}
  easy: {{use: quantile, inputs: [docs, loss], by: nats_per_token_own, share: 0.4, count: docs, descending: false}}
  both: {{use: disagreement, inputs: [docs, loss], of: [nll_own, nll_early]}}
  back: {{use: training_feedback, inputs: docs, run: base, precision: fp32}}
  hard: {{use: lm_nats, inputs: [docs, easy], where: kept_easy, model: base, precision: fp32, measures: [nll]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Sentences and programs, one empty text, two models of one tokenizer, and an n-gram model."""
    out, draw = tmp_path_factory.mktemp("texts"), random.Random(3)
    docs = [
        {"text": code(draw, 20) if i % 2 else sentences(draw, 8, shuffled=False), "good": 1.0 - i % 2}
        for i in range(40)
    ]
    put_corpus(out / "raw", [*docs, {"text": " ", "good": 0.0}], 2)
    put_corpus(out / "held", [{"text": sentences(draw, 12, shuffled=False)} for _ in range(5)], 1)
    save_causal(out / "hf", max_position_embeddings=1024)
    save_causal(out / "twin", seed=1, max_position_embeddings=1024)
    (out / "kn.arpa").write_text(ARPA)
    return out


def recipe_of(folder: Path) -> str:
    return RECIPE.format(tiny=TINY, hf=folder / "hf", twin=folder / "twin")


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory):
    return run(recipe_of(folder), folder, tmp_path_factory.mktemp("root"))


def frame(ran, stage: str, *columns: str) -> pl.DataFrame:
    found = pl.from_arrow(ran.table(stage, *columns))
    assert isinstance(found, pl.DataFrame)
    return found


def test_each_model_has_its_columns(ran):
    loss = frame(ran, "loss", *(f"nll_{label}" for label in ("own", "early", "hf", "twin", "kn")))
    assert loss.null_count().row(0) == (0, 0, 0, 0, 1), "one blank is a token of bytes, and no word"
    assert (loss["nll_hf"] != loss["nll_twin"]).all()
    text = frame(ran, "docs", "text")["text"].to_list()
    tokens = frame(ran, "loss", "scored_tokens_own", "scored_tokens_kn")
    evenly = tokens["scored_tokens_own"].to_numpy() * math.log(320)
    np.testing.assert_allclose(loss["nll_early"].to_numpy(), evenly, rtol=1e-6)  # the output layer begins at zero
    for at in (0, 7):
        lines = [line.split() for line in text[at].splitlines() if line.split()]
        words = [word for line in lines for word in line]
        log10 = sum(-1.25 if word == "the" else -2.0 for word in words) - 0.5 * len(lines)
        assert loss["nll_kn"][at] == pytest.approx(-log10 * math.log(10), rel=1e-6)
        assert tokens["scored_tokens_kn"][at] == len(words) + len(lines)


def test_a_folder_scores_as_a_plain_forward_pass(ran, folder):
    text = frame(ran, "docs", "text")["text"].to_list()
    found = frame(ran, "loss", "nll_hf")["nll_hf"].to_list()
    for at in (0, 11, 23):
        logits, ids = plain_logits(folder / "hf", text[at])
        assert found[at] == pytest.approx(plain_nats(logits, ids).sum(), rel=1e-5, abs=1e-4)


def test_texts_are_tokenised_once_per_distinct_tokenizer(ran):
    tokens = {
        node.folder for node in ran.plan.nodes if node.operator.name == "tokens" and node.name.startswith("loss.")
    }
    assert len(tokens) == 2, "the two folders hold one tokenizer"
    own = {node.folder for node in ran.plan.nodes if node.name == "base.tokens"}
    assert own < tokens, "the model's own pool is in its tokens already"


def test_the_column_is_the_evaluation_of_the_same_text(ran):
    nll = frame(ran, "text", "nll")["nll"].sum()
    size = frame(ran, "held", "text_bytes")["text_bytes"].sum()
    told = result_of(ran, "base")["scores"]["held"]["bits_per_byte"]
    assert nll / math.log(2) / size == pytest.approx(told, abs=1e-5)


def test_perplexity_pruning_keeps_what_the_model_knows(ran):
    """It was trained on sentences: programs are unlikely to it, and pruned."""
    table = frame(ran, "docs", "good").hstack(frame(ran, "easy", "kept"))
    table = table.hstack(frame(ran, "loss", "nats_per_token_own")).drop_nulls()
    kept = table.filter("kept")
    assert len(kept) == 17, "0.4 of 41 documents"
    assert (kept["good"] == 1.0).all()
    assert kept["nats_per_token_own"].max() <= table.filter(~pl.col("kept"))["nats_per_token_own"].min()


def test_disagreement_of_two_models_is_a_quarter_of_their_squared_difference(ran):
    loss = frame(ran, "loss", "nll_own", "nll_early")
    expected = (loss["nll_own"] - loss["nll_early"]).to_numpy() ** 2 / 4
    np.testing.assert_allclose(frame(ran, "both", "disagreement")["disagreement"].to_numpy(), expected, rtol=1e-9)


def test_only_the_rows_of_where_are_scored_and_the_rest_is_null(ran):
    kept = frame(ran, "easy", "kept")["kept"]
    nll = frame(ran, "hard", "nll")["nll"]
    assert (nll.is_not_null() == kept).all()
    np.testing.assert_allclose(nll.drop_nulls(), frame(ran, "loss", "nll_own").filter(kept)["nll_own"], rtol=1e-5)


def test_what_a_run_made_of_each_document_comes_back_row_for_row(ran):
    """Losses at kept steps, how often it was trained on, and with which weight; documents not chosen are null."""
    back = frame(ran, "back", "loss_at_0", "loss_at_9", "times_seen", "weight_used")
    best = frame(ran, "best", "kept")["kept"]
    evenly = back["loss_at_0"].to_numpy()
    np.testing.assert_allclose(evenly, math.log(320), rtol=1e-6)
    assert (back.filter(best)["loss_at_9"] < back.filter(best)["loss_at_0"] - 0.05).all()
    assert (back.filter(~best)["times_seen"] == 0).all()
    assert back.filter(~best)["weight_used"].is_null().all()
    seen = back.filter(back["times_seen"] > 0)
    assert (seen["weight_used"] == 1.0).all()
    tokens = frame(ran, "loss", "scored_tokens_own")["scored_tokens_own"]
    assert (back["times_seen"] * (tokens + 1)).sum() == pytest.approx(3000)
    counts = ran.manifest("back").counts
    assert counts["unseen"] == (back["times_seen"] == 0).sum() > 0


def test_why_shows_what_a_run_made_of_a_document(ran):
    back = frame(ran, "docs", "doc_id").hstack(frame(ran, "back", "loss_at_9", "times_seen", "weight_used"))
    seen, unseen = (back.filter((pl.col("times_seen") > 0) == one).row(0, named=True) for one in (True, False))
    for row in (seen, unseen):
        told = explain(latest_record(ran.store), row["doc_id"].hex())
        (stage,) = (one for one in told["stages"] if one["stage"] == "back")
        assert stage["columns"]["loss_at_9"] == pytest.approx(row["loss_at_9"])
        assert stage["columns"]["times_seen"] == pytest.approx(row["times_seen"])
        assert stage["columns"]["weight_used"] == row["weight_used"]
    assert (seen["weight_used"], unseen["weight_used"]) == (1.0, None)


def test_padding_is_counted(ran):
    counts = ran.manifest("loss.nats_hf").counts
    assert counts["read_tokens"] >= counts["scored_tokens"] > 1000
    assert counts["padded_tokens"] < 0.1 * (counts["read_tokens"] + counts["padded_tokens"])
    assert ran.manifest("loss").counts["null"] == 0


def test_padding_is_below_a_tenth_on_skewed_lengths(ran, folder):
    """Of the stage's own forward passes, whatever the lengths and however few the documents."""
    draw, recipe = np.random.default_rng(4), recipe_of(folder).partition("  text:")[0]
    lengths = {
        "short": draw.integers(1, 33, 256),
        "pareto": (2 * (1 + draw.pareto(0.9, 200))).clip(max=2000),
        "two_kinds": np.where(draw.random(200) < 0.9, 1, 60),
        "giant": np.append(draw.integers(1, 12, 60), 3000),
        "three": np.array([1, 9, 25]),
    }
    for name, sizes in lengths.items():
        texts = ["".join(draw.choice(list("abcdefghij"), int(n))) for n in sizes]
        put_corpus(folder / name, [{"text": text} for text in texts], 1)
        recipe += f'  {name}: {{use: jsonl, files: "{name}/*.jsonl"}}\n'
        recipe += f"  of_{name}: {{use: lm_nats, inputs: {name}, model: base, precision: fp32, measures: [nll]}}\n"
    found = run(recipe, folder, ran.store.location)
    for name, sizes in lengths.items():
        counts = found.manifest(f"of_{name}").counts
        assert counts["scored_tokens"] >= len(sizes)
        assert counts["padded_tokens"] < 0.1 * (counts["read_tokens"] + counts["padded_tokens"]), name


def test_other_parts_give_the_same_values_and_a_second_run_computes_nothing(ran, folder, tmp_path):
    again = run(recipe_of(folder), folder, ran.store.location)
    assert again.computed == {}
    other = folder.parent / "other"
    other.mkdir()
    for name in ("held", "kn.arpa"):
        (other / name).symlink_to(folder / name)
    docs = [line for path in sorted((folder / "raw").iterdir()) for line in path.read_text().splitlines()]
    (other / "raw").mkdir()
    for at in range(5):
        (other / "raw" / f"{at}.jsonl").write_text("\n".join(docs[at::5]) + "\n")
    there = run(recipe_of(folder), other, tmp_path, until="loss")
    columns = [f"nll_{label}" for label in ("own", "hf", "twin", "kn")]
    values = [
        frame(one, "docs", "text").hstack(frame(one, "loss", *columns)).sort("text").drop("text").to_numpy()
        for one in (ran, there)
    ]
    np.testing.assert_allclose(values[0][:, 1:], values[1][:, 1:], rtol=1e-5)


def test_an_n_gram_model_of_a_file_costs_what_longest_match_and_back_off_say(tmp_path):
    """Through the stage, against a recursion over the file's n-grams: blank texts and unknown words included."""
    grams, texts = made_up(3, seed=12), ["the cat\nsat on <s> mat", " ", "zzz", *some_texts(5)[:20], "größe 語\n\ncat"]
    (tmp_path / "m.arpa").write_text(arpa_of(grams))
    put_corpus(tmp_path / "raw", [{"text": text} for text in texts], 2)
    recipe = """
seed: 1
stages:
  docs: {use: jsonl, files: "raw/*.jsonl"}
  kn:   {use: ngram_lm, inputs: docs, model_file: m.arpa}
  loss: {use: lm_nats, inputs: docs, model: kn}
"""
    found = run(recipe, tmp_path, tmp_path / "root")
    table = frame(found, "docs", "text").hstack(
        frame(found, "loss", "nll", "bits_per_byte", "nats_per_token", "scored_tokens")
    )
    assert sorted(table["text"]) == sorted(texts)
    for row in table.iter_rows(named=True):
        lines = [words for line in row["text"].split("\n") if (words := split(line))]
        each = [log10 for words in lines for log10 in plain_log10(grams, words)]
        nats = -sum(each) * math.log(10) if each else None
        assert row["scored_tokens"] == len(each)
        assert row["nll"] == (nats and pytest.approx(nats, rel=1e-6))
        assert row["nats_per_token"] == (nats and pytest.approx(nats / len(each), rel=1e-6))
        assert row["bits_per_byte"] == (
            nats and pytest.approx(nats / math.log(2) / len(row["text"].encode()), rel=1e-6)
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{use: lm_nats, inputs: docs, model: ./nowhere}", "nowhere"),
        ("{use: lm_nats, inputs: docs, model: best}", "holds no trained model"),
        ("{use: lm_nats, inputs: docs, models: {a: kn}, measures: [el2n]}", "n-gram model, which has no el2n"),
        ("{use: lm_nats, inputs: docs, model: nobody}", "not an earlier stage"),
        ("{use: document_loss, inputs: docs, model: base}", "now called 'lm_nats'"),
    ],
)
def test_what_is_no_model_is_refused_while_planning(folder, tmp_path, line, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(recipe_of(folder) + f"  bad: {line}\n", folder, tmp_path)


def test_a_step_without_weights_is_refused_by_its_number(folder, tmp_path):
    recipe = recipe_of(folder).partition("  text:")[0].replace("at: {early: 0}", "at: {early: 3}")
    with pytest.raises(WinnowError, match="kept no weights at step 3"):
        run(recipe, folder, tmp_path, until="loss")
