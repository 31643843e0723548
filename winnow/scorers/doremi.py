"""Shares of domains by the losses of a proxy model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import rng, row_ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.numerics.shares import average_shares
from winnow.core.operators import Context, Fit, Schema

Floats = npt.NDArray[np.float64]

WEIGHTS = "weights.json"


@dataclass(frozen=True, kw_only=True)
class Doremi(Fit):
    """Shares of domains by where a proxy model has most to learn: the result's `weights`, adding up to 1.

    Every document has a loss of a reference model and of a proxy model that saw more or other training (sums over
    the document, nats or bits) and a length. Its excess is max(0, proxy - reference), per unit of length. The
    documents are dealt by lot into `steps` batches; each batch raises the shares of the domains with excess loss,
    softmax(log share + eta * excess), less `smoothing` spread over all; the weights are the average over all steps.
    A domain that is absent from a batch keeps its last excess. Give the stage to `mixture` as `weights_from`.

    With losses of a fixed proxy this is the update rule of DoReMi, not its training run: the proxy does not react
    to the shares. Clipping at 0 is per document here, per token there. Documents without a value of `per`, a loss
    or a length above 0 are left out and counted.

    Raises:
        DataError: no document has all of them, or a loss is infinite.
    Cost: one pass; losses of all documents in memory.
    Source: DoReMi (Xie et al. 2023); smoothing 1e-4 in its code, 1e-3 from memory for the paper; batches by lot own.
    """

    name: ClassVar[str] = "doremi"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("per", "proxy", "reference", "length")

    per: tuple[str, ...]
    proxy: str
    reference: str
    length: str = "token_count"
    steps: int = 200
    eta: float = 1.0
    smoothing: float = 1e-3
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """doc_id, the domains, both losses and the length."""
        return columns_of(self.proxy, self.reference, self.length, *self.per)

    def validate(self) -> None:
        """Raise ConfigError without domains, for no steps, or a step that is none."""
        if not self.per:
            raise ConfigError("no domains", where="per", hint="name the column whose values get shares")
        if self.steps < 1:
            raise ConfigError(f"{self.steps} steps", where="steps", hint="1 or more")
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"smoothing is {self.smoothing}, and lies in [0, 1)", where="smoothing")
        if not 0 < self.eta < float("inf"):
            raise ConfigError(f"eta is {self.eta}, and must be above 0", where="eta")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a loss or the length is no number."""
        for field in ("proxy", "reference", "length"):
            kind = types[getattr(self, field)]
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise ConfigError(f"{getattr(self, field)!r} is {kind}, not a number", where=field)

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Domain, step, excess and length of the documents that have them."""
        step = rng.keys(rows["doc_id"], seed=ctx.seed, salt=f"doremi\0{self.salt}") % np.uint64(self.steps)
        loss = pl.col(self.proxy).cast(pl.Float64) - pl.col(self.reference).cast(pl.Float64)
        losses = rows.select("doc_id", loss.alias("excess"), pl.col(self.length).cast(pl.Int64).alias("length"))
        labels = row_ranks.labels(rows, self.per)
        assert labels is not None
        return losses.with_columns(labels.alias("domain"), pl.Series("step", step.astype(np.int64)))

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write the weights and return them; also how often and how far domains are in excess."""
        import orjson

        known = sample.filter(
            pl.col("domain").is_not_null() & pl.col("excess").is_not_null() & pl.col("excess").is_not_nan()
            & (pl.col("length") > 0)
        )  # fmt: skip
        if not known.height:
            raise DataError("no document has a domain, two losses and a length", where="per")
        most = float(known["excess"].max())  # type: ignore[arg-type]
        if known["excess"].is_infinite().any() or most * known.height >= 2.0**42:
            what = f"{self.proxy!r} or {self.reference!r} is infinite or too large to be a loss: an excess of {most:g}"
            raise DataError(what, where="proxy", hint="mend the losses, or leave such rows out with `where:`")
        names = sorted(known["domain"].unique())
        table = self._table(known, names)
        shares = average_shares(table, eta=self.eta, smoothing=self.smoothing)
        weights = dict(zip(names, shares.tolist(), strict=True))
        (ctx.work / WEIGHTS).write_bytes(orjson.dumps({"weights": weights}, option=orjson.OPT_SORT_KEYS))
        return {"weights": weights, "documents": known.height, "left_out": sample.height - known.height}

    def _table(self, known: pl.DataFrame, names: list[str]) -> np.ndarray:
        """Excess per unit of length, f64[steps, domains]; NaN where no document is; sums in units of 2^-20."""
        units = (known["excess"].clip(lower_bound=0.0).to_numpy() * 2.0**20).round().astype(np.int64)
        number = known["domain"].replace_strict({n: i for i, n in enumerate(names)}, return_dtype=pl.Int64)
        sums = known.select("step", "length", number.alias("at"), pl.Series("units", units))
        sums = sums.group_by("step", "at").agg(pl.col("units", "length").sum())
        table = np.full((self.steps, len(names)), np.nan)
        table[sums["step"].to_numpy(), sums["at"].to_numpy()] = (
            sums["units"].to_numpy() * 2.0**-20 / sums["length"].to_numpy()
        )
        return table
