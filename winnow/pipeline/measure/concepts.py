"""The concepts that a text names: entries of a dictionary, found as whole tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.core.operators.contract import Meaning
from winnow.core.words.text import valid_mask
from winnow.pipeline.measure import concept_matcher


@dataclass(frozen=True, kw_only=True)
class Concepts(MapArrow):
    """Entries of a dictionary that a text holds: `concepts`, their line numbers, and `concept_hits`, how often.

    `files` hold one concept per line, UTF-8; its id is the line's number from 0, through all files. A tab separates
    synonyms: names of one id. An entry is found as a sequence of whole tokens: `hot dog` in "a hot dog." but
    not in "hot dogs". White space separates; the signs in `punctuation` are tokens of their own, and so are
    signs beyond ASCII and every character of Han, kana, Thai, Lao, Tibetan, Myanmar and Khmer. Letter case counts
    unless `ignore_case`. `head` looks at a text's first tokens only (a title); 0 at all.

    Ids are ascending and different; both lists are null where the text is.

    Raises:
        DataError: no line has an entry, or a file is not UTF-8.
    Cost: one pass over the bytes, independent of the number of entries; about 100 bytes of memory per entry.
    Source: metadata matching of MetaCLIP (Xu et al. 2023); token trie own.
    """

    name: ClassVar[str] = "concepts"
    meaning: ClassVar[Mapping[str, Meaning]] = {"punctuation": "free"}
    role: ClassVar[str] = "signal"
    warm: ClassVar[bool] = True

    files: tuple[str, ...] = port("files")
    ignore_case: bool = False
    punctuation: str = concept_matcher.PUNCTUATION
    head: int = 0

    def needs(self) -> tuple[str, ...]:
        """Text."""
        return ("text",)

    def outputs(self) -> Schema:
        """Null where the text is."""
        return {"concepts": pa.large_list(pa.int32()), "concept_hits": pa.large_list(pa.int32())}

    def validate(self) -> None:
        """Raise ConfigError without files, for signs that are none, or a negative head."""
        if not self.files:
            raise ConfigError("no dictionary", where="files", hint="a text file with one concept per line")
        if self.head < 0:
            raise ConfigError(f"head is {self.head}, and must be 0 (all) or more", where="head")
        if not self.punctuation.isascii() or any(sign.isspace() for sign in self.punctuation):
            raise ConfigError(f"{self.punctuation!r} are not ASCII signs", where="punctuation")

    def open(self, ctx: Context) -> ArrowColumns:
        """Read the dictionary and build its tables."""
        entries, ids = concept_matcher.read_entries([Path(path) for path in ctx.refs.get("files", self.files)])
        names = self._cased(pa.array(entries, pa.large_string()))
        matcher = concept_matcher.build(names, ids, punctuation=self.punctuation)

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = batch.column("text")
            matches = matcher.match(self._cased(texts), head=self.head)
            valid = valid_mask(texts)
            lists = [_lists(matches.starts, values, valid) for values in (matches.ids, matches.hits)]
            return pa.RecordBatch.from_arrays(lists, names=list(self.outputs()))

        return columns

    def _cased(self, texts: pa.Array) -> pa.Array:
        return pc.utf8_lower(texts) if self.ignore_case else texts


def _lists(starts: np.ndarray, values: np.ndarray, valid: np.ndarray) -> pa.Array:
    """Lists of values; null where not valid."""
    mask = None if valid.all() else pa.array(~valid)
    return pa.LargeListArray.from_arrays(pa.array(starts), pa.array(values, pa.int32()), mask=mask)
