"""Evaluation targets: texts of which a model scores one part given the part before it.

Every target is a list of items, and every item has one or more *requests*: a `context` that is only read and a
`scored` text whose every byte counts. So documents, multiple choice, minimal pairs, continuations and labelled
texts are scored by one loop:

| kind         | requests of an item                          | measures                                          |
|--------------|----------------------------------------------|---------------------------------------------------|
| documents    | the document, without context                | bits_per_byte                                     |
| continuation | one context, one answer                      | bits_per_byte, accuracy (every token likeliest)   |
| choices      | one per choice                               | bits_per_byte of the gold answer, accuracy,       |
|              |                                              | accuracy_per_char, accuracy_per_byte, centred     |
| labels       | the text; a probe on frozen features answers | accuracy, centred, gap (over untrained features)  |

The way of a target, each step a stage of its own so that nothing is read or tokenised twice:

```
rows stage, or `target_file` (a parsed file)      suites.suite_of(source)            -> Suite
`target_tokens` (refs target, tokenizer)          suites.tokenise(suite, encode)     -> Tokenised
`evaluate_gpt`  (refs models, targets)            evaluate.evaluate(models, shape, tokenised, precision=...) -> Scores
                                                  evaluate.summary(tokenised, scores)  -> JSON
```

`evaluate_gpt` is a job per trained model, so a new target trains nothing; one job per model
*and* target re-evaluates nothing either. It writes `documents.npz` with arrays `{label}.nats` and `{label}.bytes`
(of the item's gold answer), `{label}.correct`, `{label}.correct_per_char` and `{label}.correct_per_byte` (where the
kind has them), one value per item in the target's own order, and per target the metrics

```
{"kind": ..., "measures": {"bits_per_byte": ..., ...}, "facts": {"items": ..., "bytes": ..., "tokens": ..., ...}}
```

`facts` are equal for all models of one shape and tokenizer: runs with other facts saw other items and must not be
compared. Of the measures, those in `LOWER_IS_BETTER` fall as a model learns, the others rise.

Shape suffixes: I items, R requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from pyarrow import feather

from winnow.core.errors import DataError
from winnow.core.operators import Kind, Source
from winnow.core.store.ids import id_hex

TargetKind = Literal["documents", "continuation", "choices", "labels"]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Encode = Callable[[pl.Series], tuple[npt.NDArray[Any], Ints]]

LOWER_IS_BETTER = frozenset({"bits_per_byte", "log_loss"})
REQUESTS, ITEMS, TOKENS = "requests.arrow", "items.arrow", "target.npz"
PROTECTED = "protected.arrow"  # for `decontaminate`


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A parsed target: requests in the order of their items, and what is right."""

    kind: TargetKind
    names: pl.Series  # String[I]: a doc_id in hex, or file and line
    first: Ints  # [I + 1]: requests first[i] .. first[i + 1] belong to item i
    gold: Ints  # [I]: the right request of the item, from 0; of labels: the number of the label
    chance: Floats  # [I]: the probability that a guess is right
    context: pl.Series  # String[R]
    scored: pl.Series  # String[R], none empty

    def __len__(self) -> int:
        """Items."""
        return len(self.names)

    @property
    def protected(self) -> pl.Series:
        """What must not be trained on, String[I]: context and right answer."""
        at = self.first[:-1] + (0 if self.kind == "labels" else self.gold)
        return self.context.gather(at) + self.scored.gather(at)


@dataclass(frozen=True, kw_only=True)
class Tokenised:
    """A target in token ids: request r is ids[offsets[r] : offsets[r + 1]], context first."""

    kind: TargetKind
    names: pl.Series
    first: Ints
    gold: Ints
    chance: Floats
    ids: npt.NDArray[Any]
    offsets: Ints  # [R + 1]
    context_tokens: Ints  # [R]
    num_bytes: Ints  # [R]: UTF-8 bytes of the scored text; tokens that spell no text have none
    num_chars: Ints  # [R]: its characters (code points) behind leading white space, at least 1
    digest: str  # 32 hex digits of all of this
    items_found: int = 0  # of the whole target, where this is a sample of it; 0: this is all

    @property
    def gold_requests(self) -> Ints:
        """The request of each item that holds its right answer, i64[I]."""
        return self.first[:-1] + (0 if self.kind == "labels" else self.gold)


def suite_of(source: Source, *, target: str = "") -> Suite:
    """The target behind a stage: a `target_file`, or rows whose texts are documents.

    Raises:
        DataError: there is no document with text.
    """
    if source.kind in (Kind.ROWS, Kind.COLUMNS):
        return documents(source.frame("doc_id", "text", where_kept=True), target=target)
    return load_suite(source.files(), target=target)


def documents(rows: pl.DataFrame, *, target: str = "") -> Suite:
    """Columns doc_id, text -> documents in ascending doc_id; those without text are left out.

    Raises:
        DataError: no document has text.
    """
    rows = rows.filter(pl.col("text").str.len_bytes() > 0).sort("doc_id")
    if rows.is_empty():
        raise DataError("no held-out document has text", where=f"eval target {target!r}")
    names = pl.Series([id_hex(one) for one in rows["doc_id"]], dtype=pl.String)
    empty = pl.Series([""], dtype=pl.String).new_from_index(0, len(rows))
    return Suite(
        kind="documents",
        names=names,
        first=np.arange(len(rows) + 1, dtype=np.int64),
        gold=np.zeros(len(rows), dtype=np.int64),
        chance=np.zeros(len(rows)),
        context=empty,
        scored=rows["text"],
    )


def tokenise(suite: Suite, encode: Encode) -> Tokenised:
    """The suite in tokens. Context and scored text are encoded apart: no token spans both, so bytes are exact.

    Raises:
        DataError: a text gives no token.
    Cost: every distinct text is encoded once.
    """
    context, context_at = _encoded(suite.context, encode)
    scored, scored_at = _encoded(suite.scored, encode)
    before, after = context_at[:, 1] - context_at[:, 0], scored_at[:, 1] - scored_at[:, 0]
    if len(after) and after.min() < 1:
        bad = int(np.searchsorted(suite.first, int(after.argmin()), side="right")) - 1
        raise DataError("a scored text has no token", where=suite.names[bad])
    offsets = np.concatenate(([0], np.cumsum(before + after))).astype(np.int64)
    ids = np.empty(int(offsets[-1]), dtype=np.result_type(context, scored))
    _copy(context, context_at, ids, offsets[:-1])
    _copy(scored, scored_at, ids, offsets[:-1] + before)
    num_bytes = suite.scored.str.len_bytes().cast(pl.Int64).to_numpy().copy()
    num_chars = suite.scored.str.strip_chars_start().str.len_chars().cast(pl.Int64).clip(1).to_numpy().copy()
    arrays: dict[str, Any] = {
        "first": suite.first, "gold": suite.gold, "chance": suite.chance, "ids": ids, "offsets": offsets,
        "context_tokens": before, "num_bytes": num_bytes, "num_chars": num_chars,
    }  # fmt: skip
    digest = _digest(suite.kind, suite.names, arrays)
    return Tokenised(kind=suite.kind, names=suite.names, digest=digest, **arrays)


def save_suite(suite: Suite, folder: Path, *, template: str = "") -> None:
    """Write requests.arrow, items.arrow and protected.arrow; equal suites give equal bytes.

    What is protected is without the `template` that contexts were made with: pages that repeat a question have none.
    """
    items = pa.table(
        {"name": suite.names.to_arrow(compat_level=pl.CompatLevel.oldest()), "gold": suite.gold, "chance": suite.chance}
    )
    item = np.repeat(np.arange(len(suite)), np.diff(suite.first))
    texts = {n: getattr(suite, n).to_arrow(compat_level=pl.CompatLevel.oldest()) for n in ("context", "scored")}
    requests = pa.table({"item": item, **texts})
    feather.write_feather(items.replace_schema_metadata({"kind": suite.kind}), folder / ITEMS, compression="zstd")
    feather.write_feather(requests, folder / REQUESTS, compression="zstd")
    bare = replace(suite, context=_without(suite.context, template)).protected
    protected = {"name": items.column("name"), "text": bare.to_arrow(compat_level=pl.CompatLevel.oldest())}
    feather.write_feather(pa.table(protected), folder / PROTECTED, compression="zstd")


def _without(context: pl.Series, template: str) -> pl.Series:
    """The contexts without what stands before and after the question in their template."""
    before, _, after = template.partition("{question}")
    end = " " if after else ""  # what follows is another word
    stripped = context.str.strip_prefix(before).str.strip_suffix(after.rstrip())
    return pl.select(pl.when(stripped != context).then(stripped + end).otherwise(context)).to_series()


def protected_of(source: Source, suite: Suite) -> pl.Series:
    """What must not be trained on of the target behind a stage, String[I]."""
    files = {} if source.kind in (Kind.ROWS, Kind.COLUMNS) else source.files()
    if PROTECTED not in files:
        return suite.protected
    return _texts(feather.read_table(files[PROTECTED], memory_map=False), "text")


def load_suite(files: dict[str, Path], *, target: str = "") -> Suite:
    """What `save_suite` wrote.

    Raises:
        DataError: the stage is no target.
    """
    if not {ITEMS, REQUESTS} <= set(files):
        raise DataError("this stage is no evaluation target", where=f"eval target {target!r}",
                        hint="name rows, or a `target_file` stage")  # fmt: skip
    items, requests = (feather.read_table(files[name], memory_map=False) for name in (ITEMS, REQUESTS))
    item = np.asarray(requests.column("item"))
    return Suite(
        kind=items.schema.metadata[b"kind"].decode(),
        names=_texts(items, "name"),
        first=np.searchsorted(item, np.arange(items.num_rows + 1)).astype(np.int64),
        gold=np.array(items.column("gold"), dtype=np.int64),
        chance=np.array(items.column("chance"), dtype=np.float64),
        context=_texts(requests, "context"),
        scored=_texts(requests, "scored"),
    )


def save_tokens(tokenised: Tokenised, path: Path) -> None:
    """Write one .npz of plain arrays (no pickle)."""
    names = tokenised.names.to_list()
    spelled = [name.encode() for name in names]
    np.savez(
        path,
        allow_pickle=False,
        kind=np.frombuffer(tokenised.kind.encode(), dtype=np.uint8),
        digest=np.frombuffer(tokenised.digest.encode(), dtype=np.uint8),
        items_found=np.array(tokenised.items_found, dtype=np.int64),
        names=np.frombuffer(b"".join(spelled), dtype=np.uint8),
        name_ends=np.cumsum([len(name) for name in spelled], dtype=np.int64),
        **{name: getattr(tokenised, name) for name in _ARRAYS},
    )


def load_tokens(path: Path) -> Tokenised:
    """What `save_tokens` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    ends = arrays["name_ends"].tolist()
    raw = arrays["names"].tobytes()
    names = [raw[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
    kind: Any = arrays["kind"].tobytes().decode()
    return Tokenised(
        kind=kind,
        names=pl.Series(names, dtype=pl.String),
        digest=arrays["digest"].tobytes().decode(),
        items_found=int(arrays["items_found"]),
        **{name: arrays[name] for name in _ARRAYS},
    )


def take(suite: Suite, items: Ints) -> Suite:
    """The suite of these items, in the given order."""
    counts = np.diff(suite.first)[items]
    first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    requests = np.repeat(suite.first[:-1][items] - first[:-1], counts) + np.arange(first[-1])
    return Suite(
        kind=suite.kind,
        names=suite.names.gather(items),
        first=first,
        gold=suite.gold[items],
        chance=suite.chance[items],
        context=suite.context.gather(requests),
        scored=suite.scored.gather(requests),
    )


_ARRAYS = ("first", "gold", "chance", "ids", "offsets", "context_tokens", "num_bytes", "num_chars")


def _encoded(texts: pl.Series, encode: Encode) -> tuple[npt.NDArray[Any], Ints]:
    """(ids of the distinct texts, begin and end of every text's ids i64[R, 2])."""
    distinct = texts.unique(maintain_order=True)
    ids, offsets = encode(distinct)
    if len(distinct) == len(texts):
        which = np.arange(len(texts))
    else:
        numbers = pl.DataFrame({"text": distinct}).with_row_index("number")
        which = (
            pl.DataFrame({"text": texts})
            .join(numbers, on="text", how="left", maintain_order="left")["number"]
            .to_numpy()
        )
    return ids, np.stack((offsets[:-1][which], offsets[1:][which]), axis=1)


def _copy(source: npt.NDArray[Any], ranges: Ints, out: npt.NDArray[Any], places: Ints) -> None:
    """source[ranges[r, 0] : ranges[r, 1]] goes to out[places[r]:], for all r."""
    lengths = ranges[:, 1] - ranges[:, 0]
    ends = np.cumsum(lengths)
    within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    out[np.repeat(places, lengths) + within] = source[np.repeat(ranges[:, 0], lengths) + within]


def _digest(kind: str, names: pl.Series, arrays: dict[str, npt.NDArray[Any]]) -> str:
    import xxhash

    state = xxhash.xxh3_128(kind.encode())
    state.update("\0".join(names.to_list()).encode())
    for name, array in sorted(arrays.items()):
        state.update(f"\0{name}{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return str(state.hexdigest())


def _texts(table: pa.Table, name: str) -> pl.Series:
    found = pl.from_arrow(table.column(name))
    assert isinstance(found, pl.Series)
    return found.cast(pl.String)


def items_per_request(first: Ints) -> Ints:
    """The item of every request, i64[R]."""
    return np.repeat(np.arange(len(first) - 1), np.diff(first))
