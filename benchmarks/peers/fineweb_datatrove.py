"""datatrove's examples/fineweb.py on local files: one WARC in, JSON Lines out, one worker.

    PYTHON fineweb_datatrove.py --warc FILE --work DIR --lid MODEL --splitter default | white_space

Steps, their order and their settings are the example's, `PIIFormatter` behind MinHash as FineWeb's card has it. Not the
example's: `TokensCounter` is left out, files stay here, English is asked for (the default of `LanguageFilter` then). `--lid` is the fastText file that stands for lid.176.bin.
The block lists are those that come with datatrove.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

BEHIND_A_MARK = re.compile(r"(?<=[.!?])\s+")


def at_white_space() -> Any:
    """Words at white space, sentences behind their marks: what people in a hurry put in the place of spaCy."""
    from datatrove.utils.word_tokenizers import WordTokenizer

    class AtWhiteSpace(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return BEHIND_A_MARK.split(text)

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            ends = [found.end() for found in BEHIND_A_MARK.finditer(text)]
            return list(zip([0, *ends], [*ends, len(text)], strict=True))

    return AtWhiteSpace()


def base(given: argparse.Namespace, language: dict[str, Any]) -> list[Any]:
    """From the archive to what the filters keep."""
    from datatrove.pipeline import filters
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.readers import WarcReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from datatrove.utils import lid

    lid.cached_asset_path_or_download = lambda *_, **__: given.lid
    out = given.work / "removed"
    return [
        WarcReader(str(given.warc.parent), glob_pattern=given.warc.name, doc_progress=False),
        filters.URLFilter(exclusion_writer=JsonlWriter(f"{out}/1_url")),
        Trafilatura(favour_precision=True, timeout=30),
        filters.LanguageFilter(languages="en", exclusion_writer=JsonlWriter(f"{out}/2_non_english")),
        filters.GopherRepetitionFilter(**language, exclusion_writer=JsonlWriter(f"{out}/3_gopher_rep")),
        filters.GopherQualityFilter(**language, exclusion_writer=JsonlWriter(f"{out}/4_gopher_qual")),
        filters.C4QualityFilter(
            filter_no_terminal_punct=False, **language, exclusion_writer=JsonlWriter(f"{out}/5_c4")
        ),
        filters.FineWebQualityFilter(**language, exclusion_writer=JsonlWriter(f"{out}/6_fineweb_qual")),
        JsonlWriter(str(given.work / "base")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--warc", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lid", required=True)
    parser.add_argument("--splitter", choices=["default", "white_space"], default="default")
    given = parser.parse_args()
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    at = given.work
    language = {"language": at_white_space()} if given.splitter == "white_space" else {}
    config = MinhashConfig(num_buckets=14, hashes_per_bucket=8, n_grams=5)
    signatures, buckets, removed = (str(at / name) for name in ("signatures", "buckets", "remove_ids"))
    stages: dict[str, tuple[list[Any], int]] = {
        "base": (base(given, language), 1),
        "sketch": ([JsonlReader(str(at / "base")), MinhashDedupSignature(signatures, config=config, **language)], 1),
        "match": ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        "cluster": ([MinhashDedupCluster(buckets, removed, config=config)], 1),
        "unique": (
            [
                JsonlReader(str(at / "base")),
                MinhashDedupFilter(removed),
                PIIFormatter(),
                JsonlWriter(str(at / "corpus")),
            ],
            1,
        ),
    }
    for name, (pipeline, tasks) in stages.items():
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(at / "logs" / name)).run()


if __name__ == "__main__":
    main()
