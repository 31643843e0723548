"""The check of `minhash`: what it says was missed is what brute force over sets of words misses."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support import lines_of, put_file, run

from winnow import cli
from winnow.core.operators import Context
from winnow.core.words.hashing import text_hash
from winnow.dags.driver.remarks import remarks_of
from winnow.dags.looking.finished import FinishedRun
from winnow.dags.looking.report.clusters import duplicates
from winnow.dags.recipe.records import latest_record
from winnow.pipeline.dedup import minhash_check
from winnow.pipeline.dedup.minhash_check import Check, Counted, figures
from winnow.pipeline.dedup.minhash_pairs import Pairs
from winnow.pipeline.dedup.minhash_signatures import Signatures
from winnow.testing.in_memory import MemoryRows, MemorySource, run_group, run_map, run_whole


def corpus(rows: int = 160, seed: int = 3) -> pl.DataFrame:
    rng = random.Random(seed)
    base = [[f"w{rng.randrange(300)}" for _ in range(40)] for _ in range(30)]
    texts: list[str | None] = [None, "", "?!"]
    while len(texts) < rows:
        words = list(base[len(texts) % 30])
        for _ in range(rng.randrange(16)):
            words[rng.randrange(40)] = f"y{rng.randrange(9999)}"
        texts.append(" ".join(words))
    rng.shuffle(texts)
    doc_id = text_hash(pa.array([f"d{n}" for n in range(rows)], pa.large_string()))
    return pl.DataFrame({
        "doc_id": pl.Series(doc_id.cast(pa.large_binary())), "text": pl.Series(texts, dtype=pl.String),
        "per_hash": pl.Series([rng.choice([b"a" * 16, b"b" * 16, None]) for _ in texts], dtype=pl.Binary),
    })  # fmt: skip


def jaccard(one: str | None, two: str | None) -> float:
    sets = [{tuple(w[at : at + 2]) for at in range(len(w) - 1)} for w in ((t or "").split() for t in (one, two))]
    return len(sets[0] & sets[1]) / max(len(sets[0] | sets[1]), 1)


@pytest.mark.parametrize("parted", [False, True])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(("sample", "others"), [(1000, 5000), (40, 90)])
def test_what_is_said_to_be_missed_is_what_brute_force_misses(monkeypatch, parted, parts, sample, others):
    monkeypatch.setattr(minhash_check, "SAMPLE", sample)
    monkeypatch.setattr(minhash_check, "OTHERS", others)
    rows = corpus()
    ctx = Context(seed=0, work=Path())
    cuts = [rows[at::parts] for at in range(parts)]
    made = [pl.concat([cut, run_map(Signatures(ngram=2, num_hashes=12), cut, ctx)], how="horizontal") for cut in cuts]
    access = MemoryRows(parts=made)
    banding = {"num_bands": 3, "rows_per_band": 4, "threshold": 0.4}
    paired = run_group(Pairs(**banding, parted=parted), made, 3, Context(seed=0, work=Path(), access=access))
    pairs = pl.concat(paired) if isinstance(paired, list) else paired
    notes: dict = {}
    refs = {"pairs": MemorySource(rows=pairs)}
    answers = run_whole(
        Check(threshold=0.4, parted=parted), made,
        Context(seed=0, work=Path(), access=access, refs=refs, notes=notes),
    )  # fmt: skip
    found = pl.concat([a.with_columns(c["doc_id"]) for a, c in zip(answers, cuts, strict=True)])
    near = dict(zip(found["doc_id"], found["near_documents"], strict=True))
    told = notes["checked"]
    assert told["documents"] == sum(value is not None for value in near.values()) <= sample
    texts, groups = (dict(zip(rows["doc_id"], rows[name], strict=True)) for name in ("text", "per_hash"))
    usable = [i for i in texts if any(c.isalnum() for c in texts[i] or "") and (groups[i] is not None or not parted)]
    if others >= len(usable):
        assert told["compared_with"] == len(usable)
        known = {frozenset(pair) for pair in pairs.select("a", "b").rows()}
        true = {
            frozenset((one, two)) for one in usable for two in usable
            if one < two and jaccard(texts[one], texts[two]) >= 0.4 and (not parted or groups[one] == groups[two])
        }  # fmt: skip
        assert known < true  # three bands of four rows miss some
        for doc, number in near.items():
            assert number is None or number == sum(doc in pair for pair in true)
        have = [d for d in usable if any(d in pair for pair in true)]
        hit = [d for d in have if any(d in pair for pair in known)]
        assert (told["recall"]["value"], told["recall"]["of"]) == (len(hit) / len(have), len(have))
        assert told["pair_recall"]["value"] == len(known) / len(true)
    else:
        assert told["compared_with"] == others
    assert told["precision"]["value"] == 1.0
    assert told["recall"]["low"] < told["recall"]["value"] < told["recall"]["high"]


def test_figures_are_shares_of_documents_and_a_false_pair_lowers_precision():
    of = Counted(near=np.array([0, 2, 1, 300, 0]), hits=np.array([0, 1, 0, 30, 0]), pairs=np.array([1, 1, 0, 30, 0]))
    told = figures(of)
    assert told["recall"]["value"] == 2 / 3
    assert told["precision"]["value"] == 2 / 3
    assert told["pair_recall"] == {"value": 31 / 303, "of": 303}
    assert told["large_groups"] == {"value": 0.1, "of": 300}
    assert figures(Counted(*np.zeros((3, 4), dtype=np.int64))) == {}


def test_a_low_recall_is_remarked_shown_in_the_report_and_the_same_for_any_files(tmp_path):
    rng, docs = random.Random(8), []
    for page in range(120):
        words = [f"w{rng.randrange(900)}" for _ in range(80)]
        for n in range(2):
            words = [w if rng.random() > 0.02 else "new" for w in words]
            docs.append({"id": f"{page}-{n}", "text": " ".join(words)})
    recipe = """
stages:
  docs: {use: jsonl, files: "raw*.jsonl", id: "field:id", columns: {id: string}}
  once: {use: minhash, inputs: docs, num_bands: 1, rows_per_band: 12, threshold: 0.7}
"""
    told = []
    for files in (1, 3):
        for n in range(files):
            put_file(tmp_path / str(files) / f"raw{n}.jsonl", lines_of(docs[n::files]))
        ran = run(recipe, tmp_path / str(files), tmp_path / f"root{files}")
        check = FinishedRun(latest_record(ran.store)).stage("once.check")
        told.append(check.committed.manifest.metrics["checked"])
        said = [text for stage in ran.runs for text in remarks_of(stage.node.operator, stage.manifest)]
        assert any("of the documents with a near-duplicate have one found, by a sample of" in text for text in said)
        shown = duplicates(FinishedRun(latest_record(ran.store)).stage("once"))
        assert shown is not None
        assert shown.checked[0] == "240 documents by lot compared with 240, by exact Jaccard"
        assert any(line.startswith("of ") and "have one found" in line for line in shown.checked)
    assert told[0] == told[1]
    assert told[0]["recall"]["high"] < 0.9


def test_the_check_may_be_left_out_and_decides_nothing(tmp_path):
    lines = "".join(
        json.dumps({"text": f"one two three four five six seven {n // 3} and {n // 3} more"}) + "\n" for n in range(30)
    )
    (tmp_path / "docs.jsonl").write_text(lines)
    recipe = "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n  unique: {use: minhash, inputs: docs, ngram: 2MORE}\n"
    checked, left = (run(recipe.replace("MORE", more), tmp_path, tmp_path / "runs") for more in ("", ", check: false"))
    assert "unique.check" in checked.digests
    assert "unique.check" not in left.digests
    assert left.digests["unique.clusters"] == checked.digests["unique.clusters"]
    assert left.computed == {}  # nothing before or behind the check is made again


def test_a_check_that_has_no_room_says_how_it_is_left_out(tmp_path, capsys):
    (tmp_path / "docs.jsonl").write_text('{"text": "one two three four five six"}\n')
    recipe = "stages:\n  docs: {use: jsonl, files: docs.jsonl}\n  unique: {use: minhash, inputs: docs}\n"
    (tmp_path / "r.yaml").write_text(recipe)
    command = ["run", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "runs"), "--workers", "1", "--memory", "0.3"]
    assert cli.main(command) == 2
    told = capsys.readouterr().err
    assert "minhash_check wants 0.3" in told or "minhash_check wants 0.4" in told
    assert "`check: false`" in " ".join(told.split())
    assert cli.main([*command, "--set", "unique.check=false"]) == 0
