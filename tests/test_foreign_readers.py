"""Every folder that winnow hands over, opened as a folder by the tools that people have: all rows, once, equal values.

The matrix is made of the registries of writers and formats: a format without a foreign reader here fails the test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pyarrow.dataset
import pytest

import winnow as w
from winnow.cli import main
from winnow.core.store.formats import format_named, format_names
from winnow.trainers.data import ShardDataset
from winnow.trainers.data.token_formats import Form

datasets = pytest.importorskip("datasets")
duckdb = pytest.importorskip("duckdb")
pd = pytest.importorskip("pandas")

ROWS = 60
CARRIED = ["uid", "n", "w"]
Rows = list[dict[str, Any]]


def by_datasets(folder: Path) -> Rows:
    return datasets.load_dataset(str(folder), cache_dir=str(cache_of(folder)))["train"].to_list()


def by_pyarrow(kind: str) -> Callable[[Path], Rows]:
    return lambda folder: pyarrow.dataset.dataset(folder, format=kind).to_table().to_pylist()


def by_pandas(read: Callable[[Path], Any]) -> Callable[[Path], Rows]:
    """Pandas reads folders of Parquet alone: of other formats every file that lies in the folder."""
    return lambda folder: pd.concat([read(path) for path in sorted(folder.iterdir())]).to_dict("records")


def by_polars(scan: Callable[[Any], pl.LazyFrame]) -> Callable[[Path], Rows]:
    return lambda folder: scan(folder).collect().to_dicts()


def by_duckdb(function: str, files: str) -> Callable[[Path], Rows]:
    return lambda folder: duckdb.sql(f"select * from {function}('{folder}/{files}')").to_arrow_table().to_pylist()


def lines_of(path: Path) -> Any:
    return pd.read_json(path, lines=True, precise_float=True)


LINES: dict[str, Callable[[Path], Rows]] = {
    "datasets": by_datasets,
    "pandas": by_pandas(lines_of),
    "polars": by_polars(pl.scan_ndjson),
    "duckdb": by_duckdb("read_json", "*"),
    "duckdb below": by_duckdb("read_json", "**/*.jsonl*"),
}
READERS: dict[str, dict[str, Callable[[Path], Rows]]] = {
    "parquet": {
        "datasets": by_datasets,
        "pyarrow": by_pyarrow("parquet"),
        "pandas": lambda folder: pd.read_parquet(folder).to_dict("records"),
        "polars": by_polars(pl.scan_parquet),
        "duckdb": by_duckdb("read_parquet", "*"),
        "duckdb below": by_duckdb("read_parquet", "**/*.parquet"),
    },
    "arrow": {
        "datasets": by_datasets,
        "pyarrow": by_pyarrow("ipc"),
        "pandas": by_pandas(pd.read_feather),
        "polars": by_polars(pl.scan_ipc),
    },
    "jsonl": LINES | {"pyarrow": by_pyarrow("json")},
    "jsonl.zst": LINES,
}
BELOW = {  # globs from the folder of a stage down, and who reads them
    "polars": lambda pattern: {
        ".parquet": pl.scan_parquet, ".arrow": pl.scan_ipc, ".jsonl": pl.scan_ndjson, ".zst": pl.scan_ndjson,
    }[Path(pattern.rstrip("*")).suffix](pattern).collect().height,
    "pathlib": lambda pattern: len(list(Path("/").glob(pattern[1:]))),
}  # fmt: skip
WRITERS = [*(f"write_{n}" for n in range(len(format_names()))), "source"]


def cache_of(folder: Path) -> Path:
    """A folder of its own outside of what is read."""
    return Path(str(folder).replace("/made/", "/hf/").replace("/exports/", "/hf/"))


def document(number: int) -> dict[str, Any]:
    text = f"Document {number}, “naïve” \\ and \t more\nsecond line " + "word " * (number % 7)
    return {"text": text, "uid": f"u{number}", "n": number * 10**9, "w": number / 7}


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """A run that writes the same selection in every format and every form of tokens."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "raw").mkdir()
    for part in range(2):
        lines = "".join(json.dumps(document(n)) + "\n" for n in range(part, ROWS, 2))
        (folder / "raw" / f"{part}.jsonl").write_text(lines)
    stages = {"docs": {"use": "jsonl", "files": "raw/*.jsonl",
                       "columns": {"uid": "string", "n": "int64", "w": "float64"}}}  # fmt: skip
    stages["some"] = {"use": "filter", "inputs": "docs", "keep": {"some": "n >= 5000000000"}}
    write = {"use": "write", "inputs": ["docs", "some"], "carry": CARRIED}
    for number, name in enumerate(format_names()):
        stages[f"write_{number}"] = write | {"format": name, "shard_bytes": "1kB"}
    stages["source"] = write | {"order": "source"}
    for form in get_args(Form):
        stages[form] = {"use": "write_tokens", "selection": "some", "form": form, "vocab": 300}
    (folder / "web.yaml").write_text(json.dumps({"name": "web", "seed": 7, "stages": stages}))
    w.run_recipe(str(folder / "web.yaml"), out=str(folder / "made"), workers=0)
    return folder


def stage_of(ran: Path, name: str) -> Path:
    return ran / "made" / json.loads((ran / "made" / "runs" / "web.json").read_bytes())["stages"][name]["dir"]


def as_was_read(rows: Rows) -> list[tuple[Any, ...]]:
    """Text and carried values in one order; ids as hex, whatever face they have."""
    assert all(len(row["doc_id"]) in (16, 32) for row in rows)
    return sorted((row["text"], row["uid"], int(row["n"]), float(row["w"])) for row in rows)


EXPECTED = sorted((d["text"], d["uid"], d["n"], d["w"]) for d in map(document, range(5, ROWS)))


def cases() -> list[Any]:
    """Every format that is written, read by every tool that reads such files."""
    return [pytest.param(name, tool, id=f"{name}-{tool}") for name in format_names() for tool in READERS.get(name, {})]


def test_every_format_has_foreign_readers_in_this_matrix():
    assert sorted(READERS) == sorted(format_names())
    assert min(len(tools) for tools in READERS.values()) >= 4


@pytest.mark.parametrize(("name", "tool"), cases())
def test_shards_are_read_by_others_from_their_folder(ran, name, tool):
    folder = stage_of(ran, f"write_{format_names().index(name)}") / "shards"
    assert len(list(folder.iterdir())) > 2, "several shards, so that a reader of the first one alone is found out"
    assert as_was_read(READERS[name][tool](folder)) == EXPECTED


@pytest.mark.parametrize("tool", READERS[format_names()[0]])
def test_shards_in_the_order_of_their_source_are_read_by_others(ran, tool):
    assert as_was_read(READERS[format_names()[0]][tool](stage_of(ran, "source") / "shards")) == EXPECTED


@pytest.fixture(scope="module")
def exported(ran) -> Path:
    """Exports of shards as they are, of shards in every other format, and of a decision in every format."""
    for name in format_names():
        for stage in ("write_0", "some"):
            words = ["export", ran / "made", stage, "--to", ran / "exports" / f"{stage}-{name}", "--format", name]
            assert main([str(word) for word in words]) == 0
    return ran / "exports"


@pytest.mark.parametrize("stage", ["write_0", "some"])
@pytest.mark.parametrize(("name", "tool"), cases())
def test_exports_are_read_by_others_from_their_folder(exported, name, tool, stage):
    assert as_was_read(READERS[name][tool](exported / f"{stage}-{name}")) == EXPECTED


@pytest.mark.parametrize("name", format_names())
@pytest.mark.parametrize("tool", BELOW)
def test_a_glob_below_a_stage_finds_every_row_and_every_shard_once(ran, name, tool):
    number = format_names().index(name)
    folder = stage_of(ran, f"write_{number}")
    pattern = f"{folder}/**/*{format_named(name).suffix}"
    found = BELOW[tool](pattern)
    assert found == (len(EXPECTED) if tool == "polars" else len(list((folder / "shards").iterdir())))
    if name == "jsonl.zst":  # as people write it
        assert BELOW["pathlib"](f"{folder}/**/*.jsonl*") == len(list((folder / "shards").iterdir()))


def test_no_file_of_a_stage_but_its_shards_has_the_suffix_of_data(ran):
    suffixes = tuple(format_named(name).suffix for name in format_names())
    for stage in json.loads((ran / "made" / "runs" / "web.json").read_bytes())["stages"].values():
        folder = ran / "made" / stage["dir"]
        named = {p.relative_to(folder).parts[0] for p in folder.rglob("*") if p.name.endswith(suffixes)}
        assert named <= {"shards", "files"}, stage["dir"]


def test_folders_of_data_hold_nothing_else_and_their_index_lies_beside_them(ran, exported):
    shards = [stage_of(ran, name) / "shards" for name in WRITERS]
    for folder in [*shards, *(p for p in exported.iterdir() if not p.name.endswith(".meta"))]:
        index = json.loads((folder.with_name(f"{folder.name}.meta") / "index.json").read_bytes())
        assert sorted(p.name for p in folder.iterdir()) == [shard["file"] for shard in index["shards"]]


@pytest.mark.parametrize("tool", READERS["parquet"])
def test_tokens_as_parquet_are_read_by_others_from_their_folder(ran, tool):
    folder = stage_of(ran, "parquet.files") / "files"
    rows = READERS["parquet"][tool](folder)
    known = pl.read_parquet(list(folder.glob("*.parquet")))
    assert len(rows) == len(EXPECTED)
    assert {row["doc_id"]: [int(i) for i in row["input_ids"]] for row in rows} == dict(
        zip(known["doc_id"], known["input_ids"].to_list(), strict=True)
    )


@pytest.mark.parametrize("number", range(len(format_names())))
def test_winnow_itself_reads_what_it_wrote_and_checks_it_by_the_index(ran, number, tmp_path):
    folder = stage_of(ran, f"write_{number}") / "shards"
    data = ShardDataset(folder, tokenizer="bytes", gives="documents", cache=tmp_path)
    texts = [bytes(item["ids"][:-1].numpy().astype(np.uint8)).decode() for item in data]
    assert sorted(texts) == [row[0] for row in EXPECTED]


def test_shards_of_earlier_versions_are_read_and_made_clean_by_the_next_run(ran, tmp_path):
    """Their index lay among the shards, and the files of their units in `data/`."""
    import shutil

    from winnow.trainers.data.shards import find_shards

    root = tmp_path / "made"
    shutil.copytree(ran / "made", root)
    shards = root / stage_of(ran, "write_0").name / "shards"
    shutil.move(f"{shards}.meta/index.json", shards / "index.json")
    shutil.rmtree(f"{shards}.meta")
    found = find_shards(shards)
    assert len(found) > 2
    assert all(shard.expected for shard in found)
    report = w.run_recipe(str(ran / "web.yaml"), out=str(root), workers=0)
    assert report is not None
    assert (shards.with_name("shards.meta") / "index.json").is_file()
    assert not (shards / "index.json").exists()
