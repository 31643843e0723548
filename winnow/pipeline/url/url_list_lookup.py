"""The `url_lists` operator's face: what the lists say of every address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema, port
from winnow.pipeline.url.parse_url import ParsedUrls, parse_urls
from winnow.pipeline.url.suffix_rules import LIBRARY
from winnow.pipeline.url.url_list_index import HARD, SOFT, UrlIndex, opened
from winnow.pipeline.url.url_list_settings import OUTPUTS, WAYS
from winnow.pipeline.url.url_parts import UrlColumn, check_text, count_problems

_COUNTED = "of:"  # counters: addresses that a list names, or that have some of the words
_MOST_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class UrlListLookup(UrlColumn, MapArrow):
    """The list and the entry that name an address, how, and the listed words in it; null where there is no address."""

    name: ClassVar[str] = "url_list_lookup"
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
        lookup = _Lookup(opened(ctx.ref("index").files()), ctx)

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            urls = batch.column(self.column)
            parsed = parse_urls(urls, private=self.private_suffixes)
            count_problems(parsed, len(urls) - urls.null_count, ctx)
            arrays = [*lookup.listed(parsed), *lookup.words(parsed), *lookup.substrings(parsed)]
            return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(OUTPUTS.items())))

        return columns


_FIRSTS: dict[str, Any] = {
    "row": pl.Int64, "how": pl.String, "name": pl.String, "entry": pl.String, "lists": pl.List(pl.String),
}  # fmt: skip


class _Lookup:
    """The tables of an index, applied to parsed addresses."""

    def __init__(self, index: UrlIndex, ctx: Context) -> None:
        self._index, self._ctx = index, ctx
        self._entries = {name: _strings(table.starts, table.texts) for name, table in index.tables.items()}
        sizes = np.diff(index.tables["urls"].starts)
        self._longest = int(sizes.max()) if len(sizes) else 0
        self._bits = np.zeros(len(index.tables["words"].starts) - 1, dtype=np.uint8)
        starts, values = index.values["words"]
        np.add.at(self._bits, np.repeat(np.arange(len(self._bits)), np.diff(starts)), values.astype(np.uint8))

    def listed(self, parsed: ParsedUrls) -> list[pa.Array]:
        """url_listed, url_list, url_entry, url_in_lists."""
        from winnow.pipeline.url import url_list_kernels as kernels

        tables = self._index.tables
        row, way, entry = kernels.listed(parsed.offsets, parsed.data, parsed.spans, parsed.valid,
                                         tables["domains"].arrays, tables["urls"].arrays, self._longest)  # fmt: skip
        if not len(row) and not self._index.expressions:
            for name in self._index.lists:
                self._ctx.count(f"{_COUNTED}{name}", 0)
            return _placed(pl.DataFrame(schema=_FIRSTS), parsed.valid)
        matched = np.isin(way, (kernels.AS_URL, kernels.AS_PREFIX))
        frames = []
        for mine, name in ((~matched, "domains"), (matched, "urls")):
            starts, lists = self._index.values[name]
            at = np.flatnonzero(mine)
            many = np.diff(starts)[entry[at]]
            of = np.repeat(at, many)
            within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
            texts = pl.Series(self._entries[name].take(pa.array(entry[of])), dtype=pl.String)
            frames.append(pl.DataFrame({"row": row[of], "way": way[of], "order": of, "entry": texts,
                                        "list": lists[starts[entry[of]] + within].astype(np.int64)}))  # fmt: skip
        found = pl.concat([*frames, self._expressions(parsed)]).sort(
            "row", "way", pl.col("order"), descending=[False, False, True]
        )
        for number, name in enumerate(self._index.lists):
            self._ctx.count(f"{_COUNTED}{name}", found.filter(pl.col("list") == number)["row"].n_unique())
        names = pl.Series(self._index.lists, dtype=pl.String)
        found = found.with_columns(name=names.gather(found["list"]), how=pl.Series(WAYS).gather(found["way"]))
        each = found.group_by("row", maintain_order=True).agg(
            pl.col("how", "name", "entry").first(), lists=pl.col("name").unique(maintain_order=True)
        )
        return _placed(each, parsed.valid)

    def _expressions(self, parsed: ParsedUrls) -> pl.DataFrame:
        """Rows that an expression matches, in small letters and without the scheme."""
        from winnow.pipeline.url import parse_url_kernels as kernels

        out = [
            pl.DataFrame(
                schema={"row": pl.Int64, "way": pl.Int64, "order": pl.Int64, "entry": pl.String, "list": pl.Int64}
            )
        ]
        if self._index.expressions:
            address = pl.Series(parsed.texts(parsed.spans[:, kernels.N_HOST], parsed.offsets[1:])).str.to_lowercase()
            for order, (text, number) in enumerate(self._index.expressions):
                rows = np.flatnonzero(address.str.contains(text).fill_null(value=False).to_numpy())
                out.append(pl.DataFrame({"row": rows, "way": WAYS.index("expression"), "order": -order, "entry": text,
                                         "list": number}, schema=out[0].schema))  # fmt: skip
        return pl.concat(out)

    def words(self, parsed: ParsedUrls) -> list[pa.Array]:
        """url_hard_words, url_hard_word, url_soft_words."""
        from winnow.pipeline.url import url_list_kernels as kernels

        table = self._index.tables["words"]
        hard, first, soft = kernels.words_of(parsed.offsets, parsed.data, parsed.spans, parsed.valid, *table.arrays,
                                             self._bits)  # fmt: skip
        for bit, name, found in ((HARD, "hard_words", hard), (SOFT, "soft_words", soft)):
            if (self._bits & bit).any():
                self._ctx.count(f"{_COUNTED}{name}", int((found > 0).sum()))
        absent = ~parsed.valid
        named = self._entries["words"].take(pa.array(first, mask=first < 0))
        return [pa.array(hard, mask=absent), named, pa.array(soft, mask=absent)]

    def substrings(self, parsed: ParsedUrls) -> list[pa.Array]:
        """url_substrings, url_substring."""
        from winnow.pipeline.url import url_list_kernels as kernels

        absent, rows = ~parsed.valid, len(parsed.valid)
        if not self._index.substrings:
            return [pa.array(np.zeros(rows, np.int32), mask=absent), pa.nulls(rows, pa.large_string())]
        ends, data = kernels.squashed(parsed.offsets, parsed.data, parsed.spans)
        squashed = pl.Series(_strings(ends, data))
        some = squashed.str.contains_any(self._index.substrings).to_numpy()
        found = squashed.filter(pl.Series(some)).str.extract_many(self._index.substrings, overlapping=True)
        number, place = np.zeros(rows, dtype=np.int32), np.full(rows, -1, dtype=np.int64)
        number[some], place[some] = found.list.n_unique().to_numpy(), np.arange(len(found))
        self._ctx.count(f"{_COUNTED}substrings", int(some.sum()))
        named = _arrow(found.list.first(), pa.large_string()).take(pa.array(place, mask=place < 0))
        return [pa.array(number, mask=absent), named]


def _placed(each: pl.DataFrame, valid: Any) -> list[pa.Array]:
    """The columns of the rows that are listed among all rows: null, and no list, where one is not."""
    place = np.full(len(valid), -1, dtype=np.int64)
    place[each["row"].to_numpy()] = np.arange(each.height)
    at = pa.array(place, mask=place < 0)
    columns = [_arrow(each[name], pa.large_string()).take(at) for name in ("how", "name", "entry")]
    many = np.zeros(len(valid) + 1, dtype=np.int64)
    many[1:][place >= 0] = each["lists"].list.len().to_numpy()[place[place >= 0]]
    names = _arrow(each["lists"].explode(empty_as_null=False), pa.large_string())
    absent = None if valid.all() else pa.array(~valid)
    return [*columns, pa.LargeListArray.from_arrays(pa.array(np.cumsum(many)), names, mask=absent)]


def _strings(starts: Any, data: Any) -> pa.Array:
    """Texts over bytes that are ASCII, large_string."""
    held = [None, pa.py_buffer(np.ascontiguousarray(starts)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.large_string(), len(starts) - 1, held)


def _arrow(series: pl.Series, kind: pa.DataType) -> pa.Array:
    return series.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(kind)
