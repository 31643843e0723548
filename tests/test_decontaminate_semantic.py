"""What says an item in other words is found by vectors, and says by which; planted paraphrases, exact edges, blocks."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from support import WORDS, put_corpus, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn
from winnow.dags.driver.remarks import remarks_of
from winnow.pipeline.filter import semantic_matches
from winnow.pipeline.filter.decontaminate import Decontaminate

GIVEN = """
seed: 2
stages:
  docs:  {use: jsonl, files: "raw/*.jsonl", columns: {uid: string, vec: string}}
  items: {use: jsonl, files: "quiz/*.jsonl", columns: {vec: string}}
  mine:  {use: vectors_from, inputs: docs, column: vec, dim: 3}
  theirs: {use: vectors_from, inputs: items, column: vec, dim: 3}
  safe:  {use: decontaminate, inputs: [docs, mine], against: items, against_vectors: theirs, similarity: 0.8}
  plain: {use: decontaminate, inputs: docs, against: items, ignore: all}
"""
ITEMS = ["how many apples does the farmer have left after selling half of them at the market on monday",
         "which river runs through the old capital of the northern kingdom"]  # fmt: skip
ROWS = {  # uid -> text, vector
    "copy": (f"Quiz page. {ITEMS[0]} and more", [0, 0, 1]),
    "both": (f"Quiz page. {ITEMS[0]}", [1, 0, 0]),
    "short": (ITEMS[1], [0, 0, 1]),
    "near": ("A seller of fruit gives away one half of all he owns; count the rest.", [0.9, 0.1, 0]),
    "other": ("Gardens and trees near the town.", [-1, 0, 0.2]),
    "second": ("The stream of the former seat of northern kings: its name?", [0.1, 0.99, 0]),
    "far": ("Nothing of this kind stands here.", [0.5, 0.5, 0.7]),
    "without": ("No vector stands beside this text.", None),
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("semantic")
    rows = [{"text": text, "uid": uid, "vec": vec} for uid, (text, vec) in ROWS.items()]
    put_corpus(folder / "raw", rows, 1)
    put_corpus(folder / "quiz", [{"text": t, "vec": v} for t, v in zip(ITEMS, ([1, 0, 0], [0, 1, 0]), strict=True)], 1)
    return run(GIVEN, folder, folder / "root")


def by_uid(ran, stage, *columns):
    names = ran.table("docs", "uid")["uid"].to_pylist()
    table = ran.table(stage, *columns)
    return {uid: tuple(row.values()) for uid, row in zip(names, table.to_pylist(), strict=True)}


def test_every_drop_has_a_reason_of_its_own_name(given):
    reasons = {uid: by for uid, (by,) in by_uid(given, "safe", "contaminated_by").items()}
    assert reasons == {
        "copy": "words", "both": "words", "short": "text", "near": "vectors", "second": "vectors",
        "other": None, "far": None, "without": None,
    }  # fmt: skip
    kept = {uid: kept for uid, (kept,) in by_uid(given, "safe", "kept").items()}
    assert {uid for uid, one in kept.items() if one} == {uid for uid, by in reasons.items() if by is None}
    assert {uid for uid, (one,) in by_uid(given, "plain", "kept").items() if not one} == {"copy", "both", "short"}


def test_similarity_and_item_are_those_of_a_plain_product(given):
    found = by_uid(given, "safe", "contaminated_similarity", "contaminated_like")
    assert found["without"] == (None, None)
    for uid, (_, vec) in ROWS.items():
        if vec is None:
            continue
        unit = np.array(vec) / np.linalg.norm(vec)
        assert found[uid][0] == pytest.approx(max(unit[0], unit[1]), abs=2e-3), uid
    assert [found[uid][1].rpartition("#")[2] for uid in ("near", "second")] == ["0", str(len(json.dumps(
        {"text": ITEMS[0], "vec": [1, 0, 0]})) + 1)]  # fmt: skip


def test_what_vectors_alone_find_is_counted_and_what_has_none_is_told(given):
    metrics = given.of("safe").manifest.metrics
    assert metrics["found_by_vectors"] == 2
    assert "2 documents by vectors alone" in metrics["summary"]
    assert sorted(metrics["found"].values()) == [1, 2]
    told = [
        line
        for name in ("safe.semantic", "safe")
        for line in remarks_of(given.plan.node(name).operator, given.manifest(name))
    ]
    assert any("1 of 8 documents (12.5%) have no vector in 'vector'" in line for line in told)


PLANTED = """
seed: 2
stages:
  docs:  {use: jsonl, files: "raw/*.jsonl", columns: {kind: string}}
  items: {use: jsonl, files: "quiz/*.jsonl"}
  mine:  {use: ngram_vectors, inputs: docs, dim: 2048}
  theirs: {use: ngram_vectors, inputs: items, dim: 2048}
  safe:  {use: decontaminate, inputs: [docs, mine], against: items, against_vectors: theirs, similarity: 0.36}
"""


def planted(seed=5):
    """(rows, items): strangers, and of every item its words in another order, with every sixth another one."""
    draw = random.Random(seed)
    vocabulary = [f"{a}{b}" for a in WORDS[:30] for b in ("", "s", "ing", "ed", "er")]
    items = [" ".join(draw.sample(vocabulary, 22)) for _ in range(25)]
    rows = [{"text": " ".join(draw.sample(vocabulary, 22)), "kind": "stranger"} for _ in range(175)]
    for item in items:
        words = item.split()
        draw.shuffle(words)
        rows.append(
            {
                "text": " ".join(draw.choice(vocabulary) if n % 6 == 5 else w for n, w in enumerate(words)),
                "kind": "paraphrase",
            }
        )
    draw.shuffle(rows)
    return rows, items


def test_paraphrases_without_five_words_in_a_row_are_found_by_their_vectors(tmp_path):
    rows, items = planted()
    put_corpus(tmp_path / "raw", rows, 2)
    put_corpus(tmp_path / "quiz", [{"text": item} for item in items], 1)
    ran = run(PLANTED, tmp_path, tmp_path / "root")
    kinds = ran.table("docs", "kind")["kind"].to_pylist()
    reasons = ran.table("safe", "contaminated_by")["contaminated_by"].to_pylist()
    assert set(reasons) == {"vectors", None}, "their words tell none of them"
    found = {
        kind: np.mean([by is not None for k, by in zip(kinds, reasons, strict=True) if k == kind])
        for kind in set(kinds)
    }
    assert found["paraphrase"] >= 0.9
    assert found["stranger"] <= 0.02


def test_blocks_of_items_and_of_rows_change_no_bit(monkeypatch):
    draw = np.random.default_rng(1)
    rows, items = (draw.normal(size=(n, 24)).astype(np.float32) for n in (60, 41))
    items[30:33] = items[4]  # of equals the first
    grids = [knn.to_grid(semantic_lists(each))[0] for each in (rows, items)]
    whole = semantic_matches.nearest(grids[0], grids[1].astype(np.float32), where="")
    exact = grids[0].astype(np.int64) @ grids[1].astype(np.int64).T
    assert whole[0].tolist() == exact.max(axis=1).tolist()
    assert whole[1].tolist() == exact.argmax(axis=1).tolist()
    monkeypatch.setattr(semantic_matches, "ITEM_BLOCK", 7)
    for block in (1, 13, 60):
        parts = [
            semantic_matches.nearest(grids[0][at : at + block], grids[1].astype(np.float32), where="")
            for at in range(0, 60, block)
        ]
        assert [np.concatenate(each).tolist() for each in zip(*parts, strict=True)] == [each.tolist() for each in whole]


def semantic_lists(values):
    import pyarrow as pa

    return pa.array(values.tolist(), pa.list_(pa.float32()))


def test_vectors_of_other_dimensions_are_refused():
    with pytest.raises(DataError, match="3 dimensions, the items' 4"):
        semantic_matches.nearest(np.zeros((2, 3), np.int16), np.zeros((2, 4), np.float32), where="vector")


@pytest.mark.parametrize(("fields", "where"), [
    ({"similarity": 0.5}, "similarity"), ({"vectors": "other"}, "vectors"), ({"similarity": 1.5, "against_vectors": "v"}, "similarity"),
])  # fmt: skip
def test_fields_that_cannot_work_or_are_not_read_are_refused(fields, where):
    with pytest.raises(ConfigError) as error:
        Decontaminate(against="x", **fields).validate()
    assert error.value.where == where
