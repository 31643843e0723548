"""Lines, paragraphs or sentences that the corpus repeats, taken out of the texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Scope, Sub
from winnow.core.operators.config import part_of
from winnow.pipeline.dedup.repeated_copies import RepeatedCopies
from winnow.pipeline.dedup.repeated_cut import Cut
from winnow.pipeline.dedup.repeated_lines_found import Found, Pieces


@dataclass(frozen=True, kw_only=True)
class RepeatedLines(Pieces, RepeatedCopies):
    """The text without lines, paragraphs or sentences that occurred before; `repeated_share` of its bytes, in [0, 1].

    Pieces are equal where their bytes are, without the white space around them, or in another `form` (those of
    `exact`: `words` is without case and punctuation). `run: 3` compares runs of three pieces: C4's three sentences;
    what overlaps goes together. Pieces under `min_bytes` are not compared, and part a run. `keep: first` leaves the
    first copy: that of the first document by `keeper` (ORDER BY over columns; ties and by default the doc_id), and in
    it the first; `none` leaves no copy. With `most: 5` only what more than five copies have is repeated. `per` compares
    within equal values of columns only: a crawl, a site; documents without a value are not compared.

    `repeated_spans` counts what was taken out. Documents are those that all decisions above keep; the same copies go
    whatever the files and workers are. All 128 bits of a hash are compared.

    Cost: two reads of the text; 44 bytes of exchange per piece; memory of a bucket of the exchange.
    Source: own; three sentences as in C4 (Raffel et al. 2020), paragraphs as in CCNet (Wenzek et al. 2020)
    """

    name: ClassVar[str] = "repeated_lines"

    def validate(self) -> None:
        """Raise ConfigError for numbers below 1, or an order that is none."""
        for name, least in (("run", 1), ("min_bytes", 1), ("most", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}", where=name, hint=f"it must be {least} or more")
        super().validate()

    def expand(self, scope: Scope) -> list[Sub]:
        """`found`, which compares, and `cut`, which edits."""
        found = Found(**part_of(self, Pieces))
        inputs = (*scope.inputs, ".found")
        return [
            Sub(name="found", operator=found, inputs=scope.inputs, where=scope.where),
            Sub(name="cut", operator=Cut(), inputs=inputs, where=scope.where),
        ]
