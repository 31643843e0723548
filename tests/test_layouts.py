"""The same inputs and recipe give the same result for any cut into parts, batch, bucket count, worker and engine."""

import functools
import itertools
import random

import polars as pl
import pytest
from support import lines_of, own_operators, put_corpus, put_file, run, texts

DOCUMENTS = texts(240)
SIZE = len(lines_of(DOCUMENTS))
RECIPE = """
seed: 3
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl", id: ID}
  lang:   {use: language, inputs: docs}
  sig:    {use: signals, inputs: docs}
  clean:  {use: filter, inputs: [lang, sig], keep: {long: "text_bytes > 40", words: "word_count > 3"}}
  exact:  {use: exact, inputs: docs, where: kept_clean}
  unique: {use: minhash, inputs: docs, where: kept_exact, threshold: 0.7}
  tok:    {use: count_tokens, inputs: docs}
  best:   {use: top_k, inputs: [docs, clean, exact, unique], by: word_count, budget: 6k tokens}
  plain:  {use: random, inputs: [docs, clean, exact, unique], budget: 6k tokens}
  corpus: {use: write, inputs: [docs, best], carry: [language, token_count], shard_bytes: 8KB}
  lines:  {use: write, inputs: [docs, plain], format: jsonl.zst, shard_bytes: 8KB}
  arrow:  {use: write, inputs: [docs, plain], format: arrow, shard_bytes: 8KB}
"""
PARTS, BATCHES, BUCKETS, ENGINES = (1, 2, 4, 8), (1, 7, 1024), (1, 8, 64), (("local", 0), ("local", 2))


def layout(root, folder, parts, batch, buckets, engine=("local", 0), rule="content", recipe=RECIPE, pieces=None):
    found = run(
        recipe.replace("ID", rule), folder, root, engine=engine[0], workers=engine[1],
        batch_rows=batch, buckets=buckets, part_bytes=-(-SIZE // parts) + 1, pieces=pieces,
    )  # fmt: skip
    assert len(found.of("docs").parts) == parts
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return put_corpus(tmp_path_factory.mktemp("corpus") / "raw", DOCUMENTS, 1).parent


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    """Rule of ids -> one part, large batches, in process."""
    return functools.cache(lambda rule: layout(tmp_path_factory.mktemp("plain"), corpus, 1, 1024, 1, rule=rule))


def pairwise():
    """Few layouts in which every two settings meet at least once."""
    wanted = list(itertools.product(PARTS, BATCHES, BUCKETS))
    missing = {(i, a, j, b) for row in wanted for (i, a), (j, b) in itertools.combinations(enumerate(row), 2)}
    chosen = []
    while missing:
        best = max(wanted, key=lambda row: len(pairs(row) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


def pairs(row):
    return {(i, a, j, b) for (i, a), (j, b) in itertools.combinations(enumerate(row), 2)}


def same(found, reference):
    assert found.digests == reference.digests
    for stage in ("corpus", "lines", "arrow"):
        assert found.shards(stage) == reference.shards(stage)
        assert len(reference.shards(stage)) == 4


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("parts", "buckets"), [(8, 64), (4, 8), (8, 4), (1, 8)])
def test_an_exchange_of_two_levels_gives_the_bytes_of_one(corpus, plain, tmp_path, parts, buckets, engine):
    same(layout(tmp_path, corpus, parts, 1024, buckets, engine=engine, pieces=1), plain("content"))


@pytest.mark.parametrize(("parts", "batch", "buckets"), pairwise())
def test_any_parts_batches_and_buckets_give_the_same_digests_and_the_same_shard_bytes(
    corpus, plain, tmp_path, parts, batch, buckets
):
    rule = "content" if (parts + batch + buckets) % 2 else "position"
    same(layout(tmp_path, corpus, parts, batch, buckets, rule=rule), plain(rule))


@pytest.mark.parametrize(("parts", "batch", "buckets"), [(4, 7, 8)])
def test_worker_processes_give_the_same_digests_and_the_same_shard_bytes(
    corpus, plain, tmp_path, parts, batch, buckets
):
    same(layout(tmp_path, corpus, parts, batch, buckets, ("local", 2)), plain("content"))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(("parts", "batch", "buckets"), [(2, 1024, 64), (8, 7, 8)])
def test_ray_gives_the_same_digests_and_the_same_shard_bytes(corpus, plain, tmp_path, parts, batch, buckets):
    same(layout(tmp_path, corpus, parts, batch, buckets, ("ray", 2)), plain("content"))


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "batch", "buckets"), list(itertools.product(PARTS, BATCHES, BUCKETS)))
@pytest.mark.parametrize("engine", ENGINES)
def test_every_layout_gives_the_same_digests(corpus, plain, tmp_path, parts, batch, buckets, engine):
    same(layout(tmp_path, corpus, parts, batch, buckets, engine), plain("content"))


def test_the_selection_is_not_trivial(plain):
    found = plain("content")
    assert 0 < found.counts("clean")["kept"] < found.counts("clean")["rows"]
    assert 0 < found.counts("exact")["kept"] < found.counts("clean")["kept"]
    assert 0 < found.counts("best")["kept"] < found.counts("unique")["kept"] < found.counts("exact")["kept"]
    assert found.digests["best"] != found.digests["plain"]
    assert found.manifest("corpus").rows == found.counts("best")["kept"]


def test_one_layout_gives_equal_files_for_any_batch_and_worker_count(corpus, tmp_path):
    one = layout(tmp_path / "one", corpus, 4, 7, 8)
    for name, batch, workers in (("two", 1024, 0), ("three", 64, 2)):
        assert layout(tmp_path / name, corpus, 4, batch, 8, ("local", workers)).files() == one.files()


CHOSEN = ("exact", "unique.clusters", "best", "plain")


def selection(found):
    """Stage -> doc_ids kept; and the texts they stand for."""
    out = {}
    for stage in CHOSEN:
        node = next(n for n in found.plan.nodes if n.name == stage)
        name = node.face_of or node.name
        table = pl.from_arrow(found.table(name, "doc_id", "text", "kept")).filter("kept")
        out[stage] = sorted(zip(table["doc_id"], table["text"], strict=True))
    return out


def resplit(folder):
    """Other file names, other cuts, another order, other compression."""
    shuffled = DOCUMENTS.copy()
    random.Random(5).shuffle(shuffled)
    bounds = [0, 3, 90, 91, 200, len(shuffled)]
    for i, (a, b) in enumerate(itertools.pairwise(bounds)):
        suffix = (".jsonl", ".jsonl.zst", ".jsonl.gz")[i % 3]
        put_file(folder / "raw" / f"sub{i % 2}" / f"z{9 - i}{suffix}", lines_of(shuffled[a:b]))
    return folder


def test_renamed_resplit_and_reordered_files_give_the_same_selection_by_content(plain, tmp_path):
    recipe = RECIPE.replace("raw/*.jsonl", "raw/**/*").replace("ID", "content")
    again = run(recipe, resplit(tmp_path / "in"), tmp_path / "out", part_bytes=SIZE // 3)
    reference = plain("content")
    assert selection(again) == selection(reference)
    for stage in ("lang", "sig", "clean", *CHOSEN, "tok"):
        assert again.digests[stage] == reference.digests[stage]
    for stage in ("corpus", "lines", "arrow"):  # only `origin` names the files: the order of documents is the same
        assert again.table(stage, "doc_id") == reference.table(stage, "doc_id")
    repeated = pl.Series(DOCUMENTS).value_counts().filter(pl.col("count") > 1)
    assert repeated.height > 3  # equal texts are there to be told apart
    ids = again.table("docs", "doc_id").column("doc_id").to_pylist()
    assert len(set(ids)) == len(DOCUMENTS)


BOUNDED = """
stages:
  docs: {use: jsonl, files: "raw/*", id: content}
  far:  {use: project, inputs: docs}
  best: {use: top_k, inputs: [docs, far], by: projection, budget: 40%}
  cut:  {use: filter, inputs: [far], keep: {high: "projection > 0"}}
"""


def test_a_bounded_operator_stays_within_its_bound_and_selects_nearly_the_same(tmp_path):
    documents = texts(2500, seed=4)
    folder = put_corpus(tmp_path / "raw", documents, 1).parent
    size = len(lines_of(documents))
    scores, kept, digests = [], [], set()
    with own_operators(project="support_ops:Project"):
        for parts in (1, 4, 7):
            found = run(BOUNDED, folder, tmp_path / f"out{parts}", part_bytes=size // parts + 1)
            table = pl.from_arrow(found.table("best", "doc_id", "kept"))
            table = table.with_columns(pl.from_arrow(found.table("far", "projection"))["projection"])
            table = table.sort("doc_id")
            scores.append(table["projection"].to_numpy())
            kept.append(set(table.filter("kept")["doc_id"]))
            digests.add(found.digests["far"])
            again = run(BOUNDED, folder, tmp_path / f"again{parts}", part_bytes=size // parts + 1, batch_rows=7)
            assert again.digests == found.digests  # the operator's own batch, not the runner's
    for other, chosen in zip(scores[1:], kept[1:], strict=True):
        assert abs(other - scores[0]).max() <= 1e-4
        assert len(chosen & kept[0]) / len(kept[0]) >= 0.999


FITTED = """
seed: 3
stages:
  docs:    {use: jsonl, files: "raw/*.jsonl", id: content}
  sig:     {use: signals, inputs: docs}
  clean:   {use: filter, inputs: sig, keep: {long: "word_count > 3"}}
  exact:   {use: exact, inputs: docs, where: kept_clean}
  quality: {use: fasttext, inputs: docs, where: kept_exact, positive: "good.jsonl", negatives: 50, dim: 4, bucket: 500, epoch: 2}
  best:    {use: top_k, inputs: [docs, exact], by: quality, budget: 40%}
  corpus:  {use: write, inputs: [docs, best], carry: [quality], shard_bytes: 8KB}
"""


def test_a_model_fitted_on_a_sample_its_scores_and_what_they_select_do_not_depend_on_the_layout(corpus, tmp_path):
    good = [t for t in texts(60, seed=9) if "water" in t]
    put_file(corpus / "good.jsonl", lines_of(good))
    recipe = FITTED
    one = layout(tmp_path / "one", corpus, 1, 1024, 1, recipe=recipe)
    assert 0 < one.counts("best")["kept"] < one.counts("exact")["kept"]
    other = layout(tmp_path / "other", corpus, 8, 7, 64, ("local", 2), recipe=recipe)
    assert other.digests == one.digests
    assert other.files()["quality.fit"] == one.files()["quality.fit"]  # the model, byte for byte
    assert other.shards("corpus") == one.shards("corpus")
