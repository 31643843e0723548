"""Token ids of documents in the files that other trainers open: Megatron, OLMo, Parquet, nanoGPT.

Every document is its ids and the end mark behind them. Documents stay in the given order and whole; a new file begins
with the first document behind every multiple of `file_tokens`. What describes the files lies in a folder beside theirs
(`token_meta.py`).

| form       | files of part n                  | read by                                               |
|------------|----------------------------------|-------------------------------------------------------|
| `megatron` | `part-n.bin`, `part-n.idx`       | `megatron.core.datasets.indexed_dataset` (or its kin)  |
| `olmo`     | `part-n.npy`, `part-n.csv.gz`    | `numpy.memmap`: plain ids without a header, as dolma   |
| `parquet`  | `part-n.parquet`                 | `datasets.load_dataset(folder)`                        |
| `bin`      | `train.bin`, `val.bin`, `meta.pkl` | `numpy.memmap`: plain ids, as nanoGPT                |

Where documents have weights, `bin` has `train.weights.bin` too: f32, the weight of the loss of every id of `train.bin`.

`bin` has one file per side of a split: a document is held out by a keyed hash of its id alone, so it is on the same
side in whatever is selected, and all its repeats with it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.rng import uniform
from winnow.trainers.data.pack import Documents

Form = Literal["megatron", "olmo", "parquet", "bin"]
I64 = npt.NDArray[np.int64]
FORMS: tuple[Form, ...] = get_args(Form)
WEIGHED_FORMS: tuple[Form, ...] = ("parquet", "bin")  # which have a place for weights
FILE_TOKENS = 500_000_000
VAL_SHARE = 0.01  # of the documents, where a form has a file of held-out ones
CHUNK_TOKENS = 1 << 22  # gathered in memory at a time
META = "meta.pkl"  # what nanoGPT sizes a model by
MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
MEGATRON_TYPES = {"uint16": 8, "int32": 4}  # numbers of the format's own list of types


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Documents of one file, by their numbers i64[n] in writing order."""

    documents: Documents
    order: I64
    end: int

    @property
    def lengths(self) -> I64:
        """Ids of every document, its end mark included, i64[n]."""
        offsets = self.documents.offsets
        return offsets[self.order + 1] - offsets[self.order] + 1

    def chunks(self, dtype: Any) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """(documents, their ids one after the other) of some documents at a time, at most `CHUNK_TOKENS` or one."""
        ends = np.cumsum(self.lengths)
        at = 0
        while at < len(self.order):
            before = int(ends[at - 1]) if at else 0
            stop = max(at + 1, int(np.searchsorted(ends, before + CHUNK_TOKENS, side="right")))
            yield slice(at, stop), self._ids(slice(at, stop)).astype(dtype, copy=False)
            at = stop

    def _ids(self, some: slice) -> npt.NDArray[Any]:
        order, lengths = self.order[some], self.lengths[some]
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        shift = np.repeat(self.documents.offsets[order] - starts, lengths)
        place = np.arange(int(lengths.sum())) + shift
        place[starts + lengths - 1] = 0  # where the end marks go
        ids = np.asarray(self.documents.tokens[place]) if len(self.documents.tokens) else np.zeros(len(place), "u2")
        ids = ids.astype(np.uint32)
        ids[starts + lengths - 1] = self.end
        return ids

    def names(self) -> pl.Series:
        """Ids of the documents as 32 hex digits."""
        return self.documents.doc_id.gather(self.order).bin.encode("hex")


def write_files(
    documents: Documents, folder: Path, *, form: Form, end: int, vocab: int, order: I64 | None = None,
    file_tokens: int = FILE_TOKENS, val_share: float = VAL_SHARE, source: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Write the files into an existing folder; returns what their index says.

    `order`: numbers of the documents in writing order, a number may come again; default: each once. `vocab` decides
    the width of an id (16 bits up to 65,536 ids). `file_tokens` cuts files, but those of `bin`, which `val_share`
    splits. `source` is noted in OLMo's metadata.

    Raises:
        ConfigError: a number is out of range. DataError: there is nothing to write.
    Cost: one pass over the ids; memory of one chunk and 24 bytes per document.
    """
    if form not in FORMS:
        raise ConfigError(f"form is {form!r}", where="form", hint=f"one of {', '.join(FORMS)}")
    if not 0 <= end < vocab or file_tokens < 1:
        raise ConfigError(f"end {end} of {vocab} ids, {file_tokens} tokens a file", where="end")
    if not 0 <= val_share < 1:
        raise ConfigError(f"val_share is {val_share}, and must be in [0, 1)", where="val_share")
    order = np.arange(len(documents.doc_id)) if order is None else order
    if not len(order):
        raise DataError("there is no document to write", hint="raise the budget of the selection")
    kind = _type_of(form, vocab)
    parts: list[dict[str, Any]] = []
    pieces = {f"part-{number:05d}": some for number, some in enumerate(cut(documents, order, file_tokens))}
    for name, some in (split(documents, order, val_share) if form == "bin" else pieces).items():
        part = Part(documents=documents, order=some, end=end)
        names = WRITERS[form](part, folder / name, kind, source)
        parts.append({"files": names, "documents": len(some), "tokens": int(part.lengths.sum())})
    if form == "bin":
        (folder / META).write_bytes(_pickled_vocab(vocab))
    return {
        "form": form, "dtype": kind, "vocab": vocab, "end": end, "documents": len(order),
        "tokens": int((documents.offsets[order + 1] - documents.offsets[order] + 1).sum()), "parts": parts,
    }  # fmt: skip


def cut(documents: Documents, order: I64, file_tokens: int) -> list[I64]:
    """The documents of every file: document d is in file (tokens before it) // `file_tokens`; no file is empty."""
    lengths = documents.offsets[order + 1] - documents.offsets[order] + 1
    file = (np.cumsum(lengths) - lengths) // file_tokens
    return np.split(order, np.flatnonzero(np.diff(file)) + 1)


def split(documents: Documents, order: I64, val_share: float) -> dict[str, I64]:
    """`train` and, above a share of 0, `val`: documents whose draw is below the share; neither is ever empty.

    Raises:
        DataError: a single document cannot be on both sides.
    """
    if not val_share:
        return {"train": order}
    draw = np.asarray(uniform(documents.doc_id, seed=0, salt="validation"))[order]
    least, most = draw.min(), draw.max()
    if least == most:
        raise DataError("one document cannot be split into two files", where="val_share", hint="`val_share: 0`")
    held = ((draw < val_share) | (draw == least)) & (draw != most)
    return {"train": order[~held], "val": order[held]}


def _type_of(form: Form, vocab: int) -> str:
    narrow = vocab <= 1 << 16
    if form == "parquet":
        return "int32"
    if form == "megatron":
        return "uint16" if narrow else "int32"
    return "uint16" if narrow else "uint32"


def _megatron(part: Part, base: Path, kind: str, source: str) -> list[str]:
    """One sequence per document.

    Source: layout of Megatron-LM's indexed data sets, version 1: magic, version, type, sequences, documents + 1, then
    lengths i32, byte offsets i64 and document starts i64
    """
    sizes = part.lengths
    _write_ids(part, base.with_suffix(".bin"), kind)
    starts = (np.cumsum(sizes) - sizes) * np.dtype(kind).itemsize
    with base.with_suffix(".idx").open("wb") as out:
        out.write(MEGATRON_MAGIC)
        out.write(np.array([1], "<u8").tobytes() + np.array([MEGATRON_TYPES[kind]], "u1").tobytes())
        out.write(np.array([len(sizes), len(sizes) + 1], "<u8").tobytes())
        out.write(sizes.astype("<i4").tobytes() + starts.astype("<i8").tobytes())
        out.write(np.arange(len(sizes) + 1, dtype="<i8").tobytes())
    return [base.with_suffix(".bin").name, base.with_suffix(".idx").name]


def _olmo(part: Part, base: Path, kind: str, source: str) -> list[str]:
    """Ids, and a line per document: start, end, id, source, its number in the file counted from 1."""
    _write_ids(part, base.with_suffix(".npy"), kind)
    ends = np.cumsum(part.lengths)
    table = pl.DataFrame({"start": ends - part.lengths, "end": ends, "id": part.names()}).with_columns(
        src=pl.lit(source), loc=pl.int_range(1, len(ends) + 1)
    )
    text = table.write_csv(include_header=False).encode()
    base.with_suffix(".csv.gz").write_bytes(gzip.compress(text, mtime=0))
    return [base.with_suffix(".npy").name, base.with_suffix(".csv.gz").name]


def _parquet(part: Part, base: Path, kind: str, source: str) -> list[str]:
    """`doc_id` (hex), `input_ids` list<int32> and, where documents have one, `weight`."""
    import pyarrow.parquet as pq

    weights = part.documents.weights
    columns = {"doc_id": pa.string(), "input_ids": pa.list_(pa.int32())}
    columns |= {} if weights is None else {"weight": pa.float64()}
    names, lengths = part.names(), part.lengths
    with pq.ParquetWriter(base.with_suffix(".parquet"), pa.schema(columns), compression="zstd") as out:
        for some, ids in part.chunks(np.int32):
            offsets = np.concatenate(([0], np.cumsum(lengths[some]))).astype(np.int32)
            hexed = names[some.start : some.stop].to_arrow(compat_level=pl.CompatLevel.oldest())
            lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids))
            table = {"doc_id": hexed.cast(pa.string()), "input_ids": lists}
            table |= {} if weights is None else {"weight": pa.array(weights[part.order[some]])}
            out.write_table(pa.table(table, schema=pa.schema(columns)))
    return [base.with_suffix(".parquet").name]


def _bin(part: Part, base: Path, kind: str, source: str) -> list[str]:
    """Ids one after the other, as nanoGPT maps them; their weights, which held-out text has none of.

    Source: data/openwebtext/prepare.py and train.py of nanoGPT; the file of weights is our own
    """
    _write_ids(part, base.with_suffix(".bin"), kind)
    names = [base.with_suffix(".bin").name]
    if part.documents.weights is not None and base.name == "train":
        _write_weights(part, part.documents.weights, base.with_suffix(".weights.bin"))
        names.append(base.with_suffix(".weights.bin").name)
    return names


def _write_weights(part: Part, weights: npt.NDArray[np.float64], path: Path) -> None:
    """Weight of the loss of every id, little-endian f32, of mean 1 over the file: a document's ids and its end alike.

    Raises:
        DataError: all are 0.
    """
    lengths = part.lengths
    total = float(weights[part.order] @ lengths)
    if total <= 0:
        raise DataError(
            "all weights of train.bin are 0", where="weights", hint="lower `val_share`, or check the weights"
        )
    scaled = (weights[part.order] * (lengths.sum() / total)).astype("<f4")
    with path.open("wb") as out:
        for some, _ in part.chunks(np.uint32):
            out.write(np.repeat(scaled[some], lengths[some]).tobytes())


def _pickled_vocab(vocab: int) -> bytes:
    """`{"vocab_size": vocab}` as a pickle of protocol 2."""
    return b"\x80\x02}X\x0a\x00\x00\x00vocab_sizeJ" + np.array([vocab], "<i4").tobytes() + b"s."


def _write_ids(part: Part, path: Path, kind: str) -> None:
    out: IO[bytes]
    with path.open("wb") as out:
        for _, ids in part.chunks(np.dtype(kind).newbyteorder("<")):
            out.write(ids.tobytes())


WRITERS: dict[Form, Callable[[Part, Path, str, str], list[str]]] = {
    "megatron": _megatron, "olmo": _olmo, "parquet": _parquet, "bin": _bin,
}  # fmt: skip
