"""How much the members of an ensemble differ about a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema


@dataclass(frozen=True, kw_only=True)
class Disagreement(Map):
    """Variance of several numbers of each document over their columns, at least 0: what an ensemble does not agree on.

    `of` names one column per member, such as `nats_per_token_s0` and `nats_per_token_s1` of an `lm_nats` over the seeds
    of an arm. The variance is that of these members (divided by their number). Equal members give exactly 0; null where
    one of them is.

    Source: query by committee (Seung et al. 1992), with the variance of losses as the measure
    """

    name: ClassVar[str] = "disagreement"
    role: ClassVar[str] = "scorer"
    columns_from: ClassVar[tuple[str, ...]] = ("of",)

    of: tuple[str, ...]

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: there are fewer than two members, or one is named twice.
        """
        if len(self.of) < 2:
            raise ConfigError(f"{len(self.of)} member{'s' * (len(self.of) != 1)} cannot disagree", where="of",
                              hint="name two columns or more")  # fmt: skip
        if len(set(self.of)) < len(self.of):
            raise ConfigError("a column is named twice", where="of", hint="each member once")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a column holds no numbers."""
        for name in self.of:
            kind = types.get(name)
            if kind is not None and not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                raise ConfigError(f"{name!r} is of type {kind}, and must hold numbers", where="of")

    def needs(self) -> tuple[str, ...]:
        """The members."""
        return self.of

    def outputs(self) -> Schema:
        """`disagreement`."""
        return {"disagreement": pa.float64()}

    def open(self, ctx: Context) -> Columns:
        """Batch of columns -> variance of each row."""
        return lambda batch: pl.DataFrame({"disagreement": variance(batch.select(self.of))})


def variance(members: pl.DataFrame) -> pl.Series:
    """Variance over the columns of every row, null where one is null; sums in the order of the columns.

    Differences to the first member, so that equal numbers have none whatever their mean rounds to.
    """
    values = members.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    with np.errstate(invalid="ignore"):  # infinite losses differ by no number
        over = values - values[:, :1]
        mean = _sum(over) / over.shape[1]
        spread = _sum((over - mean[:, None]) ** 2) / over.shape[1]
    return pl.Series("disagreement", spread).fill_nan(None)


def _sum(columns: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    total = np.zeros(len(columns))
    for at in range(columns.shape[1]):
        total = total + columns[:, at]
    return total
