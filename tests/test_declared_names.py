"""A declared name that does not occur is an error that says what there is: in every text field of every operator."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import typing
from collections.abc import Mapping

import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from support import lines_of, plan_of, put_file, run
from test_contract import EXAMPLES

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import ROW_COLUMNS
from winnow.core.operators.budget import Budget
from winnow.core.operators.config import build, dump
from winnow.core.operators.meanings import meaning, names_in, text_fields
from winnow.core.operators.occurring import counted, nearest, not_there
from winnow.dags.recipe.registry import REGISTRY, operator_class

WRONG = "boks"
GROUPS = ("web", "books", "code")
DOCUMENTS = [{"text": f"{group} document number {n} of many", "g": group, "site": f"www.{group}.org", "n": n,
              **({"lang": "en"} if (group, n) == ("web", 3) else {})} for group in GROUPS for n in range(10)]  # fmt: skip
READS = 'stages:\n  docs: {use: jsonl, files: "raw.jsonl", columns: {g: string, site: string, n: int64}}\n'


def fields_of(kind: str) -> list[tuple[str, str]]:
    return [(name, field) for name in REGISTRY for field in text_fields(operator_class(name))
            if meaning(operator_class(name), field) == kind]  # fmt: skip


VALUES = fields_of("values")


@pytest.fixture
def corpus(tmp_path):
    put_file(tmp_path / "raw.jsonl", lines_of(DOCUMENTS))
    return tmp_path


def failed(recipe: str, folder) -> str:
    """The message of the first failure of a run."""
    with pytest.raises((DataError, ConfigError)) as error:
        run(recipe, folder, folder / "root")
    return str(error.value)


def stage_of(name: str, given: Mapping[str, object]) -> str:
    """A stage with what its operator needs, over the columns g and n."""
    names = {f.name for f in dataclasses.fields(operator_class(name))}
    hints = typing.get_type_hints(operator_class(name))
    text = {f for f in names if hints[f] is str}
    common = {"per": "g", "by": "n", "budget": "10 docs"}
    fields = {key: value for key, value in common.items() if key in names and (key != "by" or key in text)}
    return json.dumps({"use": name, "inputs": ["docs"], **fields, **given})


def named(name: str, field: str, value: str) -> object:
    """The field with one name that there is and this one."""
    hint = typing.get_type_hints(operator_class(name))[field]
    return {"web": 0.5, value: 0.5} if "dict" in str(hint) else ["web", value]


@pytest.mark.parametrize("name", REGISTRY)
def test_every_text_field_says_what_it_names(name):
    cls = operator_class(name)
    silent = [field for field in text_fields(cls) if meaning(cls, field) is None]
    assert silent == [], f"add them to `meaning` of {name!r} (core/operators/meanings.py)"


def test_the_operators_that_share_out_by_value_are_among_those_looked_at():
    shared = {("quota", "shares"), ("mixture", "shares"), ("random", "quota"), ("top_k", "quota"), ("sample", "quota"),
              ("upsample", "quota"), ("dsir_resample", "quota"), ("domain", "include"), ("domain", "exclude")}  # fmt: skip
    assert shared <= set(VALUES)


@pytest.mark.parametrize(("name", "field"), VALUES)
def test_a_value_that_no_document_has_is_refused_with_those_there_are(corpus, name, field):
    by = {"by": "g"} if name == "domain" else {}
    recipe = READS + f"  sel: {stage_of(name, {**by, field: named(name, field, WRONG)})}\n"
    message = failed(recipe, corpus)
    for part in (
        f"'{WRONG}'",
        "'g'",
        f"{field}.{WRONG}",
        "did you mean 'books'?",
        "books 10, code 10, web 10",
        "absent",
    ):
        assert part in message
    right = READS + f"  sel: {stage_of(name, {**by, field: named(name, field, 'books')})}\n"
    assert run(right, corpus, corpus / "root").metrics["sel"]["absent"] == []
    meant = READS + f"  sel: {stage_of(name, {**by, field: named(name, field, WRONG), 'absent': 'remark'})}\n"
    assert run(meant, corpus, corpus / "root").metrics["sel"]["absent"] == [WRONG]


def test_values_are_looked_for_in_the_population_of_the_selection(corpus):
    recipe = (
        READS
        + "  sel: {use: quota, inputs: docs, where: \"g != 'books'\", per: g, shares: {web: 1, books: 1}, budget: 4 docs}\n"
    )
    assert "'books'" in failed(recipe, corpus)
    empty = recipe.replace("g != 'books'", "n > 99")
    assert run(empty, corpus, corpus / "root").counts("sel")["kept"] == 0  # what is missing is everything


def test_a_share_of_0_declares_nothing(corpus):
    recipe = READS + f"  sel: {{use: quota, inputs: docs, per: g, shares: {{web: 1, {WRONG}: 0}}, budget: 4 docs}}\n"
    assert run(recipe, corpus, corpus / "root").counts("sel")["kept"] == 4


def test_hosts_stand_for_their_subdomains(corpus):
    stage = "  sel: {use: domain, inputs: docs, by: site, match: host, include: [Web.org, NAME]}\n"
    assert run(READS + stage.replace("NAME", "books.org"), corpus, corpus / "root").counts("sel")["kept"] == 20
    message = failed(READS + stage.replace("NAME", "ooks.org"), corpus)
    assert "'ooks.org'" in message
    assert "www.books.org 10" in message


def test_a_value_below_the_least_of_a_mixture_has_no_share_of_its_own(corpus):
    mixture = "  sel: {use: mixture, inputs: docs, per: n, budget: 9 docs, least: 2, shares: {'1': 1, '2': 1}}\n"
    assert run(READS + mixture, corpus, corpus / "root").counts("sel")["kept"] == 6
    message = failed(READS + mixture.replace("least: 2", "least: 4"), corpus)
    assert "less than `least`" in message
    other = "  sel: {use: mixture, inputs: docs, per: n, budget: 9 docs, least: 2, shares: {'1': 1, other: 1}}\n"
    assert run(READS + other, corpus, corpus / "root").counts("sel")["kept"] == 3


def test_a_fold_may_lack_a_value():
    from winnow.trainers.ablation.scaling import of_fold

    cls = operator_class("quota")
    made = of_fold(cls(per=("g",), shares={"web": 1.0}, budget=Budget(8, "docs")), 2)
    assert made.absent == "remark"
    assert made.budget.amount == 4


READERS = {"jsonl": ".jsonl", "json_array": ".json", "parquet": ".parquet", "csv": ".csv", "arrow": ".arrow"}


OF_OTHER_RECORDS = {"join", "datasketch_index"}  # what they name lies in files of their own: their tests


@pytest.mark.parametrize(("name", "field"), [one for one in fields_of("records") if one[0] not in OF_OTHER_RECORDS])
def test_a_name_that_no_record_has_is_refused_with_those_there_are(tmp_path, name, field):
    put_records(tmp_path, READERS[name])
    value = {"columns": {"landg": "string"}, "id": "field:landg", "text_field": "landg", "items": "landg"}[field]
    given = {"items": "data.rows"} if name == "json_array" else {}
    stage = {"use": name, "files": f"r/*{READERS[name]}", **given, field: value}
    message = failed("stages:\n  docs: " + json.dumps(stage) + "\n", tmp_path)
    assert "'landg'" in message
    if field == "columns":
        assert "did you mean 'lang'?" in message


def put_records(folder, suffix: str) -> None:
    """Two files of records, in the first of which nothing has a `lang`."""
    for number, rows in enumerate((DOCUMENTS[4:20], [DOCUMENTS[3], *DOCUMENTS[20:]])):
        if suffix == ".jsonl":
            put_file(folder / f"r/{number}.jsonl", lines_of(rows))
        else:
            (folder / "r").mkdir(exist_ok=True)
            table = pa.Table.from_pylist([{"lang": None, **row} for row in rows])
            path = folder / f"r/{number}{suffix}"
            if suffix == ".json":
                path.write_text(json.dumps({"data": {"rows": rows}}))
            elif suffix == ".csv":
                pl.from_arrow(table).write_csv(path)
            else:
                (pq.write_table if suffix == ".parquet" else feather.write_feather)(table, path)


def test_a_column_that_some_records_lack_is_null_there_and_counted(tmp_path):
    put_records(tmp_path, ".jsonl")
    recipe = 'stages:\n  docs: {use: jsonl, files: "r/*.jsonl", columns: {lang: string, g: string}, id: "%s"}\n'
    for rule in ("position", "content"):
        ran = run(recipe % rule, tmp_path, tmp_path / f"root_{rule}", part_bytes=200)
        assert ran.counts("docs")["absent:lang"] == 26
        assert "absent:g" not in ran.counts("docs")
        assert ran.table("docs", "lang")["lang"].null_count == 26


@pytest.mark.parametrize("odd", [False, True], ids=["compiled", "one by one"])
def test_an_explicit_null_is_no_absence(tmp_path, odd):
    rows = [{"text": "a\u0000" if odd else "a", "lang": None, "more": {"x": None} if odd else 1}] * 3
    put_file(tmp_path / "r/a.jsonl", lines_of([*rows, {"text": "b"}]))
    columns = "{lang: string, more.x: string}" if odd else "{lang: string}"
    ran = run(f'stages:\n  docs: {{use: jsonl, files: "r/*.jsonl", columns: {columns}}}\n', tmp_path, tmp_path / "root")
    assert ran.counts("docs")["absent:lang"] == 1
    assert ran.table("docs", "lang")["lang"].null_count == 4


def test_a_dotted_name_is_looked_for_inside(tmp_path):
    put_file(tmp_path / "r/a.jsonl", lines_of([{"text": "a", "meta": {"lang": "en"}}] * 3))
    message = failed('stages:\n  docs: {use: jsonl, files: "r/*.jsonl", columns: {meta.lng: string}}\n', tmp_path)
    assert "did you mean 'meta.lang'?" in message


def test_refused_records_are_no_documents_without_a_column(tmp_path):
    bad = [{"text": "x", "n": "no number", "lang": "en"}] * 2
    put_file(tmp_path / "r/a.jsonl", lines_of([*bad, {"text": "a", "n": 1}, {"text": "b", "n": 2}]))
    recipe = (
        'max_bad_share: 0.9\nstages:\n  docs: {use: jsonl, files: "r/*.jsonl", columns: {n: int64, lang: string}}\n'
    )
    assert "none of 2 records has 'lang'" in failed(recipe, tmp_path)


def test_a_reader_that_adopts_units_still_knows_what_the_records_lack(tmp_path):
    put_records(tmp_path, ".jsonl")
    one = 'stages:\n  docs: {use: jsonl, files: "r/0.jsonl", columns: {landg: string}}\n'
    first = failed(one, tmp_path)
    second = failed(one.replace("r/0.jsonl", "r/*.jsonl"), tmp_path)
    assert "none of 16" in first
    assert "none of 27" in second
    assert "did you mean 'lang'?" in second
    assert "did you mean" not in first  # there is no `lang` in that file


COLUMNS = [one for one in fields_of("columns") if importlib.util.find_spec(REGISTRY[one[0]].partition(":")[0])]
TOGETHER = {  # fields that others must be set for
    ("facility_location", "part"): {"method": "partitioned"},
    ("facility_location", "vectors"): {"method": "sampled"},
}
COMPILED = {
    ("filter", "keep"),
    ("filter", "preset"),
    ("phases", "phases"),
    ("meta_rater", "scores"),
}  # SQL, names of files, mappings: below, and with their stages


def example(name: str, field: str, value: object) -> dict[str, object]:
    """The fields of an operator's example, with another value of one."""
    return {**dump(EXAMPLES[name](operator_class(name))), **TOGETHER.get((name, field), {}), field: value}


def wrong(name: str, field: str) -> object:
    """A name that does not exist in the field's form."""
    now = getattr(EXAMPLES[name](operator_class(name)), field)
    if isinstance(now, tuple) and now and all(isinstance(one, str) for one in now):
        return [WRONG, *now[1:]]
    if field == "weights":
        return [WRONG, "token_count"]  # one of each selection
    hint = str(typing.get_type_hints(operator_class(name))[field])
    return {WRONG: 1} if "dict" in hint and "tuple" not in hint else [WRONG] if "tuple" in hint else WRONG


READ_WITH = {  # fields that are read beside another one only
    ("rewrite", "slots"): {"template": "own", "prompt": ["rubric.txt"]},
    ("holdout", "per"): {"max_bytes": None},
    ("facility_location", "similarities"): {"method": "lazy"},
    ("conditional", "label"): {"score": "", "at": 0.5},
    ("write", "control_ends"): {"control": "text"},
    ("drop_spans", "scores"): {"at_least": 0.5},
    ("decontaminate", "vectors"): {"against_vectors": "held_out"},
    ("neural", "html"): {"model": "held_out"},
    ("first_text", "best"): {"best": [WRONG, "text_bytes"]},
    ("unlikelihood", "segment_scores"): {"segment_ends": "ends", "score": ""},
    ("value_alignment", "scores"): {"feedback": "held_out"},
    ("value_alignment", "per"): {"feedback": "held_out"},
    ("skill_graph", "per"): {"selection": "docs", "feedback": {"held": "held_out"}},
    ("unlikelihood", "segment_ends"): {"segment_scores": "scores", "score": ""},
}


@pytest.mark.parametrize(("name", "field"), [one for one in COLUMNS if one not in COMPILED])
def test_a_column_that_nothing_adds_is_refused_while_planning(corpus, name, field):
    fields = example(name, field, wrong(name, field)) | READ_WITH.get((name, field), {})
    stage = fields | {"use": name, "inputs": ["docs"]}
    if name == "join":
        put_file(corpus / "notes.parquet", b"")
        pq.write_table(pa.table({"url": ["a"], "quality": [1.0]}), corpus / "notes.parquet")
    if name == "url_lists":
        put_file(corpus / "blocked.txt", b"example.org\n")
    if name in ("llm_annotate", "rewrite"):
        put_file(corpus / "rubric.txt", f"{{{{text}}}} {{{{{WRONG}}}}}".encode())
    operator = build(operator_class(name), fields, where="")
    names = {*operator.needs(), *operator.looks_up(), *(c for many in operator.reads().values() for c in many)}
    kinds = {c: "int64" if c == "token_count" else "string" for c in sorted(names) if c.isidentifier()}
    others = {c: kind for c, kind in kinds.items() if c not in (*ROW_COLUMNS, WRONG)}
    reads = json.dumps({"use": "jsonl", "files": "raw.jsonl", "columns": others})
    with pytest.raises(ConfigError) as error:
        plan_of(f"stages:\n  held_out: {reads}\n  docs: {reads}\n  sel: {json.dumps(stage)}\n", corpus)
    assert WRONG in str(error.value)


@pytest.mark.parametrize(("name", "field"), fields_of("closed"))
def test_a_word_that_is_none_of_a_few_is_refused_while_building(name, field):
    with pytest.raises(ConfigError) as error:
        build(operator_class(name), example(name, field, wrong(name, field)), where="stages.s")
    assert WRONG in str(error.value) or field in str(error.value)


@pytest.mark.parametrize(("name", "field"), fields_of("stages"))
def test_a_stage_that_does_not_exist_is_refused_while_planning(corpus, name, field):
    hint = str(typing.get_type_hints(operator_class(name))[field])
    value = {"x": WRONG} if "dict" in hint or "Mapping" in hint else WRONG
    stage = example(name, field, value) | {"use": name, "inputs": ["docs"]}
    with pytest.raises(ConfigError):
        plan_of(READS + f"  sel: {json.dumps(stage)}\n", corpus)


def test_what_is_counted_comes_most_frequent_first_and_bounded():
    there = {f"v{n}": n for n in range(30)}
    text = counted(there, most=3)
    assert text == "v29 29, v28 28, v27 27, ... (29 in all)"
    assert not_there(["v1", "v0", "w", "w"], there) == ["v0", "w"]
    assert nearest("boks", ["books", "web"]) == "did you mean 'books'?"
    assert nearest("x", ["books", "web"]) == ""
    assert names_in({"a": 0.0, "b": 1}) == ["b"]
    assert names_in("equal") == []
