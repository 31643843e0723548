"""Extractors of main text: what they find, what they are not given, and that one page costs only itself."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import run

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.pipeline.extract import extraction
from winnow.pipeline.extract.depth_kernels import depths
from winnow.pipeline.extract.extraction import Extraction, titles
from winnow.pipeline.extract.resiliparse_ import Resiliparse
from winnow.pipeline.extract.trafilatura_ import Trafilatura

SENTENCE = "The committee said on Tuesday that it would look at the matter again, and that a report is due in {}. "
BODY = "".join(f"<p>{SENTENCE.format(year) * 2}</p>" for year in range(1990, 1996))
PAGE = (
    "<html><head><title>A report &amp; \n its  tale</title><script>var x = '<p>not this</p>'</script></head><body>"
    "<nav><ul><li><a href='/'>Home page</a></li><li><a href='/n'>All the news</a></li></ul></nav>"
    f"<article><h1>A report</h1>{BODY}</article><footer><a href='/i'>Imprint and terms</a></footer></body></html>"
)
DEEP = "<div>" * 100_000 + "<p>" + SENTENCE + "</p>" + "</div>" * 100_000
EXTRACTORS = [Resiliparse(), Trafilatura(fast=True)]
each = pytest.mark.parametrize("operator", EXTRACTORS, ids=lambda op: op.name)


def answer(operator, pages):
    counts = {}
    columns = operator.open(Context(seed=0, work=Path(), counts=counts))
    batch = pa.record_batch({"text": pa.array(pages, pa.large_string())})
    return pl.from_arrow(columns(batch)), counts


@each
def test_the_article_is_found_and_what_surrounds_it_is_not(operator):
    found, counts = answer(operator, [PAGE])
    text = found["text"][0]
    assert all(str(year) in text for year in range(1990, 1996))
    assert "All the news" not in text
    assert "Imprint" not in text
    assert "not this" not in text
    assert found["title"].to_list() == ["A report & its tale"]
    assert not sum(counts.values())


@each
def test_odd_pages_cost_no_other_page_and_are_counted(operator):
    lie = PAGE.replace("due", "dû").encode("utf-16").decode("latin-1")  # a charset that was not the page's
    odd = [
        "",
        None,
        "\0\0\0",
        DEEP,
        "a" * 2_000_000,
        "<<<>>><p",
        PAGE[:-700],
        lie,
        "x" * 3_000_000,
        "<p>" * 2_000,
        "<!--",
    ]
    found, counts = answer(type(operator)(max_page="2500KB"), [PAGE, *odd, PAGE])
    alone, _ = answer(operator, [PAGE])
    assert found["text"][0] == found["text"][-1] == alone["text"][0]
    assert found["text"][1:5].to_list() == [""] * 4  # empty, null, NULs, too deep
    assert counts["too_deep"] == 1
    assert counts["too_large"] == 1
    assert counts["nothing_found"] >= 1
    assert "1990" in found["text"][7]  # broken off, and read as far as it goes
    assert found["text"][9] == ""
    assert found["text_bytes"].to_list() == found["text"].str.len_bytes().to_list()


@each
def test_a_page_has_the_same_text_in_any_batch(operator):
    pages = [PAGE, PAGE.replace("committee", "council"), "", PAGE[:2500]]
    together, _ = answer(operator, pages)
    apart = [answer(operator, [page])[0] for page in pages]
    assert together.equals(pl.concat(apart))


def test_a_lone_surrogate_is_no_page_and_no_end():
    with pytest.raises(UnicodeEncodeError):  # Arrow holds none: readers put U+FFFD there
        pl.DataFrame({"html": ["\ud800"]})
    found, _ = answer(Resiliparse(), [PAGE.replace("committee", "\ufffd")])
    assert "\ufffd" in found["text"][0]


def test_what_each_field_of_resiliparse_does():
    page = PAGE.replace("<h1>", "<img src='a.png' alt='a drawing'><a href='http://e.org/x'>source</a><h1>")
    plain, whole = (answer(Resiliparse(**kw), [page])[0]["text"][0] for kw in ({}, {"main_content": False}))
    assert "All the news" in whole
    assert "a drawing" in plain
    assert "a drawing" not in answer(Resiliparse(alt_texts=False), [page])[0]["text"][0]
    assert "http://e.org/x" in answer(Resiliparse(links=True), [page])[0]["text"][0]
    assert "http://e.org/x" not in plain
    said = page.replace(
        "</article>", f"</article><div class='comments'><p>{'What a fine thing to read. ' * 9}</p></div>"
    )
    without, with_ = (answer(Resiliparse(comments=c), [said])[0]["text"][0] for c in (False, True))
    assert "fine thing" not in without
    assert "fine thing" in with_


def test_what_each_field_of_trafilatura_does(monkeypatch):
    import trafilatura

    given = []
    monkeypatch.setattr(trafilatura, "extract", lambda page, **options: given.append(options) or "text")
    for fields in ({}, {"fast": True}, {"favor": "precision"}, {"favor": "recall"}, {"comments": True},
                   {"tables": False}, {"links": True}):  # fmt: skip
        answer(Trafilatura(**fields), [PAGE])
    default, *others = [dict(options.items()) for options in given]
    changed = [{k for k in default if other[k] != default[k]} for other in others]
    assert changed == [{"fast"}, {"favor_precision"}, {"favor_recall"}, {"include_comments"}, {"include_tables"},
                       {"include_links"}]  # fmt: skip
    assert default["deduplicate"] is False


def test_titles_are_of_one_line_and_null_where_there_is_none():
    pages = [
        "<title>One</title><title>Two</title>",
        "<TITLE lang=en>a&lt;b \n c</TITLE>",
        "<title></title>",
        "no",
        None,
    ]
    assert titles(pl.Series(pages, dtype=pl.String)).to_list() == ["One", "a<b c", None, None, None]


@pytest.mark.parametrize(
    ("page", "depth"),
    [
        ("", 0), ("<", 0), ("</div>", 0), ("<div><b></b><i></i></div>", 2), ("<p><p><p><br><li><li>", 0),
        ("</div></div><div>", 1), ("<DIV><Span></SPAN></div><div>", 2), ("a < b <3 <div", 1),
    ],
)  # fmt: skip
def test_how_deep_elements_nest(page, depth):
    data = np.frombuffer(page.encode(), np.uint8)
    assert depths(np.array([0, len(data)]), data).tolist() == [depth]


def test_a_field_without_effect_is_refused():
    with pytest.raises(ConfigError, match="no effect"):
        Resiliparse(main_content=False, comments=True).validate()


def test_pages_that_are_no_text_are_refused():
    with pytest.raises(ConfigError, match="not pages as text"):
        Trafilatura(html="html").check_types({"html": pa.large_binary()})


def test_what_was_not_read_is_remarked_with_its_figure():
    said = Resiliparse().remarks({"rows": 40, "too_large": 2, "nothing_found": 3, "too_deep": 1}, {})
    assert [line.split(" are ")[0].split(" nest ")[0] for line in said] == [
        "2 of 40 pages (5.0%)",
        "1 of 40 pages (2.5%)",
    ]
    assert "try another" in Resiliparse().remarks({"rows": 40, "nothing_found": 4}, {})[0]
    assert Resiliparse().remarks({"rows": 40, "nothing_found": 3}, {}) == ()


RECIPE = """stages:
  pages: {use: jsonl, files: "pages.jsonl", columns: {html: string}}
  extract: {use: resiliparse, inputs: pages, max_bad_share: 0.5}
"""


def test_a_page_that_an_extractor_breaks_at_costs_one_row(tmp_path, monkeypatch):
    def broken(self):
        return lambda page: 1 / 0 if page.startswith("BREAK") else page[:20]

    monkeypatch.setattr(Resiliparse, "extractor", broken)
    pages = [PAGE, PAGE.replace("committee", "council"), "BREAK" + PAGE, PAGE.replace("matter", "thing")]
    pl.DataFrame({"text": list("abcd"), "html": pages}).write_ndjson(tmp_path / "pages.jsonl")
    ran = run(RECIPE, tmp_path, tmp_path / "out")
    assert sorted(text or "" for text in ran.table("extract", "text")["text"].to_pylist()) == ["", *[PAGE[:20]] * 3]
    (bad,) = ran.quarantine("extract")
    assert "division by zero" in bad["message"]


def test_every_extractor_says_what_it_shares():
    fields = {"html", "max_page"}
    for operator in EXTRACTORS:
        assert isinstance(operator, Extraction)
        assert fields <= set(operator.__dataclass_fields__)
        assert operator.outputs().keys() == {"text", "text_hash", "text_bytes", "title"}
    assert extraction.DEEPEST == 1000
