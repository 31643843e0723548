"""The `url_lists` operator's face: what the lists say of every address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.pipeline.url.parse_url import ParsedUrls, parse_urls
from winnow.pipeline.url.suffix_rules import LIBRARY, suffix_table
from winnow.pipeline.url.text_table import TextTable
from winnow.pipeline.url.url_list_index import HARD, SOFT, UrlIndex, opened
from winnow.pipeline.url.url_list_settings import OUTPUTS, WAYS
from winnow.pipeline.url.url_parts import UrlColumn, check_text, count_problems

_COUNTED = "of:"  # counters: addresses that a list names, or that have some of the words
_MOST_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class UrlListLookup(UrlColumn, MapArrow):
    """The list and the entry that name an address, how, and the listed words in it; null where there is no address."""

    name: ClassVar[str] = "url_list_lookup"
    version: ClassVar[int] = 2  # 2: of several lists with one entry the first that was read comes first
    role: ClassVar[str] = "signal"
    columns_from: ClassVar[tuple[str, ...]] = ("column",)
    uses: ClassVar[tuple[str, ...]] = (LIBRARY,)

    index: str = port("ref")

    def needs(self) -> tuple[str, ...]:
        """The address."""
        return (self.column,)

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the column holds no text."""
        check_text(types, self.column)

    def outputs(self) -> Schema:
        """Null where there is no address."""
        return OUTPUTS

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Lists and kinds of words that no address has."""
        rows = counts.get("urls", 0)
        idle = [
            name.removeprefix(_COUNTED) for name, number in counts.items() if name.startswith(_COUNTED) and not number
        ]
        if not rows or not idle:
            return ()
        shown = ", ".join(idle[:_MOST_NAMED]) + (
            f" and {len(idle) - _MOST_NAMED:,} more" if len(idle) > _MOST_NAMED else ""
        )
        what = "is" if len(idle) == 1 else "are"
        return (f"{shown} {what} in none of {rows:,} addresses: another list, or leave it out",)

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> columns; the index is mapped, not loaded."""
        lookup = _Lookup(opened(ctx.ref("index").files()), ctx, private=self.private_suffixes)

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            urls = batch.column(self.column)
            parsed = parse_urls(urls, domains=False)
            count_problems(parsed, len(urls) - urls.null_count, ctx)
            arrays = [*lookup.listed(parsed), *lookup.words(parsed)]
            return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(OUTPUTS.items())))

        return columns


ROW, WAY, ORDER, ENTRY, LIST = range(5)  # of what is found: of one row and way the highest order counts


class _Lookup:
    """The tables of an index, applied to parsed addresses."""

    def __init__(self, index: UrlIndex, ctx: Context, *, private: bool) -> None:
        self._index, self._ctx, self._suffixes = index, ctx, suffix_table(private=private)
        self._entries = {name: _strings(table.starts, table.texts) for name, table in index.tables.items()}
        sizes = np.diff(index.tables["urls"].starts)
        self._longest = int(sizes.max()) if len(sizes) else 0
        self._bits = np.zeros(len(index.tables["words"].starts) - 1, dtype=np.uint8)
        starts, values = index.values["words"]
        np.add.at(self._bits, np.repeat(np.arange(len(self._bits)), np.diff(starts)), values.astype(np.uint8))
        self._forms, self._longest_word = word_forms(index.tables["words"])
        self._grams = text_grams(index.substrings)

    def listed(self, parsed: ParsedUrls) -> list[pa.Array]:
        """url_listed, url_list, url_entry, url_in_lists."""
        found = np.concatenate([self._entries_of(parsed), self._expressions(parsed)])
        found = found[np.lexsort((found[:, LIST], -found[:, ORDER], found[:, WAY], found[:, ROW]))]
        pairs, once = np.unique(found[:, ROW] * len(self._index.lists) + found[:, LIST], return_index=True)
        if self._index.lists:
            rows = np.bincount(pairs % len(self._index.lists), minlength=len(self._index.lists))
            for name, number in zip(self._index.lists, rows, strict=True):
                self._ctx.count(f"{_COUNTED}{name}", int(number))
        if not len(found):
            many = pa.nulls(len(parsed.valid), pa.large_string())
            return [many, many, many, _lists(parsed.valid, None, pa.nulls(0, pa.large_string()))]
        first = found[np.diff(found[:, ROW], prepend=-1) > 0]
        place = np.full(len(parsed.valid), -1, dtype=np.int64)
        place[first[:, ROW]] = np.arange(len(first))
        at = pa.array(place, mask=place < 0)
        how = pa.array(WAYS, pa.large_string()).take(pa.array(first[:, WAY]))
        names = pa.array(self._index.lists, pa.large_string())
        columns = [how.take(at), names.take(pa.array(first[:, LIST])).take(at), self._texts(first).take(at)]
        each = found[np.sort(once)]
        many = np.bincount(each[:, ROW], minlength=len(place))
        return [*columns, _lists(parsed.valid, many, names.take(pa.array(each[:, LIST])))]

    def _entries_of(self, parsed: ParsedUrls) -> Any:
        """What hosts and addresses are listed as, i64[found, 5]: ROW, WAY, ORDER, ENTRY, LIST."""
        from winnow.pipeline.url import url_list_kernels as kernels

        tables, (suffixes, bits) = self._index.tables, self._suffixes
        row, way, entry = kernels.listed(
            parsed.offsets, parsed.data, parsed.spans, parsed.is_ip, parsed.valid, tables["domains"].arrays,
            tables["urls"].arrays, self._longest, suffixes.arrays, bits)  # fmt: skip
        matched = np.isin(way, (kernels.AS_URL, kernels.AS_PREFIX))
        out = []
        for mine, name in ((~matched, "domains"), (matched, "urls")):
            starts, lists = self._index.values[name]
            at = np.flatnonzero(mine)
            many = np.diff(starts)[entry[at]]
            of = np.repeat(at, many)
            within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
            of_list = lists[starts[entry[of]] + within].astype(np.int64)
            out.append(np.stack((row[of], way[of], of, entry[of], of_list), axis=1))
        return np.concatenate(out)

    def _expressions(self, parsed: ParsedUrls) -> Any:
        """Rows that an expression matches, in small letters and without the scheme, as `_entries_of` has them."""
        from winnow.pipeline.url import parse_url_kernels as kernels

        if not self._index.expressions:
            return np.zeros((0, 5), dtype=np.int64)
        address = pl.Series(parsed.texts(parsed.spans[:, kernels.N_HOST], parsed.offsets[1:])).str.to_lowercase()
        out = []
        for number, (text, of_list) in enumerate(self._index.expressions):
            rows = np.flatnonzero(address.str.contains(text).fill_null(value=False).to_numpy())
            same = np.full((len(rows), 4), (WAYS.index("expression"), -number, number, of_list), dtype=np.int64)
            out.append(np.column_stack((rows, same)))
        return np.concatenate(out)

    def _texts(self, found: Any) -> pa.Array:
        """The entries themselves, large_string."""
        of_url = np.isin(found[:, WAY], [WAYS.index(way) for way in ("url", "prefix")])
        matched = found[:, WAY] == WAYS.index("expression")
        expressions = pa.array([text for text, _ in self._index.expressions], pa.large_string())
        texts = (self._entries["domains"], self._entries["urls"], expressions)
        parts = list(zip(texts, (~of_url & ~matched, of_url, matched), strict=True))
        taken = pa.concat_arrays([each.take(pa.array(found[mine, ENTRY])) for each, mine in parts])
        order = np.concatenate([np.flatnonzero(mine) for _, mine in parts])
        return taken.take(pa.array(np.argsort(order)))

    def words(self, parsed: ParsedUrls) -> list[pa.Array]:
        """url_hard_words, url_hard_word, url_soft_words, url_substrings, url_substring: one pass over the addresses."""
        from winnow.pipeline.url import url_list_kernels as kernels

        found, rows, ends, letters = kernels.words_of(
            parsed.offsets, parsed.data, parsed.spans, parsed.valid, self._index.tables["words"].arrays, self._forms,
            self._longest_word, self._bits, self._grams)  # fmt: skip
        hard, first, soft = found[:, 0], found[:, 1], found[:, 2]
        for bit, name, counts in ((HARD, "hard_words", hard), (SOFT, "soft_words", soft)):
            if (self._bits & bit).any():
                self._ctx.count(f"{_COUNTED}{name}", int((counts > 0).sum()))
        absent = None if parsed.valid.all() else ~parsed.valid
        named = self._entries["words"].take(pa.array(np.ascontiguousarray(first), mask=first < 0))
        number, text = self._substrings(len(found), rows, _strings(ends, letters))
        return [_numbers(hard, absent), named, _numbers(soft, absent), _numbers(number, absent), text]

    def _substrings(self, rows: int, some: Any, squashed: pa.Array) -> tuple[Any, pa.Array]:
        """(number of different texts i32[rows], the first); `some` rows alone may have one, in their `squashed`."""
        number, place = np.zeros(rows, dtype=np.int32), np.full(rows, -1, dtype=np.int64)
        if not len(some):
            if self._index.substrings:
                self._ctx.count(f"{_COUNTED}substrings", 0)
            return number, pa.nulls(rows, pa.large_string())
        texts = pl.Series(squashed, dtype=pl.String)
        has = texts.str.contains_any(self._index.substrings).to_numpy()
        found = texts.filter(pl.Series(has)).str.extract_many(self._index.substrings, overlapping=True)
        number[some[has]], place[some[has]] = found.list.n_unique().to_numpy(), np.arange(len(found))
        self._ctx.count(f"{_COUNTED}substrings", int(has.sum()))
        return number, _arrow(found.list.first(), pa.large_string()).take(pa.array(place, mask=place < 0))


def word_forms(table: TextTable) -> tuple[Any, int]:
    """(whether any word has the length and the first two signs bool[FORMS], bytes of the longest word)."""
    from winnow.pipeline.url import url_list_kernels as kernels

    forms, sizes = np.zeros(kernels.FORMS, dtype=np.bool_), np.diff(table.starts)
    signs = np.append(kernels.SIGN[table.texts], np.uint8(0)).astype(np.int64)
    at = table.starts[:-1]
    second = np.where(sizes > 1, signs[np.minimum(at + 1, len(signs) - 1)], 0)
    size = np.minimum(sizes, kernels.MOST_SIZE)
    forms[((size * kernels.SIGNS + second) * kernels.SIGNS + signs[at])[sizes > 0]] = True
    return forms, int(sizes.max()) if len(sizes) else 0


def text_grams(texts: Sequence[str]) -> Any:
    """A bit for all three signs in a row that one of the texts may begin with, u64; of no texts an empty array."""
    from winnow.pipeline.url import url_list_kernels as kernels

    grams = np.zeros((kernels.SIGNS,) * 3, dtype=np.bool_)
    for text in texts:
        grams[tuple(kernels.SIGN[np.frombuffer(text[:3].encode(), dtype=np.uint8)])] = True
    bits = np.zeros(-(-kernels.GRAMS // 64) * 64 if len(texts) else 0, dtype=np.bool_)
    bits[: kernels.GRAMS] = grams.reshape(-1)[: len(bits)]
    return np.packbits(bits, bitorder="little").view(np.uint64)


def _lists(valid: Any, many: Any, names: pa.Array) -> pa.Array:
    """`names` as lists of `many` i64[rows] (None: of none) each; null where a row is not valid."""
    starts = np.zeros(len(valid) + 1, dtype=np.int64)
    if many is not None:
        np.cumsum(many, out=starts[1:])
    return pa.LargeListArray.from_arrays(pa.array(starts), names, mask=None if valid.all() else pa.array(~valid))


def _numbers(values: Any, absent: Any) -> pa.Array:
    return pa.array(np.ascontiguousarray(values, dtype=np.int32), mask=absent)


def _strings(starts: Any, data: Any) -> pa.Array:
    """Texts over bytes that are ASCII, large_string."""
    held = [None, pa.py_buffer(np.ascontiguousarray(starts)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.large_string(), len(starts) - 1, held)


def _arrow(series: pl.Series, kind: pa.DataType) -> pa.Array:
    return series.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(kind)
