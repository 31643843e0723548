"""The normal form of words against Python's own Unicode data, on text of all planes."""

from __future__ import annotations

import itertools
import random
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.words import normal_form_table as table
from winnow.core.words.hashing import ngram_hashes
from winnow.core.words.text import normal_form

# Default_Ignorable_Code_Point, written down once more from DerivedCoreProperties.txt
IGNORABLE = {0xAD, 0x34F, 0x61C, *range(0x115F, 0x1161), *range(0x17B4, 0x17B6), *range(0x180B, 0x1810), *range(0x200B, 0x2010),
             *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFF9),
             *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)}  # fmt: skip


def reference(text: str) -> str:
    """NFKC_Casefold in Python, decomposed; accents that stand alone are spaces; A-Z as it is folded here."""
    out = []
    for char in text:
        if ord(char) in IGNORABLE:
            continue
        one = " " if unicodedata.normalize("NFKC", char).startswith(" ") and char != " " else char
        for _ in range(4):
            one = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", one).casefold())
            one = "".join(c for c in one if ord(c) not in IGNORABLE)
        out.append(one)
    return unicodedata.normalize("NFD", "".join(out))


def ours(*texts: str) -> list[str]:
    found = normal_form(pa.array(texts, pa.large_string())).to_pylist()
    return [text.translate({n: n + 32 for n in range(65, 91)}) for text in found]


def words(text: str) -> list[int]:
    return ngram_hashes(pa.array([text], pa.large_string()), 1)[1].tolist()


def test_every_assigned_character_is_what_pythons_unicode_data_say():
    points = [n for n in range(0x110000) if not 0xD800 <= n < 0xE000 and unicodedata.category(chr(n)) != "Cn"]
    if unicodedata.unidata_version != "14.0.0":
        points = [n for n in points if n < 0x1F000]
    found = ours(*map(chr, points))
    wrong = [hex(n) for n, got in zip(points, found, strict=True) if got != reference(chr(n))]
    assert wrong == []


POINTS = st.one_of(
    st.integers(0x20, 0x7E), st.integers(0xA0, 0x24F), st.integers(0x300, 0x345 - 1), st.integers(0x370, 0x5FF), st.integers(0x900, 0xDFF),
    st.integers(0x1E00, 0x206F), st.integers(0x3040, 0x33FF), st.integers(0xAC00, 0xD7A3), st.integers(0xF900, 0xFFFF),
    st.integers(0x1100, 0x11FF), st.integers(0x10000, 0x1FFFF), st.integers(0xE0000, 0x10FFFF),
    st.sampled_from([0x301, 0x323, 0x307, 0x5B0, 0x5BC, 0x200D, 0xAD, 0x3099, 0x130, 0x131, 0xDF, 0x1E9E, 0xFDFA]),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(POINTS, max_size=60), min_size=1, max_size=4))
def test_random_text_of_all_planes_equals_the_reference(rows):
    texts = ["".join(chr(n) for n in row if unicodedata.category(chr(n)) != "Cn") for row in rows]
    assert ours(*texts) == [reference(text) for text in texts]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0x61, 0x323, 0x301, 0x307, 0x327, 0x5B0, 0x5BC, 0x1D165, 0x3099, 0x200D]), max_size=80)
)
def test_marks_are_in_canonical_order(points):
    text = "".join(map(chr, points))
    assert ours(text) == [reference(text)]


SAME = {
    "composed and decomposed": ("caf\u00e9 na\u00efve", "cafe\u0301 nai\u0308ve"),
    "full case folding": (
        "STRASSE \u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3",
        "stra\u00dfe \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    ),
    "capital sharp s": ("STRA\u1e9eE", "strasse"),
    "cyrillic case": ("\u041c\u041e\u0421\u041a\u0412\u0410", "\u043c\u043e\u0441\u043a\u0432\u0430"),
    "full-width latin": ("\uff28\uff45\uff4c\uff4c\uff4f\uff0c\uff37\uff4f\uff52\uff4c\uff44", "hello, world"),
    "half-width kana": ("\uff76\uff9e\uff72\uff84\uff9e", "\u30ac\u30a4\u30c9"),
    "ligatures": ("e\ufb03cient \ufb01nd", "efficient find"),
    "zero-width joiners between letters": ("co\u200dst \u200bfr\u200cee \ufeffnow", "cost free now"),
    "soft hyphens": ("co\u00adop\u00aderate", "cooperate"),
    "marks of direction": ("\u202eabc\u202c d\u200ee", "abc de"),
    "order of marks": ("a\u0323\u0301", "a\u0301\u0323"),
    "hangul": ("\ud55c\uad6d\uc5b4", unicodedata.normalize("NFD", "\ud55c\uad6d\uc5b4")),
    "superscripts": ("x\u00b2", "x2"),
    "accents for apostrophes": ("don\u00b4t", "don't"),
    "no-break spaces": ("a\u00a0b\u3000c", "a b c"),
    "variation selectors": ("\u845b\U000e0100\u98fe", "\u845b\u98fe"),
    "compatibility ideographs": ("\uf900\u4e00", "\u8c48\u4e00"),
}
OTHER = {
    "accents": ("cafe", "caf\u00e9"),
    "turkish dotless i": ("ISPARTA", "\u0131sparta"),
    "dotted capital i": ("\u0130stanbul", "istanbul"),
    "spaces": ("ab", "a b"),
}


@pytest.mark.parametrize("what", SAME)
def test_what_reads_the_same_has_the_same_words(what):
    one, other = SAME[what]
    assert words(one) == words(other) != []


@pytest.mark.parametrize("what", OTHER)
def test_what_reads_otherwise_has_other_words(what):
    one, other = OTHER[what]
    assert words(one) != words(other)


def test_a_voiced_kana_is_one_word():
    assert len(words("\u30ac\u30ae\u30d1\u3071")) == 4
    assert words("\u30cf\u309a") == words("\u30d1")


def test_expansions_have_room(tmp_path):
    for text in ("\ufdfa" * 3000, "\u3316" * 3000 + "a", "\ud55c" * 5000, "\u0390" * 4000):
        assert ours(text) == [reference(text)]
        assert len(words(text)) == len(words(reference(text)))


def test_text_that_is_no_utf8_stays_as_it_is():
    raw = [b"\xff\xfea\xcc", b"\xed\xa0\x80b", b"caf\xc3", b"\xf4\x90\x80\x80", b"\xe2\x28\xa1"]
    from winnow.core.words import normal_form_kernels as kernels
    from winnow.core.words.text import utf8_buffers

    offsets, data = utf8_buffers(pa.array(raw, pa.large_binary()))
    starts, out = kernels.normal_rows(np.ascontiguousarray(offsets), data)
    assert [out[a:b].tobytes() for a, b in itertools.pairwise(starts)] == raw


@pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0", reason=f"the table is of Unicode 14, this is {sys.version}"
)
def test_the_table_is_what_its_maker_makes():
    kept = np.load(table.FILE)
    made = table.make()
    assert set(kept) == set(made)
    assert all(np.array_equal(kept[name], made[name]) for name in made)


def test_a_long_text_with_one_odd_character_anywhere():
    draw = random.Random(3)
    for _ in range(50):
        size = draw.randrange(1, 300)
        text = "".join(
            draw.choice("ab c\u00e9\u2019") if draw.random() < 0.1 else draw.choice("abc XYZ") for _ in range(size)
        )
        assert ours(text) == [reference(text)]
