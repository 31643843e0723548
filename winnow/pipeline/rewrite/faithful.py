"""`faithful`: whether a rewritten text is true to the first one, by its words, numbers, names and what it recovers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.core.operators.effect import ReadAt, given

WORD = re.compile(r"\w+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")
BEGINS = '.!?:;\n"“”(•*-'  # before a word that is written large for another reason than being a name
CONTENT_LETTERS, NGRAM = 4, 5


@dataclass(frozen=True)
class Said:
    """What a text says, as far as words tell."""

    words: tuple[str, ...]  # casefolded, in order
    content: frozenset[str]  # of at least four letters
    numbers: frozenset[str]
    names: frozenset[str]  # casefolded; written large within a sentence

    @classmethod
    def by(cls, text: str) -> Said:
        """What a text says."""
        words = tuple(word.casefold() for word in WORD.findall(text))
        content = frozenset(w for w in words if len(w) >= CONTENT_LETTERS and not w[0].isdigit())
        return cls(words, content, frozenset(map(_plain_number, NUMBER.findall(text))), frozenset(_names(text)))


@dataclass(frozen=True, kw_only=True)
class Faithful(Map):
    """Whether a rewritten text is true to its source: shares of words, numbers, names, and `faithful` by limits on them.

    | column | what |
    |---|---|
    | `faithful_length` | characters of the new text per character of the source |
    | `faithful_words`, `_new_words` | share of the source's distinct words (4 letters up) that the new text has; share of its own that the source has not |
    | `faithful_numbers`, `_new_numbers` | share of the source's numbers that are still there; how many the source has not |
    | `faithful_names`, `_new_names` | the same of names: words written large within a sentence |
    | `faithful_copied` | share of the new text's word 5-grams that stand in the source: 1 is a copy |
    | `faithful_recovered` | F1 of the words (with their counts) of the text recovered from the new one, against the source; with `recovered:` |

    Shares of nothing are 1. A clause per limit says which one a document missed (`pass_written`, `pass_length`,
    `pass_words`, `pass_new_words`, `pass_numbers`, `pass_names`, `pass_changed`, `pass_recovered`), as those of `filter`
    do, and `kept` is `faithful`; without a new text all others are null. `rewritten` makes documents of what is kept;
    the first texts are no worse for it, and other stages ask `kept` only where they name this one. It looks at words: a wrong sentence of the right words passes.

    Cost: O(n) in both texts; 10 MB of them per CPU second (`python benchmarks/bench_endpoint.py`).
    Source: own; the round trip after the GPT self-supervision annotator (Pei et al. 2023)
    """  # noqa: E501 - a table

    name: ClassVar[str] = "faithful"
    role: ClassVar[str] = "signal"  # what it refuses are rewritten texts: `kept` says nothing of the first ones
    columns_from: ClassVar[tuple[str, ...]] = ("source", "rewritten", "recovered")
    read_at: ClassVar[ReadAt] = {"min_recovered": ("recovered", given)}

    source: str = "text"
    rewritten: str = "rewritten"
    recovered: str = ""  # a column: what a `rewrite` of `template: recover` made of the new text
    min_length: float = 0.1
    max_length: float = 3.0
    min_words: float = 0.2
    max_new_words: float = 0.5
    min_numbers: float = 0.5
    max_new_numbers: int = 0
    max_new_names: int = 2
    max_copied: float = 0.95
    min_recovered: float = 0.3

    def needs(self) -> tuple[str, ...]:
        """Both texts, and the recovered one."""
        return tuple(dict.fromkeys([self.source, self.rewritten, *([self.recovered] if self.recovered else [])]))

    def outputs(self) -> Schema:
        """Measures, `kept`, and a verdict per limit."""
        clauses = {f"pass_{name}": pa.bool_() for name in ("written", *self._limits())}
        return {**{name: pa.float64() if share else pa.int32() for name, share in self._measures().items()},
                "faithful": pa.bool_(), "kept": pa.bool_(), **clauses}  # fmt: skip

    def after_decisions(self) -> bool:
        """True: of what cleaning refused nothing is rewritten."""
        return True

    def validate(self) -> None:
        """Raises: ConfigError for a share that is none, and limits that nothing passes."""
        for name in ("min_words", "max_new_words", "min_numbers", "max_copied", "min_recovered"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name):g}", where=name, hint="a share, 0 to 1")
        for name in ("max_new_numbers", "max_new_names", "min_length"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}", where=name, hint="0 or more")
        if not self.min_length <= self.max_length < float("inf"):
            raise ConfigError(f"max_length is {self.max_length:g}", where="max_length", hint="from `min_length` on")
        if self.source == self.rewritten or self.recovered in (self.source, self.rewritten):
            raise ConfigError("two of the texts are one column", where="rewritten", hint="`source` and `rewritten`")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where one of the columns is no text."""
        for field in ("source", "rewritten", "recovered"):
            column = getattr(self, field)
            kind = types.get(column) if column else None
            if kind is not None and not (pa.types.is_large_string(kind) or pa.types.is_string(kind)):
                raise ConfigError(f"{column!r} is {kind}, not text", where=field, hint="a column of text")

    def open(self, ctx: Context) -> Columns:
        """Batch -> measures and verdicts."""

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            texts = [rows[name].cast(pl.String).to_list() for name in (self.source, self.rewritten)]
            recovered = rows[self.recovered].cast(pl.String).to_list() if self.recovered else [None] * rows.height
            found = [self._measured(*three) for three in zip(*texts, recovered, strict=True)]
            types = self.outputs()
            held = {name: pa.array([one[name] for one in found], kind) for name, kind in types.items()}
            frame = pl.from_arrow(pa.table(held))
            assert isinstance(frame, pl.DataFrame)
            return frame

        return columns

    def _measures(self) -> dict[str, bool]:
        """Column -> whether it is a share; the others are counts."""
        shares = ("length", "words", "new_words", "numbers", "new_numbers", "names", "new_names", "copied")
        named = {f"faithful_{name}": name not in ("new_numbers", "new_names") for name in shares}
        return named | ({"faithful_recovered": True} if self.recovered else {})

    def _limits(self) -> tuple[str, ...]:
        more = ("recovered",) if self.recovered else ()
        return ("length", "words", "new_words", "numbers", "names", "changed", *more)

    def _measured(self, source: str | None, new: str | None, recovered: str | None) -> dict[str, Any]:
        """The columns of one row."""
        empty = dict.fromkeys([*self._measures(), *(f"pass_{name}" for name in self._limits())])
        if source is None or not (new or "").strip():
            return {**empty, "faithful": False, "kept": False, "pass_written": None if source is None else False}
        first, second = Said.by(source), Said.by(str(new))
        share = {
            "length": len(str(new)) / max(1, len(source)),
            "words": _share(first.content & second.content, first.content),
            "new_words": _share(second.content - first.content, second.content, nothing=0.0),
            "numbers": _share(first.numbers & second.numbers, first.numbers),
            "new_numbers": len(second.numbers - first.numbers),
            "names": _share(first.names & frozenset(second.words), first.names),
            "new_names": len(second.names - frozenset(first.words)),
            "copied": _copied(first.words, second.words),
        }
        verdicts = {
            "length": self.min_length <= share["length"] <= self.max_length,
            "words": share["words"] >= self.min_words,
            "new_words": share["new_words"] <= self.max_new_words,
            "numbers": share["numbers"] >= self.min_numbers and share["new_numbers"] <= self.max_new_numbers,
            "names": share["new_names"] <= self.max_new_names,
            "changed": share["copied"] <= self.max_copied,
        }
        if self.recovered:
            share["recovered"] = _f1(first.words, Said.by(recovered or "").words)
            verdicts["recovered"] = share["recovered"] >= self.min_recovered
        return {
            **{f"faithful_{name}": value for name, value in share.items()},
            "faithful": all(verdicts.values()), "kept": all(verdicts.values()), "pass_written": True,
            **{f"pass_{name}": value for name, value in verdicts.items()},
        }  # fmt: skip


def _plain_number(text: str) -> str:
    """`1,000` and `1000` are one number."""
    return text.replace(",", "") if THOUSANDS.match(text) else text


def _names(text: str) -> Iterator[str]:
    """Words written large within a sentence, casefolded."""
    for found in WORD.finditer(text):
        word = found[0]
        if not word[0].isupper() or len(word) < 2:
            continue
        before = found.start() - 1
        while before >= 0 and text[before] in " \t":
            before -= 1
        if before >= 0 and text[before] not in BEGINS:
            yield word.casefold()


def _share(part: frozenset[str], whole: frozenset[str], nothing: float = 1.0) -> float:
    return len(part) / len(whole) if whole else nothing


def _copied(first: tuple[str, ...], second: tuple[str, ...]) -> float:
    """Share of the second text's n-grams that stand in the first; of fewer words, 1 where both are the same."""
    if len(second) < NGRAM:
        return float(first == second)
    there = {first[n : n + NGRAM] for n in range(len(first) - NGRAM + 1)}
    own = [second[n : n + NGRAM] for n in range(len(second) - NGRAM + 1)]
    return sum(gram in there for gram in own) / len(own)


def _f1(first: tuple[str, ...], second: tuple[str, ...]) -> float:
    """F1 of two bags of words; 1 where both are empty."""
    both = (Counter(first) & Counter(second)).total()
    total = len(first) + len(second)
    return 2 * both / total if total else 1.0
