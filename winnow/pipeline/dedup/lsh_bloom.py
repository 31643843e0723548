"""Near-duplicates by MinHash bands in a Bloom filter: one pass, no pairs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from winnow.core.operators import Composite, Kind, Schema, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.pipeline.dedup.bloom import Filtering
from winnow.pipeline.dedup.lsh_keys import LshKeys
from winnow.pipeline.dedup.lsh_seen import LshSeen
from winnow.pipeline.dedup.minhash_settings import Banding, Shingling, check_at_least_one
from winnow.pipeline.dedup.ngram_seen import Ordered


@dataclass(frozen=True, kw_only=True)
class LshBloom(Ordered, Filtering, Banding, Shingling, Composite):
    """Documents but those that share a MinHash band with an earlier kept one: `kept`; `seen_bands`, how many.

    Documents are met in the order of `keeper` (ORDER BY over columns, nulls last; ties and by default the doc_id); the
    bands of each that stays go into a Bloom filter, and a later document goes where the filter has one of its own. What
    it resembles is not known, and no similarity is verified: of two documents of Jaccard J the later goes with
    probability 1 - (1 - J^rows)^bands, below any threshold too. `minhash` proposes the same pairs and verifies them;
    this needs neither pairs nor shingles, 8 bytes per band and document instead.

    The filter is made for `capacity` documents (by default all), of which one that shares no band goes with probability
    `false_positive_rate` at most; the metric `bloom_filter` says how full it became and the rate per band that its bits
    have then. `per` compares within equal values of columns only. A document without a word is not compared and stays.

    Cost: 8 bytes per band on disk; one pass over them by one task, a cache line per band; memory of the filter and of
    the bands.
    Source: LSHBloom (Khan et al. 2024); that what goes is not put into the filter is own: there are no chains
    """

    name: ClassVar[str] = "lsh_bloom"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("keeper", "per")

    def needs(self) -> tuple[str, ...]:
        """The text, and the columns of the order and of the groups."""
        return tuple(dict.fromkeys(("text", *self.reads_order())))

    def outputs(self) -> Schema:
        """`kept` and `seen_bands`."""
        return LshSeen().outputs()

    def validate(self) -> None:
        """Raise ConfigError for values that cannot work."""
        check_at_least_one(self, "ngram", "num_bands", "rows_per_band")
        self.check_filter()
        self.check_order()

    def expand(self, scope: Scope) -> list[Sub]:
        """`keys`, `order` where columns order or part rows, and `seen`, which decides."""
        keys = LshKeys(**part_of(self, Shingling), **part_of(self, Banding))
        seen = LshSeen(**{f.name: getattr(self, f.name) for f in fields(LshSeen)})
        order = self.order_stages(scope)
        inputs = (*scope.inputs, ".keys", *(f".{sub.name}" for sub in order))
        return [
            Sub(name="keys", operator=keys, inputs=scope.inputs, where=scope.where),
            *order,
            Sub(name="seen", operator=seen, inputs=inputs, where=scope.where),
        ]
