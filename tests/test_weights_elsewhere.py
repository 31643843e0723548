"""Weights of curated shards in other people's loops: documents, packed rows and nanoGPT's files give equal gradients."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data import ShardDataset, export
from winnow.trainers.data.pack import Documents
from winnow.trainers.data.token_formats import write_files

torch = pytest.importorskip("torch")
WEIGHTS = [0.0, 0.5, 1.0, 3.0, 8.0]


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """One file of documents of 1 to 90 letters, with weights."""
    draw = np.random.default_rng(1)
    texts = ["".join(chr(97 + c) for c in draw.integers(0, 26, int(n))) for n in draw.integers(1, 90, 40)]
    path = tmp_path_factory.mktemp("shards") / "one.parquet"
    ids = [bytes([i] * 16) for i in range(40)]
    pl.DataFrame({"doc_id": ids, "text": texts, "w": [WEIGHTS[i % 5] for i in range(40)]}).write_parquet(path)
    return path


def dataset(shard, **more) -> ShardDataset:
    settings = {
        "tokenizer": "bytes",
        "context": 32,
        "batch": 4,
        "seed": 3,
        "weight": "w",
        "cache": shard.parent / "cache",
    }
    return ShardDataset(shard, **{**settings, **more})


def bigram():
    """A model that reads one position: its gradient does not depend on how documents are packed."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Embedding(257, 8), torch.nn.Linear(8, 257)).double()


def gradient(parts) -> torch.Tensor:
    """Of sum(weight x nats) over (ids, targets, weights) of parts."""
    model, total = bigram(), torch.zeros((), dtype=torch.double)
    for ids, targets, weights in parts:
        nats = torch.nn.functional.cross_entropy(model(ids.flatten()), targets.flatten(), reduction="none")
        total = total + (nats * weights.flatten()).sum()
    total.backward()
    return torch.cat([w.grad.flatten() for w in model.parameters()])


def of_rows(data) -> torch.Tensor:
    return gradient((b["ids"], b["targets"], b["weights"].double()) for b in data)


def test_documents_have_the_weights_that_packed_rows_have(shard):
    documents = list(dataset(shard, gives="documents"))
    known = {d["doc_id"]: d for d in documents}
    rows = dataset(shard)
    for batch in rows:
        for number in set(batch["documents"].flatten().tolist()) - {-1}:
            found = batch["weights"][batch["documents"] == number]
            assert found.unique().tolist() == [pytest.approx(known[rows.doc_id(number)]["loss_weight"], rel=1e-6)]
    tokens = np.array([len(d["ids"]) for d in documents])
    loss = np.array([d["loss_weight"] for d in documents])
    assert loss @ tokens / tokens.sum() == pytest.approx(1, rel=1e-6)
    assert sorted({d["weight"] for d in documents}) == WEIGHTS[1:]
    assert np.ptp(loss / [d["weight"] for d in documents]) < 1e-6
    alone = gradient(
        (d["ids"].roll(1), d["ids"], torch.full((len(d["ids"]),), d["loss_weight"]).double()) for d in documents
    )
    torch.testing.assert_close(of_rows(rows), alone, rtol=1e-5, atol=1e-6)
    plain = dataset(shard, weight=None, gives="documents")
    assert {d["loss_weight"] for d in plain} == {1.0}
    assert {d["loss_weight"] for d in dataset(shard, gives="documents", weighting="repeat")} == {1.0}


def test_the_packing_collator_gives_the_same_gradient(shard):
    pytest.importorskip("transformers")
    from winnow.trainers.hf.collators import PackingCollator, rows_collator

    packed = PackingCollator(context=24)(list(dataset(shard, gives="documents")))
    rows = rows_collator(list(dataset(shard, gives="rows")))
    for batch in (packed, rows):
        found = gradient([(batch["input_ids"], batch["shift_labels"].clamp(min=0), batch["weights"].double())])
        torch.testing.assert_close(found, of_rows(dataset(shard)), rtol=1e-5, atol=1e-6)
    assert packed["weights"].sum() == pytest.approx(float(rows["weights"].sum()), rel=1e-5)


def test_nanogpt_s_file_has_a_weight_for_every_id(shard, tmp_path):
    index = export(shard, tmp_path / "out", form="bin", tokenizer="bytes", weight="w", weights="column", val_share=0.2)
    assert index["parts"][0]["files"] == ["train.bin", "train.weights.bin"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "meta.pkl",
        "train.bin",
        "train.weights.bin",
        "val.bin",
    ]
    ids = np.memmap(tmp_path / "out" / "train.bin", dtype=np.uint16, mode="r")
    weights = np.memmap(tmp_path / "out" / "train.weights.bin", dtype=np.float32, mode="r")
    assert len(ids) == len(weights)
    assert weights.mean(dtype=np.float64) == pytest.approx(1, rel=1e-6)
    rows = pl.read_parquet(shard)
    known = dict(zip(rows["text"], rows["w"], strict=True))
    ends = np.flatnonzero(ids == 256)
    ratios = []
    for start, end in zip([0, *(ends[:-1] + 1)], ends, strict=True):
        own = known[bytes(ids[start:end].astype(np.uint8)).decode()]
        assert len(set(weights[start : end + 1])) == 1, "of its end mark too"
        assert own > 0
        ratios.append(float(weights[start]) / own)
    assert len(ends) == index["parts"][0]["documents"] > 10
    assert np.ptp(ratios) < 1e-6
    repeated = export(shard, tmp_path / "again", form="bin", tokenizer="bytes", weight="w")
    assert repeated["documents"] > 40
    assert not (tmp_path / "again" / "train.weights.bin").exists()


def test_weights_that_have_no_place_are_refused(shard, tmp_path):
    with pytest.raises(ConfigError, match="a megatron file has no weights"):
        export(shard, tmp_path / "a", form="megatron", tokenizer="bytes", weight="w", weights="column")
    with pytest.raises(ConfigError, match="there is no weight to write"):
        export(shard, tmp_path / "a", form="bin", tokenizer="bytes", weights="column")
    assert not (tmp_path / "a").exists()
    ids = pl.Series([bytes([i] * 16) for i in range(2)], dtype=pl.Binary)
    two = Documents(doc_id=ids, tokens=np.arange(6, dtype=np.uint16), offsets=np.array([0, 3, 6]), weights=np.zeros(2))
    with pytest.raises(DataError, match=r"all weights of train\.bin are 0"):
        write_files(two, tmp_path, form="bin", end=9, vocab=10, val_share=0)
