"""datatrove's FineWeb filters over texts: `python verdicts_datatrove.py SPLITTER < texts.jsonl > verdicts.jsonl`.

SPLITTER `whitespace`: words are `str.split()` and sentences those of `tests/signals_reference.py`, so that what differs is
the rules alone (run with the repository and its tests on PYTHONPATH). SPLITTER `spacy`: datatrove's own for English.
A line per text: filter -> the reason for which it is dropped, "" where it stays, alone and in FineWeb's order.
"""

from __future__ import annotations

import json
import sys
import time

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.typeshelper import Languages
from datatrove.utils.word_tokenizers import WordTokenizer


class AtWhiteSpace(WordTokenizer):
    """winnow's words and sentences, as one of datatrove's splitters."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        from signals_reference import sentences

        return ["."] * sentences(text)

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))] * len(self.sent_tokenize(text))


def main() -> None:
    language = AtWhiteSpace() if sys.argv[1] == "whitespace" else Languages.english
    rules = {
        "gopher_repetition": GopherRepetitionFilter(language=language),
        "gopher_quality": GopherQualityFilter(language=language),
        "c4": C4QualityFilter(filter_no_terminal_punct=False, language=language),
        "fineweb": FineWebQualityFilter(language=language),
    }
    spent = dict.fromkeys(rules, 0.0)
    for line in sys.stdin:
        text, row, seen = json.loads(line), {}, Document(text="", id="0")
        seen.text = text
        cascade = ""
        for name, rule in rules.items():
            started = time.process_time()
            alone = Document(text=text, id="0") if name != "fineweb" else seen
            try:
                found = rule.filter(alone)
            except (ZeroDivisionError, ValueError) as error:
                found = (False, f"error: {type(error).__name__}")
            spent[name] += time.process_time() - started
            row[name] = "" if found is True else found[1]
            if name == "c4" and found is True:
                seen = alone
            cascade = cascade or row[name]
        print(json.dumps(row | {"all": cascade}))
    print(json.dumps(spent), file=sys.stderr)


if __name__ == "__main__":
    main()
