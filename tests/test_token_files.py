"""Exports of token ids: what Megatron, numpy and `datasets` read back is the selection, document by document."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import put_corpus, run, texts

import winnow as w
from winnow.core.errors import ConfigError, DataError, WinnowError
from winnow.trainers.data import export, token_formats
from winnow.trainers.data.pack import Documents
from winnow.trainers.data.token_formats import write_files
from winnow.trainers.data.write_tokens import WriteTokens

pytest.importorskip("tokenizers")
LENGTHS = (5, 0, 1, 40, 3, 0, 7)
RECIPE = """
seed: 5
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", id: content, columns: {{w: float64}}}}
  tok:  {{use: count_tokens, inputs: docs}}
  best: {{use: top_k, inputs: [docs, tok], by: tok, budget: 40 docs}}
  {stages}
"""


def documents(*, vocab: int = 300, weights=None) -> Documents:
    draw = np.random.Generator(np.random.Philox(key=4))
    offsets = np.concatenate(([0], np.cumsum(LENGTHS)))
    ids = pl.Series([bytes([i] * 16) for i in range(len(LENGTHS))], dtype=pl.Binary)
    tokens = draw.integers(0, vocab - 1, offsets[-1]).astype(np.uint16 if vocab <= 65536 else np.uint32)
    return Documents(doc_id=ids, tokens=tokens, offsets=offsets, weights=weights)


def lists(found: Documents, order, end: int) -> list[list[int]]:
    """What every written document should be."""
    return [[*found.tokens[found.offsets[d] : found.offsets[d + 1]].tolist(), end] for d in order]


def read_megatron(folder: Path) -> list[list[int]]:
    """A reader of the published layout, written from its description alone."""
    out = []
    for idx in sorted(folder.glob("*.idx")):
        raw = idx.read_bytes()
        assert raw[:9] == b"MMIDIDX\x00\x00"
        assert np.frombuffer(raw, "<u8", 1, 9)[0] == 1
        kind = {8: "<u2", 4: "<i4"}[raw[17]]
        count, starts = np.frombuffer(raw, "<u8", 2, 18).tolist()
        sizes = np.frombuffer(raw, "<i4", count, 34)
        places = np.frombuffer(raw, "<i8", count, 34 + 4 * count)
        assert np.frombuffer(raw, "<i8", starts, 34 + 12 * count).tolist() == list(range(count + 1))
        assert len(raw) == 34 + 12 * count + 8 * starts
        body = idx.with_suffix(".bin").read_bytes()
        out += [np.frombuffer(body, kind, n, p).tolist() for n, p in zip(sizes, places, strict=True)]
        assert len(body) == sizes.sum() * np.dtype(kind).itemsize
    return out


def read_olmo(folder: Path, kind) -> tuple[list[list[int]], list[str]]:
    out, names = [], []
    for path in sorted(folder.glob("*.npy")):
        ids = np.memmap(path, dtype=kind, mode="r")
        rows = list(csv.reader(gzip.decompress(path.with_suffix(".csv.gz").read_bytes()).decode().splitlines()))
        assert int(rows[-1][1]) == len(ids)
        out += [ids[int(start) : int(end)].tolist() for start, end, *_ in rows]
        names += [row[2] for row in rows]
        assert [int(row[4]) for row in rows] == list(range(1, len(rows) + 1))
    return out, names


def read_parquet(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("*.parquet"))])


@pytest.mark.parametrize("vocab", [300, 70_000])
@pytest.mark.parametrize(("file_tokens", "files"), [(1000, 1), (20, 2), (1, 7)])
def test_every_form_gives_back_every_document_whole_with_its_end(tmp_path, monkeypatch, vocab, file_tokens, files):
    monkeypatch.setattr(token_formats, "CHUNK_TOKENS", 10)
    found = documents(vocab=vocab)
    wanted = lists(found, range(len(LENGTHS)), vocab - 1)
    for form in token_formats.FORMS:
        (tmp_path / form).mkdir()
        told = write_files(found, tmp_path / form, form=form, end=vocab - 1, vocab=vocab, file_tokens=file_tokens)
        assert len(told["parts"]) == files
        assert told["tokens"] == sum(LENGTHS) + len(LENGTHS) == sum(p["tokens"] for p in told["parts"])
    assert read_megatron(tmp_path / "megatron") == wanted
    ids, names = read_olmo(tmp_path / "olmo", np.uint16 if vocab == 300 else np.uint32)
    assert ids == wanted
    assert names == [i.hex() for i in found.doc_id]
    frame = read_parquet(tmp_path / "parquet")
    assert frame["input_ids"].to_list() == wanted
    assert frame["doc_id"].to_list() == names


def test_documents_may_come_again_or_not_at_all_and_keep_their_weight(tmp_path):
    found = documents(weights=np.arange(7.0))
    order = np.array([3, 3, 0, 6])
    write_files(found, tmp_path, form="parquet", end=299, vocab=300, order=order)
    frame = read_parquet(tmp_path)
    assert frame["input_ids"].to_list() == lists(found, order, 299)
    assert frame["weight"].to_list() == [3.0, 3.0, 0.0, 6.0]


def test_equal_documents_give_equal_bytes(tmp_path):
    for form in token_formats.FORMS:
        seen = []
        for name in ("a", "b"):
            folder = tmp_path / form / name
            folder.mkdir(parents=True)
            write_files(documents(), folder, form=form, end=299, vocab=300)
            seen.append({p.name: p.read_bytes() for p in folder.iterdir()})
        assert seen[0] == seen[1]


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="form is 'bin'"):
        write_files(documents(), tmp_path, form="bin", end=1, vocab=300)
    with pytest.raises(ConfigError, match="end 300"):
        write_files(documents(), tmp_path, form="olmo", end=300, vocab=300)
    with pytest.raises(DataError, match="no document"):
        write_files(documents(), tmp_path, form="olmo", end=1, vocab=300, order=np.zeros(0, dtype=np.int64))
    for more, where in (({"form": "bin"}, "form"), ({"file_tokens": 0}, "file_tokens"), ({"vocab": 3}, "vocab"),
                        ({"weights": "column"}, "weights")):  # fmt: skip
        with pytest.raises(ConfigError) as error:
            WriteTokens(selection="best", **more).validate()
        assert error.value.where == where


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, object]:
    """A run that writes one selection in all forms, with its own tokenizer, and shards of the same selection."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = [{"text": t, "w": [1.0, 0.0, 3.0, 2.5][i % 4]} for i, t in enumerate(texts(80, seed=3))]
    put_corpus(folder / "raw", rows, files=2)
    forms = "\n  ".join(
        f"{f}: {{use: write_tokens, selection: best, form: {f}, vocab: 400}}" for f in token_formats.FORMS
    )
    shards = "\n  shards: {use: write, inputs: [docs, best], carry: [docs.w]}"
    return folder, run(RECIPE.format(stages=forms + shards), folder, folder / "root", name="web")


def files_of(ran, name: str) -> Path:
    return ran.folder(name) / "files"


def meta_of(ran, name: str) -> Path:
    return ran.folder(name) / "files.meta"


def test_a_recipe_writes_its_selection_with_its_tokenizer(made):
    from tokenizers import Tokenizer

    folder, ran = made
    chosen = w.open(folder / "root").frame("best", ["kept", "text"], doc_id="hex").filter("kept").collect()
    known = dict(zip(chosen["doc_id"], chosen["text"], strict=True))
    ids, names = read_olmo(files_of(ran, "olmo"), np.uint16)
    taught = Tokenizer.from_file(str(meta_of(ran, "olmo") / "tokenizer.json"))
    end = json.loads((meta_of(ran, "olmo") / "index.json").read_bytes())["end"]
    assert {name: taught.decode(one[:-1]) for name, one in zip(names, ids, strict=True)} == known
    assert {one[-1] for one in ids} == {end}
    assert end == taught.get_vocab_size() - 1, "it is the last one"
    assert read_megatron(files_of(ran, "megatron")) == ids
    assert read_parquet(files_of(ran, "parquet"))["input_ids"].to_list() == ids
    tokenised = {n.folder for n in ran.plan.nodes if n.operator.name == "tokens"}
    assert len(tokenised) == 1, "other forms tokenise nothing again"


def test_files_that_were_removed_or_never_published_are_put_back(made, tmp_path):
    folder, ran = made
    root = tmp_path / "root"
    stage = RECIPE.format(stages="mega: {use: write_tokens, selection: best, vocab: 400}")
    first = run(stage, folder, root)
    before = read_megatron(files_of(first, "mega"))
    for path in files_of(first, "mega").glob("*.idx"):
        path.unlink()
    again = run(stage, folder, root)
    assert not any(again.computed.values())
    assert read_megatron(files_of(again, "mega")) == before == read_megatron(files_of(ran, "megatron"))


def test_a_given_tokenizer_and_end_are_used(made, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder, _ = made
    words = Tokenizer(models.WordLevel({"[?]": 0, "the": 1}, unk_token="[?]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens(["<end>"])
    words.save(str(tmp_path / "words.json"))
    stage = f'mega: {{use: write_tokens, selection: best, tokenizer: "{tmp_path / "words.json"}", end: "<end>"}}'
    ran = run(RECIPE.format(stages=stage), folder, tmp_path / "root")
    found = read_megatron(files_of(ran, "mega"))
    assert len(found) == 40
    assert {one[-1] for one in found} == {2}
    with pytest.raises(WinnowError, match="no token '<eos>'"):
        run(RECIPE.format(stages=stage.replace("<end>", "<eos>")), folder, tmp_path / "root")


def test_shards_are_exported_with_their_weights(made, tmp_path):
    _, ran = made
    shards = next(ran.folder("shards").glob("shards"))
    known = pl.concat([pl.read_parquet(f) for f in shards.glob("*.parquet")])
    weights = dict(zip(known["doc_id"].bin.encode("hex"), known["docs_w"], strict=True))
    told = export(shards, tmp_path / "hf", form="parquet", tokenizer="bytes", weight="docs_w")
    frame = read_parquet(tmp_path / "hf")
    assert dict(zip(frame["doc_id"], frame["weight"], strict=True)) == {k: v for k, v in weights.items() if v > 0}
    assert (told["vocab"], told["end"]) == (257, 256)
    export(shards, tmp_path / "olmo", form="olmo", tokenizer="bytes", weight="docs_w")
    names = read_olmo(tmp_path / "olmo", np.uint16)[1]
    assert {names.count(k) - int(v) for k, v in weights.items()} <= {0, 1}
    assert {names.count(k) for k, v in weights.items() if v == 3} == {3}
    with pytest.raises(ConfigError, match="exists"):
        export(shards, tmp_path / "hf", form="parquet", tokenizer="bytes")


def test_datasets_loads_the_parquet_files(made):
    pytest.importorskip("datasets")
    _, ran = made
    folder = files_of(ran, "parquet")
    code = f"""
import json, os
os.environ["HF_DATASETS_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"
import datasets
data = datasets.load_dataset("parquet", data_files="{folder}/*.parquet", split="train", cache_dir="{folder.parent}/hf")
print(json.dumps([data.column_names, data["input_ids"][:], data["doc_id"][:]]))
"""
    names, ids, docs = json.loads(printed(code))
    assert names == ["doc_id", "input_ids"]
    assert ids == read_megatron(files_of(ran, "megatron"))
    assert docs == read_olmo(files_of(ran, "olmo"), np.uint16)[1]


@pytest.mark.slow
def test_megatron_reads_the_indexed_files(made):
    pytest.importorskip("megatron.core.package_info")
    _, ran = made
    folder = files_of(ran, "megatron")
    code = f"""
import json
from megatron.core.datasets.indexed_dataset import IndexedDataset
data = IndexedDataset("{folder}/part-00000")
assert data.index.dtype.__name__ == "uint16"
assert (data.document_indices == range(len(data) + 1)).all()
print(json.dumps([data[i].tolist() for i in range(len(data))]))
"""
    assert json.loads(printed(code)) == read_megatron(folder)


def printed(code: str) -> str:
    """The last line that a fresh interpreter printed: readers bring warnings and threads of their own."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]
