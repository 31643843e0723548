"""`signals` in every dialect, with Unicode words and all groups: against plain Python and the peers' published cases."""

from __future__ import annotations

import inspect
import random
import re
import time

import pytest
import test_signals
from hypothesis import given, settings
from hypothesis import strategies as st
from signals_more_reference import dclm_words, dolma, groups, nemo, unicode_pieces, unicode_words
from signals_reference import COMMON, STOP, SYMBOLS, all_copies, duplicate_dclm, fold, ratio, top_dclm
from signals_reference import signals as usual
from test_signals import made_texts, real_texts
from test_signals import measure as measure_in

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.core.operators.config import build
from winnow.pipeline.measure import signals_columns
from winnow.pipeline.measure import signals_kernels_breaks as br
from winnow.pipeline.measure import signals_kernels_unicode as uni
from winnow.pipeline.measure.signals import COLUMNS, Signals
from winnow.pipeline.measure.signals_columns import GROUPS

ALL = tuple(GROUPS)
REPEATED = [name for name in COLUMNS if name.startswith(("dup_", "top_"))]
_ODD = (
    "a b c http://a.b/ https://x%41%4z ## #a# read more [...] -» (…) <b> </b> <script>x</script> <!-- c --> /* d */ // e "
    "{ } ⟨ ⟩ ● ⦿ don't 3.5 1,000 é É \u0301 字 か カタ ไทย \u200d 👩\u200d🚀 🇩🇪 א' א\"א ½ Ⅷ 2€ lorem ipsum Lorem, ipsum privacy "
    "cookies & policy overview mp3 Vol. . . . a b c d e f g h i j 黄色电影 | THE The the BE _x_ x_1 <?xml version= # % -- "
    "necessary cookies are absolutely essential for the website any cookies that may not be particularly necessary"
)
ODD = _ODD.split(" ")
# what chance seldom makes
BY_HAND = ["🇩🇪🇫🇷 🇩🇪🇫🇷🇩", "x,1 y,2 1,x", ". . . . . . x\n. . . . .",
           "If you browse without changing your cookie settings, you agree to this use.\n\nBoats.",
           "We use cookies.\n\n\nBoats.\n\n\n\nBoats.", "and read More..\nor read more", "Aa bb " * 6,
           "ab " * 166 + "ab", "x a b c d e f g h ijk\nx a b c d e f g hij",
           "a b c d e f g h i j, A b c d e f g h i j.", "x" * 87 + "<?xml version=", "é" * 86 + "<?xml version=",
           "<Style>p {}</style> boats </p>"]  # fmt: skip
GAPS = [" ", " ", " ", "  ", "\n", "\n", "\n\n", "\n\n\n", "\t", "\r\n", "\xa0", "\u2028", "", "", "\b"]


def odd_texts(count: int) -> list[str]:
    """Texts that crowd the corners of the groups' definitions."""
    pick = random.Random(11)
    pairs = lambda size: ((pick.choice(ODD), pick.choice(GAPS)) for _ in range(size))  # noqa: E731
    found = ["".join(word + gap for word, gap in pairs(pick.randrange(60))) for _ in range(count)]
    few = ["".join(pick.choice("ab \n") for _ in range(pick.randrange(80))) for _ in range(count)]
    phrases = [
        " ".join(pick.choice(("a b", "ab", "a b c d e", "x")) for _ in range(pick.randrange(40))) for _ in range(count)
    ]
    return [*found, *few, *phrases, *BY_HAND]


def rows(texts: list[str], **config) -> list[dict]:
    operator = Signals(**config)
    operator.validate()
    columns = operator.open(Context(seed=0, work=test_signals.Path()))
    batch = test_signals.pa.record_batch({"text": test_signals.pa.array(texts, test_signals.pa.large_string())})
    return columns(batch).to_pylist()


def assert_equal(texts: list[str], found: list[dict], expect) -> None:
    for text, row in zip(texts, found, strict=True):
        expected = expect(text)
        wrong = {name: (row[name], value) for name, value in expected.items() if abs(row[name] - value) > 1e-12}
        assert not wrong, f"{text[:300]!r}: (found, expected) {wrong}"


def as_dclm(text: str) -> dict[str, float]:
    words = dclm_words(text)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [piece.strip() for piece in text.split("\n\n") if piece.strip()]
    shares = dict(zip(REPEATED, (*all_copies(lines), *all_copies(paragraphs)), strict=False))
    shares |= {f"top_{n}gram_char_share": top_dclm(words, n) for n in (2, 3, 4)}
    return shares | {f"dup_{n}gram_char_share": duplicate_dclm(words, n) for n in range(5, 11)}


@pytest.mark.parametrize(("dialect", "expect"), [("dclm", as_dclm), ("dolma", dolma), ("nemo", nemo)])
def test_repetition_columns_equal_plain_python_in_every_dialect(dialect, expect):
    texts = [*odd_texts(150), *made_texts(60), *real_texts()[:25]]
    found = rows(texts, dialect=dialect)
    assert_equal(texts, found, expect)
    rest = [name for name in COLUMNS if name not in REPEATED]
    plain = rows(texts)
    assert [[row[name] for name in rest] for row in found] == [[row[name] for name in rest] for row in plain]


def test_columns_of_all_groups_equal_plain_python():
    texts = [*odd_texts(200), *made_texts(60), *real_texts()[:30]]
    found = rows(texts, groups=ALL)
    assert_equal(texts, found, groups)
    assert list(found[0]) == [*COLUMNS, *dict.fromkeys(name for group in GROUPS.values() for name in group)]
    assert [{name: row[name] for name in COLUMNS} for row in found] == rows(texts)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=0x1FFFF, exclude_categories=["Cs", "Cn"])), max_size=4))
def test_columns_of_all_groups_equal_plain_python_on_any_unicode(texts):
    known = uni.flags()
    texts = ["".join(c for c in text if bool(known[ord(c)] & uni.ALPHA) == c.isalpha()) for text in texts]
    assert_equal(texts, rows(texts, groups=ALL), groups)


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("aZé1.',\"_:;-/字かカไิ\u0301\u200d\u00ad🇩🇪👩🚀אב \n"), max_size=30))
def test_unicode_words_are_those_of_the_rules(text):
    words = unicode_words(text)
    plain = [word for word in words if any(char not in SYMBOLS for char in word)]
    (row,) = rows([text], words="unicode")
    expected = {
        "word_count": len(words),
        "plain_word_count": len(plain),
        "longest_word": max(map(len, words), default=0),
        "mean_word_length": ratio(sum(map(len, plain)), len(plain)),
        "alpha_word_share": ratio(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_word_share": ratio(sum(word in STOP for word in words), len(words)),
        "common_word_share": ratio(sum(fold(word) in COMMON for word in words), len(words)),
        "unique_word_share": ratio(len(set(words)), len(words)),
        "list_ratio": ratio(text.count("\n"), len(words)),
    }
    assert {name: row[name] for name in expected} == expected


def test_unicode_words_change_what_is_counted_per_word_and_nothing_else():
    texts = [*odd_texts(40), *made_texts(40)]
    found, plain = rows(texts, words="unicode"), usual_rows(texts)
    per_word = {
        "word_count", "plain_word_count", "longest_word", "stop_word_count", "common_word_count", "mean_word_length",
        "hash_word_ratio", "ellipsis_word_ratio", "alpha_word_share", "stop_word_share", "common_word_share",
        "unique_word_share", "words_per_line", "list_ratio", *REPEATED[4:],
    }  # fmt: skip
    for row, other in zip(found, plain, strict=True):
        assert {name for name in COLUMNS if row[name] != other[name]} <= per_word


def usual_rows(texts: list[str]) -> list[dict]:
    return [usual(text) for text in texts]


def test_scripts_without_blanks_have_words_by_character_and_marks_stay_on_their_letter():
    assert unicode_pieces("我喜欢Python3.5。") == ["我", "喜", "欢", "Python3.5", "。"]
    assert unicode_pieces("カタカナとひ") == ["カタカナ", "と", "ひ"]
    assert len(unicode_pieces("ภาษาไทย")) == 7
    assert unicode_pieces("don't") == ["don't"]
    (row,) = rows(["我喜欢读书。我喜欢写字。"], words="unicode")
    assert (row["word_count"], row["plain_word_count"]) == (12, 10)
    assert [row["word_count"] for row in rows(["🇩🇪🇫🇷🇩", "🇩🇪🇫🇷", "👩‍🚀"], words="unicode")] == [3, 2, 1]


# DCLM tests/baselines/mappers/filters/test_content_filters.py: as they stand there, with the punctuation.
@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("hello      world hello apple.... world hello\n world hello", "top_2gram_char_share", 30 / 40),
        ("hello      world hello apple.... world hello\n world hello", "top_3gram_char_share", 30 / 40),
        ("hello world hello\n world hello. apple world hello world hello world hello world",
         "dup_5gram_char_share", 60 / 65),
        ("Hello, World.\nHello, World.\n\nHello", "dup_line_share", 2 / 3),
        ("Hello, World.\nHello, World.\n\nHello", "dup_line_char_share", 26 / 31),
        ("Hello, World.\n\nHello, World.\n\nHello, World.\nHello", "dup_paragraph_char_share", 26 / 45),
        ("a b a b a b ab cd ab cd ab cd abc def abc def", "top_2gram_char_share", 12 / 30),
    ],
)  # fmt: skip
def test_dclm_cases_with_punctuation_have_dclm_numbers(text, column, expected):
    assert measure_in([text], "dclm")[0][column] == expected


# Dolma tests/python/test_gopher.py.
def test_dolma_case_has_dolma_numbers():
    (row,) = rows(["This is a test."], dialect="dolma")
    tops = [row[f"top_{n}gram_char_share"] for n in (2, 3, 4)]
    assert tops == [0.5, pytest.approx(0.5833, abs=1e-4), 1.0]
    assert (row["word_count"], row["dolma_median_word_length"]) == (4, 3.0)


# datatrove tests/pipeline/filters/test_filters.py, Gopher repetition: which rule drops which text.
def test_datatrove_cases_pass_the_limits_that_datatrove_names():
    limits = {"dup_line_share": 0.3, "dup_paragraph_share": 0.3, "dup_line_char_share": 0.2,
              "dup_paragraph_char_share": 0.2, "top_2gram_char_share": 0.2, "top_3gram_char_share": 0.18,
              "dup_5gram_char_share": 0.15}  # fmt: skip
    long = "I am your father and you are my son, whatever the weather is."
    cases = {
        "dup_line_share": "I am your dog.\n" * 3 + "I am your dog.",
        "dup_paragraph_share": "\n\n".join(["I am your dog."] * 4),
        "dup_paragraph_char_share": "\n\n".join([long, long, "One.", "Two.", "Three."]),
        "dup_line_char_share": "\n".join([long, long, "One.", "Two.", "Three."]),
        "top_2gram_char_share": "I am Frank, I am Frank, I am Frank",
        "top_3gram_char_share": "I am Frank, my wife is Anna and I am Frank, and my son too, but I am Frank,",
        "dup_5gram_char_share": "I am Frank and you " * 4 + "are someone else who has more to say about many a thing.",
    }
    for column, row in zip(cases, rows(list(cases.values())), strict=True):
        over = [name for name, limit in limits.items() if row[name] > limit]
        assert column in over, (column, over, row)


def test_groups_and_words_that_have_no_effect_are_refused():
    for config, where in (
        ({"groups": ["nemmo"]}, "nemo"),
        ({"groups": ["dclm", "dclm"]}, "named twice"),
        ({"groups": ["dclm"], "dialect": "dclm"}, "comes with dialect"),
        ({"words": "unicode", "dialect": "dclm"}, "no effect"),
    ):
        with pytest.raises(ConfigError, match=where):
            build(Signals, config, where="sig").validate()


def test_the_page_lists_every_column_of_the_groups_with_its_definition():
    source = test_signals.Path(inspect.getsourcefile(signals_columns) or "").read_text(encoding="utf-8")
    notes = dict(re.findall(r'^    "(\w+)": \w+,  # (.+)$', source, re.MULTILINE))
    assert set(notes) | {"html_visible_chars"} == {name for group in GROUPS.values() for name in group}
    page = (test_signals.Path(__file__).parents[1] / "docs" / "dialects.md").read_text(encoding="utf-8")
    lost = [name for name, note in notes.items() if f"| `{name}` | {note.replace('|', '&#124;')} |" not in page]
    assert not lost, lost
    assert all(f"| `{group}` |" in page for group in GROUPS)


def test_empty_and_null_text_have_zeros_and_nulls_in_every_column():
    empty, null, blank = rows(["", None, " \n "], groups=ALL)  # type: ignore[list-item]
    assert {name for name, value in empty.items() if value} == set()
    assert set(null.values()) == {None}
    assert blank["nemo_whitespace_share"] == 1.0


@pytest.mark.parametrize("unit", ["a'", "a\u0301", "字", "http://", "<", "/*", "a a a ", "\n\n", " . .", "1,", "{ x"])
def test_hostile_text_takes_linear_time(unit):
    def seconds(size: int) -> float:
        started = time.process_time()
        rows([unit * (size // len(unit.encode()))], groups=ALL)
        return time.process_time() - started

    seconds(1000)
    assert seconds(2**20) < 12 * seconds(2**18) + 0.5


def test_the_table_of_word_boundaries_is_whole():
    table = br.breaks()
    assert table.size == uni.CODE_POINTS
    assert [int(table[ord(char)] & br.CLASS) for char in "a1_'ア字\u0301 "] == [
        br.LETTER, br.NUMERIC, br.EXTEND_NUM_LET, br.SINGLE_QUOTE, br.KATAKANA, br.OTHER, br.EXTEND, br.WHITE,
    ]  # fmt: skip
