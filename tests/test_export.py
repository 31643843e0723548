"""`winnow export`: the same bytes or the same rows in a folder of one's own, complete or not there."""

import json
from pathlib import Path

import polars as pl
import pytest
from cli_runs import make_input, winnow, write_recipe

import winnow as w
from winnow.core.errors import ConfigError
from winnow.dags.looking import export as module

RECIPE = """
name: web
seed: 7
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl", id: "field:uid", columns: {uid: string}}
  sig:    {use: signals, inputs: docs}
  long:   {use: filter, inputs: sig, keep: {long: word_count >= 100}}
  up:     {use: upsample, inputs: [docs, long], by: word_count, budget: 60 docs}
  corpus: {use: write, inputs: [docs, long], shard_bytes: 20kB, carry: [uid]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    make_input(folder)
    w.run_recipe(str(write_recipe(folder, RECIPE)), out=str(folder / "out"), workers=0)
    return folder


@pytest.fixture
def here(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ran / "out"


def told(capsys, *words):
    said = winnow(capsys, "export", *words, "--json")
    assert said.code == 0, said.err
    return said.json()


def ids_of(folder):
    frame = pl.concat(pl.read_parquet(f) for f in sorted(Path(folder).glob("*.parquet")))
    return frame["doc_id"].to_list()


def test_what_write_left_is_linked_under_its_names_with_its_index(here, capsys):
    made = told(capsys, here, "corpus", "--to", "mine")
    shards = next(here.glob("write-*/shards"))
    assert made["how"] == "linked"
    assert sorted(p.name for p in Path("mine").iterdir()) == sorted(p.name for p in shards.iterdir()) == made["files"]
    assert made["meta"] == str(Path("mine.meta").absolute())
    for path in Path("mine").glob("*.parquet"):
        assert path.samefile(shards / path.name)
    assert json.loads(Path("mine.meta/index.json").read_bytes()) == json.loads(
        Path(f"{shards}.meta/index.json").read_bytes()
    )
    assert made["documents"] == len(ids_of("mine"))
    assert made["bytes"] == sum(p.stat().st_size for p in Path("mine").glob("*.parquet"))


def test_another_format_holds_the_same_rows_in_the_same_order_and_has_the_same_digest(here, capsys):
    linked = told(capsys, here, "corpus", "--to", "linked")
    written = told(capsys, here, "corpus", "--to", "lines", "--format", "jsonl.zst")
    assert (written["how"], written["digest"], written["documents"]) == (
        "written",
        linked["digest"],
        linked["documents"],
    )
    lines = pl.concat(pl.read_ndjson(f.read_bytes()) if f.suffix != ".zst" else unpacked(f) for f in shards_in("lines"))
    assert lines["doc_id"].to_list() == ids_of("linked")
    assert lines["uid"].null_count() == 0
    assert len(shards_in("lines")) == len(shards_in("linked")) > 1


def shards_in(folder):
    return sorted(Path(folder).iterdir())


def unpacked(path):
    import zstandard

    raw = zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read()
    return pl.read_ndjson(raw)


def test_a_decision_is_exported_as_the_rows_it_kept(here, capsys):
    made = told(capsys, here, "long", "--to", "kept")
    run = w.open(here)
    kept = run.frame("long", ["kept"]).filter("kept").collect()["doc_id"].to_list()
    assert sorted(ids_of("kept")) == sorted(kept)
    assert made["documents"] == len(kept)
    assert made["digest"] == json.loads(Path("kept.meta/index.json").read_bytes())["content_digest"]
    assert "uid" in pl.read_parquet(shards_in("kept")[0]).columns


def test_a_selection_takes_its_weights_along(here, capsys):
    told(capsys, here, "up", "--to", "up")
    weights = w.open(here).frame("up", ["kept", "weight"]).filter("kept").collect()
    mine = pl.read_parquet(shards_in("up")).select("doc_id", "weight")
    assert mine.sort("doc_id").equals(weights.select("doc_id", "weight").sort("doc_id"))
    assert mine["weight"].n_unique() > 1


def test_a_reader_is_exported_whole(here, capsys):
    one = told(capsys, here, "docs", "--to", "one", "--format", "arrow")
    assert one["documents"] == 180
    assert one["files"] == ["shard-00000-of-00001.arrow"]


def test_a_folder_that_holds_something_is_refused_and_an_empty_one_is_taken(here, capsys):
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    said = winnow(capsys, "export", here, "corpus", "--to", "full")
    assert said.code == 2
    assert "full is not empty" in said.err
    assert [p.name for p in Path("full").iterdir()] == ["notes.txt"]
    Path("empty").mkdir()
    told(capsys, here, "corpus", "--to", "empty")
    assert Path("empty.meta/index.json").is_file()


def test_an_export_that_breaks_leaves_nothing(here, capsys, monkeypatch):
    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_shard", broken)
    said = winnow(capsys, "export", here, "long", "--to", "kept")
    assert said.code == 2
    assert "No space left on device" in said.err
    assert list(Path.cwd().iterdir()) == []


def test_a_shard_that_was_changed_is_not_handed_on(ran, tmp_path, capsys):
    out = tmp_path / "out"
    w.run_recipe(str(ran / "web.yaml"), out=str(out), workers=0)
    shard = next(p for p in out.glob("write-*/shards/*.parquet") if p.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    said = winnow(capsys, "export", out, "corpus", "--to", tmp_path / "mine")
    assert said.code == 4
    assert "was changed" in said.err
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sig"], "stage 'sig' keeps and drops nothing"),
        (["lonng"], "has no stage 'lonng'"),
        (["long", "--format", "csv"], "cannot write 'csv'"),
        (["long", "--format", "as-is"], "as-is is for stages that wrote files"),
    ],
)
def test_what_cannot_be_exported_is_said(here, capsys, words, message):
    said = winnow(capsys, "export", here, *words, "--to", "mine")
    assert said.code == 2
    assert message in said.err
    assert list(Path.cwd().iterdir()) == []


def test_token_files_are_exported_with_their_index_and_tokenizer(ran, tmp_path, capsys):
    pytest.importorskip("tokenizers")
    text = RECIPE.replace("  corpus:", "  ids: {use: write_tokens, selection: long, vocab: 300}\n  corpus:")
    recipe = write_recipe(ran, text, "tokens.yaml")
    done = w.run_recipe(str(recipe), out=str(tmp_path / "out"), workers=0)
    assert done
    made = told(capsys, tmp_path / "out", "ids", "--to", tmp_path / "mine")
    index = json.loads((tmp_path / "mine.meta" / "index.json").read_bytes())
    assert made["files"] == ["part-00000.bin", "part-00000.idx"]
    assert sorted(p.name for p in Path(made["meta"]).iterdir()) == [
        "index.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert (made["documents"], made["tokens"], made["format"]) == (index["documents"], index["tokens"], "megatron")
    refused = winnow(capsys, "export", tmp_path / "out", "ids", "--to", tmp_path / "b", "--format", "arrow")
    assert refused.code == 2
    assert "have a form of their own" in refused.err


def test_an_opened_run_has_its_shards_and_exports_as_the_command_line_does(here, capsys):
    run = w.open(f"{here}:web")
    assert run.name == w.open(here, name="web").name == "web"
    assert run.shards("corpus") == next(here.glob("write-*/shards"))
    by_hand = run.export("corpus", "by_hand", format="arrow")
    by_line = told(capsys, here, "corpus", "--to", "by_line", "--format", "arrow")
    different = {"to", "meta"}
    assert {k: v for k, v in by_hand.items() if k not in different} == {
        k: v for k, v in by_line.items() if k not in different
    }
    assert [p.read_bytes() for p in shards_in("by_hand")] == [p.read_bytes() for p in shards_in("by_line")]
    with pytest.raises(ConfigError, match="stage 'long' writes no files") as error:
        run.shards("long")
    assert "run.export('long', folder)" in error.value.hint
    with pytest.raises(ConfigError, match="did you mean 'corpus'"):
        run.shards("corpsu")
    with pytest.raises(ConfigError, match="did you mean 'corpus'"):
        run.export("corpsu", "nowhere")
    with pytest.raises(ConfigError, match="by_hand is not empty"):
        run.export("corpus", "by_hand")


def test_without_a_word_the_latest_run_is_opened_as_on_the_command_line(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no run below"):
        w.open()
    w.run_recipe(str(ran / "web.yaml"), out="runs/one", workers=0)
    assert w.open().root == tmp_path / "runs" / "one"


def test_what_lies_beside_an_export_is_never_written_over(here, capsys):
    Path("mine.meta").mkdir()
    Path("mine.meta/notes.txt").write_text("mine")
    said = winnow(capsys, "export", here, "corpus", "--to", "mine")
    assert said.code == 2
    assert "mine.meta exists, and is where the index of mine would lie" in said.err
    assert sorted(p.name for p in Path.cwd().iterdir()) == ["mine.meta"]
