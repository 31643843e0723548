"""The fastText scorer: equal fits, separation, exact scores, refusals."""

import hashlib
import json
import math
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import ConfigError, DataError, EngineError
from winnow.core.operators import Context, Scope
from winnow.scorers import fasttext_fit
from winnow.scorers.fasttext_ import FastText
from winnow.scorers.fasttext_fit import FastTextFit
from winnow.scorers.fasttext_model import FastTextModel
from winnow.scorers.fasttext_score import FastTextScore

SETTINGS = {"dim": 8, "wordNgrams": 2, "bucket": 500, "epoch": 3, "lr": 0.2, "seed": 1}
FIT = FastTextFit(positive="good", dim=8, bucket=2000, negatives=60, chunk_words=30, epoch=8)
GARDEN = [f"{stem}{end}" for stem in ("garden", "leaf", "rain", "soil", "root") for end in ("", "s", "er")]
MOTOR = [f"{stem}{end}" for stem in ("engine", "piston", "valve", "fuel", "gear") for end in ("", "s", "()")]


class Held:
    """A committed stage of documents, or of files."""

    def __init__(self, texts=(), files=None):
        self._texts, self._files = texts, files or {}

    def frame(self, *columns, where_kept=False):
        return pl.DataFrame({"text": pl.Series(self._texts, dtype=pl.String)}).select(columns)

    def files(self):
        return self._files


def texts(words, count, seed, length=80):
    draw = random.Random(seed)
    return [" ".join(draw.choice(words) for _ in range(length)) + "." for _ in range(count)]


def rows(bodies) -> pl.DataFrame:
    ids = [hashlib.blake2b(str(at).encode(), digest_size=16).digest() for at in range(len(bodies))]
    return pl.DataFrame({"doc_id": pl.Series(ids, dtype=pl.Binary), "text": pl.Series(bodies, dtype=pl.String)})


POOL = rows(texts(MOTOR, 90, 1) + texts(GARDEN, 10, 2))
GOOD = Held(texts(GARDEN, 12, 3))


def fitted(folder: Path, *, fit=FIT, pool=POOL, good=GOOD, seed=5, parts=1) -> Path:
    folder.mkdir()
    ctx = Context(seed=seed, work=folder, refs={"positive": good})
    step = math.ceil(len(pool) / parts)
    sample = pl.concat([fit.sample(pool[at : at + step], ctx) for at in range(0, len(pool), step)]).sort("doc_id")
    metrics = fit.fit(sample, ctx)
    json.dumps(metrics)
    assert [path.name for path in folder.iterdir()] == ["model.bin"]  # no copy of any text stays
    return folder / "model.bin"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return fitted(tmp_path_factory.mktemp("fit") / "m")


@pytest.fixture(scope="module")
def score(model):
    ctx = Context(seed=0, work=Path(), refs={"model": Held(files={"model.bin": model})})
    columns = FastTextScore(model=".fit").open(ctx)
    return lambda bodies: columns(pl.DataFrame({"text": pl.Series(bodies, dtype=pl.String)}))["score"]


@pytest.mark.parametrize("bucket", [7, 500, 20_000])
def test_two_fits_are_the_same_bytes_however_the_heap_was_used(tmp_path, monkeypatch, bucket):
    lines = fasttext_fit.balanced_lines(texts(GARDEN, 40, 1), texts(MOTOR, 40, 2), seed=0)
    made = []
    for at in range(3):
        junk = f"junk = [bytes([{at + 65}]) * n for n in (900, 30000, 90000, 400000) * {3 * at + 1}]\n"
        monkeypatch.setattr(fasttext_fit, "CHILD", "import fasttext\n" + junk + "del junk\n" + CHILD)
        fasttext_fit.fit_model(lines, {**SETTINGS, "bucket": bucket}, tmp_path / "m.bin")
        made.append((tmp_path / "m.bin").read_bytes())
    assert made[0] == made[1] == made[2]


CHILD = fasttext_fit.CHILD


def test_fits_ignore_the_allocator_settings_around_them(tmp_path, monkeypatch, model):
    monkeypatch.setenv("MALLOC_PERTURB_", "1")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "100000000")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.perturb=1")
    assert fitted(tmp_path / "m").read_bytes() == model.read_bytes()
    monkeypatch.setenv("LD_PRELOAD", "/another/allocator.so")
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "0")
    assert not {"LD_PRELOAD", "MALLOC_MMAP_MAX_"} & set(fasttext_fit.child_environment())


def test_the_model_does_not_depend_on_parts_or_row_order(tmp_path, model):
    assert fitted(tmp_path / "parts", parts=4).read_bytes() == model.read_bytes()
    assert fitted(tmp_path / "order", pool=POOL[::-1]).read_bytes() == model.read_bytes()


def test_labelled_documents_stand_against_each_other_and_the_pool_says_nothing(tmp_path):
    """The pool is like neither side: what tells the sides apart is what was labelled."""
    fit = replace(FIT, negative="bad", chunk_words=20)
    models = []
    for seed, pool in enumerate((POOL, rows(["nothing alike"]))):
        work = tmp_path / str(seed)
        work.mkdir()
        refs = {"positive": GOOD, "negative": Held(texts(MOTOR, 7, 4))}
        sample = fit.sample(pool, Context(seed=5, work=work))
        counts = fit.fit(sample, Context(seed=5, work=work, refs=refs))
        models.append((work / "model.bin").read_bytes())
    assert models[0] == models[1]
    pieces = fasttext_fit.chunks(pl.Series(texts(MOTOR, 7, 4)), 20)
    assert (counts["positive_documents"], counts["negative_chunks"]) == (12, len(pieces))
    assert fit.reads() == {"positive": ("text",), "negative": ("text",)}
    composite = FastText(positive="good", negative="bad")
    assert not composite.after_decisions()
    scope = Scope(stage="q", inputs=("docs",), where=None, seed=0, lookup=lambda _: None, space=lambda _: "")
    subs = composite.expand(scope)
    assert subs[0].refs == {"positive": "good", "negative": "bad"}
    nothing = Context(seed=5, work=tmp_path, refs={"positive": GOOD, "negative": Held([" "])})
    with pytest.raises(DataError, match="no negative document holds a word"):
        fit.fit(sample, nothing)


def test_another_seed_samples_other_documents(tmp_path, model):
    assert fitted(tmp_path / "m", seed=6).read_bytes() != model.read_bytes()


def test_documents_like_the_positive_ones_score_higher(score):
    like, unlike = score(texts(GARDEN, 50, 7)), score(texts(MOTOR, 50, 8))
    assert like.min() > unlike.max()
    assert like.min() > 0.5 > unlike.max()


def test_scores_are_probabilities_and_null_only_for_null_text(score):
    bodies = ["", " \n", "\x00", "🙂", "a\nb\r\nc\u2028d", "__label__positive", "x" * 1_000_000, "שלום", None]
    found = score(bodies)
    assert found.dtype == pl.Float64
    assert found.is_null().to_list() == [False] * 8 + [True]
    assert found.drop_nulls().is_between(0.0, 1.0).all()
    assert score([]).len() == 0


def test_a_line_break_is_white_space(score):
    words = " ".join(GARDEN)
    assert score([words, words.replace(" ", "\n"), words.replace(" ", "\u00a0\t")]).n_unique() == 1


@pytest.mark.parametrize("batch_rows", [1, 7])
def test_batches_do_not_change_a_bit(score, batch_rows):
    bodies = [*texts(GARDEN + MOTOR, 60, 9), "", "\n", None]
    cut = pl.concat([score(bodies[at : at + batch_rows]) for at in range(0, len(bodies), batch_rows)])
    assert score(bodies).fill_null(-1).to_numpy().tobytes() == cut.fill_null(-1).to_numpy().tobytes()


def test_a_fresh_process_gives_the_same_bits(score, model):
    program = (
        "import sys, json, polars as pl; from pathlib import Path; from winnow.core.operators import Context;"
        "from winnow.scorers.fasttext_model import FastTextModel;"
        "f = FastTextModel(model_file=('m',), label='positive', words='spaced').open("
        "Context(seed=0, work=Path(), refs={'model_file': [sys.argv[1]]}));"
        "print([x.hex() for x in f(pl.DataFrame({'text': json.load(sys.stdin)}))['score']])"
    )
    bodies = texts(GARDEN + MOTOR, 40, 11)
    done = subprocess.run(
        [sys.executable, "-c", program, str(model)],
        input=json.dumps(bodies),
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([value.hex() for value in score(bodies)])


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=60))
def test_the_words_are_those_of_the_regular_expression(text):
    line = pl.DataFrame({"text": [text]}).select(fasttext_fit.tokenised(pl.col("text"))).item()
    tokens = pl.DataFrame({"text": [text]}).select(pl.col("text").str.extract_all(fasttext_fit.WORD)).item()
    assert "\n" not in line
    assert re.split(r"[ \t\v\f\r\0]+", line.strip(" \t\v\f\r\0")) == ([t for t in tokens if t != "\0"] or [""])


def test_words_of_plain_text_are_as_in_python():
    text = "He said: 'naïve cafés don't_care' -- 3.14 (über)!\n日本語 x_1"
    line = pl.DataFrame({"text": [text]}).select(fasttext_fit.tokenised(pl.col("text"))).item()
    assert line.split() == re.findall(r"\w+|[^\w\s]", text)


def test_a_document_that_quotes_the_label_mark_adds_no_label(tmp_path):
    pool = rows([text + " __label__evil __label__positive" for text in POOL["text"]])
    fasttext = pytest.importorskip("fasttext")
    model = fasttext.load_model(str(fitted(tmp_path / "m", pool=pool)))
    assert sorted(model.get_labels()) == ["__label__negative", "__label__positive"]


def test_chunks_cover_every_word_of_the_positive_documents():
    bodies = ["a b c d e f g", "", " ", "one"]
    assert fasttext_fit.chunks(pl.Series(bodies), 3) == ["a b c", "d e f g", "one"]


@given(st.integers(1, 60), st.floats(0.0, 1.0, exclude_min=True, exclude_max=True), st.integers(1, 40))
def test_a_cut_holds_consecutive_words_of_the_document(words, at, size):
    text = " ".join(f"w{n}" for n in range(words))
    line = pl.DataFrame({"text": [text]}).select(fasttext_fit.cut(pl.col("text"), pl.lit(at), size)).item()
    assert line in text
    assert len(line.split()) == min(words, size)


@given(st.integers(1, 9), st.integers(1, 9))
def test_both_classes_get_as_many_lines(positives, negatives):
    lines = fasttext_fit.balanced_lines(
        [f"p{n}" for n in range(positives)], [f"n{n}" for n in range(negatives)], seed=0
    )
    assert len(lines) == 2 * max(positives, negatives)
    assert sum(line.startswith("__label__positive p") for line in lines) == len(lines) // 2
    assert len(set(lines)) == positives + negatives


def test_a_part_gives_no_more_than_the_sample_and_skips_blank_texts():
    ctx = Context(seed=5, work=Path())
    pool = rows([None, "", " \n", *POOL["text"]])
    sample = replace(FIT, negatives=20).sample(pool, ctx)
    assert len(sample) == 20
    assert sample.columns == ["doc_id", "key", "chunk"]
    assert sample["chunk"].str.count_matches(r"\S+").max() <= FIT.chunk_words
    whole = FIT.sample(pool, ctx)
    assert set(sample["key"]) == set(np.sort(whole["key"].to_numpy())[:20].tolist())


@pytest.mark.parametrize(
    "bad",
    [
        {"bucket": 0},
        {"bucket": -1, "word_ngrams": 1},
        {"lr": 0.0},
        {"lr": float("inf")},
        {"lr": float("nan")},
        {"dim": 0},
        {"epoch": 0},
        {"negatives": 0},
        {"chunk_words": 0},
        {"word_ngrams": 0},
    ],
)
def test_settings_that_fasttext_would_die_of_are_refused(bad):
    with pytest.raises(ConfigError):
        FastText(positive="good", **bad).validate()
    FastText(positive="good", bucket=0, word_ngrams=1).validate()


def test_a_fit_that_diverges_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="diverged"):
        fitted(tmp_path / "m", fit=replace(FIT, lr=1e30))


def test_a_fit_whose_process_dies_is_an_engine_error(tmp_path):
    with pytest.raises(EngineError, match="status -"):
        fasttext_fit.fit_model(
            ["__label__positive a b", "__label__negative c d"], {**SETTINGS, "bucket": 0}, tmp_path / "m"
        )
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(("pool", "good", "kind"), [(POOL, Held([" "]), "positive"), (rows([""]), GOOD, "sampled")])
def test_an_empty_class_is_a_data_error(tmp_path, pool, good, kind):
    with pytest.raises(DataError, match=kind):
        fitted(tmp_path / "m", pool=pool, good=good)


def test_elsewhere_than_on_glibc_two_fits_must_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(fasttext_fit.platform, "libc_ver", lambda: ("", ""))
    fitted(tmp_path / "m")
    lottery = CHILD + "import os; open(job['model'], 'ab').write(os.urandom(8))\n"
    monkeypatch.setattr(fasttext_fit, "CHILD", lottery)
    with pytest.raises(EngineError, match="differ"):
        fitted(tmp_path / "n")


def test_the_composite_fits_once_and_scores_with_that_model():
    operator = FastText(positive="good", dim=4, lr=0.1)
    scope = Scope(stage="q", inputs=("docs",), where="kept", seed=7, lookup=lambda n: None, space=lambda n: "docs")
    fit, score = operator.expand(scope)
    assert (fit.name, fit.inputs, fit.where, fit.refs) == ("fit", ("docs",), "kept", {"positive": "good"})
    assert (score.name, score.inputs, score.where, score.refs) == (
        "score",
        ("docs",),
        "kept",
        {"model": ".fit"},
    )
    assert (fit.operator.dim, fit.operator.lr) == (4, 0.1)
    assert score.operator.outputs() == operator.outputs()


def test_a_label_that_the_model_lacks_is_named(model):
    ctx = Context(seed=0, work=Path(), refs={"model_file": [str(model)]})
    with pytest.raises(ConfigError, match="hq") as caught:
        FastTextModel(model_file=("m",), label="hq").open(ctx)
    assert "positive" in str(caught.value)


def test_importing_the_scorers_is_light():
    program = (
        "import sys, winnow.scorers.fasttext_, winnow.scorers.fasttext_model, winnow.pipeline.measure.language, winnow.pipeline.measure.count_tokens;"
        "heavy = ('fasttext', 'numba', 'torch', 'py3langid', 'tokenizers');"
        "print([m for m in heavy if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
