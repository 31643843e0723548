"""Listed words by language, beside C4's regular expressions; lists and languages without effect are told."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pyarrow as pa
import pytest
from support import lines_of, put_file, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.dags.driver.remarks import remarks_of
from winnow.pipeline.measure.bad_words import BadWords, language_of, read_languages

LISTS = {"en": "darn\nheck\nbloody heck\nd-oh\n\n", "de.txt": "Mist\nverflixt\n", "fr-CA-u-sd-caqc": "zut\n", "ja": "\u3070\u304b\n3p\n",
         "README.md": "words\n", "LICENSE": "none\n"}  # fmt: skip


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ldnoobw")
    for name, text in LISTS.items():
        put_file(folder / name, text.encode())
    return folder


def found(lists: Path, texts, languages=None, **fields):
    files = tuple(sorted(str(p) for p in lists.iterdir()))
    operator = BadWords(files=files, of="language" if languages else "all", **fields)
    counts: dict[str, int] = {}
    columns = {"text": pa.array(texts, pa.large_string())}
    if languages:
        columns["language"] = pa.array(languages, pa.large_string())
    answer = operator.open(Context(seed=0, work=Path(), counts=counts))(pa.record_batch(columns)).to_pylist()
    return [tuple(row.values()) for row in answer], operator.remarks({"rows": len(texts), **counts}, {})


def test_words_phrases_and_scripts_without_spaces(lists):
    texts = [
        "Oh DARN, bloody\n heck.",
        "darning heckler d-oh",
        "So ein Mist!",
        "\u3042\u306e\u3070\u304b\u3070\u304bx3px",
        "",
        None,
        "zut (zut)",
    ]
    rows, told = found(lists, texts)
    assert rows[0] == (3, 3, pytest.approx(3 / 4), "darn")  # darn, heck, bloody heck
    assert rows[1] == (1, 1, pytest.approx(1 / 3), "d-oh")
    assert rows[2] == (1, 1, pytest.approx(1 / 3), "mist")
    assert rows[3] == (3, 2, 3.0, "\u3070\u304b")
    assert rows[4] == (0, 0, 0.0, None)
    assert rows[5] == (None,) * 4
    assert rows[6] == (2, 1, 1.0, "zut")
    assert told == ()


def test_a_text_is_asked_for_the_list_of_its_language_alone(lists):
    texts, languages = ["darn Mist"] * 5, ["en", "de", "fr", "sw", None]
    rows, told = found(lists, texts, languages)
    assert [row[0] for row in rows] == [1, 1, 0, None, None]
    assert [row[3] for row in rows] == ["darn", "mist", None, None, None]
    assert "lists without a match in 5 texts: fr, ja" in told[0]
    assert "2 of 5 texts (40.0%) are in a language without a list" in told[1]


def test_verdicts_are_those_of_c4_s_expressions(lists):
    """Where C4 sees one of a list's words between characters that are no word characters, so do we."""
    draw = random.Random(2)
    pieces = [
        "darn",
        "heck",
        "bloody heck",
        "d-oh",
        "Darn",
        "darning",
        "a",
        "(",
        ")",
        " ",
        "\n",
        ".",
        "-",
        "_",
        "\u00e9",
        "b",
    ]
    texts = ["".join(draw.choices(pieces, k=draw.randrange(1, 9))) for _ in range(2000)]
    words = [w for w in LISTS["en"].split("\n") if w]
    theirs = re.compile(r"(?:\W|^)({})(?:\W|$)".format("|".join(map(re.escape, words))))
    rows, _ = found(lists, texts, ["en"] * len(texts))
    ours = [row[0] > 0 for row in rows]
    wanted = [theirs.search(t.lower()) is not None for t in texts]
    assert sum(wanted) > 300
    assert [t for t, o, w in zip(texts, ours, wanted, strict=True) if o != w] == []


def test_the_decision_of_c4_is_a_preset(lists, tmp_path):
    pages = [("good", "a fine page"), ("bad", "a darn page"), ("other", "ukurasa mzuri darn")]
    put_file(
        tmp_path / "a.jsonl",
        lines_of([{"uid": u, "text": t, "language": "sw" if u == "other" else "en"} for u, t in pages]),
    )
    recipe = f"""
stages:
  docs: {{use: jsonl, files: a.jsonl, columns: {{uid: string, language: string}}}}
  bad: {{use: bad_words, inputs: docs, files: "{lists}"}}
  clean: {{use: filter, inputs: [docs, bad], preset: c4_bad_words}}
"""
    ran = run(recipe, tmp_path, tmp_path / "root")
    kept = dict(
        zip(ran.table("docs", "uid")["uid"].to_pylist(), ran.table("clean", "kept")["kept"].to_pylist(), strict=True)
    )
    assert kept == {"good": True, "bad": False, "other": True}
    assert any("without a list" in line for line in remarks_of(ran.plan.node("bad").operator, ran.manifest("bad")))


def test_what_is_no_list_is_refused(tmp_path):
    put_file(tmp_path / "README.md", b"words\n")
    put_file(tmp_path / "en", b"\xff\xfe\n")
    put_file(tmp_path / "de", b"# none\n\n")
    with pytest.raises(ConfigError, match="no file is called by a language"):
        BadWords(files=("x",)).check_files([str(tmp_path / "README.md")])
    with pytest.raises(DataError, match="not UTF-8"):
        read_languages([tmp_path / "en"])
    with pytest.raises(DataError, match="hold no word"):
        read_languages([tmp_path / "de"])
    assert [language_of(n) for n in ("en", "a/de.txt", "fr-CA", "USERS.md", "LICENSE", "english")] == [
        "en",
        "de",
        "fr-CA",
        "",
        "",
        "",
    ]
