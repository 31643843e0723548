"""Shard formats: whatever is written is read back, by every way of reading; a new format is one class."""

from __future__ import annotations

import io
import pickle
import random
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_runs import make_input, winnow, write_recipe

import winnow as w
from winnow.core.errors import ConfigError, StoreError
from winnow.core.store import formats
from winnow.core.store.shard_format import ShardFormat
from winnow.trainers.data.shards import find_shards

ODD = {
    "plain": "a text",
    "empty": "",
    "null": None,
    "nul": "a\0b\0",
    "emoji": "🦊 é 𝄞",
    "lines": "one\n\r\ntwo\u2028three",
    "long": "x y" * 350_000,
    "quotes": '"\\ {"text": 1}',
}
NAMED = [formats.format_named(name) for name in formats.format_names()]
WRITERS = [*NAMED, formats.MAPPED, formats.PACKED]


def table_of(texts: list[str | None]) -> pa.Table:
    rows = np.arange(len(texts), dtype=np.int64)
    return pa.table(
        {
            "doc_id": pa.array([bytes([i % 256]) * 16 for i in rows.tolist()], pa.binary(16)),
            "text": pa.array(texts, pa.large_string()),
            "origin": pa.array([f"a#{i}" for i in rows.tolist()], pa.large_string()),
            "weight": pa.array([i / 4 for i in rows.tolist()], pa.float64()),
        }
    )


def written(form, table: pa.Table) -> bytes:
    sink = io.BytesIO()
    form.write(sink, table)
    return sink.getvalue()


def source_of(data: bytes) -> pa.BufferReader:
    return pa.BufferReader(data)


@pytest.mark.parametrize("odd", list(ODD))
@pytest.mark.parametrize("form", WRITERS, ids=lambda f: type(f).__name__)
def test_every_way_of_reading_gives_what_was_written(form, odd):
    texts = [ODD[odd], "first", "between", ODD[odd]]
    table = table_of(texts)
    data = written(form, table)
    assert written(form, table) == data
    reader = formats.format_of(f"x{form.suffix}")
    columns = reader.exact(["text", "origin", *(["weight"] if "weight" in reader.exact(["weight"]) else [])])
    back = reader.read(source_of(data), columns)
    for name in columns:
        assert back.column(name).to_pylist() == table.column(name).to_pylist(), name
    assert set(reader.columns(source_of(data))) >= set(columns)
    frames = list(reader.frames(source_of(data), ["doc_id", "text", "weight"]))
    assert pl.concat(frames)["text"].to_list() == texts
    assert pl.concat(frames)["weight"].to_list() == table.column("weight").to_pylist()
    for row, text in enumerate(texts):
        assert reader.cells(source_of(data), columns, row) == {c: table.column(c)[row].as_py() for c in columns}
        shown = list(reader.texts_at(source_of(data), [row], 7))
        assert shown == [(row, (text or "")[:7], f"a#{row}")]
    assert [r for r, _, _ in reader.texts_at(source_of(data), [1, 3], 9)] == [1, 3]


@pytest.mark.parametrize("form", WRITERS, ids=lambda f: type(f).__name__)
def test_a_row_that_is_not_there_is_an_error_and_no_row_is_none(form):
    reader = formats.format_of(f"x{form.suffix}")
    one, none = written(form, table_of(["a"])), written(form, table_of([]))
    for act in (
        lambda: reader.cells(source_of(one), ["text"], 1),
        lambda: list(reader.texts_at(source_of(one), [0, 1], 5)),
        lambda: reader.cells(source_of(none), ["text"], 0),
    ):
        with pytest.raises(StoreError, match="fewer rows"):
            act()
    assert reader.read(source_of(none), ["text", "origin"]).num_rows == 0
    assert sum(f.height for f in reader.frames(source_of(none), ["text", "weight"])) == 0


@pytest.mark.parametrize("form", WRITERS, ids=lambda f: type(f).__name__)
def test_rows_of_many_batches_are_found(form):
    texts = [f"{i} " + "word " * 90 for i in range(40_000)]  # several record batches, several row groups
    data = written(form, table_of(texts))
    reader = formats.format_of(f"x{form.suffix}")
    rows = [0, 1, 9_000, 16_383, 16_384, 39_999]
    assert list(reader.texts_at(source_of(data), rows, 12)) == [(r, texts[r][:12], f"a#{r}") for r in rows]
    assert [reader.cells(source_of(data), ["text"], r)["text"] for r in rows] == [texts[r] for r in rows]


@pytest.mark.parametrize("form", WRITERS, ids=lambda f: type(f).__name__)
def test_how_a_table_is_cut_in_memory_is_no_part_of_the_bytes(form):
    texts = [f"{i} " + "word " * (i % 90) for i in range(20_000)]
    whole = table_of(texts)
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 16_000), whole.slice(16_007)])
    assert pieces.column("text").num_chunks == 3
    assert written(form, pieces) == written(form, whole)


def test_most_of_a_parquet_shard_stays_as_it_is_when_a_row_is_added():
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(3000)]
    texts = [" ".join(draw.choices(words, k=draw.randint(100, 400))) for _ in range(6000)]
    form = formats.format_named("parquet")
    before, after = written(form, table_of(texts)), written(form, table_of([*texts[:5], "a new one", *texts[5:]]))
    seen = [after[at : at + 48] in before for at in range(0, len(after) - 48, len(after) // 300)]
    assert sum(seen) > 0.8 * len(seen), "8 % of the bytes without content-defined chunking"
    statistics = pq.ParquetFile(io.BytesIO(after)).metadata.row_group(0).column(0).statistics
    assert statistics is not None


def test_the_longest_suffix_names_the_format_and_others_are_refused():
    assert formats.format_of("a/b.text.arrow") is formats.PACKED
    assert formats.format_of("a/b.arrow") is formats.MAPPED
    assert formats.format_of("b.jsonl.zst").name == "jsonl.zst"
    assert formats.shard_suffixes() == (".parquet", ".arrow", ".jsonl.zst", ".jsonl")
    named = type("Named", (formats.MappedArrow,), {"suffix": ".a.arrow"})()
    formats.register(named)
    try:
        assert formats.format_of("x.a.arrow") is named
        assert formats.format_of("a.arrow") is formats.MAPPED
    finally:
        formats.BY_SUFFIX.pop(".a.arrow")
    with pytest.raises(ConfigError, match=r"b\.csv is no shard"):
        formats.format_of("a/b.csv")
    with pytest.raises(ConfigError, match="is not one of"):
        formats.format_named("csv")


def test_what_a_person_reads_lists_every_format(capsys):
    for words in (["list", "write"], ["export", "--help"]):
        shown = winnow(capsys, *words).out
        assert [name for name in formats.format_names() if name not in shown] == [], words


class Pickled(ShardFormat):
    """A format that winnow does not know: `write` and `read`, and nothing else."""

    name = "pickled"
    suffix = ".pickled"

    def write(self, sink, table):
        sink.write(pickle.dumps({n: table.column(n).to_pylist() for n in table.column_names}, protocol=5))

    def read(self, source, columns):
        held = pickle.loads(source.read())
        kinds = {"doc_id": pa.binary(16), "text_bytes": pa.int32(), "text_hash": pa.binary(16)}
        return pa.table({n: pa.array(held[n], kinds.get(n, pa.large_string())) for n in (columns or held)})


@pytest.fixture
def pickled():
    form = Pickled()
    formats.register(form)
    yield form
    formats.NAMED.pop(form.name)
    formats.BY_SUFFIX.pop(form.suffix)


RECIPE = """
name: web
seed: 7
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl", id: "field:uid", columns: {uid: string}}
  sig:    {use: signals, inputs: docs}
  long:   {use: filter, inputs: sig, keep: {long: word_count >= 100}}
  corpus: {use: write, inputs: [docs, long], format: pickled, shard_bytes: 20kB}
  words:  {use: signals, inputs: corpus}
  long2:  {use: filter, inputs: words, keep: {some: word_count < 10000000}}
"""


def test_a_new_format_is_known_to_every_verb(pickled, tmp_path, monkeypatch, capsys):
    make_input(tmp_path)
    w.run_recipe(str(write_recipe(tmp_path, RECIPE)), out=str(tmp_path / "out"), workers=0)
    monkeypatch.chdir(tmp_path)

    def told(*words):
        said = winnow(capsys, *words, "--json")
        assert said.code == 0, said.err
        return said.json()

    shards = sorted(next(Path("out").glob("write-*/shards")).glob("shard-*.pickled"))
    assert len(shards) > 1
    rows = pa.concat_tables(pickled.read(pa.OSFile(str(s)), ["doc_id", "text"]) for s in shards)
    ids = [i.hex() for i in rows.column("doc_id").to_pylist()]
    for words in (["out", "corpus", "--to", "linked"], ["out", "long2", "--to", "made", "--format", "pickled"]):
        made = told("export", *words)
        assert made["format"] == "pickled"
        assert list(Path(words[-1] if words[-1] != "pickled" else "made").glob("shard-*.pickled"))
    shown = told("sample", "out", "--stage", "long2", "-n", "3")
    texts = dict(zip(ids, rows.column("text").to_pylist(), strict=True))
    assert shown["documents"]
    for document in shown["documents"]:
        assert texts[document["doc_id"]].startswith(document["text"][:20])
    life = told("why", "out", ids[0])
    assert life["doc_id"] == ids[0]
    held = {
        doc: text
        for shard in find_shards("linked")
        for frame in shard.read(["text"])
        for doc, text in zip(frame["doc_id"].to_list(), frame["text"].to_list(), strict=True)
    }
    assert {doc.hex(): text for doc, text in held.items()} == texts
