"""`ShardDataset`: other people's trainers read curated shards, each document once, resumable, never a changed shard."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import itertools
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import support_ddp
from support import put_corpus, run, texts

import winnow as w
from winnow.core.errors import ConfigError, DataError, StoreError
from winnow.core.operators import Context
from winnow.core.store.locations import open_store
from winnow.trainers.data import prepare, token_store
from winnow.trainers.data.coder import coder_of
from winnow.trainers.data.encoder import FILE
from winnow.trainers.data.shards import Shard, find_shards
from winnow.trainers.data.tokens import Tokens

pytestmark = pytest.mark.train
EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
FORMATS = ("parquet", "arrow", "jsonl.zst", "jsonl")
RECIPE = """
seed: 5
stages:
  docs:   {{use: jsonl, files: "{folder}/raw/*.jsonl", id: content, columns: {{w: float64}}}}
  tok:    {{use: count_tokens, inputs: docs}}
  best:   {{use: top_k, inputs: [docs, tok], by: tok, budget: 40 docs}}
  weighed: {{use: rwr, inputs: docs, score: w}}
  {stages}
"""


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A finished run that wrote the same selection in every format."""
    folder = tmp_path_factory.mktemp("corpus")
    documents = [{"text": t, "w": [1.0, 0.0, 50.0, 2.5][i % 4]} for i, t in enumerate(texts(120, seed=3))]
    put_corpus(folder / "raw", documents, files=3)
    writers = "\n  ".join(
        f"to_{kind.replace('.', '_')}: {{use: write, inputs: [docs, best], format: {kind}, carry: [docs.w], shard_bytes: 6KB}}"
        for kind in FORMATS
    )
    run(RECIPE.format(folder=folder, stages=writers), folder, folder / "root", name="web")
    return folder / "root"


@pytest.fixture
def shards(root, tmp_path) -> Path:
    """Parquet shards of one's own, that a test may change."""
    folder = folder_of(root, "parquet")
    shutil.copytree(f"{folder}.meta", tmp_path / "shards.meta")
    return Path(shutil.copytree(folder, tmp_path / "shards"))


def folder_of(root: Path, kind: str) -> Path:
    return next(f for f in sorted(root.glob("write-*/shards")) if list(f.glob(f"*.{kind}")))


def selected(root: Path) -> dict[str, str]:
    """doc_id -> text of the selection, as winnow itself reads it."""
    frame = w.open(root).frame("best", ["kept", "text"], doc_id="hex").filter("kept").collect()
    return dict(zip(frame["doc_id"], frame["text"], strict=True))


def dataset(source, tmp_path, **more):
    from winnow.trainers.data import ShardDataset

    settings = {"tokenizer": "bytes", "context": 64, "batch": 4, "cache": tmp_path / "cache", "rank": 0, "world": 1}
    return ShardDataset(source, **{**settings, **more})


def digests(items) -> list[str]:
    """One digest per step's dict of tensors."""
    out = []
    for item in items:
        state = hashlib.sha256()
        for name in sorted(item):
            state.update(item[name].numpy().tobytes())
        out.append(state.hexdigest())
    return out


def together(parts: list[dict]) -> dict:
    """The rows of all ranks of a step in the order of one process."""
    import torch

    world = len(parts)
    rows = world * len(parts[0]["ids"])
    return {n: torch.stack([parts[i % world][n][i // world] for i in range(rows)]) for n in parts[0]}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_selected_document_comes_once_per_epoch_with_its_id_and_bytes(root, tmp_path, kind):
    data = dataset(folder_of(root, kind), tmp_path, gives="documents", epochs=2)
    found = [(d["doc_id"], bytes(d["ids"][:-1].tolist()).decode()) for d in data]
    wanted = selected(root)
    assert len(found) == len(data) == 80
    assert dict(found[:40]) == dict(found[40:]) == wanted
    assert [f[0] for f in found[:40]] != [f[0] for f in found[40:]], "every epoch has its own order"
    assert all(d["ids"][-1] == data.end == 256 for d in data)


def test_a_runs_selection_needs_no_shards_and_its_ids_survive_gc(root, tmp_path):
    data = dataset(w.open(root), tmp_path, stage="best", gives="documents", cache=None, weight="weight")
    assert {d["doc_id"]: bytes(d["ids"][:-1].tolist()).decode() for d in data} == selected(root)
    assert (root / "tokens").is_dir()
    code = "import sys; from winnow.cli import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, "gc", str(root)], check=True, capture_output=True)
    assert len(list((root / "tokens").glob("*/tokens.*.bin"))) == 1
    with pytest.raises(ConfigError, match="no stage 'bst'") as caught:
        dataset(w.open(root), tmp_path, stage="bst")
    assert "did you mean 'best'" in str(caught.value)


def test_packed_rows_hold_every_token_once_and_name_its_document(root, tmp_path):
    data = dataset(folder_of(root, "parquet"), tmp_path)
    wanted, seen = selected(root), {}
    for batch in data:
        for row, at in (batch["weights"] > 0).nonzero().tolist():
            number = int(batch["documents"][row, at])
            seen.setdefault(data.doc_id(number), []).append(int(batch["targets"][row, at]))
    assert {d: sorted(t) for d, t in seen.items()} == {d: sorted([*t.encode(), 256]) for d, t in wanted.items()}
    assert data.plan.utilisation > 0.9
    assert len(list(data)) == len(data) == data.num_steps


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("gives", ["batches", "rows", "documents"])
def test_workers_and_ranks_give_the_same_steps_in_the_same_order(root, tmp_path, gives):
    from torch.utils.data import DataLoader

    folder = folder_of(root, "parquet")

    def stream(world: int, workers: int) -> list:
        parts = []
        for rank in range(world):
            data = dataset(folder, tmp_path, gives=gives, rank=rank, world=world)
            size, collate = {"batches": (None, None), "rows": (4 // world, None), "documents": (4 // world, list)}[
                gives
            ]
            parts.append(list(DataLoader(data, batch_size=size, num_workers=workers, collate_fn=collate)))
        if gives == "documents":
            return [[d["doc_id"] for row in zip(*step, strict=True) for d in row] for step in zip(*parts, strict=True)]
        return digests(map(together, zip(*parts, strict=True)))

    whole = stream(1, 0)
    assert len(set(map(str, whole))) == len(whole)
    for world, workers in ((1, 3), (2, 0), (2, 2), (4, 0)):
        assert stream(world, workers) == whole


def test_resumed_anywhere_at_any_world_size_the_stream_goes_on(root, tmp_path):
    folder = folder_of(root, "parquet")
    whole = digests(dataset(folder, tmp_path, tokens=9000))
    draw = random.Random(2)
    for world in (1, 2, 4):
        state, found = None, []
        for stop in sorted([*draw.sample(range(1, len(whole)), 3), len(whole)]):
            ranks = [dataset(folder, tmp_path, tokens=9000, rank=r, world=world) for r in range(world)]
            for data in ranks if state else ():
                data.load_state_dict(json.loads(json.dumps(state)))
            steps = zip(*ranks, strict=True)
            found += digests(map(together, itertools.islice(steps, stop - len(found))))
            state = ranks[0].state_dict()
            assert state["step"] == stop
        assert found == whole


def test_two_processes_under_ddp_have_the_losses_of_one_and_each_goes_on_from_the_other_s_state(root, tmp_path):
    import multiprocessing

    shards = folder_of(root, "parquet")

    def alone(first, last, start="", out=""):
        return support_ddp.train(
            shards, tmp_path / "cache", first=first, last=last,
            start=tmp_path / start if start else None, out=tmp_path / out if out else None,
        )  # fmt: skip

    whole = alone(0, 8)
    assert alone(0, 4, out="one.pt") == whole[:4]
    assert alone(4, 8, start="one.pt") == whole[4:]
    spawn = multiprocessing.get_context("spawn")
    said = spawn.SimpleQueue()
    parts = [(0, 3, "", "two.pt"), (4, 8, "one.pt", "")]
    ranks = [
        spawn.Process(target=support_ddp.rank, args=(r, 2, str(tmp_path), str(shards), parts, said)) for r in range(2)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    assert [p.exitcode for p in ranks] == [0, 0]
    begun, resumed = said.get()
    assert begun == pytest.approx(whole[:3], abs=1e-5)
    assert resumed == pytest.approx(whole[4:], abs=1e-5), "two processes from the state of one"
    assert alone(3, 8, start="two.pt") == pytest.approx(whole[3:], abs=1e-5), "one process from the state of two"


def test_a_state_knows_what_it_belongs_to(root, tmp_path):
    folder = folder_of(root, "parquet")
    state = dataset(folder, tmp_path).state_dict()
    for more, what in (({"seed": 1}, "seed is 1, and was 0"), ({"batch": 8}, "batch is 8, and was 4"),
                       ({"context": 65}, "plan is"), ({"gives": "rows"}, "gives is rows")):  # fmt: skip
        with pytest.raises(DataError, match=what):
            dataset(folder, tmp_path, **more).load_state_dict(state)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_loader_workers_run_ahead_so_the_trainer_says_its_step(root, tmp_path):
    from torch.utils.data import DataLoader

    data = dataset(folder_of(root, "parquet"), tmp_path)
    whole = digests(data)
    loader = iter(DataLoader(data, batch_size=None, num_workers=2))
    for _ in range(3):
        next(loader)
    with pytest.raises(ConfigError, match="run ahead"):
        data.state_dict()
    data.load_state_dict(data.state_dict(step=3))
    assert digests(DataLoader(data, batch_size=None, num_workers=2)) == whole[3:]


def test_a_copy_in_another_process_is_the_same(root, tmp_path):
    data = dataset(folder_of(root, "parquet"), tmp_path)
    assert len(pickle.dumps(data)) < 20_000, "tokens are mapped, not sent"
    assert digests(pickle.loads(pickle.dumps(data))) == digests(data)


def changed(path: Path) -> None:
    frame = pl.read_parquet(path)
    frame.with_columns(pl.col("text") + "!").write_parquet(path)


def test_a_changed_shard_is_refused_by_name(shards, tmp_path):
    (shards.with_name(f"{shards.name}.meta") / "index.json").unlink()
    state = dataset(shards, tmp_path).state_dict()
    victim = sorted(shards.glob("*.parquet"))[1]
    body = victim.read_bytes()
    changed(victim)
    with pytest.raises(DataError, match="a shard was changed: digest") as caught:
        dataset(shards, tmp_path)
    assert str(victim) in str(caught.value)
    anew = dataset(shards, tmp_path, cache=tmp_path / "other")
    with pytest.raises(DataError, match="a shard is changed since the state was saved") as caught:
        anew.load_state_dict(state)
    assert victim.name in str(caught.value)
    victim.write_bytes(body)
    dataset(shards, tmp_path).load_state_dict(state)


def flipped(victim):
    """One bit of a shard changed in place, its size and time as they were."""
    stamp, body = victim.stat(), bytearray(victim.read_bytes())
    body[100] ^= 1
    victim.write_bytes(body)
    os.utime(victim, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_a_shard_written_in_place_with_its_time_put_back_is_refused(shards, tmp_path):
    (shards.with_name(f"{shards.name}.meta") / "index.json").unlink()
    dataset(shards, tmp_path)
    flipped(min(shards.glob("*.parquet")))
    with pytest.raises(DataError, match="a shard was changed"):
        dataset(shards, tmp_path)


def test_only_verify_reads_a_shard_whose_stamp_is_as_it_was(shards, tmp_path, monkeypatch):
    (shards.with_name(f"{shards.name}.meta") / "index.json").unlink()
    monkeypatch.setattr(Shard, "stamp", lambda self: (1, 2, 3, 4))  # as where a disk loses a bit
    dataset(shards, tmp_path)
    flipped(min(shards.glob("*.parquet")))
    dataset(shards, tmp_path)
    with pytest.raises(DataError, match="a shard was changed"):
        dataset(shards, tmp_path, verify=True)


def test_a_shard_that_is_not_what_its_index_says_is_refused_before_it_is_read(shards, tmp_path):
    victim = min(shards.glob("*.parquet"))
    changed(victim)
    with pytest.raises(DataError, match="the index says"):
        dataset(shards, tmp_path)
    victim.unlink()
    with pytest.raises(DataError, match="1 shards of the index are gone"):
        dataset(shards, tmp_path)


def test_what_lies_in_the_cache_is_made_once_and_checked(shards, tmp_path):
    first = dataset(shards, tmp_path)
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*") if p.is_file()}
    assert {p.name.split(".")[0].split("-")[0] for p in files} == {"tokens", "documents", "index", "plan"}
    second = dataset(shards, tmp_path)
    assert digests(first) == digests(second)
    assert files == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*") if p.is_file()}
    tokens = next(p for p in files if p.name.startswith("tokens"))
    body = bytearray(tokens.read_bytes())
    body[10] ^= 1
    tokens.write_bytes(body)
    with pytest.raises(StoreError, match="a file was changed"):
        dataset(shards, tmp_path, verify=True)
    tokens.write_bytes(body[:-2])
    with pytest.raises(StoreError, match="its index says"):
        dataset(shards, tmp_path)


def test_of_two_processes_that_make_the_same_ids_one_leaves_files(shards, tmp_path):
    store, coder = open_store(tmp_path / "cache"), coder_of("bytes")
    (tmp_path / "cache" / "x").mkdir(parents=True)
    (tmp_path / "cache" / "x" / "tokens.of_a_killed_one.bin").write_bytes(b"half")
    for _ in range(2):
        token_store._make(store, "x", find_shards(shards), coder, weight=None, text="text")
    assert len(store.list("x")) == 3


@pytest.mark.parametrize("kind", FORMATS)
def test_a_column_of_weights_that_nobody_asked_for_is_told_once(tmp_path, kind):
    from winnow.core.store.formats import format_of

    rows = pl.DataFrame({
        "doc_id": [hashlib.blake2b(bytes([i]), digest_size=16).digest() for i in range(5)],
        "text": ["some words to train on"] * 5, "weight": [1.0] * 5, "best_weight": [1.0, 2.0, 0.0, 1.0, 1.0],
    })  # fmt: skip
    (tmp_path / "shards").mkdir()
    with (tmp_path / "shards" / f"a.{kind}").open("wb") as sink:
        format_of(f"a.{kind}").write(sink, rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
    told = "'best_weight', from 0 to 2 in their first 5 documents, and no weight was asked for: all 5 .* `weight='best_weight'`"
    with pytest.warns(UserWarning, match=told) as caught:
        dataset(tmp_path / "shards", tmp_path, batch=1, context=16)
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__), "the line that made the data set"
    dataset(tmp_path / "shards", tmp_path, batch=1, context=16, weight="best_weight")  # warnings are errors here


def test_a_stage_with_weights_is_told_and_one_without_is_not(root, tmp_path):
    with pytest.warns(UserWarning, match="the shards have 'weight', from .* all 120 documents count alike"):
        dataset(w.open(root), tmp_path, stage="weighed", gives="documents", cache=None)
    dataset(w.open(root), tmp_path, stage="best", gives="documents", cache=None)


def test_weights_of_zero_and_fifty_travel_from_the_shards(root, tmp_path):
    folder = folder_of(root, "parquet")
    rows = pl.concat([pl.read_parquet(f) for f in folder.glob("*.parquet")])
    known = dict(zip(rows["doc_id"], rows["docs_w"], strict=True))
    assert {0.0, 50.0} <= set(known.values())
    given = {d["doc_id"]: d["weight"] for d in dataset(folder, tmp_path, weight="docs_w", gives="documents")}
    assert given == {d: x for d, x in known.items() if x > 0}
    data = dataset(folder, tmp_path, weight="docs_w")
    total, seen = 0.0, {}
    for batch in data:
        total += float(batch["weights"].sum())
        for number in set(batch["documents"].flatten().tolist()) - {-1}:
            seen[data.doc_id(number)] = float(batch["weights"][batch["documents"] == number].max())
    assert set(seen) == set(given)
    assert total == pytest.approx(data.plan.num_tokens, rel=1e-5)
    ratio = {d: seen[d] / known[d] for d in seen}
    assert max(ratio.values()) == pytest.approx(min(ratio.values()), rel=1e-5)
    repeats = [d["doc_id"] for d in dataset(folder, tmp_path, weight="docs_w", weighting="repeat", gives="documents")]
    assert {repeats.count(d) for d, x in known.items() if x == 50} == {50}


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [("text", None, "have no text"), ("w", -1.0, "negative"), ("w", None, "null, negative"), ("doc_id", b"short", "16 bytes")],
)  # fmt: skip
def test_a_bad_row_is_refused_with_its_shard(tmp_path, column, value, what):
    good = {"doc_id": [bytes(16), bytes([1] * 16)], "text": ["one", "two"], "w": [1.0, 2.0]}
    good[column][1] = value
    pl.DataFrame(good).write_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=what) as caught:
        dataset(tmp_path / "bad.parquet", tmp_path, weight="w")
    assert "bad.parquet" in str(caught.value)


def test_what_cannot_be_is_refused_before_anything_is_read(shards, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no column 'docs_v'") as caught:
        dataset(shards, tmp_path, weight="docs_v")
    assert "did you mean 'docs_w'" in str(caught.value)
    for more, what in (
        ({"gives": "lines"}, "gives is 'lines'"), ({"world": 3, "rank": 0}, "cannot be dealt to 3 ranks"),
        ({"rank": 2, "world": 2}, "rank 2 is not in"), ({"rank": 1, "world": None}, "both rank and world"),
        ({"tokenizer": tmp_path / "nothing.json"}, "no tokenizer at"), ({"stage": "best"}, "is for opened runs"),
        ({"gives": "documents", "tokens": 5}, "is for rows and batches"), ({"tokens": 0}, "tokens is 0"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=what):
            dataset(shards, tmp_path, **more)
    with pytest.raises(ConfigError, match="no shards at"):
        dataset(tmp_path / "*.parquet", tmp_path)
    with pytest.raises(ConfigError, match="where should the token ids lie"):
        dataset(str(shards / "*.parquet"), tmp_path, cache=None)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert dataset(shards, tmp_path, rank=None, world=None).rank == 1


def test_a_single_document_trains(tmp_path):
    pl.DataFrame(
        {"doc_id": [bytes(16)], "text": ["just this one document, longer than a row of the context" * 3]}
    ).write_parquet(tmp_path / "one.parquet")
    data = dataset(tmp_path / "one.parquet", tmp_path, tokens=1000)
    assert sum(int((b["weights"] > 0).sum()) for b in data) == 1000


def test_a_fitted_tokenizer_is_read_and_no_text_can_spell_its_end(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    pl.DataFrame({"doc_id": [bytes(16), bytes([1] * 16)], "text": ["w7 w69999 <end>", "w1"]}).write_parquet(
        tmp_path / "a.parquet"
    )
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(70_000)} | {"[?]": 70_000}, unk_token="[?]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens(["<end>"])
    words.save(str(tmp_path / "tokenizer.json"))
    data = dataset(tmp_path / "a.parquet", tmp_path, tokenizer=tmp_path, end="<end>", gives="documents")
    assert {tuple(d["ids"].tolist()) for d in data} == {(7, 69_999, 70_000, 70_001), (1, 70_001)}
    assert data._made.documents.tokens.dtype == np.uint32
    plain = dataset(tmp_path / "a.parquet", tmp_path, tokenizer=words, gives="documents")
    assert (plain.end, plain.vocab) == (70_002, 70_003)
    ref = type("Ref", (), {"files": lambda _: {FILE: tmp_path / "tokenizer.json"}})()
    ctx, texts_ = Context(seed=0, work=tmp_path, refs={"tokenizer": ref}), pl.DataFrame({"text": ["w69999 w7", None]})
    assert Tokens(wide=True).open(ctx)(texts_)["tokens"].to_list() == [[69_999, 7], None]
    with pytest.raises(ConfigError, match="needs ids of 32 bits"):
        Tokens().open(ctx)
    with pytest.raises(ConfigError, match="no token '<eos>'"):
        dataset(tmp_path / "a.parquet", tmp_path, tokenizer=words, end="<eos>")
    with pytest.raises(ConfigError, match="no tokenizer that winnow can read"):
        dataset(tmp_path / "a.parquet", tmp_path, tokenizer=object())


def test_shards_of_one_name_in_two_folders_are_two(tmp_path):
    for i, text in enumerate(("one", "two")):
        (tmp_path / str(i)).mkdir()
        pl.DataFrame({"doc_id": [bytes([i] * 16)], "text": [text]}).write_parquet(tmp_path / str(i) / "a.parquet")
    made = prepare([tmp_path / "0" / "a.parquet", tmp_path / "1" / "a.parquet"], tokenizer="bytes", cache=tmp_path)
    assert len(made.shards) == 2
    assert bytes(made.documents.tokens.tolist()) == b"onetwo"


def test_the_module_is_light_until_the_dataset_is_asked_for():
    code = "import sys, winnow.trainers.data; print('torch' in sys.modules, 'tokenizers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def example(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_torch_example_learns_and_resumes_exactly(root, tmp_path, capsys):
    loop = example("torch_loop")
    folder = str(folder_of(root, "parquet"))
    whole = loop.main(folder, 6)
    assert whole[-1] < whole[0]
    state = str(tmp_path / "state.pt")
    assert loop.main(folder, 2, state) + loop.main(folder, 4, state) == whole
    assert "utilisation" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_trainer_example_learns_and_resumes_exactly(root, tmp_path, capsys):
    hf = example("hf_trainer")
    folder = str(folder_of(root, "parquet"))
    losses = lambda t: [e["loss"] for e in t.state.log_history if "loss" in e]  # noqa: E731
    whole = losses(hf.main(folder, str(tmp_path / "a"), 4))
    assert len(whole) == 4
    assert whole[-1] < whole[0]
    state = dataset(folder, tmp_path, context=128, seed=7, gives="rows", cache=None).state_dict(step=2)
    again = hf.main(folder, str(tmp_path / "b"), 4, resume=state, checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    assert losses(again) == pytest.approx(whole, abs=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_packed_under_masks_the_loss_is_that_of_documents_alone(root, tmp_path):
    import torch
    from torch.nn.functional import cross_entropy

    hf = example("hf_trainer")
    folder = folder_of(root, "parquet")
    data = dataset(folder, tmp_path, context=192, gives="rows")
    model = hf.tiny_llama(data.vocab, 192).eval()
    batch = hf.collate([row for row in itertools.islice(data, 48) if (row["segments"] > 0).any()])
    assert len(batch["labels"]) > 5, "rows of several documents"
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits
        packed = cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum")
        alone = 0.0
        for ids, labels, positions in zip(batch["input_ids"], batch["labels"], batch["position_ids"], strict=True):
            starts = [*(positions == 0).nonzero().flatten().tolist(), len(ids)]
            for a, b in itertools.pairwise(starts):
                if labels[a] >= 0:
                    alone += float(
                        cross_entropy(model(input_ids=ids[None, a:b]).logits[0], labels[a:b], reduction="sum")
                    )
    assert float(packed) == pytest.approx(alone, rel=1e-5)


def test_json_lines_are_read_in_pieces(tmp_path, monkeypatch):
    from winnow.core.store import json_lines_format as lines

    monkeypatch.setattr(lines, "LINES_BYTES", 64)
    rows = [{"doc_id": bytes([i] * 16).hex(), "text": f"text {i}", "other": {"a": i}} for i in range(50)]
    body = io.BytesIO(b"".join(json.dumps(r).encode() + b"\n" for r in rows))
    (tmp_path / "a.jsonl").write_bytes(body.getvalue())
    (shard,) = find_shards(tmp_path / "a.jsonl")
    frames = list(shard.read(["text"]))
    assert len(frames) > 5
    assert pl.concat(frames)["text"].to_list() == [r["text"] for r in rows]
