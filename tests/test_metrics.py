"""Metrics that operators note: once per stage, in no digest, the same after a kill, for any layout and reader."""

import dataclasses
import json

import numpy as np
import orjson
import polars as pl
import pytest
import support_ops
from support import held, own_operators, put_corpus, run, texts

from winnow import testing
from winnow.cli import main
from winnow.core.errors import ContractError
from winnow.core.operators import Context, notes
from winnow.dags.engines import machine
from winnow.dags.looking import metrics as shown
from winnow.dags.looking.report import gather, render
from winnow.dags.looking.run import open as open_run
from winnow.dags.recipe.records import latest_record
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.testing import in_memory as drive

OWN = {n: f"support_ops:{n.title()}" for n in ("typical", "halves", "ranked", "summary")}
RECIPE = """
stages:
  docs:   {use: jsonl, files: "raw/*", id: content}
  exact:  {use: exact, inputs: docs}
  order:  {use: ranked, inputs: docs, where: kept_exact}
  halves: {use: halves, inputs: [docs, exact]}
  mean:   {use: typical, inputs: docs, where: kept_exact}
  told:   {use: summary, of: docs}
"""
NOTED = {"exact", "order", "halves", "mean", "told"}
NASTY = {"</script><b>": "<i>x</i>", "curve": [1.0, None, {"a": [0.5]}], "summary": "all is well"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return put_corpus(tmp_path_factory.mktemp("metrics") / "raw", texts(90, seed=4), 3).parent


@pytest.fixture(scope="module")
def plain(folder):
    with own_operators(**OWN):
        return run(RECIPE, folder, folder / "plain", part_bytes=2500)


def context(tmp_path, **more):
    return Context(seed=1, work=tmp_path, notes={}, **more)


def test_every_shape_that_finds_something_once_shows_it(plain):
    assert set(plain.metrics) == NOTED
    rows = plain.table("docs", "text_bytes").column("text_bytes").to_pylist()
    kept = [b for b, k in zip(rows, plain.table("exact", "kept").column("kept").to_pylist(), strict=True) if k]
    assert plain.metrics["order"]["longest"] == max(kept)
    assert sum(plain.metrics["order"]["lengths"]) <= len(kept)
    assert plain.metrics["mean"] == {"mean": plain.manifest("mean").receipts[0].extra["metrics"]["mean"]}
    assert plain.metrics["told"] == {"summary": f"{len(rows)} rows were told"}


def test_a_fold_shows_every_round_and_the_last_value_of_a_name(plain):
    found = plain.metrics["halves"]
    assert found["first round"]["done"] is False
    assert found["second round"]["done"] is True
    assert found["mean"] > plain.metrics["mean"]["mean"]  # of the longer half


@pytest.mark.parametrize("options", [{"part_bytes": 60_000}, {"part_bytes": 1200, "batch_rows": 7, "buckets": 5}])
def test_another_layout_notes_the_same(folder, plain, tmp_path, options):
    with own_operators(**OWN):
        found = run(RECIPE, folder, tmp_path / "out", **options)
    assert found.metrics == plain.metrics
    assert found.digests == plain.digests


def test_what_is_noted_is_in_no_digest(folder, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(support_ops.Ranked, "solve", _noting(support_ops.Ranked.solve, {"more": 1}))
    monkeypatch.setattr(support_ops.Typical, "fit", _noting(support_ops.Typical.fit, {"more": 1}))
    with own_operators(**OWN):
        found = run(RECIPE, folder, tmp_path / "out", part_bytes=2500)
    assert found.metrics["order"]["more"] == found.metrics["mean"]["more"] == 1
    assert found.digests == plain.digests
    assert {k[2:]: r.digest for k, r in held(tmp_path / "out").items()} == {
        k[2:]: r.digest for k, r in held(folder / "plain").items()
    }


def _noting(method, more):
    def noting(self, rows, ctx):
        for name, value in more.items():
            ctx.note(name, value)
        return method(self, rows, ctx)

    return noting


def test_a_stage_resumed_from_its_receipts_shows_the_same_metrics(folder, plain, tmp_path):
    """Every manifest is gone and every receipt is there: nothing is solved again, and the metrics are the same."""
    root = tmp_path / "out"
    with own_operators(**OWN):
        first = run(RECIPE, folder, root, part_bytes=2500)
        for node in first.plan.nodes:
            stage = first.of(node.name).dir
            for receipt in first.manifest(node.name).receipts:
                stage.commit(receipt)
            if node.name != "halves":  # a Fold's states are gone with its manifest
                stage.store.delete(f"{node.folder}/manifest.json")
        again = run(RECIPE, folder, root, part_bytes=2500)
    assert set(again.computed) <= {"exact"}
    assert again.metrics == plain.metrics


def test_a_stage_that_takes_the_parts_of_a_sibling_takes_its_metrics_and_each_part_its_own_rows(folder, tmp_path):
    """Another recipe whose filter decides alike: the Whole's parts are taken over, every one at its place."""
    recipe = """
stages:
  docs:  {use: jsonl, files: "raw/*", id: content}
  some:  {use: filter, inputs: docs, keep: {long: "CUT"}}
  order: {use: ranked, inputs: docs, where: kept_some}
"""
    with own_operators(**OWN):
        first = run(recipe.replace("CUT", "text_bytes > 5"), folder, tmp_path / "out", part_bytes=2500)
        other = run(recipe.replace("CUT", "text_bytes + 0 > 5"), folder, tmp_path / "out", part_bytes=2500)
    assert len(first.manifest("order").receipts) > 3
    assert other.folder("order") != first.folder("order")
    assert "order" not in other.computed
    assert other.metrics == first.metrics
    assert other.digests["order"] == first.digests["order"]
    assert other.table("order", "rank") == first.table("order", "rank")


def test_metrics_are_in_the_record_the_opened_run_and_the_page(folder, plain):
    record = json.loads((folder / "plain" / "runs" / "test.json").read_text())
    opened = open_run(folder / "plain")
    report = gather(latest_record(plain.store))
    assert [m.stage for m in report.metrics] == [
        n for n in ("exact", "order", "halves", "mean", "told") if n in plain.metrics
    ]
    page = render(report)
    assert {m.stage for m in report.metrics} == NOTED
    for name, found in plain.metrics.items():
        assert record["stages"][name]["metrics"] == found
        assert opened.stages[name]["metrics"] == opened.metrics(name) == found
    assert opened.metrics("docs") == {}
    assert page.index('id="metrics"') < page.index("rows were told")


def test_the_record_and_the_page_hold_the_recipe_and_the_memory_of_every_stage(folder, plain):
    record = json.loads((folder / "plain" / "runs" / "test.json").read_text())
    found = gather(latest_record(plain.store)).provenance
    assert record["recipe_text"] == found.recipe_text == RECIPE
    assert all(10e6 < s.peak_bytes < 100e9 for s in found.stages)


def test_a_value_set_on_the_command_line_stands_above_the_recipe_in_its_record(tmp_path):
    recipe = parse_recipe(
        "vars: {a: 1}\nstages: {docs: {use: jsonl, files: x}}\n", name="r", folder=tmp_path, sets={"a": "2"}
    )
    assert recipe.text == "# --set a=2\nvars: {a: 1}\nstages: {docs: {use: jsonl, files: x}}\n"
    assert parse_recipe(recipe.text, name="r", folder=tmp_path) == parse_recipe(
        recipe.text[12:], name="r", folder=tmp_path
    )


def test_the_peak_of_a_task_does_not_hold_what_the_task_before_needed():
    before = machine.peak_bytes()
    held = np.ones(30_000_000)
    most = machine.peak_bytes()
    del held
    machine.forget_peak()
    assert most > before + 100e6 or most > 240e6
    assert machine.peak_bytes() < most - 100e6


def test_the_page_escapes_what_is_noted(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(support_ops.Ranked, "solve", _noting(support_ops.Ranked.solve, NASTY))
    with own_operators(**OWN):
        found = run(RECIPE, folder, tmp_path / "out", part_bytes=2500, until="order")
        page = render(gather(latest_record(found.store)))
    assert found.metrics["order"]["curve"] == NASTY["curve"]
    assert "</script>" not in page
    assert "&lt;i&gt;x" in page


SELECTED = """
stages:
  docs:  {use: jsonl, files: "raw/*", id: content, columns: {url: string}}
  exact: {use: exact, inputs: docs}
  notes: {use: join, inputs: docs, files: "notes.jsonl", key: url, on: url, columns: {good: float64}, duplicates: first}
  vec:   {use: ngram_vectors, inputs: docs, dim: 64}
  graph: {use: knn_graph, inputs: vec, k: 6, exact_rows: EXACT, min_recall: 0, num_lists: 4, num_probes: 2}
  best:  {use: facility_location, inputs: [docs, exact, graph], budget: 2k tokens}
"""


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotated")
    put_corpus(folder / "raw", [{"text": t, "url": f"u{i}"} for i, t in enumerate(texts(90, seed=4))], 3)
    notes = [{"url": f"u{i}", "good": 1.0} for i in (3, 4, 4, 4, 500, 9)]
    (folder / "notes.jsonl").write_text("".join(json.dumps(n) + "\n" for n in notes))
    return folder


@pytest.mark.parametrize(("exact", "search"), [("1000", "exact"), ("10", "pruned")])
def test_graphs_selections_and_joins_show_their_recall_certificate_and_counts(
    annotated, tmp_path, capsys, exact, search
):
    (annotated / "r.yaml").write_text(SELECTED.replace("EXACT", exact))
    assert main(["run", str(annotated / "r.yaml"), "--out", str(tmp_path), "--workers", "0", "--json"]) == 0
    told = capsys.readouterr()
    found = {name: s["metrics"] for name, s in json.loads(told.out.splitlines()[-1])["stages"].items()}
    graph, best, counts = found["graph"], found["best"], found["notes.counts"]
    opened = open_run(tmp_path)
    recall = opened.frame("graph", "recall").collect()["recall"].drop_nulls()
    assert graph["search"] == search
    assert graph["recall"] == pytest.approx(recall.mean())
    assert (graph["recall"] == 1.0) == (search == "exact")
    rows = opened.frame("best", ["kept", "gain", "coverage", "token_count"]).collect()
    bound = best["certificate"]
    asked = rows.filter(pl.col("coverage").is_not_null())
    asks = asked["token_count"] / asked["token_count"].mean()  # a document asks for what it costs
    assert bound["value"] == pytest.approx((asked["coverage"] * asks).sum())
    assert bound["value"] == pytest.approx(rows.filter("kept")["gain"].sum())
    assert bound["upper"] * bound["ratio"] == pytest.approx(bound["value"])
    assert 0.5 < bound["ratio"] <= 1
    assert (counts["matched_documents"], counts["unmatched_documents"], counts["unmatched_annotations"]) == (3, 87, 1)
    assert counts["repeated"] == 2
    screen = " ".join(told.err.split())
    for line in (best["summary"], graph["summary"], "3 of 90 documents matched, 1 of 4 annotations unused, 2 repeated"):
        assert line in screen
    assert main(["run", str(annotated / "r.yaml"), "--out", str(tmp_path), "--workers", "0", "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])["stages"]
    assert all(s["computed_units"] == 0 for s in again.values())
    assert {name: s["metrics"] for name, s in again.items()} == found


def test_values_become_plain_json(tmp_path):
    ctx = context(tmp_path)
    ctx.note("many", {"b": np.arange(3), "a": (np.float32(0.5), float("nan"))})
    assert ctx.notes == {"many": {"a": [0.5, None], "b": [0, 1, 2]}}
    assert list(ctx.notes["many"]) == ["a", "b"]  # as a receipt gives it back


def test_a_value_may_be_noted_again_but_not_another_of_its_name(tmp_path):
    ctx = context(tmp_path)
    ctx.note("a", [1, 2])
    ctx.note("a", (1, 2))
    with pytest.raises(ContractError, match="noted twice"):
        ctx.note("a", 3)
    assert ctx.notes == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("name", "value"), [("", 1), (3, 1), ("a", {1, 2}), ("a", {1: 2}), ("a", 1 << 70), ("a", object())]
)
def test_what_is_no_name_or_no_json_is_refused(tmp_path, name, value):
    with pytest.raises(ContractError):
        context(tmp_path).note(name, value)


def test_a_stage_notes_a_bounded_number_of_bytes(tmp_path):
    ctx = context(tmp_path)
    ctx.note("half", "x" * (notes.MOST_NOTED_BYTES // 2))
    with pytest.raises(ContractError, match="bytes of at most"):
        ctx.note("other half", "x" * (notes.MOST_NOTED_BYTES // 2))
    ctx.note("small", 1)
    assert len(orjson.dumps(ctx.notes)) <= notes.MOST_NOTED_BYTES


def test_where_nothing_is_collected_nothing_happens(tmp_path):
    ctx = Context(seed=1, work=tmp_path)
    ctx.note("a", 1)
    ctx.note("a", {2})
    assert ctx.notes is None


def test_the_drivers_in_memory_collect_what_the_engine_keeps(plain, tmp_path):
    with_ids = plain.table("docs", "doc_id", "text_bytes")
    keep = plain.table("exact", "kept").column("kept")
    ctx = context(tmp_path)
    drive.run_whole(support_ops.Ranked(), with_ids.filter(keep), ctx)
    assert ctx.notes == plain.metrics["order"]
    ctx = context(tmp_path)
    drive.run_fold(support_ops.Halves(), with_ids.filter(keep), ctx)
    assert ctx.notes == plain.metrics["halves"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wavering(support_ops.Ranked):
    """Rank of every row by length, and a metric that knows the parts.

    Source: own
    """

    def solve(self, rows, ctx):
        ctx.note("parts", rows["_part"].n_unique())
        return rows.select(rank="text_bytes")


def test_the_contract_suite_finds_metrics_that_depend_on_the_layout():
    found = testing.check_operator(Wavering())
    assert {(f.rule, f.status) for f in found} == {("notes", "broken")}
    assert "parts" in found[0].message


def test_a_line_of_the_terminal_is_the_summary_else_a_few_numbers():
    assert shown.short_facts({"a": 1, "summary": "half of it"}) == ["half of it"]
    assert shown.short_facts({"b": 0.123456789, "a": 1200, "long": "x" * 99, "list": [1]}) == ["a 1,200", "b 0.123457"]
    assert shown.short_facts({}) == []
    assert [n for n, _ in shown.table_rows({"a": 1, "summary": "x"})] == ["summary", "a"]
    assert len(shown.value_text(list(range(10_000)))) < 200
