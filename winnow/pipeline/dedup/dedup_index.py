"""The `dedup_index` operator: what a deduplication leaves for later data to be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Kind, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.pipeline.dedup.exact import Exact
from winnow.pipeline.dedup.exact_index import ExactHashes, ExactIndex
from winnow.pipeline.dedup.exact_rows import fields_of
from winnow.pipeline.dedup.minhash import MinHash
from winnow.pipeline.dedup.minhash_index import MinHashIndex
from winnow.pipeline.dedup.minhash_settings import Banding, Exchange, Grouping, Shingling


@dataclass(frozen=True, kw_only=True)
class DedupIndex(Exchange, Composite):
    """The index of an `exact` or a `minhash`, for `against: RUN/STAGE` in later recipes: hashes or signatures, no text.

    Of a `minhash` every document that it compared, of an `exact` every one that it kept. The files stand in
    `ROOT/minhash_index-.../index` (`exact_index-...`), may be copied elsewhere, and are the same for any layout.
    Source: own
    """

    name: ClassVar[str] = "dedup_index"
    role: ClassVar[str] = "index"
    kind: ClassVar[Kind] = Kind.ARTEFACT

    of: str = port("ref")  # the stage `exact` or `minhash`

    def expand(self, scope: Scope) -> list[Sub]:
        """`index`, and for an `exact` the hashes of its documents before it."""
        operator = scope.lookup(self.of).operator
        if isinstance(operator, MinHash):
            shared = (Shingling, Banding, Grouping)
            fields = {k: v for one in shared for k, v in part_of(operator, one).items()}
            refs = {"signatures": f"{self.of}.signatures", "decided": self.of}
            refs |= {"order": f"{self.of}.order"} if operator.per else {}
            return [Sub(name="index", operator=MinHashIndex(**fields, **part_of(self, Exchange)), refs=refs)]
        if isinstance(operator, Exact) and self.lean_minhash:
            raise ConfigError("an `exact` has no signatures", where="lean_minhash", hint="leave it out")
        if isinstance(operator, Exact):
            hashes, index = ExactHashes(**fields_of(operator)), ExactIndex(**fields_of(operator))
            return [
                Sub(name="hashes", operator=hashes, inputs=(self.of,), where=f"kept_{self.of}"),
                Sub(name="index", operator=index, refs={"hashed": ".hashes"}),
            ]
        hint = "name a stage `exact` or `minhash`"
        raise ConfigError(f"stage {self.of!r} is a `{operator.name}`", where="of", hint=hint)
