"""Which rows a stage is about: what all cleaning above it kept, unless it says its population."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re

import pytest
from support import lines_of, put_file, run
from typer.testing import CliRunner

from winnow.cli import app
from winnow.core.errors import ConfigError
from winnow.core.operators import CLEANING, Kind
from winnow.core.operators.sql import conjuncts
from winnow.dags.before.checking import check_target
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.trainers.online.policies import POLICIES

DOCUMENTS = [{"text": f"{'a' * a} {'b' * b} {n}", "n": n, "a": a, "b": b} for n, (a, b) in
             enumerate(itertools.product(range(1, 7), repeat=2))]  # fmt: skip
READS = """
stages:
  docs:  {use: jsonl, files: "raw.jsonl", columns: {n: int64, a: int64, b: int64}, id: "field:n"}
"""
APART = (
    READS
    + """
  left:  {use: filter, inputs: docs, keep: {some: "a >= 3"}}
  right: {use: filter, inputs: docs, keep: {some: "b >= 4"}, ignore: left}
  odd:   {use: filter, inputs: docs, keep: {some: "n % 2 = 1"}, ignore: all}
"""
)
CHAIN = (
    READS
    + """
  left:  {use: filter, inputs: docs, keep: {some: "a >= 3"}}
  right: {use: filter, inputs: docs, keep: {some: "b >= 4"}}
"""
)
TAKES = {
    "random": "{use: random, budget: 100%, inputs: [%s]}",
    "top_k": "{use: top_k, by: a, budget: 100%, inputs: [%s]}",
    "threshold": "{use: threshold, by: a, at_least: 0, inputs: [%s]}",
}
DECIDES = {
    "docs": lambda d: True,
    "left": lambda d: d["a"] >= 3,
    "right": lambda d: d["b"] >= 4,
    "odd": lambda d: d["n"] % 2 == 1,
}


def kept_numbers(ran, stage):
    rows = ran.table(stage, "kept", "n").to_pylist()
    return {r["n"] for r in rows if r["kept"]}


def written(recipe, **put):
    """The plan of a recipe over the small corpus."""
    return make_plan(parse_recipe(recipe, name="r", folder=put["folder"]), None)


@pytest.fixture
def folder(tmp_path):
    put_file(tmp_path / "raw.jsonl", lines_of(DOCUMENTS))
    put_file(tmp_path / "more.jsonl", lines_of([{**d, "text": d["text"] + " more"} for d in DOCUMENTS]))
    return tmp_path


@pytest.mark.parametrize("take", TAKES)
@pytest.mark.parametrize(
    "inputs", [("docs", "left"), ("docs", "left", "right"), ("docs", "right", "odd", "left")], ids="+".join
)
def test_a_candidate_is_kept_by_every_decision_that_is_named(folder, take, inputs):
    ran = run(APART + f"  taken: {TAKES[take].replace('%s', ', '.join(inputs))}\n", folder, folder / "root")
    wanted = {d["n"] for d in DOCUMENTS if all(DECIDES[i](d) for i in inputs)}
    assert 0 < len(wanted) <= len(DOCUMENTS)
    assert kept_numbers(ran, "taken") == wanted


@pytest.mark.parametrize("take", TAKES)
@pytest.mark.parametrize(
    ("ignore", "counts"),
    [("", ("left", "right", "odd")), ("left", ("right", "odd")), ("[right, odd]", ("left",)), ("all", ())],
)
def test_a_selector_that_names_no_decision_is_about_what_all_cleaning_above_kept(folder, take, ignore, counts):
    spec = TAKES[take].replace("%s", "docs")
    spec = spec.replace("}", f", ignore: {ignore}}}") if ignore else spec
    ran = run(APART + f"  taken: {spec}\n", folder, folder / "root")
    wanted = {d["n"] for d in DOCUMENTS if all(DECIDES[i](d) for i in counts)}
    assert kept_numbers(ran, "taken") == wanted


def test_a_condition_narrows_the_population_and_does_not_replace_it(folder):
    last = '  taken: {use: random, budget: 100%, inputs: [docs, left, right], where: "n > 20"}\n'
    last += '  other: {use: random, budget: 100%, inputs: docs, where: "n > 20", ignore: odd}\n'
    ran = run(APART + last, folder, folder / "root")
    wanted = {d["n"] for d in DOCUMENTS if d["a"] >= 3 and d["b"] >= 4 and d["n"] > 20}
    assert kept_numbers(ran, "taken") == kept_numbers(ran, "other") == wanted


def test_rows_that_an_input_was_not_asked_about_are_no_candidates(folder):
    asked = '  some: {use: filter, inputs: docs, keep: {big: "a >= 3"}, where: "n > 20"}\n'
    ran = run(READS + asked + f"  taken: {TAKES['random'].replace('%s', 'docs, some')}\n", folder, folder / "root")
    assert kept_numbers(ran, "taken") == {d["n"] for d in DOCUMENTS if d["a"] >= 3 and d["n"] > 20}


@pytest.mark.parametrize("inputs", ["[docs, left, right, odd]", "docs"])
def test_a_written_corpus_holds_what_every_decision_kept(folder, inputs):
    ran = run(APART + f"  corpus: {{use: write, inputs: {inputs}, carry: [n]}}\n", folder, folder / "root")
    wanted = sorted(d["n"] for d in DOCUMENTS if d["a"] >= 3 and d["b"] >= 4 and d["n"] % 2 == 1)
    assert sorted(ran.table("corpus", "n").column("n").to_pylist()) == wanted


def test_a_decision_considers_what_those_above_it_kept_and_so_stands_for_them(folder):
    plan = written(CHAIN + "  plain: {use: random, inputs: docs, budget: 50%}\n", folder=folder)
    assert [n.spoken for group in plan.node("right").about.groups for n in group] == ["left"]
    assert plan.node("plain").about.words == "rows that right kept"
    assert {n.spoken for n in plan.node("plain").about.respects} == {"left", "right"}


# -- one that says it and one that does not are one recipe

SAID = {
    "selector": ("{use: random, inputs: docs, budget: 50%}", "{use: random, inputs: [docs, right], budget: 50%}"),
    "writer": ("{use: write, inputs: docs}", "{use: write, inputs: [docs, right]}"),
    "filter": ("{use: filter, inputs: docs, keep: {c: n > 3}}", "{use: filter, inputs: docs, where: kept_right, keep: {c: n > 3}}"),
    "exact": ("{use: exact, inputs: docs}", "{use: exact, inputs: docs, where: kept_right}"),
    "exact, by input": ("{use: exact, inputs: docs}", "{use: exact, inputs: [docs, right]}"),
    "minhash": ("{use: minhash, inputs: docs}", "{use: minhash, inputs: docs, where: right.kept}"),
    "condition": ('{use: exact, inputs: docs, where: "n > 3"}', '{use: exact, inputs: docs, where: "kept_right and (n > 3)"}'),
    "fasttext": (
        "{use: fasttext, inputs: docs, positive: raw.jsonl}",
        "{use: fasttext, inputs: docs, where: kept_right, positive: raw.jsonl}",
    ),
    "embed": ("{use: embed, inputs: docs}", "{use: embed, inputs: docs, where: kept_right}"),
    "holdout": ("{use: holdout, inputs: docs, share: 0.5}", "{use: holdout, inputs: docs, where: kept_right, share: 0.5}"),
    "dsir": ("{use: dsir, inputs: docs, target: raw.jsonl}", "{use: dsir, inputs: docs, where: kept_right, target: raw.jsonl}"),
    "signals": ("{use: signals, inputs: docs}", "{use: signals, inputs: docs, }"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_is_not_said_is_what_a_person_would_have_written(folder, name):
    silent, said = (written(f"{CHAIN}  last: {spec}\n", folder=folder) for spec in SAID[name])
    assert {n.name: n.fingerprint for n in silent.nodes} == {n.name: n.fingerprint for n in said.nodes}


def test_a_stage_that_measures_each_row_by_itself_measures_all_and_follows_where_it_is_told(folder):
    last = "  all: {use: signals, inputs: docs}\n  some: {use: signals, inputs: [docs, left]}\n"
    plan = written(CHAIN + last, folder=folder)
    assert plan.node("all").about is None
    assert plan.node("all").where is None
    assert plan.node("some").where == "kept_left"


@pytest.mark.parametrize("where", ["", "where: kept_right, "])
def test_a_filter_that_reads_a_verdict_decides_it_anew(folder, where):
    """A filter on `held_out` is there for what the hold-out set aside, not for what it kept."""
    last = """
  aside: {use: holdout, inputs: docs, share: 0.5, where: kept_right}
  code:  {use: filter, inputs: aside, %skeep: {held_out: held_out}}
"""
    ran = run(CHAIN + last % where, folder, folder / "root")
    rows = ran.table("code", "kept", "n").to_pylist()
    aside = {r["n"] for r in ran.table("aside", "held_out", "n").to_pylist() if r["held_out"]}
    assert {r["n"] for r in rows if r["kept"]} == aside != set()


def test_a_filter_may_take_back_what_an_earlier_one_and_those_after_it_refused(folder):
    last = """
  once:   {use: exact, inputs: docs}
  rescue: {use: filter, inputs: docs, keep: {back: "kept_right OR b = 1"}}
  corpus: {use: write, inputs: [docs, rescue], carry: [n]}
"""
    plan = written(CHAIN + last, folder=folder)
    assert plan.node("rescue").about.words == "rows that left kept"
    assert plan.node("rescue").about.missing == "not respected: right (judged), once"
    assert [r.stage for r in plan.remarks] == ["once"]
    ran = run(CHAIN + last, folder, folder / "root")
    wanted = {d["n"] for d in DOCUMENTS if d["a"] >= 3 and (d["b"] >= 4 or d["b"] == 1)}
    assert set(ran.table("corpus", "n").column("n").to_pylist()) == wanted


def test_columns_that_are_found_by_name_bring_no_decision_along(folder):
    """`carry: [best.weight]` reads a column of a selection: the corpus is still what `plain` chose."""
    last = """
  best:   {use: top_k, inputs: docs, by: n, budget: 3 docs}
  plain:  {use: random, inputs: docs, budget: 50%}
  corpus: {use: write, inputs: [docs, plain], carry: [best.weight, n]}
"""
    ran = run(CHAIN + last, folder, folder / "root")
    assert set(ran.table("corpus", "n").column("n").to_pylist()) == kept_numbers(ran, "plain")


def test_selections_count_only_where_they_are_named(folder):
    last = (
        "  best: {use: top_k, inputs: docs, by: n, budget: 3 docs}\n  rest: {use: random, inputs: docs, budget: 100%}\n"
    )
    ran = run(CHAIN + last, folder, folder / "root")
    assert kept_numbers(ran, "rest") == {d["n"] for d in DOCUMENTS if d["a"] >= 3 and d["b"] >= 4}


@pytest.mark.parametrize("name", [n for n in REGISTRY if "kept" in getattr(operator_class(n), "__doc__", "")])
def test_every_decision_is_cleaning_by_its_role_or_counts_where_it_is_named(name):
    cls = operator_class(name)
    if cls.role in CLEANING:
        assert "budget" not in {f.name for f in dataclasses.fields(cls)}, "a selection under a budget is no cleaning"


# -- `ignore`

WRONG = {
    "names nothing": ("{use: random, inputs: docs, budget: 50%, ignore: [lefft]}", "'lefft'.*did you mean 'left'"),
    "names a selection": ("{use: random, inputs: docs, budget: 50%, ignore: [best]}", "'best'.*only where it is named"),
    "says its population": ("{use: random, inputs: [docs, left], budget: 50%, ignore: all}", "says its population: rows that left"),
    "measures": ("{use: signals, inputs: docs, ignore: [left]}", "measures all rows"),
    "reads no rows": ("{use: jsonl, files: raw.jsonl, ignore: all}", "reads no rows"),
    "unites": ("{use: concat, inputs: [docs], ignore: all}", "reads no rows"),
    "is stood for": ("{use: random, inputs: docs, budget: 50%, ignore: [left]}", "no effect on 'left': 'right' considered"),
    "is empty": ("{use: random, inputs: docs, budget: 50%, ignore: []}", "`ignore` names"),
    "is no name": ("{use: random, inputs: docs, budget: 50%, ignore: [3]}", "`ignore` names"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_an_ignore_that_changes_nothing_is_an_error(folder, case):
    spec, message = WRONG[case]
    with pytest.raises(ConfigError, match=re.compile(message, re.DOTALL)) as error:
        written(f"{CHAIN}  best: {{use: top_k, inputs: docs, by: n, budget: 1 docs}}\n  last: {spec}\n", folder=folder)
    assert error.value.where == "stages.last.ignore"


def test_an_ignore_without_any_cleaning_above_is_an_error(folder):
    with pytest.raises(ConfigError, match="no cleaning decision above"):
        written(f"{READS}  last: {{use: random, inputs: docs, budget: 50%, ignore: all}}\n", folder=folder)


# -- what is told

BELOW = CHAIN + "  corpus: {use: write, inputs: docs}\n  late: {use: exact, inputs: docs}\n"
UNUSED = CHAIN + "  plain: {use: random, inputs: docs, budget: 50%}\n  corpus: {use: write, inputs: docs}\n"
UNITED = (
    CHAIN
    + "  more: {use: jsonl, files: more.jsonl, source: b, id: position, columns: {n: int64, a: int64, b: int64}}\n  both: {use: concat, inputs: [docs, more]}\n"
)
BESIDE = CHAIN + "  corpus: {use: write, inputs: [docs, left]}\n"
TOLD = {
    "a decision below the writer": (BELOW, "late", "write 'late' above 'corpus'"),
    "a selection that nothing takes": (UNUSED, "plain", "no stage takes them: name 'plain'"),
    "a decision before a union": (UNITED, "right", "both is about ALL rows of docs; decide below 'both'"),
    "a decision that is passed by": (BESIDE, "right", "corpus is about rows that left kept; name 'right'"),
}


@pytest.mark.parametrize("case", TOLD)
def test_a_decision_that_nothing_respects_is_remarked(folder, case):
    recipe, stage, words = TOLD[case]
    plan = written(recipe, folder=folder)
    assert [r.text for r in plan.remarks if r.stage == stage and words in r.text], plan.remarks


def test_a_model_of_all_documents_respects_none_of_their_cleaning(folder):
    pytest.importorskip("torch")
    plan = written(CHAIN + "  model: {use: train, selection: docs}\n", folder=folder)
    assert plan.node("model").about.words == "ALL rows of docs"
    assert [r.stage for r in plan.remarks] == ["left", "right"]


GOOD = {
    "named": CHAIN + "  best: {use: top_k, inputs: docs, by: n, budget: 50%}\n  corpus: {use: write, inputs: [docs, best]}\n",
    "nothing leaves": CHAIN + "  best: {use: top_k, inputs: docs, by: n, budget: 50%}\n",
    "meant": CHAIN + "  corpus: {use: write, inputs: docs, ignore: all}\n",
    "read as a column": CHAIN
    + "  best: {use: top_k, inputs: docs, by: n, budget: 50%}\n  few: {use: random, inputs: docs, budget: 50%}\n"
    + "  both: {use: union, inputs: docs, of: [kept_best, kept_few]}\n  corpus: {use: write, inputs: [docs, both]}\n",
    "referred to": CHAIN + "  tokens: {use: write_tokens, selection: right}\n",
    "a condition of one's own": CHAIN + "  corpus: {use: write, inputs: docs, where: NOT kept_left OR NOT kept_right}\n",
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_a_recipe_that_respects_what_it_decides_is_not_remarked(folder, case):
    assert written(GOOD[case], folder=folder).remarks == []


def test_set_operations_are_about_what_their_selections_are_about(folder):
    plan = written(GOOD["read as a column"], folder=folder)
    assert plan.node("both").about.words == "rows that any of best, few kept"
    assert {n.spoken for n in plan.node("both").about.respects} == {"left", "right"}
    assert plan.node("corpus").about.missed == ()


APART_BY_ARMS = """
  few:  {use: random, inputs: [docs, left], budget: 50%}
  more: {use: random, inputs: [docs, right], budget: 50%}
"""


def test_a_selection_that_is_read_as_a_measure_is_used(folder):
    ranked = "  ranked: {use: buckets, inputs: docs, scores: [n], num: 3}\n"
    taken = "  best: {use: top_k, inputs: docs, by: ranked.bucket, budget: 50%}\n  corpus: {use: write, inputs: [docs, best]}\n"
    assert written(CHAIN + ranked + taken, folder=folder).remarks == []
    unread = taken.replace("ranked.bucket", "docs.n")
    assert [r.stage for r in written(CHAIN + ranked + unread, folder=folder).remarks] == ["ranked"]


def test_two_filters_that_are_named_apart_say_whether_they_are_alternatives(folder):
    told = {r.stage: r.text for r in written(CHAIN + APART_BY_ARMS, folder=folder).remarks}
    assert set(told) == {"right"}
    assert "considers what left kept, and both are named apart (few takes left, more takes right)" in told["right"]
    for said in ("ignore: left", "where: kept_left"):
        meant = CHAIN.replace('"b >= 4"}', '"b >= 4"}, ' + said)
        assert written(meant + APART_BY_ARMS, folder=folder).remarks == []
    assert written(CHAIN + APART_BY_ARMS.replace("docs, left", "docs, left, right"), folder=folder).remarks == []


def test_strict_makes_remarks_errors_of_the_recipe_or_of_a_stage(folder):
    with pytest.raises(ConfigError, match="no stage takes them") as error:
        written("strict: true" + UNUSED, folder=folder)
    assert error.value.where == "stages.plain"
    one = UNUSED.replace("budget: 50%", "budget: 50%, strict: true")
    with pytest.raises(ConfigError, match="no stage takes them"):
        written(one, folder=folder)
    other = UNUSED.replace("{use: write", "{strict: true, use: write")
    assert len(written(other, folder=folder).remarks) == 1


def told(folder, recipe, *words):
    """(exit code, output) of a verb on a recipe."""
    put_file(folder / "r.yaml", recipe.encode())
    out = CliRunner().invoke(app, [words[0], str(folder / "r.yaml"), *words[1:]])
    return getattr(out.exception, "exit_code", out.exit_code), out.output


def test_plan_check_and_run_say_populations_and_remarks(folder):
    missed = BESIDE + "  rest: {use: random, inputs: docs, budget: 50%, ignore: [right, left]}\n"
    for verb, more in (
        ("check", ()),
        ("plan", ("--out", str(folder / "root"))),
        ("run", ("--out", str(folder / "root"))),
    ):
        code, out = told(folder, missed, verb, *more)
        assert code == 0, out
        flat = " ".join(out.split())
        assert "rows that left kept" in flat, verb
        assert "ALL rows of docs" in flat, verb
        assert "not respected: left (ignored), right (ignored)" in flat, verb
        assert "not respected: right" in flat, verb
        assert "! right: refuses documents, and nothing respects that" in flat, verb
    code, out = told(folder, "strict: true" + missed, "check")
    assert code == 2, out
    for verb in ("plan", "run"):
        assert told(folder, "strict: true" + missed, verb, "--out", str(folder / "root"))[0] == 2


def test_the_json_forms_say_populations_and_remarks(folder):
    root = str(folder / "root")
    code, out = told(folder, BESIDE, "plan", "--out", root, "--json")
    view = json.loads(out.strip().splitlines()[-1])
    stages = {s["name"]: s for s in view["stages"]}
    assert (stages["corpus"]["rows"], stages["corpus"]["missing"]) == ("rows that left kept", "not respected: right")
    assert [r["stage"] for r in view["remarks"]] == ["right"]
    verdict = check_target(str(folder / "r.yaml"))
    assert {"stage": "left", "rows": "ALL rows of docs", "missing": ""} in verdict["populations"]
    assert [r["stage"] for r in verdict["remarks"]] == ["right"]
    code, out = told(folder, BESIDE, "run", "--out", root, "--json")
    assert code == 0, out
    stages = json.loads(out.strip().splitlines()[-1])["stages"]
    assert len(stages["right"]["remarks"]) == 1
    assert stages["left"]["remarks"] == []
    assert (stages["corpus"]["population"], stages["corpus"]["not_respected"]) == (
        "rows that left kept", "not respected: right",
    )  # fmt: skip


CASE = """
seed: 7
stages:
  docs:   {use: jsonl, files: "raw.jsonl", id: content}
  lang:   {use: language, inputs: docs}
  sig:    {use: signals, inputs: docs}
  clean:  {use: filter, inputs: [lang, sig], preset: gopher_quality, keep: {english: "language = 'en'"}}
  unique: {use: minhash, inputs: docs, %s threshold: 0.75}
  plain:  {use: random, inputs: %s, budget: 30%%}
  corpus: {use: write, inputs: %s, format: parquet, carry: [language]}
"""


def test_one_forgotten_word_lets_no_refused_document_through(folder):
    whole = written(CASE % ("where: kept_clean,", "[docs, unique]", "[docs, plain]"), folder=folder)
    prints = {n.name: n.fingerprint for n in whole.nodes}
    assert whole.remarks == []
    for where, chosen in (("", "[docs, unique]"), ("where: kept_clean,", "docs"), ("", "docs")):
        again = written(CASE % (where, chosen, "[docs, plain]"), folder=folder)
        assert {n.name: n.fingerprint for n in again.nodes} == prints
    all_rows = written(CASE % ("where: kept_clean,", "[docs, unique]", "docs"), folder=folder)
    assert all_rows.node("corpus").about.words == "rows that unique kept"
    assert [r.stage for r in all_rows.remarks] == ["plain"]


# -- composites, folds and repetition


def test_the_population_of_a_comparison_is_what_its_arms_respect(folder):
    pytest.importorskip("torch")
    arms = (
        CHAIN
        + """
  held:  {use: jsonl, files: raw.jsonl, source: held}
  best:  {use: top_k, inputs: docs, by: n, budget: 50%}
  plain: {use: random, inputs: docs, budget: 50%}
  raw:   {use: random, inputs: docs, budget: 50%, ignore: all}
"""
    )
    one = arms + "  effect: {use: ablation, arms: {best: best}, baseline: plain, eval: {held: held}, seeds: 2}\n"
    said = one.replace("use: ablation,", "use: ablation, where: kept_right,")
    silent = written(one, folder=folder)
    assert {n.name: n.fingerprint for n in silent.nodes} == {
        n.name: n.fingerprint for n in written(said, folder=folder).nodes
    }
    assert silent.node("effect").about.words == "rows that right kept"
    two = written(one.replace("{best: best}", "{best: best, raw: raw}"), folder=folder)
    assert two.node("effect").about.words == "ALL rows of docs"
    assert two.node("effect.tokens").where is None, "documents of every arm have tokens"
    assert [n.spoken for n in two.node("effect").about.missed] == ["left", "right"]


def test_a_selection_made_again_per_fold_keeps_its_population(folder):
    pytest.importorskip("torch")
    recipe = (
        CHAIN
        + """
  held:  {use: jsonl, files: raw.jsonl, source: held}
  best:  {use: top_k, inputs: %s, by: n, budget: 50%%}
  plain: {use: random, inputs: docs, budget: 50%%}
  effect: {use: ablation, arms: {best: best}, baseline: plain, eval: {held: held}, seeds: 2, folds: true}
"""
    )
    silent, said = (written(recipe % inputs, folder=folder) for inputs in ("docs", "[docs, right]"))
    assert {n.name: n.fingerprint for n in silent.nodes} == {n.name: n.fingerprint for n in said.nodes}
    again = silent.node("effect.fold0_best")
    assert [again.inputs[i].spoken for i, _ in again.population] == ["right"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("kept_a", ["kept_a"]),
        ("kept_a and (kept_b and n > 3)", ["kept_a", "kept_b", "n > 3"]),
        ("(kept_a AND n BETWEEN 1 AND 3)", ["kept_a", "n BETWEEN 1 AND 3"]),
        ("kept_a or kept_b and kept_c", ["kept_a or kept_b and kept_c"]),
        ("CASE WHEN a AND b THEN c ELSE d END and kept_a", ["CASE WHEN a AND b THEN c ELSE d END", "kept_a"]),
        ("NOT (kept_a and kept_b)", ["NOT (kept_a and kept_b)"]),
        ("(kept_a) and (kept_b or kept_c)", ["kept_a", "(kept_b or kept_c)"]),
        ("kept_a = (b and c)", ["kept_a = (b and c)"]),
    ],
)
def test_a_condition_in_its_parts(text, pieces):
    assert [p.replace(" ", "") for p in conjuncts(text)] == [p.replace(" ", "") for p in pieces]


def test_every_stage_that_acts_says_its_population():
    """Over all operators: what acts on documents or looks around is about what was kept, a measure is of all rows."""
    measures = {"signals", "language", "count_tokens", "ngram_vectors", "simhash", "concepts", "join", "overlap", "main_text", "first_text",
                "resiliparse", "trafilatura", "neural", "neural_file", "fasttext_model", "vectors_from", "pair_score", "classifier", "lm_nats", "teacher_top_k",
                "token_losses", "training_feedback", "disagreement", "segment_scores", "named_entities", "paragraph_languages", "ngram_lm", "c4_lines",
                "refinedweb_lines", "boilerplate_lines", "citation_marks", "drop_urls", "licence", "opt_out", "math_signals", "mask_pii", "repair_unicode", "drop_spans", "bad_words", "url_parts", "url_lists", "dedup_index", "datasketch_index", *POLICIES}  # fmt: skip
    for name in REGISTRY:
        cls = operator_class(name)
        if cls.shape_name in ("Derive", "Union") or getattr(cls, "kind", None) is Kind.RESULT:
            continue
        assert cls.after_decisions is not None
        made = object.__new__(cls)
        if name in ("embed", "write_tokens"):  # by what they fit, and on what
            continue
        assert cls.after_decisions(made) == (name not in measures), name
