"""`ngram_lm` as a stage: files and fits, what documents cost, what is said; against KenLM where it is installed."""

import hashlib
import math
import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import put_corpus, run
from support import texts as some_texts
from test_kneser_ney import Plain, strings, zipfian
from test_ngram_lm import arpa_of, made_up

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.core.words.arpa import read_arpa
from winnow.core.words.backoff_model import TextForm
from winnow.core.words.ngram_files import open_ngram, read_model, save_model
from winnow.scorers.kneser_ney import Counts
from winnow.scorers.ngram_file import NgramFile
from winnow.scorers.ngram_fit import ARPA, NgramFit
from winnow.scorers.ngram_lm import NgramLm
from winnow.scorers.ngram_score import NgramScore
from winnow.testing.in_memory import MemorySource, run_map

ROOT = Path(__file__).resolve().parents[1]
PACKS = Path(os.environ.get("PACKS", ROOT.parent / "shared/data/packs"))
ODD = ["", " \n\t", None, "x" * 300, "a\0b\0\0c", "語" * 50, "w1\u3000w2", "w1 " * 5000, "\r\n\r\nw1", "<s> </s>"]


def rows(texts) -> pl.DataFrame:
    ids = [hashlib.blake2b(str(at).encode(), digest_size=16).digest() for at in range(len(texts))]
    text = pl.Series(texts, dtype=pl.String)
    return pl.DataFrame({"doc_id": pl.Series(ids, dtype=pl.Binary), "text": text, "text_bytes": text.str.len_bytes()})


def fit(folder: Path, pool, seed=3, **fields):
    """(its files, metrics, what was noted)."""
    folder.mkdir()
    notes = {}
    ctx = Context(seed=seed, work=folder, refs={"fit_on": MemorySource(rows=pool)}, notes=notes)
    metrics = NgramFit(fit_on="pool", **fields).run(ctx)
    return {path.name: path for path in folder.iterdir()}, metrics, notes


def scores(files, texts, metrics=None) -> pl.DataFrame:
    source = MemorySource(paths=files, metrics=metrics or {})
    return run_map(
        NgramScore(model=".model", fitted=metrics is not None), rows(texts),
        Context(seed=0, work=Path(), refs={"model": source}), batch_rows=7,
    )  # fmt: skip


def test_documents_cost_what_the_definition_says(tmp_path):
    files, metrics, _ = fit(tmp_path / "m", rows(zipfian(200, 1)), order=4)
    texts = [*zipfian(30, 2), *ODD]
    found = scores(files, texts, metrics)
    plain = Plain([line.split() for line in zipfian(200, 1)], 4)
    for text, row in zip(texts, found.iter_rows(named=True), strict=True):
        # words of `str.split` but for U+3000, which is no blank here
        lines = [line.replace("\0", " ").encode().split() for line in (text or "").split("\n")]
        lines = [[w.decode().replace("<s>", "<unk>").replace("</s>", "<unk>") for w in line] for line in lines if line]
        each = [p for line in lines for p in plain.log10(line)]
        if not each:
            assert set(row.values()) == {None}
            continue
        nll = -sum(each) * math.log(10)
        assert row["nll"] == pytest.approx(nll, rel=2e-6)
        assert row["bits_per_byte"] == pytest.approx(nll / math.log(2) / len(text.encode()), rel=2e-6)
        assert row["perplexity"] == pytest.approx(10 ** (-sum(each) / len(each)), rel=2e-5)
        assert row["lm_tokens"] == len(each)
        assert row["unknown_tokens"] == sum(w not in plain.vocabulary or w == "<unk>" for line in lines for w in line)
        assert row["mostly_unknown"] == (2 * row["unknown_tokens"] > len(each))
        assert row["fitted_on"]  # `rows` numbers both alike


def test_a_lot_within_the_budget_is_fitted_on_and_both_are_said(tmp_path):
    pool = rows(zipfian(400, 4))
    some, metrics, notes = fit(tmp_path / "some", pool, order=2, sample_bytes=9000)
    assert 8800 < metrics["text_bytes"] <= 9000
    assert f"is fitted on {metrics['documents']:,} of 400 documents by lot" in notes["remarks"][0]
    seen = scores(some, pool["text"].to_list(), metrics)["fitted_on"]
    assert seen.sum() == metrics["documents"]
    counts = Counts(order=2, form=TextForm())
    counts.add(pool.filter(seen)["text"].to_arrow(compat_level=pl.CompatLevel.oldest()))
    np.testing.assert_array_equal(counts.estimate().model(TextForm()).table, open_ngram(some).table)
    other, _, _ = fit(tmp_path / "other", pool, seed=4, order=2, sample_bytes=9000)
    assert other["ngram.npy"].read_bytes() != some["ngram.npy"].read_bytes()
    _, metrics, notes = fit(tmp_path / "whole", pool, order=2)
    assert metrics["documents"] == 400
    assert "remarks" not in notes


def test_one_document_larger_than_the_budget_is_taken_and_said(tmp_path):
    _, metrics, notes = fit(tmp_path / "m", rows(["w1 w2 w3 " * 400]), order=2, sample_bytes=100)
    assert metrics["documents"] == 1
    assert any("one document of 3,600 bytes" in remark for remark in notes["remarks"])
    assert any("discounts of order 1, 2" in remark for remark in notes["remarks"])


def test_markers_among_the_texts_are_said(tmp_path):
    _, _, notes = fit(tmp_path / "m", rows([*zipfian(200, 5), "w1 <s> w2 </s>"]), order=2)
    assert any("left out 2 words that are markers" in remark for remark in notes["remarks"])


def test_nothing_to_fit_on_is_refused(tmp_path):
    with pytest.raises(DataError, match="no document to fit on"):
        fit(tmp_path / "none", rows([]))
    with pytest.raises(DataError, match="no text holds a token"):
        fit(tmp_path / "blank", rows(["", " \n", None]))


def test_the_arpa_file_of_a_fit_is_the_same_model(tmp_path):
    files, _, _ = fit(tmp_path / "m", rows(zipfian(300, 6)), order=4, prune=(0, 0, 1), arpa=True)
    listed, own = read_arpa(files[ARPA], TextForm()), open_ngram(files)
    assert listed.about["ngrams"] == own.about["ngrams"]
    assert listed.closed
    np.testing.assert_array_equal(listed.table, own.table)
    again, _, _ = fit(tmp_path / "again", rows(zipfian(300, 6))[::-1], order=4, prune=(0, 0, 1), arpa=True)
    assert again[ARPA].read_bytes() == files[ARPA].read_bytes()


def test_characters_serve_text_without_blanks(tmp_path):
    pool = ["語彙の統計は語順による。" * 3, "統計の語彙は語による。"] * 30
    files, metrics, _ = fit(tmp_path / "m", rows(pool), order=4, unit="characters")
    found = scores(files, ["語彙の統計", "彙語のの計統", "plain english"], metrics)
    assert found["bits_per_byte"].is_sorted()
    words, metrics, _ = fit(tmp_path / "w", rows(pool), order=4)
    assert scores(words, ["語彙の統計 ですね"], metrics)["mostly_unknown"].to_list() == [True]


@pytest.mark.parametrize("text", ["a" * 10_000_000, "\0" * 10_000_000, "b " * 5_000_000, "語" * 3_000_000],
                         ids=["one word", "NULs", "short words", "CJK"])  # fmt: skip
def test_ten_megabytes_in_one_document_are_scored_and_fitted(tmp_path, text):
    files, metrics, _ = fit(tmp_path / "m", rows([text, *zipfian(50, 7)]), order=5)
    found = scores(files, [text, "w1"], metrics)
    tokens = len(text.replace("\0", " ").split()) + 1
    assert metrics["tokens"] == (tokens if tokens > 1 else 0) + sum(len(t.split()) + 1 for t in zipfian(50, 7))
    assert found["lm_tokens"][0] == (tokens if tokens > 1 else None)


RECIPE = """
seed: 5
stages:
  docs: {use: jsonl, files: "raw/*.jsonl", id: content}
  half: {use: random, inputs: docs, budget: 50%}
  lm:   {use: ngram_lm, inputs: docs, fit_on: half, order: 3, sample_bytes: 20000}
  file: {use: ngram_lm, inputs: docs, model_file: m.arpa, sentences: document}
  head: {use: quantile, inputs: [docs, lm], by: lm.perplexity, share: 0.333, descending: false}
"""


def test_a_recipe_scores_the_same_whatever_the_files_and_workers(tmp_path):
    documents = [*some_texts(200), *[t for t in ODD if t]]
    (tmp_path / "m.arpa").write_text(arpa_of(made_up(3, seed=1)))
    put_corpus(tmp_path / "raw", documents, files=1)
    one = run(RECIPE, tmp_path, tmp_path / "one")
    for path in (tmp_path / "raw").iterdir():
        path.unlink()
    put_corpus(tmp_path / "raw", documents[::-1], files=5)
    five = run(RECIPE, tmp_path, tmp_path / "five", workers=2)
    for stage in ("lm.model", "lm.score", "file.score", "head"):
        assert one.digests[stage] == five.digests[stage], stage
    remarks = [r for m in one.metrics.values() for r in m.get("remarks", ())]
    assert any("by lot" in remark for remark in remarks)
    again = run(RECIPE.replace("share: 0.333", "share: 0.5"), tmp_path, tmp_path / "five")
    assert set(again.computed) == {"head"}


def test_what_the_model_saw_and_does_not_know_is_remarked():
    said = NgramScore(model=".m", fitted=True).remarks({"ok": 10, "true:fitted_on": 3, "true:mostly_unknown": 5}, {})
    assert "does not know most words of 5 of 10 documents" in said[0]
    assert "was fitted on 3 of these 10 documents" in said[1]
    assert NgramScore(model=".m").remarks({"ok": 10, "true:mostly_unknown": 4}, {}) == ()


@pytest.mark.parametrize(("fields", "where"), [
    ({}, "fit_on"),
    ({"fit_on": "a", "model_file": ("m.arpa",)}, "fit_on"),
    ({"fit_on": "a", "order": 0}, "order"),
    ({"fit_on": "a", "order": 7}, "order"),
    ({"fit_on": "a", "sample_bytes": 0}, "sample_bytes"),
    ({"model_file": ("m.arpa",), "prune": (0, 1)}, "prune"),
    ({"fit_on": "a", "prune": (1, 1)}, "prune"),
    ({"fit_on": "a", "prune": (0, 2, 1)}, "prune"),
    ({"fit_on": "a", "order": 2, "prune": (0, 0, 1)}, "prune"),
    ({"fit_on": "a", "arpa": True, "unit": "characters"}, "arpa"),
])  # fmt: skip
def test_fields_that_cannot_work_are_refused(fields, where):
    with pytest.raises(ConfigError) as error:
        NgramLm(**fields).validate()
    assert error.value.where == where


def test_what_is_no_model_is_refused_with_what_to_give(tmp_path):
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04\x95rest of a pickle")
    ctx = Context(seed=0, work=tmp_path, refs={"model_file": [str(tmp_path / "m.pkl")]})
    with pytest.raises(DataError, match="neither an ARPA file nor a binary of KenLM") as error:
        NgramFile(model_file=("m.pkl",)).run(ctx)
    assert "lmplz" in error.value.hint
    with pytest.raises(ConfigError, match="matches 2 files"):
        NgramFile(model_file=("a", "b")).run(Context(seed=0, work=tmp_path, refs={"model_file": ["a", "b"]}))


def test_a_binary_of_kenlm_without_its_module_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "m.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(99))
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(ConfigError, match="needs the `kenlm` module") as error:
        read_model(tmp_path / "m.bin", TextForm())
    assert "pip install kenlm" in error.value.hint
    with pytest.raises(ConfigError, match="scores words, not characters"):
        read_model(tmp_path / "m.bin", TextForm(unit="characters"))


class OfPlain:
    """KenLM's module over the plain implementation: what its calls mean, where it is not installed."""

    order = 3

    def __init__(self, path):
        self.grams = made_up(3, seed=12)

    def full_scores(self, sentence: bytes):
        from test_ngram_lm import plain_log10

        words = [w.decode("utf-8", "replace") for w in sentence.split()]
        for word, log10 in zip([*words, "</s>"], plain_log10(self.grams, words), strict=True):
            yield log10, 1, (word,) not in self.grams


def test_a_binary_of_kenlm_is_asked_sentence_by_sentence(tmp_path, monkeypatch):
    fake = type(sys)("kenlm")
    fake.Model = OfPlain
    monkeypatch.setitem(sys.modules, "kenlm", fake)
    (tmp_path / "m.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    (tmp_path / "m.arpa").write_text(arpa_of(made_up(3, seed=12)))
    texts = strings(["the cat\nsat on <s> mat", "", None, "THE\0the zzz </s>", "größe 語\r\n\ncat"])
    for form in (TextForm(), TextForm(sentences="document", lower_case=True)):
        (tmp_path / "saved").mkdir(exist_ok=True)
        save_model(read_model(tmp_path / "m.bin", form), tmp_path / "saved")
        asked, table = open_ngram(tmp_path / "saved"), read_arpa(tmp_path / "m.arpa", form)
        np.testing.assert_allclose(asked.score(texts).nats, table.score(texts).nats, rtol=1e-6)
        assert asked.score(texts).tokens.tolist() == table.score(texts).tokens.tolist()
        assert asked.score(texts).unknown.tolist() == table.score(texts).unknown.tolist()
        np.testing.assert_allclose(asked.token_nats(texts)[1], table.token_nats(texts)[1], rtol=1e-5)
        np.testing.assert_array_equal(asked.token_nats(texts)[0], table.token_nats(texts)[0])


@pytest.mark.peer
def test_kenlm_says_the_same_of_the_same_file(tmp_path):
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed")
    files, _, _ = fit(tmp_path / "m", rows(zipfian(2000, 9, kinds=400)), order=5, sentences="document", arpa=True)
    model, theirs = read_arpa(files[ARPA], TextForm(sentences="document")), kenlm.Model(str(files[ARPA]))
    texts = [*zipfian(200, 10, kinds=500), "zzz", "w1\tw2\r\nw3"]
    starts, each = model.token_nats(pa.array(texts, pa.large_string()))
    for row, text in enumerate(texts):
        found = [log10 for log10, _, _ in theirs.full_scores(text)]
        np.testing.assert_allclose(-each[starts[row] : starts[row + 1]] / math.log(10), found, atol=1e-5)


@pytest.mark.packs
def test_on_real_text_it_beats_witten_bell_and_longer_orders_help(tmp_path):
    """The same words, cut into ids, for the models of orders 1 to 3 that the losses are compared with."""
    if not (PACKS / "text_peps.tar.xz").exists():
        pytest.skip(f"no data packs in {PACKS}")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import pack_texts

    from winnow.trainers.evaluate import ngram_model

    pieces = [d["text"] for d in pack_texts.documents(PACKS, {"peps": ("text_peps", r"pep-0[0-4].*\.rst$")})][:900]
    held, train = pieces[::10], [p for at, p in enumerate(pieces) if at % 10]
    known = {w: at for at, w in enumerate(["</s>", *sorted({w for p in train for w in p.split()})])}
    held = [" ".join(w for w in p.split() if w in known) for p in held]
    per_token = {}
    for order in (1, 2, 3, 5):
        counts = Counts(order=order, form=TextForm(sentences="document"))
        counts.add(strings(train))
        nats, tokens = counts.estimate().model(TextForm(sentences="document")).nats(strings(held))
        per_token[order] = nats.sum() / tokens.sum()

    def events(texts):
        ids = [[known[w] for w in p.split()] + [0] for p in texts]
        return ngram_model.events_in(np.concatenate(ids), np.cumsum([0, *map(len, ids)]), end=0)

    witten_bell = ngram_model.fit(events(train), vocab=len(known)).nats(events(held)).mean(axis=1)
    assert per_token[2] < 0.99 * witten_bell[1]
    assert per_token[3] < 0.97 * witten_bell[2]
    assert per_token[5] < per_token[3] < per_token[2] < per_token[1]
