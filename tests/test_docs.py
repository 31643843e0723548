"""The documentation says what is so: marked blocks run, shown output is what comes out, no option is invented."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from dataclasses import fields

import pytest
from endpoint_server import endpoint
from support_docs import (
    DOCS,
    ROOT,
    Reader,
    blocks,
    check_command,
    check_yaml,
    loaded,
    pages,
    problems,
    untold,
    verbs,
    write_corpus,
)

import winnow
from winnow.core.errors import ConfigError
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.recipe.yaml_recipe import STAGE_KEYS, TOP_KEYS

RUN = [p for p in pages() if p.is_relative_to(DOCS) and any(b.mark == "run" for b in blocks(p.read_text("utf-8")))]


def name_of(page) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_marked_blocks_of_a_page_run_and_print_what_it_shows(
    page, corpus, tmp_path, tmp_path_factory, monkeypatch, request
):
    for path in corpus.iterdir():
        shutil.copy(path, tmp_path)
    with contextlib.ExitStack() as stack:
        if page.name == "endpoint.md":
            server = stack.enter_context(endpoint(tmp_path_factory.mktemp("server")))
            monkeypatch.setenv("ENDPOINT", server.url)
        if page.name == "stores.md":
            request.getfixturevalue("s3")
            put_corpus_on_s3(corpus)
        follow(page, tmp_path)


def put_corpus_on_s3(corpus):
    import obstore

    from winnow.core.store.remote_client import client_of

    obstore.put(client_of("s3://bucket"), "raw/deep/docs.jsonl", (corpus / "docs.jsonl").read_bytes())


def follow(page, tmp_path):
    assert Reader(tmp_path).follow(page.read_text("utf-8")) > 0


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_shows_nothing_that_winnow_does_not_have(page):
    assert problems(page) == []


def test_no_page_is_unfinished():
    unfinished = re.compile(r"\b(?:TODO|TBD|FIXME|XXX|FIGURES)\b")
    assert {name_of(p): found for p in pages() if (found := unfinished.findall(p.read_text("utf-8")))} == {}


def test_every_mark_stands_above_a_block():
    marks = re.compile(r"<!-- (?:run|output)\b[^>]*-->")
    stray = {
        name_of(page): (len(marks.findall(text)), marked)
        for page in pages()
        if page.is_relative_to(DOCS)
        and len(marks.findall(text := page.read_text("utf-8"))) != (marked := sum(bool(b.mark) for b in blocks(text)))
    }
    assert stray == {}


def test_the_pages_of_a_newcomer_are_run():
    assert {"quickstart.md", "filter.md", "deduplicate.md", "select.md", "measure.md", "extend.md"} <= {
        p.name for p in RUN
    }


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("a: {use: minhashh, inputs: docs}", "unknown operator"),
        ("a: {use: minhash, inputs: docs, treshold: 0.7}", "no field"),
        ("a: {use: minhash, inputs: docs, threshold: high}", "expected a number"),
        ("colour: red", "not a key"),
    ],
)
def test_a_page_with_an_invented_field_is_seen(bad, told):
    with pytest.raises((ConfigError, AssertionError), match=told):
        check_yaml(bad)


@pytest.mark.parametrize(
    "bad", ["winnow runn web.yaml", "winnow run web.yaml --threads 2", "winnow new scorer", "make dance"]
)
def test_a_page_with_an_invented_command_is_seen(bad):
    with pytest.raises(Exception, match=r"(?i)no verb|no such option|missing param|no target"):
        check_command(bad)


def test_shown_output_must_be_told_in_order():
    told = "a  1\nb 2 in 3.5s\nc 3\n"
    assert untold("a 1\nb 2 in ...\n", told) == []
    assert untold("b 2 in ...\na 1\n", told) == ["a 1"]
    assert untold("c 4\n", told) == ["c 4"]


def test_a_failing_block_fails_the_page(tmp_path):
    with pytest.raises(AssertionError, match="exit 2"):
        Reader(tmp_path).follow("<!-- run -->\n```bash\nwinnow run nowhere.yaml\n```\n")
    assert Reader(tmp_path).follow("<!-- run: exit 2 -->\n```bash\nwinnow run nowhere.yaml\n```\n") == 1


def test_the_figures_of_the_quickstart_are_the_same_wherever_they_are_shown():
    figures = loaded(DOCS / "figures" / "quickstart.py")
    data = json.loads((DOCS / "figures" / "quickstart.json").read_text("utf-8"))
    shown = figures.shown(data)
    assert {"README.md", "quickstart.md", "measure.md", "quickstart-dark.svg"} <= {p.name for p in shown}
    assert [name_of(path) for path, text in shown.items() if path.read_text("utf-8") != text] == []


def test_the_figures_of_the_calibration_are_the_same_wherever_they_are_shown():
    figures = loaded(DOCS / "figures" / "calibration.py")
    shown = figures.shown(json.loads((DOCS / "figures" / "calibration.json").read_text("utf-8")))
    assert {p.name for p in shown} == {"calibration.md", "calibration-dark.svg", "calibration-light.svg"}
    assert [name_of(path) for path, text in shown.items() if path.read_text("utf-8") != text] == []


def test_the_site_is_refused_where_a_page_would_fetch_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs")
    site = loaded(DOCS / "hooks" / "site.py")
    fetched = [
        '<script src="https://cdn.example/a.js"></script>',
        '<link href="//fonts.example/css" rel="stylesheet">',
        "<link rel=preconnect href=https://fonts.example>",
        "<style>@import url('https://fonts.example/x.css')</style>",
        '<img alt="x" src="http://elsewhere.example/x.png">',
    ]
    kept = [
        '<a href="https://example.org">a link</a>',
        '<img src="../img/mark.svg">',
        '<link rel="canonical" href="https://example.org">',
    ]
    (tmp_path / "page.html").write_text("\n".join(fetched + kept))
    assert len(site.remote(tmp_path)) == len(fetched)
    (tmp_path / "page.html").write_text("\n".join(kept))
    assert site.remote(tmp_path) == []


def test_the_reference_names_every_operator_field_verb_and_option():
    reference = loaded(DOCS / "hooks" / "reference.py")
    pages = reference.pages()
    operators = "".join(text for path, text in pages.items() if path not in ("reference/cli.md", "reference/python.md"))
    for name in REGISTRY:
        section = operators.split(f"## `{name}` {{ #{name} }}")[1].split("\n## ")[0]
        assert [f.name for f in fields(operator_class(name)) if f"| `{f.name}` |" not in section] == [], name
        assert f"[`{name}`]" in pages["reference/operators.md"]
    for verb, command in verbs().items():
        section = pages["reference/cli.md"].split(f"{{ #{verb} }}")[1].split("\n## ")[0]
        assert [o for p in command.params for o in p.opts if o.startswith("-") and f"{o}" not in section] == [], verb
    assert [n for n in winnow.__all__ if f"`{n}`" not in pages["reference/python.md"]] == []


def test_the_page_on_recipes_explains_every_key():
    page = (DOCS / "recipe.md").read_text("utf-8")
    assert [key for key in (*TOP_KEYS, *STAGE_KEYS) if f"| `{key}` |" not in page] == []
