"""What folds hold, and that every selection lies in its own and leaves something of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from winnow.core.errors import DataError
from winnow.core.operators import Source
from winnow.core.store.schema import STATE, STATE_OK
from winnow.trainers.ablation.fold_of_pool import COLUMN

HINT = "fewer seeds (each has a fold), a smaller budget, or a comparison without folds"


@dataclass(kw_only=True)
class FoldFacts:
    """The folds of a pool (doc_id, text_bytes, in ascending doc_id) and what is selected from them.

    `budgets` {selection: its budget in one fold} are those that a fold may be too small for.
    """

    pool: pl.DataFrame
    folds: Source
    num: int
    budgets: Mapping[str, str] = field(default_factory=dict)
    selected: dict[str, int] = field(default_factory=dict)  # selection -> bytes of text

    def __post_init__(self) -> None:
        self.home = self.folds.frame("doc_id", COLUMN).join(self.pool, on="doc_id", how="left").sort("doc_id")

    def add(self, name: str, fold: int, rows: pl.DataFrame, source: Source) -> None:
        """A selection, its documents in `rows`.

        Raises:
            DataError: it holds documents of another fold, none at all, or all that its fold has though it has a budget.
        """
        chosen = rows.select("doc_id").join(self.home, on="doc_id", how="left")
        outside = chosen.filter(pl.col(COLUMN).ne_missing(fold))
        if outside.height:
            raise DataError(
                f"{outside.height:,} of {rows.height:,} documents, {outside['doc_id'][0].hex()} first, are not of fold "
                f"{fold}", where=f"arm {name!r}", hint="this selector cannot be restricted to a fold; compare without "
                "folds",
            )  # fmt: skip
        self.selected[name] = int(chosen["text_bytes"].sum() or 0)
        if name in self.budgets or not rows.height:
            self._check_size(name, fold, rows, source)

    def _check_size(self, name: str, fold: int, rows: pl.DataFrame, source: Source) -> None:
        asked = source.frame("doc_id", STATE).filter(pl.col(STATE) == STATE_OK)
        size = int(asked.join(self.home, on="doc_id", how="left")["text_bytes"].sum() or 0)
        holds = f"fold {fold} of {self.num} holds {asked.height:,} candidates, {size:,} bytes of text"
        budget = f"a budget of {self.budgets[name]}" if name in self.budgets else "this selection"
        if not rows.height:
            raise DataError(f"{holds}, and {budget} takes none of them", where=f"arm {name!r}", hint=HINT)
        repeated = "weight" in rows.columns and bool((rows["weight"] > 1).any())
        if rows.height >= asked.height and not repeated:
            raise DataError(f"{holds}, and {budget} takes all of them: nothing is chosen", where=f"arm {name!r}",
                            hint=HINT)  # fmt: skip

    def table(self) -> dict[str, Any]:
        """`num`; of every fold `documents` and `bytes`; and `selected` {selection: bytes}."""
        sizes = self.home["text_bytes"].fill_null(0).to_numpy().astype(np.float64)
        fold = self.home[COLUMN].to_numpy()
        held = np.bincount(fold, weights=sizes, minlength=self.num)
        return {
            "num": self.num,
            "documents": np.bincount(fold, minlength=self.num).tolist(),
            "bytes": [int(size) for size in held],
            "selected": self.selected,
        }
