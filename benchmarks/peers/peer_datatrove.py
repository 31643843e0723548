"""datatrove: its four-stage MinHash up to the list of removals, and its Gopher and FineWeb filters.

`splitter` is `default` (spaCy, what a user gets) or `white_space` (the patch of people in a hurry): both are measured,
always, because the splitter decides both the seconds and the verdicts.
"""

from __future__ import annotations

import argparse
import struct
from functools import partial
from pathlib import Path
from typing import Any

import common


def white_space() -> Any:
    from datatrove.utils.word_tokenizers import WordTokenizer

    class WhiteSpace(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return text.splitlines()

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            raise NotImplementedError

    return WhiteSpace()


def dedup(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader

    work, source = Path(given.work), Path(given.input)
    config = MinhashConfig(num_buckets=settings.get("bands", 14), hashes_per_bucket=settings.get("rows", 8))
    language = {} if settings["splitter"] == "default" else {"language": white_space()}
    signatures, buckets, clusters = (str(work / name) for name in ("signatures", "buckets", "clusters"))
    reader = JsonlReader(str(source.parent), glob_pattern=source.name, doc_progress=False)
    stages: list[tuple[str, list[Any], int]] = [
        ("sketch", [reader, MinhashDedupSignature(output_folder=signatures, config=config, **language)], 1),
        ("match", [MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ("cluster", [MinhashDedupCluster(buckets, clusters, config=config)], 1),
    ]
    for name, pipeline, tasks in stages:
        with report.phase(name):
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(work / "logs" / name)).run()
    report["banding"] = [config.num_buckets, config.hashes_per_bucket]
    report["removed_rows"] = [n for f in sorted((work / "clusters").glob("*.remove")) for n in numbers(f, 1)]
    flat = [n for f in sorted((work / "buckets").glob("*.dups")) for n in numbers(f, 4)]
    report["pair_rows"] = sorted(set(zip(flat[1::4], flat[3::4], strict=True)))
    report["pairs_complete"] = False  # neighbours in sorted bands, not all pairs


def numbers(path: Path, width: int) -> list[int]:
    raw = path.read_bytes()
    return list(struct.unpack(f"<{len(raw) // 4}I", raw)) if len(raw) % (4 * width) == 0 else []


def filters(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    from datatrove.data import Document
    from datatrove.pipeline import filters as theirs

    if settings["splitter"] == "white_space":
        for name in ("gopher_quality_filter", "gopher_repetition_filter", "fineweb_quality_filter"):
            getattr(theirs, name).split_into_words = lambda text, _language="": text.split()
    with report.phase("read"):
        _, texts = common.documents(given.input)
    judges = {
        "gopher_quality": (theirs.GopherQualityFilter(), "8 rules, stops at the first that fails"),
        "gopher_repetition": (theirs.GopherRepetitionFilter(), "13 shares, stops at the first that fails"),
        "fineweb": (theirs.FineWebQualityFilter(), "5 rules, stops at the first that fails"),
    }

    def passes(judge: Any, text: str) -> bool:
        return judge.filter(Document(text=text, id="")) is True

    def all_three(text: str) -> bool:  # one after the other, so that their cache splits each text once
        answers = [passes(judge, text) for judge, _ in judges.values()]
        return all(answers)

    common.verdicts(report, "all", all_three, texts, "26 rules in three filters, each to its first failing rule")
    for name, (judge, statistics) in judges.items() if settings.get("parts") else ():
        common.verdicts(report, name, partial(passes, judge), texts, statistics)


if __name__ == "__main__":
    common.main(["datatrove", "spacy", "numpy", "nltk", "xxhash"], {"dedup": dedup, "filters": filters})
