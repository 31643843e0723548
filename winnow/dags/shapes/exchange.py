"""The keyed exchange: one file per sender, one record batch per receiver, read back by random access.

The return path has the same form. Files are senders plus receivers, never their product.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import IO

import numpy as np
import pyarrow as pa

from winnow.core.store.manifest import FileRef, StageDir
from winnow.core.store.parts import check_file, save_file
from winnow.core.store.schema import ZSTD_LEVEL, canonical, contiguous
from winnow.core.store.store import Store


def save_exchange(
    stage: StageDir, phase: str, unit: str, table: pa.Table, receiver: np.ndarray, receivers: int, *, compress: bool
) -> FileRef:
    """The rows of one sender, grouped by receiver number, as one file of `receivers` batches."""
    order = np.argsort(receiver, kind="stable")
    bounds = np.searchsorted(receiver[order], np.arange(receivers + 1))
    ordered = table.take(pa.array(order))

    def write(sink: IO[bytes]) -> None:
        codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL) if compress else None
        options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            for start, stop in itertools.pairwise(bounds):
                writer.write_batch(_batch(ordered.slice(start, stop - start)))

    return save_file(stage, phase, unit, ".arrow", write, columns=tuple(table.column_names))


def read_exchange(store: Store, refs: Sequence[FileRef], receiver: int) -> list[pa.Table]:
    """What each sender wrote for one receiver, in sender order."""
    out = []
    for ref in refs:
        check_file(store, ref)
        with store.open_buffer(ref.key) as source:
            out.append(pa.Table.from_batches([pa.ipc.open_file(source).get_batch(receiver)]))
    return out


def _batch(table: pa.Table) -> pa.RecordBatch:
    arrays = [canonical(pa.concat_arrays([contiguous(c)])) for c in table.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)
