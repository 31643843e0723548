"""Language identification: labels of the library, exact numbers, bounded reading."""

import json
import os
import pickle
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.pipeline.measure.language import Language, sampled

SENTENCES = {
    "en": "The weather was fine this morning, and so they walked along the river to the old mill.",
    "de": "Das Wetter war heute Morgen schön, deshalb gingen sie am Fluss entlang bis zur alten Mühle.",
    "fr": "Il faisait beau ce matin, alors ils ont marché le long de la rivière jusqu'au vieux moulin.",
    "es": "Esta mañana hacía buen tiempo, así que caminaron junto al río hasta el viejo molino.",
    "ru": "Сегодня утром была хорошая погода, и они пошли вдоль реки к старой мельнице.",
    "el": "Ο καιρός ήταν καλός σήμερα το πρωί και περπάτησαν δίπλα στο ποτάμι ως τον παλιό μύλο.",
    "ja": "今朝は天気がよかったので、川に沿って古い水車小屋まで歩きました。",
    "zh": "今天早上天气很好，他们沿着河边一直走到那座古老的磨坊。",
    "ko": "오늘 아침은 날씨가 좋아서 그들은 강을 따라 오래된 물레방아까지 걸었다.",
    "ar": "كان الطقس جميلا هذا الصباح فمشوا على طول النهر حتى الطاحونة القديمة.",
    "he": "הבוקר היה מזג האוויר יפה ולכן הם הלכו לאורך הנהר עד הטחנה הישנה.",
    "th": "เช้านี้อากาศดี พวกเขาจึงเดินเลียบแม่น้ำไปยังโรงสีเก่า",
}
HARD = [
    "",
    " \n\t ",
    "12345 67 + 89 = ?",
    "\x00\x00",
    "🙂🙃" * 50,
    "e\u0301te\u0301 a\u0300",
    "A" * 5000,
    "ŠĐČĆŽ",
    "ß",
]


def frame(texts) -> pl.DataFrame:
    return pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})


@pytest.fixture(scope="module")
def identify():
    return Language().open(Context(seed=0, work=Path()))


def test_languages_of_plain_sentences_are_named(identify):
    found = identify(frame(SENTENCES.values()))
    assert found["language"].to_list() == list(SENTENCES)
    assert found["language_score"].min() > 0.5
    assert found["language_score"].max() <= 1.0


@pytest.fixture(scope="module")
def library():
    langid = pytest.importorskip("py3langid.langid")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


@settings(max_examples=60, deadline=None)
@example(["0Aª", "ÀÉÎ ǅ", "MOSKAU", "ΟΔΟΣ ΑΣ", "\ufb01e\u0301"])
@given(st.lists(st.text(max_size=300), min_size=1, max_size=8))
def test_labels_and_probabilities_are_those_of_the_library(identify, library, texts):
    found = identify(frame(texts))
    for text, language, score in zip(texts, found["language"], found["language_score"], strict=True):
        wanted = dict(library.rank(text))
        if language != "und":  # the library answers its first class where a text holds no feature
            assert wanted[language] >= max(wanted.values()) - 1e-4
            assert score == pytest.approx(wanted[language], abs=2e-4)


def test_texts_without_features_are_undetermined_and_null_texts_stay_null(identify):
    found = identify(frame(["", "\u2028", None, SENTENCES["de"]]))
    assert found["language"].to_list() == ["und", "und", None, "de"]
    assert found["language_score"].to_list()[:3] == [0.0, 0.0, None]


@pytest.mark.parametrize("batch_rows", [1, 7])
def test_batches_do_not_change_a_bit(identify, batch_rows):
    texts = frame([*SENTENCES.values(), *HARD, None, "x" + SENTENCES["en"] * 100])
    whole = identify(texts)
    cut = pl.concat([identify(texts[at : at + batch_rows]) for at in range(0, len(texts), batch_rows)])
    assert whole["language"].to_list() == cut["language"].to_list()
    assert bits(whole) == bits(cut)


def bits(found: pl.DataFrame) -> bytes:
    return found["language_score"].fill_null(-1.0).to_numpy().astype(np.float64).tobytes()


def test_a_process_without_wide_vectors_gives_the_same_bits(identify):
    program = (
        "import sys, polars as pl; from pathlib import Path; from winnow.core.operators import Context;"
        "from winnow.pipeline.measure.language import Language; import json;"
        "f = Language().open(Context(seed=0, work=Path()));"
        "d = f(pl.DataFrame({'text': json.loads(sys.stdin.read())}));"
        "print(json.dumps([d['language'].to_list(), [x.hex() for x in d['language_score']]]))"
    )
    env = {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX",
        "NUMBA_CPU_NAME": "generic",
    }
    env["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    texts = list(SENTENCES.values())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        input=json.dumps(texts),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    languages, scores = json.loads(done.stdout)
    here = identify(frame(texts))
    assert languages == here["language"].to_list()
    assert scores == [score.hex() for score in here["language_score"]]


def test_composed_and_decomposed_or_shouted_text_get_one_answer(identify):
    text = SENTENCES["fr"]
    found = identify(frame([text.lower(), unicodedata.normalize("NFD", text.lower()), text.upper()]))
    assert found["language"].to_list() == ["fr"] * 3
    assert len(set(found["language_score"].to_list())) == 1


def test_only_three_pieces_of_a_long_text_are_read(identify):
    text = "a" * 1000 + "b" * 100_000 + "c" * 1000
    (found,) = sampled(pl.Series([text]), 3000).to_list()
    assert found == "a" * 1000 + "\n" + "b" * 1000 + "\n" + "c" * 1000
    short = SENTENCES["th"]
    assert sampled(pl.Series([short, ""]), len(short)).to_list() == [short, ""]


def test_a_foreign_header_does_not_decide(identify):
    header = SENTENCES["en"] * 11  # about a third of what is read
    found = identify(frame([header + SENTENCES["de"] * 400]))
    assert found["language"].to_list() == ["de"]


def test_answers_can_be_restricted_to_known_languages():
    columns = Language(languages=("de", "nl")).open(Context(seed=0, work=Path()))
    found = columns(frame([SENTENCES["de"], SENTENCES["en"]]))
    assert found["language"].to_list()[0] == "de"
    assert set(found["language"]) <= {"de", "nl"}
    with pytest.raises(ConfigError, match="xx"):
        Language(languages=("xx",)).open(Context(seed=0, work=Path()))


def test_impossible_fields_are_refused_while_planning():
    for bad in (
        Language(max_chars=0),
        Language(max_chars=10**9),
        Language(model_file=("m",), languages=("en",)),
    ):
        with pytest.raises(ConfigError):
            bad.validate()
    Language().validate()


def test_the_batch_may_be_empty_and_the_operator_pickles(identify):
    again = pickle.loads(pickle.dumps(Language())).open(Context(seed=0, work=Path()))
    assert again(frame([])).shape == (0, 2)
    assert again(frame([]))["language"].dtype == pl.String
    assert Language().uses == ("py3langid",)
    assert Language(model_file=("m",)).uses == ("fasttext-numpy2",)


def test_any_fasttext_classifier_can_answer_instead(tmp_path):
    from winnow.scorers import fasttext_fit

    lines = [f"__label__{code} {text}" for code, text in SENTENCES.items() for _ in range(20)]
    model = tmp_path / "m.bin"
    fasttext_fit.fit_model(lines, {"dim": 16, "bucket": 1000, "minn": 2, "maxn": 3, "epoch": 20, "lr": 0.5}, model)
    columns = Language(model_file=("m.bin",)).open(Context(seed=0, work=tmp_path, refs={"model_file": [str(model)]}))
    found = columns(frame([SENTENCES["de"].replace(" ", "\n"), None, SENTENCES["ko"]]))
    assert found["language"].to_list() == ["de", None, "ko"]
    assert 0.5 < found["language_score"][0] <= 1.0
    assert columns(frame([])).shape == (0, 2)
    (tmp_path / "x.bin").write_bytes(b"no model")
    with pytest.raises(ConfigError, match=r"x\.bin"):
        Language(model_file=("x",)).open(Context(seed=0, work=tmp_path, refs={"model_file": [str(tmp_path / "x.bin")]}))
