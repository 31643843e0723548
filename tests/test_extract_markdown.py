"""`markdown` of extractors: formulas, code, tables and images in their places, and pages made to break it."""

import random
import re
import time

import pytest
from test_extract import BODY, PAGE, answer

from winnow.core.errors import ConfigError
from winnow.pipeline.extract.main_text import MainText
from winnow.pipeline.extract.mathml_tex import folded, tex_of
from winnow.pipeline.extract.page_markdown import KINDS, marked
from winnow.pipeline.extract.page_tags import tags_of
from winnow.pipeline.extract.resiliparse_ import Resiliparse
from winnow.pipeline.extract.trafilatura_ import Trafilatura

NOTE = '<semantics><mrow><mi>x</mi></mrow><annotation encoding="application/x-tex">{}</annotation></semantics>'
KATEX = (
    f'<span class="katex"><span class="katex-mathml"><math>{NOTE}</math></span>'
    '<span class="katex-html" aria-hidden="true"><span class="base"><span class="mord">drawn</span></span></span></span>'
)
MATHJAX = (
    '<span class="MathJax_Preview">pre</span><span class="MathJax" id="F1" data-mathml="&lt;math&gt;&lt;mi&gt;y&lt;/mi&gt;&lt;/math&gt;">'
    '<nobr>drawn<span><span>y</span></span></nobr></span>'
)  # fmt: skip
MATHJAX_3 = (
    '<mjx-container display="true"><mjx-math>g</mjx-math><mjx-assistive-mml><math display="block"><mi>x</mi></math>'
    "</mjx-assistive-mml></mjx-container>"
)
WIKI = (
    f'<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;"><math alttext="no">{NOTE}</math>'
    '</span><img src="https://w.org/media/math/render/svg/1" class="mwe-math-fallback-image-{}" alt="drawn"></span>'
)  # fmt: skip


def said(page, *kinds, **kw):
    return marked(page, kinds or KINDS, **kw)[0]


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (f"a <math>{NOTE.format('x^2 &lt; 1')}</math> b", "a $x^2 &lt; 1$ b"),
        ("<math display='block'><mi>x</mi></math>", "$$x$$"),
        ('<math alttext="{\\displaystyle a_{1}}+{b}"><mi>q</mi></math>', "${\\displaystyle a_{1}}+{b}$"),
        ('<math alttext="{\\displaystyle a_{1}}"><mi>q</mi></math>', "$a_{1}$"),
        (KATEX.format("\\alpha"), "$\\alpha$"),
        (f'<span class="katex-display">{KATEX.format("a")}</span>', "$$a$$"),
        ('<script type="math/tex">a<b % why\n+c</script>', "$a&lt;b +c$"),
        ('<script type="math/tex; mode=display">% <![CDATA[\na & b %]]></script>', "$$a &amp; b$$"),
        ('<script type="math/asciimath">x^2</script>', "`x^2`"),
        ('<script type="math/mml"><math display="block"><mi>x</mi></math></script>', "$$x$$"),
        (MATHJAX + '<script type="math/tex" id="F1">z</script>', "$z$"),
        (MATHJAX[MATHJAX.index('<span class="MathJax"') :], "$y$"),
        (f'<div class="MathJax_Display">{MATHJAX}</div><script type="math/tex; mode=display">z</script>', "$$z$$"),
        ('<span class="MathJax">x</span> text <script type="math/tex">z</script>', '<span class="MathJax">x</span> text $z$'),
        (MATHJAX_3, "$$x$$"),
        ("<mjx-container><svg>no source</svg></mjx-container>", "<mjx-container><svg>no source</svg></mjx-container>"),
        (WIKI.format("\\sigma ^{2}", "inline"), "$\\sigma ^{2}$"),
        (WIKI.format("s", "display"), "$$s$$"),
        ('<img class="latex" alt="\\kappa>0" src="a.png">', "$\\kappa&gt;0$"),
        ('<img src="https://s0.wp.com/latex.php?latex=%5Ckappa+%3E+0&amp;bg=fff">', "$\\kappa &gt; 0$"),
        ('<img src="//latex.codecogs.com/gif.latex?a&amp;space;=&amp;space;b" alt="">', "$a = b$"),
        ('<img alt="$x$" src="x.png">', "$x$"),
        ("costs $5 and \\(x\\) and \\[y\\] and $$z$$", "costs $5 and \\(x\\) and \\[y\\] and $$z$$"),
        ('<script>var s = "<math><mi>x</mi></math>"</script>', '<script>var s = "<math><mi>x</mi></math>"</script>'),
        ("<!-- <math><mi>x</mi></math> -->", "<!-- <math><mi>x</mi></math> -->"),
        ("<math><mi>never closed", "<math><mi>never closed"),
        ('<span class="katex">never closed <math><mi>x</mi></math>', '<span class="katex">never closed $x$'),
    ],
)  # fmt: skip
def test_formulas_of_each_kind_become_tex_in_their_places(page, found):
    assert said(f"before {page} after", "formulas") == f"before {found} after"


@pytest.mark.parametrize(
    ("markup", "tex"),
    [
        ("<msup><mi>x</mi><mn>2</mn></msup>", "x^{2}"),
        ("<msup><mrow><mi>x</mi><mo>+</mo><mi>y</mi></mrow><mn>2</mn></msup>", "{x+y}^{2}"),
        ("<msubsup><mi>&#x03B1;</mi><mi>i</mi><mn>2</mn></msubsup>", "\\alpha_{i}^{2}"),
        ("<mfrac><mn>1</mn><mi>b</mi></mfrac>", "\\frac{1}{b}"),
        ("<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>", "{n \\atop k}"),
        ("<msqrt><mi>a</mi><mo>+</mo><mi>b</mi></msqrt>", "\\sqrt{a+b}"),
        ("<mroot><mi>a</mi><mn>3</mn></mroot>", "\\sqrt[3]{a}"),
        ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover><mi>i</mi>", "\\sum_{i}^{n}i"),
        ("<munder><mi>lim</mi><mi>x</mi></munder>", "\\lim_{x}"),
        ("<mover><mi>x</mi><mo>→</mo></mover>", "\\vec{x}"),
        ("<munder><mi>x</mi><mo>_</mo></munder>", "\\underset{\\_}{x}"),
        ("<mover><mi>x</mi><mi>k</mi></mover>", "\\overset{k}{x}"),
        ("<munderover><mi>x</mi><mi>a</mi><mi>b</mi></munderover>", "\\overset{b}{\\underset{a}{x}}"),
        ("<mfenced open='[' close=')'><mi>a</mi><mi>b</mi></mfenced>", "[a,b)"),
        ("<mtable><mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr><mtr><mtd><mi>c</mi></mtd></mtr></mtable>",
         "\\begin{matrix}a & b \\\\ c\\end{matrix}"),
        ("<mi>π</mi><mi>r</mi><mo>−</mo><mi>sin</mi><mi>t</mi><mi>foo</mi>", "\\pi r-\\sin t\\operatorname{foo}"),
        ("<mi mathvariant='double-struck'>R</mi><mtext>if {so}</mtext>", "\\mathbb{R}\\text{if \\{so\\}}"),
        ("<mi>f</mi><mo>&#x2061;</mo><mo>(</mo><mi>x</mi><mo>)</mo><mspace width='1em'/><mi>z</mi>", "f(x) z"),
        ("<m:msup><m:mi>x</m:mi><m:mn>2</m:mn></m:msup>", "x^{2}"),
        ("<semantics><mi>x</mi><annotation-xml><mi>no</mi></annotation-xml></semantics>", "x"),
        ("<mrow><mi>x</mi></mfrac></mrow><mo>=</mo><mn>1</mn>", "x=1"),
        ("<msup><mi>x</mi>", "x"),
        ("", ""),
    ],
)  # fmt: skip
def test_mathml_has_a_linear_form(markup, tex):
    assert tex_of(markup, {}) == tex


def test_tex_is_on_one_line_and_without_its_delimiters():
    assert folded("\\( a\n b \\)") == "a b"
    assert folded("$a$ and $b$") == "$a$ and $b$"
    assert folded("50\\% of\n a % gone\n b") == "50\\% of a b"
    assert folded("half of 5%") == "half of 5%"


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("<pre>\nif a:\n    b &lt; c\n\n</pre>", "<pre>```\nif a:\n    b &lt; c\n```</pre>"),
        ('<pre><code class="hljs language-c++">a<br>b</code></pre>', "<pre>```c++\na\nb\n```</pre>"),
        ('<pre class="brush: js; gutter: true">x</pre>', '<pre class="brush: js; gutter: true">```js\nx\n```</pre>'),
        ("<pre><div>a</div><div>b\n</div>c</pre>", "<pre>```\na\nb\nc\n```</pre>"),
        ('<pre><span class="lineno">1 </span>a\r\n<span class="lineno">2 </span><b>b</b>&#10;c</pre>', "<pre>```\na\nb\nc\n```</pre>"),
        ('<td class="gutter"><pre>1\n2</pre></td><td><pre>a\nb</pre></td>', '<td class="gutter"></td><td><pre>```\na\nb\n```</pre></td>'),
        ("<pre>42</pre>", "<pre>```\n42\n```</pre>"),
        ("<pre>a ``` b</pre>", "<pre>`````\na ``` b\n`````</pre>"),
        ("<ul><li>do <pre>x\n y</pre></li></ul>", "<ul><li>do <pre>```\nx\n y\n```</pre></li></ul>"),
        ("<pre> \n </pre>", "<pre> \n </pre>"),
        ("<pre>never closed", "<pre>never closed"),
    ],
)  # fmt: skip
def test_code_stands_in_fences_with_its_lines(page, found):
    assert said(page, "code") == found


CELLS = "<table><tr><th>x</th><th>y|z</th></tr><tr><td>1</td><td>a <b>b</b>\n c</td></tr></table>"


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (CELLS, "| x | y\\|z |\n| --- | --- |\n| 1 | a b c |"),
        ("<table><tr><th>x<th>y<tr><td>1<td>2</table>", "| x | y |\n| --- | --- |\n| 1 | 2 |"),
        ("<table><tr><td colspan=2>x</td></tr><tr><td>1</td><td>2</td></tr></table>", "| x |  |\n| --- | --- |\n| 1 | 2 |"),
        (f"<table><tr><td>menu</td><td>{CELLS}</td></tr><tr><td>a</td><td>b</td></tr></table>", "| x | y\\|z |\n| --- | --- |\n| 1 | a b c |"),
        ("<table><caption>of them</caption><tbody><tr><td>1</td><td>2</td></tr><tr><td>3</td><td></td></tr></tbody></table>",
         "| 1 | 2 |\n| --- | --- |\n| 3 |  |"),
        ("<table><tr><td>one</td><td>row</td></tr></table>", ""),
        ("<table><tr><td>one</td></tr><tr><td>column</td></tr></table>", ""),
        ("<table><tr><td>a</td><td><ul><li>b</ul></td></tr><tr><td>c</td><td>d</td></tr></table>", ""),
        (f"<table><tr><td>{'long ' * 101}</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", ""),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4", ""),
    ],
)  # fmt: skip
def test_tables_of_data_become_rows_and_layouts_stay(page, found):
    new = said(page, "tables")
    assert "\n".join(re.findall(r"<tr><td>(\|.*?\|)</td></tr>", new)) == found
    assert (new == page) == (not found)
    rows = re.findall(r"<p>(\|.*?\|)</p>", said(page, "tables", paragraphs=True))
    assert "\n".join(rows) == found


def test_what_stands_above_the_rows_stays():
    page = "<table><caption>of them</caption><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table>"
    assert said(page).startswith("<table><caption>of them</caption><tr><td>| 1 | 2 |")
    assert said(page, paragraphs=True).startswith("<p>of them</p><p>| 1 | 2 |")


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<img src="a b(1).png" alt="a [red]  fox">', " ![a red fox](a%20b%281%29.png) "),
        ('<img data-src="real.png" src="data:image/gif;base64,R0">', " ![](real.png) "),
        ('<img src="data:image/gif;base64,R0" alt="x">', None),
        ('<img src="pixel.gif" width="1" height="1">', None),
        ("<img alt='no source'>", None),
        ('<img src="a.png?x=1&amp;y=%20" alt="a &lt; b">', " ![a &lt; b](a.png?x=1&amp;y=%20) "),
    ],
)  # fmt: skip
def test_images_become_references(page, found):
    assert said(page, "images") == (page if found is None else found)


RICH = (
    f"<html><body><article><h1>Of it</h1>{BODY}<p>Euler wrote {KATEX.format('e^{x}')} and <math><mi>z</mi></math> here, and it was read "
    f"by all of them. <img src='fig.png' alt='a figure'></p><pre class='language-python'>if a:\n    b = 1</pre>{BODY}{CELLS}{BODY}</article></body></html>"
)  # fmt: skip


@pytest.mark.parametrize("operator", [MainText, Resiliparse, Trafilatura], ids=lambda op: op.name)
def test_every_extractor_keeps_them_in_order(operator):
    found, counts = answer(operator(markdown=("math", "images")), [RICH, PAGE])
    text = found["text"][0]
    wanted = [
        "$e^{x}$",
        "$z$",
        "![a figure](fig.png)",
        "```python\nif a:\n    b = 1\n```",
        "| x | y\\|z |",
        "| --- | --- |",
        "| 1 | a b c |",
    ]
    places = [text.find(one) for one in wanted]
    assert -1 not in places
    assert places == sorted(places)
    assert "drawn" not in text
    assert {k: n for k, n in counts.items() if k.startswith("written:")} == {
        "written:formulas": 2, "written:code": 1, "written:tables": 1, "written:images": 1,
    }  # fmt: skip
    assert "$e^{x}$" not in answer(operator(), [RICH])[0]["text"][0]


def test_what_math_stands_for_is_one_recipe_and_others_are_refused():
    assert MainText(markdown="math") == MainText(markdown=("tables", "code", "formulas"))
    with pytest.raises(ConfigError, match="nothing on a page is called 'formulae'") as error:
        MainText(markdown=("formulae",)).validate()
    assert "formulas" in error.value.hint
    with pytest.raises(ConfigError, match="tables: false"):
        Trafilatura(markdown="math", tables=False).validate()


def test_kinds_that_no_page_has_are_told():
    counts = answer(MainText(markdown="math"), [PAGE])[1]
    told = MainText(markdown="math").remarks({"rows": 1, **counts}, {})
    assert told == (
        "`markdown` asks for formulas and code and tables, which none of 1 pages has: leave it out where none is due",
    )
    assert MainText(markdown="code").remarks({"rows": 1, "written:code": 2}, {}) == ()


HURTS = {
    "deep": "<span class=katex>" * 990 + "<math>" + "</span>" * 990,
    "open": "<span class=katex>" * 30_000,
    "openings": "<math><mi>" * 25_000,
    "quotes": "<img alt='" * 30_000 + '<span class="' * 30_000,
    "no ends": "<img " * 60_000 + "<pre " * 30_000,
    "comments": "<!--" * 30_000,
    "scripts": '<script type="math/tex">' * 15_000,
    "previews": '<span class="MathJax">x</span>' * 5_000,
    "tables": "<table><tr><td>" * 900 + "</table>" * 900 + "<table><tr><td colspan=9999>a<tr><td>b</table>" * 1_000,
    "notes": "<math>" + "<annotation encoding=tex " * 30_000 + "</math>",
    "nested math": ("<math>" + "<mrow>" * 900 + "x" + "</mrow>" * 900 + "</math>") * 60,
    "closings": "<math>" + "<mi>" * 150 + "</mo>" * 100_000 + "</math>",
    "line": "<pre>" + "a" * 1_000_000 + "</pre>" + "$" * 300_000,
    "percent": '<script type="math/tex">' + "%" * 300_000 + "</script>",
    "equals": "<img " + "= " * 200_000 + ">" + "<img =" * 100_000,
    "NULs": "\0<math>\0</math>\0" * 5_000,
    "addresses": '<img src="/tex.cgi?' + "&space;" * 20_000 + '">' + "<img src='latex.php?latex=" + "&" * 60_000 + "'>",
}


@pytest.mark.parametrize("page", HURTS.values(), ids=HURTS.keys())
def test_pages_made_to_break_it_take_time_in_proportion(page):
    began = time.process_time()
    marked(page, KINDS)
    assert time.process_time() - began < 20  # seconds; a quadratic one takes many minutes


def test_any_cut_through_a_page_is_read():
    page = RICH + MATHJAX + WIKI.format("s", "display")
    for at in range(0, len(page), 41):
        marked(page[:at], KINDS)
        marked(page[at:], KINDS)


def test_what_is_no_markup_of_these_kinds_is_left_byte_for_byte():
    rng = random.Random(3)
    parts = [
        "<p>",
        "</p>",
        "a < b",
        "<div class=x>",
        "</div>",
        "<!-- -->",
        "<script>x</script>",
        "&lt;math&gt;",
        "<",
        "=\"'",
    ]
    for _ in range(50):
        page = "".join(rng.choices(parts, k=60))
        assert marked(page, KINDS) == (page, dict.fromkeys(KINDS, 0))


def test_ends_balance_by_name_and_scripts_hold_no_tags():
    page = "<div><span><div></span></div><script><div></script></div><div>"
    tags = tags_of(page, ("div", "span"))
    ends = {t.start: tags[t.end].start for t in tags if t.end >= 0}
    assert ends == {0: 51, 5: 16, 11: 23, 29: 42}


def test_limits_beyond_which_things_stay_as_they_stand():
    assert tex_of("<mrow>" * 150 + "<mi>x</mi>", {}) == "x"
    assert tex_of("<mrow>" * 300 + "<mi>x</mi>", {}) == ""
    assert tex_of("<mi>x</mi>" * 10_001, {}) == ""
    row = f"<tr>{'<td>1</td>' * 100}</tr>"
    assert said(f"<table>{row * 2}</table>", "tables").count("---") == 100
    wide = f"<table>{row.replace('</tr>', '<td>1</td></tr>') * 2}</table>"
    assert said(wide, "tables") == wide
    for size in ("width", "height"):
        assert said(f'<img src="a.png" {size}="1">', "images") == f'<img src="a.png" {size}="1">'
    assert said('<img src="a.png" src="b.png" width="100">', "images") == " ![](a.png) "
