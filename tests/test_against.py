"""Later data against the index of earlier: the pairs of one run over all, at the price of what is new."""

import json
import random
import shutil

import numpy as np
import pyarrow as pa
import pytest
from support import plan_of, put_corpus, run

import winnow
from winnow.core.errors import ConfigError
from winnow.dags.looking.address import find_record
from winnow.dags.looking.why import explain

FIRST = """
seed: 7
stages:
  docs: {{use: jsonl, files: "{name}/*.jsonl", id: content, source: {name}, columns: {{site: string}}}}
  near: {{use: minhash, inputs: docs, threshold: 0.5, rows_per_band: 4{more}}}
  seen: {{use: dedup_index, of: near}}
"""
BOTH = """
seed: 7
stages:
  a: {use: jsonl, files: "a/*.jsonl", id: content, source: a, columns: {site: string}}
  b: {use: jsonl, files: "b/*.jsonl", id: content, source: b, columns: {site: string}}
  c: {use: jsonl, files: "c/*.jsonl", id: content, source: c, columns: {site: string}}
  docs: {use: concat, inputs: [a, b, c]}
  near: {use: minhash, inputs: docs, threshold: 0.5, rows_per_band: 4MORE}
"""


def crawls(seed):
    """Name -> documents of three crawls: near-copies within and across, some texts without a word."""
    draw = random.Random(seed)
    words = [f"w{n}" for n in range(2000)]
    base = [draw.choices(words, k=draw.randrange(20, 80)) for _ in range(40)]

    def varied():
        text = list(draw.choice(base))
        for _ in range(draw.randrange(8)):
            text[draw.randrange(len(text))] = draw.choice(words)
        return text

    return {
        name: [
            {"text": " ".join(varied()) if draw.random() < 0.95 else "--", "site": draw.choice(["x", "y", None])}
            for _ in range(110)
        ]
        for name in "abc"
    }


def put(folder, seed=0, files=2):
    for name, documents in crawls(seed).items():
        put_corpus(folder / name, documents, files)
    return folder


def against(ran, stage="seen.index"):
    """Where a run left its index."""
    return str(ran.folder(stage) / "index")


def one(folder, root, name, indexes=(), more="", **options):
    more += f", against: {json.dumps(list(indexes))}" if indexes else ""
    return run(FIRST.format(name=name, more=more), folder, root, **options)


def pairs(ran):
    """(id, id) -> Jaccard of all pairs that a run found, with earlier documents too."""
    found = {}
    for receipt in ran.manifest("near.pairs").named("table").values():
        from winnow.core.store import parts

        for ref in (f for f in receipt.files if "a" in f.columns):
            rows = parts.read_file(ran.store, ref).to_pylist()
            found |= {(r["a"], r["b"]): r["jaccard"] for r in rows}
    if "near.seen" in ran.digests:
        for row in ran.table("near.seen", "doc_id", "earlier_docs", "earlier_jaccards").to_pylist():
            for other, jaccard in zip(row["earlier_docs"] or [], row["earlier_jaccards"] or [], strict=True):
                found[tuple(sorted((row["doc_id"], other)))] = jaccard
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return put(tmp_path_factory.mktemp("crawls"))


@pytest.fixture(scope="module")
def first(folder):
    return one(folder, folder / "root-a", "a")


@pytest.fixture(scope="module")
def second(folder, first):
    return one(folder, folder / "root-b", "b", [against(first)])


@pytest.mark.parametrize("more", ["", ", per: [site]", ", keeper: text_bytes desc", ", contained: 0.9", ", ngram: 2"])
@pytest.mark.parametrize("order", ["abc", "cba", "bac"])
def test_crawls_that_come_one_after_the_other_have_the_pairs_of_all_at_once(tmp_path, order, more):
    put(tmp_path, seed=len(more))
    whole = pairs(run(BOTH.replace("MORE", more), tmp_path, tmp_path / "whole"))
    found, indexes = {}, []
    for name in order:
        ran = one(tmp_path, tmp_path / f"root-{name}", name, indexes, more)
        found |= pairs(ran)
        indexes.append(against(ran))
    assert found == whole
    assert len(whole) > (60 if "per" in more else 150)


def test_a_document_is_dropped_for_the_kept_earlier_one_that_is_most_like_it(first, second):
    kept = {
        row["doc_id"]: row["kept"] for row in first.table("near", "doc_id", "kept").to_pylist()
    }  # fmt: skip
    seen = second.table("near.seen", "earlier", "earlier_jaccard", "earlier_docs", "earlier_jaccards").to_pylist()
    rows = second.table("near", "doc_id", "kept", "cluster", "keeper_jaccard", "minhash_cluster_size").to_pylist()
    direct = 0
    for row, found in zip(rows, seen, strict=True):
        mine = dict(zip(found["earlier_docs"] or [], found["earlier_jaccards"] or [], strict=True))
        stay = {doc: jaccard for doc, jaccard in mine.items() if kept[doc]}
        if stay:
            direct += 1
            assert found["earlier_jaccard"] == max(stay.values())
            assert stay[found["earlier"]] == found["earlier_jaccard"]
        if found["earlier"] is None:
            assert not stay
            continue
        assert kept[found["earlier"]]
        assert not row["kept"]
        assert (row["cluster"], row["keeper_jaccard"]) == (found["earlier"], found["earlier_jaccard"])
        assert row["minhash_cluster_size"] == 1 + sum(r["cluster"] == row["cluster"] for r in rows)
    assert direct > 20
    assert second.counts("near")["earlier_origin"] == sum(f["earlier"] is not None for f in seen)


def test_new_documents_stand_for_new_ones_alone_where_no_earlier_one_does(second):
    rows = {r["doc_id"]: r for r in second.table("near", "doc_id", "kept", "cluster", "earlier_origin").to_pylist()}
    left = [r for r in rows.values() if r["earlier_origin"] is None and not r["kept"]]
    assert left
    assert all(rows[r["cluster"]]["kept"] for r in left)


@pytest.mark.parametrize(
    ("engine", "workers", "options"),
    [
        ("local", 0, {"part_bytes": 3000, "buckets": 7, "batch_rows": 5}),
        ("local", 2, {"part_bytes": 9000}),
        pytest.param("ray", 2, {"part_bytes": 9000}, marks=pytest.mark.ray),
    ],
)
def test_any_layout_and_engine_leaves_the_same_index_and_the_same_decisions(
    folder, first, second, tmp_path, engine, workers, options
):
    other = one(folder, tmp_path / "a", "a", engine=engine, workers=workers, **options)
    names = sorted(p.name for p in (other.folder("seen.index") / "index").iterdir())
    for name in names:
        mine = (first.folder("seen.index") / "index" / name).read_bytes()
        assert (other.folder("seen.index") / "index" / name).read_bytes() == mine, name
    assert {"ids", "index.json", "keeper", "keys", "rows", "signatures"} <= set(names)
    again = one(folder, tmp_path / "b", "b", [against(other)], engine=engine, workers=workers, **options)
    assert again.digests == second.digests
    assert again.plan.node("near").fingerprint == second.plan.node("near").fingerprint


def test_a_copied_index_is_the_same_one_and_another_one_is_another_stage(folder, first, second, tmp_path):
    shutil.copytree(against(first), tmp_path / "elsewhere")
    text = FIRST.format(name="b", more=f", against: {tmp_path / 'elsewhere'}")
    assert plan_of(text, folder).node("near").fingerprint == second.plan.node("near").fingerprint
    other = one(folder, tmp_path / "c", "c")
    text = FIRST.format(name="b", more=f", against: {against(other)}")
    assert plan_of(text, folder).node("near").fingerprint != second.plan.node("near").fingerprint


def test_large_groups_are_compared_in_part_and_in_order(tmp_path):
    page = " ".join(f"w{n}" for n in range(40))
    put_corpus(tmp_path / "a", [{"text": f"{page} tail{n}", "site": "x"} for n in range(400)], 1)
    put_corpus(tmp_path / "b", [{"text": f"{page} end{n}", "site": "x"} for n in range(3)], 1)
    first = one(tmp_path, tmp_path / "root-a", "a")
    ran = one(tmp_path, tmp_path / "root-b", "b", [against(first)])
    ids = sorted(first.table("near", "doc_id")["doc_id"].to_pylist())
    for row in ran.table("near.seen", "doc_id", "earlier_docs", "earlier").to_pylist():
        after = [i for i in ids if i > row["doc_id"]][:16]
        assert set(row["earlier_docs"]) >= {*after}
        assert len(row["earlier_docs"]) < 60  # 14 bands, most of them one group
        assert row["earlier"] is not None  # what those were dropped for


def refused(folder, index, more=""):
    with pytest.raises(ConfigError) as error:
        plan_of(FIRST.format(name="b", more=f", against: {index}{more}"), folder)
    assert error.value.where.startswith("stages.near."), "a place that the recipe has"
    assert ".seen" not in error.value.where
    return str(error.value)


def test_an_index_that_is_missing_of_another_kind_or_not_whole_is_refused_before_anything_runs(folder, first, tmp_path):
    assert "is neither a stage of a run nor a folder" in refused(folder, "nowhere/seen")
    assert "holds no index.json, so it is no index" in refused(folder, str(folder / "a"))
    whole = tmp_path / "whole"
    shutil.copytree(against(first), whole)
    assert "was made with ngram: 5, and this stage has 3" in refused(folder, whole, ", ngram: 3")
    assert "was made with per: [], and this stage has [site]" in refused(folder, whole, ", per: [site]")
    with (whole / "shingles.values").open("r+b") as file:
        file.truncate(100)
    assert "shingles.values has 100 bytes and should have" in refused(folder, whole)
    (whole / "shingles.values").unlink()
    assert "shingles.values is missing" in refused(folder, whole)
    (whole / "index.json").write_text("{}")
    assert "describes no index" in refused(folder, whole)


@pytest.mark.parametrize("name", ["keys", "rows", "shingles.values", "ids", "keeper", "shingles.ends", "origin.bytes"])
def test_one_changed_byte_of_an_index_is_found(folder, first, tmp_path, name):
    shutil.copytree(against(first), tmp_path / "whole")
    data = bytearray((tmp_path / "whole" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "whole" / name).write_bytes(data)
    assert f"{name} is not what index.json beside it says" in refused(folder, tmp_path / "whole")


def test_chains_over_earlier_data_are_not_offered(folder, first):
    assert "against" in (said := refused(folder, against(first), ", linkage: components"))
    assert "linkage" in said


def recipe_file(folder, name, text):
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def test_a_stage_of_another_run_is_named_by_run_and_stage_and_why_says_whose_copy_it_is(
    folder, first, tmp_path, capsys
):
    shutil.copytree(folder / "a", tmp_path / "a")
    shutil.copytree(folder / "b", tmp_path / "b")
    winnow.run_recipe(recipe_file(tmp_path, "july", FIRST.format(name="a", more="")), out=str(tmp_path / "july"))
    for named in ("july/seen", "july", "july:july/seen"):
        text = FIRST.format(name="b", more=f", against: {named}")
        assert plan_of(text, tmp_path).node("near.seen").files["against"]
    winnow.run_recipe(recipe_file(tmp_path, "august", FIRST.format(name="b", more=", against: july/seen")),
                      out=str(tmp_path / "august"))  # fmt: skip
    run_ = winnow.open(str(tmp_path / "august"))
    rows = run_.frame("near", ["doc_id", "cluster", "earlier_origin"]).collect()
    row = rows.filter(rows["earlier_origin"].is_not_null()).row(0, named=True)
    life = explain(find_record(str(tmp_path / "august")), row["doc_id"])
    stage = next(s for s in life["stages"] if s["stage"] == "near")
    assert stage["cluster"]["earlier"] == row["earlier_origin"]
    assert f"an earlier document: {row['earlier_origin']}" in stage["why"]
    missing = plan_error(tmp_path, "july/sen")
    assert "has no stage 'sen'" in missing
    assert "seen" in missing
    assert "which is no `minhash_index`" in plan_error(tmp_path, "july/near")
    assert "no run 'june'" in plan_error(tmp_path, "july:june/seen")


def plan_error(folder, index):
    with pytest.raises(ConfigError) as error:
        plan_of(FIRST.format(name="b", more=f", against: {index}"), folder)
    return f"{error.value} {error.value.hint}"


EXACT = """
stages:
  docs: {{use: jsonl, files: "{name}/*.jsonl", id: content, source: {name}, columns: {{site: string}}}}
  same: {{use: exact, inputs: docs{more}}}
  seen: {{use: dedup_index, of: same}}
"""


@pytest.mark.parametrize("more", ["", ", by: text, form: words", ", by: site", ", by: text, per: [site]"])
def test_equal_texts_of_earlier_runs_are_found_like_those_of_one_run(tmp_path, more):
    draw = random.Random(5)
    for name in "abc":
        rows = [
            {"text": f"Page {draw.randrange(60)}!" * 3, "site": draw.choice([None, "x", "y", "z"])} for _ in range(80)
        ]
        put_corpus(tmp_path / name, rows, 2)
    whole = run(
        BOTH.partition("  near:")[0] + f"  same: {{use: exact, inputs: docs{more}}}\n", tmp_path, tmp_path / "whole"
    )
    kept, indexes, earlier = 0, [], 0
    for name in "abc":
        text = EXACT.format(name=name, more=more + (f", against: {json.dumps(indexes)}" if indexes else ""))
        ran = run(text, tmp_path, tmp_path / f"root-{name}")
        kept += ran.counts("same")["kept"]
        earlier += ran.counts("same").get("earlier_origin", 0)
        indexes.append(against(ran))
    assert kept == whole.counts("same")["kept"]
    assert earlier > (2 if "site" in more and "per" not in more else 20)
    rows = ran.table("same", "kept", "duplicate_of", "earlier_origin", "exact_cluster_size").to_pylist()
    for row in rows:
        assert row["earlier_origin"] is None or (
            row["duplicate_of"] and not row["kept"] and row["exact_cluster_size"] > 1
        )


def test_an_exact_index_of_another_column_or_kind_is_refused(tmp_path, folder, first):
    put_corpus(tmp_path / "a", [{"text": "one", "site": "x"}], 1)
    ran = run(EXACT.format(name="a", more=""), tmp_path, tmp_path / "root")
    with pytest.raises(ConfigError, match="was made with by: text_hash, and this stage has text"):
        plan_of(EXACT.format(name="a", more=f", by: text, against: {against(ran)}"), tmp_path)
    with pytest.raises(ConfigError, match="is an index of `minhash`"):
        plan_of(EXACT.format(name="a", more=f", against: {against(first)}"), tmp_path)


def test_an_index_of_what_is_no_deduplication_is_refused(folder):
    text = "stages:\n  docs: {use: jsonl, files: 'a/*.jsonl'}\n  seen: {use: dedup_index, of: docs}\n"
    with pytest.raises(ConfigError, match="stage 'docs' is a `jsonl`"):
        plan_of(text, folder)


def test_an_empty_index_is_one(tmp_path):
    put_corpus(tmp_path / "a", [{"text": "--", "site": "x"}], 1)
    put_corpus(tmp_path / "b", [{"text": "some words of a text that is new", "site": "x"}], 1)
    first = one(tmp_path, tmp_path / "root-a", "a")
    ran = one(tmp_path, tmp_path / "root-b", "b", [against(first)])
    assert ran.table("near", "kept", "earlier_origin").to_pylist() == [{"kept": True, "earlier_origin": None}]


def test_many_keys_are_sorted_bucket_by_bucket_into_the_same_files(tmp_path, monkeypatch):
    from winnow.pipeline.dedup import minhash_index

    draw = np.random.default_rng(1)
    keys = draw.integers(0, 2**64, (500, 14), dtype=np.uint64)
    out = []
    for size in (1 << 24, 300):
        monkeypatch.setattr(minhash_index, "BUCKET_KEYS", size)
        folder, scratch = tmp_path / f"{size}", tmp_path / f"s{size}"
        folder.mkdir()
        scratch.mkdir()
        made = minhash_index.Keys(scratch, keys.size)
        for start in range(0, 500, 90):
            made.add(keys[start : start + 90], np.arange(start, min(start + 90, 500)))
        made.finish(folder)
        out.append([(folder / name).read_bytes() for name in ("keys", "rows")])
    assert out[0] == out[1]
    assert pa.py_buffer(out[0][0]).size == 8 * keys.size
