r"""URLs to their parts, all rows at once.

Rules of the normal form, in their order:

1. blanks and control characters at both ends go; tabs and line ends inside go;
2. scheme and host in small letters; `\` counts as `/`; user and password go; a default port goes;
3. a host in other letters: percent-decoded, NFKC, Punycode per label (RFC 3492), an ideographic full stop as a dot;
   one last dot goes; an IPv6 address in its short form (RFC 5952), an IPv4 address as four decimal numbers;
4. `.` and `..` in paths are resolved; an empty path is `/`;
5. percent-encoded letters, digits and `-._~` are decoded, other codes in capitals, what may not stand there is encoded;
6. the fragment goes, and so does a `?` without a query; the query's order stays.

An address without a scheme (`example.org/a`, `//example.org`) has none in its normal form.
"""

from __future__ import annotations

import functools
import ipaddress
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.words.text import utf8_buffers, valid_mask
from winnow.pipeline.url.suffix_rules import ascii_label, suffix_table

Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

PROBLEMS = ("", "empty", "no_host", "bad_host", "bad_port")  # by number
_LONGEST_ODD = 1024  # bytes of a host in other letters that is looked at: Punycode takes quadratic time
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))


@dataclass(frozen=True, kw_only=True)
class ParsedUrls:
    """Normal forms one after another, and where their parts lie in them (columns `N_...` of the kernels)."""

    offsets: Longs
    data: Bytes
    spans: Longs
    is_ip: Bytes
    ports: npt.NDArray[np.int32]
    problem: Bytes  # 0: none; of a null row too
    valid: Mask  # not null, and without a problem

    def normal(self) -> pa.Array:
        """The normal forms, large_string; null where there is none."""
        bitmap = None if self.valid.all() else pa.py_buffer(np.packbits(self.valid, bitorder="little"))
        held = pa.py_buffer(self.data[: self.offsets[-1]].copy())
        return pa.Array.from_buffers(pa.large_string(), len(self.valid), [bitmap, pa.py_buffer(self.offsets), held])

    def texts(self, starts: Longs, stops: Longs, present: Mask | None = None) -> pa.Array:
        """A piece of every normal form, large_string; null where not present."""
        from winnow.pipeline.url import suffix_kernels as kernels

        mask = self.valid if present is None else present & self.valid
        stops = np.where(mask, stops, starts)
        offsets, taken = kernels.gathered(self.data, np.ascontiguousarray(starts), np.ascontiguousarray(stops))
        bitmap = None if mask.all() else pa.py_buffer(np.packbits(mask, bitorder="little"))
        return pa.Array.from_buffers(pa.large_string(), len(mask), [bitmap, pa.py_buffer(offsets), pa.py_buffer(taken)])


def parse_urls(urls: pa.Array, *, private: bool = True, domains: bool = True) -> ParsedUrls:
    """The parts of every address; where `domains`, the registered one by the public suffix list.

    Raises: ConfigError where they are no text.
    Cost: two passes over the bytes; a host in other letters, or an IPv6 address, a Python call per distinct one.
    """
    from winnow.pipeline.url import parse_url_kernels as kernels
    from winnow.pipeline.url import suffix_kernels, write_url_kernels

    if not (pa.types.is_large_string(urls.type) or pa.types.is_string(urls.type)):
        raise ConfigError(f"addresses are {urls.type}, and no text", where="column", hint="declare them as `string`")

    raw_offsets, data = utf8_buffers(urls.fill_null("") if urls.null_count else urls)
    offsets = np.require(raw_offsets, dtype=np.int64, requirements=["C", "A"])
    places, problem, odd = kernels.locate(offsets, data)
    instead, hosts = _odd_hosts(data, places, problem, odd)
    host_offsets, host_data = utf8_buffers(pa.array(hosts, pa.large_string()))
    size = 3 * int(offsets[-1] - offsets[0]) + 16 * len(urls) + int((instead >= 0).sum()) * 512
    out = np.empty(size, dtype=np.uint8)
    ends, spans, is_ip, ports = write_url_kernels.write_normal(
        data, places, problem, instead, np.ascontiguousarray(host_offsets), host_data, out
    )
    if domains:
        table, bits = suffix_table(private=private)
        suffix_kernels.domains(out, problem, is_ip, spans, *table.arrays, bits)
    null = ~valid_mask(urls)
    problem[null] = 0
    return ParsedUrls(
        offsets=ends, data=out, spans=spans, is_ip=is_ip, ports=ports, problem=problem, valid=~null & (problem == 0)
    )


def _odd_hosts(data: Bytes, places: Longs, problem: Bytes, odd: Mask) -> tuple[Longs, list[str]]:
    """(per row the number of its host i64[rows] or -1, hosts in ASCII); sets the problem of those that are none."""
    from winnow.pipeline.url import parse_url_kernels as kernels

    instead = np.full(len(odd), -1, dtype=np.int64)
    numbers: dict[str, int] = {}
    for row in np.flatnonzero(odd):
        start, stop = places[row, kernels.HOST], places[row, kernels.HOST_END]
        made = ascii_host(data[start:stop].tobytes()) if stop - start <= _LONGEST_ODD else ""
        if made:
            instead[row] = numbers.setdefault(made, len(numbers))
        else:
            problem[row] = kernels.BAD_HOST
    return instead, list(numbers)


@functools.lru_cache(maxsize=1 << 16)
def ascii_host(raw: bytes) -> str:
    """A host in other letters, with percent codes or in brackets, in ASCII; '' where it is none."""
    text = raw.decode("utf-8", "replace").translate({9: None, 10: None, 13: None})
    try:
        if text.startswith("["):
            return f"[{ipaddress.IPv6Address(text[1:-1]).compressed}]" if text.endswith("]") and "%" not in text else ""
        name = unicodedata.normalize("NFKC", unquote(text, errors="strict").translate(_DOTS)).lower()
        made = ".".join(ascii_label(label) for label in name.split("."))
    except ValueError:  # UnicodeError is one
        return ""
    allowed = all(char.isalnum() or char in "-._" for char in made)
    known = all(
        char.isalnum() or unicodedata.category(char)[0] == "M" or char in "-._\u00b7\u200c\u200d" for char in name
    )
    return made if allowed and known else ""
