"""`paragraph_languages`: planted paragraphs are told, spans are those of the text, and other languages can be cut out."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import put_file, run
from test_language import SENTENCES

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.pipeline.measure import language_kernels as kernels
from winnow.pipeline.measure.language import Language
from winnow.pipeline.measure.paragraph_languages import ParagraphLanguages

LANGUAGES = [code for code in SENTENCES if code != "ko"]


def opened(**fields):
    operator = ParagraphLanguages(**fields)
    operator.validate()
    return operator.open(Context(seed=0, work=Path()))


def table(columns, texts):
    return columns(pa.record_batch({"text": pa.array(texts, pa.large_string())})).to_pydict()


@pytest.fixture(scope="module")
def tell():
    return opened()


def test_planted_paragraphs_are_told_where_they_stand(tell):
    draw = np.random.default_rng(4)
    planted, texts = [], []
    for _ in range(30):
        codes = draw.choice([*LANGUAGES, "?"], size=draw.integers(1, 7)).tolist()
        pieces = ["OK 12" if code == "?" else SENTENCES[code] * int(draw.integers(1, 4)) for code in codes]
        planted.append((codes, pieces))
        texts.append("\n" * int(draw.integers(0, 3)) + draw.choice(["\n\n", "\r\n\r\n", "\n \n\n"]).join(pieces) + "\n")
    found = table(tell, texts)
    for i, (codes, pieces) in enumerate(planted):
        told = [None if code == "?" else code for code in codes]
        assert found["paragraph_languages"][i] == told
        body, ends = texts[i].encode(), found["paragraph_ends"][i]
        cut = [body[a:b].decode().strip() for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        assert cut == pieces
        assert ends[-1] == len(body)
        chars = {code: sum(len(p) for c, p in zip(codes, pieces, strict=True) if c == code) for code in codes}
        everything, of_told = sum(chars.values()), sum(chars.values()) - chars.pop("?", 0)
        main = max(chars, key=chars.get, default=None)  # the first of equals, in the order of the text
        assert found["main_language"][i] == main
        assert found["language_share"][i] == pytest.approx(chars.get(main, 0) / max(of_told, 1))
        assert found["told_share"][i] == pytest.approx(of_told / everything)
        assert found["num_languages"][i] == len(chars)
        foreign = [
            None if c is None else 0.0 if c == main else s
            for c, s in zip(told, found["paragraph_scores"][i], strict=True)
        ]
        assert found["paragraph_foreign"][i] == foreign
        assert all(
            (s is None) == (c is None) and (s is None or 0.5 <= s <= 1)
            for c, s in zip(told, found["paragraph_scores"][i], strict=True)
        )


def test_a_paragraph_is_told_as_language_tells_it_alone(tell):
    texts = [*SENTENCES.values(), SENTENCES["de"] * 400, (SENTENCES["fr"] + " " + SENTENCES["es"]) * 9]
    alone = Language(max_chars=6000).open(Context(seed=0, work=Path()))(pl.DataFrame({"text": texts}))
    found = table(tell, ["\n\n".join(texts)])
    assert found["paragraph_languages"] == [alone["language"].to_list()]
    assert found["paragraph_scores"] == [alone["language_score"].to_list()]


def test_empty_null_and_one_paragraph_texts(tell):
    found = table(tell, ["", None, SENTENCES["de"], " \n\n ", "12 + 3", "ok"])
    assert found["paragraph_languages"] == [[], None, ["de"], [None], [None], [None]]
    assert found["paragraph_ends"] == [[], None, [len(SENTENCES["de"].encode())], [4], [6], [2]]
    assert found["main_language"] == [None, None, "de", None, None, None]
    assert found["num_languages"] == [0, None, 1, 0, 0, 0]
    assert found["told_share"] == found["language_share"] == [0.0, None, 1.0, 0.0, 0.0, 0.0]
    assert table(tell, [])["main_language"] == []
    (remark,) = ParagraphLanguages().remarks({"rows": 6, "told_nothing": 3}, {})
    assert remark.startswith("3 of 6 documents (50.0%) have no `main_language`")
    assert ParagraphLanguages().remarks({"rows": 6}, {}) == ()


def test_the_bounds_are_at_the_byte_and_at_the_score(tell):
    word = "wetterbericht aus hamburg"  # 23 letters
    assert table(tell, [word + " 12"])["paragraph_languages"] == [[None]]
    assert table(opened(min_letters=23, min_score=0.0), [word])["paragraph_languages"] == [["de"]]
    assert table(opened(min_letters=24, min_score=0.0), [word])["paragraph_languages"] == [[None]]
    score = table(opened(min_letters=5, min_score=0.0), [word])["paragraph_scores"][0][0]
    for bound, told in ((score, "de"), (np.nextafter(score, 1.0), None)):
        assert table(opened(min_letters=5, min_score=float(bound)), [word])["paragraph_languages"] == [[told]]
    spans = (np.array([0, 9], dtype=np.int64), np.array([9, 14], dtype=np.int64))
    data = np.frombuffer(b"\n a@ \xc3\xa9z{ [`1\n", dtype=np.uint8)
    assert [part.tolist() for part in kernels.trimmed(spans, data)] == [[2, 10], [9, 13], [6, 3], [4, 0]]


def test_a_batch_that_begins_within_its_buffers_is_told_as_one_of_its_own(tell):
    texts = [SENTENCES["ru"] * 3, f"{SENTENCES['de']}\n\n{SENTENCES['en']}", SENTENCES["fr"]]
    within = pa.record_batch({"text": pa.array(texts, pa.large_string())}).slice(1)
    assert tell(within).to_pydict() == table(tell, texts[1:])
    assert tell(within).to_pydict()["paragraph_languages"] == [["de", "en"], ["fr"]]


def test_undetermined_is_no_language_at_any_score():
    found = table(opened(min_letters=3, min_score=0.0), ["\u2028", "\x80\x80"])
    assert found["paragraph_languages"] == found["paragraph_scores"] == found["paragraph_foreign"] == [[None]] * 2
    assert (found["main_language"], found["num_languages"]) == ([None] * 2, [0, 0])


def test_documents_that_have_paragraphs_and_no_main_language_are_counted():
    counts: dict[str, int] = {}
    columns = ParagraphLanguages().open(Context(seed=0, work=Path(), counts=counts))
    table(columns, ["", None, SENTENCES["de"], "12 + 3", f"ok\n\n{SENTENCES['de']}", " "])
    assert counts["told_nothing"] == 2  # what is empty or null has no paragraph to tell


def test_lines_and_wanted_languages():
    text = "\n".join(SENTENCES[code] for code in ("de", "en", "fr"))
    found = table(opened(by="lines", wanted=("en", "fr")), [text, SENTENCES["de"]])
    assert found["paragraph_languages"] == [["de", "en", "fr"], ["de"]]
    assert [[s > 0 for s in row] for row in found["paragraph_foreign"]] == [[True, False, False], [True]]
    assert table(opened(), [text])["num_languages"] == [1]  # one paragraph
    with pytest.raises(ConfigError, match="no such language: xx"):
        opened(wanted=("xx", "en"))
    for bad in ({"min_letters": 0}, {"min_score": 1.5}, {"codes": "short"}):
        with pytest.raises(ConfigError):
            opened(**bad)


def test_many_paragraphs_are_judged_in_bounded_lots(tell, monkeypatch):
    from winnow.pipeline.measure import paragraph_languages as module

    text = "\n\n".join(list(SENTENCES.values()) * 3)
    whole = table(tell, [text, text])
    asked = []
    judged = module.judged_in_looks
    monkeypatch.setattr(
        module, "judged_in_looks", lambda j, spans, *rest: asked.append(len(spans[0])) or judged(j, spans, *rest)
    )
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    assert table(tell, [text, text]) == whole
    assert max(asked) == 7
    asked.clear()
    table(tell, ["x\n\n" * 50_000])
    assert asked == []  # too short to ask


RECIPE = """
stages:
  docs: {use: jsonl, files: docs.jsonl, id: content}
  parts: {use: paragraph_languages, inputs: docs, wanted: [de]}
  cut: {use: drop_spans, inputs: [docs, parts], stops: paragraph_ends, scores: paragraph_foreign, at_least: 0.5}
  clean: {use: filter, inputs: [docs, parts, cut], keep: {german: "main_language = 'de' AND language_share >= 0.4"}}
"""


def test_paragraphs_of_other_languages_can_be_cut_out(tmp_path):
    de, en, ru = (SENTENCES[code] for code in ("de", "en", "ru"))
    texts = [f"{de}\n\n{en}\n\n{de}\n\nOK", f"{en}\n\n{ru}", de, f"{ru}\n\n{de}"]
    put_file(tmp_path / "docs.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts).encode())
    ran = run(RECIPE, tmp_path, tmp_path / "root")
    assert sorted(text.strip() for text in ran.table("cut", "text")["text"].to_pylist()) == sorted(
        [f"{de}\n\n{de}\n\nOK", "", de, de]
    )
    assert sum(ran.table("clean", "kept")["kept"].to_pylist()) == 3
