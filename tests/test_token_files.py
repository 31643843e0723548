"""Exports of token ids: what Megatron, numpy and `datasets` read back is the selection, document by document."""

from __future__ import annotations

import csv
import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import put_corpus, run, texts

import winnow as w
from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data import export, token_formats
from winnow.trainers.data.pack import Documents
from winnow.trainers.data.token_formats import write_files
from winnow.trainers.data.write_tokens import WriteTokens

pytest.importorskip("tokenizers")
IN_PARTS = [form for form in token_formats.FORMS if form != "bin"]  # which has a file per side of a split
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
    for form in IN_PARTS:
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
    with pytest.raises(ConfigError, match="form is 'binary'"):
        write_files(documents(), tmp_path, form="binary", end=1, vocab=300)
    with pytest.raises(ConfigError, match="val_share is 1"):
        write_files(documents(), tmp_path, form="bin", end=1, vocab=300, val_share=1)
    with pytest.raises(DataError, match="one document cannot be split"):
        write_files(documents(), tmp_path, form="bin", end=299, vocab=300, order=np.array([3, 3]))
    with pytest.raises(ConfigError, match="end 300"):
        write_files(documents(), tmp_path, form="olmo", end=300, vocab=300)
    with pytest.raises(DataError, match="no document"):
        write_files(documents(), tmp_path, form="olmo", end=1, vocab=300, order=np.zeros(0, dtype=np.int64))
    for more, where in (({"form": "binary"}, "form"), ({"val_share": -0.1}, "val_share"), ({"end": "<|eod|>"}, "end"),
                         ({"file_tokens": 0}, "file_tokens"), ({"vocab": 3}, "vocab"),
                        ({"weights": "column"}, "weights")):  # fmt: skip
        with pytest.raises(ConfigError) as error:
            WriteTokens(selection="best", **more).validate()
        assert error.value.where == where


def read_bin(path: Path, dtype: str, end: int) -> list[list[int]]:
    """As nanoGPT maps it, cut at the end marks."""
    ids = np.memmap(path, dtype=dtype, mode="r")
    assert ids[-1] == end
    return [[*one.tolist(), end] for one in np.split(ids, np.flatnonzero(ids == end) + 1)[:-1] for one in [one[:-1]]]


@pytest.mark.parametrize("vocab", [300, 70_000])
def test_bin_has_two_files_that_are_mapped_and_every_document_in_one_of_them(tmp_path, vocab):
    found = documents(vocab=vocab)
    told = write_files(found, tmp_path, form="bin", end=vocab - 1, vocab=vocab, val_share=0.4)
    dtype = "uint16" if vocab == 300 else "uint32"
    assert told["dtype"] == dtype
    assert sorted(p.name for p in tmp_path.iterdir()) == ["meta.pkl", "train.bin", "val.bin"]
    train, val = (read_bin(tmp_path / f"{side}.bin", dtype, vocab - 1) for side in ("train", "val"))
    assert len(train) > 0 < len(val)
    assert sorted(train + val) == sorted(lists(found, range(len(LENGTHS)), vocab - 1))
    assert [part["documents"] for part in told["parts"]] == [len(train), len(val)]
    assert pickle.loads((tmp_path / "meta.pkl").read_bytes()) == {"vocab_size": vocab}


def test_a_document_is_on_the_same_side_whatever_is_written_and_repeats_stay_together():
    ids = pl.Series([bytes([i // 256, i % 256] * 8) for i in range(4000)], dtype=pl.Binary)
    many = Documents(doc_id=ids, tokens=np.zeros(0, dtype=np.uint16), offsets=np.zeros(4001, dtype=np.int64))
    held = set(token_formats.split(many, np.arange(4000), 0.05)["val"].tolist())
    assert 140 < len(held) < 260, "a share of 0.05 of 4,000 is 200"
    for some in (np.arange(2000), np.arange(0, 4000, 3), np.repeat(np.arange(1000), 3)):
        sides = token_formats.split(many, some, 0.05)
        assert set(sides["val"].tolist()) == held & set(some.tolist())
        assert len(sides["train"]) + len(sides["val"]) == len(some)
    assert list(token_formats.split(many, np.arange(9), 0.0)) == ["train"]
    few = token_formats.split(many, np.arange(3), 0.0001)
    assert [len(few["train"]), len(few["val"])] == [2, 1], "neither file is ever empty"
    most = token_formats.split(many, np.arange(3), 0.9999)
    assert [len(most["train"]), len(most["val"])] == [1, 2]


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


def tokenizer_of(ran, name: str):
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(str(meta_of(ran, name)))


@pytest.mark.parametrize("form", token_formats.FORMS)
def test_a_model_sized_by_the_tokenizer_has_a_row_for_every_id(made, form):
    _, ran = made
    index = json.loads((meta_of(ran, form) / "index.json").read_bytes())
    known = tokenizer_of(ran, form)
    assert len(known) == index["vocab"] == index["end"] + 1
    assert known.eos_token_id == index["end"]
    first = read_parquet(files_of(ran, "parquet"))["input_ids"].to_list()[0]
    assert max(first) == index["end"]
    table = np.zeros((len(known), 2))
    assert table[first].shape == (len(first), 2)
    assert known.decode(first, skip_special_tokens=True) == known.decode(first[:-1])
    assert known.decode(first).endswith(known.eos_token)
    assert known("The words of a text.")["input_ids"] == tokenizer_of(ran, "olmo")("The words of a text.")["input_ids"]


def test_bin_files_of_a_recipe_hold_the_selection_once(made):
    _, ran = made
    index = json.loads((meta_of(ran, "bin") / "index.json").read_bytes())
    folder = files_of(ran, "bin")
    sides = [read_bin(folder / f"{side}.bin", index["dtype"], index["end"]) for side in ("train", "val")]
    assert sorted(sides[0] + sides[1]) == sorted(read_megatron(files_of(ran, "megatron")))
    assert len(sides[1]) == 1
    assert "val.bin holds one document" in ran.metrics["bin.files"]["remarks"][0]


JUNK = """
seed: 5
stages:
  docs: {{use: jsonl, files: "raw/*.jsonl", id: content}}
  sig:  {{use: signals, inputs: docs}}
  good: {{use: filter, inputs: sig, keep: {{words: "word_count < 40"}}}}
  mega: {{use: write_tokens, selection: good, vocab: 400{more}}}
"""


@pytest.mark.parametrize(("more", "learned"), [("", False), (", fit_on: pool, ignore: all", True), (", fit_on: pool", False), (", fit_on: pool, where: kept_good", False)])  # fmt: skip
def test_the_vocabulary_is_that_of_what_is_written(tmp_path, more, learned):
    from tokenizers import Tokenizer

    rows = [{"text": "the words of some sentence that is kept " * 2 + str(n)} for n in range(20)]
    rows += [{"text": f"zqxj{n % 3} " * 200} for n in range(20)]
    put_corpus(tmp_path / "raw", rows, files=2)
    ran = run(JUNK.format(more=more), tmp_path, tmp_path / "root")
    taught = Tokenizer.from_file(str(meta_of(ran, "mega") / "tokenizer.json"))
    assert any("zqx" in piece for piece in taught.get_vocab()) == learned
    assert any("sentence" in piece for piece in taught.get_vocab())


@pytest.mark.parametrize(("more", "where", "says"), [
    ("end: '<|eod|>'", "end", "a tokenizer that is fitted has no token"),
    ("where: text_bytes > 1", "where", "narrows the pool"),
    ("tokenizer: t.json, vocab: 500", "vocab", "vocab has no effect with tokenizer"),
    ("tokenizer: t.json, tokenizer_bytes: 500", "tokenizer_bytes", "has no effect with tokenizer"),
    ("tokenizer: t.json, fit_on: pool", "fit_on", "has no effect with tokenizer"),
    ("val_share: 0.2", "val_share", "has no effect with form megatron"),
    ("form: bin, file_tokens: 9", "file_tokens", "has no effect with form bin"),
    ("selection: once, form: parquet, weights: column", "weights", "'once' has no weight"),
])  # fmt: skip
def test_what_would_be_passed_over_is_said_when_the_recipe_is_planned(made, tmp_path, more, where, says):
    folder, _ = made
    selection = "" if "selection" in more else "selection: best, "
    stage = f"once: {{use: exact, inputs: docs}}\n  ids: {{use: write_tokens, {selection}{more}}}"
    with pytest.raises(ConfigError, match=says) as error:
        run(RECIPE.format(stages=stage), folder, tmp_path / "root")
    assert error.value.where.endswith(where)
    assert not list((tmp_path / "root").glob("*-*")), "nothing has run"


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


@pytest.mark.parametrize(("ids", "end", "where", "says"), [
    ({"[?]": 0, "the": 1}, "<eos>", "stages.mega.end", "no token '<eos>'"),
    ({"[?]": 0, "the": 7}, "", "stages.mega.end", "ids have gaps"),
])  # fmt: skip
def test_a_tokenizer_that_cannot_end_documents_is_refused_while_planning(made, tmp_path, ids, end, where, says):
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder, _ = made
    words = Tokenizer(models.WordLevel(ids, unk_token="[?]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "words.json"))
    stage = f'mega: {{use: write_tokens, selection: best, tokenizer: "{tmp_path / "words.json"}", end: "END"}}'
    with pytest.raises(ConfigError, match=says) as error:
        run(RECIPE.format(stages=stage.replace("END", end)), folder, tmp_path / "root")
    assert error.value.where == where
    assert not list((tmp_path / "root").glob("*-*")), "nothing has run"
    given = stage.replace("END", "the")
    found = read_megatron(files_of(run(RECIPE.format(stages=given), folder, tmp_path / "root"), "mega"))
    assert {one[-1] for one in found} == {ids["the"]}, "its own token ends documents, whatever its id"


def test_documents_that_are_no_selection_are_refused_with_the_line_that_takes_them_all(made, tmp_path):
    folder, _ = made
    stages = "mega: {use: write_tokens, selection: docs, vocab: 400}"
    with pytest.raises(ConfigError, match="chooses none") as error:
        run(RECIPE.format(stages=stages), folder, tmp_path / "root")
    line, written = (part for part in error.value.hint.split("`") if ": " in part and "for all" not in part)
    assert written == "selection: all_docs"
    ran = run(RECIPE.format(stages=f"{line}\n  {stages.replace('docs', 'all_docs')}"), folder, tmp_path / "root")
    assert len(read_megatron(files_of(ran, "mega"))) == 80


def test_shards_are_exported_with_their_weights(made, tmp_path):
    _, ran = made
    shards = next(ran.folder("shards").glob("shards"))
    known = pl.concat([pl.read_parquet(f) for f in shards.glob("*.parquet")])
    weights = dict(zip(known["doc_id"], known["docs_w"], strict=True))
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
