"""Token counts: what budgets are measured in, by a named tokenizer or a stated estimate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.operators.contract import Meaning
from winnow.core.words.token_ids import TokenIds, slow_remarks

_PER_BYTES = re.compile(r"bytes/([1-9][0-9]{0,3})")
_FILE = "file"

Count = Callable[[pl.Series], pl.Series]


@dataclass(frozen=True, kw_only=True)
class CountTokens(Map):
    """Number of tokens of each document: `token_count`; 0 for empty text, null where the text is null.

    `bytes/N` estimates one token per N bytes of UTF-8, rounded up; `words` counts runs between white space;
    `file` counts with the Hugging Face tokenizer (JSON) that `tokenizer_file` names, without special tokens
    of its own.

    Source: own.
    """

    name: ClassVar[str] = "count_tokens"
    implied_for: ClassVar[tuple[str, ...]] = ("token_count",)
    meaning: ClassVar[Mapping[str, Meaning]] = {"tokenizer": "closed"}
    role: ClassVar[str] = "signal"

    tokenizer: str = "bytes/4"
    tokenizer_file: tuple[str, ...] = port("files", default=())

    def __post_init__(self) -> None:
        if self.tokenizer == _FILE:  # only then does the library decide the numbers
            object.__setattr__(self, "uses", ("tokenizers",))

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`token_count`, at least 0."""
        return {"token_count": pa.int64()}

    def validate(self) -> None:
        """Raises: ConfigError for an unknown tokenizer, or `tokenizer: file` without a file."""
        if self.tokenizer not in {_FILE, "words"} and not _PER_BYTES.fullmatch(self.tokenizer):
            raise ConfigError(
                f"unknown tokenizer {self.tokenizer!r}",
                where="tokenizer",
                hint="bytes/N (N from 1 to 9999), words, or `tokenizer: file` with `tokenizer_file: path`",
            )
        if (self.tokenizer == _FILE) != bool(self.tokenizer_file):
            raise ConfigError(
                f"tokenizer is {self.tokenizer!r} and tokenizer_file names {len(self.tokenizer_file)} files",
                where="tokenizer_file",
                hint="`tokenizer: file` and `tokenizer_file:` go together",
            )

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Why a large input was not tokenized the fast way."""
        return slow_remarks(counts)

    def open(self, ctx: Context) -> Columns:
        """Batch -> token counts; a tokenizer file is loaded once.

        Raises: ConfigError where the tokenizer file is not one readable tokenizer.
        """
        count = self._counter([str(path) for path in ctx.refs.get("tokenizer_file", self.tokenizer_file)], ctx)
        return lambda batch: count(batch["text"]).cast(pl.Int64).alias("token_count").to_frame()

    def _counter(self, files: list[str], ctx: Context) -> Count:
        if self.tokenizer == _FILE:
            return _by_file(files, ctx)
        if self.tokenizer == "words":
            return lambda text: text.str.count_matches(r"\S+")
        per_byte = _PER_BYTES.fullmatch(self.tokenizer)
        assert per_byte is not None
        size = int(per_byte[1])
        return lambda text: (text.str.len_bytes().cast(pl.Int64) + (size - 1)) // size


def _by_file(files: list[str], ctx: Context) -> Count:
    if len(files) != 1:
        raise ConfigError(f"tokenizer_file matches {len(files)} files", where="tokenizer_file", hint="name exactly one")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(files[0])
    except Exception as error:
        raise ConfigError(
            f"not a tokenizer: {error}",
            where=files[0],
            hint="give the tokenizer.json of a Hugging Face tokenizer",
        ) from error
    ids = TokenIds(tokenizer, count=ctx.count)

    def counts(text: pl.Series) -> pl.Series:
        known = text.is_not_null()
        found = np.zeros(int(known.sum()), dtype=np.int64)
        for rows, _, numbers in ids(text.filter(known)):
            np.add.at(found, rows, numbers)
        empty = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(text))
        return empty.scatter(known.arg_true(), pl.Series(found))

    return counts
