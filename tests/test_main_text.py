"""`main_text`: its reading of markup against an independent parser, its judgement, and pages made to break it."""

import html as entities
import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_extract import BODY, DEEP, PAGE, SENTENCE, answer

from winnow.core.errors import ConfigError
from winnow.pipeline.extract.main_text import PARTS, TREES, MainText, _trees, main_text, packed, parsed
from winnow.pipeline.extract.page_features_kernels import (
    A_BLOCKS,
    A_CHARS,
    A_LINK,
    CAPITALS,
    CHARS,
    COMMAS,
    DIGITS,
    FEATURES,
    LAST,
    SECOND,
    TITLED,
    TWICE,
    all_features,
    joined,
    keeping,
    scored,
    second,
)
from winnow.pipeline.extract.page_features_kernels import WORDS as WORDS_OF
from winnow.pipeline.extract.page_scan_kernels import ABOVE, ELEMENT, FLAGS, HIDDEN, LINK, START, STOP, TAG
from winnow.pipeline.extract.page_tables import TAGS, WORDS

PACKS = Path(os.environ.get("PACKS", Path(__file__).parents[2] / "shared/data/packs"))


def blocks(page):
    p = parsed(page.encode("utf-8", "replace"))
    return [bytes(p.text[b[0] : b[1]]).decode() for b in p.block[: p.num]]


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("<p>one<b>two</b> <i>three</i></p>", ["onetwo three"]),
        ("a &amp; b &lt;c&gt; &#8217;&#x41;&eacute;&nbsp;d &foo; &#;&", ["a & b <c> ’Aé d &foo; &#;&"]),
        ("&#128;&#150;&#0;&#55555;&#9999999999;", ["€–���"]),
        ("x<br>y<br><br>z", ["x\ny", "z"]),
        ("<script>var a = '<p>no</p>'</script>yes<style>p{}</style><!-- no --><!DOCTYPE no><?no?>", ["yes"]),
        ("<!-- a > b --->yes", ["yes"]),
        ("<p title='a > b' class=x>yes</p>", ["yes"]),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", ["a", "b", "c", "d"]),
        ("1 < 2 <3 <", ["1 < 2 <3 <"]),
        ("<pre>a\n  b</pre><p>a\n  b", ["a\n  b", "a b"]),
        ("<title>no</title><textarea>no</textarea><svg><text>no</text></svg>yes", ["yes"]),
        ("</div></p></a>yes", ["yes"]),
        ("", []),
        ("<", ["<"]),
        ("<p", []),
        ("<p a='", []),
        ("<script>never closed", []),
        ("\0a\0", ["a"]),
        ("日本語<p>العربية", ["日本語", "العربية"]),
        ("x\u00a0y\u00a9z Â£", ["x y©z Â£"]),
        ("<tr><th>a<td>b<th>c<td>d", ["a", "b", "c", "d"]),
        ("<table><tr><td>a<table><tr><td>b</table>c<td>d", ["a", "b", "c", "d"]),
        ("<dl><dt>a<dd>b<dt>c</dl>", ["a", "b", "c"]),
    ],
)  # fmt: skip
def test_how_markup_is_read(page, found):
    assert blocks(page) == found


def test_all_character_references_are_those_of_html():
    names = [name for name in entities.entities.html5 if name.endswith(";")]
    text = "|".join(blocks("<p>" + "</p><p>".join(f"x&{name}y" for name in names))).split("|y")[0]
    found = blocks("<p>" + "</p><p>".join(f"x&{name}y" for name in names))
    wanted = [re.sub(r"[\xa0\n\t ]+", " ", f"x{entities.unescape('&' + name)}y") for name in names]
    assert found == wanted
    assert text


def test_words_agree_with_a_browsers_tree_on_balanced_pages():
    from lxml import html as lxml_html

    tree = lxml_html.fromstring(PAGE)
    for gone in tree.xpath("//script|//title"):
        gone.drop_tree()
    assert " ".join(blocks(PAGE)).split() == " ".join(tree.itertext()).split()


def test_links_are_measured_inside_their_block():
    p = parsed(b"<p>ab <a href=x>cde</a> f<p><a>gh<p>i</a>j")
    assert [int(n) for n in p.block[: p.num, LINK]][:2] == [4, 2]  # with the space before it
    assert [TAGS[p.element[b[2], TAG]] for b in p.block[: p.num]][:2] == ["p", "p"]


def test_class_names_are_told_by_how_far_above_they_stand():
    p = parsed(b"<div class='SideBar-left'><section id=x><p role='nav'>text</p></section></div>")
    (row,) = all_features(p.block, p.num, p.element, p.m, p.sums, p.mark)
    level = {words[0]: int(row[17 + at]) for at, words in enumerate(WORDS)}
    assert (level["nav"], level["sidebar"], level["comment"]) == (0, 2, 99)


MEASURED = """<html><head><title>A mill of the town</title></head><body><div class='x'><ul><li><a href='/'>Home</a></li>
<li><a href='/b'>All, of it</a> more</li></ul><h1>A Mill of the Town!</h1><p>The old mill, which was built in 1874, is closed.
Nobody has opened it since then, and yet, they say, it turns at night.</p><p>Home</p><p>これは水車です。とても古い</p>
<p>He said "no."</p><p>A mill of the town is what they all had in mind</p><p>A mill of the town LONG</p></div><div><table><tr><td>one</td><td>two</td></tr></table></body></html>""".replace(
    "LONG", "with walls " * 30
)


def test_blocks_are_measured_as_they_are_counted_by_hand():
    p = parsed(MEASURED.encode())
    texts = [bytes(p.text[b[START] : b[STOP]]).decode() for b in p.block[: p.num]]
    seen: list[str] = []
    for text, row, block in zip(texts, p.m, p.block, strict=False):
        plain = text.isascii()
        assert row[CHARS] == len(text)
        assert row[WORDS_OF] == (len(re.findall(r"\w+", text)) if plain else sum(not c.isascii() for c in text) // 2)
        assert row[COMMAS] == text.count(",")
        assert row[LAST] == bool(re.search(r"[.!?。]\"?$", text))
        assert row[DIGITS] == len(re.findall(r"\d", text))
        assert row[CAPITALS] == len(re.findall(r"\b[A-Z]", text))
        letters = "".join(re.findall(r"\w", text)).lower()
        assert row[TWICE] == (letters in seen), text
        seen.append(letters)
        title = "amillofthetown"
        same = next((k for k in range(len(letters)) if letters[k : k + 1] != title[k : k + 1]), len(letters))
        assert row[TITLED] == (1000 * same // len(text) if plain and len(text) < 300 else 0), text
        assert block[LINK] == {"Home": 4 * (len(seen) == 1), "All, of it more": 10}.get(text, 0)
    assert sum(row[TWICE] for row in p.m) == 1
    first = p.block[0, ELEMENT]
    assert p.sums[first, A_CHARS] == 4
    assert p.sums[first, A_LINK] == 4
    assert p.sums[0, A_CHARS] == sum(map(len, texts))
    assert p.sums[0, A_LINK] == 4 + 15 * (1000 * 10 // 15) // 1000
    assert p.sums[0, A_BLOCKS] == p.num
    kept = bytes(joined(p.text, p.block, p.num, np.arange(p.num), 2)).decode()
    assert kept == "\n".join(texts[3:-2]) + "\none\ttwo"  # blocks above a score, on lines of their own but for cells


def test_an_inline_end_tag_ends_nothing_outside_of_its_block():
    p = parsed(b"<a href='/'><div>one</a> two</div>")
    assert p.block[: p.num, LINK].tolist() == [7]
    p = parsed(b"<div><a href='/'>one</a> two</div>")
    assert p.block[: p.num, LINK].tolist() == [3]


@pytest.mark.parametrize(("style", "hidden"), [
    ("display:none", True), ("color:red; visibility: hidden", True), ("visibility:hidden", True), ("display: block", False),
    ("visibility:visible", False), ("overflow:hidden", False), ("content:none", False), ("", False),
])  # fmt: skip
def test_what_a_style_hides_is_told(style, hidden):
    p = parsed(f"<div style='{style}'>text</div>".encode())
    assert bool(np.uint64(p.element[p.block[0, ELEMENT], FLAGS]) & HIDDEN) == hidden


def test_cells_and_items_end_where_the_next_one_begins():
    for page, same in (("<table><tr><th>a<td>b<th>c<tr><td>d", "abcd"), ("<dl><dt>a<dd>b<dt>c</dl>", "abc"),
                       ("<select></select><ul><li>a<li>b</ul>", "ab")):  # fmt: skip
        p = parsed(page.encode())
        assert blocks(page) == list(same)
        assert len({int(p.element[b[ELEMENT], ABOVE]) for b in p.block[: p.num]}) == 1, page
    inner = parsed(b"<table><tr><td>a<table><tr><td>b</table>c<td>d")
    above = [int(inner.element[b[ELEMENT], ABOVE]) for b in inner.block[: inner.num]]
    assert above[0] == above[2] == above[3] < above[1]  # a table in a cell ends none of the cells around it


def test_the_second_round_sees_what_the_first_one_kept():
    """Against loops: what is kept before a block, how far the next such block is on either side, and in what holds it."""
    p = parsed(MEASURED.encode())
    rng = np.random.default_rng(5)
    for _ in range(20):
        first = rng.integers(-3, 3, p.num) * 20_000
        kept, near = keeping(p.num, p.block, p.element, p.elements, p.m, p.sums, first)
        chars = p.m[:, CHARS].astype(int)
        total = int(chars[first > 0].sum())
        for i in range(p.num):
            row = np.zeros(FEATURES, np.int32)
            second(i, p.num, p.block, p.element, p.m, p.sums, first, kept, near, row)
            before = [j for j in range(i) if first[j] > 0]
            behind = [j for j in range(i + 1, p.num) if first[j] > 0]
            around = [first[i + k] if 0 <= i + k < p.num else -(1 << 20) for k in range(-3, 4)]
            assert row[SECOND : SECOND + 7].tolist() == around
            assert row[SECOND + 11] == 1000 * total // chars.sum()
            assert row[SECOND + 12] == 1000 * chars[before].sum() // max(1, total)
            assert row[SECOND + 13] == (i - before[-1] if before else 1000)
            assert row[SECOND + 14] == (behind[0] - i if behind else 1000)
            assert row[SECOND + 15] == total
            own = [j for j in range(p.num) if first[j] > 0 and p.block[j, ELEMENT] == p.block[i, ELEMENT]]
            assert row[SECOND + 7] == 1000 * chars[own].sum() // p.sums[p.block[i, ELEMENT], A_CHARS]


def test_trees_answer_as_they_are_read_by_hand():
    rng = np.random.default_rng(1)
    file = np.load(TREES, allow_pickle=False)
    for name, width, trees in zip(("first", "second"), (SECOND, FEATURES), _trees(), strict=True):
        which, cut, left, right, roots, leaf = (file[f"{name}_{part}"] for part in PARTS)
        assert which.max() < width
        for row in rng.integers(-1, 1000, (20, FEATURES)).astype(np.int32):
            total = 0
            for tree in range(len(roots) - 1):
                node = 0
                while node >= 0:
                    at = roots[tree] + node
                    node = int(left[at]) if row[which[at]] <= cut[at] else int(right[at])
                total += int(leaf[roots[tree] + tree - node - 1])
            assert scored(row, *trees) == total
        each = [
            scored(row, *packed(*(file[f"{name}_{part}"] for part in PARTS[:4]), roots[k : k + 2], leaf[k:]))
            for k in range(7)
        ]
        for few in range(8):  # four are walked at once, the rest alone
            assert scored(row, trees[0], trees[1][: few + 1], trees[2]) == sum(each[:few])


def test_the_article_is_found_and_what_surrounds_it_is_not():
    found, counts = answer(MainText(), [PAGE])
    text = found["text"][0]
    assert all(str(year) in text for year in range(1990, 1996))
    assert "All the news" not in text
    assert "Imprint" not in text
    assert not sum(counts.values())


def test_odd_pages_cost_no_other_page_and_are_counted():
    lie = PAGE.replace("due", "dû").encode("utf-16").decode("latin-1")
    odd = ["", None, "\0\0\0", DEEP, "a" * 10_000_000, "<<<>>><p", PAGE[:-700], lie, "x" * 21_000_000, "<p>" * 100_000,
           "<!--", "<p class='" + "nav " * 100_000, "&" * 100_000, "<a>" * 900 + SENTENCE]  # fmt: skip
    found, counts = answer(MainText(), [PAGE, *odd, PAGE])
    assert found["text"][0] == found["text"][-1] == answer(MainText(), [PAGE])[0]["text"][0]
    assert found["text"][1:5].to_list() == [""] * 4
    assert counts["too_deep"] == counts["too_large"] == 1
    assert "1990" in found["text"][7]


def test_any_cut_through_a_page_is_read():
    page = (PAGE + "<table><tr><td>a</td><td>&eacute;&#8217;é</td></tr></table><pre>x\n y</pre>").encode()
    for at in range(0, len(page), 37):
        parsed(page[:at])
        parsed(page[at:])


def test_a_page_has_the_same_text_in_any_batch():
    pages = [PAGE, PAGE.replace("committee", "council"), "", PAGE[:2500]]
    together, _ = answer(MainText(), pages)
    assert together.equals(pl.concat([answer(MainText(), [page])[0] for page in pages]))


def test_least_keeps_more_below_and_less_above():
    sizes = [len(answer(MainText(least=least), [PAGE])[0]["text"][0] or "") for least in (-10.0, 0.0, 10.0)]
    assert sizes[0] > sizes[1] > 0 == sizes[2]
    for wrong in (-11.0, float("nan")):
        with pytest.raises(ConfigError, match="least"):
            MainText(least=wrong).validate()


def test_cells_stand_behind_tabs_and_code_keeps_its_lines():
    row = "<tr><td>one cell of it</td><td>{}</td></tr>"
    page = f"<article>{BODY}<table>{row.format(1)}{row.format(2)}</table><pre>if a:\n    b</pre></article>"
    text = answer(MainText(least=-10.0), [page])[0]["text"][0]
    assert "one cell of it\t1\none cell of it\t2" in text
    assert "if a:\n    b" in text


def test_the_trees_are_small_and_whole_numbers():
    assert TREES.stat().st_size < 300_000
    with np.load(TREES, allow_pickle=False) as file:
        assert sorted(file.files) == sorted(f"{which}_{part}" for which in ("first", "second") for part in PARTS)
        assert all(file[name].dtype.kind == "i" for name in file.files)


@pytest.mark.packs
@pytest.mark.skipif(not PACKS.exists(), reason="the data packs are not there")
def test_on_pages_that_the_trees_saw_it_is_better_than_on_others(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import web_pages

    pages = list(web_pages.scrapinghub(PACKS))
    first, second = _trees()
    least = round(MainText().least * 65536)
    f1, _, _ = web_pages.four_gram_f1(
        (p.gold, main_text(p.html.encode("utf-8", "replace"), first, second, least)) for p in pages
    )
    assert f1 >= 0.95
