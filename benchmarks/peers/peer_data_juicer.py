"""data-juicer: its MinHash operator on its own dataset class, and the operators nearest to Gopher's rules."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import common


def dedup(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    os.environ["HF_HOME"] = str(Path(given.work) / "home")
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
    from datasets import load_dataset

    with report.phase("read"):
        source = load_dataset("json", data_files=given.input, split="train", cache_dir=str(Path(given.work) / "cache"))
    with report.phase("dedup"):
        operator = DocumentMinhashDeduplicator(num_proc=1, **settings)
        report["banding"] = [operator.num_bands, operator.num_rows_per_band]
        kept = set(NestedDataset(source).process([operator])["name"])
    report["removed"] = [name for name in source["name"] if name not in kept]


def filters(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    from data_juicer.ops import filter as ops
    from data_juicer.utils.constant import Fields

    with report.phase("read"):
        _, texts = common.documents(given.input)
    basic = [ops.AlphanumericFilter(), ops.AverageLineLengthFilter(), ops.MaximumLineLengthFilter(),
             ops.SpecialCharactersFilter(), ops.WordsNumFilter(lang="en")]  # fmt: skip
    repeated = [ops.CharacterRepetitionFilter(), ops.WordRepetitionFilter(lang="en")]

    def judge(operators: list[Any], text: str) -> bool:
        kept = True
        for operator in operators:
            batch = {"text": [text], Fields.stats: [{}]}
            batch = operator.compute_stats_batched(batch)
            kept = all(list(operator.process_batched(batch))) and kept
        return kept

    both = "character 10-gram and word 10-gram repetition"
    common.verdicts(report, "all", lambda t: judge(basic + repeated, t), texts, f"5 simple ratios and counts; {both}")
    common.verdicts(report, "basic", lambda t: judge(basic, t), texts, "5 simple ratios and counts")
    common.verdicts(report, "repetition", lambda t: judge(repeated, t), texts, both)


if __name__ == "__main__":
    common.main(["py-data-juicer", "datasets", "numpy"], {"dedup": dedup, "filters": filters})
