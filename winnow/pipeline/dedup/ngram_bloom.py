"""Documents most of whose n-grams occurred before, by one pass and a Bloom filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from winnow.core.operators import Composite, Kind, Schema, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.pipeline.dedup.bloom import Filtering
from winnow.pipeline.dedup.ngram_keys import NgramKeys, Ngrams
from winnow.pipeline.dedup.ngram_seen import Judging, NgramSeen, Ordered


@dataclass(frozen=True, kw_only=True)
class NgramBloom(Judging, Ordered, Filtering, Ngrams, Composite):
    """Documents but those of whose n-grams more than `share` occurred before: `kept`, `seen_share` in [0, 1].

    Documents are met in the order of `keeper` (ORDER BY over columns, nulls last; ties and by default the doc_id), and
    the word n-grams of each that stays go into a Bloom filter. A later document goes where the filter holds more than
    `share` of its own; so it goes for text that several others have together, too. Documents under `min_words` words
    (by default `ngram`) are not compared; `seen_share` is null there. From `min_words` to `ngram` - 1 words a document
    is one n-gram. `per` compares within equal values of columns only.

    The filter is made for `capacity` n-grams (by default those of all documents), of which one that is not in it is
    found with probability `false_positive_rate`; the metric `bloom_filter` says how full it became and the rate that
    its bits have then, and a remark where that is above what was asked for. The same documents go whatever the files
    and workers are.

    Cost: a hash of 8 bytes per word on disk; one pass over them by one task, a cache line per n-gram; memory of the
    filter (10 bits per n-gram at 1 %) and 250 bytes per document.
    Source: BFF (Groeneveld 2023), as in Dolma (Soldaini et al. 2024) and DCLM (Li et al. 2024: 13 words, 0.8)
    """

    name: ClassVar[str] = "ngram_bloom"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("keeper", "per")

    def needs(self) -> tuple[str, ...]:
        """The text, and the columns of the order and of the groups."""
        return tuple(dict.fromkeys(("text", *self.reads_order())))

    def outputs(self) -> Schema:
        """`kept` and `seen_share`."""
        return {"kept": pa.bool_(), "seen_share": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError for values that cannot work."""
        self.check_ngrams()
        self.check_filter()
        self.check_share()
        self.check_order()

    def expand(self, scope: Scope) -> list[Sub]:
        """`keys`, `order` where columns order or part rows, and `seen`, which decides."""
        seen = NgramSeen(**part_of(self, Ordered), **part_of(self, Filtering), **part_of(self, Judging))
        order = self.order_stages(scope)
        inputs = (*scope.inputs, ".keys", *(f".{sub.name}" for sub in order))
        return [
            Sub(name="keys", operator=NgramKeys(**part_of(self, Ngrams)), inputs=scope.inputs, where=scope.where),
            *order,
            Sub(name="seen", operator=seen, inputs=inputs, where=scope.where),
        ]
