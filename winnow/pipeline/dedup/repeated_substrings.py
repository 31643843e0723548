"""Runs of bytes that the corpus repeats, taken out of the texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Scope, Sub
from winnow.core.operators.config import part_of
from winnow.pipeline.dedup.repeated_copies import RepeatedCopies
from winnow.pipeline.dedup.repeated_cut import Cut
from winnow.pipeline.dedup.substring_anchors import Anchors, Matching
from winnow.pipeline.dedup.substring_windows import Windows

LEAST = 8


@dataclass(frozen=True, kw_only=True)
class RepeatedSubstrings(Matching, RepeatedCopies):
    """The text without what stood before in the corpus, `min_bytes` or more in a row; `repeated_share` of its bytes.

    A byte goes where it lies in a run of `min_bytes` bytes that occurred before, in any document, or earlier in the
    same one; characters stay whole. It is the answer of a suffix array, by hashes of 128 bits. `keep: first` leaves the
    first copy: that of the first document by `keeper` (ORDER BY over columns; ties and by default the doc_id), and in
    it the first; `none` leaves no copy. `per` compares within equal values of columns only; documents without a value
    are not compared.

    `repeated_spans` counts what was taken out. Documents are those that all decisions above keep; the same bytes go
    whatever the files and workers are.

    Cost: three reads of the text; per byte about 200 / `min_bytes` bytes of exchange, and 44 per byte at the ends of
    repeated runs; memory of a bucket of the exchange.
    Source: exact substring deduplication as in Lee et al. 2022 (there 50 tokens, all copies); anchors in place of a
    suffix array are own
    """

    name: ClassVar[str] = "repeated_substrings"

    def validate(self) -> None:
        """Raise ConfigError for runs that are too short to tell anything, or an order that is none."""
        if self.min_bytes < LEAST:
            hint = f"{LEAST} or more; 200 are about 50 tokens"
            raise ConfigError(f"min_bytes is {self.min_bytes}", where="min_bytes", hint=hint)
        super().validate()

    def expand(self, scope: Scope) -> list[Sub]:
        """`anchors` and `windows`, which compare, and `cut`, which edits."""
        mine = part_of(self, Matching)
        where = scope.where
        return [
            Sub(name="anchors", operator=Anchors(**mine), inputs=scope.inputs, where=where),
            Sub(name="windows", operator=Windows(**mine), inputs=(*scope.inputs, ".anchors"), where=where),
            Sub(name="cut", operator=Cut(blank_start=True), inputs=(*scope.inputs, ".windows"), where=where),
        ]
