"""Near-duplicates: MinHash finds candidates, exact Jaccard decides, a kept document stands for its cluster.

Three sub-stages with identities of their own: `signatures` (reads text; depends on the n-gram and the number
of hashes alone), `pairs` (candidates that share a band, each verified by exact Jaccard over the hashed
shingle sets), `clusters` (who stands for whom). Another threshold recomputes pairs and clusters
and reads no text.

What is exact and what is not. A pair is never reported below the threshold, and the numbers are integer
counts with one division. Candidates are found with probability 1 - (1 - J^rows)^bands: with 14 x 8, 0.77 at
J = 0.75 and 0.92 at J = 0.8 for long documents. A group of more than FULL_GROUP rows in one band is not
compared in full: its rows meet the group's first document and their next NEIGHBOURS in doc_id order, and the
pair says so in `group_rows`. Shingles are 32-bit hashes: two different n-grams collide with probability
2^-32.

A document is dropped only for a kept one that it resembles: documents are met in order (longest first), and
one is kept unless a kept one reaches the threshold with it. `linkage: components` drops all but one of every
connected component instead, as most tools do; that chains: A ~ B ~ C drops C for A although J(A, C) may be
below the threshold (measured on code-heavy text: a quarter of the removals, benchmarks/bench_peers.py). Every
dropped row carries the exact `keeper_jaccard`, and `chained` marks those below the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Kind, Schema, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.core.operators.effect import ReadAt
from winnow.pipeline.dedup import keeper as keepers
from winnow.pipeline.dedup.minhash_check import Check
from winnow.pipeline.dedup.minhash_clusters import Clusters, outputs_of
from winnow.pipeline.dedup.minhash_clusters_earlier import EarlierClusters
from winnow.pipeline.dedup.minhash_order import Order
from winnow.pipeline.dedup.minhash_pairs import Pairs
from winnow.pipeline.dedup.minhash_seen import Seen
from winnow.pipeline.dedup.minhash_settings import (
    KEEPING_AT,
    Against,
    Banding,
    Containing,
    Grouping,
    Keeping,
    Proposing,
    Shingling,
    Similarity,
    check_at_least_one,
    check_contained,
    check_sketch,
    check_threshold,
)
from winnow.pipeline.dedup.minhash_signatures import Signatures
from winnow.pipeline.dedup.soft import Softening


@dataclass(frozen=True, kw_only=True)
class MinHash(Softening, Against, Keeping, Grouping, Proposing, Banding, Shingling, Similarity, Composite):
    """Near-duplicates by MinHash, every pair verified by exact Jaccard; one document of a cluster is kept.

    `kept`; `cluster`: doc_id of the kept document (null for a row without duplicates);
    `minhash_cluster_size` (1: no duplicate); `keeper_jaccard` of a dropped row with the kept one (else
    null). `linkage` "leader" drops a row only for a kept one that reaches the threshold with it; "components"
    drops all but one of a connected component, and `chained` marks rows dropped although they are below the
    threshold with the kept one. `keeper` "longest" keeps the document with the most distinct shingles, "smallest_id"
    the first; else it is ORDER BY over columns, `quality desc, length(text) desc` (nulls last, ties by doc_id).

    With `contained: 0.9` a document is dropped only where the kept one has that share of its shingles; where it holds
    more than that of its own, both stay. `keeper_contains` is that share then (null for kept rows). `per` compares
    within equal values of columns only: a source, a dump; a row without a value is compared with none and stays.

    `against` names what earlier runs left by `dedup_index`: RUN/STAGE, or a folder of such files. New documents are
    compared with those as well, and the earlier ones are always the keepers: `cluster` is the doc_id of the earlier
    document then, and `earlier_origin` where it lay. Which pairs are found does not depend on what came first (but in
    groups of more than 128 documents of one band). `linkage` is "leader" then.

    A band that more than 128 documents share is not compared in full: each meets the first of them and its next 16,
    which finds one cluster in linear time and not every pair of it. `all_pairs: true` compares all, quadratic in the
    largest group of near-copies, for a pair list that lacks none of those that share a band.

    With `soft: weights` nothing is removed: `weight` is 1 / `minhash_cluster_size`, so that a cluster counts as one
    document, and `cluster` names the one that would have stayed. `write` follows it with `repeat: weight`, a training
    by itself.

    `check` looks how much is found: a sample of 1,000 documents is compared by brute force, in one task that holds 150
    bytes for each row; `check: false` leaves that out.
    Source: Broder 1997 (resemblance); banding after Indyk and Motwani 1998; verification and audit own
    """

    name: ClassVar[str] = "minhash"
    role: ClassVar[str] = "dedup"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("keeper", "per")
    read_at: ClassVar[ReadAt] = KEEPING_AT

    check: bool = True  # how much is found is told by a sample

    def needs(self) -> tuple[str, ...]:
        """The text, and the columns of the order and of the groups."""
        return tuple(dict.fromkeys(("text", *self.per, *keepers.columns_of(self.keeper))))

    def outputs(self) -> Schema:
        """The columns of the last sub-stage."""
        return {**outputs_of(self.contained, earlier=bool(self.against)), **self.soft_outputs()}

    def validate(self) -> None:
        """Raise ConfigError for values that cannot work."""
        check_at_least_one(self, "ngram", "num_bands", "rows_per_band")
        check_threshold(self.threshold)
        check_contained(self.contained)
        check_sketch(self.sketch)
        self.check_soft(self.against)
        keepers.check_keeper(self.keeper)
        if self.against and self.linkage != "leader":
            hint = "leave out `linkage`, or unite the crawls with `concat`"
            raise ConfigError("`linkage: components` knows nothing of earlier data", where="against", hint=hint)

    def expand(self, scope: Scope) -> list[Sub]:
        """`signatures`, `order` where columns order or part rows, `pairs`, `clusters`; the mask goes to all of rows."""
        signatures = Signatures(**part_of(self, Shingling), num_hashes=self.num_bands * self.rows_per_band)
        pairs = Pairs(
            **part_of(self, Similarity), **part_of(self, Banding), **part_of(self, Proposing), parted=bool(self.per)
        )
        earlier = bool(self.against)
        kind = EarlierClusters if earlier else Clusters
        clusters = kind(**part_of(self, Similarity), **part_of(self, Keeping), **part_of(self, Softening))
        rows: dict[str, Any] = {"inputs": scope.inputs, "where": scope.where}
        subs = [Sub(name="signatures", operator=signatures, **rows)]
        if self.per or keepers.is_order(self.keeper):
            subs.append(Sub(name="order", operator=Order(keeper=self.keeper, per=self.per), **rows))
        parted = (".signatures", ".order") if self.per else (".signatures",)
        ordered = (".order",) if keepers.is_order(self.keeper) else ()
        if self.against:
            subs.append(Sub(name="seen", operator=self._seen(), inputs=parted))
            ordered = (".seen", *ordered)
        subs.append(Sub(name="pairs", operator=pairs, inputs=parted))
        refs = {"pairs": ".pairs"}
        if self.check:
            checked = Check(**part_of(self, Similarity), parted=bool(self.per))
            subs.append(
                Sub(name="check", operator=checked, inputs=(*scope.inputs, *parted), refs=refs, where=scope.where)
            )
        return [
            *subs,
            Sub(
                name="clusters",
                operator=clusters,
                inputs=(*scope.inputs, ".signatures", *ordered),
                refs=refs,
                where=scope.where,
            ),
        ]

    def _seen(self) -> Seen:
        shared = (Against, Shingling, Banding, Similarity, Grouping, Containing)
        return Seen(**{k: v for one in shared for k, v in part_of(self, one).items()})
