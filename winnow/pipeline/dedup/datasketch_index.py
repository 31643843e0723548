"""The `datasketch_index` operator: MinHash signatures that datasketch made, for new data to be compared with."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.core.operators import Context, Job, Kind, Resources, port
from winnow.core.words.hashing import as_lanes, text_hash
from winnow.pipeline.dedup import index_files, lean_minhash
from winnow.pipeline.dedup.index_build import Buffer, Ints, Ragged, order_of, rank_of
from winnow.pipeline.dedup.minhash_index import KIND, Keys, Made, keys_of
from winnow.pipeline.dedup.minhash_settings import Banding, Shingling


@dataclass(frozen=True, kw_only=True)
class DatasketchIndex(Shingling, Banding, Job):
    """The index of MinHash signatures in Parquet files: a key, and the bytes of a `LeanMinHash` (`lean.serialize`).

    For `minhash: {against: RUN/STAGE}`: pairs are judged by signatures alone, since datasketch holds no sets. `sketch`
    and `ngram` say how they were made and must be those of the `minhash`; num_perm is num_bands * rows_per_band. What
    `dedup_index` wrote with `lean_minhash: true` is read as well. A key that is 32 hex digits is a doc_id, another one
    is hashed; the key itself is the `origin` that `winnow why` names. Pickles are not read.

    Raises: ConfigError where a column is not there; DataError for signatures of another kind, or repeated keys.
    Cost: one pass. Memory: the signatures.
    Source: datasketch (Zhu et al.), the format of LeanMinHash
    """

    name: ClassVar[str] = "datasketch_index"
    role: ClassVar[str] = "index"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    publishes: ClassVar[str] = "index"
    resources: ClassVar[Resources] = Resources(memory_gb=4)
    meaning: ClassVar[dict[str, Any]] = {"key": "records", "signature": "records"}

    files: tuple[str, ...] = port("files")
    key: str = "key"
    signature: str = "minhash"

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the index; metrics: its documents and its bytes."""
        hashes, parts, made = self.num_bands * self.rows_per_band, [], set()
        for path in ctx.refs.get("files", self.files):
            table = _read(path, self.key, self.signature)
            whose, slots = lean_minhash.from_bytes(table.column(1).combine_chunks(), hashes, path)
            made |= {whose} if len(slots) else set()
            parts.append((table.column(0).combine_chunks(), slots))
        self._check(made)
        keys = pa.concat_arrays([key.cast(pa.large_string()) for key, _ in parts])
        slots = np.concatenate([slots for _, slots in parts])
        ids = _ids(keys)
        place = rank_of(order_of(ids))
        if len(slots) > 1 and (np.diff(ids[order_of(ids)], axis=0) == 0).all(axis=1).any():
            raise DataError("two signatures have one key", where="files", hint="keep one signature per key")
        self._write(ctx.work, keys, ids, slots, place)
        size = index_files.finish(ctx.work, KIND, len(slots), Made(self, self, ()).settings())
        ctx.note("summary", f"{len(slots):,} documents, {size / 1e6:,.1f} MB, by signatures alone")
        return {"rows": len(slots), "bytes": size}

    def _check(self, made: set[str]) -> None:
        """That the signatures were made as the stage says. Raises: DataError."""
        said = "winnow" if self.sketch == "winnow" else f"datasketch {self.sketch.removeprefix('datasketch_')} 1"
        if made - {said}:
            told = f"the signatures are those of {', '.join(sorted(made))}, and `sketch: {self.sketch}` means {said}"
            raise DataError(told, where="sketch", hint="say how they were made: winnow, datasketch_affine32 or _legacy")

    def _write(self, folder: Path, keys: pa.Array, ids: Any, slots: lean_minhash.Slots, place: Ints) -> None:
        rows, texts = len(slots), pl.Series(keys)
        sizes = np.zeros(rows, dtype=np.int64)
        sizes[place] = texts.str.len_bytes().to_numpy()
        for name in ("ids", "keeper"):
            Buffer(folder, name, np.uint64, rows, 2).put(place, ids)
        Buffer(folder, "signatures", np.uint32, rows, slots.shape[1]).put(place, slots)
        Ragged(folder, "origin", "bytes", np.uint8, sizes).put_texts(place, texts)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Keys(Path(scratch), rows * self.num_bands)
            width = pa.binary(4 * slots.shape[1])
            held = pa.FixedSizeBinaryArray.from_buffers(width, rows, [None, pa.py_buffer(np.ascontiguousarray(slots))])
            made.add(keys_of(held, None, self), place)
            made.finish(folder)


def _read(path: str, *columns: str) -> pa.Table:
    try:
        names = pq.read_schema(path).names
        missing = [name for name in columns if name not in names]
        if missing:
            hint = did_you_mean(missing[0], names)
            raise ConfigError(f"{path} has no column {missing[0]!r}", where="files", hint=hint)
        return pq.read_table(path, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        hint = "write keys and `lean.serialize` bytes as two columns of a Parquet file; pickles are not read"
        raise DataError(f"cannot read {path} as Parquet: {error}", where="files", hint=hint) from error


def _ids(keys: pa.Array) -> Any:
    """doc_ids of keys, as words whose order is that of the bytes: those that 32 hex digits say, else hashes."""
    if keys.null_count:
        raise DataError("a key is null", where="files", hint="leave such rows out")
    ids = as_lanes(text_hash(keys)).copy()
    texts = pl.Series(keys)
    hexed = texts.str.contains(r"^[0-9a-f]{32}$").to_numpy()
    if hexed.any():
        ids[hexed] = as_lanes(texts.filter(pl.Series(hexed)).str.decode("hex").to_arrow())
    return ids.byteswap()
