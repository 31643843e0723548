"""Signatures to and from datasketch: its LSH finds the candidates of ours, and its indexes serve new data here."""

import pickle
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import plan_of, put_corpus, run
from test_against import against, one, pairs, put

from winnow.core.errors import ConfigError, DataError
from winnow.pipeline.dedup import lean_minhash

datasketch = pytest.importorskip("datasketch")
pytestmark = pytest.mark.peer
BANDS, ROWS = 14, 4
EXPORT = """
seed: 7
stages:
  docs: {use: jsonl, files: "a/*.jsonl", id: content, source: a, columns: {site: string}}
  near: {use: minhash, inputs: docs, threshold: 0.5, rows_per_band: 4}
  seen: {use: dedup_index, of: near, lean_minhash: true}
"""
IMPORT = "stages:\n  old: {{use: datasketch_index, files: '{path}', rows_per_band: 4{more}}}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return put(tmp_path_factory.mktemp("exchange"))


@pytest.fixture(scope="module")
def exported(folder):
    return run(EXPORT, folder, folder / "export")


def minhashes(ran):
    table = pq.read_table(ran.folder("seen.index") / "index" / "minhashes.parquet")
    return {key: datasketch.LeanMinHash.deserialize(raw) for key, raw in zip(*table.to_pydict().values(), strict=True)}


def test_its_lsh_over_our_signatures_finds_our_candidates(exported):
    lsh = datasketch.MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    sketches = minhashes(exported)
    for key, sketch in sketches.items():
        lsh.insert(key, sketch)
    found = {
        tuple(sorted((key, other))) for key, sketch in sketches.items() for other in lsh.query(sketch) if other != key
    }
    mine = {tuple(end.hex() for end in pair): jaccard for pair, jaccard in pairs(exported).items()}
    assert len(mine) > 20
    assert set(mine) <= found
    assert len(found) == exported.metrics["near.clusters"]["candidates"]  # all candidates, not the verified ones alone
    for (one_, two), jaccard in mine.items():
        assert abs(sketches[one_].jaccard(sketches[two]) - jaccard) < 0.35
    assert len(sketches) == sum(
        v is not None for v in exported.table("near.signatures", "num_shingles")[0].to_pylist()
    ) - sum(v == 0 for v in exported.table("near.signatures", "num_shingles")[0].to_pylist())


def test_what_was_exported_and_imported_serves_as_the_index_itself(folder, exported, tmp_path):
    path = exported.folder("seen.index") / "index" / "minhashes.parquet"
    back = run(IMPORT.format(path=path, more=""), tmp_path, tmp_path / "back")
    for name in ("ids", "keys", "rows", "signatures"):
        mine = (exported.folder("seen.index") / "index" / name).read_bytes()
        assert (back.folder("old") / "index" / name).read_bytes() == mine
    native = one(folder, tmp_path / "native", "b", [against(exported)])
    other = one(folder, tmp_path / "other", "b", [str(back.folder("old") / "index")])
    assert native.counts("near.seen")["candidates"] == other.counts("near.seen")["estimated"]
    exact, estimated = pairs(native), pairs(other)
    assert len(set(exact) & set(estimated)) > 0.5 * len(exact)
    said = " ".join(other.plan.node("near.seen").operator.remarks(other.counts("near.seen"), {}))
    assert "by signatures alone (standard error up to 0.067)" in said


def sketch_of(text, scheme, ngram=5):
    words = text.split()
    made = datasketch.MinHash(num_perm=BANDS * ROWS, scheme=scheme)
    for at in range(max(1, len(words) - ngram + 1)):
        made.update(" ".join(words[at : at + ngram]).encode())
    return datasketch.LeanMinHash(made)


def dumped(path, sketches):
    rows = []
    for key, sketch in sketches.items():
        buffer = bytearray(sketch.bytesize())
        sketch.serialize(buffer)
        rows.append({"key": key, "minhash": bytes(buffer)})
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("scheme", ["affine32", "legacy"])
def test_new_data_meets_an_index_of_datasketch_as_its_own_lsh_would(tmp_path, scheme):
    draw = random.Random(2)
    words = [f"w{n}" for n in range(400)]
    old = {f"https://x/{n}": draw.choices(words, k=60) for n in range(60)}
    new = []
    for text in list(old.values())[:30]:
        other = list(text)
        for _ in range(draw.randrange(12)):
            other[draw.randrange(60)] = "changed"
        new.append({"text": " ".join(other), "site": "x"})
    put_corpus(tmp_path / "b", [*new, {"text": "nothing like any of those at all here", "site": "x"}], 1)
    sketches = {key: sketch_of(" ".join(text), scheme) for key, text in old.items()}
    path = dumped(tmp_path / "old.parquet", sketches)
    index = run(IMPORT.format(path=path, more=f", sketch: datasketch_{scheme}"), tmp_path, tmp_path / "index")
    ran = one(tmp_path, tmp_path / "root", "b", [str(index.folder("old") / "index")], f", sketch: datasketch_{scheme}")
    lsh = datasketch.MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    for key, sketch in sketches.items():
        lsh.insert(key, sketch)
    rows = ran.table("near", "text", "kept", "earlier_origin", "keeper_jaccard").to_pylist()
    found = 0
    for row in rows:
        mine = sketch_of(row["text"], scheme)
        theirs = {key: mine.jaccard(sketches[key]) for key in lsh.query(mine)}
        near = {key: value for key, value in theirs.items() if value >= 0.5}
        assert (row["earlier_origin"] is not None) == bool(near)
        if near:
            found += 1
            assert row["earlier_origin"] in near
            assert row["keeper_jaccard"] == pytest.approx(max(near.values()))
    assert 10 < found < len(rows)


def test_signatures_as_datasketch_makes_them_are_its_own(tmp_path):
    texts = [
        "one two three four five six",
        "a",
        "",
        "naïve façade 日本語 x y z q",
        " ".join(f"w{n}" for n in range(300)),
    ]
    for scheme in ("affine32", "legacy"):
        made = lean_minhash.sketched_as(f"datasketch_{scheme}", pa.array(texts, pa.large_string()), 5, 56)
        for row, text in zip(made, texts, strict=True):
            wanted = sketch_of(text, scheme).hashvalues.astype(np.uint32) if text else np.zeros(56, np.uint32)
            assert row.tolist() == wanted.tolist()


def refused(tmp_path, path, more=""):
    with pytest.raises((ConfigError, DataError)) as error:
        run(IMPORT.format(path=path, more=more), tmp_path, tmp_path / "refused")
    return f"{error.value} {error.value.hint}"


def test_what_is_no_signature_is_refused_with_what_to_do(tmp_path):
    sketch = sketch_of("one two three four five six", "affine32")
    path = dumped(tmp_path / "one.parquet", {"a": sketch})
    assert "those of datasketch affine32 1, and `sketch: winnow` means winnow" in refused(tmp_path, path)
    assert "`sketch: datasketch_legacy` means datasketch legacy 1" in refused(
        tmp_path, path, ", sketch: datasketch_legacy"
    )
    said = refused(tmp_path, path, ", num_bands: 3, sketch: datasketch_affine32")
    assert "a signature has 240 bytes; a LeanMinHash of 12 values has 48 and 12, 13 or 16" in said
    pickled = tmp_path / "old.pickle"
    pickled.write_bytes(pickle.dumps({"a": sketch}))
    assert "pickles are not read" in refused(tmp_path, pickled)
    pq.write_table(pa.table({"key": ["a"], "minhash": [pickle.dumps(sketch)]}), tmp_path / "inside.parquet")
    assert "LeanMinHash" in refused(tmp_path, tmp_path / "inside.parquet", ", sketch: datasketch_affine32")
    pq.write_table(pa.table({"id": ["a"], "minhash": [b"x"]}), tmp_path / "named.parquet")
    assert "has no column 'key'" in refused(tmp_path, tmp_path / "named.parquet")
    other = datasketch.LeanMinHash(seed=5, hashvalues=sketch.hashvalues, scheme="affine32")
    mixed = dumped(tmp_path / "mixed.parquet", {"a": sketch, "b": other})
    assert "not all LeanMinHash of one seed" in refused(tmp_path, mixed, ", sketch: datasketch_affine32")
    wide = datasketch.MinHash(num_perm=BANDS * ROWS, scheme="affine64")
    wide.update(b"x")
    path = dumped(tmp_path / "wide.parquet", {"a": datasketch.LeanMinHash(wide)})
    assert "a signature has" in refused(tmp_path, path, ", sketch: datasketch_affine32")


def test_an_index_without_shingles_says_nothing_of_containment(folder, exported, tmp_path):
    path = exported.folder("seen.index") / "index" / "minhashes.parquet"
    back = run(IMPORT.format(path=path, more=""), tmp_path, tmp_path / "back")
    text = f"""
stages:
  docs: {{use: jsonl, files: "b/*.jsonl", id: content}}
  near: {{use: minhash, inputs: docs, rows_per_band: 4, contained: 0.9, against: {back.folder("old") / "index"}}}
"""
    with pytest.raises(ConfigError, match="has no shingles, which say what a document contains"):
        plan_of(text, folder)


def test_without_the_library_its_signatures_are_refused_while_planning(folder, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "datasketch" else found(name, *a))
    text = "stages:\n  docs: {use: jsonl, files: 'a/*.jsonl'}\n  near: {use: minhash, inputs: docs, sketch: datasketch_legacy}\n"
    with pytest.raises(ConfigError, match="is not installed") as error:
        plan_of(text, folder)
    assert "install datasketch" in error.value.hint
