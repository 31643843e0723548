"""Edited texts in recipes: whose text a stage reads, what is on disk, what people see."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pytest
from cli_runs import winnow
from support import lines_of, plan_of, put_corpus, run

from winnow.cli import main
from winnow.core.errors import ConfigError
from winnow.core.store.locations import open_store
from winnow.core.store.parts import read_file
from winnow.core.words.hashing import text_hash
from winnow.dags.before.checking import check_target
from winnow.dags.before.plan_view import plan_json, plan_lines
from winnow.dags.driver.session import Session
from winnow.dags.looking.collect_garbage import collect
from winnow.dags.looking.run import open as open_run
from winnow.dags.python.recipe import recipe_of
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.recipe.yaml_recipe import parse_recipe

PII, LONG = "mail me@example.com now", "this line has six words here"
DOCUMENTS = [
    {
        "text": f"One two three {n % 20}.\nno end here {n}\n{PII if n % 3 == 0 else LONG}." if n % 5 else f"no end {n}",
        "n": n,
    }
    for n in range(60)
]
READS = 'seed: 3\nstages:\n  docs: {use: jsonl, files: "raw/*.jsonl", columns: {n: int64}, id: "field:n"}\n'
RECIPE = (
    READS
    + """
  early: {use: count_tokens, inputs: docs}
  lines: {use: c4_lines, inputs: docs}
  late:  {use: count_tokens, inputs: docs}
  pii:   {use: mask_pii, inputs: docs, where: "n % 2 = 0", kinds: [email]}
  clean: {use: filter, inputs: docs, keep: {text_left: "text_bytes > 0"}}
  same:  {use: exact, inputs: docs}
  corpus: {use: write, inputs: docs, format: jsonl, carry: [n]}
  raw:   {use: write, inputs: docs, format: jsonl, carry: [n], text: docs}
"""
)


def lined(document):
    lines = [line for line in document["text"].split("\n") if line.endswith(".")]
    return "\n".join(lines)


def masked(document):
    text = lined(document)
    return text.replace("me@example.com", "<EMAIL>") if document["n"] % 2 == 0 else text


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = put_corpus(tmp_path_factory.mktemp("edit") / "raw", DOCUMENTS, 2).parent
    put_corpus(folder / "more", [{"text": f"more {n}", "n": n} for n in range(5)], 1)
    return folder


@pytest.fixture(scope="module")
def ran(corpus, tmp_path_factory):
    return run(RECIPE, corpus, tmp_path_factory.mktemp("root"))


def by_number(found, stage, column="text"):
    rows = found.table(stage, "n", column)
    return dict(zip(rows["n"].to_pylist(), rows[column].to_pylist(), strict=True))


def test_each_editor_reads_what_the_one_above_it_wrote(ran):
    assert by_number(ran, "lines") == {d["n"]: lined(d) for d in DOCUMENTS}
    assert by_number(ran, "pii") == {d["n"]: masked(d) for d in DOCUMENTS}
    assert by_number(ran, "docs") == {d["n"]: d["text"] for d in DOCUMENTS}


def test_hash_and_bytes_are_those_of_the_newest_text_also_where_nothing_was_asked(ran):
    for stage in ("lines", "pii"):
        texts = by_number(ran, stage)
        numbers = sorted(texts)
        hashes = text_hash(pa.array([texts[n] for n in numbers], pa.large_string())).to_pylist()
        found = by_number(ran, stage, "text_hash")
        assert [found[n] for n in numbers] == hashes
        sizes = by_number(ran, stage, "text_bytes")
        assert [sizes[n] for n in numbers] == [len(texts[n].encode()) for n in numbers]


def test_what_stands_below_an_editor_reads_its_text_and_what_stands_above_does_not(ran):
    early, late = by_number(ran, "early", "token_count"), by_number(ran, "late", "token_count")
    assert early == {d["n"]: -(-len(d["text"].encode()) // 4) for d in DOCUMENTS}
    assert late == {d["n"]: -(-len(lined(d).encode()) // 4) for d in DOCUMENTS}


def test_what_is_written_is_the_newest_text_or_the_one_that_is_named(ran):
    kept = {d["n"] for d in DOCUMENTS if masked(d)}
    written = by_number(ran, "corpus")
    assert written.keys() < kept, "exact duplicates of edited texts are gone"
    assert all(written[d["n"]] == masked(d) for d in DOCUMENTS if d["n"] in written)
    raw = by_number(ran, "raw")
    assert raw == {d["n"]: d["text"] for d in DOCUMENTS if d["n"] in written}


def test_only_changed_texts_are_on_disk(ran):
    part = next(iter(ran.of("pii").parts.values()))
    ref = part.file_of("text")
    assert [layer.key.partition("-")[0] for layer in ref.layers()] == ["mask_pii", "c4_lines", "jsonl"]
    own = read_file(ran.store, ref, ["text"]).column("text")
    assert own.null_count == len(own) - part.counts["edited"] > 0


def test_documents_of_which_nothing_is_left_keep_their_row_and_are_told(ran):
    counts = ran.of("lines").manifest.counts
    assert counts["rows"] == 60
    assert counts["emptied"] == 12
    told = ran.of("lines").operator.remarks(counts, {})
    assert any("left 12 of 60 documents (20.0%) empty" in one and "text_bytes > 0" in one for one in told)


def test_doc_ids_stay(ran):
    assert ran.of("docs").manifest.named("part").keys() == ran.of("pii").manifest.named("part").keys()
    rows = [[r.row_digest for r in ran.of(s).manifest.named("part").values()] for s in ("docs", "pii")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(("batch", "parts", "workers"), [(7, 3, 0), (1024, 1, 2)])
def test_any_layout_gives_the_same(ran, corpus, tmp_path, batch, parts, workers):
    size = len(lines_of(DOCUMENTS))
    other = run(RECIPE, corpus, tmp_path / "root", batch_rows=batch, part_bytes=size // parts + 1, workers=workers)
    for stage in ("lines", "late", "pii", "same", "corpus", "raw"):
        assert other.of(stage).manifest.content_digest == ran.of(stage).manifest.content_digest, stage


def test_a_second_run_computes_nothing(ran, corpus):
    again = run(RECIPE, corpus, ran.store.location)
    assert again.computed == {}
    assert by_number(again, "pii") == {d["n"]: masked(d) for d in DOCUMENTS}


def test_an_editor_that_changes_nothing_says_so_and_leaves_the_same_text(ran, corpus):
    recipe = RECIPE.replace("  late:", "  idle:  {use: mask_pii, inputs: docs, kinds: [iban]}\n  late:")
    with_idle = run(recipe, corpus, ran.store.location)
    lines, idle = (with_idle.of(stage).manifest.named("part") for stage in ("lines", "idle"))
    assert [r.content["text"] for r in lines.values()] == [r.content["text"] for r in idle.values()]
    idle = with_idle.of("idle")
    assert any("changed none of 60 documents" in told for told in idle.operator.remarks(idle.manifest.counts, {}))


# -- plans ---------------------------------------------------------------------------------------------------


def columns_of(recipe, corpus, stage):
    plan = plan_of(recipe, corpus)
    node = plan.node(stage)
    return {name: f"{node.inputs[i].spoken}.{column}" for name, (i, column) in node.columns.items()}


def test_the_plan_says_whose_text_a_stage_reads(corpus):
    assert columns_of(RECIPE, corpus, "early")["text"] == "docs.text"
    assert columns_of(RECIPE, corpus, "late")["text"] == "lines.text"
    assert columns_of(RECIPE, corpus, "pii")["text"] == "lines.text"
    assert columns_of(RECIPE, corpus, "same")["text_hash"] == "pii.text_hash"
    assert columns_of(RECIPE, corpus, "clean")["text_bytes"] == "pii.text_bytes"
    assert columns_of(RECIPE, corpus, "corpus")["text"] == "pii.text"
    assert columns_of(RECIPE, corpus, "raw")["text"] == "docs.text"


def test_a_recipe_without_editors_has_the_fingerprints_it_had(corpus):
    plain = READS + "  sig: {use: count_tokens, inputs: docs}\n  out: {use: write, inputs: docs}\n"
    with_editor = plain + "  lines: {use: c4_lines, inputs: docs}\n"
    one, two = plan_of(plain, corpus), plan_of(with_editor, corpus)
    assert [one.node(s).fingerprint for s in ("sig", "out")] == [two.node(s).fingerprint for s in ("sig", "out")]


TWO = READS + "  a: {use: c4_lines, inputs: docs}\n  b: {use: mask_pii, inputs: docs, text: docs}\n"


@pytest.mark.parametrize(("line", "where", "told"), [
    ("  s: {use: signals, inputs: docs}", "stages.s", "could be that of 'a' and 'b'"),
    ("  w: {use: write, inputs: [docs, b]}", "stages.w", "could be that of 'a' and 'b'"),
    ("  s: {use: signals, inputs: docs, text: [a, b]}", "stages.s.text", "two texts"),
    ("  s: {use: signals, inputs: docs, text: c}", "stages.s.text", "no text of its own"),
    ("  s: {use: random, inputs: docs, budget: 3 docs, text: a}", "stages.s.text", "reads no text"),
])  # fmt: skip
def test_a_text_that_is_not_clear_or_is_none_is_an_error(corpus, line, where, told):
    with pytest.raises(ConfigError, match=told) as error:
        plan_of(TWO + line, corpus)
    assert error.value.where == where


def test_two_texts_are_no_error_where_each_stage_says_which(corpus):
    recipe = TWO + "  s: {use: signals, inputs: docs, text: a}\n  r: {use: random, inputs: docs, budget: 3 docs}\n"
    assert columns_of(recipe, corpus, "s")["text"] == "a.text"


PLAIN_EDITORS = [  # by no columns of others, so that they stand below documents as they are; composites among them
    name
    for name in REGISTRY
    if operator_class(name).role == "editor" and name not in ("drop_spans", "boilerplate_lines")
]


@pytest.mark.parametrize("editor", PLAIN_EDITORS)
@pytest.mark.parametrize("line", [
    "s: {use: signals, inputs: docs", "s: {use: mask_pii, inputs: docs", "s: {use: repeated_lines, inputs: docs",
    "s: {use: minhash, inputs: docs", "s: {use: write, inputs: docs",
])  # fmt: skip
def test_what_is_said_of_two_texts_is_accepted_by_the_next_plan(corpus, editor, line):
    above = READS + f"  a: {{use: repair_unicode, inputs: docs}}\n  ed: {{use: {editor}, inputs: docs, text: docs}}\n"
    with pytest.raises(ConfigError, match="could be that of 'a' and 'ed'") as error:
        plan_of(f"{above}  {line}}}\n", corpus)
    named = error.value.hint.split("`")[1]
    assert named == "text: ed"
    plan = plan_of(f"{above}  {line}, {named}}}\n", corpus)
    read = {source.name for node in plan.nodes if node.spoken == "s" for i, c in node.columns.values() if c == "text"
            for source in [node.inputs[i]]}  # fmt: skip
    assert read == {n.name for n in plan.nodes if n.spoken == "ed" and "text" in n.outputs}


def test_a_text_key_without_an_editor_has_no_effect_and_is_an_error(corpus):
    with pytest.raises(ConfigError, match="no stage above edits"):
        plan_of(READS + "  s: {use: signals, inputs: docs, text: docs}\n", corpus)


def test_implied_stages_measure_the_text_of_who_needs_them(corpus):
    recipe = READS + (
        "  first: {use: random, inputs: docs, budget: 100 tokens}\n"
        "  lines: {use: c4_lines, inputs: docs}\n"
        "  second: {use: random, inputs: docs, budget: 100 tokens}\n"
        "  third: {use: random, inputs: docs, budget: 50 tokens, seed: 4}\n"
    )
    counters = {s: next(n for n in plan_of(recipe, corpus).node(s).inputs if "token_count" in n.outputs)
                for s in ("first", "second", "third")}  # fmt: skip
    assert counters["first"].text is None
    assert counters["second"].text.name == "lines"
    assert counters["third"].fingerprint == counters["second"].fingerprint


def test_references_read_the_newest_text_of_their_rows(corpus):
    recipe = READS + (
        '  more: {use: jsonl, files: "raw/*.jsonl", source: more}\n'
        "  mask: {use: mask_pii, inputs: more}\n"
        "  half: {use: random, inputs: more, budget: 50%}\n"
        "  like: {use: dsir, inputs: docs, target: half}\n"
        "  safe: {use: decontaminate, inputs: docs, against: mask}\n"
        "  sim:  {use: length_matched, inputs: docs, like: half}\n"
    )
    plan = plan_of(
        recipe.replace("length_matched, inputs: docs, like: half", "random, inputs: docs, budget: 3 docs"), corpus
    )
    assert plan.node("like").refs["target.text"].name == "mask"
    assert "against.text" not in plan.node("safe").refs, "an editor that is named is its own text"
    assert "target.text: mask" in "\n".join(line for _, line in plan_lines(_view(plan), hidden=True))


def _view(plan):
    return plan_json(Session(name="x", store=open_store("/nonexistent-root"), plan=plan), plan.nodes)


SIG = "  sig: {use: signals, inputs: docs}\n"
LINES = "  lines: {use: c4_lines, inputs: docs}\n"
OUT = "  out: {use: write, inputs: docs}\n"
BOTH = '  ok: {use: filter, inputs: [docs, sig], keep: {both: "word_count > 3 and text_bytes > 9"}}\n'
EARLY = "  early: {use: count_tokens, inputs: docs}\n"
CARRIED = "  out: {use: write, inputs: docs, carry: [token_count]}\n"
MARKS = '  marks: {use: segment_scores, inputs: docs, hits: ["[0-9]"]}\n'
UNITED = """  more: {use: jsonl, files: "more/*.jsonl", source: b}
  all: {use: concat, inputs: [docs, more]}
"""


@pytest.mark.parametrize(("stages", "stage", "told"), [
    (SIG + LINES + BOTH + OUT, "ok", "mixes measures of two texts"),
    (EARLY + LINES + CARRIED, "out", "counts tokens of the text"),
    (OUT + LINES, "lines", "no stage reads"),
    (LINES + UNITED, "all", "as they were read"),
    (MARKS + LINES + "  cut: {use: drop_spans, inputs: docs, stops: segment_ends}\n" + OUT, "cut", "places in the text of docs"),
])  # fmt: skip
def test_what_is_probably_not_meant_is_remarked(corpus, stages, stage, told):
    remarks = [(r.stage, r.text) for r in plan_of(READS + stages, corpus).remarks]
    assert any(s == stage and told in text for s, text in remarks), remarks


def test_a_recipe_that_is_in_order_has_no_remark(corpus):
    assert [r.text for r in plan_of(RECIPE, corpus).remarks] == []


# -- people --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def looked(corpus):
    (corpus / "edit.yaml").write_text(RECIPE)
    with contextlib.chdir(corpus):
        assert main(["run", "edit.yaml", "--out", "runs/edit", "--workers", "0", "--json"]) == 0
    return corpus


def test_why_shows_what_was_changed_before_and_after(looked, monkeypatch, capsys):
    monkeypatch.chdir(looked)
    told = winnow(capsys, "why", "runs/edit", "n=6", "--json").json()
    stages = {s["stage"]: s for s in told["stages"]}
    assert told["text"].startswith("One two three 6.\nno end here 6\nmail me@example.com")
    assert stages["lines"]["edits"]["changes"] == 1
    assert (
        stages["lines"]["edits"]["shown"] == [{"start": 17, "stop": 31, "before": "no end here 6↵", "after": ""}]
        or stages["lines"]["edits"]["shown"][0]["before"] == "↵no end here 6↵"
    )
    assert stages["pii"]["edits"]["shown"][0]["before"] == "me@example.com"
    assert stages["pii"]["edits"]["shown"][0]["after"] == "<EMAIL>"
    assert stages["docs"]["edits"] is None
    lines = winnow(capsys, "why", "runs/edit", "n=6").out
    assert "- 22: me@example.com" in lines
    by_rule = winnow(capsys, "why", "runs/edit", "--where", "pii_email = 1 and n = 6", "--json").json()
    assert by_rule["doc_id"] == told["doc_id"], "a column of an editor that `write` has read is one of the documents"
    assert "+ <EMAIL>" in lines


def test_samples_show_what_was_changed(looked, monkeypatch, capsys):
    monkeypatch.chdir(looked)
    told = winnow(capsys, "sample", "runs/edit", "--where", "n = 6", "--json").json()
    edits = told["documents"][0]["edits"]
    assert [one["stage"] for one in edits] == ["lines", "pii"]
    assert "<EMAIL>" in winnow(capsys, "sample", "runs/edit", "--where", "n = 6").out


def test_what_lies_under_an_edited_text_is_no_garbage(looked):
    store = open_store(looked / "runs/edit")
    collect(store, dry_run=False)
    rows = open_run(str(looked / "runs/edit")).frame("pii", ["text", "n"]).collect()
    assert dict(zip(rows["n"], rows["text"], strict=True)) == {d["n"]: masked(d) for d in DOCUMENTS}


def test_the_python_form_reads_the_text_of_its_own_chain(looked, monkeypatch):
    import winnow as w

    monkeypatch.chdir(looked)
    docs = w.read("raw/*.jsonl", columns={"n": "int64"})
    edited, plain = docs.c4_lines().simhash(), docs.simhash(n=2)
    alone = plain.plan("runs/both").fingerprints["simhash"]
    recipe = recipe_of([*edited.steps, plain.steps[-1]], name="both")
    assert [stage.text for stage in recipe.stages] == [(), (), (), ("docs",)]
    together = make_plan(recipe, None)
    assert together.node("simhash_2").fingerprint == alone
    assert together.node("simhash").text.name == "c4_lines"
    assert make_plan(parse_recipe(recipe.text, name="both", folder=looked), None).node("simhash_2").fingerprint == alone
    assert [s.text for s in docs.c4_lines().mask_pii().write(format="jsonl").recipe().stages] == [()] * 4


def test_a_checked_recipe_says_it_too(corpus):
    (corpus / "two.yaml").write_text(TWO + "  s: {use: signals, inputs: docs}\n")
    assert "could be that of" in str(check_target(str(corpus / "two.yaml")))
