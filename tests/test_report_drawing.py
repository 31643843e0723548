"""The drawing of a run's stages in `winnow report`: what stands where, what is left out, safe with any name."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
import support

from winnow.core.store.locations import open_store
from winnow.dags.looking.finished import FinishedRun
from winnow.dags.looking.report import gather, render
from winnow.dags.looking.report.drawing import HEIGHT, Box, Dag, _through, dag_of, svg_of
from winnow.dags.recipe.records import latest_record

RECIPE = """
stages:
  docs: {use: jsonl, files: raw.jsonl, columns: {lang: string}}
  sig: {use: signals, inputs: docs}
  clean: {use: filter, inputs: sig, keep: {long: word_count > 4}}
  unique: {use: minhash, inputs: docs}
  some: {use: random, inputs: docs, budget: 5 docs}
  corpus: {use: write, inputs: [docs, some]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawing")
    lines = (b'{"text": "%s %d", "lang": "en"}\n' % (b"word " * (n % 9 + 1), n) for n in range(30))
    support.put_file(folder / "raw.jsonl", b"".join(lines))
    return support.run(RECIPE, folder, folder / "root")


def box(name, *reads, operator="filter", says="keeps 1", kept=None, rank=3, complete=True):
    return Box(name=name, operator=operator, says=says, kept=kept, complete=complete, reads=reads, rank=rank)


def tops(svg):
    """Name of every box -> (left, top) of its frame."""
    root = ElementTree.fromstring(svg)
    return {
        group.findtext("title").split(":")[0]: tuple(int(group.find("rect").get(k)) for k in ("x", "y"))
        for group in root.iter("g")
    }


def test_a_composite_is_one_box_and_arrows_follow_the_sources(ran):
    dag = dag_of(FinishedRun(latest_record(ran.store)))
    reads = {b.name: b.reads for b in dag.boxes}
    assert reads == {"docs": (), "sig": ("docs",), "clean": ("sig",), "unique": ("clean",), "some": ("unique",),
                     "corpus": ("some",)}  # fmt: skip
    says = {b.name: b.says for b in dag.boxes}
    table = ran.table("clean", "kept")
    kept = sum(table.column("kept").to_pylist())
    assert 0 < kept < 30
    assert says["docs"] == "30 documents"
    assert says["clean"] == f"keeps {kept}, {kept / 30:.1%}"
    assert says["corpus"] == "5 documents written"
    assert next(b for b in dag.boxes if b.name == "unique").operator.endswith(" parts")
    assert dag.left == ""


def test_every_stage_stands_below_what_it_reads(ran):
    dag = dag_of(FinishedRun(latest_record(ran.store)))
    at = tops(svg_of(dag))
    for one in dag.boxes:
        for source in one.reads:
            assert at[one.name][1] >= at[source][1] + HEIGHT


def test_boxes_do_not_overlap_and_long_arrows_pass_between_them():
    dag = Dag(
        boxes=[box("a"), box("b", "a"), box("c", "b"), box("d", "a", "c"), *(box(f"e{n}", "a") for n in range(5))]
    )
    svg = svg_of(dag)
    at = sorted(tops(svg).values(), key=lambda p: (p[1], p[0]))
    assert all(two[1] > one[1] or two[0] >= one[0] + 158 for one, two in pairwise(at))
    ways = re.findall(r'class="way" d="([^"]*)"', svg)
    assert sum("V" in way for way in ways) == 1  # a to d, past b and c
    long = next(way for way in ways if "V" in way)
    through = float(re.search(r"(\d+) \d+V", long)[1])
    beside = [x for x, y in tops(svg).values() if y == 6 + (64 + 34)]
    assert not any(x <= through <= x + 158 for x in beside)


def test_of_a_large_recipe_decisions_are_drawn_first_and_the_rest_is_named(ran):
    dag = dag_of(FinishedRun(latest_record(ran.store)), most=4)
    assert {b.name for b in dag.boxes} >= {"clean", "unique", "some"}
    assert len(dag.boxes) == 4
    assert len(dag.left_out) == 2
    assert dag.left.startswith("4 of 6 stages are drawn; left out: ")
    assert all(name in dag.left for name in dag.left_out)


def test_arrows_pass_through_what_is_left_out():
    reads = {"a": (), "b": ("a",), "c": ("b",), "d": ("c", "a")}
    assert _through(reads, {"a", "c", "d"}) == {"a": (), "b": ("a",), "c": ("a",), "d": ("c",)}


def test_a_record_in_which_stages_read_each_other_is_drawn_all_the_same():
    assert set(tops(svg_of(Dag(boxes=[box("a", "b"), box("b", "a")])))) == {"a", "b"}


def test_names_are_text_and_cut_where_they_are_long():
    svg = svg_of(Dag(boxes=[box("<script>alert(1)</script>", operator="x" * 99, says="&\x1b<b>")]))
    assert "<script" not in svg
    assert "&lt;script&gt;alert(1)&lt;/script&gt;: " in svg  # the whole of it, in the title
    assert "x" * 24 + "…" in svg
    assert "\x1b" not in svg
    ElementTree.fromstring(svg)


def test_what_is_kept_is_a_bar_and_a_stage_without_a_result_is_marked(ran, tmp_path):
    svg = svg_of(Dag(boxes=[box("half", kept=0.5), box("none", kept=0.0), box("open", complete=False)]))
    assert [float(w) for w in re.findall(r'class="share"[^>]* width="([\d.]+)"', svg)] == [71.0, 0.0]
    assert svg.count('class="box open"') == 1


def test_the_page_has_the_drawing_in_a_box_of_its_own_that_scrolls(ran):
    page = render(gather(latest_record(open_store(ran.store.location))))
    section = page[page.index('id="dag"') : page.index('id="funnel"')]
    assert re.search(r'<div class="scroll chart" role="img" aria-label="6 stages [^>]*><svg class="dag"', section)
    assert "style=" not in section
    assert not re.findall(r"(fill|stroke)=\"#", section)
