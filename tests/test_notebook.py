"""What a notebook shows: signatures and docstrings of methods, every selector, values that are no markup."""

import dataclasses
import inspect
import json
import re
import shutil

import pytest

import winnow as w
from winnow.dags.looking.notebook import table, verdicts_html
from winnow.dags.recipe.adds import is_required
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


GIVEN = {  # fields that a selector must be given, or that its rows lack
    "by": "word_count", "per": ["word_count"], "of": ["kept_clean", "kept_other"], "among": "kept_clean",
    "passed": "kept_other", "size": "word_count", "like": "held_out.jsonl", "target": "held_out.jsonl",
    "scores": ["word_count"], "since": "2019", "levels": [2], "share": 0.5, "t": 1,
    "exclude": ["one"], "at_least": 1.0,
    "phases": [{"name": "all", "select": "kept_clean", "tokens": "1k tokens"}],
}  # fmt: skip
FIELDS = {  # where a field that may be left out has to be given
    "length_matched": ["like"], "simcore": ["target"], "domain": ["by", "exclude"], "threshold": ["at_least"],
    "age": ["by", "since"], "rehydrate": ["size"], "dsir_resample": ["by"], "metaclip": ["t"], "mixture": ["per"], "quota": ["per"], "per_group": ["per"],
}  # fmt: skip


@pytest.mark.parametrize("name", SELECTORS)
def test_a_selection_by_name_is_what_the_method_makes(docs, name, tmp_path):
    (tmp_path / "held_out.jsonl").write_text('{"text": "one"}\n')
    pool = docs.signals().filter(name="other", keep={"x": "word_count > 1"})
    pool = pool.filter(name="clean", keep={"x": "word_count > 0"})
    if name in ("retrieve_tail", "metaclip"):
        pool = pool.concepts(files="held_out.jsonl")
    if name in ("d4", "cluster_balanced"):
        pool = pool.clusters(num=2)
    fields = {f.name: f for f in dataclasses.fields(operator_class(name))}
    wanted = [*FIELDS.get(name, []), *(n for n, f in fields.items() if n != "budget" and is_required(f))]
    given = {n: GIVEN[n] for n in wanted} | ({"budget": "1 docs"} if "budget" in fields and name != "buckets" else {})
    by_name, by_method = pool.select(getattr(w, name)(**given), name="x"), getattr(pool, name)(**given, name="x")
    assert f"use: {name}," in by_name.to_yaml()
    assert by_name.to_yaml() == by_method.to_yaml()
    assert by_name.narrow.use == name


def test_every_selector_is_completed():
    assert set(SELECTORS) <= set(dir(w))
    assert "signals" not in dir(w)


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


BAD = "<script>alert(1)</script>"
RECIPE_OF_MARKUP = """
name: odd
stages:
  docs:  {use: jsonl, files: docs.jsonl}
  sig:   {use: signals, inputs: docs}
  clean: {use: filter, inputs: [docs, sig], keep: {long: "word_count >= 3"}}
"""


def lines(folder, name, count, start=0):
    rows = [json.dumps({"text": f"{BAD} text number {i} of them", "url": f"u{i}"}) for i in range(start, start + count)]
    (folder / name).write_text("\n".join(rows) + "\n")


def test_head_reads_the_first_documents_without_a_run_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path, "a.jsonl", 3)
    lines(tmp_path, "b.jsonl", 3, start=3)
    pool = w.read("*.jsonl", columns={"url": "string"}).signals().filter(keep={"long": "word_count >= 3"})
    frame = pool.head(4)
    assert frame["url"].to_list() == ["u0", "u1", "u2", "u3"]
    assert frame.columns == ["text", "origin", "url"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]
    assert w.read("*.jsonl", columns={"url": "string"}).head().height == 5
    assert pool.head(100).height == 6
    assert pool.head(0).height == 0
    assert "<script>" not in frame._repr_html_()
    both = w.concat(w.read("b.jsonl", name="b"), w.read("a.jsonl", name="a"))
    assert ["number 3" in t for t in both.head(4)["text"]] == [True, False, False, False]
    assert "number 0" in both.head(4)["text"][3]


def test_head_reads_no_file_behind_those_it_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path, "a.jsonl", 3)
    (tmp_path / "b.jsonl.zst").write_bytes(b"nothing that zstd reads")
    assert w.read("a.jsonl", "b.jsonl.zst").head(3).height == 3


def test_head_says_what_it_passed_over_and_what_it_cannot_show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.jsonl").write_text('{"text": 3}\n{"text": "one"}\n{"text": "two"}\n')
    docs = w.read("docs.jsonl")
    with pytest.warns(UserWarning, match=r"1 records that were met are no documents; the first is docs.jsonl"):
        assert docs.head(1)["text"].to_list() == ["one"]
    with pytest.raises(w.ConfigError, match="made by a run") as caught:
        docs.write().head(1)
    assert "run.head('write')" in str(caught.value)
    for n in (-1, 10_001):
        with pytest.raises(w.ConfigError, match="not in"):
            docs.head(n)
    with pytest.raises(w.ConfigError):
        w.read("nowhere.jsonl").head(1)


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """Three runs of a recipe of one name, below ./runs."""
    monkeypatch.chdir(tmp_path)
    lines(tmp_path, "docs.jsonl", 12)
    for least in (3, 99, 3):
        (tmp_path / "odd.yaml").write_text(RECIPE_OF_MARKUP.replace(">= 3", f">= {least}"))
        w.run_recipe("odd.yaml", out="runs/odd", workers=0)
    return tmp_path


def kept(run):
    return run.frame("clean", "kept").collect()["kept"].sum()


def test_head_of_a_run_has_the_columns_of_a_stage(odd):
    run = w.open("odd")
    assert run.head("clean", 3).equals(run.frame("clean").collect().head(3))
    assert run.head("sig", 2, ["word_count", "text"]).columns == ["doc_id", "word_count", "text"]
    assert run.head("docs").height == 10
    with pytest.raises(w.ConfigError, match="negative"):
        run.head("docs", -1)
    with pytest.raises(w.ConfigError):
        run.head("nothing")


def test_a_run_is_shown_as_its_funnel(odd):
    shown = w.open("odd")._repr_html_()
    assert "<th>kept</th>" in shown
    assert "<td>clean</td><td>filter</td><td>columns</td>" in shown
    assert re.search(r"<td>clean</td>.*?>12</td><td[^>]*>12</td>", shown)
    assert "<div>! clean: clause &#x27;long&#x27; refuses all" in w.open("odd@2")._repr_html_()
    for stage in (odd / "runs" / "odd").glob("filter-*"):
        shutil.rmtree(stage)
    assert "not complete" in w.open("odd")._repr_html_()


def test_what_people_named_is_no_markup():
    texts = [table([BAD], [[BAD, 1, None]], BAD, [BAD])]
    texts.append(w.top_k(by=BAD, docs=3)._repr_html_())
    row = {
        "primary": True, "mean_diff": -0.25, "low": -0.3, "high": -0.2, "p_adjusted": 0.01, "verdict": "better", "mde": 0.1,
        "method": {"low": -0.3, "high": -0.2}, "selection": {"low": None, "high": None},
    }  # fmt: skip
    arm = {"effects": {BAD: row}}
    metrics = {
        "arms": {BAD: arm}, "aa": {"again": arm}, "targets": {BAD: {"unit": "nats"}}, "seeds": 6, "notes": [BAD],
        "verdicts": {BAD: f"{BAD} is better"},
    }  # fmt: skip
    texts.append(verdicts_html(metrics))
    assert "-0.250 nats" in texts[-1]
    assert "-0.300 .. -0.200" in texts[-1]
    assert ">better<" in texts[-1]
    assert "(A/A)" in texts[-1]
    for text in texts:
        assert "<script" not in text
        assert "&lt;script&gt;" in text


def takes_a_run():
    """Public functions of winnow that look at a run somebody made: they have a parameter `run`, and no `root` to write."""
    for name in w.__all__:
        found = getattr(w, name)
        if inspect.isfunction(found) and "run" in inspect.signature(found).parameters and name != "ablate":
            yield name


@pytest.mark.parametrize("name", list(takes_a_run()))
def test_a_run_is_named_as_on_the_command_line(odd, name):
    entry = getattr(w, name)
    for address in ("runs/odd", "odd", "runs/odd:odd", odd / "runs" / "odd", str(odd / "runs" / "odd"), None):
        assert (entry(address).about["number"], kept(entry(address))) == (3, 12)
    for address in ("runs/odd:odd@prev", "odd@prev", "odd@2", "runs/odd@2", f"{odd}/runs/odd:odd@2"):
        assert (entry(address).about["number"], kept(entry(address))) == (2, 0)
    assert entry("odd@1").about["number"] == 1
    assert entry("runs/odd", name="odd@2").about["number"] == 2
    for address in ("odd@9", "od", "runs/odd:other", "runs/none"):
        with pytest.raises(w.ConfigError):
            entry(address)


def test_some_function_takes_a_run():
    assert "open" in list(takes_a_run())
