"""Speed of the readers `csv` and `json_array` beside libraries that read the same files, as JSON on stdout.

    python benchmarks/bench_csv.py TEXTS [--megabytes N] [--rounds N]

TEXTS is a folder with .txt files. Their paragraphs, joined to documents of up to 6,000 characters, are written again and again into one
file of each form, with an address and a number beside each: a CSV file in which every text is quoted, a JSON array, and
JSON Lines. Every way has text, address and number of all documents as Arrow columns in the end, or, where a library makes
none, as Python values; `winnow` also checks every record, and says where it lies. Seconds are CPU seconds of one thread, in
turns; ratios are to the first way, with the 95 % interval of their median. ijson takes part where it is installed.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
from pack_texts import pieces
from turns import in_turns

from winnow.core.operators import Derive, FileSlice
from winnow.core.operators.config import build
from winnow.pipeline.read.csv_ import Csv
from winnow.pipeline.read.json_array import JsonArray
from winnow.pipeline.read.jsonl import Jsonl

Found = tuple[int, int, int]  # documents, characters of their texts, sum of their numbers


def documents(folder: Path, megabytes: float) -> list[dict[str, Any]]:
    """Paragraphs of the files joined to documents, again and again."""
    texts = [piece for path in sorted(folder.rglob("*.txt")) for piece in pieces(path.read_text("utf-8", "replace"))]
    out: list[dict[str, Any]] = []
    size = 0
    while size < megabytes * 1e6:
        text = texts[len(out) % len(texts)]
        out.append({"text": text, "url": f"http://a.org/{len(out)}", "n": len(out)})
        size += len(text.encode())
    return out


def write(folder: Path, docs: list[dict[str, Any]]) -> dict[str, Path]:
    """The files of all forms."""
    paths = {form: folder / f"a.{form}" for form in ("csv", "json", "jsonl")}
    with paths["csv"].open("w", newline="") as sink:
        writer = csv.writer(sink, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerows([["text", "url", "n"], *([d["text"], d["url"], d["n"]] for d in docs)])
    paths["json"].write_bytes(orjson.dumps(docs))
    paths["jsonl"].write_bytes(b"".join(orjson.dumps(d) + b"\n" for d in docs))
    return paths


def of_rows(rows: Iterable[tuple[str, int]]) -> Found:
    count = size = total = 0
    for text, number in rows:
        count, size, total = count + 1, size + len(text), total + number
    return count, size, total


def of_table(table: pa.Table) -> Found:
    frame = pl.from_arrow(table.select(["text", "n"]))
    assert isinstance(frame, pl.DataFrame)
    return frame.height, int(frame["text"].str.len_chars().sum()), int(frame["n"].sum())


def by_winnow(reader: type[Derive], path: Path) -> pa.Table:
    made = build(reader, {"files": ["x"], "columns": {"url": "string", "n": "int64"}}, where="docs")
    piece = FileSlice(path=str(path), rel=path.name, digest="", size=path.stat().st_size)
    bad: list[Any] = []
    table = pa.concat_tables(list(made.read([piece], bad.append)))
    assert not bad
    return table


def by_pyarrow(path: Path) -> pa.Table:
    return pacsv.read_csv(path, pacsv.ReadOptions(use_threads=False), pacsv.ParseOptions(newlines_in_values=True))


def by_ijson(path: Path) -> list[Any]:
    ijson = importlib.import_module("ijson")
    with path.open("rb") as file:
        return list(ijson.items(file, "item"))


def by_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def ways(paths: dict[str, Path]) -> dict[str, dict[str, Callable[[], Any]]]:
    """Form -> way -> what it does; the first is winnow's."""
    values: dict[str, Callable[[], Any]] = {
        "winnow json_array": lambda: by_winnow(JsonArray, paths["json"]),
        "winnow jsonl, the same as lines": lambda: by_winnow(Jsonl, paths["jsonl"]),
        "orjson.loads, all in memory": lambda: orjson.loads(paths["json"].read_bytes()),
        "json.load, all in memory": lambda: json.loads(paths["json"].read_text()),
    }
    if importlib.util.find_spec("ijson"):
        values["ijson.items"] = lambda: by_ijson(paths["json"])
    return {
        "csv": {
            "winnow csv": lambda: by_winnow(Csv, paths["csv"]),
            "pyarrow.csv": lambda: by_pyarrow(paths["csv"]),
            "polars.read_csv": lambda: pl.read_csv(paths["csv"]).to_arrow(),
            "csv.reader": lambda: by_csv(paths["csv"]),
        },
        "json_array": values,
    }


def found(answer: Any) -> Found:
    """What a way read."""
    if isinstance(answer, pa.Table):
        return of_table(answer)
    return of_rows((r["text"], r["n"]) if isinstance(r, dict) else (r[0], int(r[2])) for r in answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        paths = write(Path(name), docs := documents(args.texts, args.megabytes))
        want = of_rows((d["text"], d["n"]) for d in docs)
        for form, each in ways(paths).items():
            for way, work in each.items():
                assert found(work()) == want, (form, way)
            size = paths["csv" if form == "csv" else "json"].stat().st_size
            told = in_turns(each, rounds=args.rounds)
            out[form] = {
                way: {"mb_per_cpu_s": round(size / 1e6 / turn.seconds), "beside": str(turn)}
                for way, turn in told.items()
            }
    libraries = {name: version(name) for name in ("pyarrow", "polars", "orjson")}
    print(json.dumps({"documents": want[0], "megabytes": args.megabytes, "load": os.getloadavg()[0],
                      "python": platform.python_version(), **libraries, **out}, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
