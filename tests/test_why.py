"""`winnow why`: the run of a document that was dropped, is a duplicate, was selected; how it may be named."""

import contextlib
import json
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
from cli_runs import RECIPE, make_input, winnow, write_recipe

from winnow.cli import main
from winnow.core.store.committed_stage import CommittedStage
from winnow.core.store.ids import field_ids, position_ids
from winnow.core.store.locations import open_store
from winnow.dags.looking.finished import FinishedRun
from winnow.dags.looking.why import one_hash
from winnow.dags.recipe.records import latest_record


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run and its planted documents."""
    folder = tmp_path_factory.mktemp("why")
    planted = make_input(folder)
    write_recipe(folder)
    with contextlib.chdir(folder):
        assert main(["run", "web.yaml", "--out", "runs/web", "--workers", "0", "--json"]) == 0
    return folder, planted


@pytest.fixture
def why(ran, capsys, monkeypatch):
    folder, _ = ran
    monkeypatch.chdir(folder)
    return lambda *args: winnow(capsys, "why", "runs/web", *args, "--json")


def test_why_imports_no_plans_engines_or_pandas(why, ran):
    """A lookup is over before they would be loaded."""
    folder, planted = ran
    why(planted["short"][0])  # the index of rows is made on first use
    code = (
        "import sys; from winnow.cli import main; assert main(sys.argv[1:]) == 0; "
        "print([m for m in ('pandas', 'numba', 'winnow.dags.recipe.plan', 'winnow.dags.driver.runner') if m in sys.modules])"
    )
    for doc in (planted["short"][0], planted["exact"][0], "1.jsonl#0"):
        command = [sys.executable, "-c", code, "why", "runs/web", doc, "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


def stages(told):
    return {s["stage"]: s for s in told["stages"]}


def test_a_document_that_a_clause_refused_shows_the_clause_its_rule_and_the_value(why, ran):
    told = why(ran[1]["short"][0]).json()
    clean = stages(told)["clean"]
    assert clean["verdict"] is False
    assert clean["clauses"] == [
        {"clause": "long", "rule": "word_count >= 40", "passed": False, "values": {"word_count": 4}},
        {"clause": "short", "rule": "word_count < 140", "passed": True, "values": {"word_count": 4}},
    ]
    assert stages(told)["exact"]["state"] == "masked"
    assert stages(told)["exact"]["why"] == "not asked: clean did not keep it"
    why_not = "long refuses: word_count >= 40 with word_count = 4"
    assert told["ended"] == [{"stage": "corpus", "dropped_by": "clean", "why": why_not}]


def test_every_stage_of_the_row_space_is_told_with_its_columns_and_state(why, ran):
    told = why(ran[1]["short"][0]).json()
    assert list(stages(told)) == [
        "docs", "sig", "clean", "exact", "unique.signatures", "unique.pairs", "unique.check", "unique", "best", "plain",
    ]  # fmt: skip
    assert stages(told)["sig"]["columns"]["word_count"] == 4
    assert stages(told)["sig"]["state"] == "ok"
    assert told["text"] == "too short by far"
    assert told["bytes"] == 16


def test_an_exact_duplicate_names_its_keeper_and_the_whole_cluster(why, ran):
    lives = {uid: why(uid).json() for uid in ran[1]["exact"]}
    ids = sorted(told["doc_id"] for told in lives.values())
    for told in lives.values():
        exact = stages(told)["exact"]
        assert exact["cluster"]["keeper"] == ids[0]
        assert exact["cluster"]["size"] == 3
        assert sorted(m["doc_id"] for m in exact["cluster"]["members"]) == ids
        assert [m["doc_id"] for m in exact["cluster"]["members"] if m["kept"]] == [ids[0]]
        assert exact["verdict"] is (told["doc_id"] == ids[0])
        if told["doc_id"] != ids[0]:
            assert told["ended"][0]["dropped_by"] == "exact"
            assert told["ended"][0]["why"] == f"duplicate of {ids[0]}"


def test_of_a_large_cluster_twenty_members_are_named_and_the_others_counted(tmp_path, capsys):
    (tmp_path / "raw.jsonl").write_text('{"text": "one and the same"}\n' * 25)
    recipe = tmp_path / "web.yaml"
    recipe.write_text("stages:\n  docs: {use: jsonl, files: raw.jsonl}\n  same: {use: exact, inputs: docs}\n")
    assert winnow(capsys, "run", str(recipe), "--out", str(tmp_path / "out"), "--workers", "0").code == 0
    asked = ("why", str(tmp_path / "out"), "raw.jsonl#29")
    cluster = stages(winnow(capsys, *asked, "--json").json())["same"]["cluster"]
    assert (cluster["size"], len(cluster["members"])) == (25, 20)
    assert len({m["doc_id"] for m in cluster["members"]}) == 20
    assert "and 5 more" in winnow(capsys, *asked).out


def test_a_near_duplicate_tells_the_jaccard_of_its_verified_pairs(why, ran):
    lives = [why(uid).json() for uid in ran[1]["near"]]
    dropped = [told for told in lives if stages(told)["unique"]["verdict"] is False]
    assert len(dropped) == 2
    for told in dropped:
        unique = stages(told)["unique"]
        keeper = next(m for m in unique["cluster"]["members"] if m["kept"])
        assert keeper["doc_id"] == unique["columns"]["cluster"] == unique["cluster"]["keeper"]
        assert keeper["jaccard"] == pytest.approx(unique["columns"]["keeper_jaccard"])
        assert 0.7 <= keeper["jaccard"] < 1
        assert keeper["origin"].partition("#")[0] in {"0.jsonl", "1.jsonl", "2.jsonl"}
        assert told["ended"][0]["dropped_by"] == "unique"


def test_a_selected_document_is_found_in_its_shard_at_the_row_it_tells(why, ran):
    import polars as pl

    store = open_store(ran[0] / "runs" / "web")
    run = FinishedRun(latest_record(store))
    view = next(v for v in run.stages if v.shown == "corpus")
    doc_id = CommittedStage(store, view.folder, "rows", "").frame("doc_id")["doc_id"][17]
    told = why(doc_id.hex()).json()
    end = told["ended"][0]
    assert end["stage"] == "corpus"
    assert pl.read_parquet(end["shard"])["doc_id"][end["row"]] == doc_id.hex()
    assert stages(told)["best"]["verdict"] is True
    assert stages(told)["best"]["values"] == {"word_count": stages(told)["sig"]["columns"]["word_count"]}


def test_a_document_may_be_named_by_id_prefix_user_id_or_origin(why, ran):
    by_user = why("doc-1-5").json()
    for name in (by_user["doc_id"], by_user["doc_id"][:8], by_user["doc_id"].upper(), by_user["origin"]):
        assert why(name).json() == by_user


def test_the_hash_of_one_name_is_the_id_that_readers_give():
    def column(text):
        return pa.array([text], pa.large_string())

    for text in ("", "a", "dir/ü.jsonl", "x" * 500):
        assert one_hash("src", text, "17") == position_ids("src", column(text), column("17"))[0].as_py().hex()
        assert one_hash("id", "src", "", text) == field_ids("src", column(text))[0].as_py().hex()


def test_an_origin_is_found_by_its_hash_where_ids_are_positions(ran, capsys, monkeypatch):
    folder, _ = ran
    monkeypatch.chdir(folder)
    recipe = RECIPE.replace('"field:uid"', "position").replace("name: web", "name: pos")
    write_recipe(folder, recipe, "pos.yaml")
    assert winnow(capsys, "run", "pos.yaml", "--workers", 0, "--until", "clean").code == 0
    monkeypatch.setattr(
        "winnow.dags.looking.row_index.RowIndex.with_origin", lambda *_: pytest.fail("origins were scanned")
    )
    told = winnow(capsys, "why", "pos", "1.jsonl#0", "--json").json()
    assert told["origin"] == "1.jsonl#0"
    assert told["ended"] == [{"stage": "clean", "dropped_by": "clean", "why": stages(told)["clean"]["why"]}]


def test_the_first_decision_on_the_way_is_told_and_no_decision_beside_the_way(tmp_path, capsys, monkeypatch):
    make_input(tmp_path)
    recipe = RECIPE.replace(
        "  clean:", '  beside: {use: filter, inputs: [sig], keep: {none: "word_count < 0"}}\n  clean:'
    )
    recipe = recipe.replace("  clean:  {use: filter,", "  clean:  {use: filter, ignore: beside,")
    assert "ignore: beside" in recipe
    write_recipe(tmp_path, recipe.replace("where: kept_clean", "where: word_count < 121, ignore: all"))
    monkeypatch.chdir(tmp_path)
    assert winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0).code == 0
    planted = winnow(capsys, "why", "out", "doc-1-2", "--json").json()  # 121 words
    assert stages(planted)["beside"]["verdict"] is False
    assert stages(planted)["clean"]["verdict"] is True
    assert planted["ended"] == [{"stage": "corpus", "dropped_by": "exact", "why": "not asked: where word_count < 121"}]


@pytest.mark.parametrize(
    ("doc", "hint"),
    [
        ("doc-9-9", "origins look like '0.jsonl#0'"),
        ("0123456789", "nearest ids: "),
        ("elsewhere/0.jsonl#77777777", "origins like it: 0.jsonl#39732"),  # the nearest
        ("0.jsonl#1", "origins like it: 0.jsonl#0,"),
    ],
)
def test_a_document_that_is_not_there_exits_2_with_the_nearest_names(why, doc, hint):
    said = why(doc)
    assert said.code == 2
    error = said.json()["error"]
    assert doc in error["what"]
    assert error["hint"].startswith(hint)


def test_a_name_that_means_many_documents_lists_their_ids(why):
    said = why("0.jsonl")
    assert said.code == 2
    assert "means 20 documents" in said.json()["error"]["what"]


def test_the_text_form_tells_verdicts_cluster_and_end(ran, capsys, monkeypatch):
    monkeypatch.chdir(ran[0])
    said = winnow(capsys, "why", "web", ran[1]["exact"][1])
    assert said.code == 0
    assert "ok   long: word_count >= 40" in said.out
    assert "keeper  " in said.out
    assert said.out.splitlines()[-1].startswith("corpus: ")
    assert "unique.signatures" not in said.out
    assert "unique.signatures" in winnow(capsys, "why", "web", ran[1]["exact"][1], "--all").out


def test_a_stage_that_is_not_complete_is_told_as_not_run(ran, capsys, monkeypatch, tmp_path):
    make_input(tmp_path)
    write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert winnow(capsys, "run", "web.yaml", "--out", "out", "--workers", 0).code == 0
    record = json.loads((tmp_path / "out" / "runs" / "web.json").read_text())
    (tmp_path / "out" / record["stages"]["best"]["dir"] / "manifest.json").unlink()
    told = winnow(capsys, "why", "out", "doc-1-5", "--json").json()
    assert stages(told)["best"]["state"] == "not run"


def test_the_index_is_sixteen_bytes_a_row_and_a_lookup_of_any_row_is_right(ran):
    store = open_store(ran[0] / "runs" / "web")
    space = FinishedRun(latest_record(store)).spaces()[0]
    rows = CommittedStage(store, space.folder, "rows", "").frame("doc_id")["doc_id"]
    for doc_id in rows:
        (place,) = space.index.find(doc_id.hex())
        assert place.doc_id == doc_id
    size = store.size(f"index/{space.folder}.arrow")
    assert size < 16 * len(rows) + 1500


@pytest.mark.slow
def test_a_million_documents_are_searched_in_well_under_a_second(tmp_path):
    from winnow.core.store.ids import as_fixed
    from winnow.core.store.manifest import Manifest, Receipt, StageDir
    from winnow.core.store.parts import save_table
    from winnow.dags.looking.row_index import RowIndex

    stage = StageDir(open_store(tmp_path), "docs-00000000000000000000")
    rng = np.random.default_rng(3)
    receipts = []
    for unit in ("a", "b", "c", "d"):
        ids = as_fixed(
            pa.array([bytes(row) for row in rng.integers(0, 256, (250_000, 16), dtype=np.uint8)], pa.binary(16))
        )
        table = pa.table({"doc_id": ids})
        receipts.append(
            Receipt(phase="part", unit=unit, key=unit, rows=len(ids), files=save_table(stage, "part", unit, table))
        )
    stage.finish(Manifest(kind="rows", fingerprint="0", content_digest="0", consumed={}, rows=1_000_000, counts={},
                          seconds=0, receipts=tuple(receipts)))  # fmt: skip
    wanted = ids[123].as_py()
    RowIndex(stage.store, stage.folder).find(wanted.hex())
    begun = time.perf_counter()
    (place,) = RowIndex(stage.store, stage.folder).find(wanted.hex())
    assert time.perf_counter() - begun < 0.2
    assert (place.unit, place.row) == ("d", 123)
