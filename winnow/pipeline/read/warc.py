"""Web archives, WARC and ARC, to documents: one per record that holds a page.

A plain archive may be cut anywhere: a cut owns the records that begin in it, found by their lengths from the start of
the file, so that every cut gives the same records. A compressed one is read whole, in order; its parts are committed as
they fill.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any, ClassVar

import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Bad, Choice, Derive, FileSlice, FoundFile, Schema, Tell, port
from winnow.core.operators.contract import Meaning
from winnow.core.operators.reading import LEFT_OUT, TAKEN
from winnow.core.store.packing import BZIP2, UNSUPPORTED, XZ
from winnow.core.terminal import percent
from winnow.pipeline.read.archive_bytes import Place, window_of
from winnow.pipeline.read.archive_index import ArchiveIndex, is_index
from winnow.pipeline.read.archive_pages import PAGE_COLUMNS, TYPES, Pages, Wanted
from winnow.pipeline.read.archive_records import Broken, Record, is_record, records
from winnow.pipeline.read.byte_stream import opened
from winnow.pipeline.read.document import RefusedError, Rows, check_found, check_id, check_packing, check_record_limit

_STATUS = re.compile("[1-9x][0-9x][0-9x]")
_MIME = re.compile(r"[a-z0-9*.+-]+/[a-z0-9*.+-]+")
_ARCHIVES = (".warc", ".arc", ".wet", ".wat")


@dataclass(frozen=True, kw_only=True)
class Warc(Derive):
    """Pages from web archives (WARC, WET, ARC; plain, .gz, .zst with or without dictionary), one per record.

    `text` is the payload as text: HTML as it came for a response, plain text for a `conversion` (WET). HTTP codings
    (chunked, gzip, deflate, br, zstd) are undone where the bytes agree with what the headers declare; `charset` and
    `charset_from` (bom, http, meta, bytes, detected) say how bytes became text, `replaced` how many places fit no
    encoding. `origin` is the file and the offset of the record, or of its compressed member, as CDX indices have it.
    Records that `types`, `status` and `mime` leave out are counted by reason. What cannot be read is quarantined under
    one of: no_header, content_length, truncated, corrupt, too_large, http_header, coding; reading goes on behind it.
    `index` names records by archive and offset (`warc_filename`, `warc_record_offset` of Common Crawl's columnar index,
    or filename, offset); of those that are not there missing_file and missing_record are counted.
    Cost: about 4 ms of one core per MB of pages in gzip. Memory: a record of at most `max_record_mb`, twice.
    Source: own; formats of ISO 28500 and of the Internet Archive's ARC.
    """

    name: ClassVar[str] = "warc"
    meaning: ClassVar[Mapping[str, Meaning]] = {
        "base": "free", "source": "free", "id": "closed", "types": "closed", "status": "closed", "mime": "closed",
    }  # fmt: skip
    suffixes: ClassVar[tuple[str, ...]] = tuple(f"{a}{p}" for a in _ARCHIVES for p in ("", ".gz", ".zst"))
    splittable: ClassVar[tuple[str, ...]] = _ARCHIVES
    lines: ClassVar[bool] = False
    pages: ClassVar[bool] = True
    no_data: ClassVar[tuple[str, ...]] = ("_", ".")
    files: tuple[str, ...] = port("files")
    index: tuple[str, ...] = port("files", default=())  # Parquet, CDX or CDXJ: read these records alone
    base: str = field(default="", metadata={"identity": False})
    source: str = ""
    id: str = "position"
    types: tuple[str, ...] = ("response", "resource", "conversion")
    status: tuple[str, ...] = ("2xx",)  # of responses; x stands for any digit
    mime: tuple[str, ...] = (
        "text/html",
        "application/xhtml+xml",
        "text/plain",
    )  # as declared, else found
    max_record_mb: int = 64

    def outputs(self) -> Schema:
        """What the headers say of a page."""
        return PAGE_COLUMNS

    def validate(self) -> None:
        """Raises: ConfigError where a field cannot work."""
        check_id(self.id, fields=False)
        check_record_limit(self.max_record_mb)
        for name in self.types:
            if name not in TYPES:
                raise ConfigError(f"no record has the type {name!r}", where="types", hint=did_you_mean(name, TYPES))
        for name in self.status:
            if not _STATUS.fullmatch(name):
                raise ConfigError(f"{name!r} is no HTTP status", where="status", hint="write 200, 2xx or xxx")
        for name in self.mime:
            if not _MIME.fullmatch(name):
                raise ConfigError(f"{name!r} is no MIME type", where="mime", hint="write text/html, text/* or */*")
        for what in ("types", "status", "mime"):
            if not getattr(self, what):
                raise ConfigError("nothing is chosen", where=what, hint=f"leave `{what}` out for the default")

    def opens_pages(self) -> bool:
        """False for records that hold plain text alone, as those of WET files do."""
        return set(self.types) != {"conversion"} and set(self.mime) != {"text/plain"}

    def choose(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """All files. Raises: ConfigError for compressions that cannot be read, and for indices."""
        check_found(found)
        for file in found:
            if (name := file.rel.lower()).endswith((*BZIP2, *XZ)):
                hint = f"unpack it: `{'xz' if name.endswith(XZ) else 'bzip2'} -dk {file.path}`"
                what = f"{file.rel} is packed as a whole, and a web archive is packed record by record"
                raise ConfigError(what, where="files", hint=f"{hint}; plain archives are cut, so that all cores read")
        check_packing(found, (*UNSUPPORTED, *BZIP2, *XZ))
        for file in found:
            if is_index(file.rel):
                hint = f"write `index: {file.rel}`, and under `files:` the archives that it names"
                raise ConfigError(f"{file.rel} is an index of archives", where="files", hint=hint)
        return list(found)

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Choices that took nothing, and chosen records of which most were left out."""
        own = {"type": self.types, "status": self.status, "MIME": self.mime}
        usual = {"type": Warc.types, "status": Warc.status, "MIME": Warc.mime}
        said = [
            f"no document has {what} {name}, which is chosen: look at its spelling, or at what was left out"
            for what, names in own.items() if names != usual[what]
            for name in names if name not in usual[what] and not counts.get(f"{TAKEN}{what} {name}")
        ]  # fmt: skip
        lost = {n.removeprefix(LEFT_OUT): c for n, c in counts.items() if n.startswith(LEFT_OUT) and ":type " not in n}
        rows, most = counts.get("rows", 0), max(lost, key=lost.__getitem__, default="")
        if sum(lost.values()) > rows:
            share = percent(sum(lost.values()) / (rows + sum(lost.values())))
            said.append(
                f"{sum(lost.values()):,} records of a chosen type ({share}) were left out by status or MIME, most for "
                f"{most} ({lost[most]:,}): `status` and `mime` say what is taken"
            )
        return (*super().remarks(counts, metrics), *said)

    def look_around(self, rels: Sequence[str], bad: Tell) -> None:
        """Records that the index names in archives that are not there."""
        for name, count in ArchiveIndex(self.index).without_file(rels).items() if self.index else ():
            message = f"{count:,} records of the index lie in {name}, which is not among `files`"
            bad(Bad(origin=name, error="missing_file", message=message))

    def read(self, unit: Sequence[FileSlice], bad: Tell) -> Iterator[pa.Table]:
        """Tables of about 4 MB; the locator is the offset of the record, or of its member and of the record in it."""
        wanted = Wanted(types=self.types, status=self.status, mime=self.mime)
        cap = self.max_record_mb * 1_000_000
        pages, rows = Pages(wanted, cap), Rows(self.outputs(), with_ids=False)
        index = ArchiveIndex(self.index) if self.index else None
        for piece in unit:
            with opened(piece) as file:
                found = _whole(file, piece, cap) if index is None else _selected(file, piece, cap, index)
                for record in found:
                    _add(rows, pages, record, piece.rel, bad)
                    if rows.full:
                        yield rows.take()
        if rows:
            yield rows.take()
        bad(Choice(left_out=pages.left_out, taken=pages.taken))


def _whole(file: BufferedReader, piece: FileSlice, cap: int) -> Iterator[Record | Broken]:
    """Every record that begins in the slice."""
    stop = piece.stop if piece.stop >= 0 else None
    return records(window_of(file, piece.path, is_record), cap=cap, start=piece.start, stop=stop)


def _selected(file: BufferedReader, piece: FileSlice, cap: int, index: ArchiveIndex) -> Iterator[Record | Broken]:
    """The records that an index names in the slice; one that is not where it should be is missing_record."""
    last = piece.stop < 0 or piece.stop == piece.size
    for offset in index.of(piece.rel):
        if offset < piece.start or (offset >= piece.stop and not last):
            continue
        found = next(records(window_of(file, piece.path, is_record, offset), cap=cap), None)
        if found is None or (isinstance(found, Broken) and found.error in ("no_header", "corrupt")):
            named = Place(member=0, inner=offset, packed=False)  # its locator is the offset
            message = f"the index names a record at byte {offset:,} of {piece.size:,}, where none can be read"
            yield Broken(place=named, error="missing_record", message=message)
        else:
            yield found


def _add(rows: Rows, pages: Pages, record: Record | Broken, rel: str, bad: Tell) -> None:
    """One record: a document, bad, or left out."""
    locator = record.place.locator
    if isinstance(record, Broken):
        bad(Bad(origin=f"{rel}#{locator}", error=record.error, message=record.message))
        return
    try:
        page = pages(record)
    except RefusedError as refused:
        bad(Bad(origin=f"{rel}#{locator}", error=refused.error, message=str(refused)))
        return
    if page is not None:
        rows.add(page.text, rel, locator, size=len(page.text), extra=page.values)
