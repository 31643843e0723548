"""Bytes of a page to text: which character encoding they are in, who says so, and how many bytes fit none.

What servers and pages declare is often wrong, so a declaration counts only where every byte agrees with it; UTF-8 is
recognised by its bytes, which no other encoding imitates. Names are those of the WHATWG encoding standard, by which
`iso-8859-1` means `windows-1252`.

Source: WHATWG encoding standard; HTML standard, 13.2.3 (sniffing); the order in which liars are believed is ours.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass

import pyarrow as pa

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_META = re.compile(rb"<meta[^>]{0,512}?charset\s{0,16}=\s{0,16}[\"']?\s{0,16}([a-z0-9_:.+-]{1,40})")
_XML = re.compile(rb"<\?xml[^>]{0,256}?encoding\s{0,16}=\s{0,16}[\"']([a-z0-9_:.+-]{1,40})")
_CONTENT_TYPE = re.compile(r"charset\s{0,16}=\s{0,16}[\"']?([A-Za-z0-9_:.+-]{1,40})", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_PRESCAN = 4096  # of a page for what it declares; the standard asks for 1024
_STATEFUL = ("iso-2022", "iso2022", "hz")  # their bytes look like ASCII
_MOST_WRONG = 0.1  # of the characters beyond ASCII, for a declared UTF-8 to be believed all the same


def utf16_hint(first: bytes, otherwise: str = "write it again as UTF-8") -> str:
    """What is to be done about a file that begins with the byte order mark of UTF-16; nothing about others."""
    return f"it is UTF-16 by its first two bytes: {otherwise}" if first[:2] in (b"\xff\xfe", b"\xfe\xff") else ""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Text as UTF-8, the encoding it came in, who said so (bom, http, meta, bytes, detected), and the number of places
    that fit no character, each of which is U+FFFD now.
    """

    text: bytes | memoryview
    charset: str
    found_by: str
    replaced: int = 0


def charset_of(content_type: str) -> str:
    """The charset that a Content-Type declares, as it says it; '' where it says none."""
    found = _CONTENT_TYPE.search(content_type)
    return found[1] if found else ""


def decode_page(data: bytes | memoryview, declared: str = "") -> Decoded:
    """The text of a page; `declared` is what its HTTP header says. Never fails, and never gives a lone surrogate.

    Cost: of UTF-8 a check at some GB/s and no copy: the text is the data; else a decoding, two where a label lies.
    """
    head = bytes(data[:_PRESCAN])
    for mark, name in _BOMS:
        if head.startswith(mark):
            return _replacing(bytes(data[len(mark) :]), name, "bom")
    named = [("http", _known(declared)), ("meta", _in_page(head))]
    for found_by, name in named:
        if not name.startswith(("utf-16", *_STATEFUL)):
            continue
        data = bytes(data)
        wide = name.startswith(_STATEFUL) or b"\0" in data
        if wide and (text := _strict(data, name)) is not None:
            return Decoded(text=text, charset=name, found_by=found_by)
    utf8 = next((found_by for found_by, name in named if name == "utf-8"), "bytes")
    if is_utf8(data):
        return Decoded(text=data, charset="utf-8", found_by=utf8)
    data = bytes(data)
    if utf8 != "bytes":
        almost = _replacing(data, "utf-8", utf8)
        if almost.replaced <= _MOST_WRONG * sum(not c.isascii() for c in str(almost.text, "utf-8")):
            return almost
    for found_by, name in named:
        if name and name != "utf-8" and (text := _strict(data, name)) is not None:
            return Decoded(text=text, charset=name, found_by=found_by)
    return _detected(data)


def _detected(data: bytes) -> Decoded:
    from resiliparse.parse.encoding import detect_encoding

    name = detect_encoding(data, from_html_meta=False) or "utf-8"
    return _replacing(data, name, "detected")


@functools.lru_cache(maxsize=256)
def _known(label: str) -> str:
    """The standard's name of a label; '' for one that it does not know."""
    if not label:
        return ""
    if label.lower().replace("_", "-") in {"utf-8", "utf8"}:
        return "utf-8"
    from resiliparse.parse.encoding import map_encoding_to_html5

    return map_encoding_to_html5(label, fallback_utf8=False) or ""


def _in_page(head: bytes) -> str:
    """What a page declares in itself. In bytes that can be read as ASCII, UTF-16 means UTF-8 (HTML 13.2.3.2)."""
    head = head.lower()  # so that the patterns begin with what can be looked for
    found = _META.search(head) or _XML.match(head.lstrip())
    name = _known(found[1].decode()) if found else ""
    return "utf-8" if name.startswith("utf-16") else name


def is_utf8(data: bytes | memoryview) -> bool:
    """Whether the bytes are UTF-8 throughout. Cost: none is copied."""
    ends = pa.py_buffer(struct.pack("=2q", 0, len(data)))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _strict(data: bytes, name: str) -> bytes | None:
    """The text in UTF-8; None where some byte fits no character, or a surrogate stands alone."""
    try:
        return data.decode(name).encode()
    except (UnicodeError, LookupError):
        return None


def _replacing(data: bytes, name: str, found_by: str) -> Decoded:
    whole = data if name == "utf-8" and is_utf8(data) else _strict(data, name)
    if whole is not None:
        return Decoded(text=whole, charset=name, found_by=found_by)
    try:
        text = data.decode(name, "replace")
    except LookupError:
        name, text = "utf-8", data.decode("utf-8", "replace")
    text = _SURROGATE.sub("\ufffd", text)
    return Decoded(text=text.encode(), charset=name, found_by=found_by, replaced=text.count("\ufffd"))
