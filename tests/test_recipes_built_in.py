"""The built-in recipes from a small crawl to shards: every page that goes has the reason that was planted in it."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from archives import http, members, warc
from support import put_file, run, run_loaded

from winnow.cli import main
from winnow.core.operators.config import build
from winnow.dags.before.catalogue import described, described_lines, recipes
from winnow.dags.recipe.registry import operator_class
from winnow.dags.recipe.yaml_recipe import RECIPES, load_recipe
from winnow.pipeline.filter.filter import load_preset, preset_names

SET = re.compile(r"--set (stages\.[\w.]+)=(?:'([^']*)'|([^\s`')]+))")

ENGLISH = """The old ferry leaves the harbour at seven, and it is back before the shops of the town have closed.
Most of the bread that people eat here is still baked in a small house behind the church.
Nobody could say with certainty when the first bridge over the river had been built.
In winter the road is often blocked, so that letters and newspapers arrive two days late.
A new teacher came to the school last year, and she has already changed how they learn to read.
They had to wait for the rain to stop before the roof of the barn could be mended.
The council asked for three offers, and the cheapest of them was not the one that they took.
Her grandfather was the last man in the valley who knew how to repair the great clock.
Every spring the water rises until it reaches the second step of the stairs to the mill.
Some of the visitors come to walk, and others to sit in the garden with a book.
It would be wrong to think that the market has become smaller since the trains stopped.
What the owner of the inn told them about the storm was true, but only in part.
The library lends more music than novels, which surprised those who have to pay for it.
A painter from the north lived with them for a summer and left nine pictures behind.
Because the ground is heavy and wet, the orchards were planted on the slope above the village.
You can hear the bells of both chapels from the hill, if the wind comes from the east.
The doctor said that he had never seen so many people with a cold in a single week.
Between the two wars the factory made buttons, and later on it made parts for radios.
There is no record of the fire, but the beams of the hall are black to this day.
She wanted to have the letters printed, and to give a copy of them to each of her children.
To reach the lake one must follow the wall for an hour, and then turn to the left.
The price of a seat in the theatre was the same as that of a loaf, as everybody knew.
After the meeting the farmers stayed for a long time and talked about the price of milk.
The museum shows tools of wood and stone with which the first settlers of the valley worked.
He kept a diary for sixty years, and there is hardly a day on which he did not write.
That the tower leans is well known, and yet each of them had to see it with his own eyes.
Of the forty houses that stood around the square only eleven have kept their painted doors.
When the snow has melted, the herds are led over the pass and stay there until September.
The baker and the smith are brothers, and they have not spoken with each other since May.
With the money from the sale the club bought a boat, two tents and a box of lamps.
In the cellar they found bottles with labels that no one in the family was able to read.
The engineer explained that the dam would hold, and that the noise came from the turbines.""".splitlines()
GERMAN = """Die alte Fähre verlässt den Hafen um sieben Uhr und kommt zurück, bevor die Läden schließen.
Das meiste Brot, das man hier isst, wird noch immer in einem kleinen Haus hinter der Kirche gebacken.
Niemand konnte mit Sicherheit sagen, wann die erste Brücke über den Fluss gebaut worden war.
Im Winter ist die Straße oft gesperrt, so dass Briefe und Zeitungen zwei Tage später ankommen.
Eine neue Lehrerin kam im letzten Jahr an die Schule und hat schon vieles verändert.
Sie mussten warten, bis der Regen aufhörte, bevor das Dach der Scheune ausgebessert werden konnte.
Der Gemeinderat bat um drei Angebote, und das billigste davon wurde nicht angenommen.
Ihr Großvater war der letzte Mann im Tal, der die große Uhr reparieren konnte.
In jedem Frühjahr steigt das Wasser, bis es die zweite Stufe der Treppe zur Mühle erreicht.
Manche Gäste kommen zum Wandern, andere sitzen lieber mit einem Buch im Garten.
Was der Wirt ihnen über den Sturm erzählt hat, war nur zum Teil richtig.
Die Bücherei verleiht mehr Musik als Romane, was diejenigen überrascht, die dafür bezahlen.
Weil der Boden schwer und nass ist, wurden die Obstgärten am Hang über dem Dorf gepflanzt.
Zwischen den Kriegen stellte die Fabrik Knöpfe her, später dann Teile für Radios.
Über den Brand gibt es keine Aufzeichnungen, aber die Balken der Halle sind bis heute schwarz.
Um den See zu erreichen, muss man eine Stunde lang der Mauer folgen und dann links abbiegen.
Nach der Versammlung blieben die Bauern noch lange und redeten über den Preis der Milch.
Das Museum zeigt Werkzeuge aus Holz und Stein, mit denen die ersten Siedler gearbeitet haben.
Er führte sechzig Jahre lang ein Tagebuch und schrieb beinahe an jedem Tag etwas hinein.
Wenn der Schnee geschmolzen ist, werden die Herden über den Pass geführt und bleiben bis September.
Der Bäcker und der Schmied sind Brüder und haben seit Mai nicht mehr miteinander gesprochen.
Im Keller fanden sie Flaschen mit Schildern, die niemand in der Familie lesen konnte.
Der Ingenieur erklärte, dass der Damm halten werde und das Geräusch von den Turbinen komme.
Vom Geld aus dem Verkauf kaufte der Verein ein Boot, zwei Zelte und eine Kiste mit Lampen.""".splitlines()


def story(pool: list[str], seed: int, count: int = 10) -> list[str]:
    return random.Random(seed).sample(pool, count)


def paragraphs(sentences: list[str]) -> str:
    return "".join(f"<p>{' '.join(sentences[at : at + 3])}</p>" for at in range(0, len(sentences), 3))


def page(body: str, title: str = "News") -> bytes:
    menu = "<nav><a href='/'>Home</a> <a href='/all'>All the news</a></nav>"
    html = f"<html><head><title>{title}</title></head><body>{menu}<article><h1>News of the day</h1>{body}</article>"
    return http((html + "<footer><a href='/i'>Imprint</a></footer></body></html>").encode())


WORDY = " ".join(f"the {'abcdefgh'[k % 8]}{k}x of" for k in range(60))
PLANTED = {  # address -> body of a page
    **{f"https://good{k}.org/": paragraphs(story(ENGLISH, k)) for k in range(6)},
    "https://copy.org/": paragraphs(story(ENGLISH, 0)),
    "https://shop.blocked.example/": paragraphs(story(ENGLISH, 20)),
    "https://short.org/": "<p>The shop is closed until the end of the week, and it will open again on Monday.</p>",
    "https://lines.org/": paragraphs(story(ENGLISH, 21)) + "<p>The boats sail on Sunday and on Monday.</p>" * 9,
    "https://furniture.org/": paragraphs(story(ENGLISH, 22))
    + "".join(f"<p>{k} LIKES AND {k} COMMENTS</p>" for k in range(12)),
    "https://empty.org/": "",
    **{f"https://gut{k}.de/": paragraphs(story(GERMAN, k)) for k in range(6)},
    "https://liste.de/": paragraphs(story(GERMAN, 30)) + "<p>Die Boote fahren am Sonntag.</p>" * 40,
}
PLAIN = {  # address -> what a WET record holds
    **{f"https://good{k}.org/": "\n".join(["Home | News", *story(ENGLISH, k)]) for k in range(4)},
    "https://copy.org/": "\n".join(["Sign up", *story(ENGLISH, 0)]),  # the same lines are left
    "https://few.org/": "\n".join([*story(ENGLISH, 9, 4), "Menu", "no mark at the end of this line"]),
    "https://latin.org/": "\n".join([*story(ENGLISH, 10), "Here is lorem ipsum for all of you."]),
    "https://code.org/": "\n".join([*story(ENGLISH, 11), "Then f(x) { return 1; } was the answer."]),
    "https://bad.org/": "\n".join([*story(ENGLISH, 12), "He said blast it to all of them."]),
    "https://gut.de/": "\n".join(story(GERMAN, 1)),
    "https://menu.org/": "Home\nNews\nAbout us",
}


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crawl")
    records = [warc(page(body), url=url) for url, body in PLANTED.items()]
    (folder / "crawl").mkdir()
    (folder / "crawl" / "a.warc.gz").write_bytes(members(records))
    wet = [warc(text.encode(), url=url, kind="conversion") for url, text in PLAIN.items()]
    (folder / "crawl" / "a.warc.wet.gz").write_bytes(members(wet))
    put_file(folder / "blocklists" / "shops", b"blocked.example\n")
    put_file(folder / "ldnoobw" / "en", b"blast\nblast it\n")
    liked = [{"text": " ".join(story(ENGLISH[:12], k, 8))} for k in range(30)]
    put_file(folder / "positives" / "liked.jsonl", "".join(json.dumps(row) + "\n" for row in liked).encode())
    return folder


def built_in(name: str, crawl, root, **changed: str):
    """The run of a recipe, as it is or with parts of its text replaced."""
    text = (RECIPES / f"{name}.yaml").read_text("utf-8")
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    return run(text, crawl, root, name=name)


def fates(ran, key: str = "url") -> dict[str, tuple[str, set[str]]]:
    """Document -> (the stage that drops it, the clauses that refuse it there); ("corpus", none) where it is written."""
    out: dict[str, tuple[str, set[str]]] = {}
    deciding = [n for n in ran.plan.nodes if n.outputs.get("kept") == pa.bool_() and not n.hidden]
    for node in deciding:
        clauses = [name for name in node.outputs if name.startswith("pass_")]
        for row in pl.from_arrow(ran.table(node.face_of or node.name, key, "kept", *clauses)).iter_rows(named=True):
            if row["kept"] is False:
                refused = {name.removeprefix("pass_") for name in clauses if row[name] is not True}
                out.setdefault(row[key], (node.spoken, refused))
    for name in ran.table("corpus", key)[key].to_pylist():
        assert name not in out
        out[name] = ("corpus", set())
    return out


def same(found: dict[str, tuple[str, set[str]]], expected: dict[str, tuple[str, set[str]]]) -> None:
    """Every document has the fate that was planted; of the clauses that refuse it those that were meant are among them."""
    assert {name: stage for name, (stage, _) in found.items()} == {name: stage for name, (stage, _) in expected.items()}
    for name, (_, clauses) in expected.items():
        assert clauses <= found[name][1], (name, found[name])


WRITTEN = ("corpus", set())
OF_CRAWL = {
    **{f"https://good{k}.org/": WRITTEN for k in range(1, 6)},
    "https://shop.blocked.example/": ("allowed", {"url_not_listed"}),
    **{f"https://gut{k}.de/": ("english", {"english"}) for k in range(6)},
    "https://liste.de/": ("english", {"english"}),
}


def copies_of(found) -> dict[str, tuple[str, set[str]]]:
    """Of a page and its copy, one is written and the other one dropped by `unique`."""
    both = {url: found[url][0] for url in ("https://good0.org/", "https://copy.org/")}
    assert sorted(both.values()) == ["corpus", "unique"]
    return {url: (stage, set()) for url, stage in both.items()}


def test_c4_drops_each_page_for_the_reason_that_it_was_given(crawl, tmp_path):
    ran = built_in("c4", crawl, tmp_path)
    found = fates(ran)
    same(found, copies_of(found) | {
        **{f"https://good{k}.org/": WRITTEN for k in range(1, 4)},
        "https://few.org/": ("c4", {"sentences"}), "https://latin.org/": ("c4", {"lorem_ipsum"}),
        "https://code.org/": ("c4", {"curly"}), "https://gut.de/": ("c4", {"english"}),
        "https://menu.org/": ("c4", {"text"}), "https://bad.org/": ("clean", {"c4_no_bad_words"}),
    })  # fmt: skip
    assert not any("Home" in text or "Sign up" in text for text in ran.table("corpus", "text")["text"].to_pylist())


def test_refinedweb_drops_each_page_for_the_reason_that_it_was_given(crawl, tmp_path):
    ran = built_in("refinedweb", crawl, tmp_path)
    found = fates(ran)
    same(found, OF_CRAWL | copies_of(found) | {
        "https://short.org/": ("documents", {"refinedweb_words"}),
        "https://empty.org/": ("documents", {"refinedweb_words"}),  # its headline
        "https://lines.org/": ("documents", {"refinedweb_dup_lines"}),
        "https://furniture.org/": ("documents", {"refinedweb_lines_kept"}),
    })  # fmt: skip


def test_fineweb2_takes_other_languages_by_their_own_limits(crawl, tmp_path):
    ran = built_in("fineweb2", crawl, tmp_path, **{"preset: fineweb2_tail}": "preset: fineweb2_tail, min_docs: 3}"})
    found = fates(ran)
    for url in PLANTED:
        if url.endswith(".org/"):
            assert found[url][0] == "others"
            assert found[url][1] & {"text", "not_english"}
    assert found["https://shop.blocked.example/"][0] == "allowed"
    german = {url: found[url] for url in PLANTED if url.endswith(".de/")}
    assert german["https://liste.de/"][0] == "clean"
    assert {"fineweb2_char_dup"} <= german["https://liste.de/"][1]
    assert sum(stage == "corpus" for stage, _ in german.values()) >= 3
    limits = pl.from_arrow(ran.table("limit", "most_mean_word_length", "least_mean_word_length")).drop_nulls()
    assert limits["most_mean_word_length"].n_unique() == 1
    assert 3 < limits["least_mean_word_length"][0] <= limits["most_mean_word_length"][0] < 8


def test_dclm_baseline_drops_each_page_for_the_reason_that_it_was_given(crawl, tmp_path):
    ran = built_in("dclm_baseline", crawl, tmp_path, **{"share: 0.1": "share: 0.5"})  # of few pages
    found = fates(ran)
    gone = {url: found[url] for url in found if found[url][0] not in ("corpus", "best", "unique")}
    same(gone, {url: fate for url, fate in OF_CRAWL.items() if fate != WRITTEN} | {
        "https://short.org/": ("documents", {"dclm_words"}),
        "https://empty.org/": gone["https://empty.org/"],
        "https://lines.org/": ("documents", {"dclm_dup_lines"}),
        "https://furniture.org/": ("documents", {"dclm_lines_kept"}),
    })  # fmt: skip
    assert found["https://empty.org/"][0] in ("english", "documents")
    both = [found[url][0] for url in ("https://good0.org/", "https://copy.org/")]
    assert both.count("unique") == 1
    rest = [url for url, (stage, _) in found.items() if stage in ("corpus", "best")]
    assert len(rest) == 6
    scores = dict(
        zip(*(ran.table("quality.score", "url", "score")[c].to_pylist() for c in ("url", "score")), strict=True)
    )
    kept = [url for url in rest if found[url][0] == "corpus"]
    assert len(kept) == 3
    assert min(scores[url] for url in kept) >= max(scores[url] for url in rest if url not in kept)


def from_other_files(name: str, reader: str, crawl, root, **sets: str):
    """The run of a recipe whose pages some other reader reads, as `--set stages.pages=...` says it."""
    sets = {"lists": "blocklists/*", "stages.pages": reader, "stages.corpus.carry": "[url, title]", **sets}
    return run_loaded(dataclasses.replace(load_recipe(name, sets=sets), folder=crawl), root)


def body_of(url: str) -> str:
    return page(PLANTED[url]).partition(b"\r\n\r\n")[2].decode()


FEW = ["https://good1.org/", "https://good2.org/", "https://short.org/", "https://lines.org/", "https://gut1.de/"]
OF_FEW = {
    "https://good1.org/": "corpus", "https://good2.org/": "corpus", "https://short.org/": "documents",
    "https://lines.org/": "documents", "https://gut1.de/": "english",
}  # fmt: skip


@pytest.mark.parametrize("name", ["refinedweb", "fineweb"])
def test_pages_in_a_column_of_json_lines_meet_the_same_fates_as_in_archives(name, crawl, tmp_path):
    urls = [*FEW, "https://shop.blocked.example/"]
    put_file(crawl / f"{name}.jsonl", "".join(json.dumps({"html": body_of(u), "url": u}) + "\n" for u in urls).encode())
    reader = f"{{use: jsonl, files: {name}.jsonl, text_field: html, columns: {{url: string}}}}"
    ran = from_other_files(name, reader, crawl, tmp_path, **{"stages.main.html": "text"})
    found = {url: stage for url, (stage, _) in fates(ran).items()}
    fate = OF_FEW | {"https://shop.blocked.example/": "allowed"}
    if name == "fineweb":
        fate |= dict.fromkeys(("https://short.org/", "https://lines.org/"), "gopher")
    assert found == fate
    texts = ran.table("corpus", "text")["text"].to_pylist()
    assert len(texts) == 2
    assert not any("<p>" in text or "All the news" in text for text in texts)


@pytest.mark.parametrize("name", ["refinedweb", "dclm_baseline"])
def test_pages_in_files_are_told_by_addresses_made_of_their_paths(name, crawl, tmp_path):
    for url in FEW:
        put_file(crawl / name / f"{url[8:-1]}.html", body_of(url).encode())
    put_file(crawl / name / "shop.blocked.example" / "a.html", body_of("https://shop.blocked.example/").encode())
    reader = f'{{use: html_files, files: "{name}/**/*.html", base: {name}, url: "https://{{stem}}/"}}'
    ran = from_other_files(name, reader, crawl, tmp_path)
    found = {url: stage for url, (stage, _) in fates(ran).items()}
    found = {u: "corpus" if stage == "best" else stage for u, stage in found.items()}  # few pages have no best tenth
    assert found == OF_FEW | {"https://shop.blocked.example/a/": "allowed"}


CODE = {  # file -> what it holds
    "good.py": "".join(
        f"def part_{k}(value):\n    # adds {k} to what it is given\n    return value + {k}\n\n" for k in range(12)
    ),
    "mail.py": "".join(f"NAME_{k} = 'value number {k * k}'\n" for k in range(30)) + "AUTHOR = 'somebody@example.org'\n",
    "long.js": "var data = [" + "1, " * 600 + "1];\n",
    "wide.c": "".join(f"int value_{k} = {' + '.join(f'other_{k}_{n}' for n in range(12))};\n" for k in range(9)),
    "rule.txt": "-=-=-=-=-=-=-=-=-=-=\n" * 30,
    "feed.xml": '<?xml version="1.0"?>\n<feed><entry>words and more words</entry></feed>\n',
    "bare.html": "<html>" + "<div class='box'>\n" * 40 + "a\n" + "</div>\n" * 40 + "</html>\n",
    "read.html": "<p>" + ".</p>\n<p>".join(ENGLISH[:8]) + "</p>\n",
    "tiny.json": '{"a": 1}\n',
}
CODE["copy.py"] = CODE["good.py"].replace("part_3(", "part_three(")


def test_starcoder_like_drops_each_file_for_the_reason_that_it_was_given(tmp_path):
    for name, text in CODE.items():
        put_file(tmp_path / "code" / "project" / name, text.encode())
    ran = built_in("starcoder_like", tmp_path, tmp_path / "root")
    found = {origin.rpartition("/")[2]: fate for origin, fate in fates(ran, "origin").items()}
    twins = {name: found.pop(name)[0] for name in ("good.py", "copy.py")}
    assert sorted(twins.values()) == ["corpus", "unique"]
    same(found, {
        "mail.py": WRITTEN, "read.html": WRITTEN,
        "long.js": ("clean", {"starcoder_max_line"}), "wide.c": ("clean", {"starcoder_mean_line"}),
        "rule.txt": ("clean", {"starcoder_alphanumeric"}), "feed.xml": ("clean", {"starcoder_no_xml"}),
        "bare.html": ("clean", {"starcoder_html"}), "tiny.json": ("clean", {"starcoder_data_size"}),
    })  # fmt: skip
    texts = ran.table("corpus", "text")["text"].to_pylist()
    assert any("<EMAIL>" in text for text in texts)
    assert not any("somebody@" in text for text in texts)


MATHS = [
    "We show that the integral $\\int_0^{K} x^2 dx = \\frac{K^3}{3}$ converges for every real number $K > 0$.",
    "Let $f_{K}$ be a continuous function, and let $\\alpha$ be a root of the equation $f(x) = {K}$.",
    "By the theorem above, the matrix $A_{K}$ has an eigenvalue $\\lambda \\le {K}$, which completes the proof.",
    "The polynomial $p(x) = x^{K} - 1$ has a factor $x - 1$, so that its derivative is $p'(x) = {K} x^{K}$.",
    "Suppose that $n$ is a prime greater than {K}; then the sum $\\sum_{k=1}^{n} k$ is divisible by $n$.",
    "It follows from the lemma that the vectors $v_1, \\ldots, v_{K}$ span a subspace of dimension {K}.",
    "Using the substitution $u = {K} - x$ in the integral, we find the same value with the opposite sign.",
    "A triangle with sides $3$, $4$ and $5$ has the area $6$, and {K} of them fill a square of side ${K}$.",
]
GERMAN_MATHS = (
    "Es sei $f$ eine stetige Funktion und $\\alpha$ eine Nullstelle der Gleichung $f(x) = 0$, die wir suchen. "
)
SCRIPT = "<script src='/mathjax.js'></script>"
PROBLEM = "A farmer has seventeen baskets with nine apples each and gives away five baskets; how many apples are left to sell?"


def maths(seed: int, count: int = 5) -> list[str]:
    """Sentences with formulas, in each its own number."""
    chosen = random.Random(seed).sample(MATHS, count)
    return [sentence.replace("{K}", str(seed * 31 + at)) for at, sentence in enumerate(chosen)]


def plainly(sentence: str) -> str:
    """Without its formulas."""
    return re.sub(r"\$[^$]+\$", "it", sentence)


MATH_PAGES = {  # address -> body of a page
    **{f"https://good{k}.org/": paragraphs(maths(k + 1)) for k in range(4)},
    "https://copy.org/": paragraphs(maths(1)),
    "https://plain.org/": SCRIPT + paragraphs([plainly(sentence) for sentence in maths(5)]),
    "https://ferry.org/": paragraphs(story(ENGLISH, 1)),
    "https://loaded.org/": SCRIPT + paragraphs(story(ENGLISH, 2)),
    "https://marked.org/": paragraphs([*story(ENGLISH, 3), "The price was $\\alpha$."]),
    "https://mathe.de/": f"<p>{GERMAN_MATHS * 4}</p>",
    "https://sale.org/search?q=sum": paragraphs(maths(6)),
    "https://math.stackexchange.com/users/7": paragraphs(maths(7)),
    "https://site.org/profile/7": paragraphs(maths(8)),
    "https://bibbase.org/": paragraphs(maths(9)),
    "https://chem.libretexts.org/": SCRIPT
    + "<p>The theorem and its proof are about an equation of the matrix here. </p>" * 3,
    "https://tiny.org/": "<p>So $x = \\frac{1}{2}$ is the one.</p>",
    "https://accents.org/": f"<p>{' '.join(maths(10))} {'é ' * 40}</p>",
    "https://odd.org/": f"<p>{' '.join(sorted(' '.join(maths(12)).split(), key=lambda word: word[::-1]))}</p>",  # in no order
    "https://tested.org/": f"{paragraphs(maths(11))}<p>{PROBLEM}</p>",
}


def test_math_web_drops_each_page_for_the_reason_that_it_was_given(tmp_path):
    records = [warc(page(body), url=url) for url, body in MATH_PAGES.items()]
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl" / "a.warc.gz").write_bytes(members(records))
    put_file(tmp_path / "tests" / "gsm.jsonl", json.dumps({"text": PROBLEM}).encode())
    for name, texts in (("positives", [plainly(" ".join(maths(100 + k))) if k % 2 else " ".join(maths(100 + k)) for k in range(60)]),
                        ("negatives", [" ".join(story(ENGLISH, 100 + k, 6)) for k in range(60)])):  # fmt: skip
        put_file(tmp_path / name / "a.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts).encode())
    changed = {
        "perplexity <= 15000": "perplexity <= 600",
        'negative: "${negatives}"': 'negative: "${negatives}", epoch: 60',
    }
    ran = built_in("math_web", tmp_path, tmp_path / "root", **changed)
    found = fates(ran)
    both = {url: found.pop(url)[0] for url in ("https://good0.org/", "https://copy.org/")}
    assert sorted(both.values()) == ["corpus", "unique"]
    same(found, {f"https://good{k}.org/": WRITTEN for k in range(1, 4)} | {
        "https://plain.org/": WRITTEN,  # no formula, and a score above 0.8
        "https://ferry.org/": ("candidates", {"math_page"}), "https://loaded.org/": ("clean", {"math"}),
        "https://marked.org/": ("clean", {"math"}),
        "https://mathe.de/": ("english", {"english"}), "https://sale.org/search?q=sum": ("sites", {"owm_search"}),
        "https://math.stackexchange.com/users/7": ("sites", {"owm_users"}),
        "https://site.org/profile/7": ("sites", {"owm_sites"}), "https://bibbase.org/": ("sites", {"owm_papers"}),
        "https://chem.libretexts.org/": ("sites", {"owm_libretexts"}), "https://tiny.org/": ("sites", {"owm_chars"}),
        "https://accents.org/": ("sites", {"owm_accents"}), "https://odd.org/": ("clean", {"perplexity"}),
        "https://tested.org/": ("untested", set()),
    })  # fmt: skip
    texts = [text for text in ran.table("corpus", "text")["text"].to_pylist() if "$" in text]
    assert len(texts) == 4
    assert all(text.count("$") >= 8 and "All the news" not in text for text in texts)


OF_THE_PAGE = SET.findall((Path(__file__).parents[1] / "docs" / "web.md").read_text("utf-8"))
SHOWN = {"score": "math_web", "clean": "math_web"}  # stages that the page sets, of another recipe than `fineweb`


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_a_recipe_says_may_be_set_can_be_set(path):
    """Values in its comments, and in the page about such recipes, name fields that there are."""
    said = SET.findall(path.read_text("utf-8"))
    said += [one for one in OF_THE_PAGE if path.stem == SHOWN.get(one[0].split(".")[1], "fineweb")]
    for key, quoted, bare in said:
        recipe = load_recipe(path.stem, sets={key: quoted or bare})
        (stage,) = (s for s in recipe.stages if s.name == key.split(".")[1])
        assert not stage.text
        build(operator_class(stage.use), stage.config, where=key)
    assert said or path.stem in ("c4", "quickstart")


def test_list_shows_the_recipe_and_the_preset_of_one_name():
    both = {r["name"] for r in recipes()} & set(preset_names())
    assert {"c4", "dclm_baseline", "fineweb", "fineweb2", "refinedweb"} <= both
    for name in sorted(both):
        text = "\n".join(line for _, line in described_lines(described(name), width=100))
        assert (RECIPES / f"{name}.yaml").read_text("utf-8").strip() in text
        assert f"`preset: {name}`" in text
        assert all(f"{clause}: {rule}" in text for clause, rule in load_preset(name).items())


def test_list_prints_both_of_fineweb(capsys):
    assert main(["list", "fineweb"]) == 0
    out = capsys.readouterr().out
    assert "fineweb_list: list_ratio" in out
    assert "unique: {use: minhash, inputs: pages" in out
