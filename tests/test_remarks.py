"""Remarks: what probably is not meant, told once per stage, again where cached, on every layout, refused under strict."""

import dataclasses
import json

import polars as pl
import pytest
import support_ops
from support import own_operators, put_corpus, run, texts

from winnow.cli import main
from winnow.core.errors import ConfigError, ContractError, DataError
from winnow.core.operators import Context, notes
from winnow.dags.driver.remarks import remarks_of
from winnow.dags.looking.report import gather
from winnow.dags.looking.run import open as open_run
from winnow.dags.recipe.records import latest_record
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.testing import in_memory as drive


class Wondering(support_ops.Halves):
    """As `halves`, with a remark in every round.

    Source: own
    """

    name = "wondering"

    def advance(self, summary, state, ctx):
        ctx.remark("both rounds say this")
        ctx.remark(f"round {1 if state is None else 2} of {summary['n'][0]} rows")
        return super().advance(summary, state, ctx)


class Doubting(support_ops.Ranked):
    """As `ranked`, with a remark.

    Source: own
    """

    name = "doubting"

    def solve(self, rows, ctx):
        ctx.remark(f"only {rows.height} rows")
        return super().solve(rows, ctx)


class Fitting(support_ops.Typical):
    """As `typical`, with a remark.

    Source: own
    """

    name = "fitting"

    def fit(self, rows, ctx):
        ctx.remark("the sample is small")
        return super().fit(rows, ctx)


class Telling(support_ops.Summary):
    """As `summary`, with a remark.

    Source: own
    """

    name = "telling"

    def run(self, ctx):
        ctx.remark("a job wonders")
        return super().run(ctx)


class Counting(support_ops.Apart):
    """As `apart`, with a remark of its counts.

    Source: own
    """

    name = "counting"

    def remarks(self, counts, metrics):
        return (f"{counts['ok']} of {counts['rows']} rows answered", *metrics.get("nothing", ()))


OWN = {f"{c.__name__.lower()}": f"test_remarks:{c.__name__}" for c in (Wondering, Doubting, Fitting, Telling, Counting)}
RECIPE = """
stages:
  docs:   {use: jsonl, files: "raw/*", id: content}
  halves: {use: wondering, inputs: docs}
  order:  {use: doubting, inputs: docs}
  mean:   {use: fitting, inputs: docs}
  told:   {use: telling, of: docs}
  apart:  {use: counting, inputs: docs, model: mean}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return put_corpus(tmp_path_factory.mktemp("remarks") / "raw", texts(40, seed=4), 3).parent


@pytest.fixture(scope="module")
def plain(folder):
    with own_operators(**OWN):
        return run(RECIPE, folder, folder / "plain", part_bytes=2500)


def remarks(ran):
    by_folder = {r.node.folder: r for r in ran.runs}
    found = {n.name: remarks_of(n.operator, by_folder[n.folder].manifest) for n in ran.plan.nodes}
    return {name: list(lines) for name, lines in found.items() if lines}


EXPECTED = {"order": ["only 40 rows"], "mean": ["the sample is small"], "told": ["a job wonders"],
            "apart": ["40 of 40 rows answered"]}  # fmt: skip


def test_every_shape_may_remark_and_rounds_add_up(plain):
    found = remarks(plain)
    rounds = found.pop("halves")
    assert found == EXPECTED
    assert rounds[:2] == ["both rounds say this", "round 1 of 40 rows"]
    assert len(rounds) == 3
    assert rounds[2].startswith("round 2 of ")


@pytest.mark.parametrize("options", [{"part_bytes": 60_000}, {"part_bytes": 1200, "batch_rows": 7, "buckets": 5}])
def test_another_layout_remarks_the_same(folder, plain, tmp_path, options):
    with own_operators(**OWN):
        found = run(RECIPE, folder, tmp_path / "out", **options)
    assert remarks(found) == remarks(plain)


def test_remarks_are_in_no_digest_and_a_cached_stage_tells_them_again(folder, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(Doubting, "solve", support_ops.Ranked.solve)
    with own_operators(**OWN):
        silent = run(RECIPE, folder, tmp_path / "out")
        assert "order" not in remarks(silent)
        assert silent.digests == plain.digests
        again = run(RECIPE, folder, folder / "plain", part_bytes=2500)
    assert not again.computed
    assert remarks(again) == remarks(plain)


def test_every_view_tells_remarks_apart_from_metrics_and_alarms(folder, tmp_path, capsys):
    (folder / "r.yaml").write_text(RECIPE)
    with own_operators(**OWN):
        assert main(["run", str(folder / "r.yaml"), "--out", str(tmp_path / "out"), "--workers", "0", "--json"]) == 0
        said = capsys.readouterr()
        stages = json.loads(said.out.splitlines()[-1])["stages"]
        opened = open_run(tmp_path / "out")
        report = gather(latest_record(opened.record.store, None))
        assert opened.remarks("order") == ["only 40 rows"]
        assert opened.stages["apart"]["remarks"] == EXPECTED["apart"]
    assert {name: s["remarks"] for name, s in stages.items() if s["remarks"] and name != "halves"} == EXPECTED
    assert all("remarks" not in s["metrics"] for s in stages.values())
    assert "remarks" not in opened.metrics("order")
    assert "! order: only 40 rows" in said.err
    assert "! halves: both rounds say this" in said.err
    assert ("order", "only 40 rows") in report.remarks
    assert [stage for stage, _ in report.remarks] == ["halves"] * 3 + ["order", "mean", "told", "apart"]
    assert not report.alarms
    assert not any(name == "remarks" for noted in report.metrics for name, _ in noted.values)


def test_under_strict_a_remark_fails_the_run_after_everything_else_has_run(folder, tmp_path, capsys):
    (folder / "s.yaml").write_text("strict: true" + RECIPE)
    with own_operators(**OWN):
        assert main(["run", str(folder / "s.yaml"), "--out", str(tmp_path / "out"), "--workers", "0"]) == 3
        said = capsys.readouterr()
        assert "a remark under `strict: true`" in said.err
        assert "and 6 more" in said.err
        assert all(s["complete"] for s in open_run(tmp_path / "out").stages.values())
        one = RECIPE.replace("use: doubting,", "use: doubting, strict: true,")
        with pytest.raises(DataError, match="order: only 40 rows"):
            run(one, folder, tmp_path / "out")
        most = "strict: true" + RECIPE.replace("}\n", ", strict: false}\n")
        assert not run(most, folder, tmp_path / "out").computed
        for sets, code in ({}, 0), ({"strict": "true"}, 3):
            more = [a for k, v in sets.items() for a in ("--set", f"{k}={v}")]
            assert main(["run", str(folder / "r.yaml"), "--out", str(tmp_path / "out"), *more]) == code


def test_strict_is_true_or_false_and_no_identity(folder):
    strict = parse_recipe("strict: true" + RECIPE, name="r", folder=folder)
    assert strict.strict
    assert all(s.strict is None for s in strict.stages)
    with pytest.raises(ConfigError, match="strict"):
        parse_recipe("strict: 1" + RECIPE, name="r", folder=folder)


def test_a_remark_is_one_sentence_bounded_and_told_once(tmp_path):
    ctx = Context(seed=1, work=tmp_path, notes={})
    for _ in range(2):
        ctx.remark("the  same\nline")
    assert ctx.notes == {"remarks": ["the same line"]}
    for wrong in ("", " ", 3, None, ["a"]):
        with pytest.raises(ContractError, match="is no remark"):
            ctx.remark(wrong)
    with pytest.raises(ContractError, match="no metric"):
        ctx.note("remarks", ["a"])
    for number in range(100):
        ctx.remark(f"{number} " + "x" * 5000)
    told = ctx.notes["remarks"]
    assert len(told) == notes.MOST_REMARKS + 1
    assert all(len(line) <= notes.MOST_REMARK_CHARS for line in told)
    assert told[-1].startswith("... and more")
    assert len(notes.merged([ctx.notes, ctx.notes, {"remarks": ["another"]}])["remarks"]) == notes.MOST_REMARKS + 1
    silent = dataclasses.replace(ctx, notes=None)
    silent.remark("nobody hears")


def test_the_drivers_in_memory_collect_remarks_of_all_rounds(tmp_path):
    ctx = Context(seed=1, work=tmp_path, notes={})
    drive.run_fold(Wondering(), pl.DataFrame({"text_bytes": [1, 2, 3]}), ctx)
    assert ctx.notes["remarks"] == ["both rounds say this", "round 1 of 3 rows", "round 2 of 1 rows"]
