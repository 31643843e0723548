"""Costs of documents that can be added up: whole numbers, none absurd, sums that stay inside 64 bits.

A sum that wraps at 2^64 is a small number, and a selection by it looks fine. So a document costs at most 2^40 units
(1.1e12 tokens: a text of a terabyte), and all of them together at most 2^62; what is more is refused by name.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError

MOST_EACH = 1 << 40
MOST = 1 << 62


def checked(cost: pl.Series, doc_id: pl.Series | None = None) -> pl.Series:
    """The costs. Raises: DataError naming the document that costs more than any can."""
    if cost.dtype.is_integer() and cost.len() and int(cost.max() or 0) > MOST_EACH:  # type: ignore[arg-type]
        at = int(cost.fill_null(0).arg_max() or 0)
        named = "" if doc_id is None else f" for document {doc_id[at].hex()}"
        raise DataError(
            f"{cost.name!r} is {cost[at]:,}{named}, more than any document can have (2^40)",
            hint="mend the column where it is made, or let a stage count: `{use: count_tokens}`",
        )
    return cost


def total(values: npt.NDArray[np.int64], name: str = "the cost") -> int:
    """The exact sum. Raises: DataError where it leaves 2^62."""
    found = (int((values >> 31).sum()) << 31) + int((values & ((1 << 31) - 1)).sum())
    if abs(found) > MOST:
        raise DataError(f"{name} adds up to {found:,}, more than 2^62", hint="mend the column where it is made")
    return found
