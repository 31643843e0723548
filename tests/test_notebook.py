"""What a notebook shows: signatures and docstrings of methods, every selector, values that are no markup."""

import dataclasses
import inspect

import pytest

import winnow as w
from winnow.dags.recipe.registry import REGISTRY, operator_class

SELECTORS = [n for n in REGISTRY if operator_class(n).role == "selector"]


@pytest.fixture
def docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.jsonl").write_text('{"text": "<b>one</b>"}\n')
    return w.read("docs.jsonl", name="docs")


@pytest.mark.parametrize("name", [n for n in REGISTRY if operator_class(n).role not in ("reader", "union")])
def test_every_method_shows_its_fields_and_its_docstring(docs, name):
    method, cls = getattr(docs, name), operator_class(name)
    shown = inspect.signature(method).parameters
    for field in dataclasses.fields(cls):
        if not field.name.startswith("_"):
            assert field.name in shown
    assert {"name", "where"} <= set(shown)
    if name in dir(type(docs)):
        return
    assert method.__name__ == name
    assert inspect.getdoc(method) == inspect.getdoc(cls)


@pytest.mark.parametrize("name", SELECTORS)
def test_every_selector_is_reached_from_winnow_and_from_rows(docs, name):
    assert callable(getattr(w, name))
    assert callable(getattr(docs, name))
    assert name in dir(docs)


def test_a_selection_by_name_is_what_the_method_makes(docs):
    assert (
        docs.select(w.top_k(by="word_count", docs=1), name="x").to_yaml()
        == docs.top_k(by="word_count", docs=1, name="x").to_yaml()
    )


def test_what_is_shown_is_escaped(docs):
    assert "&lt;lazy rows" in docs._repr_html_()
    assert "<lazy" not in docs._repr_html_()


def test_what_is_no_selector_says_where_it_is():
    with pytest.raises(AttributeError, match=r"call it on rows, rows.signals\(...\)"):
        w.signals
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        w.nonsense


@pytest.mark.parametrize("progress", [True, False])
def test_a_run_of_the_python_form_tells_its_remarks_as_the_command_line_does(docs, capsys, progress):
    kept = docs.filter(keep={"long": "word_count > 900"}).random(budget="90 docs").write(name="corpus")
    ran = kept.run("runs/told", workers=0, progress=progress)
    said = capsys.readouterr().err
    for line in ("populations: filter: ALL rows of docs", "! filter: clause 'long' refuses all 1 rows",
                 "! random: 0.0% of the budget of 90 documents is filled", "! corpus: writes no document"):  # fmt: skip
        assert (line in said) == progress
        assert line in str(ran) or line.startswith("populations")
    assert "filter: filter (columns) 1 rows, kept 0" in str(ran)
    assert ran.stages["filter"]["kept"] == 0
    assert ran.stages["signals"]["kept"] is None


def test_a_run_of_the_python_form_that_is_well_has_nothing_to_remark(docs, capsys):
    ran = docs.filter(keep={"long": "word_count > 0"}).write(name="corpus").run("runs/well", workers=0)
    assert "!" not in capsys.readouterr().err
    assert "!" not in str(ran)


def test_a_run_of_the_python_form_that_fails_tells_what_it_had_to_remark(docs, capsys):
    kept = docs.filter(keep={"long": "word_count > 900"}, expect={"min_rows": 5})
    with pytest.raises(w.DataError):
        kept.run("runs/failed", workers=0)
    assert "! filter: clause 'long' refuses all" in capsys.readouterr().err
