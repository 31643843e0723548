"""`drop_urls`, `citation_marks` and `boilerplate_lines`: beside the same rules in plain Python, and by what people expect."""

from __future__ import annotations

import pytest
from edit_reference import MARK, url_spans, without_furniture, without_lines, without_marks
from support_edit import edited, random_texts

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.pipeline.edit.boilerplate_lines import BoilerplateLines, listed_phrases
from winnow.pipeline.edit.citation_marks import CitationMarks
from winnow.pipeline.edit.drop_urls import DropUrls

PIECES = (
    "http://", "https://a.org", "HTTPS://b.c/d?e=f&g", "www.", "www.x.de", "ftp://f", "\n", "\n", " ", " ", "(", ")", ".",
    ",", "- ", "• ", "word", "é", "漢字", "\u00a0", "»", "_", "1", "[", "]", "|", "<", ">", "/", "'", "\t", "\r", "’",
)  # fmt: skip


def test_lines_of_addresses_go_as_a_regular_expression_finds_them():
    texts = [
        "",
        "\n",
        "https://a.b",
        "https://a.b\n",
        "a\nhttps://a.b",
        "a\nhttps://a.b\nhttps://c.d",
        *random_texts(3, PIECES, 1500, 25),
    ]
    after, columns = edited(DropUrls(), texts)
    for row, text in enumerate(texts):
        assert after[row] == without_lines(text), repr(text)
        assert columns["urls_in_text"][row] == sum(len(url_spans(line)) for line in text.split("\n")), repr(text)


def test_every_address_is_replaced_as_a_regular_expression_finds_them():
    texts = random_texts(4, PIECES, 800, 25)
    after, columns = edited(DropUrls(what="all", by="<URL>"), texts)
    for row, text in enumerate(texts):
        wanted = []
        for line in without_lines(text).split("\n"):
            said, end = "", 0
            for start, stop in url_spans(line):
                said, end = said + line[end:start] + "<URL>", stop
            wanted.append(said + line[end:])
        assert after[row] == "\n".join(wanted), repr(text)
        assert columns["urls_dropped"][row] == columns["urls_in_text"][row]


@pytest.mark.parametrize(("text", "left"), [
    ("see https://a.org/x_(y), and (www.b.de).", "see, and."),
    ("https://a.org is near", "is near"), ("go to https://a.org", "go to"), ("a https://a.org b", "a b"),
    ("[name](https://a.org/b) is", "[name] is"), ("<https://a.org> said", "said"), ("http://", "http://"),
    ("xhttps://a.org", "xhttps://a.org"), ("漢字https://a.org/漢", "漢字漢"), ("wwwx.de", "wwwx.de"),
    ("https://a.org https://b.org and c", "and c"), ("a\nhttps://b.org\nc", "a\nc"),
])  # fmt: skip
def test_an_address_leaves_no_hole(text, left):
    assert edited(DropUrls(what="all"), [text])[0] == [left]


def test_a_line_with_addresses_alone_goes_and_is_counted():
    text = "Sources:\n- https://a.org/b, www.c.de\n1 https://d.e\nThe end. https://f.g"
    after, columns = edited(DropUrls(), [text, None])
    assert after == ["Sources:\n1 https://d.e\nThe end. https://f.g", None]
    assert [columns[name] for name in ("urls_in_text", "url_lines_dropped", "urls_dropped")] == [
        [4, None],
        [1, None],
        [2, None],
    ]


MARKED = (
    "[", "]", "1", "23", "45678", ",", ", ", "–", "-", "note ", "nb ", "n", "a", "ref ", "[3]", "[]", "[edit]", "[Citation needed]", "[who?]",
    " ", " ", ".", "\n", "word", "é", "[1, 2–5]", "x", ";",
)  # fmt: skip


def test_marks_go_as_a_regular_expression_finds_them():
    texts = random_texts(6, MARKED, 2500, 20)
    after, columns = edited(CitationMarks(), texts)
    for row, text in enumerate(texts):
        assert after[row] == without_marks(text), repr(text)
        assert columns["citation_marks"][row] == len(MARK.findall(text)), repr(text)


def test_marks_of_numbers_and_of_words_are_apart():
    text = "Water[1] is wet [2, 3–5].\nIs it so?[citation needed] Yes [edit] and [x] a[2024] b[12345]\n[note 3] c"
    assert edited(CitationMarks(), [text])[0] == ["Water is wet.\nIs it so? Yes and [x] a b[12345]\nc"]
    assert edited(CitationMarks(words=False), [text])[0][0].count("[") == 4
    assert edited(CitationMarks(numbers=False), [text])[0][0].count("[") == 6
    assert edited(CitationMarks(), ["a\n\n  b [x]\n", None, ""])[0] == ["a\n\n  b [x]\n", None, ""]


FURNITURE = ("We use cookies", "ACCEPT COOKIES", "Datenschutzerklärung", "DATENSCHUTZERKLÄRUNG", "don’t have an account",
             "\n", "\n", "\n\n", " ", "\t", "A harbour.", "x" * 30, "漢字", "\r", "uses cookies t", "o")  # fmt: skip


@pytest.mark.parametrize("paragraphs", [False, True])
def test_furniture_goes_as_plain_python_finds_it(paragraphs):
    operator = BoilerplateLines(by="paragraphs" if paragraphs else "lines", longest=60)
    texts = [
        "",
        "\n",
        "we use cookies",
        "\n\nwe use cookies\n\n",
        "a\n\nwe use cookies\n \n",
        *random_texts(8, FURNITURE, 600, 14),
    ]
    after, columns = edited(operator, texts)
    for row, text in enumerate(texts):
        left, gone, pieces = without_furniture(text, 60, paragraphs)
        assert (after[row], columns["boilerplate_lines"][row]) == (left, gone), repr(text)
        assert columns["boilerplate_line_share"][row] == (gone / pieces if pieces else 0.0)
        assert columns["boilerplate_share"][row] == pytest.approx(
            (len(text.encode()) - len(left.encode())) / max(len(text.encode()), 1)
        )


def test_furniture_of_ones_own_and_of_chosen_languages():
    text = "Ahoy there, mate!\nWe use cookies.\nAlle Rechte vorbehalten\nThe harbour."
    assert edited(BoilerplateLines(languages=("de",)), [text])[0][0].count("\n") == 2
    own = BoilerplateLines(languages=(), phrases=("ahoy there", "never said"))
    after, columns = edited(own, [text, None])
    assert after == [text.partition("\n")[2], None]
    assert columns["boilerplate_phrase"] == ["ahoy there", None]
    counts: dict[str, int] = {}
    edit = own.editing(Context(seed=0, work=None, counts=counts))  # type: ignore[arg-type]
    from support_edit import batch_of

    edit(batch_of([text]))
    (told,) = own.remarks({"rows": 2, "edited": 1, **counts}, {})
    assert "no line of 2 documents holds 'never said'" in told


def test_a_long_piece_that_speaks_of_cookies_stays():
    text = "We use cookies, " + "he said, " * 70
    assert edited(BoilerplateLines(), [text])[0] == [text]
    assert edited(BoilerplateLines(longest=0), [text])[0] == [""]


def test_phrases_are_in_small_letters_and_of_some_length():
    for language, phrases in listed_phrases().items():
        assert len(set(phrases)) == len(phrases) >= 15, language
        assert [p for p in phrases if p != p.lower() or len(p) < 8 or p != p.strip()] == []


@pytest.mark.parametrize(("operator", "field"), [
    (BoilerplateLines(languages=("xx",)), "languages"), (BoilerplateLines(phrases=("abc",)), "phrases"),
    (BoilerplateLines(languages=()), "phrases"), (BoilerplateLines(longest=-1), "longest"),
    (CitationMarks(numbers=False, words=False), "numbers"),
])  # fmt: skip
def test_what_cannot_find_anything_is_refused(operator, field):
    with pytest.raises(ConfigError) as error:
        operator.validate()
    assert error.value.where == field
