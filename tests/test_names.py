"""A column's name means the same column in a plan and in every view of the finished run, however it is spelled."""

from __future__ import annotations

import random
import textwrap

import polars as pl
import pytest
import support

from winnow.core.errors import ConfigError
from winnow.core.operators import Kind
from winnow.dags.looking.address import stage_of
from winnow.dags.looking.finished import FinishedRun
from winnow.dags.looking.run import OpenedRun
from winnow.dags.looking.samples import sample_json
from winnow.dags.looking.sweep import sweep_json
from winnow.dags.recipe.names import find_column, spellings
from winnow.dags.recipe.records import latest_record

LAST = 'last: {use: filter, inputs: docs, keep: {size: "text_bytes > 0"}, ignore: all}'
PROBE = 'probe: {{use: filter, inputs: docs, keep: {{it: "{name} IS NOT NULL"}}, ignore: all}}'
WORDS = ("a", "b", "a_b", "web", "kept", "score", "docs2", "clean", "best_of")


def recipe_of(seed: int) -> str:
    """Measures, decisions and a dedup over one reader, under drawn names; two stages count tokens."""
    draw = random.Random(seed)
    one, two, sig, clean, dup, best = draw.sample(WORDS, 6)
    text = f"""
        stages:
          docs: {{use: jsonl, files: "raw/*.jsonl"}}
          {one}: {{use: count_tokens, inputs: docs, tokenizer: bytes/4}}
          {two}: {{use: count_tokens, inputs: docs, tokenizer: bytes/3}}
          {sig}: {{use: signals, inputs: docs}}
          {clean}: {{use: filter, inputs: [docs, {sig}], keep: {{long: "word_count >= 9", odd: "text_bytes % 2 > 0"}}}}
          {dup}: {{use: exact, inputs: [docs, {clean}]}}
          {best}: {{use: top_k, inputs: [docs, {dup}], by: {sig}.word_count, budget: 50%}}
          {LAST}
    """
    return textwrap.dedent(text).strip() + "\n"


@pytest.fixture(scope="module", params=range(3))
def ran(request, tmp_path_factory):
    """(recipe, folder, record) of a finished run."""
    folder = tmp_path_factory.mktemp(f"names{request.param}")
    support.put_corpus(folder / "raw", [*support.texts(40, request.param), *support.texts(5, request.param)], 2)
    recipe = recipe_of(request.param)
    return recipe, folder, latest_record(support.run(recipe, folder, folder / "root").store)


def spelled(run: FinishedRun) -> dict[str, tuple[str, str]]:
    """Every name that means one column -> (stage, column), written out without the rule's code."""
    held = [s for s in run.stages if not s.hidden and s.kind in (Kind.ROWS, Kind.COLUMNS) and s.shown != "last"]
    many: dict[str, set[tuple[str, str]]] = {}
    for stage in held:
        own = [c for c in stage.columns if stage.kind is Kind.COLUMNS or c != "text"]
        for column in own:
            place = (stage.shown, column)
            names = [f"{stage.shown}.{column}", f"{stage.shown}_{column}"]
            names += [f"kept_{stage.shown}"] if column == "kept" else []
            names += [stage.shown] if stage.kind is Kind.COLUMNS and set(own) == {column, "state"} else []
            for name in names:
                many.setdefault(name, set()).add(place)
    bare: dict[str, set[tuple[str, str]]] = {}
    for stage in (*held, run.stage("last")):
        for column in stage.outputs:
            bare.setdefault(column, set()).add((stage.shown, column))
    many |= {name: places for name, places in bare.items() if name not in many and name not in ("last", "pass_size")}
    return {name: places.copy().pop() for name, places in many.items() if len(places) == 1}


def planned(recipe: str, folder, name: str) -> tuple[str, str]:
    """(stage, column) that a stage behind all others reads under a name."""
    node = support.plan_of(f"{recipe}  {PROBE.format(name=name)}\n", folder).node("probe")
    number, column = node.columns[name]
    return node.inputs[number].spoken, column


def test_every_spelling_means_one_column_in_plans_and_in_all_views(ran):
    recipe, folder, record = ran
    run, opened = FinishedRun(record), OpenedRun(record=record)
    names = spelled(run)
    assert len(names) > 100
    for number, (name, (stage, column)) in enumerate(sorted(names.items())):
        found = run.stage("last").find(name)
        assert found is not None, name
        assert (found.stage.shown, found.name) == (stage, column), name
        if number % 7 == 0:  # what reads or plans takes longer
            assert planned(recipe, folder, name) == (stage, column), name
            values = opened.frame("last", name).select(pl.col(name).alias("value")).collect()
            assert values.equals(opened.frame(stage, column).select(pl.col(column).alias("value")).collect()), name
            (told,) = sweep_json(record, [f"last.size={name} IS NOT NULL"])["sweeps"]
            assert told["values"][1]["kept"] == values["value"].is_not_null().sum(), name


def test_a_verdict_is_sampled_under_all_of_its_names(ran):
    _, _, record = ran
    run = FinishedRun(record)
    for name, (stage, column) in spelled(run).items():
        if column != "kept" and not column.startswith("pass_"):
            continue
        clause = column.removeprefix("pass_")
        wanted = sample_json(record, by=stage if column == "kept" else f"{stage}.{clause}")
        told = sample_json(record, by=name)
        assert {**told, "by": None} == {**wanted, "by": None}, name


def test_a_name_of_two_columns_is_refused_everywhere_with_both(ran):
    recipe, folder, record = ran
    one, two = (s.shown for s in FinishedRun(record).stages if "token_count" in s.outputs)
    last = OpenedRun(record=record)
    asks = (
        lambda: planned(recipe, folder, "token_count"),
        lambda: FinishedRun(record).stage("last").find("token_count"),
        lambda: last.frame("last", "token_count"),
        lambda: sweep_json(record, ["last.size=token_count > 1"]),
    )
    for ask in asks:
        with pytest.raises(ConfigError, match=f"'token_count' could be any of {one}.token_count, {two}.token_count"):
            ask()


def test_a_stage_is_known_by_the_name_a_person_knows(ran):
    run = FinishedRun(ran[2])
    for stage in run.stages:
        assert stage_of(run, stage.shown) is stage or stage_of(run, stage.shown).folder == stage.folder
        assert run.stage(stage.name).folder == stage.folder


class Named:
    """A stage of the rule's own protocol."""

    def __init__(self, spoken: str, *outputs: str) -> None:
        self.spoken, self.outputs = spoken, dict.fromkeys(outputs)
        self.kind = Kind.COLUMNS


def test_names_that_say_the_stage_win_and_the_nearest_group_decides():
    a, b, far = Named("a", "b_c", "x"), Named("q", "a_x", "y"), Named("far", "x", "a_x")
    assert find_column("a_x", [[a, b]], where="") == (a, "x")
    assert find_column("x", [[a], [far]], where="") == (a, "x")
    assert find_column("far.x", [[a], [far]], where="") == (far, "x")
    assert find_column("z", [[a], [far]], where="") is None
    with pytest.raises(ConfigError, match=r"'a_b_c' could be any of a\.b_c, a_b\.c"):
        find_column("a_b_c", [[a, Named("a_b", "c")]], where="")


def test_a_bare_stage_name_means_its_only_column():
    assert spellings(Named("s", "one"))["s"] == "one"
    assert "s" not in spellings(Named("s", "one", "two"))
    table = Named("s", "one")
    table.kind = Kind.TABLE
    assert spellings(table) == {}
