"""Curated text as token ids on disk: made once, memory-mapped ever after.

A folder holds `tokens.*.bin` (all ids one after the other, u16 or u32 little-endian), `documents.*.arrow` (doc_id,
end of each document, weight, in the order of the shards) and `index.json`, which is created last and once: what was
read (name, bytes, digest of every shard), by which tokenizer, and the digests of both files. Packing plans lie
beside them. Several processes may make the same folder at once: the first index counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError, StoreError
from winnow.core.numerics.rng import lanes
from winnow.core.store.ids import as_fixed, digest_bytes
from winnow.core.store.parts import HashingSink
from winnow.core.store.schema import read_ipc, write_ipc
from winnow.core.store.store import Store, attempt_id
from winnow.core.words.hashing import from_lanes
from winnow.core.words.token_ids import COUNTED, slow_remarks
from winnow.trainers.data.coder import Coder
from winnow.trainers.data.pack import Documents, Weighting, checked_weights, order_of
from winnow.trainers.data.packing import Packing, Plan, make_plan
from winnow.trainers.data.shards import Shard, file_digest

INDEX = "index.json"
FORMAT = 2  # 2: a tokenizer's own truncation, padding and dropout are not applied


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenStore:
    """A made folder, opened."""

    store: Store
    folder: str
    index: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """32 hex digits of the tokens, ids and weights, and of every shard they were made from."""
        return str(self.index["digest"])

    @property
    def shards(self) -> dict[str, str]:
        """Shard -> its digest."""
        return {s["file"]: s["digest"] for s in self.index["shards"]}

    @cached_property
    def documents(self) -> Documents:
        """All documents, mapped."""
        table = read_ipc(self.store.open_buffer(self._key("documents")), None)
        offsets = np.zeros(table.num_rows + 1, dtype=np.int64)
        offsets[1:] = np.asarray(table.column("end"))
        weights = np.asarray(table.column("weight")) if "weight" in table.column_names else None
        ids = pl.from_arrow(table.column("doc_id"))
        assert isinstance(ids, pl.Series)
        return Documents(doc_id=ids, tokens=self._tokens(), offsets=offsets, weights=weights)

    def plan(self, *, context: int, packing: Packing, weighting: Weighting, seed: int) -> Plan:
        """The packing plan, made and stored on first use; only `concat` depends on the seed.

        Raises:
            DataError: there is nothing to pack.
        """
        seed = seed if packing == "concat" else 0
        body = orjson.dumps([FORMAT, self.digest, context, packing, weighting, seed])
        name = f"{self.folder}/plan-{digest_bytes(body)[:16]}"
        key = f"{name}.arrow"
        if not self.store.exists(key):
            documents = self.documents
            order = order_of(documents.doc_id, documents.weights, weighting=weighting, packing=packing, seed=seed)
            lengths = np.diff(documents.offsets)
            made = make_plan(lengths, context=context, packing=packing, order=order, source=self.digest)
            mine = f"{name}.{attempt_id()}.arrow"
            with self.store.writing(mine) as sink:
                made.write(sink)
            self.store.publish(mine, key)
            self.store.delete(mine)
        return Plan.read(self.store.open_buffer(key), where=self.store.where(key))

    def check_shards(self, found: Sequence[Shard], *, thorough: bool = False) -> None:
        """Check that the shards are those that this folder was made from.

        A shard of the same size, times and inode is taken as it is, unless `thorough`.
        Raises:
            DataError: a shard was changed, added, or is gone; it is named.
        """
        hint = f"put it back, or remove {self.store.where(self.folder)} to make the data set anew"
        known = {s["file"]: s for s in self.index["shards"]}
        for shard in found:
            if shard.name not in known:
                raise DataError("a shard is new since this data set was made", where=_place(shard), hint=hint)
            was = known.pop(shard.name)
            if not thorough and list(shard.stamp()) == was["stamp"] and shard.path is not None:
                continue
            digest = shard.digest()
            if digest != was["digest"]:
                raise DataError(
                    f"a shard was changed: digest {digest}, was {was['digest']} when this data set was made",
                    where=_place(shard), hint=hint,
                )  # fmt: skip
        if known:
            raise DataError(f"{len(known)} shards are gone", where=next(iter(known)), hint=hint)

    def check_files(self) -> None:
        """Check that the files are as they were written.

        Raises:
            StoreError: one has other bytes.
        """
        for name, file in self.index["files"].items():
            if file_digest(self.store.local_copy(self._key(name))) != file["digest"]:
                hint = f"remove {self.store.where(self.folder)}: it is made anew"
                raise StoreError("a file was changed", where=self.store.where(self._key(name)), hint=hint)

    def _tokens(self) -> npt.NDArray[Any]:
        file = self.index["files"]["tokens"]
        if not file["bytes"]:
            return np.zeros(0, dtype=self.index["dtype"])
        return np.frombuffer(self.store.open_buffer(self._key("tokens")).read_buffer(), dtype=self.index["dtype"])

    def _key(self, name: str) -> str:
        key = f"{self.folder}/{self.index['files'][name]['file']}"
        size, expected = self.store.size(key), self.index["files"][name]["bytes"]
        if size != expected:
            raise StoreError(
                f"a file has {size} bytes, its index says {expected}", where=self.store.where(key),
                hint=f"remove {self.store.where(self.folder)}: it is made anew",
            )  # fmt: skip
        return key


def open_tokens(
    store: Store, shards: Sequence[Shard], coder: Coder, *, weight: str | None = None, text: str = "text"
) -> TokenStore:
    """The tokens of the shards: made where they are not there yet, else checked against the shards.

    Raises:
        DataError: a shard is not what it was, has nothing in it, or has null text or a bad weight.
    Cost: making takes one pass over the text and one batch of 4096 documents in memory, plus 40 bytes per document.
    """
    names = [s.name for s in shards]
    fixed = [s.expected for s in shards if s.path is None]  # another run's stage is another data set
    folder = digest_bytes(orjson.dumps([FORMAT, coder.digest, coder.vocab, weight, text, names, fixed]))[:16]
    if not store.exists(f"{folder}/{INDEX}"):
        _make(store, folder, shards, coder, weight=weight, text=text)
    index = orjson.loads(store.get(f"{folder}/{INDEX}"))
    made = TokenStore(store=store, folder=folder, index=index)
    made.check_shards(shards)
    return made


def _make(store: Store, folder: str, shards: Sequence[Shard], coder: Coder, *, weight: str | None, text: str) -> None:
    """Write both files and the index; where another process was first, only its files stay.

    Raises:
        DataError: see `open_tokens`.
    """
    attempt = attempt_id()
    names = {"tokens": f"tokens.{attempt}.bin", "documents": f"documents.{attempt}.arrow"}
    files: dict[str, Any] = {}
    read: list[dict[str, Any]] = []
    rows: list[pl.DataFrame] = []
    with store.writing(f"{folder}/{names['tokens']}") as raw:
        sink = HashingSink(raw)
        for shard in shards:
            rows += _encoded(shard, coder, sink, read, weight=weight, text=text)
    files["tokens"] = {"file": names["tokens"], "bytes": sink.size, "digest": sink.state.hexdigest()}
    table = _documents(rows, weighted=weight is not None)
    with store.writing(f"{folder}/{names['documents']}") as raw:
        sink = HashingSink(raw)
        write_ipc(sink, table, compress=False)  # type: ignore[arg-type]
    files["documents"] = {"file": names["documents"], "bytes": sink.size, "digest": sink.state.hexdigest()}
    body = {
        "format": FORMAT, "tokenizer": coder.digest, "vocab": coder.vocab, "end": coder.end, "weight": weight,
        "dtype": np.dtype(coder.dtype).name, "documents": table.num_rows, "files": files, "shards": read,
        "tokenized_by": _told(coder),
    }  # fmt: skip
    digests = [[s["file"], s["digest"]] for s in read]
    body["digest"] = digest_bytes(orjson.dumps([files["tokens"]["digest"], files["documents"]["digest"], digests]))
    store.put_new(f"{folder}/{INDEX}", orjson.dumps(body, option=orjson.OPT_INDENT_2))
    _remove_leftovers(store, folder)


def _told(coder: Coder) -> dict[str, int]:
    """Library -> documents that it has encoded so far; warns where it was the slow one."""
    counted: Mapping[str, int] = getattr(coder.encode, "counted", {})
    for line in slow_remarks(counted):
        warnings.warn(line, stacklevel=6)
    return {name.removeprefix(COUNTED).partition(": ")[0]: number for name, number in counted.items()}


def _remove_leftovers(store: Store, folder: str) -> None:
    """Remove files that the index does not name: of killed processes, and of those that were not first."""
    named = {f["file"] for f in orjson.loads(store.get(f"{folder}/{INDEX}"))["files"].values()}
    for key in store.list(folder):
        name = key.rsplit("/", 1)[1]
        if name.startswith(("tokens.", "documents.")) and name not in named:
            store.delete(key)


def _encoded(
    shard: Shard, coder: Coder, sink: HashingSink, read: list[dict[str, Any]], *, weight: str | None, text: str
) -> Iterator[pl.DataFrame]:
    """doc_id, length and weight of every document of a shard, after its ids were written to `sink`.

    What was read is added to `read`, with the digest from before and after reading being one.
    """
    stamp, digest = shard.stamp(), shard.digest()
    if shard.expected not in ("", digest):
        raise DataError(f"the shard has digest {digest}, the index says {shard.expected}", where=_place(shard))
    rows = tokens = 0
    for frame in shard.read([text, *([weight] if weight else [])]):
        if frame[text].null_count():
            raise DataError(f"{frame[text].null_count()} documents have no text", where=_place(shard))
        ids, offsets = coder.encode(frame[text])
        sink.write(np.ascontiguousarray(ids, dtype=np.dtype(coder.dtype).newbyteorder("<")))
        columns = {"doc_id": frame["doc_id"], "length": np.diff(offsets)}
        weights = {"weight": _weights(frame, weight, shard)} if weight else {}
        rows, tokens = rows + frame.height, tokens + len(ids)
        yield pl.DataFrame({**columns, **weights})
    if shard.stamp() != stamp:
        raise DataError("a shard was changed while it was read", where=_place(shard), hint="run again")
    read.append({"file": shard.name, "stamp": stamp, "digest": digest, "rows": rows, "tokens": tokens})


def _weights(frame: pl.DataFrame, weight: str, shard: Shard) -> npt.NDArray[np.float64]:
    try:
        return checked_weights(frame["doc_id"], frame[weight], all_zero=True)
    except DataError as error:
        raise DataError(error.what, where=f"{_place(shard)}, {error.where}", hint=error.hint) from error


def _documents(rows: Sequence[pl.DataFrame], *, weighted: bool) -> pa.Table:
    frame = pl.concat(rows) if rows else pl.DataFrame()
    if frame.is_empty() or not frame["length"].sum():
        raise DataError(
            "the shards hold no text: there is nothing to train on", hint="raise the budget of the selection"
        )
    ids = from_lanes(lanes(as_fixed(frame["doc_id"])))
    columns: dict[str, Any] = {"doc_id": ids, "end": pa.array(np.cumsum(frame["length"].to_numpy()), pa.int64())}
    if weighted:
        columns["weight"] = pa.array(frame["weight"].to_numpy(), pa.float64())
        if not (frame["weight"] > 0).any():
            raise DataError("all weights are 0: there is nothing to train on", hint="check the weight column")
    return pa.table(columns)


def _place(shard: Shard) -> str:
    return str(shard.path or shard.name)
