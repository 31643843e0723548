"""The licence that a file of code says it is under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema
from winnow.pipeline.measure.licence_terms import FREE, kind_of, known_licences

_SPDX = r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9(][A-Za-z0-9.+\-(): \t]{0,200})"
_UNKNOWN = "unknown_name"  # counter


@dataclass(frozen=True, kw_only=True)
class Licence(Map):
    """The licence of a file, as SPDX names it: `licence`, and whether it is a permissive one, `licence_permissive`.

    Looked for in the first `head` characters: an `SPDX-License-Identifier:` (an expression such as `MIT OR GPL-2.0+`),
    else the text or header of one of about forty licences by phrases of its own, whatever comment signs and line ends
    stand between the words. `licence_from` is `spdx` or `text`. `licence_kind` is public_domain, permissive,
    weak_copyleft, copyleft, non_commercial or proprietary: of alternatives (OR) the freest, of AND the least free. It
    is null, as is `licence_permissive`, where there is no licence or SPDX's name is not known. A GPL without a word on
    later versions is `-only`. Without a licence in the file its repository may have one: null is not "free".

    Raises: ConfigError for a `head` below 100.
    Cost: one pass over the first `head` characters, more where a phrase is found.
    Source: own; names of SPDX, permissive ones alone kept as in The Stack (Kocetkov et al. 2022)
    """

    name: ClassVar[str] = "licence"
    role: ClassVar[str] = "signal"

    head: int = 8000  # characters that are looked at

    def validate(self) -> None:
        """Raise ConfigError where no licence could be found."""
        if self.head < 100:
            raise ConfigError(f"head is {self.head}", where="head", hint="100 characters or more")

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def data(self) -> Mapping[str, Any]:
        """The licences that are known: others are other answers."""
        return {"licences": [[one.id, one.kind, *one.phrases] for one in known_licences()]}

    def outputs(self) -> Schema:
        """Null where nothing is found."""
        text = pa.large_string()
        return {"licence": text, "licence_from": text, "licence_kind": text, "licence_permissive": pa.bool_()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Names that are not known."""
        odd = counts.get(_UNKNOWN, 0)
        told = f"{odd:,} documents name a licence that is not known: their `licence_kind` is null"
        return (told,) if odd else ()

    def open(self, ctx: Context) -> Columns:
        """Batch -> columns."""
        texts = _by_text()
        phrases = sorted({phrase for one in known_licences() for phrase in one.phrases})

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            head = batch.select(pl.col("text").str.head(self.head))
            spdx = head["text"].str.extract(_SPDX).str.replace_all(r"\s+", " ").str.strip_chars(" -:")
            spdx = spdx.replace("", None)
            rest = head.filter(spdx.is_null()).select(_plain("text"))
            some = rest["text"].str.contains_any(phrases).fill_null(value=False)
            found = pl.Series([None], dtype=pl.String).extend_constant(None, len(rest)).head(len(rest))
            if some.any():
                found = found.scatter(some.arg_true(), rest.filter(some).select(texts).to_series())
            by_text = pl.Series("by_text", [None] * len(head), dtype=pl.String).scatter(
                spdx.is_null().arg_true(), found
            )
            frame = pl.DataFrame({"spdx": spdx, "by_text": by_text})
            return _answer(frame, ctx)

        return columns


def _plain(name: str) -> pl.Expr:
    """Words in small letters with one blank between: comment signs, line ends and other marks are none."""
    return pl.col(name).str.to_lowercase().str.replace_all(r"[^a-z0-9.+]+", " ")


def _by_text() -> pl.Expr:
    """The first licence of which all phrases are there."""
    chosen: Any = pl
    for one in known_licences():
        there = pl.all_horizontal(pl.col("text").str.contains(phrase, literal=True) for phrase in one.phrases)
        chosen = chosen.when(there).then(pl.lit(one.id))
    return chosen.otherwise(None).alias("licence")  # type: ignore[no-any-return]


def _answer(found: pl.DataFrame, ctx: Context) -> pl.DataFrame:
    names = found.select(licence=pl.coalesce("spdx", "by_text"))["licence"]
    distinct = names.drop_nulls().unique()
    kinds = pl.Series([kind_of(name) for name in distinct.to_list()], dtype=pl.String)
    kind = names.replace_strict(distinct, kinds, default=None, return_dtype=pl.String)
    ctx.count(_UNKNOWN, int((names.is_not_null() & kind.is_null()).sum()))
    spdx = pl.when(pl.col("spdx").is_not_null()).then(pl.lit("spdx"))
    source = spdx.when(pl.col("by_text").is_not_null()).then(pl.lit("text"))
    return pl.DataFrame({
        "licence": names, "licence_from": found.select(source.otherwise(None)).to_series(), "licence_kind": kind,
        "licence_permissive": kind.is_in(FREE),
    })  # fmt: skip
