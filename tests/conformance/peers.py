"""Run one peer over the texts on standard input: `python peers.py PEER < texts.json > numbers.json`.

Runs in the peer's own environment, without winnow. Numbers carry the names of winnow's columns; `verdict` is what the
peer's filters decide (words split at white space), a reason per filter or "" where the text stays.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import re
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

LIMITS = {2: 0.2, 3: 0.18, 4: 0.16, 5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
STOP = {"the", "be", "to", "of", "and", "that", "have", "with"}


def gram_column(n: int) -> str:
    return f"{'top' if n < 5 else 'dup'}_{n}gram_char_share"


def without_init(*names: str) -> None:
    """Make packages importable without running their `__init__`, which would ask for CUDA, Ray or model files."""
    spec = importlib.util.find_spec(names[0])
    assert spec is not None
    assert spec.submodule_search_locations
    base = Path(next(iter(spec.submodule_search_locations)))
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = [str(base.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module


def datatrove(texts: list[str]) -> list[dict[str, Any]]:
    from datatrove.data import Document
    from datatrove.pipeline import filters as all_filters
    from datatrove.pipeline.filters import gopher_repetition_filter as repetition
    from datatrove.utils.word_tokenizers import WordTokenizer

    class AtWhiteSpace(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    words_of = AtWhiteSpace()
    rules = {
        "gopher_repetition": all_filters.GopherRepetitionFilter(language=words_of),
        "gopher_quality": all_filters.GopherQualityFilter(language=words_of),
        "fineweb": all_filters.FineWebQualityFilter(language=words_of),
        "c4_no_sentences": all_filters.C4QualityFilter(
            filter_no_terminal_punct=False, min_num_sentences=-1, language=words_of
        ),
    }

    def decide(name: str, text: str) -> str:
        try:
            found = rules[name].filter(Document(text=text, id="0"))
        except (ZeroDivisionError, ValueError) as error:
            return f"error: {type(error).__name__}"
        return "" if found is True else found[1]

    def numbers(text: str) -> dict[str, Any]:
        paragraphs, lines = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
        words, size = text.split(), max(len(text), 1)
        copies, chars = repetition.find_duplicates(lines)
        found: dict[str, Any] = {"dup_line_share": copies / len(lines), "dup_line_char_share": chars / size}
        copies, chars = repetition.find_duplicates(paragraphs)
        found |= {"dup_paragraph_share": copies / len(paragraphs), "dup_paragraph_char_share": chars / size}
        for n in range(2, 11):
            if n < 5:
                grams = repetition.get_n_grams(words, n)
                value = repetition.find_top_duplicate(grams) if grams else 0
            else:
                value = repetition.find_all_duplicate(words, n)
            found[gram_column(n)] = value / size
        return found | {"verdict": {name: decide(name, text) for name in rules}}

    return [numbers(text) for text in texts]


def nemo(texts: list[str]) -> list[dict[str, Any]]:
    root = "nemo_curator.stages.text"
    parts = ["filters", "filters.heuristic", "filters.heuristic.repetition", "utils"]
    without_init("nemo_curator", "nemo_curator.stages", root, *(f"{root}.{part}" for part in parts))
    string = importlib.import_module(f"{root}.filters.heuristic.string")
    repetition = importlib.import_module(f"{root}.filters.heuristic.repetition.repetition")
    straight = {
        "nemo_non_alphanumeric_share": string.NonAlphaNumericFilter(),
        "nemo_symbol_word_share": string.SymbolsToWordsFilter(),
        "digit_share": string.NumbersFilter(),
        "nemo_url_share": string.UrlsFilter(),
        "nemo_whitespace_share": string.WhiteSpaceFilter(),
        "nemo_bracket_share": string.ParenthesesFilter(),
        "nemo_boilerplate_share": string.BoilerPlateStringFilter(),
        "word_count": string.WordCountFilter(),
        "nemo_unmarked_line_share": string.PunctuationFilter(),
        "alpha_word_share": string.WordsWithoutAlphabetsFilter(),
        "stop_word_total": string.CommonEnglishWordsFilter(stop_at_false=False),
        "mean_raw_word_length": string.MeanWordLengthFilter(),
        "longest_word": string.LongWordFilter(),
        "nemo_ellipsis_line_share": string.EllipsisFilter(),
        "nemo_bullet_line_share": string.BulletsFilter(),
        **{gram_column(n): repetition.RepeatingTopNGramsFilter(n, LIMITS[n]) for n in (2, 3, 4)},
        **{gram_column(n): repetition.RepeatingDuplicateNGramsFilter(n, LIMITS[n]) for n in range(5, 11)},
    }
    unique = {
        "dup_line_share": repetition.RepeatedLinesFilter(),
        "dup_line_char_share": repetition.RepeatedLinesByCharFilter(),
        "dup_paragraph_share": repetition.RepeatedParagraphsFilter(),
        "dup_paragraph_char_share": repetition.RepeatedParagraphsByCharFilter(),
    }

    def numbers(text: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        verdict = {}
        for name, rule in (straight | unique).items():
            try:
                score = rule.score_document(text)
            except (ZeroDivisionError, ValueError) as error:
                verdict[name] = f"error: {type(error).__name__}"
                continue
            found[name] = 1 - score if name in unique else score
            verdict[name] = "" if rule.keep_document(score) else name
        return found | {"verdict": verdict}

    return [numbers(text) for text in texts]


def dolma(texts: list[str]) -> list[dict[str, Any]]:
    without_init("dolma", "dolma.core", "dolma.taggers")
    gopher = importlib.import_module("dolma.taggers.gopher")

    def numbers(text: str) -> dict[str, Any]:
        found = gopher.get_attributes(text)
        return {
            "dup_line_share": found.fraction_of_duplicate_lines,
            "dup_line_char_share": found.fraction_of_characters_in_duplicate_lines,
            **{gram_column(n): value for n, value in found.fraction_of_characters_in_most_common_ngram},
            **{gram_column(n): value for n, value in found.fraction_of_characters_in_duplicate_ngrams},
            "word_count": found.word_count,
            "dolma_median_word_length": found.median_word_length,
            "dolma_symbol_word_share": found.symbol_to_word_ratio,
            "alpha_word_share": found.fraction_of_words_with_alpha_character,
            "stop_word_total": found.required_word_count,
            "dolma_bullet_line_share": found.fraction_of_lines_starting_with_bullet_point,
            "dolma_ellipsis_line_share": found.fraction_of_lines_ending_with_ellipsis,
        }

    return [numbers(text) for text in texts]


def dclm(texts: list[str]) -> list[dict[str, Any]]:
    """DCLM is no package: its formulas (content_filters.py, 361714b) restated, over the splitter that it uses, uniseg."""
    from uniseg.wordbreak import words as split

    def shares(pieces: list[str]) -> tuple[float, float]:
        counts, chars = Counter(pieces), sum(map(len, pieces))
        repeated = [piece for piece in pieces if counts[piece] > 1]
        return len(repeated) / max(len(pieces), 1), sum(map(len, repeated)) / max(chars, 1)

    def grams(words: list[str], n: int) -> float:
        found = [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
        counts, chars = Counter(found), sum(map(len, words))
        most = max(counts.values(), default=1)
        if most == 1:
            return 0.0
        if n < 5:
            return max(len("".join(gram)) for gram, count in counts.items() if count == most) * most / chars
        inside = {at + k for at, gram in enumerate(found) if counts[gram] > 1 for k in range(n)}
        return sum(len(words[at]) for at in inside) / chars

    def numbers(text: str) -> dict[str, Any]:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
        words = [word for word in split(text) if word[0].isalnum()]
        runs, count = text.split(), max(len(lines), 1)
        line_share, line_chars = shares(lines)
        paragraph_share, paragraph_chars = shares(paragraphs)
        symbols = sum(text.count(mark) for mark in ("#", "...", ". . .", "…"))
        return {
            "dup_line_share": line_share,
            "dup_line_char_share": line_chars,
            "dup_paragraph_share": paragraph_share,
            "dup_paragraph_char_share": paragraph_chars,
            **{gram_column(n): grams(words, n) for n in LIMITS},
            "dclm_word_count": len(words),
            "dclm_stop_word_total": sum(word.lower() in STOP for word in runs),
            "dclm_symbol_ratio": symbols / max(len(runs), 1),
            "dclm_bullet_line_share": sum(line.startswith(("●", "•", "*", "-")) for line in lines) / count,
            "dclm_ellipsis_line_share": sum(line.endswith(("...", ". . .", "…")) for line in lines) / count,
            "mean_raw_word_length": sum(map(len, runs)) / max(len(runs), 1),
            "alpha_word_share": sum(any(map(str.isalpha, word)) for word in runs) / max(len(runs), 1),
        }

    return [numbers(text) for text in texts]


PEERS = {"datatrove": datatrove, "nemo": nemo, "dolma": dolma, "dclm": dclm}
PACKAGES = {"datatrove": ["datatrove"], "nemo": ["nemo-curator"], "dolma": ["dolma"], "dclm": ["uniseg"]}


def main() -> None:
    peer = sys.argv[1]
    texts = json.load(sys.stdin)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES[peer]}
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    rows = PEERS[peer](texts)
    json.dump({"versions": versions, "rows": rows}, sys.stdout)


if __name__ == "__main__":
    main()
