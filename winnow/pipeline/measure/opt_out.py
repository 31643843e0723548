"""What a page says about being used: robots directives and reserved rights, in its HTML and its HTTP headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Map, Schema

DIRECTIVES = {  # column -> directives of robots that say it
    "opt_out_noai": ("noai",), "opt_out_noimageai": ("noimageai",), "opt_out_noindex": ("noindex", "none"),
    "opt_out_noarchive": ("noarchive", "nocache"),
}  # fmt: skip
_META = r"(?i)<meta\s[^>]{0,2000}>"
_NAME = r"""(?i)\sname\s{0,9}=\s{0,9}["']?\s{0,9}([a-z0-9_.:-]{1,80})"""
_CONTENT = r"""(?i)\scontent\s{0,9}=\s{0,9}(?:"([^"]{0,1000})|'([^']{0,1000})|([^\s"'>]{1,1000}))"""
_AGENTS = r"(?i)(?:bot|robots|crawler|spider|extended|slurp)$"  # names of meta tags that speak to robots
_TAGS = "tags"  # counter: documents with a tag of HTML at all


@dataclass(frozen=True, kw_only=True)
class OptOut(Map):
    """Whether a page asks not to be used for text and data mining or AI, `opt_out`, and its directives: true or false.

    Read are, in the first `head` characters of the HTML, meta tags called `robots` or like a robot (`GPTBot`, all
    that end in bot, robots, crawler, spider, extended), and `tdm-reservation`, `tdm-policy`; of HTTP headers the
    columns that `robots_tag` (X-Robots-Tag) and `tdm_header` (TDM-Reservation) name: the reader `warc` keeps
    `x_robots_tag` and `tdm_reservation`. Directives count whichever robot they speak to. `opt_out_tdm`: the
    reservation is 1; `opt_out_policy`: the address of its policy. `opt_out` is true where `opt_out_noai` or
    `opt_out_tdm` is. The preset `no_opt_out` of `filter` drops those pages. Null where the page is null. robots.txt
    and ai.txt are of a site, not of a page, and are not read.

    Raises: ConfigError for a `head` below 100, or a column that is no text.
    Cost: linear in the first `head` characters.
    Source: Robots Meta Tags and X-Robots-Tag as search engines document them; `noai` of DeviantArt (2022); TDM
        Reservation Protocol (W3C community group, 2024)
    """

    name: ClassVar[str] = "opt_out"
    role: ClassVar[str] = "signal"
    of_pages: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("html", "robots_tag", "tdm_header")

    html: str = "text"  # column that holds the page
    robots_tag: str | None = None  # column of the X-Robots-Tag header
    tdm_header: str | None = None  # column of the TDM-Reservation header
    head: int = 50_000  # characters of HTML that are looked at

    def validate(self) -> None:
        """Raise ConfigError where no tag could be found."""
        if self.head < 100:
            raise ConfigError(f"head is {self.head}", where="head", hint="100 characters or more")

    def needs(self) -> tuple[str, ...]:
        """The HTML, and the columns of headers."""
        return (self.html, *(name for name in (self.robots_tag, self.tdm_header) if name))

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a header's column is no text."""
        for where in self.columns_from:
            kind = types.get(getattr(self, where) or "")
            if kind is not None and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise ConfigError(f"column {getattr(self, where)!r} is {kind}, and no text", where=where,
                                  hint="declare it as `string`")  # fmt: skip

    def outputs(self) -> Schema:
        """Truth values, and the address of a policy."""
        columns = dict.fromkeys(("opt_out", *DIRECTIVES, "opt_out_tdm"), pa.bool_())
        return {**columns, "opt_out_policy": pa.large_string()}

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """That no text is HTML."""
        rows = counts.get("rows", 0) - counts.get("masked", 0)
        if not rows or counts.get(_TAGS, 0) or self.robots_tag or self.tdm_header:
            return ()
        told = f"none of {rows:,} texts holds a tag of HTML: read the pages before they are extracted (`text: STAGE`)"
        return (told,)

    def open(self, ctx: Context) -> Columns:
        """Batch -> columns."""

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            head = batch[self.html].str.head(self.head)
            ctx.count(_TAGS, int(head.str.contains(r"<[a-zA-Z!/]").sum() or 0))
            tags = _tags(head)
            robots = [tags.filter(pl.col("name").str.contains(_AGENTS)).select("row", said="content")]
            tdm = [tags.filter(pl.col("name") == "tdm-reservation").select("row", said="content")]
            policy = tags.filter(pl.col("name") == "tdm-policy").group_by("row").agg(pl.col("content").first())
            for name, said in ((self.robots_tag, robots), (self.tdm_header, tdm)):
                if name:
                    said.append(batch.select(row=pl.int_range(pl.len(), dtype=pl.UInt32), said=pl.col(name)))
            return _answer(len(batch), batch[self.html].is_not_null(), pl.concat(robots), pl.concat(tdm), policy)

        return columns


def _tags(head: pl.Series) -> pl.DataFrame:
    """row, name, content of the meta tags of a batch, in their order."""
    found = pl.DataFrame({"tag": head.str.extract_all(_META)}).with_row_index("row").explode("tag").drop_nulls("tag")
    content = pl.coalesce(pl.col("tag").str.extract(_CONTENT, group) for group in (1, 2, 3))
    name = pl.col("tag").str.extract(_NAME).str.to_lowercase()
    return found.select("row", name=name, content=content.fill_null("").str.strip_chars())


def _answer(rows: int, known: pl.Series, robots: pl.DataFrame, tdm: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    words = robots.with_columns(pl.col("said").str.to_lowercase().str.extract_all(r"[a-z][a-z_-]*")).explode("said")
    said = {name: _marked(rows, words.filter(pl.col("said").is_in(each))["row"]) for name, each in DIRECTIVES.items()}
    reserved = _marked(rows, tdm.filter(pl.col("said").str.strip_chars().str.contains(r"^1(?:\D|$)"))["row"])
    places = pl.Series("policy", [None] * rows, dtype=pl.String)
    if len(policy):
        places = places.scatter(policy["row"], policy["content"])
    frame = pl.DataFrame({"opt_out": said["opt_out_noai"] | reserved, **said, "opt_out_tdm": reserved,
                          "opt_out_policy": places})  # fmt: skip
    return frame.select(pl.when(known).then(pl.all()))


def _marked(rows: int, which: pl.Series) -> pl.Series:
    """True at the rows of `which`, bool[rows]."""
    return pl.Series(pl.int_range(rows, dtype=pl.UInt32, eager=True)).is_in(which.unique().implode())
