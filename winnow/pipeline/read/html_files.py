"""Web pages that lie as files: one document each, with the encoding that its bytes are in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Bad, Derive, FileSlice, FoundFile, Schema, Tell, port
from winnow.core.operators.contract import Meaning
from winnow.core.store.packing import with_packed, without_packed
from winnow.pipeline.read.byte_stream import whole_file
from winnow.pipeline.read.charset import decode_page
from winnow.pipeline.read.document import RefusedError, Rows, check_found, check_id, check_record_limit

_PAGES = (".html", ".htm", ".xhtml")
_HOLDERS = ("path", "stem", "name")
_HOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, kw_only=True)
class HtmlFiles(Derive):
    """Pages from .html, .htm and .xhtml files (also .gz, .zst, .bz2, .xz), one per file; `text` is the HTML.

    `charset`, `charset_from` (bom, meta, bytes, detected) and `replaced` (places that fit no character) say how bytes
    became text. `url` makes a column of the relative path: `{path}`, `{stem}` (without the suffix) or `{name}`
    (the file's name) stands in it, as in `https://a.org/{stem}`. Quarantined are: too_large, corrupt.
    Cost: about 7 ms of one core per MB (packed with gzip). Memory: one page of at most `max_record_mb`, three times.
    Source: own.
    """

    name: ClassVar[str] = "html_files"
    meaning: ClassVar[Mapping[str, Meaning]] = {"base": "free", "source": "free", "id": "closed", "url": "closed"}
    suffixes: ClassVar[tuple[str, ...]] = with_packed(*_PAGES)
    lines: ClassVar[bool] = False
    pages: ClassVar[bool] = True
    files: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})
    source: str = ""
    id: str = "position"
    url: str = "{path}"
    max_record_mb: int = 64

    def outputs(self) -> Schema:
        """The page's address and how its bytes were read."""
        text = pa.large_string()
        return {"url": text, "charset": text, "charset_from": text, "replaced": pa.int64()}

    def validate(self) -> None:
        """Raises: ConfigError where a field cannot work."""
        check_id(self.id, fields=False)
        check_record_limit(self.max_record_mb)
        held = _HOLDER.findall(self.url)
        wrong = [name for name in held if name not in _HOLDERS]
        if wrong or not held:
            what = f"{{{wrong[0]}}} is nothing of a path" if wrong else "all pages would have one address"
            raise ConfigError(what, where="url", hint="use {path}, {stem} or {name}, as in https://a.org/{stem}")

    def choose(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """All files. Raises: ConfigError where two share a relative path."""
        check_found(found)
        return list(found)

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables of about 4 MB; the locator is ''."""
        rows = Rows(self.outputs(), with_ids=False)
        for piece in unit:
            try:
                page = decode_page(whole_file(piece, self.max_record_mb))
            except RefusedError as refused:
                bad(Bad(origin=piece.rel, error=refused.error, message=str(refused)))
                continue
            extra = (self._address(piece.rel), page.charset, page.found_by, page.replaced)
            rows.add(page.text, piece.rel, "", size=len(page.text), extra=extra)
            if rows.full:
                yield rows.take()
        if rows:
            yield rows.take()

    def _address(self, rel: str) -> str:
        bare = without_packed(rel)
        stem = next((bare.removesuffix(page) for page in _PAGES if bare.endswith(page)), bare)
        values = {"path": bare, "stem": stem, "name": bare.rpartition("/")[2]}
        return _HOLDER.sub(lambda found: values[found[1]], self.url)
