"""`trafilatura`: the thorough extractor of FineWeb and RefinedWeb, rules and fallbacks over an lxml tree."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar, Literal

from winnow.core.errors import ConfigError
from winnow.pipeline.extract.extraction import Extract, Extraction


@dataclass(frozen=True, kw_only=True)
class Trafilatura(Extraction):
    """Main text of web pages by trafilatura's rules: `text`, empty where none was found, and `title`.

    FineWeb's form is `favor: precision`. The library's `deduplicate` is left out: it remembers earlier pages, so that a
    page's text would hang on the pages before it.

    Cost: one parse per page, and without `fast` up to two other extractors where the first finds little.
    Source: Barbaresi 2021, library trafilatura; the extractor of FineWeb, Penedo et al. 2024, section 3.2
    """

    name: ClassVar[str] = "trafilatura"
    uses: ClassVar[tuple[str, ...]] = ("trafilatura", "lxml", "jusText")

    own_tables: ClassVar[bool] = True

    fast: bool = False  # no second and third extractor where the first finds little
    favor: Literal["balanced", "precision", "recall"] = "balanced"
    comments: bool = False  # readers' comments behind the text
    tables: bool = True
    links: bool = False  # targets of links, as Markdown writes them

    def validate(self) -> None:
        """Raises: ConfigError where `markdown` asks for tables that are left out, besides what all refuse."""
        super().validate()
        if not self.tables and "tables" in self.markdown:
            hint = "leave out `tables: false`, or name the other kinds: `markdown: [formulas, code]`"
            raise ConfigError(
                "`markdown` asks for tables, and `tables: false` leaves them out", where="tables", hint=hint
            )

    def extractor(self) -> Extract:
        """Page -> text, by `trafilatura.extract`."""
        from trafilatura import extract

        logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # of each page without text: it is counted
        logging.getLogger("readability").setLevel(logging.CRITICAL)
        precision, recall = self.favor == "precision", self.favor == "recall"
        return lambda page: extract(
            page, fast=self.fast, favor_precision=precision, favor_recall=recall, include_comments=self.comments,
            include_tables=self.tables, include_links=self.links, deduplicate=False,
        )  # fmt: skip
