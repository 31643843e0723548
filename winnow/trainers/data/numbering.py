"""The documents of a run in one numbering, also where its rows come from several sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.trainers.data.batches import Batch

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Account:
    """The documents of a run in ascending doc_id, and how many targets one pass over each has, i64[documents]."""

    doc_id: pl.Series
    targets: Ints


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbering:
    """All documents of several sources, and the number among them of each source's own, i64[its documents]."""

    account: Account
    numbers: tuple[Ints, ...]

    def of(self, source: int, rows: Batch) -> Batch:
        """A source's rows with the numbers of all; fill stays -1."""
        own = self.numbers[source][np.maximum(rows.documents, 0)]
        return replace(rows, documents=np.where(rows.documents >= 0, own, -1))


def numbering(sources: Sequence[Account]) -> Numbering:
    """One numbering of several sources; a document that two of them have is one document.

    Cost: a sort of all ids.
    """
    each = [pl.DataFrame({"doc_id": one.doc_id, "targets": one.targets}) for one in sources]
    whole = pl.concat(each).group_by("doc_id").agg(pl.col("targets").max()).sort("doc_id")
    whole = whole.with_columns(number=pl.int_range(pl.len(), dtype=pl.Int64))
    numbers = [one.select("doc_id").join(whole, on="doc_id", how="left", maintain_order="left") for one in each]
    account = Account(doc_id=whole["doc_id"], targets=whole["targets"].to_numpy().astype(np.int64))
    return Numbering(account=account, numbers=tuple(one["number"].to_numpy().astype(np.int64) for one in numbers))


def account_of(batches: Any) -> Account | None:
    """The documents of batches; None where these do not know them."""
    return getattr(batches, "account", None)
