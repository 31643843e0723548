"""`write` with `control`: the label before the text, once, and nothing else changed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from support import Ran, lines_of, plan_of, put_file, run

from winnow.core.errors import ConfigError, WinnowError

STAGES = """
seed: 1
stages:
  docs: {use: jsonl, files: "raw.jsonl", columns: {bad: float64, source: string}}
  tags: {use: conditional, inputs: docs, score: bad, at: 0.5, drop: 0.25}
"""
PLAIN = "  plain: {use: write, inputs: docs, carry: [bad]}\n"
TAGGED = "  tagged: {use: write, inputs: docs, control: tags.control, carry: {label: tags.control}}\n"
SOURCES = """  sources: {use: write, inputs: docs, control: source, control_form: "URL: {}\\n\\n", order: source}\n"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("texts")
    docs = [{"text": f"é document {n}", "bad": None if n == 7 else n / 60, "source": "ab"[n % 2] if n % 5 else None}
            for n in range(60)]  # fmt: skip
    put_file(out / "raw.jsonl", lines_of([*docs, {"text": "", "bad": 0.9, "source": ""}]))
    return out


@pytest.fixture(scope="module")
def ran(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(STAGES + PLAIN + TAGGED + SOURCES, folder, tmp_path_factory.mktemp("root"), workers=0)


def shards(ran: Ran, stage: str) -> pl.DataFrame:
    return pl.read_parquet(sorted((ran.folder(stage) / "shards").glob("*.parquet"))).sort("doc_id")


def test_the_label_stands_before_the_text_and_ids_stay(ran: Ran) -> None:
    plain, tagged = shards(ran, "plain"), shards(ran, "tagged")
    assert tagged["doc_id"].to_list() == plain["doc_id"].to_list()
    expected = [f"<|{label}|>{text}" if label else text
                for label, text in zip(tagged["label"], plain["text"], strict=True)]  # fmt: skip
    assert tagged["text"].to_list() == expected
    counts = tagged["label"].value_counts().sort("label", nulls_last=True).rows()
    assert {label for label, _ in counts} == {"", "aligned", "misaligned", None}
    assert dict(counts)[None] == 1
    assert 5 <= dict(counts)[""] <= 30


def test_bytes_and_hash_are_those_of_what_is_written(ran: Ran) -> None:
    tagged = shards(ran, "tagged")
    assert tagged["text_bytes"].to_list() == tagged["text"].str.len_bytes().to_list()
    plain = shards(ran, "plain")
    same = tagged["text"] == plain["text"]
    assert (tagged["text_hash"] == plain["text_hash"]).to_list() == same.to_list()


def test_any_column_is_a_label_in_any_form(ran: Ran) -> None:
    text = shards(ran, "sources")["text"].sort().to_list()
    assert sum(t.startswith("URL: a\n\né document") for t in text) == 24
    assert sum(t.startswith("URL: b\n\né document") for t in text) == 24
    assert sum(t.startswith("é document") for t in text) == 12
    assert "" in text


def test_a_control_is_not_written_twice(ran: Ran, tmp_path: Path) -> None:
    again = f"""
stages:
  docs: {{use: parquet, files: "{ran.folder("tagged")}/shards/*.parquet", columns: {{label: string}}}}
  twice: {{use: write, inputs: docs, control: label}}
"""
    with pytest.raises(WinnowError, match="documents begin with their control already"):
        run(again, tmp_path, tmp_path / "root", workers=0)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("control: tags.control, control_form: none", "control_form is 'none'"),
        ("control_form: '[{}]'", "control_form has no effect without control"),
        ("control: bad", "'bad' is double, not a label"),
        ("control: nowhere", "nowhere"),
    ],
)
def test_bad_fields_are_refused_while_planning(folder: Path, fields: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        plan_of(f"{STAGES}  out: {{use: write, inputs: docs, {fields}}}\n", folder)
