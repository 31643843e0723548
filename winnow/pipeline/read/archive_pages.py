"""A record of an archive to a document: its payload as text, and what its headers say of it."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import pyarrow as pa

from winnow.pipeline.read.archive_records import Record
from winnow.pipeline.read.charset import charset_of, decode_page
from winnow.pipeline.read.http_message import parse_head, payload_of

TYPES = ("response", "resource", "conversion", "metadata", "request", "warcinfo", "revisit", "continuation")
PAGE_COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "url": pa.large_string(), "date": pa.large_string(), "record_type": pa.large_string(), "status": pa.int64(),
    "mime": pa.large_string(), "mime_found": pa.large_string(), "charset": pa.large_string(),
    "charset_from": pa.large_string(), "replaced": pa.int64(), "codings": pa.large_string(),
    "content_length": pa.int64(), "truncated": pa.large_string(), "record_id": pa.large_string(),
    "ip": pa.large_string(), "x_robots_tag": pa.large_string(), "tdm_reservation": pa.large_string(),
}  # fmt: skip
_MAJORS = ("application", "audio", "font", "image", "message", "model", "multipart", "text", "video")
# others are counted by the first half of their name: made-up types would fill the table of reasons
_COMMON = frozenset(
    [f"text/{minor}" for minor in ("html", "plain", "css", "xml", "javascript", "calendar", "csv", "dns")]
    + [f"image/{minor}" for minor in ("jpeg", "png", "gif", "svg+xml", "webp", "x-icon")]
    + [f"application/{minor}" for minor in (
        "xhtml+xml", "xml", "json", "ld+json", "javascript", "x-javascript", "pdf", "rss+xml", "atom+xml", "msword",
        "octet-stream", "zip", "x-gzip", "epub+zip", "rtf", "x-shockwave-flash")]
)  # fmt: skip
_SNIFF = 512


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which records become documents: patterns of record type, status (`200`, `2xx`) and MIME type."""

    types: Sequence[str]
    status: Sequence[str]
    mime: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A document: its text, and a value for each of `PAGE_COLUMNS`."""

    text: bytes | memoryview  # UTF-8
    values: tuple[Any, ...]


class Pages:
    """Record -> page, or None where it is not wanted; `left_out` and `taken` count by what decided."""

    def __init__(self, wanted: Wanted, cap: int) -> None:
        self._wanted, self._cap = wanted, cap
        self._statuses = _remembered(lambda status: [one for one in wanted.status if _fits(status, one)])
        self._mimes = _remembered(lambda mime: [one for one in wanted.mime if fnmatchcase(mime, one)])
        self.left_out: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    def __call__(self, record: Record) -> Page | None:
        """Raises: RefusedError for a payload that cannot be read."""
        fields = record.fields
        kind = fields.get("warc-type", "").lower()
        if kind not in self._wanted.types:
            return self._leave_out(f"type {kind if kind in TYPES else 'other'}")
        content_type, status, codings = fields.get("content-type", ""), None, None
        asked: Mapping[str, str] = {}
        body: bytes | memoryview = record.block
        if kind == "response" and _type_of(content_type) == "application/http":
            head = parse_head(record.block)
            status, content_type, asked = head.status, head.headers.get("content-type", ""), head.headers
            if not self._statuses(status):
                return self._leave_out(f"status {status}")
            if reason := self._unfit(_type_of(content_type), ""):
                return self._leave_out(reason)
            body, codings = payload_of(record.block, head, self._cap)
        declared = _type_of(content_type)
        found = fields.get("warc-identified-payload-type", "").lower() or _sniffed(body)
        if reason := self._unfit(declared, found):
            return self._leave_out(reason)
        page = decode_page(body, charset_of(content_type))
        self._count(kind, status, declared or found)
        values = (
            fields.get("warc-target-uri", "").strip("<>") or None, fields.get("warc-date"), kind, status,
            declared or None, found or None, page.charset, page.found_by, page.replaced, codings or None,
            int(fields["content-length"]), fields.get("warc-truncated"), fields.get("warc-record-id"),
            fields.get("warc-ip-address"), asked.get("x-robots-tag"), asked.get("tdm-reservation"),
        )  # fmt: skip
        return Page(text=_held(page.text), values=values)

    def _leave_out(self, reason: str) -> Page | None:
        self.left_out[reason] += 1
        return None

    def _unfit(self, declared: str, found: str) -> str:
        """Why a payload of these types is not wanted; '' where it is, or where neither is known yet."""
        either = declared or found
        if either and not self._mimes(either):
            return f"MIME {_category(either)}"
        if _is_binary(found) and not self._mimes(found):
            return f"payload {_category(found)}"
        return ""

    def _count(self, kind: str, status: int | None, mime: str) -> None:
        self.taken[f"type {kind}"] += 1
        for one in self._statuses(status) if status is not None else ():
            self.taken[f"status {one}"] += 1
        for one in self._mimes(mime):
            self.taken[f"MIME {one}"] += 1


def _remembered(patterns_of: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """The same, where it is asked for the same again, as in an archive nearly always."""
    return functools.lru_cache(maxsize=1024)(patterns_of)


def _held(text: bytes | memoryview) -> bytes | memoryview:
    """A text that keeps little more than itself in memory: a view of a record's bytes where it is most of them."""
    return bytes(text) if isinstance(text, memoryview) and 2 * len(text) < len(text.obj) else text  # type: ignore[arg-type]


def _fits(status: int, pattern: str) -> bool:
    return all(p in ("x", d) for p, d in zip(pattern, f"{status:03d}", strict=True))


def _type_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _sniffed(body: bytes | memoryview) -> str:
    from resiliparse.parse.encoding import detect_mime

    return detect_mime(bytes(body[:_SNIFF])) if len(body) else ""


def _is_binary(mime: str) -> bool:
    """Whether bytes of this type are no text, whatever was declared."""
    major, _, minor = mime.partition("/")
    if minor.endswith(("xml", "json", "javascript", "octet-stream")):
        return False
    return major in {"image", "audio", "video", "font", "application"}


def _category(mime: str) -> str:
    """The type as it is counted."""
    major = mime.partition("/")[0]
    return mime if mime in _COMMON else f"{major}/*" if major in _MAJORS else "of no known kind"
