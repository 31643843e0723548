"""Editors of lines: C4's and RefinedWeb's rules, beside the same rules in plain Python."""

from __future__ import annotations

import pytest
from edit_reference import c4, refinedweb
from support_edit import edited, random_texts

from winnow.core.errors import ConfigError
from winnow.pipeline.edit.c4_lines import COUNTS, C4Lines
from winnow.pipeline.edit.refinedweb_lines import RefinedWebLines

C4_PIECES = (
    "a", "Zeit ", "word ", "  ", " ", "\n", "\n", "\r\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", "\u2029", "\u3000",
    "\xa0", "\x1f", "é", "漢字", "😀", ".", "?", "!", '"', "'", "...", "…", "[1]", "[]", "[edit]", "[citation needed]",
    "[12", "[", "]", "[x]", "java", "script", "JavaScript ", "lorem ", "Lorem Ipsum", "{", "}", "privacy policy ",
    "Terms of Use", "uses cookies", "use of cookies ", "use cookies", "cookie policy", "cookie", "The cat sat here.",
    "Another good line is this one.\n", "k", "v", "f", "loooooooong", "longlonglonglong",
)  # fmt: skip
OPTIONS = [
    {},
    {"end_marks": False},
    {"min_words": 0, "end_marks": False, "longest_word": 12},
    {"citations": False, "min_words": 5, "longest_word": 0},
    {"javascript": False, "policy": False, "longest_word": 9},
]
NASTY = [
    "", " ", "\n", "\n\n\n", "\r\n\r\n", "...", "[1]", "[1] [2] [3]", "a b c.", " a b c. ", "\x85", "\u2028a b c.\u2029",
    "[" * 500, "[1" * 500, "[9" + "9" * 2000, "a b c. [" + "1" * 3000 + "]", "x" * 5000, "漢" * 1001 + " a b.",
    "a b c.\x00d e f.", "good line here.\n{ bad } one here.\nLorem ipsum dolor sit.",
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_c4_lines_do_what_the_rules_say_on_random_text(options):
    texts = NASTY + random_texts(3, C4_PIECES, 400) + random_texts(4, C4_PIECES[:30], 200, most=12)
    after, columns = edited(C4Lines(**options), texts)
    for row, text in enumerate(texts):
        wanted, told = c4(text, **options)
        assert after[row] == wanted, repr(text)
        assert [columns[name][row] for name in COUNTS] == list(told.values()), repr(text)


def test_c4_lines_of_published_cases():
    """datatrove's own cases of `C4QualityFilter` (tests/pipeline/filters/test_filters.py), in other words."""
    good = "One sentence stands here now.\n" * 5
    after, columns = edited(C4Lines(), [
        good, good + "Lorem ipsum is not a sentence.", good + "An object { holds } one thing.",
        "A first line is fine.\nThis site uses cookies to know you.\nA last line is fine.",
        "Water is wet.[1][citation needed]\nIs it so?[edit]",
    ])  # fmt: skip
    assert after[0] == good.strip()
    assert columns["c4_lorem_ipsum_lines"] == [0, 1, 0, 0, 0]
    assert columns["c4_curly_lines"] == [0, 0, 1, 0, 0]
    assert after[3] == "A first line is fine.\nA last line is fine."
    assert after[4] == "Water is wet.\nIs it so?"
    assert columns["c4_citations"][4] == 3
    assert columns["c4_dropped_share"][0] == pytest.approx(1 / len(good))


def test_a_null_text_stays_null_and_counts_nothing():
    for operator in (C4Lines(), RefinedWebLines()):
        after, columns = edited(operator, [None, "x", None])
        assert after[0] is None
        assert after[2] is None
        assert columns["text_bytes"][0] is None
        own = list(operator.measures())
        assert [columns[name][0] for name in own] == [None] * len(own)


REFINED = (
    "a", "Word ", "word ", " ", "\n", "\n", "\r", "\t", "É", "SHOUTED ", "loud", "3", "12", ",", ".", "3 likes\n",
    "1.2K views", "1,234 Followers\n", "• 7 comments •\n", "5 m shares", "x 5 likes", "sign-in", "Sign-In ", "Read more...",
    "read more", "items in cart", "2 Items in Cart now", "漢字", "٣", "one two three four five six seven eight nine ",
)  # fmt: skip


def test_refinedweb_lines_do_what_the_rules_say_on_random_text():
    texts = ["", "\n", "\n\n", "A", "A\n", "A\nb c\nD", "Read more...", "b c\nRead more...", "1\n2\n3", "ab CD\nX\n\n"]
    texts += random_texts(5, REFINED, 500, most=25)
    after, columns = edited(RefinedWebLines(), texts)
    for row, text in enumerate(texts):
        wanted, share = refinedweb(text)
        assert after[row].rstrip("\n") == wanted.rstrip("\n"), repr(text)
        assert columns["refinedweb_removed_share"][row] == pytest.approx(share), repr(text)


def test_every_option_of_refinedweb_lines_spares_its_lines():
    text = "HELLO THERE\n1234\n3 likes\nalone\nSign-in here please\nan ordinary line"
    assert edited(RefinedWebLines(), [text])[0] == ["here please\nan ordinary line"]
    spare = {"uppercase": 1.0, "numeric": False, "counters": False, "min_words": 0, "phrases": False}
    assert edited(RefinedWebLines(**spare), [text])[0] == [text]
    lines = text.split("\n")
    for number, (field, value) in enumerate(spare.items()):
        more = {"min_words": 0} if field == "numeric" else {}  # one number alone is a short line as well
        left = edited(RefinedWebLines(**{field: value, **more}), [text])[0][0].split("\n")
        assert lines[number] in left, field


@pytest.mark.parametrize(("operator", "field"), [
    (C4Lines(min_words=-1), "min_words"), (C4Lines(longest_word=-1), "longest_word"),
    (RefinedWebLines(uppercase=1.5), "uppercase"), (RefinedWebLines(min_words=-1), "min_words"),
])  # fmt: skip
def test_what_is_no_number_of_the_kind_is_refused(operator, field):
    with pytest.raises(ConfigError) as error:
        operator.validate()
    assert error.value.where == field
