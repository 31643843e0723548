"""A random selection whose documents are as long as those of another one.

A selector that prefers long documents changes two things at once. Against a random draw of the same lengths, what is
left of its effect is not the length. The pool and the other selection are cut into bins of a quarter of a doubling of
tokens; each bin is drawn by lot until it holds the tokens that the other selection has there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import rng
from winnow.core.numerics.selections import SELECTION
from winnow.core.operators import Context, Schema, Whole, port

BINS_PER_DOUBLING = 4
MOST_BITS = 40
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LengthMatched(Whole):
    """Documents drawn by lot with the lengths of another selection: `kept`, and `weight` 1 or 0.

    `like` is the selection to match, of the same documents; it may itself be drawn from. A bin with too few documents
    is taken whole, and what is missing is reported. Documents without tokens are never kept.

    Cost: one sort; 40 bytes per document.
    Source: own (length-matched control)
    """

    name: ClassVar[str] = "length_matched"
    role: ClassVar[str] = "selector"
    population: ClassVar[bool] = True
    seeded: ClassVar[bool] = True

    like: str = port("ref", default="")
    salt: str = ""

    def validate(self) -> None:
        """Raise ConfigError where no selection is named."""
        if not self.like:
            raise ConfigError("no selection to match is named", where="like", hint="name the stage of an arm")

    def needs(self) -> tuple[str, ...]:
        """doc_id and the number of tokens."""
        return ("doc_id", "token_count")

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """Which documents the arm keeps."""
        return {"like": ("doc_id",)}

    def outputs(self) -> Schema:
        """`kept` and `weight`."""
        return SELECTION

    def solve(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """All rows -> the draw.

        Raises:
            DataError: the other selection is empty, or its documents have no token counts here.
        """
        chosen = ctx.ref("like").frame("doc_id", where_kept=True)
        tokens = rows["token_count"].fill_null(0).cast(pl.Int64).to_numpy()
        alike = rows["doc_id"].is_in(chosen["doc_id"].implode()).to_numpy() & (tokens > 0)
        if len(rows) and not alike.any():
            raise DataError(
                f"none of the {len(chosen)} documents of the selection is among these {len(rows)}", where="like",
                hint="`like` and this stage select from the same population",
            )  # fmt: skip
        bins = np.searchsorted(_edges(), tokens, side="right")
        wanted = np.bincount(bins[alike], weights=tokens[alike], minlength=len(_edges()) + 1).astype(np.int64)
        lots = rng.uniform(rows["doc_id"], seed=ctx.seed, salt=f"length_matched{self.salt}")
        kept = _drawn(bins, tokens, lots, wanted) & (tokens > 0)
        _tell(ctx, tokens, kept, alike)
        return pl.DataFrame({"kept": kept, "weight": kept.astype(np.float64)})


def _edges() -> Ints:
    """Lower ends of the bins, in tokens, ascending; equal ones fall together."""
    exact = [round(2 ** (k / BINS_PER_DOUBLING)) for k in range(MOST_BITS * BINS_PER_DOUBLING)]
    return np.unique(np.asarray(exact, dtype=np.int64))


def _drawn(bins: Ints, tokens: Ints, lots: npt.NDArray[np.float64], wanted: Ints) -> npt.NDArray[np.bool_]:
    """Rows in the order of their lots within each bin, until the bin's tokens are nearest to what is wanted."""
    order = np.lexsort((lots, bins))
    ends = np.cumsum(tokens[order])
    first = np.searchsorted(bins[order], bins[order], side="left")
    before = ends - tokens[order] - np.concatenate(([0], ends))[first]
    kept = np.zeros(len(bins), dtype=np.bool_)
    kept[order] = 2 * before + tokens[order] <= 2 * wanted[bins[order]]
    return kept


def _tell(ctx: Context, tokens: Ints, kept: npt.NDArray[np.bool_], alike: npt.NDArray[np.bool_]) -> None:
    mine, other = int(tokens[kept].sum()), int(tokens[alike].sum())
    lengths = [float(np.median(tokens[rows])) if rows.any() else 0.0 for rows in (kept, alike)]
    ctx.note("tokens", {"kept": mine, "matched": other})
    ctx.note("median_tokens", {"kept": lengths[0], "matched": lengths[1]})
    ctx.note("summary", f"{mine:,} tokens for {other:,}; median length {lengths[0]:,.0f} for {lengths[1]:,.0f}")
