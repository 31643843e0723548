"""One document per file, and a bounded choice of files that stays put when others are added."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Bad, Derive, FileSlice, FoundFile, port
from winnow.core.operators.budget import parse_bytes
from winnow.core.operators.contract import Meaning
from winnow.core.operators.patterns import matcher
from winnow.core.store.packing import with_packed
from winnow.pipeline.read.byte_stream import whole_file
from winnow.pipeline.read.charset import utf16_hint
from winnow.pipeline.read.document import RefusedError, Rows, check_found, check_id, check_record_limit

_BOM = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class TextFiles(Derive):
    """Documents from plain text files (also .gz, .zst, .bz2, .xz), one per file.

    `only`, `exclude` and `first` hold glob patterns for the relative path or for any part of it (`tests`, `*.so`,
    `std/*`). With `limit`, files are taken in the order (in `first` or not, keyed hash of the path) while
    they fit: adding a file moves nothing but the end of that order. Files left out this way are the recipe's
    choice; files that are no text are quarantined (invalid_text, too_large, corrupt). A leading byte order mark is no
    text. `min_bytes`, `max_bytes` and `limit` count bytes as they lie, compressed where they are.
    Source: own.
    """

    name: ClassVar[str] = "text_files"
    version: ClassVar[int] = 2
    meaning: ClassVar[Mapping[str, Meaning]] = {
        "base": "free", "source": "free", "id": "closed", "only": "patterns", "exclude": "patterns",
        "first": "patterns", "limit": "closed", "encoding": "closed",
    }  # fmt: skip
    suffixes: ClassVar[tuple[str, ...]] = with_packed(".txt", ".md", ".rst")
    files: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})
    source: str = ""
    id: str = "position"
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    min_bytes: int = 0
    max_bytes: int | None = None
    limit: str | None = None
    encoding: str = "utf-8"
    errors: Literal["bad", "replace"] = "bad"
    max_record_mb: int = 256

    def validate(self) -> None:
        """Raises: ConfigError where a field cannot work."""
        check_id(self.id, fields=False)
        if self.max_bytes is not None and self.max_bytes < self.min_bytes:
            what = f"no file has at least {self.min_bytes} and at most {self.max_bytes} bytes"
            raise ConfigError(what, where="max_bytes", hint="raise `max_bytes` or lower `min_bytes`")
        check_record_limit(self.max_record_mb)
        if self.limit is not None:
            try:
                parse_bytes(self.limit)
            except ConfigError as error:
                raise error.at("limit") from error
        try:
            with suppress(UnicodeError):
                b"ab".decode(self.encoding)  # refuses unknown names and codecs that do not give text
        except LookupError as error:
            hint = "use a name that Python knows, such as utf-8 or latin-1"
            raise ConfigError(str(error), where="encoding", hint=hint) from error

    def choose(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """The files in range and not excluded, up to `limit` bytes of them, by relative path.

        Raises: ConfigError where nothing is left or two files share a relative path.
        """
        check_found(found)
        only, excluded = matcher(self.only), matcher(self.exclude)
        named = [f for f in found if (not self.only or only(f.rel)) and not excluded(f.rel)]
        largest = self.max_bytes
        least = self.min_bytes or -1  # a link whose file is gone has no size: refused later unless sizes matter
        sized = [f for f in named if f.size >= least and (largest is None or f.size <= largest)]
        taken = sized if self.limit is None else self._prefix(sized, parse_bytes(self.limit))
        if found and not taken:
            by_name, by_size = len(found) - len(named), len(named) - len(sized)
            counts = f"{len(found)} found, {by_name} excluded by name, {by_size} by size"
            raise ConfigError(
                f"no file is left: {counts}, limit {self.limit}", where="files", hint="loosen one of them"
            )
        return sorted(taken, key=lambda f: f.rel)

    def _prefix(self, files: Sequence[FoundFile], limit: int) -> list[FoundFile]:
        first = matcher(self.first)
        order = sorted(files, key=lambda f: (not first(f.rel), _keyed(f.rel), f.rel))
        taken, total = [], 0
        for file in order:
            total += file.size
            if total > limit:
                break
            taken.append(file)
        return taken

    def read(self, unit: Sequence[FileSlice], bad: Callable[[Bad], None]) -> Iterator[pa.Table]:
        """Tables of about 4 MB; the locator is ''. Cost: memory of one table and the largest file."""
        rows = Rows(self.outputs(), with_ids=False)
        for piece in unit:
            try:
                text = self._text(piece)
            except RefusedError as refused:
                bad(Bad(origin=piece.rel, error=refused.error, message=str(refused)))
                continue
            rows.add(text, piece.rel, "", size=piece.size)
            if rows.full:
                yield rows.take()
        if rows:
            yield rows.take()

    def _text(self, piece: FileSlice) -> str:
        if piece.size > self.max_record_mb * 1_000_000:
            raise RefusedError("too_large", f"{piece.size} bytes; `max_record_mb` is {self.max_record_mb}")
        raw = whole_file(piece, self.max_record_mb)
        try:
            text = raw.decode(self.encoding, "strict" if self.errors == "bad" else "replace")
            text.encode()  # some encodings can express lone surrogates
        except UnicodeError as error:
            hint = utf16_hint(raw, "set `encoding: utf-16`, or write it again as UTF-8")
            told = f"the file is not {self.encoding}: {error}"
            raise RefusedError("invalid_text", f"{told}; {hint}" if hint else told) from None
        return text.removeprefix(_BOM)


def _keyed(rel: str) -> bytes:
    return hashlib.blake2b(rel.encode(), digest_size=16).digest()
