"""Words of block lists in a text, by language."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.core.terminal import percent
from winnow.core.words.text import valid_mask
from winnow.pipeline.measure import concept_matcher

UNSPACED = ("ja", "th", "zh")  # found anywhere in a text, as in C4
SIGNS = string.punctuation.replace("_", "")  # what ends a word
OUTPUTS: Schema = {
    "bad_words": pa.int32(), "bad_words_distinct": pa.int32(), "bad_word_share": pa.float64(),
    "bad_word": pa.large_string(),
}  # fmt: skip
_CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9-]+)?")
_LISTED, _WITHOUT = "list:", "without_list"  # counters
_MOST_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class BadWords(MapArrow):
    """Listed words in a text: how many, how many different ones, as a share in [0, 1] of its words, and the first.

    `files` hold one word or phrase per line and are called by their language (`en`, `de.txt`, `fr-CA-u-sd-caqc`), as
    LDNOOBW has them; other files of a folder are passed over. With `of: all` every text is searched for all lists, with
    `of: language` for the list of its `language` alone (`fr-CA-...` counts as `fr`), and is null where there is none.
    Letter case does not count. A word is found where white space or ASCII signs but `_` surround it, a phrase whatever
    white space it has inside; entries of ja, th and zh are found anywhere. The share is of runs without white space; it
    may pass 1 where entries overlap. `bad_word` is the entry that stands first in its list.

    Preset of `filter`: `c4_bad_words`, C4's decision.

    Raises:
        DataError: no file is called by a language, or a list is not UTF-8.
    Cost: one pass over the bytes per language of a batch, independent of the length of the lists.
    Source: C4 (Raffel et al. 2020), multilingual as in TensorFlow Datasets; whole words by tokens are own
    """

    name: ClassVar[str] = "bad_words"
    role: ClassVar[str] = "signal"
    warm: ClassVar[bool] = True

    files: tuple[str, ...] = port("files")
    of: Literal["language", "all"] = "language"

    def needs(self) -> tuple[str, ...]:
        """The text, and its language where that chooses the list."""
        return ("text", "language") if self.of == "language" else ("text",)

    def outputs(self) -> Schema:
        """Null where the text is, or no list is for its language."""
        return OUTPUTS

    def validate(self) -> None:
        """Raise ConfigError without files."""
        if not self.files:
            raise ConfigError("no list", where="files", hint="the folder of LDNOOBW, or files called `en`, `de` ...")

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where no file is called by a language."""
        if not any(language_of(path) for path in paths):
            names = ", ".join(sorted({Path(path).name for path in paths})[:_MOST_NAMED])
            raise ConfigError(f"no file is called by a language: {names}", where="files",
                              hint="call them `en`, `de.txt` ...")  # fmt: skip

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Lists that match nothing, and texts in languages without a list."""
        rows = counts.get("rows", 0) - counts.get("masked", 0)
        if not rows:
            return ()
        lines = []
        idle = [name.removeprefix(_LISTED) for name, n in counts.items() if name.startswith(_LISTED) and not n]
        if idle:
            more = f" and {len(idle) - _MOST_NAMED:,} more" if len(idle) > _MOST_NAMED else ""
            lines.append(f"lists without a match in {rows:,} texts: {', '.join(idle[:_MOST_NAMED])}{more}")
        without = counts.get(_WITHOUT, 0)
        if without:
            lines.append(f"{without:,} of {rows:,} texts ({percent(without / rows)}) are in a language without a list "
                         "and have no answer: add a list, or say `of: all`")  # fmt: skip
        return tuple(lines)

    def open(self, ctx: Context) -> ArrowColumns:
        """Read the lists and build what finds them."""
        lists = read_languages([Path(path) for path in ctx.refs.get("files", self.files)])
        finders = {code: _Finder(code, words) for code, words in lists.items()}

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = batch.column("text")
            found = _Found(len(texts))
            valid = valid_mask(texts)
            lowered = pc.utf8_lower(texts)
            languages = _languages(batch, self.of)
            for code, finder in finders.items():
                mine = np.flatnonzero(valid if languages is None else valid & (languages == code))
                ctx.count(f"{_LISTED}{code}", found.add(mine, *finder.find(lowered.take(pa.array(mine)))))
            if languages is not None:
                ctx.count(_WITHOUT, int((valid & ~found.asked).sum()))
            return found.columns(_runs(texts))

        return columns


class _Found:
    """Sums over the lists, per row."""

    def __init__(self, rows: int) -> None:
        self.asked = np.zeros(rows, dtype=np.bool_)
        self.hits, self.distinct = np.zeros(rows, dtype=np.int32), np.zeros(rows, dtype=np.int32)
        self.first = np.full(rows, None, dtype=object)

    def add(self, rows: npt.NDArray[np.int64], hits: Any, distinct: Any, first: list[str | None]) -> int:
        """Add what a list found in these rows; how many have some of it."""
        self.asked[rows] = True
        self.hits[rows] += hits
        self.distinct[rows] += distinct
        for row, word in zip(rows[hits > 0], (w for w in first if w is not None), strict=True):
            self.first[row] = self.first[row] or word
        return int((hits > 0).sum())

    def columns(self, words: npt.NDArray[np.int64]) -> pa.RecordBatch:
        """The columns of the operator; `words` are those of every text."""
        absent = ~self.asked
        share = self.hits / np.maximum(words, 1)
        arrays = [pa.array(self.hits, mask=absent), pa.array(self.distinct, mask=absent),
                  pa.array(share, mask=absent), pa.array(self.first, pa.large_string())]  # fmt: skip
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(OUTPUTS.items())))


class _Finder:
    """One list."""

    def __init__(self, code: str, words: Sequence[str]) -> None:
        self._words = list(words)
        self._anywhere = code in UNSPACED
        if not self._anywhere:
            self._matcher = concept_matcher.build(self._words, punctuation=SIGNS)

    def find(self, texts: pa.Array) -> tuple[Any, Any, list[str | None]]:
        """(occurrences i32[rows], different entries i32[rows], the one that stands first in the list)."""
        if self._anywhere:
            found = pl.Series(texts, dtype=pl.String).str.find_many(self._words, overlapping=False)
            patterns = pl.Series(texts, dtype=pl.String).str.extract_many(self._words, overlapping=False)
            place = {word: number for number, word in enumerate(self._words)}
            firsts = [
                min(each, key=place.__getitem__) if each else None for each in (w or [] for w in patterns.to_list())
            ]
            hits = found.list.len().fill_null(0).cast(pl.Int32).to_numpy()
            return hits, patterns.list.n_unique().fill_null(0).cast(pl.Int32).to_numpy(), firsts
        matches = self._matcher.match(texts)
        distinct = np.diff(matches.starts).astype(np.int32)
        ends = np.concatenate(([0], np.cumsum(matches.hits, dtype=np.int64)))
        hits = (ends[matches.starts[1:]] - ends[matches.starts[:-1]]).astype(np.int32)
        some = np.flatnonzero(distinct)
        out: list[str | None] = [None] * len(texts)
        for row, number in zip(some.tolist(), matches.ids[matches.starts[some]].tolist(), strict=True):
            out[row] = self._words[number]
        return hits, distinct, out


def language_of(path: str) -> str:
    """The language that a file is called by; '' where it is none."""
    name = Path(path).name.removesuffix(".txt")
    return name if _CODE.fullmatch(name) else ""


def read_languages(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Language -> its entries in small letters, each once. Raises: DataError where there is none, or no UTF-8."""
    lists: dict[str, list[str]] = {}
    for path in paths:
        code = language_of(str(path)).partition("-")[0]
        if not code:
            continue
        try:
            lines = path.read_bytes().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name} is not UTF-8: {error}", where="files") from error
        words = [line.strip().lower() for line in lines]
        lists[code] = list(dict.fromkeys([*lists.get(code, []), *(w for w in words if w and not w.startswith("#"))]))
    lists = {code: words for code, words in lists.items() if words}
    if not lists:
        raise DataError("the lists hold no word", where="files", hint="one word or phrase per line, UTF-8")
    return lists


def _languages(batch: pa.RecordBatch, of: str) -> Any:
    """The language of every row as text, '' for none; None where all lists are asked."""
    if of == "all":
        return None
    return np.asarray(batch.column("language").fill_null("").to_pylist(), dtype=object)


def _runs(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Runs without white space in every text, i64[rows]; 0 of a null."""
    runs = pl.Series(texts, dtype=pl.String).str.count_matches(r"\S+")
    return np.asarray(runs.fill_null(0).cast(pl.Int64).to_numpy())
