"""Lines, paragraphs or sentences most of whose n-grams occurred before, taken out of the texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.operators import Composite, Kind, Schema, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.core.words.segments import By
from winnow.pipeline.dedup.bloom import Filtering
from winnow.pipeline.dedup.ngram_keys import NgramKeys, Ngrams
from winnow.pipeline.dedup.ngram_seen import Judging, NgramSeen, Ordered
from winnow.pipeline.dedup.repeated_cut import Cut


@dataclass(frozen=True, kw_only=True)
class RepeatedNgrams(Judging, Ordered, Filtering, Ngrams, Composite):
    """The text without lines, paragraphs or sentences whose n-grams mostly occurred before; `repeated_share` of it.

    As `ngram_bloom`, piece by piece: a piece goes where more than `share` of its word n-grams stand in pieces before
    it that stay, of the same document or of one that comes first by `keeper` (ORDER BY over columns; ties and by
    default the doc_id). So pieces go that differ in a few words, which `repeated_lines` keeps, and also long ones that
    are equal. A piece of fewer than `min_words` words (by default `ngram`) is not compared and stays.

    `repeated_spans` counts what was taken out. Documents are those that all decisions above keep; the same pieces go
    whatever the files and workers are. Filter, `capacity` and `false_positive_rate`: those of `ngram_bloom`.

    Cost: two reads of the text; a hash of 8 bytes per word on disk; one pass over them by one task; memory of the
    filter (10 bits per n-gram at 1 %), 250 bytes per document and 20 per piece.
    Source: BFF (Groeneveld 2023), paragraphs as in Dolma (Soldaini et al. 2024) and DCLM (Li et al. 2024)
    """

    name: ClassVar[str] = "repeated_ngrams"
    role: ClassVar[str] = "editor"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("keeper", "per")

    by: By = "lines"

    def needs(self) -> tuple[str, ...]:
        """The text, and the columns of the order and of the groups."""
        return tuple(dict.fromkeys(("text", *self.reads_order())))

    def outputs(self) -> Schema:
        """The columns of an editor, `repeated_spans` and `repeated_share`."""
        return Cut().outputs()

    def after_decisions(self) -> bool:
        """N-grams are those of the documents that are kept."""
        return True

    def validate(self) -> None:
        """Raise ConfigError for values that cannot work."""
        self.check_ngrams()
        self.check_filter()
        self.check_share()
        self.check_order()

    def expand(self, scope: Scope) -> list[Sub]:
        """`keys`, `order` where columns order or part rows, `seen`, and `cut`, which edits."""
        keys = NgramKeys(**part_of(self, Ngrams), pieces=self.by)
        seen = NgramSeen(**part_of(self, Ordered), **part_of(self, Filtering), **part_of(self, Judging), pieces=True)
        order = self.order_stages(scope)
        beside = tuple(f".{sub.name}" for sub in order)
        where = scope.where
        return [
            Sub(name="keys", operator=keys, inputs=scope.inputs, where=where),
            *order,
            Sub(name="seen", operator=seen, inputs=(*scope.inputs, ".keys", *beside), where=where),
            Sub(name="cut", operator=Cut(), inputs=(*scope.inputs, ".seen"), where=where),
        ]
