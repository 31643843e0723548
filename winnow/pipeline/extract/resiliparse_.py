"""`resiliparse`: the fast extractor of DCLM, rules over a tree that a browser would build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.pipeline.extract.extraction import Extract, Extraction


@dataclass(frozen=True, kw_only=True)
class Resiliparse(Extraction):
    """Main text of web pages by Resiliparse's rules: `text`, empty where none was found, and `title`.

    Paragraphs and list items on lines of their own. `main_content: false` gives all that a page shows.

    Cost: one parse per page.
    Source: Bevendorff et al. 2018 (Elastic ChatNoir), library resiliparse; the extractor of DCLM, Li et al. 2024,
    section 4.2
    """

    name: ClassVar[str] = "resiliparse"
    uses: ClassVar[tuple[str, ...]] = ("resiliparse",)

    main_content: bool = True  # false: all visible text, menus too
    comments: bool = False  # readers' comments count as main content
    links: bool = False  # targets of links behind their words
    alt_texts: bool = True  # what pages say of their images

    def validate(self) -> None:
        """Raises: ConfigError where `comments` has no effect, besides what all extractors refuse."""
        super().validate()
        if self.comments and not self.main_content:
            what = "`comments` has no effect: all that a page shows holds its comments"
            raise ConfigError(what, where="comments", hint="leave out `comments`, or `main_content: false`")

    def extractor(self) -> Extract:
        """Page -> text, by `resiliparse.extract.html2text`."""
        from resiliparse.extract.html2text import extract_plain_text

        options: dict[str, Any] = {
            "main_content": self.main_content, "comments": self.comments or not self.main_content,
            "links": self.links, "alt_texts": self.alt_texts, "preserve_formatting": True,
        }  # fmt: skip
        return lambda page: str(extract_plain_text(page, **options)).strip()
