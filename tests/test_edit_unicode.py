"""`repair_unicode` beside ftfy itself, and `drop_spans`."""

from __future__ import annotations

import ftfy
import pyarrow as pa
import pytest
from support_edit import edited, random_texts

from winnow.core.errors import ConfigError, DataError
from winnow.pipeline.edit.drop_spans import DropSpans
from winnow.pipeline.edit.repair_unicode import RepairUnicode, plain

PIECES = (
    "word ", "line\n", "\n", "\r\n", "\r", "\t", "Ã©", "âœ” ", "â€™", "l’été", "&amp;", "&eacute; ", "&lt;b&gt;", "<i>",
    "ﬁ", "ＡＢ", "\x00", "\x1b[31m", "\x07", "e\u0301", "é", "\u2028", "漢字", "ｶ", "“x”", "\ufeff", "Ｍ&Ｍ",
)  # fmt: skip
SETTINGS = [
    ({}, {"uncurl_quotes": False}),
    ({"quotes": True, "normal_form": "NFKC"}, {"normalization": "NFKC"}),
    ({"html": "never", "normal_form": "none", "width": False},
     {"unescape_html": False, "normalization": None, "fix_character_width": False, "uncurl_quotes": False}),
    ({"html": "always", "normal_form": "NFD"},
     {"unescape_html": True, "normalization": "NFD", "uncurl_quotes": False}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "settings"), SETTINGS, ids=lambda v: str(v)[:40])
def test_the_text_is_that_of_ftfy(fields, settings):
    texts = ["", "plain", "schÃ¶n", "\u0301a", *random_texts(11, PIECES, 150, most=14)]
    after, columns = edited(RepairUnicode(**fields), [*texts, None])
    assert after[:-1] == [ftfy.fix_text(text, **settings) for text in texts]
    assert columns["repaired_lines"][:3] == [0, 0, 1]
    assert columns["repaired_lines"][-1] is None


def test_a_change_is_the_part_of_a_line_that_differs():
    _, columns = edited(RepairUnicode(), ["first line\nit is schÃ¶n here\nlast"])
    assert columns["edit_texts"] == [["ö"]]
    assert columns["edit_starts"] == [[len("first line\nit is sch")]]


def test_what_is_called_plain_no_rule_changes():
    for text in (*"\t\n", *map(chr, range(0x20, 0x7F)), "a\tb\n", "a{b}~"):
        if plain(text):
            assert ftfy.fix_text(text) == text
    assert [plain(text) for text in ("a&b", "é", "\x00", "a\rb", "\x1b[1m")] == [False] * 5


def lists(*rows):
    return pa.array(rows, pa.large_list(pa.int64()))


def test_spans_are_dropped_in_any_order_and_may_overlap():
    texts = ["0123456789", "é2345", "keep", None, "all"]
    starts = lists([6, 2, 1], [0], [], [0], [0])
    stops = lists([9, 4, 3], [2], [], [1], [3])
    after, columns = edited(DropSpans(starts="a", stops="b"), texts, a=starts, b=stops)
    assert after == ["0459", "2345", "keep", None, ""]
    assert columns["dropped_spans"] == [3, 1, 0, None, 1]
    assert columns["dropped_share"] == pytest.approx([0.6, 2 / 6, 0.0, None, 1.0])


def test_segments_are_dropped_by_their_score():
    ends, scores = lists([3, 6, 9]), pa.array([[0.0, 0.5, None]], pa.large_list(pa.float64()))
    operator = DropSpans(stops="b", scores="s", at_least=0.5, by="...")
    assert edited(operator, ["abcdefghi"], b=ends, s=scores)[0] == ["abc...ghi"]


@pytest.mark.parametrize(("starts", "stops", "text"), [
    ([0], [9], "short"), ([0], [1], "é"), ([-1], [1], "text"), ([0, 1], [2], "text"), ([None], [2], "text"),
])  # fmt: skip
def test_spans_of_another_text_are_errors_of_their_row(starts, stops, text):
    with pytest.raises(DataError):
        edited(DropSpans(starts="a", stops="b"), [text], a=lists(starts), b=lists(stops))


def test_fields_of_drop_spans_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="go together"):
        DropSpans(stops="b", scores="s").validate()
    with pytest.raises(ConfigError, match="not a list of numbers"):
        DropSpans(stops="b").check_types({"b": pa.int64()})
