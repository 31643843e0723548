"""The `url_lists` operator, first: lists read once and laid out for look-up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Context, Job, Kind, Resources
from winnow.core.words.distinct import distinct
from winnow.pipeline.url.parse_url import parse_urls
from winnow.pipeline.url.text_table import TextTable, text_table
from winnow.pipeline.url.url_list_files import ListedNames, read_lists, read_words
from winnow.pipeline.url.url_list_settings import ListFiles

TABLES = ("domains", "urls", "words")  # looked up by host, by address, by word
HARD, SOFT = 1, 2  # bits of a word
_SHOWN = 3
_SCHEME = re.compile(r"^(\^?)(?:https\?|https?|\(https?\??\)|\(http\|https\))\\?:(?:\\?/){2}")


@dataclass(frozen=True, kw_only=True)
class UrlListIndex(ListFiles, Job):
    """Names, addresses and words of all lists as tables to be memory-mapped; what cannot match is remarked.

    Cost: about 1 us and 100 bytes per entry.
    Source: own
    """

    name: ClassVar[str] = "url_list_index"
    version: ClassVar[int] = 2  # 2: expressions without their scheme
    role: ClassVar[str] = "signal"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    resources: ClassVar[Resources] = Resources(memory_gb=2)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the tables; entries of each list, and those that can match nothing.

        Raises: DataError where no entry is left.
        """
        found = read_lists(_paths(ctx, "lists"))
        hosts, no_hosts = _hosts(found)
        urls, no_urls = _addresses(found)
        words, no_words = _words(read_words(_paths(ctx, "hard_words")), read_words(_paths(ctx, "soft_words")))
        pieces, no_pieces = _plain(read_words(_paths(ctx, "substrings")))
        expressions, no_expressions = _regexes(found)
        total = len(hosts) + len(urls) + len(words) + len(pieces) + len(expressions)
        if not total:
            raise DataError("the lists hold no entry that could match", where="lists", hint="look at the files")
        _save(ctx.work, "domains", hosts, backwards=True)
        _save(ctx.work, "urls", urls, backwards=False)
        _save(ctx.work, "words", words, backwards=False)
        said = {"lists": found.names, "substrings": pieces, "expressions": expressions}
        (ctx.work / "index.json").write_bytes(orjson.dumps(said))
        wrong = {"domains": no_hosts, "urls": no_urls, "words": no_words, "substrings": no_pieces,
                 "expressions": no_expressions}  # fmt: skip
        for line in _told(found, wrong):
            ctx.remark(line)
        ctx.note("summary", f"{total:,} entries of {len(found.names):,} lists")
        return {
            "entries": total, "domains": len(hosts), "urls": len(urls), "words": len(words),
            "substrings": len(pieces), "expressions": len(expressions), "lists": len(found.names),
            "without_effect": {name: len(entries) for name, entries in wrong.items()},
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class UrlIndex:
    """The tables, as `UrlListIndex` wrote them."""

    tables: dict[str, TextTable]
    values: dict[str, Any]  # of tables: (starts i64, numbers i32): lists of every entry, or the bits of a word
    lists: list[str]
    substrings: list[str]
    expressions: list[tuple[str, int]]


def opened(files: dict[str, Path]) -> UrlIndex:
    """The index behind these files; tables are mapped, not loaded."""

    def array(name: str) -> Any:
        return np.asarray(np.load(files[f"{name}.npy"], mmap_mode="r", allow_pickle=False))

    tables, values = {}, {}
    for name in TABLES:
        slots, hashes, starts, texts = (array(f"{name}_{part}") for part in ("slots", "hashes", "starts", "texts"))
        tables[name] = TextTable(slots=slots, hashes=hashes, starts=starts, texts=texts)
        values[name] = array(f"{name}_value_starts"), array(f"{name}_values")
    said = orjson.loads(files["index.json"].read_bytes())
    expressions = [(text, int(number)) for text, number in said["expressions"]]
    return UrlIndex(tables=tables, values=values, lists=said["lists"], substrings=said["substrings"],
                    expressions=expressions)  # fmt: skip


def _paths(ctx: Context, name: str) -> list[Path]:
    return [Path(path) for path in ctx.refs.get(name, ())]


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Texts that can match, and the value of each: the number of its list, or the bits of a word."""

    texts: pa.Array
    values: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.texts)


def _save(folder: Path, name: str, fit: _Fit, *, backwards: bool) -> None:
    """The table of the distinct texts and the values of each, ascending and distinct."""
    table, first = text_table(fit.texts, backwards=backwards)
    width = int(fit.values.max(initial=0)) + 1
    text, value = np.divmod(distinct(first * width + fit.values), width)
    starts = np.searchsorted(text, np.arange(len(fit) + 1)).astype(np.int64)
    held: dict[str, Any] = {"slots": table.slots, "hashes": table.hashes, "starts": table.starts, "texts": table.texts,
            "value_starts": starts, "values": value.astype(np.int32)}  # fmt: skip
    for part, array in held.items():
        np.save(folder / f"{name}_{part}.npy", array, allow_pickle=False)


def _hosts(found: ListedNames) -> tuple[_Fit, list[str]]:
    """(hosts in normal form, entries that are no host)."""
    from winnow.pipeline.url import parse_url_kernels as kernels

    written = pl.Series(found.domains.texts, dtype=pl.String)
    parsed = parse_urls(written.str.strip_chars_start(".").str.strip_prefix("*.").to_arrow(), domains=False)
    hosts = parsed.texts(parsed.spans[:, kernels.N_HOST], parsed.spans[:, kernels.N_HOST_END])
    return _split(pl.Series(hosts, dtype=pl.String), written, found.domains.lists)


def _addresses(found: ListedNames) -> tuple[_Fit, list[str]]:
    """(addresses in normal form without scheme and last `/`, entries that are none)."""
    from winnow.pipeline.url import parse_url_kernels as kernels

    written = pl.Series(found.urls.texts, dtype=pl.String)
    parsed = parse_urls(written.to_arrow(), domains=False)
    made = pl.Series(parsed.texts(parsed.spans[:, kernels.N_HOST], parsed.offsets[1:]), dtype=pl.String)
    return _split(made.str.strip_chars_end("/"), written, found.urls.lists)


def _split(made: pl.Series, written: pl.Series, lists: npt.NDArray[np.int32]) -> tuple[_Fit, list[str]]:
    """(what has a normal form, what has none, as it is written)."""
    fit = (made.fill_null("") != "").to_numpy()
    return _Fit(texts=made.filter(pl.Series(fit)).to_arrow(), values=lists[fit]), written.filter(
        pl.Series(~fit)
    ).to_list()


def _plain(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(words of letters and digits, others: after all signs are taken out of an address, nothing has them)."""
    fit = [word for word in words if word.isascii() and word.isalnum()]
    return fit, [word for word in words if word not in set(fit)]


def _words(hard: Sequence[str], soft: Sequence[str]) -> tuple[_Fit, list[str]]:
    """(words and their bits, words that no word of an address is)."""
    plain_hard, odd_hard = _plain(hard)
    plain_soft, odd_soft = _plain(soft)
    bits: dict[str, int] = {}
    for words, bit in ((plain_hard, HARD), (plain_soft, SOFT)):
        for word in words:
            bits[word] = bits.get(word, 0) | bit
    values = np.array(list(bits.values()), dtype=np.int32)
    return _Fit(texts=pa.array(list(bits), pa.large_string()), values=values), [*odd_hard, *odd_soft]


def _regexes(found: ListedNames) -> tuple[list[tuple[str, int]], list[str]]:
    """(expressions that Polars compiles, and lists; others): they run in linear time.

    Addresses are looked at without their scheme, so an expression that begins with one loses it.
    """
    fit, wrong = [], []
    entries = found.expressions
    for text, number in zip(entries.texts.to_pylist(), entries.lists.tolist(), strict=True):
        text = _SCHEME.sub(r"\1", text)
        try:
            pl.Series(["a"]).str.contains(text)
        except pl.exceptions.ComputeError:
            wrong.append(text)
        else:
            fit.append((text, number))
    return fit, wrong


def _told(found: ListedNames, wrong: dict[str, list[str]]) -> Iterator[str]:
    """What was passed over, and entries that cannot match."""
    why = {
        "domains": "are no host names", "urls": "are no addresses", "expressions": "are no regular expressions of the "
        "linear kind (no look-around, no back references)",
        "words": "hold other than letters and digits, and no word of an address is like them",
        "substrings": "hold other than letters and digits, which are all that is left of an address there",
    }  # fmt: skip
    for name, entries in wrong.items():
        if entries:
            shown = ", ".join(map(repr, entries[:_SHOWN])) + (", ..." if len(entries) > _SHOWN else "")
            yield f"{len(entries):,} of the {name} can match nothing: they {why[name]} ({shown})"
    if found.passed_over:
        names = ", ".join(list(dict.fromkeys(found.passed_over))[:_SHOWN])
        yield f"passed over {len(found.passed_over):,} files that are no lists by their names: {names}"
    if found.not_utf8:
        yield f"{found.not_utf8:,} lines of the lists are not UTF-8 and left out: write them again as UTF-8"
