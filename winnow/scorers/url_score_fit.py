"""A classifier of addresses: of documents one wants more of against the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import rng
from winnow.core.operators import Context, Fit, Schema, sql
from winnow.core.operators.sql_truth import check_truth
from winnow.core.store.no_value import frame_without_nan
from winnow.scorers.fasttext_fit import MODEL, balanced_lines, fit_model

LONGEST_ADDRESS = 300  # characters that are read


@dataclass(frozen=True, kw_only=True)
class UrlColumnOf:
    """Where the addresses are."""

    column: str = "url"


@dataclass(frozen=True, kw_only=True)
class UrlScoreSettings(UrlColumnOf):
    """How a classifier of addresses is fitted."""

    positive: str  # SQL: true for documents one wants more of, false for others; null ones are not fitted on
    shortest: int = 3  # characters of the n-grams
    longest: int = 6
    dim: int = 16
    bucket: int = 200_000
    epoch: int = 5
    lr: float = 0.2
    most: int = 20_000  # addresses of each side, those of the smallest keys

    def validate(self) -> None:
        """Raises: ConfigError where fastText could not fit with these numbers."""
        sql.expression(self.positive, where="positive")
        if not self.column:
            raise ConfigError("no column", where="column", hint="the column of the addresses, such as `url`")
        for field in ("shortest", "dim", "bucket", "epoch", "most"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}", where=field, hint="it must be at least 1")
        if self.longest < self.shortest:
            raise ConfigError(f"longest is {self.longest} and shortest {self.shortest}", where="longest",
                              hint="for example `shortest: 3, longest: 6`")  # fmt: skip
        if not 0.0 < self.lr < float("inf"):
            raise ConfigError(f"lr is {self.lr}", where="lr", hint="a positive step, such as 0.2")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the column holds no text, or `positive` is no truth value."""
        named = {name: types[name] for name in sql.column_names(self.positive) if name in types}
        if len(named) == len(sql.column_names(self.positive)):
            check_truth(self.positive, named, where="positive")
        kind = types.get(self.column)
        if kind is not None and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise ConfigError(
                f"column {self.column!r} is {kind}, and no text", where="column", hint="declare it as `string`"
            )


@dataclass(frozen=True, kw_only=True)
class UrlScoreFit(UrlScoreSettings, Fit):
    """A fastText classifier (`model.bin`) of addresses: those of `positive` against the others.

    The same addresses, seed and settings give the same bytes (one machine type): see `fit_model`.

    Source: Joulin et al. 2017 (fastText).
    """

    name: ClassVar[str] = "url_score_fit"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("fasttext-numpy2",)
    columns_from: ClassVar[tuple[str, ...]] = ("column", "positive")
    seeded: ClassVar[bool] = True

    def needs(self) -> tuple[str, ...]:
        """The id, which decides whether a row is sampled, the address, and what tells the sides apart."""
        return tuple(dict.fromkeys(("doc_id", self.column, *sql.column_names(self.positive))))

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """At most `most` addresses of each side, those of the smallest keys: doc_id, key, good, line."""
        good = sql.expression(self.positive, where="positive").cast(pl.Boolean).alias("good")
        some = frame_without_nan(rows).select("doc_id", good, line=line_of(pl.col(self.column)))
        some = some.filter(pl.col("line").str.len_bytes() > 0, pl.col("good").is_not_null())
        keys = pl.Series("key", rng.keys(some["doc_id"], seed=ctx.seed, salt="url_score"), dtype=pl.UInt64)
        return _smallest(some.with_columns(keys), self.most)

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write `model.bin`; the counts of what it was fitted on.

        Raises: DataError where a side is empty or the fit diverges; EngineError where its process dies.
        """
        sample = _smallest(sample, self.most)
        wanted, others = (sample.filter(good=good)["line"].to_list() for good in (True, False))
        for side, kind in ((wanted, "positive"), (others, "other")):
            if not side:
                raise DataError(f"no {kind} document has a {self.column!r}", where="url_score.fit",
                                hint="check `positive:`, `column:` and `where:`")  # fmt: skip
        lines = balanced_lines(wanted, others, seed=ctx.seed)
        settings = {
            "dim": self.dim, "minn": self.shortest, "maxn": self.longest, "wordNgrams": 2, "bucket": self.bucket,
            "epoch": self.epoch, "lr": self.lr, "seed": ctx.seed % 2**31,
        }  # fmt: skip
        fit_model(lines, settings, ctx.work / MODEL)
        return {"positive_addresses": len(wanted), "other_addresses": len(others), "lines": len(lines)}


def _smallest(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """The `most` rows of the smallest keys of each side, by key."""
    sides = [rows.filter(good=good).sort("key", "doc_id").head(most) for good in (True, False)]
    return pl.concat(sides).select("doc_id", "key", "good", "line").sort("key", "doc_id")


def line_of(url: pl.Expr) -> pl.Expr:
    """An address as fastText reads it: whole, for n-grams across its signs, then its words; "" where there is none.

    In small letters, without scheme, user, `www.`, fragment and a last `/`, cut at 300 characters.
    """
    bare = url.str.strip_chars().str.to_lowercase().str.replace(r"^[a-z][a-z0-9+.-]{0,20}://", "")
    bare = bare.str.replace(r"^[^/@]{0,200}@", "").str.replace(r"^www\d{0,2}\.", "")
    bare = bare.str.replace(r"#.*$", "").str.strip_chars_end("/").str.replace_all(r"\s", "").str.head(LONGEST_ADDRESS)
    words = bare.str.extract_all(r"[\p{L}\p{N}]+").list.join(" ")
    return pl.when(bare.str.len_bytes() > 0).then(pl.concat_str(bare, words, separator=" ")).otherwise(bare)
