"""The keyed exchange: one file per sender, one piece of it per receiver, read back by its place and checked by itself.

With one level a receiver opens a piece of every sender: senders times receivers pieces. Above MOST_PIECES there are
two: senders deal to bundles of receivers, and a task per bundle and group of senders deals its pieces, about as many
bytes as one sender's file, to the receivers of the bundle. With S senders and R receivers that is 2 S sqrt(R) pieces,
not S R. Rows reach a receiver in the order of the senders either way, so nothing that is made of them differs.

A file is pieces, each an Arrow stream, and behind them a table of their places: offset, bytes and xxh3-64 of each.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
import xxhash

from winnow.core.errors import StoreError
from winnow.core.store.manifest import FileRef, StageDir
from winnow.core.store.parts import save_file
from winnow.core.store.schema import ZSTD_LEVEL, canonical, contiguous
from winnow.core.store.store import Store

MOST_PIECES = 1 << 22  # of one level
FORM = 2  # of the files: part of the keys of what is sent, so that those of another form are not taken for these
TO = "_to"  # column of a bundle's rows: the receiver's number within it
_PLACE = 3 * 8  # bytes of a piece's place

File = tuple[str, int]  # store key, bytes


@dataclass(frozen=True, kw_only=True)
class Levels:
    """How rows get from senders to receivers; a function of their numbers alone."""

    senders: int
    receivers: int
    width: int = 1  # receivers in a bundle; 1 where there is one level
    group: int = 1  # senders whose pieces are dealt by one task

    @property
    def two(self) -> bool:
        """True where pieces are dealt twice."""
        return self.width > 1

    @property
    def bundles(self) -> int:
        """How many pieces a sender's file has."""
        return -(-self.receivers // self.width)

    @property
    def groups(self) -> int:
        """How many tasks deal the pieces of one bundle."""
        return -(-self.senders // self.group) if self.two else 0

    @property
    def pieces(self) -> int:
        """How many pieces are read in all."""
        if not self.two:
            return self.senders * self.receivers
        return self.senders * self.bundles + self.receivers * self.groups


def levels_of(senders: int, receivers: int, most: int = MOST_PIECES) -> Levels:
    """One level up to `most` pieces, else two: bundles of about the root of `receivers`."""
    if senders * receivers <= most or receivers < 4:
        return Levels(senders=senders, receivers=receivers)
    width = math.isqrt(receivers - 1) + 1
    return Levels(senders=senders, receivers=receivers, width=width, group=max(2, -(-receivers // width)))


def save_exchange(
    stage: StageDir,
    phase: str,
    unit: str,
    table: pa.Table,
    receiver: np.ndarray,
    receivers: int,
    *,
    width: int,
    compress: bool,
) -> FileRef:
    """The rows of one sender as one file, a piece per bundle of `width` receivers (1: per receiver)."""
    if width > 1:
        table = table.append_column(TO, pa.array((receiver % width).astype(np.uint32)))
    order = np.argsort(receiver, kind="stable")
    edges = np.minimum(np.arange(-(-receivers // width) + 1) * width, receivers)
    bounds = np.searchsorted(receiver[order], edges)
    ordered = table.take(pa.array(order))
    pieces = (ordered.slice(start, stop - start) for start, stop in itertools.pairwise(bounds))
    return save_pieces(stage, phase, unit, pieces, ordered.schema, compress=compress)


def save_pieces(
    stage: StageDir, phase: str, unit: str, pieces: Iterator[pa.Table], schema: pa.Schema, *, compress: bool
) -> FileRef:
    """A file of pieces; those without rows share one. Memory: one piece beside what the iterator holds."""
    codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL) if compress else None
    options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)

    def write(sink: IO[bytes]) -> None:
        places: list[tuple[int, int, int]] = []
        at, empty = 0, None
        for piece in pieces:
            if not piece.num_rows and empty is not None:
                places.append(empty)
                continue
            body = _packed(piece, schema, options)
            places.append((at, len(body), xxhash.xxh3_64_intdigest(body)))
            empty = empty if piece.num_rows else places[-1]
            sink.write(body)
            at += len(body)
        sink.write(np.array(places, dtype="<u8").tobytes())

    return save_file(stage, phase, unit, ".exchange", write, columns=tuple(schema.names))


def read_exchange(store: Store, files: Sequence[File], number: int, of: int) -> list[pa.Table]:
    """Piece `number` of the `of` in each file, in the order of the files.

    Raises: StoreError where one is not what was written. Cost: two ranges of each file, however large it is.
    """
    return [_piece(store, key, size, number, of) for key, size in files]


def dealt(pieces: Sequence[pa.Table], width: int) -> Iterator[pa.Table]:
    """Pieces of one bundle -> a table per receiver of it, rows in the order of the pieces."""
    columns = [name for name in pieces[0].column_names if name != TO]
    bounds = [np.searchsorted(np.asarray(contiguous(p.column(TO))), np.arange(width + 1)) for p in pieces]
    kept = [p.select(columns) for p in pieces]
    for to in range(width):
        yield pa.concat_tables([t.slice(b[to], b[to + 1] - b[to]) for t, b in zip(kept, bounds, strict=True)])


def _packed(table: pa.Table, schema: pa.Schema, options: pa.ipc.IpcWriteOptions) -> bytes:
    arrays = [canonical(pa.concat_arrays([contiguous(c)])) for c in table.columns]
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return sink.getvalue()


def _piece(store: Store, key: str, size: int, number: int, of: int) -> pa.Table:
    found = store.size(key)
    if found != size:
        what = "is gone" if found < 0 else f"has {found} bytes, its receipt says {size}"
        raise StoreError(f"a committed file {what}", where=store.where(key), hint=_HINT)
    place = store.open_range(key, size - (of - number) * _PLACE, _PLACE)
    at, length, digest = np.frombuffer(place, dtype="<u8").tolist()
    body = store.open_range(key, at, length)
    if body.size != length or xxhash.xxh3_64_intdigest(memoryview(body)) != digest:
        raise StoreError("a committed file was changed", where=store.where(key), hint=_HINT)
    with pa.ipc.open_stream(body) as stream:
        return stream.read_all()


_HINT = "remove this stage folder and run again: `winnow run` recomputes what is missing"
