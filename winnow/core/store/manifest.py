"""Receipts and manifests: what a unit of work left behind, and when a stage is complete.

A receipt names the files, rows and digests of one unit; it is created exclusively, so the first attempt
wins. A unit's `key` is the digest of everything its result is a function of, so equal keys may share files
across stages and a receipt of other inputs is never mistaken for this one. The manifest absorbs the
receipts when a stage commits. `run` (seconds, host, versions) is not covered by any digest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import xxhash

from winnow.core.errors import StoreError
from winnow.core.store.compact import compact, plain
from winnow.core.store.ids import digest_bytes
from winnow.core.store.names import DATA, data_folders, unit_suffix
from winnow.core.store.store import Store, attempt_id

_MASK = (1 << 64) - 1
FINAL_PHASES = ("part", "table", "artefact", "result")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRef:
    """One committed file: store key, the columns in it (or its artefact name), bytes and xxh3-128.

    Where its columns are null, those of the file `under` it count: it holds only what was changed.
    """

    key: str
    columns: tuple[str, ...] = ()
    name: str = ""
    size: int
    digest: str
    under: FileRef | None = None

    def layers(self) -> Iterator[FileRef]:
        """This file, and all below it."""
        yield self
        if self.under is not None:
            yield from self.under.layers()


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What one unit left: create-once, and the only thing that makes its files count."""

    phase: str
    unit: str
    key: str
    rows: int = 0
    row_digest: str = ""  # of the doc_id sequence: equal digests mean aligned parts
    content: Mapping[str, str] = field(default_factory=dict)  # column -> 32 hex digits, order-free
    files: tuple[FileRef, ...] = ()
    consumed: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)  # exchange offsets, results, a unit's parts
    notes: Mapping[str, Any] = field(default_factory=dict)  # what the operator noted with `Context.note`; in no digest
    quarantine: FileRef | None = None
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """32 hex digits over what the unit holds (not where, when or by whom)."""
        body = [self.rows, self.row_digest, sorted(self.content.items())]
        if not self.content:
            body += [sorted((f.name, f.digest) for f in self.files), self.extra.get("metrics")]
        return digest_bytes(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))

    def file_of(self, column: str) -> FileRef | None:
        """The file that holds `column`."""
        return next((f for f in self.files if column in f.columns), None)

    def as_json(self) -> bytes:
        """Stable JSON."""
        return orjson.dumps(self, default=plain, option=orjson.OPT_SORT_KEYS)

    @staticmethod
    def from_json(data: bytes) -> Receipt:
        """The receipt that `as_json` wrote. Raises StoreError for one of another version of winnow."""
        with _this_version("a receipt"):
            raw = orjson.loads(data)
            raw["files"] = tuple(_file(f) for f in raw["files"])
            raw["consumed"] = tuple(map(sys.intern, raw["consumed"]))
            raw |= {name: compact(raw[name]) for name in ("content", "counts", "extra", "notes", "run") if name in raw}
            raw["quarantine"] = _file(raw["quarantine"]) if raw["quarantine"] else None
            return Receipt(**raw)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A complete stage: totals, digests, and all receipts of its final phase."""

    kind: str
    fingerprint: str
    content_digest: str
    consumed: Mapping[str, str]  # input stage fingerprint -> its content digest when this was made
    rows: int
    counts: Mapping[str, int]
    seconds: float
    metrics: Mapping[str, Any] = field(default_factory=dict)  # the receipts' notes; in no digest
    receipts: tuple[Receipt, ...] = ()

    def named(self, phase: str) -> dict[str, Receipt]:
        """Unit -> receipt of one phase, in unit order."""
        return {r.unit: r for r in self.receipts if r.phase == phase}


class StageDir:
    """`{operator}-{fingerprint}/` of a store: receipts, files of units, manifest."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder

    def receipt_key(self, phase: str, unit: str, key: str) -> str:
        """Store key of a unit's receipt; the unit's own key is part of the name."""
        return f"{self.folder}/receipts/{phase}/{unit}.{key[:12]}.json"

    def receipt(self, phase: str, unit: str, key: str) -> Receipt | None:
        """The committed receipt of a unit, or None."""
        found = self.store.find_named(self.receipt_key(phase, unit, key))
        return None if found is None else Receipt.from_json(found)

    def receipts(self, phase: str, known: Container[str] = ()) -> list[Receipt]:
        """Receipts of a phase that the manifest has not absorbed, in unit order; those of `known` units left out."""
        loose = []
        for key in self.store.list(f"{self.folder}/receipts/{phase}"):
            if key.rsplit("/", 1)[1].rsplit(".", 2)[0] in known:
                continue
            found = self.store.find_named(key)
            if found is not None:  # else absorbed by another runner a moment ago
                loose.append(Receipt.from_json(found))
        return sorted(loose, key=lambda r: r.unit)

    def committed_keys(self, phase: str) -> set[str]:
        """Store keys of the receipts of a phase that the manifest has not absorbed. Cost: one listing."""
        return set(self.store.list(f"{self.folder}/receipts/{phase}"))

    def data_key(self, phase: str, unit: str, suffix: str) -> str:
        """An attempt-unique store key for a data file."""
        return f"{self.folder}/{DATA}/{phase}/{unit}.{attempt_id()}{unit_suffix(suffix)}"

    def commit(self, receipt: Receipt) -> Receipt:
        """Make `receipt` count; where another attempt was first, remove our files and return the winner's.

        Only files of this phase are ours: a numbered part also holds its raw part's text.
        """
        if self.store.put_new(self.receipt_key(receipt.phase, receipt.unit, receipt.key), receipt.as_json()):
            return receipt
        winner = self.receipt(receipt.phase, receipt.unit, receipt.key) or self._absorbed(receipt)
        if winner is None:
            return receipt
        kept = {f.key for f in winner.files}
        own = tuple(f"{data}/" for data in data_folders(self.folder, receipt.phase))
        ours = [f.key for f in receipt.files if f.key.startswith(own)]
        for key in [*ours, *([receipt.quarantine.key] if receipt.quarantine else [])]:
            if key not in kept:
                self.store.delete(key)
        return winner

    def _absorbed(self, like: Receipt) -> Receipt | None:
        """The receipt of the same unit and key that the manifest holds."""
        manifest = self.manifest()
        held = manifest.receipts if manifest else ()
        return next((r for r in held if (r.phase, r.unit, r.key) == (like.phase, like.unit, like.key)), None)

    def manifest(self) -> Manifest | None:
        """The manifest with its receipts, or None while the stage is incomplete.

        Raises: StoreError for one of another version of winnow.
        """
        head = f"{self.folder}/manifest.json"
        found = self.store.find(head)
        if found is None:
            return None
        with _this_version("the manifest", where=self.store.where(head)):
            raw = orjson.loads(found)
            body = self.store.get(f"{self.folder}/{raw.pop('table')}")
            rows = pa.ipc.open_file(pa.BufferReader(body)).read_all().column("receipt").to_pylist()
            return Manifest(**raw, receipts=tuple(Receipt.from_json(r) for r in rows))

    def finish(self, manifest: Manifest) -> Manifest:
        """Commit the stage: the Arrow table of receipts, then the small JSON; then drop what was absorbed.

        Where another runner was first, its manifest is the one that counts and is returned.
        """
        ordered = sorted(manifest.receipts, key=lambda r: (r.phase, r.unit))
        table = pa.table(
            {
                "phase": pa.array([r.phase for r in ordered], pa.large_string()),
                "unit": pa.array([r.unit for r in ordered], pa.large_string()),
                "receipt": pa.array([r.as_json() for r in ordered], pa.large_binary()),
            }
        )
        sink = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        name = f"manifest.{attempt_id()}{unit_suffix('.arrow')}"
        self.store.put_new(f"{self.folder}/{name}", sink.getvalue())
        head = {f.name: getattr(manifest, f.name) for f in dataclasses.fields(manifest) if f.name != "receipts"}
        payload = orjson.dumps(head | {"table": name}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        if not self.store.put_new(f"{self.folder}/manifest.json", payload):
            self.store.delete(f"{self.folder}/{name}")
            manifest = self.manifest() or manifest
        self.drop_receipts()
        return manifest

    def drop_receipts(self) -> None:
        """Remove the receipts that the manifest holds (all of them)."""
        self.store.delete(f"{self.folder}/receipts")


def content_digest(receipts: Iterable[Receipt]) -> str:
    """Digest of a stage from its units', 32 hex digits: equal for any cut of the same rows into units."""
    rows = 0
    sums: dict[str, tuple[int, int]] = {}
    others: list[str] = []
    for receipt in receipts:
        rows += receipt.rows
        for column, digest in receipt.content.items():
            lo, hi = sums.get(column, (0, 0))
            sums[column] = ((lo + int(digest[16:], 16)) & _MASK, (hi + int(digest[:16], 16)) & _MASK)
        if not receipt.content and receipt.phase in ("artefact", "result"):
            others.append(receipt.digest)
    body = [rows, sorted((c, f"{hi:016x}{lo:016x}") for c, (lo, hi) in sums.items()), sorted(others)]
    return digest_bytes(orjson.dumps(body))


def lanes_hex(lanes: tuple[int, int]) -> str:
    """A two-lane digest as 32 hex digits (high lane first)."""
    return f"{lanes[1]:016x}{lanes[0]:016x}"


def unit_key(*parts: Any) -> str:
    """32 hex digits over everything a unit's result is a function of."""
    return xxhash.xxh3_128(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def solved_key(key: str, number: int) -> str:
    """Key of part `number` of what one task answered for all parts."""
    return unit_key("solved", key, number)


def add_counts(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counters summed by name, in first-seen order; of names that begin with `max:` the largest."""
    total: dict[str, int] = {}
    for counts in many:
        for name, value in counts.items():
            before = total.get(name, 0)
            total[name] = max(before, value) if name.startswith("max:") else before + value
    return total


@contextlib.contextmanager
def _this_version(what: str, where: str = "") -> Iterator[None]:
    """What does not have the fields of this version is said to be of another."""
    try:
        yield
    except (orjson.JSONDecodeError, pa.ArrowInvalid, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{what} was written by another version of winnow, or is damaged: {error}",
            where=where, hint="use that version, or run into another --out; removing the stage's folder makes it anew",
        ) from error  # fmt: skip


def _file(raw: Mapping[str, Any]) -> FileRef:
    under = _file(raw["under"]) if raw.get("under") else None
    return FileRef(**{**raw, "columns": _same(tuple(raw["columns"])), "under": under})


_names: dict[tuple[str, ...], tuple[str, ...]] = {}


def _same(columns: tuple[str, ...]) -> tuple[str, ...]:
    """One tuple for all files with the same columns."""
    return _names.setdefault(columns, columns)
