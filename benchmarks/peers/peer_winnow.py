"""winnow itself, through the same command that a person types: `winnow run` of a small recipe, in one process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import common

DEDUP = """
name: peers
stages:
  docs: {{use: jsonl, files: "{files}", columns: {{name: string}}}}
  unique: {{use: minhash, inputs: docs, threshold: {threshold}}}
"""
FILTERS = """
name: peers
stages:
  docs: {{use: jsonl, files: "{files}"}}
  sig: {{use: signals, inputs: docs}}
  quality: {{use: filter, inputs: sig, preset: gopher_quality}}
  repetition: {{use: filter, inputs: sig, preset: gopher_repetition}}
  fineweb: {{use: filter, inputs: sig, preset: fineweb}}
"""


def winnow_run(given: argparse.Namespace, recipe: str, **values: object) -> Path:
    from winnow.cli import main

    work = Path(given.work)
    (work / "recipe.yaml").write_text(recipe.format(files=given.input, **values))
    code = main(["run", str(work / "recipe.yaml"), "--out", str(work / "root"), "--engine", "local", "--workers", "0"])
    if code:
        sys.exit(code)
    return work / "root"


def dedup(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    winnow_run(given, DEDUP, threshold=settings["threshold"])
    report["whole_cpu_s"] = common.cpu_seconds()


def collect(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    import polars as pl

    import winnow

    opened = winnow.open(Path(given.work) / "root")
    names = opened.frame("docs", ["name"])
    unique = opened.frame("unique", ["kept"]).join(names, on="doc_id")
    report["removed"] = unique.filter(~pl.col("kept")).select("name").collect()["name"].to_list()
    stage = next(name for name in opened.record.stages if name.endswith("pairs"))
    lookup = dict(names.select("doc_id", "name").collect().iter_rows())
    pairs = opened.frame(stage, ["a", "b"]).collect()
    report["pairs"] = [(lookup[a], lookup[b]) for a, b in pairs.iter_rows()]
    report["pairs_complete"] = True


def filters(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    root = winnow_run(given, FILTERS)
    report["whole_cpu_s"] = common.cpu_seconds()
    kept = kept_by_all(root)
    import pyarrow as pa

    from winnow.core.operators import Context
    from winnow.pipeline.measure.signals import COLUMNS, Signals

    _, texts = common.documents(given.input)
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    columns = Signals().open(Context(seed=0, work=Path()))
    columns(batch.slice(0, 20))
    begun, passes = common.cpu_seconds(), 0
    while common.cpu_seconds() - begun < 1:
        columns(batch)
        passes += 1
    report["filters"] = {
        "all": {
            "cpu_s": (common.cpu_seconds() - begun) / passes,
            "kept": kept,
            "statistics": f"{len(COLUMNS)} columns of every document (whole process: columns, 27 verdicts, on disk)",
        }
    }


def kept_by_all(root: Path) -> int:
    import polars as pl

    import winnow

    opened = winnow.open(root)
    kept = [opened.frame(name, ["kept"]).collect()["kept"] for name in ("quality", "repetition", "fineweb")]
    return int(pl.select(pl.all_horizontal(*kept)).to_series().sum())


if __name__ == "__main__":
    packages = ["winnow-data", "numpy", "polars", "pyarrow", "numba"]
    common.main(packages, {"dedup": dedup, "collect": collect, "filters": filters})
