"""What the columns of a dedup stage mean: the one place that knows them by their names.

A stage finds duplicates where one of its columns ends in `_cluster_size`: how many documents a row's cluster has, 1
for a row alone. `cluster` or `duplicate_of` holds the doc_id of the kept document, `keeper_jaccard` the similarity to
it, `chained` is true for rows that only a chain of others explains, and `earlier_origin` says where in earlier data the
kept one lay, for rows that were dropped for one of those. A user's operator may have such columns too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

SIZE_SUFFIX = "_cluster_size"
KEEPERS = ("cluster", "duplicate_of")
SIMILARITY = "keeper_jaccard"
CHAINED = "chained"
WEIGHED = "weighed"  # counter: copies that stay, with less weight
EARLIER = "earlier_origin"


@dataclass(frozen=True, kw_only=True)
class ClusterColumns:
    """Columns by their meaning; '' for what a stage does not say."""

    size: str
    keeper: str
    similarity: str
    chained: str

    @property
    def of_copies(self) -> str:
        """The column that has a value for copies alone; '' where none tells them from the kept document."""
        return self.similarity or (self.keeper if self.keeper == KEEPERS[1] else "")

    earlier: str


def cluster_columns(columns: Collection[str]) -> ClusterColumns | None:
    """The columns in which a stage tells of duplicates; None where it finds none."""
    size = next((c for c in columns if c.endswith(SIZE_SUFFIX)), None)
    if size is None:
        return None
    return ClusterColumns(
        size=size, keeper=next((c for c in KEEPERS if c in columns), ""),
        similarity=SIMILARITY if SIMILARITY in columns else "", chained=CHAINED if CHAINED in columns else "",
        earlier=EARLIER if EARLIER in columns else "",
    )  # fmt: skip
