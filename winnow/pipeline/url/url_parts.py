"""The parts of a document's address as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema
from winnow.core.terminal import percent
from winnow.pipeline.url.parse_url import PROBLEMS, ParsedUrls, parse_urls
from winnow.pipeline.url.suffix_rules import LIBRARY

MOST_UNREAD = 0.05  # share of addresses without a host from which that is remarked


@dataclass(frozen=True, kw_only=True)
class UrlColumn:
    """Where the addresses are, and what counts as a registered domain."""

    column: str = "url"
    private_suffixes: bool = True  # `github.io` and other hosters' names: each name below them is a domain of its own

    def check(self) -> None:
        """Raise ConfigError without a column."""
        if not self.column:
            raise ConfigError("no column", where="column", hint="the column of the addresses, such as `url`")


@dataclass(frozen=True, kw_only=True)
class UrlParts(UrlColumn, MapArrow):
    """Parts of the address in `column`: normal form, scheme, host, port, path, and the registered domain.

    `url_normal` is the address as two spellings of one page share it (rules: docs/url.md). `url_domain` is the part
    of the host that somebody registered, by the public suffix list: `bbc.co.uk` of `news.bbc.co.uk`; null for an IP
    address and a name that is a suffix itself. `url_port` is the scheme's where none is written. `url_problem` says
    why an address has no parts: `empty`, `no_host`, `bad_host`, `bad_port`; all is null where the address is.

    Cost: over 1 million addresses per second and core.
    Source: RFC 3986 (section 6.2.2), WHATWG URL (blanks, backslashes), RFC 3492 and 5952; public suffix list
    """

    name: ClassVar[str] = "url_parts"
    role: ClassVar[str] = "signal"
    columns_from: ClassVar[tuple[str, ...]] = ("column",)
    uses: ClassVar[tuple[str, ...]] = (LIBRARY,)

    def validate(self) -> None:
        """Raise ConfigError without a column."""
        self.check()

    def needs(self) -> tuple[str, ...]:
        """The address."""
        return (self.column,)

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the column holds no text."""
        check_text(types, self.column)

    def outputs(self) -> Schema:
        """Null where there is no such part."""
        text = pa.large_string()
        return {
            "url_normal": text, "url_scheme": text, "url_host": text, "url_domain": text, "url_path": text,
            "url_port": pa.int32(), "url_is_ip": pa.bool_(), "url_problem": text,
        }  # fmt: skip

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Addresses that are none."""
        rows = counts.get("urls", 0)
        wrong = {name: counts[f"url:{name}"] for name in PROBLEMS[1:] if counts.get(f"url:{name}")}
        total = sum(wrong.values())
        if not total or total < MOST_UNREAD * rows:
            return ()
        why = ", ".join(f"{name} {number:,}" for name, number in wrong.items())
        told = (f"{total:,} of {rows:,} values of {self.column!r} ({percent(total / rows)}) are no address: {why}; "
                "`url_problem` says which")  # fmt: skip
        return (told,)

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> columns."""

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            urls = batch.column(self.column)
            parsed = parse_urls(urls, private=self.private_suffixes)
            count_problems(parsed, len(urls) - urls.null_count, ctx)
            return pa.RecordBatch.from_arrays(_columns(parsed), names=list(self.outputs()))

        return columns


def check_text(types: Schema, column: str) -> None:
    """Raise ConfigError where the column holds no text."""
    kind = types.get(column)
    if kind is not None and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ConfigError(f"column {column!r} is {kind}, and no text", where="column", hint="declare it as `string`")


def count_problems(parsed: ParsedUrls, addresses: int, ctx: Context) -> None:
    """Count addresses, and those that are none by what is wrong."""
    ctx.count("urls", addresses)
    numbers = np.bincount(parsed.problem, minlength=len(PROBLEMS))
    for name, number in zip(PROBLEMS[1:], numbers[1:], strict=True):
        ctx.count(f"url:{name}", int(number))


def _columns(parsed: ParsedUrls) -> list[pa.Array]:
    from winnow.pipeline.url import parse_url_kernels as kernels

    spans, text = parsed.spans, parsed.texts
    scheme, host, host_end = (spans[:, n] for n in (kernels.N_SCHEME_END, kernels.N_HOST, kernels.N_HOST_END))
    domain = spans[:, kernels.N_DOMAIN]
    problem = pa.DictionaryArray.from_arrays(
        pa.array(parsed.problem.astype(np.int8), mask=parsed.problem == 0), pa.array(PROBLEMS, pa.large_string())
    )
    return [
        parsed.normal(),
        text(spans[:, kernels.N_START], scheme, scheme > spans[:, kernels.N_START]),
        text(host, host_end),
        text(domain, host_end, domain < host_end),
        text(spans[:, kernels.N_PATH], spans[:, kernels.N_PATH_END]),
        pa.array(parsed.ports, mask=~parsed.valid | (parsed.ports < 0)),
        pa.array(parsed.is_ip.astype(bool), mask=~parsed.valid),
        problem.cast(pa.large_string()),
    ]
