"""An index of keys on disk: hashes in order, keys, and columns as flat buffers, all memory-mapped.

Layout: `hash` (u64, ascending), `key.ends` (i64, one more than rows) and `key.bytes`; per column i `c{i}.valid`
(u8) and either `c{i}.values` or `c{i}.ends` + `c{i}.bytes`; `index.json`. Buffers are appended bucket by bucket
(a bucket is a range of hashes), so building needs the memory of one bucket and the files are the same for any
number of buckets.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import DataError
from winnow.core.store.schema import contiguous
from winnow.core.words.hashing import hash_rows
from winnow.core.words.text import utf8_buffers, valid_mask
from winnow.pipeline.join.join_files import KEY, NUMBER
from winnow.pipeline.read.document import COLUMN_TYPES
from winnow.pipeline.read.jsonl import Jsonl

SEED = 0x6A6F_696E
MAX_BUCKETS = 256
BUCKET_BYTES = 128 << 20
EXAMPLES = 5
_HELD_BYTES = 64 << 20
_PACKED = 8  # how much a compressed file may grow; only the number of buckets follows from it
_HASH = "hash"
_NUMPY: Mapping[str, Any] = {"int64": np.int64, "float64": np.float64, "bool": np.uint8}

Tables = Iterator[tuple[str, pa.Table]]
Ints = npt.NDArray[np.int64]


def build(
    tables: Tables, folder: Path, *, files: Sequence[str], first_wins: bool, columns: Mapping[str, str],
    buckets: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Write the index of all tables into `folder`: {"annotations", "files", "without_key", "repeated"}.

    Raises: DataError naming repeated keys (unless `first_wins`).
    """
    kinds = list(columns.values())
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        spill = _Spill(Path(scratch), buckets or _num_buckets(files))
        for path, table in tables:
            spill.add(path, table)
        writer = _Writer(folder, kinds)
        repeated = _Repeated(spill.starts)
        for table in spill.sorted_buckets():
            writer.append(table.take(pa.array(repeated.without(table))))
    if repeated.count and not first_wins:
        raise repeated.error()
    rows = writer.close()
    return {
        "annotations": rows, "files": len(files), "without_key": spill.without_key, "repeated": repeated.count,
    }  # fmt: skip


class _Spill:
    """Tables dealt to bucket files by the first bits of their keys' hashes, in the order they came."""

    def __init__(self, folder: Path, buckets: int) -> None:
        self.folder, self.buckets = folder, buckets
        self.starts: list[tuple[str, int]] = []  # (file, number of its first record)
        self.without_key = self.rows = self._size = 0
        self._held: list[pa.Table] = []
        self._sinks: dict[int, tuple[IO[bytes], Any]] = {}

    def add(self, path: str, table: pa.Table) -> None:
        """Take one table of `path`."""
        if not self.starts or self.starts[-1][0] != path:
            self.starts.append((path, self.rows))
        numbers = pa.array(np.arange(self.rows, self.rows + table.num_rows))
        self.rows += table.num_rows
        key = contiguous(table.column(KEY))
        if key.null_count:
            self.without_key += key.null_count
            table, numbers = table.filter(pc.is_valid(key)), numbers.filter(pc.is_valid(key))
        self._held.append(table.append_column(NUMBER, numbers))
        self._size += table.nbytes
        if self._size >= _HELD_BYTES:
            self._flush()

    def sorted_buckets(self) -> Iterator[pa.Table]:
        """Every bucket's rows in order of (hash, key, number), with the column `hash`."""
        self._flush()
        for sink, writer in self._sinks.values():
            writer.close()
            sink.close()
        for bucket in sorted(self._sinks):
            with pa.memory_map(str(self._path(bucket))) as source:
                table = pa.ipc.open_stream(source).read_all()
                yield table.take(pa.array(_order(table)))

    def _flush(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held).combine_chunks()
        self._held, self._size = [], 0
        hashes = _hashes(contiguous(table.column(KEY)))
        table = table.append_column(_HASH, pa.array(hashes))
        shift = np.uint64(64 - (self.buckets.bit_length() - 1))
        bucket = (hashes >> shift).astype(np.int64) if self.buckets > 1 else np.zeros(len(hashes), dtype=np.int64)
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(self.buckets + 1))
        dealt = table.take(pa.array(order))
        for number in np.flatnonzero(np.diff(ends)).tolist():
            self._writer(number, dealt.schema).write_table(dealt.slice(ends[number], ends[number + 1] - ends[number]))

    def _writer(self, bucket: int, schema: pa.Schema) -> Any:
        if bucket not in self._sinks:
            sink = self._path(bucket).open("wb")
            self._sinks[bucket] = (sink, pa.ipc.new_stream(sink, schema))
        return self._sinks[bucket][1]

    def _path(self, bucket: int) -> Path:
        return self.folder / f"bucket-{bucket:03d}"


class _Repeated:
    """Rows whose key another row has had before."""

    def __init__(self, starts: Sequence[tuple[str, int]]) -> None:
        self.starts, self.count = starts, 0
        self._examples: list[tuple[int, int, bytes]] = []  # (number of the later row, of the first one, key)

    def without(self, table: pa.Table) -> Ints:
        """Row numbers of a sorted bucket without the later rows of a key."""
        hashes, key = np.asarray(contiguous(table.column(_HASH))), contiguous(table.column(KEY))
        again = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
        equal = np.asarray(pc.equal(key.take(pa.array(again)), key.take(pa.array(again - 1))), dtype=bool)
        later = again[equal]
        self.count += len(later)
        numbers = np.asarray(contiguous(table.column(NUMBER)))
        for row in later[np.argsort(numbers[later])][:EXAMPLES].tolist():
            self._examples.append((int(numbers[row]), int(numbers[row - 1]), key[row].as_py()))
        return cast("Ints", np.setdiff1d(np.arange(table.num_rows), later, assume_unique=True))

    def error(self) -> DataError:
        """The error that names some of the repeated keys."""
        shown = [
            f"{shown_key(key)!r} ({self._place(first)}, {self._place(later)})"
            for later, first, key in sorted(self._examples)[:EXAMPLES]
        ]
        what = f"{self.count:,} annotation{'s repeat' if self.count != 1 else ' repeats'} a key"
        return DataError(
            f"{what}, such as {'; '.join(shown)}",
            where="files", hint="keep one annotation per key, or say `duplicates: first`",
        )  # fmt: skip

    def _place(self, number: int) -> str:
        at = int(np.searchsorted([start for _, start in self.starts], number, side="right")) - 1
        path, start = self.starts[at]
        return f"{Path(path).name} record {number - start + 1}"


class _Writer:
    """The index' buffers, appended."""

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self.folder, self.kinds = folder, kinds
        self.rows = self.run = 0
        self._ends: dict[str, int] = {}
        names = [_HASH, "key.ends", "key.bytes"]
        for i, kind in enumerate(kinds):
            names += [f"c{i}.valid", *((f"c{i}.ends", f"c{i}.bytes") if kind == "string" else (f"c{i}.values",))]
        self._sinks = {name: (folder / name).open("wb") for name in names}
        for name in names:
            if name.endswith(".ends"):
                self._put(name, np.zeros(1, dtype=np.int64))

    def append(self, table: pa.Table) -> None:
        """One bucket's rows, sorted, each key once."""
        hashes = np.asarray(contiguous(table.column(_HASH)))
        self.rows += len(hashes)
        self.run = max(self.run, _longest_run(hashes))
        self._put(_HASH, hashes)
        self._texts("key", contiguous(table.column(KEY)))
        for i, kind in enumerate(self.kinds):
            column = contiguous(table.column(f"c{i}"))
            self._put(f"c{i}.valid", valid_mask(column).astype(np.uint8))
            if kind == "string":
                self._texts(f"c{i}", column.fill_null(""))
            else:
                plain = column.fill_null(False if kind == "bool" else 0)
                self._put(f"c{i}.values", np.asarray(plain).astype(_NUMPY[kind]))

    def close(self) -> int:
        """Rows written; the head file is the last one."""
        for sink in self._sinks.values():
            sink.close()
        head = {"rows": self.rows, "run": self.run, "columns": list(self.kinds)}
        (self.folder / "index.json").write_bytes(orjson.dumps(head))
        return self.rows

    def _texts(self, name: str, column: pa.Array) -> None:
        ends, data = utf8_buffers(column)
        last = self._ends.get(name, 0)
        self._put(f"{name}.ends", ends[1:] - ends[0] + last)
        self._put(f"{name}.bytes", data[ends[0] : ends[-1]])
        self._ends[name] = last + int(ends[-1] - ends[0])

    def _put(self, name: str, values: npt.NDArray[Any]) -> None:
        self._sinks[name].write(np.ascontiguousarray(values).data)


class Index:
    """A built index, memory-mapped."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        head = orjson.loads(files["index.json"].read_bytes())
        self.rows, self._run, self._kinds = head["rows"], head["run"], head["columns"]
        self._files = files
        self._hash = np.frombuffer(_mapped(files[_HASH]), dtype=np.uint64)
        self._key = self._array("key", pa.large_binary())
        self._columns = [self._array(f"c{i}", COLUMN_TYPES[kind]) for i, kind in enumerate(self._kinds)]
        self._valid = [np.frombuffer(_mapped(files[f"c{i}.valid"]), dtype=np.uint8) for i in range(len(self._kinds))]

    def find(self, keys: pa.Array) -> Ints:
        """Row of the index whose key equals each of the keys (large_binary), -1 where none does, i64[rows].

        Cost: one binary search in the mapped hashes per key, in order of the keys' hashes.
        """
        places = np.full(len(keys), -1, dtype=np.int64)
        todo = np.flatnonzero(valid_mask(keys))
        hashes = _hashes(keys.fill_null(b"") if keys.null_count else keys)[todo]
        order = np.argsort(hashes, kind="stable")
        todo, hashes = todo[order], hashes[order]
        at = np.searchsorted(self._hash, hashes, side="left")
        for step in range(self._run):
            place = at + step
            alike = place < self.rows
            alike[alike] = self._hash[place[alike]] == hashes[alike]
            todo, at, place, hashes = todo[alike], at[alike], place[alike], hashes[alike]
            equal = np.asarray(pc.equal(self._key.take(pa.array(place)), keys.take(pa.array(todo))), dtype=bool)
            places[todo[equal]] = place[equal]
            todo, at, hashes = todo[~equal], at[~equal], hashes[~equal]
        return places

    def column(self, number: int, rows: Ints) -> pa.Array:
        """Column `number` at rows of the index, null where a row is -1."""
        missing = rows < 0
        missing[~missing] = self._valid[number][rows[~missing]] == 0
        taken = self._columns[number].take(pa.array(np.where(missing, 0, rows), mask=missing))
        return taken.cast(pa.bool_()) if self._kinds[number] == "bool" else taken

    def examples(self, used: Ints) -> list[str]:
        """The first few keys whose rows are not among `used`, in order of the index."""
        free: list[int] = []
        seen = np.sort(used)
        for start in range(0, self.rows, 1 << 16):
            rows = np.arange(start, min(start + (1 << 16), self.rows))
            low, high = np.searchsorted(seen, [rows[0], rows[-1] + 1])
            free += np.setdiff1d(rows, seen[low:high], assume_unique=True)[:EXAMPLES].tolist()
            if len(free) >= EXAMPLES:
                break
        return [shown_key(self._key[row].as_py()) for row in free[:EXAMPLES]]

    def _array(self, name: str, kind: pa.DataType) -> pa.Array:
        if f"{name}.ends" in self._files:
            buffers = [None, _mapped(self._files[f"{name}.ends"]), _mapped(self._files[f"{name}.bytes"])]
        else:
            buffers = [None, _mapped(self._files[f"{name}.values"])]
            kind = pa.uint8() if kind == pa.bool_() else kind
        return pa.Array.from_buffers(kind, self.rows, buffers)


def opened(files: Mapping[str, Path]) -> Index:
    """The index in an artefact's files."""
    return Index(files)


def shown_key(key: bytes) -> str:
    """A key for people: text, or hex digits where it is none."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return key.hex()
    return text[:200] if text.isprintable() else key.hex()


def _num_buckets(files: Sequence[str]) -> int:
    """A power of two, so that a bucket holds about `BUCKET_BYTES`."""
    size = 0
    for path in files:
        plain = path.lower().endswith(Jsonl.splittable)
        size += Path(path).stat().st_size * (1 if plain else _PACKED)
    return min(MAX_BUCKETS, 1 << max(0, (size // BUCKET_BYTES).bit_length()))


def _hashes(keys: pa.Array) -> npt.NDArray[np.uint64]:
    offsets, data = utf8_buffers(keys)
    return hash_rows(offsets, data, SEED)


def _order(table: pa.Table) -> Ints:
    """Rows in order of (hash, key, number); keys are compared only where hashes agree."""
    hashes = np.asarray(contiguous(table.column(_HASH)))
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    same = np.zeros(len(order) + 1, dtype=bool)
    same[1:-1] = ranked[1:] == ranked[:-1]
    tied = np.flatnonzero(same[1:] | same[:-1])
    if len(tied):
        rows = pa.array(order[tied])
        keyed = pa.table({
            "h": pa.array(ranked[tied]), "k": contiguous(table.column(KEY)).take(rows), "n": rows,
        })  # fmt: skip
        by = [("h", "ascending"), ("k", "ascending"), ("n", "ascending")]
        order[tied] = np.asarray(keyed.sort_by(by).column("n"))
    return order


def _longest_run(hashes: npt.NDArray[np.uint64]) -> int:
    """How many rows share one hash, at most; 0 without rows."""
    if not len(hashes):
        return 0
    starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
    return int(np.diff(np.append(starts, len(hashes))).max())


def _mapped(path: Path) -> pa.Buffer:
    return pa.memory_map(str(path), "rb").read_buffer() if path.stat().st_size else pa.py_buffer(b"")
