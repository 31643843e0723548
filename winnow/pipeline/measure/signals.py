"""The `signals` operator: what published rules count, measured once per document and kept as columns.

A rule that drops a document leaves nothing to argue with; a column does. One pass over the Arrow buffers
gives every count that the Gopher, C4 and FineWeb rules test, so a threshold changes without reading text
again.

What is counted:

* A **word** is a maximal run of characters that are not Unicode white space (Python's `str.split()`). A
  **plain** word has a character that is no punctuation. Language-aware splitters give other counts and other
  verdicts.
* `line_count` and the bullet, ellipsis and C4 line counts use the lines of `str.splitlines()`;
  `nonblank_line_count` and the FineWeb ratios the pieces between line feeds with a word in them. Paragraphs
  lie between two or more line feeds in a row of the trimmed text.
* A **sentence** (an approximation of punkt): every line with a word has one, and one more for each word in it
  that ends with a sentence mark (then perhaps closing quotes or brackets) and is followed on the line by a
  word that does not start with a lower-case letter. A letter with a full stop and twenty abbreviations end no
  sentence. Marks inside a word do not count, so scripts without blanks are undercounted.
* Letters, digits (Unicode decimals), upper and lower case follow Unicode 14.0 on every Python.
* Shares are one division in f64; of nothing they are 0.0. Empty text has 0 everywhere; null text gives nulls.

`dialect` decides the repetition columns (`dup_*`, `top_*`), because the frameworks measure different things
under one name: `datatrove` counts later copies against all characters; `dclm` counts all copies, without
blanks, against the characters of lines or of words by Unicode's rules, punctuation left out; `dolma` counts
n-grams against n-grams and has no paragraphs (0.0); `nemo` counts later copies, and 1.0 where there are too few
words for an n-gram. `top_*` can pass 1 where n-grams overlap. A dialect brings its project's own columns, `groups`
those of others (`signals_columns`). `words: unicode` counts words by UAX #29 (`signals_kernels_breaks`): marks are
words of their own, and scripts without blanks have about a word per character; lines and sentences stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.operators import ArrowColumns, Context, MapArrow, Resources
from winnow.core.operators.contract import Meaning
from winnow.core.words.text import utf8_buffers, valid_mask
from winnow.pipeline.measure.signals_columns import GROUPS

_COUNT, _SHARE, _FACT = pa.int32(), pa.float64(), pa.bool_()
_LONGEST_BYTES = 2**31 - 64

COLUMNS: dict[str, pa.DataType] = {
    "byte_count": _COUNT,  # UTF-8 bytes
    "char_count": _COUNT,  # code points
    "word_count": _COUNT,
    "plain_word_count": _COUNT,  # words with a character that is no punctuation (Gopher's length rule)
    "longest_word": _COUNT,  # characters
    "stop_word_count": _COUNT,  # distinct ones of Gopher's eight, as written
    "common_word_count": _COUNT,  # distinct ones of twenty frequent English words, in any case
    "line_count": _COUNT,
    "nonblank_line_count": _COUNT,
    "sentence_count": _COUNT,
    "terminal_line_count": _COUNT,  # lines that end with . ? ! " ' but not with ..., citation marks ignored
    "javascript_line_count": _COUNT,  # lines that hold "javascript" in any case
    "policy_line_count": _COUNT,  # lines that hold one of C4's six phrases (terms of use, privacy policy, ...)
    "c4_line_count": _COUNT,  # lines that C4 keeps: terminal, >= 3 words, none > 1000 chars, neither of the above
    "c4_sentence_count": _COUNT,  # sentences in those lines
    "third_longest_line": _COUNT,  # characters (mC4's paragraph rule); 0 with fewer than three lines
    "has_curly": _FACT,  # an opening brace anywhere
    "has_lorem_ipsum": _FACT,
    "mean_word_length": _SHARE,  # characters per plain word
    "hash_word_ratio": _SHARE,  # number signs per word
    "ellipsis_word_ratio": _SHARE,  # "..." and "…" per word
    "bullet_line_share": _SHARE,  # lines that start with • or -
    "ellipsis_line_share": _SHARE,  # lines that end with "..." or "…"
    "alpha_word_share": _SHARE,  # words with a letter
    "stop_word_share": _SHARE,  # words that are one of Gopher's eight
    "common_word_share": _SHARE,  # words that are one of the twenty
    "unique_word_share": _SHARE,  # distinct words per word
    "unique_line_share": _SHARE,  # distinct non-blank lines per non-blank line
    "words_per_line": _SHARE,  # words per non-blank line
    "digit_share": _SHARE,  # of characters, like the next two
    "upper_share": _SHARE,
    "whitespace_share": _SHARE,
    "line_punct_ratio": _SHARE,  # FineWeb: non-blank lines whose last character is a sentence mark of any script
    "short_line_ratio": _SHARE,  # FineWeb: non-blank lines of <= 30 characters
    "char_dup_ratio": _SHARE,  # FineWeb: characters of later copies of lines / characters that are no line feed
    "list_ratio": _SHARE,  # FineWeb: line feeds per word
    "dup_line_share": _SHARE,
    "dup_line_char_share": _SHARE,
    "dup_paragraph_share": _SHARE,
    "dup_paragraph_char_share": _SHARE,
    **{f"top_{n}gram_char_share": _SHARE for n in (2, 3, 4)},
    **{f"dup_{n}gram_char_share": _SHARE for n in (5, 6, 7, 8, 9, 10)},
}


DIALECTS = ("datatrove", "dclm", "dolma", "nemo")


@dataclass(frozen=True, kw_only=True)
class Signals(MapArrow):
    """Gopher, C4 and FineWeb counts of the text, one column each; by `groups`, the counts of other projects' filters.

    Cost: linear in bytes, one pass; about 50 bytes of scratch per word of the longest document in a batch (with other
    dialects, words or groups up to 40 per byte of it).
    Source: Rae et al. 2021 (Gopher) A1.1; Raffel et al. 2020 (C4) 2.2; Penedo et al. 2024 (FineWeb) 3.6; the
    definitions of datatrove 0.10.1, with words split at white space. Groups: NeMo Curator 1.4, DCLM (Li et al. 2024),
    Dolma 1.2, RedPajama-V2 (Weber et al. 2024), StarCoder (Li et al. 2023), MADLAD-400 (Kudugunta et al. 2023),
    Data-Juicer (Chen et al. 2024).
    """

    name: ClassVar[str] = "signals"
    packed: ClassVar[bool] = True
    implied_for: ClassVar[tuple[str, ...]] = tuple(dict.fromkeys([*COLUMNS, *(c for g in GROUPS.values() for c in g)]))
    role: ClassVar[str] = "signal"
    resources: ClassVar[Resources] = Resources(memory_gb=1)
    meaning: ClassVar[Mapping[str, Meaning]] = {"groups": "closed"}
    read_at: ClassVar[Mapping[str, Any]] = {"words": ("dialect", ("datatrove",))}

    dialect: Literal["datatrove", "dclm", "dolma", "nemo"] = "datatrove"
    words: Literal["whitespace", "unicode"] = "whitespace"
    groups: tuple[str, ...] = ()  # nemo dclm dolma code redpajama_v2 madlad data_juicer; a dialect brings its own

    def validate(self) -> None:
        """Raises: ConfigError where a group is not known, or named twice."""
        for at, group in enumerate(self.groups):
            if group not in GROUPS:
                raise ConfigError(f"{group!r} is no group of columns", where="groups",
                                  hint=did_you_mean(group, GROUPS) or f"groups are {', '.join(GROUPS)}")  # fmt: skip
            if group in self.groups[:at] or group == self.dialect:
                why = "is named twice" if group != self.dialect else f"comes with dialect {self.dialect}"
                raise ConfigError(f"{group} {why}", where="groups", hint="leave it out")

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> dict[str, pa.DataType]:
        """`COLUMNS`, then those of the dialect's group and of `groups`: counts i32, shares f64, facts bool."""
        found = dict(COLUMNS)
        for group in self._groups():
            found |= GROUPS[group]
        return found

    @classmethod
    def implied_fields(cls, columns: Iterable[str], dialect: str = "") -> dict[str, Any]:
        """The dialect and the fewest groups that have the columns; of groups that share a column the first."""
        open_ = [c for c in columns if c not in COLUMNS and c not in GROUPS.get(dialect, {})]
        owners = {c: [g for g, names in GROUPS.items() if c in names] for c in open_}
        chosen: set[str] = set()
        for column in sorted(open_, key=lambda c: len(owners[c])):
            if not chosen & set(owners[column]):
                chosen.add(owners[column][0])
        said: dict[str, Any] = {"dialect": dialect} if dialect not in ("", DIALECTS[0]) else {}
        return said | ({"groups": [g for g in GROUPS if g in chosen]} if chosen else {})

    def _groups(self) -> tuple[str, ...]:
        return (*((self.dialect,) if self.dialect in GROUPS else ()), *self.groups)

    def open(self, ctx: Context) -> ArrowColumns:
        """Load the compiled kernels and their tables; the first time on a machine they are compiled
        (seconds).

        Raises: DataError for a document of 2 GiB or more (when a batch holds one).
        """
        usual = self.dialect == "datatrove" and self.words == "whitespace" and not self.groups
        measure = _usual() if usual else _all(self.dialect, self.words, self._groups())
        schema = self.outputs()

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column(batch.schema.get_field_index("text"))
            offsets, data = utf8_buffers(text)
            if len(text) and int(np.diff(offsets).max()) > _LONGEST_BYTES:
                raise DataError("a document is 2 GiB or longer", hint="split it before `signals`")
            valid = valid_mask(text)
            values = measure(offsets, data, valid)
            null = None if text.null_count == 0 else ~valid
            arrays = [_array(values[name], kind, null) for name, kind in schema.items()]
            return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(schema.items())))

        return columns


_Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]


def _usual() -> _Measure:
    """The usual columns alone."""
    from winnow.pipeline.measure import signals_kernels as kernels

    tables = kernels.tables()

    def measure(offsets: np.ndarray, data: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        ints = np.zeros((valid.size, len(kernels.INTS)), dtype=np.int32)
        shares = np.zeros((valid.size, len(kernels.SHARES)), dtype=np.float64)
        kernels.measure(offsets, data, valid, tables, 0, ints, shares)
        return dict(zip(kernels.INTS, ints.T, strict=True)) | dict(zip(kernels.SHARES, shares.T, strict=True))

    return measure


def _all(dialect: str, words: str, groups: tuple[str, ...]) -> _Measure:
    """The usual columns in any dialect, with any words, and those of the groups."""
    from winnow.pipeline.measure import signals_kernels as kernels
    from winnow.pipeline.measure import signals_kernels_more as more

    tables, more_tables = kernels.tables(), more.more_tables()
    wanted = 0
    for group in groups:
        wanted |= more.NEEDED[group]
    how = (DIALECTS.index(dialect), int(words == "unicode"), wanted)

    def measure(offsets: np.ndarray, data: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        ints = np.zeros((valid.size, len(kernels.INTS)), dtype=np.int32)
        shares = np.zeros((valid.size, len(kernels.SHARES)), dtype=np.float64)
        others = np.zeros((valid.size, len(more.MORE)), dtype=np.float64)
        more.measure_all(offsets, data, valid, tables, more_tables, how, (ints, shares, others))
        found = dict(zip(kernels.INTS, ints.T, strict=True)) | dict(zip(kernels.SHARES, shares.T, strict=True))
        return found | dict(zip(more.MORE, others.T, strict=True))

    return measure


def _array(values: np.ndarray, kind: pa.DataType, null: np.ndarray | None) -> pa.Array:
    """One column, contiguous, with zeros under its nulls."""
    if kind == _COUNT:
        values = values.astype(np.int32)
    plain = values != 0 if kind == _FACT else np.ascontiguousarray(values)
    return pa.array(plain, type=kind, mask=null)
