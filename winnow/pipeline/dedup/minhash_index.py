"""The index of a near-deduplication: signatures, shingles and decisions, for later data to be compared with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Context, Job, Kind, Resources, port
from winnow.core.operators.config import part_of
from winnow.core.words.distinct import distinct
from winnow.core.words.hashing import as_lanes, from_lanes
from winnow.pipeline.dedup import index_files
from winnow.pipeline.dedup.index_build import Buffer, Ints, Ragged, ascending, order_of, rank_of
from winnow.pipeline.dedup.minhash_settings import Banding, Exchange, Grouping, Shingling

KIND = "minhash"
SKETCH = 2  # version of the signatures, as of `minhash_signatures`
MOST_ROWS = 1 << 32
BUCKET_KEYS = 1 << 24  # keys that are sorted at a time


class Made(NamedTuple):
    """What an index of near-duplicates depends on besides its documents."""

    shingling: Shingling
    banding: Banding
    per: tuple[str, ...]

    def settings(self) -> dict[str, Any]:
        """As `index.json` has it."""
        return {
            **part_of(self.shingling, Shingling), **part_of(self.banding, Banding), "per": list(self.per),
            "signatures": SKETCH,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MinHashIndex(Shingling, Banding, Grouping, Exchange, Job):
    """Every document that a `minhash` compared: its bands, signature, shingles, origin, and who stands for it.

    Files in the order of doc_id: `ids`, `keeper` (its own id where it was kept), `signatures`, `shingles`,
    `origin`, the group where rows are parted; and `keys` of all bands in ascending order with their `rows`.

    Cost: one pass over signatures and shingles. Memory: about 60 bytes per document, and a part.
    Source: own
    """

    name: ClassVar[str] = "minhash_index"
    role: ClassVar[str] = "index"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    publishes: ClassVar[str] = "index"
    resources: ClassVar[Resources] = Resources(memory_gb=2)
    meaning: ClassVar[Mapping[str, Any]] = {"per": "columns"}

    signatures: str = port("ref", default="")
    decided: str = port("ref", default="")
    order: str = port("ref", default="")

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """What is read of the two stages."""
        return {"signatures": ("signature", "shingles", "num_shingles"), "decided": ("kept", "cluster", "origin")}

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the index; metrics: its documents, the kept ones among them, its bytes."""
        numbers = self._numbers(ctx)
        rows, kept = numbers.height, int(numbers["kept"].sum())
        if rows >= MOST_ROWS:
            raise DataError(
                f"{rows:,} documents are too many for one index", hint="make one per source, and name them all"
            )
        place = rank_of(order_of(ascending(numbers["doc_id"])))
        with tempfile.TemporaryDirectory(dir=ctx.work) as scratch:
            keys = Keys(Path(scratch), rows * self.num_bands)
            self._fill(ctx, numbers, place, keys)
            keys.finish(ctx.work)
        made = Made(self, self, self.per)
        if self.lean_minhash:
            self._export(ctx.work, rows)
        size = index_files.finish(ctx.work, KIND, rows, made.settings())
        ctx.note("summary", f"{rows:,} documents, {size / 1e6:,.1f} MB")
        return {"rows": rows, "kept": kept, "bytes": size}

    def _export(self, folder: Path, rows: int) -> None:
        """Write `minhashes.parquet`: `key`, the doc_id in hex digits, and `minhash`."""
        import pyarrow.parquet as pq

        from winnow.pipeline.dedup.lean_minhash import to_bytes

        width = self.num_bands * self.rows_per_band
        slots = np.fromfile(folder / "signatures", dtype=np.uint32).reshape(rows, width)
        ids = pl.Series(
            from_lanes(np.fromfile(folder / "ids", dtype=np.uint64).reshape(-1, 2).byteswap()), dtype=pl.Binary
        )
        table = pa.table({"key": ids.bin.encode("hex").to_arrow(), "minhash": to_bytes(slots)})
        pq.write_table(table, folder / "minhashes.parquet", compression="zstd", row_group_size=65_536)

    def _parts(self, ctx: Context, *columns: str) -> Iterator[pl.DataFrame]:
        """Part by part what is asked for of the documents that have a signature (and a group)."""
        pieces = [(ctx.ref("signatures"), ("signature", "shingles", "num_shingles")),
                  (ctx.ref("decided"), ("doc_id", "kept", "cluster", "origin"))]  # fmt: skip
        if self.per:
            pieces.append((ctx.ref("order"), ("per_hash",)))
        asked = [(source, [n for n in names if n in columns]) for source, names in pieces]
        for frames in zip(*(source.frames(*names) for source, names in asked if names), strict=True):
            part = pl.concat(frames, how="horizontal")
            part = part.filter(pl.col("num_shingles").fill_null(0) > 0)
            yield part.filter(pl.col("per_hash").is_not_null()) if self.per else part

    def _numbers(self, ctx: Context) -> pl.DataFrame:
        """Of all documents: doc_id, numbers of shingles, lengths of origins, whether kept."""
        group = ("per_hash",) if self.per else ()
        parts = [
            part.select(
                "doc_id", "num_shingles", pl.col("origin").str.len_bytes(), pl.col("kept").fill_null(value=True)
            )
            for part in self._parts(ctx, "doc_id", "num_shingles", "origin", "kept", *group)
        ]
        return (
            pl.concat(parts)
            if parts
            else pl.DataFrame(
                schema={"doc_id": pl.Binary, "num_shingles": pl.Int32, "origin": pl.UInt32, "kept": pl.Boolean}
            )
        )

    def _fill(self, ctx: Context, numbers: pl.DataFrame, place: Ints, keys: Keys) -> None:
        rows, at = numbers.height, 0
        sorted_sizes = np.zeros((2, rows), dtype=np.int64)
        sorted_sizes[:, place] = numbers.select("num_shingles", "origin").to_numpy().T
        ids, keeper = (Buffer(ctx.work, name, np.uint64, rows, 2) for name in ("ids", "keeper"))
        group = Buffer(ctx.work, "group", np.uint64, rows, 2) if self.per else None
        signatures = Buffer(ctx.work, "signatures", np.uint32, rows, self.num_bands * self.rows_per_band)
        shingles = Ragged(ctx.work, "shingles", "values", np.uint32, sorted_sizes[0])
        origin = Ragged(ctx.work, "origin", "bytes", np.uint8, sorted_sizes[1])
        names = ("doc_id", "kept", "cluster", "origin", "num_shingles", "signature", "shingles")
        for part in self._parts(ctx, *names, *(("per_hash",) if self.per else ())):
            here = place[at : at + part.height]
            at += part.height
            stands = pl.when(pl.col("kept").fill_null(value=True)).then("doc_id").otherwise("cluster")
            ids.put(here, ascending(part["doc_id"]))
            keeper.put(here, ascending(part.select(stands.alias("keeper"))["keeper"]))
            lanes = as_lanes(part["per_hash"].to_arrow()) if group else None
            if group and lanes is not None:
                group.put(here, lanes.byteswap())
            slots = slots_of(part["signature"])
            signatures.put(here, slots)
            lists = part["shingles"].to_arrow()
            shingles.put(here, np.asarray(lists.offsets), np.asarray(lists.values))
            origin.put_texts(here, part["origin"])
            keys.add(keys_of(part["signature"], lanes, self), here)


def keys_of(
    signature: pl.Series | pa.Array, group: npt.NDArray[np.uint64] | None, banding: Banding
) -> npt.NDArray[np.uint64]:
    """Key of every band (and of the group, 16 bytes as two words, where there are groups), u64[rows, num_bands]."""
    from winnow.pipeline.dedup import minhash_kernels
    from winnow.pipeline.dedup.locate import addresses

    array = signature.to_arrow() if isinstance(signature, pl.Series) else signature
    signatures = addresses(array, np.arange(len(signature)))
    key = minhash_kernels.band_keys(signatures.address, banding.num_bands, banding.rows_per_band)
    return cast("npt.NDArray[np.uint64]", key if group is None else with_group(key, group[:, :1]))


def with_group(key: npt.NDArray[np.uint64], group: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Keys of bands within groups."""
    return key ^ (group * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1))


class Keys:
    """Keys with their rows, dealt to files by their first bits and sorted file by file."""

    def __init__(self, folder: Path, number: int) -> None:
        self.bits = max(0, (number // BUCKET_KEYS).bit_length())
        self._sinks = [(folder / f"{bucket}").open("w+b") for bucket in range(1 << self.bits)]

    def add(self, keys: npt.NDArray[np.uint64], rows: Ints) -> None:
        """The keys of some rows, u64[rows, keys per row]."""
        pairs = np.empty(keys.size, dtype=[("key", np.uint64), ("row", np.uint32)])
        pairs["key"], pairs["row"] = keys.reshape(-1), np.repeat(rows, keys.shape[1])
        if not self.bits:
            pairs.tofile(self._sinks[0])
            return
        bucket = (pairs["key"] >> np.uint64(64 - self.bits)).astype(np.int64)
        for number in distinct(bucket):
            pairs[bucket == number].tofile(self._sinks[number])

    def finish(self, folder: Path) -> None:
        """Write `keys` u64 in ascending order and `rows` u32; of equal keys by row."""
        with (folder / "keys").open("wb") as keys, (folder / "rows").open("wb") as rows:
            for sink in self._sinks:
                sink.flush()
                sink.seek(0)
                pairs = np.fromfile(sink, dtype=[("key", np.uint64), ("row", np.uint32)])
                pairs = pairs[np.lexsort((pairs["row"], pairs["key"]))]
                pairs["key"].tofile(keys)
                pairs["row"].tofile(rows)
                sink.close()


def slots_of(signature: pl.Series) -> npt.NDArray[np.uint32]:
    """Signatures as u32[rows, hashes]."""
    joined = b"".join(signature.to_list())
    return np.frombuffer(joined, dtype=np.uint32).reshape(len(signature), -1) if joined else np.empty((0, 1), np.uint32)
