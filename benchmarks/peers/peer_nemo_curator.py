"""NeMo Curator: its CPU heuristics after Gopher, `score_document` and `keep_document` one document after the other."""

from __future__ import annotations

import argparse
from typing import Any

import common


def filters(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    from nemo_curator.stages.text.filters.heuristic import repetition, string

    with report.phase("read"):
        _, texts = common.documents(given.input)
    quality = [string.WordCountFilter(), string.MeanWordLengthFilter(), string.SymbolsToWordsFilter(),
               string.BulletsFilter(), string.EllipsisFilter(), string.WordsWithoutAlphabetsFilter(),
               string.CommonEnglishWordsFilter(), string.NonAlphaNumericFilter()]  # fmt: skip
    repeated = [repetition.RepeatedLinesFilter(), repetition.RepeatedParagraphsFilter(),
                repetition.RepeatedLinesByCharFilter(), repetition.RepeatedParagraphsByCharFilter()]  # fmt: skip
    tops = ((2, 0.2), (3, 0.18), (4, 0.16))
    duplicates = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    repeated += [repetition.RepeatingTopNGramsFilter(n, share) for n, share in tops]
    repeated += [repetition.RepeatingDuplicateNGramsFilter(n, share) for n, share in duplicates]

    def judge(operators: list[Any], text: str) -> bool:
        answers = [operator.keep_document(operator.score_document(text)) for operator in operators]
        return all(answers)

    for name, operators in (("all", quality + repeated), ("quality", quality), ("repetition", repeated)):
        count = f"{len(operators)} filters, one statistic each"
        common.verdicts(report, name, lambda text, chosen=operators: judge(chosen, text), texts, count)


if __name__ == "__main__":
    common.main(["nemo-curator", "numpy", "pandas"], {"filters": filters})
