"""Writing and reading parts: tables to committed files with digests, and back, verified."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import IO, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from winnow.core.errors import StoreError
from winnow.core.operators import Schema
from winnow.core.store.formats import MAPPED, PACKED, format_of
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import FileRef, Manifest, Receipt, StageDir, lanes_hex
from winnow.core.store.schema import contiguous, heavy_columns, to_frame
from winnow.core.store.store import Store

_checked: set[tuple[str, str]] = set()
_warm: dict[str, tuple[Any, dict[str, pa.Array]]] = {}  # path of a file just written -> (stamp, its columns)
WARM_FILES, WARM_BYTES = 2, 160 << 20


class HashingSink(io.RawIOBase):
    """A file that knows the xxh3-128 and size of what was written to it."""

    def __init__(self, sink: IO[bytes]) -> None:
        self.sink, self.state, self.size = sink, xxhash.xxh3_128(), 0

    def writable(self) -> bool:
        """True: it is only written to."""
        return True

    def write(self, data: Any) -> int:
        """Pass the bytes on, and return how many there were."""
        view = memoryview(data)
        self.state.update(view)
        self.size += view.nbytes
        self.sink.write(view)
        return view.nbytes


def save_file(
    stage: StageDir, phase: str, unit: str, suffix: str, write: Callable[[IO[bytes]], None], **ref: Any
) -> FileRef:
    """A data file written by `write`, with its size and digest; not committed until a receipt names it."""
    key = stage.data_key(phase, unit, suffix)
    with stage.store.writing(key) as raw:
        sink = HashingSink(raw)
        write(sink)  # type: ignore[arg-type]
    return FileRef(key=key, size=sink.size, digest=sink.state.hexdigest(), **ref)


def save_table(
    stage: StageDir, phase: str, unit: str, table: pa.Table, *, packed: bool = False
) -> tuple[FileRef, ...]:  # fmt: skip
    """The table as one compressed file of its text columns and one mappable file of the others.

    `packed`: the others are compressed as well, which many narrow columns repay; nobody may look up single rows then.
    """
    heavy = heavy_columns(table)
    light = [name for name in table.column_names if name not in heavy]
    files = []
    for names, form in ((light, PACKED if packed else MAPPED), (heavy, PACKED)):
        if names:
            write = functools.partial(form.write, table=table.select(names))
            files.append(save_file(stage, phase, unit, form.suffix, write, columns=tuple(names)))
    return tuple(files)


def content_of(doc_id: pa.Array | None, table: pa.Table) -> dict[str, str]:
    """Column -> content digest (32 hex digits). Text with a stored hash beside it is not hashed again."""
    from winnow.core.words.hashing import column_digest

    out = {}
    for name in table.column_names:
        source = "text_hash" if name == "text" and "text_hash" in table.column_names else name
        out[name] = lanes_hex(column_digest(doc_id, contiguous(table.column(source))))
    return out


def table_content(table: pa.Table) -> dict[str, str]:
    """Content digest of a keyed table as one entry `*` (32 hex digits): order-free over whole rows."""
    from winnow.core.words.hashing import table_digest

    return {"*": lanes_hex(table_digest(table, table.column_names))}


def check_file(store: Store, ref: FileRef) -> None:
    """Raise StoreError where a committed file is not what its receipt says; digests once per process."""
    size = store.size(ref.key)
    hint = "remove this stage folder and run again: `winnow run` recomputes what is missing"
    if size < 0:
        raise StoreError("a committed file is gone", where=store.where(ref.key), hint=hint)
    if size != ref.size:
        raise StoreError(
            f"a committed file has {size} bytes, its receipt says {ref.size}",
            where=store.where(ref.key), hint=hint,
        )  # fmt: skip
    if (ref.key, ref.digest) in _checked:
        return
    if size:
        with store.open_buffer(ref.key) as source:
            digest = xxhash.xxh3_128(memoryview(source.read_buffer())).hexdigest()
        if digest != ref.digest:
            raise StoreError(
                f"a committed file was changed: digest {digest}, its receipt says {ref.digest}",
                where=store.where(ref.key), hint=hint,
            )  # fmt: skip
    _checked.add((ref.key, ref.digest))


def check_unchanged(store: Store, refs: Iterable[FileRef], *, since: str) -> None:
    """Raise StoreError where a file is gone, has another size, or was touched after the file `since` and differs.

    Cost: one stat per file; only files written after `since` are read.
    """
    known = {ref.key: ref for ref in refs}
    stats = store.stats([since, *known])
    committed_at = stats[since]
    for ref in known.values():
        seen = stats[ref.key]
        if seen is None or committed_at is None:
            check_file(store, ref)
        elif seen.size != ref.size or seen.modified_ns > committed_at.modified_ns:
            _checked.discard((ref.key, ref.digest))
            check_file(store, ref)


def read_file(store: Store, ref: FileRef, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of one committed file, memory-mapped where it is uncompressed Arrow."""
    check_file(store, ref)
    return format_of(ref.key).read(store.open_buffer(ref.key), columns)


def keep_warm(store: Store, refs: Iterable[FileRef], table: pa.Table) -> None:
    """Keep what was just written compressed in memory: who reads the part next in this process need not unpack it.

    Cost: memory of the last WARM_FILES such files; more than WARM_BYTES is not kept.
    """
    for ref in refs:
        if format_of(ref.key).packed:
            columns = {name: contiguous(table.column(name)) for name in ref.columns}
            _warm[store.where(ref.key)] = (store.stamp(ref.key), columns)
    while len(_warm) > WARM_FILES or sum(a.nbytes for _, c in _warm.values() for a in c.values()) > WARM_BYTES:
        del _warm[next(iter(_warm))]


def _warm_columns(store: Store, ref: FileRef, columns: Sequence[str]) -> dict[str, pa.Array] | None:
    """The columns from memory, where this process wrote the file and nobody has touched it since."""
    stamp, held = _warm.get(store.where(ref.key), (None, {}))
    if stamp is None or stamp != store.stamp(ref.key) or any(name not in held for name in columns):
        return None
    return {name: held[name] for name in columns}


Memo = dict[tuple[str, str], pa.Array]  # (file, column) -> array: what tasks over one part share


def read_columns(store: Store, wanted: Mapping[str, tuple[Receipt, str]], memo: Memo | None = None) -> pa.Table:
    """Name -> (receipt, column on disk) as one table; each file is opened once, each column read once."""
    held: Memo = {} if memo is None else memo
    places = {name: (_file_with(receipt, column), column) for name, (receipt, column) in wanted.items()}
    missing: dict[FileRef, list[str]] = {}
    for ref, column in dict.fromkeys(places.values()):
        if (ref.key, column) not in held:
            missing.setdefault(ref, []).append(column)
    for ref, columns in missing.items():
        held |= {(ref.key, column): array for column, array in _layered(store, ref, columns, held).items()}
    return pa.table({name: held[ref.key, column] for name, (ref, column) in places.items()})


def _layered(store: Store, ref: FileRef, columns: Sequence[str], held: Memo) -> dict[str, pa.Array]:
    """Columns of a file; where they are null, of the file under it."""
    warm = _warm_columns(store, ref, columns)
    table = pa.table(warm) if warm else read_file(store, ref, columns)
    out = {column: contiguous(table.column(column)) for column in columns}
    if ref.under is None:
        return out
    layered = [column for column in columns if column in ref.under.columns]
    missing = [column for column in layered if (ref.under.key, column) not in held]
    below = {column: held[ref.under.key, column] for column in layered if column not in missing}
    below |= _layered(store, ref.under, missing, held) if missing else {}
    return out | {column: pc.coalesce(out[column], found.cast(out[column].type)) for column, found in below.items()}


def _file_with(receipt: Receipt, column: str) -> FileRef:
    ref = receipt.file_of(column)
    if ref is None:
        raise StoreError(f"unit {receipt.unit} has no column {column!r}", where=receipt.phase)
    return ref


@functools.lru_cache(maxsize=64)
def _manifest(location: str, folder: str, stamp: tuple[Hashable, int]) -> Manifest | None:
    return StageDir(open_store(location), folder).manifest()


def committed(store: Store, folder: str) -> Manifest:
    """The manifest of a complete stage (cached per process). Raises StoreError where it is not complete."""
    head = f"{folder}/manifest.json"
    stamp = store.stamp(head)
    if stamp is None and (stat := store.stat(head)) is not None:  # it was committed a moment ago
        stamp = (stat.bytes_id, stat.modified_ns)
    manifest = _manifest(store.location, folder, stamp) if stamp else None
    if manifest is None:
        raise StoreError("this stage is not complete", where=folder, hint="run it first: `winnow run`")
    return manifest


def find_receipt(store: Store, folder: str, phase: str, unit: str, key: str) -> Receipt:
    """A unit's receipt, wherever it lies now. Raises StoreError where it was never committed."""
    stamp = store.stamp(f"{folder}/manifest.json")  # known already, as a rule: what it holds need not be asked for
    manifest = _manifest(store.location, folder, stamp) if stamp else None
    receipt = manifest.named(phase).get(unit) if manifest else None
    if receipt is None or receipt.key != key:
        receipt = StageDir(store, folder).receipt(phase, unit, key)
    if receipt is None:
        receipt = committed(store, folder).named(phase).get(unit)
    if receipt is None or receipt.key != key:
        raise StoreError(f"unit {phase}/{unit} has no receipt", where=folder, hint="run again")
    return receipt


class PartColumns:
    """Memory-mapped sidecar columns by part number: what `Context.access` hands to operators."""

    def __init__(self, store: Store, parts: Sequence[Mapping[str, tuple[Receipt, str]]]) -> None:
        self.store, self.parts = store, parts
        self._open: dict[tuple[str, int], pa.Array] = {}

    def column(self, name: str, part: int) -> pa.Array:
        """Column `name` of part number `part` as one Arrow array."""
        if (name, part) not in self._open:
            wanted = {name: self.parts[part][name]}
            self._open[name, part] = contiguous(read_columns(self.store, wanted).column(name))
        return self._open[name, part]


def sort_by_id(table: pa.Table) -> pa.Table:
    """Rows in ascending doc_id order."""
    from winnow.core.store.ids import as_fixed, byte_order
    from winnow.core.words.hashing import as_lanes

    order = byte_order(as_lanes(as_fixed(table.column("doc_id"))))
    return table.take(pa.array(order))


def concat_tables(tables: Iterable[pa.Table], schema: Schema) -> pa.Table:
    """All rows; an empty table of `schema` where there are none."""
    pieces = list(tables)
    if not pieces:
        return pa.table({name: pa.array([], kind) for name, kind in schema.items()})
    return pa.concat_tables(pieces).combine_chunks()


def frame_of(table: pa.Table) -> pl.DataFrame:
    """A Polars frame for operators: fixed-size ids become Binary."""
    return to_frame(table)


def mask_of(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A boolean column as numpy, null counted as False."""
    array = contiguous(column)
    return np.asarray(array.fill_null(False) if array.null_count else array, dtype=bool)
