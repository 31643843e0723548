"""`embed`: directions trained on the corpus, or an encoder's, on the grid that makes products exact."""

import importlib.util
import json

import numpy as np
import polars as pl
import pytest
from support import WORDS, plan_of, put_corpus, run, texts

import winnow
from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import knn
from winnow.core.operators import Context
from winnow.scorers.embed import Embed
from winnow.scorers.encoder_vectors import EncoderVectors
from winnow.scorers.static_fit import StaticFit, ngram_counts, right_vectors, unit_rows
from winnow.scorers.static_vectors import StaticVectors
from winnow.testing.in_memory import MemorySource, run_fit, run_map

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed (extra `hf`)"
)
TOPICS = [WORDS[:12], WORDS[12:24]]


def corpus(num, seed=1):
    draw = np.random.default_rng(seed)
    bodies = [" ".join(draw.choice(TOPICS[i % 2], size=40)) for i in range(num)]
    raw = draw.bytes(16 * num)
    return pl.DataFrame({"doc_id": [raw[16 * i : 16 * i + 16] for i in range(num)], "text": bodies})


def fitted(rows, folder, **sizes):
    folder.mkdir(parents=True, exist_ok=True)
    metrics = run_fit(StaticFit(**sizes), rows, Context(seed=5, work=folder))
    return MemorySource(paths={"table.npy": folder / "table.npy"}), metrics


def grid_of(frame):
    return knn.to_grid(frame["vector"].to_arrow(compat_level=pl.CompatLevel.oldest()))


def test_texts_of_one_topic_point_the_same_way(tmp_path):
    rows = corpus(80)
    table, metrics = fitted(rows, tmp_path / "fit", dim=16, num_buckets=4096)
    found = run_map(StaticVectors(table="t", dim=16), rows, Context(seed=5, work=tmp_path, refs={"table": table}))
    grid, some = grid_of(found)
    assert some.all()
    near = knn.centred(grid).astype(int)
    cosine = near @ near.T / knn.ONE
    same = (np.arange(80)[:, None] % 2) == (np.arange(80)[None, :] % 2)
    assert cosine[same].mean() > 0.3
    assert cosine[~same].mean() < -0.3
    np.fill_diagonal(cosine, -2)
    assert same[np.arange(80), cosine.argmax(axis=1)].all()
    assert 0 < metrics["held_share"] <= 1
    assert metrics["documents"] == 80


def test_the_singular_vectors_are_those_of_a_full_decomposition():
    rows = corpus(50)
    matrix = unit_rows(ngram_counts(rows["text"], 512))
    vectors, values = right_vectors(matrix, 6, seed=1)
    full = np.linalg.svd(matrix.toarray(), full_matrices=False)
    assert values == pytest.approx(full[1][:6], rel=1e-3)
    assert np.abs((vectors[:, :2] * full[2][:2].T).sum(axis=0)) == pytest.approx(1, abs=1e-6)
    again, _ = right_vectors(matrix, 6, seed=2)
    assert np.allclose(again[:, :2], vectors[:, :2], atol=1e-6)  # signs are fixed, whatever the start


def test_more_dimensions_than_the_sample_has_are_zero(tmp_path):
    table, _ = fitted(corpus(3), tmp_path / "fit", dim=64, num_buckets=512)
    assert (np.load(table.files()["table.npy"])[:, 3:] == 0).all()


def test_a_batch_of_one_gives_the_same_bits_and_long_texts_do_not_overflow(tmp_path):
    rows = corpus(20).with_columns(
        text=pl.when(pl.int_range(20) == 3).then(pl.lit("river " * 200_000)).otherwise("text")
    )
    table, _ = fitted(rows, tmp_path / "fit", dim=16, num_buckets=1024)
    ctx = Context(seed=5, work=tmp_path, refs={"table": table})
    whole = run_map(StaticVectors(table="t", dim=16), rows, ctx)
    assert whole.equals(run_map(StaticVectors(table="t", dim=16), rows, ctx, batch_rows=1))
    short = rows.with_columns(text=pl.lit("river river river river"))
    long, few = grid_of(whole)[0][3].astype(int), grid_of(run_map(StaticVectors(table="t", dim=16), short, ctx))[0][3]
    assert long @ few.astype(int) / knn.ONE > 0.99


def test_texts_without_a_word_have_no_vector_and_a_sample_without_one_is_refused(tmp_path):
    table, _ = fitted(corpus(9), tmp_path / "fit", dim=8, num_buckets=256)
    rows = pl.DataFrame({"text": [None, "", " .!? ", "word"]})
    found = run_map(StaticVectors(table="t", dim=8), rows, Context(seed=5, work=tmp_path, refs={"table": table}))
    assert found["vector"].is_null().to_list()[:3] == [True] * 3
    blank = corpus(4).with_columns(text=pl.lit(" .. "))
    with pytest.raises(DataError, match="no sampled document has a word"):
        fitted(blank, tmp_path / "none")


RECIPE = """
stages:
  docs: {use: jsonl, files: "raw/*.jsonl"}
  vec: {use: embed, inputs: docs, dim: 16, num_buckets: 1024, sample_documents: 30}
  graph: {use: knn_graph, inputs: vec, k: 3}
"""


def test_every_layout_gives_the_same_vectors_and_the_graph_takes_them(tmp_path):
    put_corpus(tmp_path / "raw", texts(50, seed=1), 2)
    options = [{}, {"part_bytes": 2000, "batch_rows": 7}, {"part_bytes": 5000, "workers": 2}]
    found = [run(RECIPE, tmp_path, tmp_path / f"out{i}", **o).digests for i, o in enumerate(options)]
    assert [(f["vec.vectors"], f["graph"]) for f in found[1:]] == [(found[0]["vec.vectors"], found[0]["graph"])] * 2


def test_a_target_takes_the_pools_table_so_that_vectors_can_be_compared(tmp_path):
    put_corpus(tmp_path / "raw", texts(30, seed=1), 1)
    put_corpus(tmp_path / "more", texts(30, seed=1), 1)
    recipe = (
        RECIPE
        + """
  other: {use: jsonl, files: "more/*.jsonl"}
  like: {use: embed, inputs: other, table: vec.fit, dim: 16}
  alone: {use: embed, inputs: other, dim: 16, num_buckets: 512}
  near: {use: betr, inputs: vec, target: like}
"""
    )
    found = run(recipe, tmp_path, tmp_path / "out")
    one, two, three = (
        found.table(f"{s}.vectors", "vector").column("vector").to_pylist() for s in ("vec", "like", "alone")
    )
    assert sorted(map(str, one)) == sorted(map(str, two))
    assert sorted(map(str, one)) != sorted(map(str, three))
    with pytest.raises(ConfigError, match="two different things"):
        Embed(table="vec.fit", model="m").validate()
    with pytest.raises(DataError, match="16 dimensions, not 8"):
        run(recipe.replace("table: vec.fit, dim: 16", "table: vec.fit, dim: 8"), tmp_path, tmp_path / "no")


@pytest.mark.parametrize(
    ("field", "value"), [("dim", 4), ("num_buckets", 10), ("sample_documents", 0), ("max_length", -1)]
)
def test_sizes_without_sense_are_refused(field, value):
    with pytest.raises(ConfigError, match=field if field != "sample_documents" else "at least one"):
        Embed(**{field: value}).validate()


def test_a_folder_without_a_model_is_refused_before_anything_runs(tmp_path):
    put_corpus(tmp_path / "raw", texts(3, seed=1), 1)
    recipe = f'stages:\n  docs: {{use: jsonl, files: "raw/*.jsonl"}}\n  v: {{use: embed, inputs: docs, model: "{tmp_path}"}}\n'
    with pytest.raises(ConfigError, match=r"config\.json"):
        plan_of(recipe, tmp_path)
    assert issubclass(winnow.ConfigError, Exception)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tiny random encoder with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    vocab = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS)])}
    words = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "bert", vocab_size=len(vocab), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, pad_token_id=0, initializer_range=1.0,
    )  # fmt: skip
    AutoModel.from_config(config).save_pretrained(folder, safe_serialization=True)
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", model_max_length=64
    ).save_pretrained(folder)
    return folder


def encoded(folder, bodies, tmp_path, batch_rows=None, **fields):
    files = tuple(str(p) for p in sorted(folder.iterdir()) if p.suffix in (".safetensors", ".json"))
    op = EncoderVectors(files=files, dim=16, **fields)
    frame = pl.DataFrame({"text": pl.Series(bodies, dtype=pl.String)})
    return run_map(op, frame, Context(seed=1, work=tmp_path, refs={"files": list(files)}), batch_rows)


@pytest.mark.train
@needs_transformers
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_an_encoder_gives_what_the_library_gives_one_text_at_a_time(encoder, tmp_path, pooling):
    import torch
    from transformers import AutoModel, AutoTokenizer

    bodies = [t for t in texts(12, seed=3) if t and t.split()]
    grid, some = grid_of(encoded(encoder, bodies, tmp_path, pooling=pooling))
    assert some.all()
    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    with torch.inference_mode():
        hidden = [model(**tokenizer(b, truncation=True, max_length=64, return_tensors="pt"))[0][0] for b in bodies]
    pooled = torch.stack([{"mean": h.mean(0), "first": h[0], "last": h[-1]}[pooling] for h in hidden]).double()
    want = (pooled / pooled.norm(dim=1, keepdim=True)).numpy() * knn.UNIT
    assert np.abs(grid - want).max() <= 1.0


@pytest.mark.train
@needs_transformers
def test_nulls_stay_and_the_recipe_finds_the_models_size_and_pooling(encoder, tmp_path):
    found = encoded(encoder, [None, WORDS[0], None, WORDS[1]], tmp_path, batch_rows=3)
    assert found["vector"].is_null().to_list() == [True, False, True, False]
    op = Embed(model=str(encoder))
    assert op.outputs()["vector"].byte_width == 32
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    put_corpus(tmp_path / "raw", texts(6, seed=1), 1)
    recipe = f'stages:\n  docs: {{use: jsonl, files: "raw/*.jsonl"}}\n  v: {{use: embed, inputs: docs, model: "{encoder}"}}\n'
    assert run(recipe, tmp_path, tmp_path / "out").digests["v.vectors"]
    (sub,) = op.expand(type("S", (), {"inputs": ("docs",), "where": None})())
    assert sub.operator.pooling == "first"
