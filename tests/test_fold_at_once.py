"""A Fold over few rows is one task, and gives what rounds of units give: digests, metrics, shards."""

import pytest
from support import own_operators, put_corpus, run, texts

from winnow.core.errors import StoreError, WinnowError
from winnow.core.store.posix_store import PosixStore
from winnow.dags.shapes import fold, fold_at_once

RECIPE = """
seed: 4
stages:
  docs:   {use: jsonl, files: "raw/*", id: content, columns: {source: string}}
  tok:    {use: count_tokens, inputs: docs}
  exact:  {use: exact, inputs: docs}
  best:   {use: top_k, inputs: docs, by: token_count, budget: 40%}
  per:    {use: top_k, inputs: docs, by: token_count, budget: 2k tokens, per: source, quota: equal}
  drawn:  {use: sample, inputs: docs, by: token_count, budget: 30%}
  lots:   {use: random, inputs: docs, budget: 1500 tokens}
  upper:  {use: quantile, inputs: docs, by: token_count, share: 0.5}
  both:   {use: union, of: [kept_best, kept_lots], inputs: docs}
  rare:   {use: holdout, inputs: docs, share: 0.3}
  corpus: {use: write, inputs: [docs, best], shard_bytes: 4KB}
"""
FOLDS = ("best", "per", "drawn", "lots", "upper", "both", "rare")
SMALL = {"part_bytes": 3500}


@pytest.fixture
def folder(tmp_path):
    rows = [{"text": text, "source": f"s{n % 3}"} for n, text in enumerate(texts(150, seed=8))]
    return put_corpus(tmp_path / "raw", rows, 3).parent


@pytest.fixture
def in_rounds(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold, "AT_ONCE_ROWS", 0)
        return run(RECIPE, folder, folder / "rounds", **SMALL)


@pytest.mark.parametrize("rows", [1, 17, 1_000_000])
def test_all_rounds_in_one_task_give_what_rounds_of_units_give(folder, in_rounds, monkeypatch, rows):
    monkeypatch.setattr(fold_at_once, "CHUNK_ROWS", rows)
    found = run(RECIPE, folder, folder / "out", **SMALL)
    parts = len(found.of("docs").parts)
    assert parts > 8
    assert found.digests == in_rounds.digests
    assert found.shards("corpus") == in_rounds.shards("corpus")
    for stage in FOLDS:
        assert found.of(stage).manifest.metrics == in_rounds.of(stage).manifest.metrics, stage
        assert found.of(stage).manifest.counts == in_rounds.of(stage).manifest.counts, stage
        assert found.of(stage).computed == parts
        assert sorted(p.name for p in folder.glob(f"out/{found.of(stage).node.folder}/_data/*")) == ["part"]


def test_what_rounds_leave_is_removed_once_the_stage_is_complete(folder, in_rounds):
    for stage in FOLDS:
        data = folder / "rounds" / in_rounds.of(stage).node.folder / "_data"
        assert sorted(p.name for p in data.iterdir()) == ["part"], stage


def test_more_rows_than_are_done_at_once_go_in_rounds(folder, monkeypatch):
    monkeypatch.setattr(fold, "AT_ONCE_ROWS", 149)
    made: list[str] = []
    told = PosixStore.put_new
    monkeypatch.setattr(PosixStore, "put_new", lambda self, key, data: made.append(key) or told(self, key, data))
    run(RECIPE, folder, folder / "out", **SMALL)
    assert any("/receipts/summary-00/" in key for key in made)
    made.clear()
    monkeypatch.setattr(fold, "AT_ONCE_ROWS", 150)
    run(RECIPE, folder, folder / "again", **SMALL)
    assert not [key for key in made if "/receipts/summary-" in key]


@pytest.mark.parametrize("after", [0, 1, 5])
def test_parts_that_a_stopped_task_has_committed_are_kept(folder, in_rounds, monkeypatch, after):
    """The store fails behind so many parts: the next run makes the others."""
    told, done = PosixStore.put_new, []

    def failing(self, key, data):
        if "top_k-" in key and "/receipts/part/" in key:
            if len(done) == after:
                raise StoreError("the disk is gone")
            done.append(key)
        return told(self, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(PosixStore, "put_new", failing)
        with pytest.raises(WinnowError, match="the disk is gone"):
            run(RECIPE, folder, folder / "out", **SMALL)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("out/top_k-*/receipts/part/*.json")}
    assert len(kept) == after
    found = run(RECIPE, folder, folder / "out", **SMALL)
    assert found.digests == in_rounds.digests
    assert found.of("best").manifest.metrics == in_rounds.of("best").manifest.metrics
    computed = sum(found.of(stage).computed for stage in ("best", "per"))
    assert computed == 2 * len(found.of("docs").parts) - after


def test_an_operator_of_the_users_own_goes_in_rounds_unless_it_says_otherwise(folder, monkeypatch):
    made: list[str] = []
    told = PosixStore.put_new
    monkeypatch.setattr(PosixStore, "put_new", lambda self, key, data: made.append(key) or told(self, key, data))
    with own_operators(halves="support_ops:Halves"):
        run('stages:\n  docs: {use: jsonl, files: "raw/*"}\n  mine: {use: halves, inputs: docs}\n', folder, folder / "out", **SMALL)  # fmt: skip
    assert [key for key in made if "/receipts/summary-00/" in key]
