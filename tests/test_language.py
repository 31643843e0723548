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
from winnow.pipeline.measure import language_kernels as kernels
from winnow.pipeline.measure.language import Language
from winnow.pipeline.measure.language_codes import short_code
from winnow.pipeline.measure.language_judges import spans_of

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
@example(["0Aª", "ÀÉÎ ǅ", "MOSKAU", "ΟΔΟΣ ΑΣ", "\ufb01e\u0301", "a" * 200 + " b" * 80])
@given(st.lists(st.text(max_size=90), min_size=1, max_size=8))
def test_labels_and_probabilities_are_those_of_the_library(identify, library, texts):
    _check_as_the_library(identify(frame(texts)), library, texts)


def test_whole_texts_are_judged_as_by_the_library(library):
    columns = Language(sample="whole").open(Context(seed=0, work=Path()))
    texts = [(SENTENCES["fr"] + " " + SENTENCES["ru"].upper()) * 30, SENTENCES["de"].upper() * 9, "zu " * 5000, *HARD]
    _check_as_the_library(columns(frame(texts)), library, texts)


def _check_as_the_library(found, library, texts):
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


def taken(text: str, limit: int, pieces: int) -> str:
    """What the kernel reads of a text that another stands before in the same buffer."""
    (starts, stops), data = spans_of(pl.Series(["\u20ac before ", text, " behind"]))
    limits = np.array([limit], dtype=np.int64)
    _, out = kernels.samples((starts[1:2].copy(), stops[1:2].copy()), data, limits, pieces)
    return out.tobytes().decode()


def test_pieces_of_a_long_text_lie_in_the_middle_of_its_parts():
    text = "a" * 1000 + "b" * 1000 + "c" * 1000
    assert taken(text, 30, 3) == "a" * 10 + "\n" + "b" * 10 + "\n" + "c" * 10
    assert taken(text, 3000, 3) == text
    words = " ".join(f"w{n:05d}" for n in range(500))
    pieces = taken(words, 192, 3).split("\n")
    at = [words.index(piece) for piece in pieces]
    assert [start // (len(words) // 3) for start in at] == [0, 1, 2]
    assert all(piece.startswith("w") for piece in pieces)  # where a word starts
    assert all(57 <= len(piece) <= 64 for piece in pieces)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200), st.integers(1, 120), st.integers(1, 6))
def test_pieces_hold_whole_characters_and_are_about_as_long_as_asked(text, limit, pieces):
    found = taken(text, limit, pieces)
    if len(text.encode()) <= limit:
        assert found == text
    else:
        assert len(found.encode()) <= max(limit, pieces) + 4 * pieces
        assert all(piece in text for piece in found.split("\n") if piece)


@settings(max_examples=200, deadline=None)
@example("A\u0301")
@example("\u05b0\u05b1")
@example("\U0001d5d4")
@given(
    st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("eE\u0301\u0323\u1100\u1161ªǅ\u0958")), max_size=12)
)
def test_a_text_that_is_not_composed_or_in_capitals_is_always_noticed(text):
    from winnow.pipeline.measure.language_tables import kinds_of_characters

    body = np.frombuffer(text.encode(), dtype=np.uint8)
    column = pl.Series([text])
    shouted = column.str.contains(r"\p{Uppercase}")[0] and not column.str.contains(r"[\p{Lowercase}\p{Lt}]")[0]
    needed = column.str.normalize("NFC")[0] != text or shouted
    noticed = kernels.needs_form(body, len(body), kinds_of_characters())
    assert noticed or not needed


def test_plain_text_needs_no_other_form():
    from winnow.pipeline.measure.language_tables import kinds_of_characters

    for text in [*SENTENCES.values(), "Ab", "12 + 3", ""]:
        body = np.frombuffer(text.encode(), dtype=np.uint8)
        assert not kernels.needs_form(body, len(body), kinds_of_characters()), text


def mixed(one: str, other: str, share: float) -> str:
    """A long text whose first `share` is of one language."""
    of_one = int(share * 100)
    return " ".join([SENTENCES[one]] * of_one + [SENTENCES[other]] * (100 - of_one))


def test_a_text_is_read_on_until_a_look_is_sure(identify):
    read = []

    class Watched:
        codes = pl.Series(["sure", "unsure"])

        def __call__(self, spans, data, limits, pieces):
            read.append((limits.tolist(), pieces))
            wanted = data[spans[0]] == ord("u")
            return wanted.astype(np.int64), np.where(wanted, 0.949, 0.95)

    from winnow.pipeline.measure.language_looks import judged_in_looks

    text = pl.Series(["s" * 5000, "u" * 5000, "u" * 300, "u" * 1000, ""])
    spans, data = spans_of(text.str.replace("^$", "s"))
    sizes = spans[1] - spans[0]
    ids, shares = judged_in_looks(Watched(), spans, data, np.minimum(sizes, 3000), (192, 640, 10**6))
    assert ids.tolist() == [0, 1, 1, 1, 0]
    assert shares.tolist() == [0.95, 0.949, 0.949, 0.949, 0.95]
    assert [limits for limits, _ in read] == [[1, 300, 192, 192, 192], [1000, 640], [3000]]
    assert [pieces for _, pieces in read] == [3, 6, 6]


def test_looks_agree_with_reading_at_once(identify):
    texts = [mixed(one, other, share) for one, other in (("de", "en"), ("fr", "es")) for share in (0.15, 0.85)]
    once = Language(sample="spread").open(Context(seed=0, work=Path()))(frame(texts))
    assert identify(frame(texts))["language"].to_list() == once["language"].to_list() == ["en", "de", "es", "fr"]


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


def test_classes_of_one_alias_add_up_and_the_first_of_equals_is_chosen():
    likelihood = np.array([[0.25, 0.5, 0.25], [0.5, 0.125, 0.5], [0.0, 0.0, 1.0], [0.25, 0.75, 0.125]])
    for alias, chosen, share in (
        ([0, 1, 0], [0, 0, 0, 1], [0.5, 8 / 9, 1.0, 2 / 3]),
        ([0, 1, 2], [1, 0, 2, 1], [0.5, 4 / 9, 1.0, 2 / 3]),
    ):
        found = kernels.best_class(likelihood, np.array(alias, dtype=np.int64))
        assert found[0].tolist() == chosen
        assert found[1] == pytest.approx(share, rel=1e-15)


def test_impossible_fields_are_refused_while_planning():
    for bad in (
        Language(max_chars=0),
        Language(max_chars=10**9),
        Language(model_file=("m",), languages=("en",)),
        Language(codes="short"),
        Language(sample="whole", max_chars=900),
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

    named = {"de": "deu_Latn", "zh": "zho_Hans", "ja": "jpn_Jpan"}
    lines = [f"__label__{named.get(code, code)} {text}" for code, text in SENTENCES.items() for _ in range(20)]
    lines += [f"__label__zho_Hant {SENTENCES['zh']}" for _ in range(20)]
    model = tmp_path / "m.bin"
    fasttext_fit.fit_model(lines, {"dim": 16, "bucket": 1000, "minn": 2, "maxn": 3, "epoch": 20, "lr": 0.5}, model)
    columns = Language(model_file=("m.bin",)).open(Context(seed=0, work=tmp_path, refs={"model_file": [str(model)]}))
    found = columns(frame([SENTENCES["de"].replace(" ", "\n"), None, SENTENCES["ko"]]))
    assert found["language"].to_list() == ["deu_Latn", None, "ko"]
    assert 0.5 < found["language_score"][0] <= 1.0
    assert columns(frame([])).shape == (0, 2)
    texts = frame([SENTENCES["de"], SENTENCES["zh"]])
    split = columns(texts)["language_score"][1]
    short = Language(model_file=("m.bin",), codes="short", sample="whole")
    found = short.open(Context(seed=0, work=tmp_path, refs={"model_file": [str(model)]}))(texts)
    assert found["language"].to_list() == ["de", "zh"]
    assert found["language_score"][1] > 0.7 > split  # two labels of one code are added up
    (tmp_path / "x.bin").write_bytes(b"no model")
    for name in ("x.bin", "absent.bin"):
        with pytest.raises(ConfigError, match=name):
            Language(model_file=("x",)).open(
                Context(seed=0, work=tmp_path, refs={"model_file": [str(tmp_path / name)]})
            )


def test_a_quantised_model_answers_as_the_one_it_was_made_of(tmp_path):
    fasttext = pytest.importorskip("fasttext")
    from winnow.scorers import fasttext_fit

    lines = [f"__label__{code} {text}" for code, text in SENTENCES.items() for _ in range(20)]
    plain, small = tmp_path / "m.bin", tmp_path / "m.ftz"
    fasttext_fit.fit_model(lines, {"dim": 16, "bucket": 1000, "minn": 2, "maxn": 3, "epoch": 20, "lr": 0.5}, plain)
    model = fasttext.load_model(str(plain))
    model.quantize()
    model.save_model(str(small))
    assert small.stat().st_size < plain.stat().st_size
    texts = frame([*SENTENCES.values(), *(text * 40 for text in SENTENCES.values())])
    for sample in ("staged", "whole"):
        answers = []
        for file in (plain, small):
            ctx = Context(seed=0, work=tmp_path, refs={"model_file": [str(file)]})
            answers.append(Language(model_file=(file.name,), sample=sample).open(ctx)(texts))
        assert answers[1]["language"].to_list() == answers[0]["language"].to_list() == [*SENTENCES] * 2
        assert answers[1]["language_score"].min() > 0.3


def test_labels_of_classifiers_become_short_codes():
    labels = {
        "__label__eng_Latn": "en",
        "eng-Latn": "en",
        "arb_Arab": "ar",
        "zsm_Latn": "ms",
        "ace_Arab": "ace",
        "en": "en",
    }
    labels |= {"zh": "zh", "cmn_Hani": "zh", "zxx": "zxx", "sr": "sr", "__label__ceb": "ceb", "swh_Latn": "sw"}
    assert {label: short_code(label) for label in labels} == labels
