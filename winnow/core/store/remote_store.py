"""A store on S3, Google Cloud Storage or Azure Blob Storage: `s3://BUCKET/PREFIX`, `gs://...`, `az://...`.

Whatever is created goes there by a conditional put, so the first writer wins as on a file system. Each such put carries
a name of its own: where the answer to one that had worked was lost, and the library's next try is told that the object
is there already, the object itself says whose it is. Files come here once, into a cache that all processes map; a file
that is written here is in it at once. A published file is a copy made by the store: there are no links.
"""

from __future__ import annotations

import builtins
import mmap
import shutil
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import pyarrow as pa

from winnow.core.errors import StoreError
from winnow.core.store.local_cache import ONCE, mapped, store_cache, used
from winnow.core.store.remote_client import again, client_of, guarded, level, listed, obstore, parts_of
from winnow.core.store.store import Stat, Store, attempt_id, check_key

ATTEMPT, WRITTEN = "winnow-attempt", "winnow-written"  # metadata: whose put it was; `once` of files under unique names
WHOLE_BYTES, PIECE_BYTES, PIECES = 64 << 20, 16 << 20, 4  # larger files go in pieces, so many at a time
TRIES = 20  # of a conditional put that meets another one in flight, or a deletion
GONE = "a file that a receipt names is gone; remove its stage folder and run again"
NO_CONDITION = "the store ignores the condition of a put: a second creation of the same object was accepted"
FRESH_S, REMEMBERED = 2.0, 20_000  # how long a stamp is believed; of how many objects something is remembered
LISTED = 4  # so many files of a folder are asked for by listing it
V = TypeVar("V")
_created: set[str] = set()  # roots that this process made: nothing need lie in them yet
_stamps: dict[str, tuple[float, tuple[Hashable, int] | None]] = {}  # object -> (when, what was seen)
_named: dict[str, bytes] = {}  # object whose name says its content -> its bytes


class RemoteStore(Store):
    """Objects below a prefix of a bucket."""

    def __init__(self, location: str) -> None:
        scheme, bucket, prefix = parts_of(location)
        self._location = f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else "")

    @property
    def location(self) -> str:
        """`s3://BUCKET/PREFIX`."""
        return self._location

    def where(self, key: str = "") -> str:
        """`s3://BUCKET/PREFIX/KEY`."""
        return f"{self._location}/{key}" if key else self._location

    def create(self) -> None:
        """Check that objects can be created below the prefix, and that only the first creation of one counts.

        Raises: StoreError where they cannot, or where the store keeps no conditional put.
        """
        probe = f".probe.{attempt_id()}.tmp"
        try:
            created = self._create(probe, b"1", {}) is not None
            again = self._create(probe, b"2", {}) is not None
        finally:
            with suppress(StoreError):
                self.delete(probe)
        if not created or again:
            raise StoreError(NO_CONDITION, where=self._location, hint=(
                "two runs could overwrite each other's receipts: use a store with conditional puts (S3, GCS, Azure, "
                "R2, MinIO of 2024 or later), or a folder"))  # fmt: skip
        _created.add(self._location)

    def writable(self) -> bool:
        """True where something lies below the prefix, or this process made it."""
        if self._location in _created:
            return True
        try:
            return self.exists("")
        except StoreError:
            return False

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` with `data`; False (and no change) where it exists already."""
        created = self._create(self._key(key), data, {}) is not None
        if created:
            _remember(_named, self.where(key), data)
        return created

    def put(self, key: str, data: bytes) -> None:
        """Replace `key` atomically."""
        with self._guard(key):
            obstore().put(self._client, self._key(key), data, mode="overwrite", use_multipart=False)
        _forget(self.where(key))

    @contextmanager
    def writing(self, key: str) -> Iterator[IO[bytes]]:
        """A file on this machine, uploaded on exit, and then a copy in the cache."""
        full, cache = self._key(key), store_cache()
        with cache.incoming() as path:
            with path.open("xb") as sink:
                yield sink
            self._upload(full, path)
            cache.take(path, self.where(key), ONCE)

    def publish(self, key: str, as_key: str) -> bool:
        """Give the committed file a second name: a copy that the store itself makes."""
        source, target = self._key(key), self._key(as_key)
        if self.stat(as_key) is not None:
            return False
        with self._guard(key):
            try:
                obstore().copy(self._client, source, target, overwrite=False)
            except obstore().exceptions.AlreadyExistsError:
                return False
        return True

    def get(self, key: str) -> bytes:
        """The bytes of `key`. Raises StoreError where it is missing."""
        full = self._key(key)
        with self._guard(key):
            return self._whole(full)

    def find_named(self, key: str) -> bytes | None:
        """As `find`; from memory where this process has seen it."""
        held = _named.get(self.where(key))
        if held is None and (held := self.find(key)) is not None:
            _remember(_named, self.where(key), held)
        return held

    def find(self, key: str) -> bytes | None:
        """The bytes of the file `key` by one request; None where it is missing."""
        full = self._key(key)
        with self._guard(key):
            try:
                return self._whole(full)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def _whole(self, full: str) -> bytes:
        return again(lambda: bytes(obstore().get(self._client, full).bytes()))

    def open_buffer(self, key: str) -> pa.BufferReader:
        """The file's copy in the cache as a memory map."""
        for _ in range(TRIES):
            with suppress(FileNotFoundError):  # the cache's limit took it a moment ago
                return mapped(self._cached(key))
        raise StoreError("a downloaded file does not stay in the cache", where=self.where(key),
                         hint="raise WINNOW_STORE_CACHE_GB")  # fmt: skip

    def open_range(self, key: str, start: int, length: int) -> pa.Buffer:
        """Only these bytes are fetched, unless the file is in the cache."""
        full, found = self._key(key), store_cache().find(self.where(key))
        if found is not None and found[1] == ONCE:
            with suppress(FileNotFoundError), mapped(found[0]) as source:
                source.seek(min(start, source.size()))
                return source.read_buffer(length)
        with self._guard(key):
            if length == 0:
                obstore().head(self._client, full)
                return pa.py_buffer(b"")
            try:
                data = again(lambda: bytes(obstore().get_range(self._client, full, start=start, length=length)))
                return pa.py_buffer(data)
            except obstore().exceptions.GenericError as error:
                if "416" not in str(error) and "Range started at" not in str(error):
                    raise
                return pa.py_buffer(b"")

    def local_copy(self, key: str) -> Path:
        """The file, or all files of the folder, below a folder of this process that ends with it."""
        cache, within = store_cache(), self._location.replace("://", "/")
        for inner in self.walk(key):
            for _ in range(TRIES):
                with suppress(FileNotFoundError):
                    cache.link(self._cached(inner), f"{within}/{inner}")
                    break
        return cache.own(f"{within}/{self._key(key)}")

    def copy_out(self, key: str, target: Path) -> bool:
        """A copy of the file in the cache, else a download past it."""
        found = store_cache().find(self.where(key))
        if found is not None and found[1] == ONCE:
            with suppress(FileNotFoundError):
                shutil.copyfile(found[0], target)
                return False
        with self._guard(key):
            again(lambda: _download(obstore().get(self._client, self._key(key)), target))
        return False

    def stat(self, key: str) -> Stat | None:
        """What the store says of the object; None where it is missing."""
        full = self._key(key)
        try:
            with self._guard(key):
                try:
                    meta = obstore().head(self._client, full)
                except FileNotFoundError:
                    return None
        except StoreError:
            self._level("")  # an answer to HEAD has no body: a list is told the reason
            raise
        return _stat_of(key, meta)

    def stats(self, keys: Iterable[str]) -> dict[str, Stat | None]:
        """`stat` of many objects: folders are listed where that takes fewer requests."""
        wanted: dict[str, list[str]] = {}
        for key in dict.fromkeys(keys):
            wanted.setdefault(key.rpartition("/")[0], []).append(key)
        out: dict[str, Stat | None] = {}
        for folder, inside in wanted.items():
            if len(inside) < LISTED:
                out |= {key: self.stat(key) for key in inside}
                continue
            objects, _ = level(self._client, self._key(folder), self.where(folder))
            known = {meta["path"]: meta for meta in objects}
            out |= {key: _stat_of(key, known[key]) if key in known else None for key in inside}
        return out

    def size(self, key: str) -> int:
        """Bytes of the object; of one that is in the cache and never changes, without a request."""
        found = store_cache().find(self.where(key))
        if found is not None and found[1] == ONCE:
            with suppress(FileNotFoundError):
                return found[0].stat().st_size
        return super().size(key)

    def stamp(self, key: str) -> tuple[Hashable, int] | None:
        """What changes when the object is replaced, as it was at most FRESH_S ago."""
        where, now = self.where(key), time.monotonic()
        held = _stamps.get(where)
        if held is None or now - held[0] > FRESH_S:
            held = (now, super().stamp(key))
            _remember(_stamps, where, held)
        return held[1]

    def clock(self) -> float:
        """The store's own time: of a small object made for it; this machine's where none can be made."""
        probe = f".probe.{attempt_id()}.tmp"
        with suppress(StoreError):
            self.put(probe, b"")
            found = self.stat(probe)
            self.delete(probe)
            if found is not None:
                return found.modified_ns / 1e9
        return time.time()

    def exists(self, key: str) -> bool:
        """True where `key` is an object, or objects lie below it."""
        if key and self.stat(key) is not None:
            return True
        objects, folders = level(self._client, self._key(key), self.where(key))
        return bool(objects or folders)

    def list(self, prefix: str) -> builtins.list[str]:
        """Keys of the objects directly below `prefix`, sorted; hidden and temporary ones are left out."""
        return [key for key in self._level(prefix)[0] if not key.rpartition("/")[2].startswith(".")]

    def hidden(self, prefix: str = "") -> builtins.list[str]:
        """Keys of the hidden and temporary objects directly below `prefix`, sorted."""
        return [key for key in self._level(prefix)[0] if key.rpartition("/")[2].startswith(".")]

    def folders(self, prefix: str = "") -> builtins.list[str]:
        """Names of what has objects below it directly below `prefix`, sorted."""
        names = (folder.rstrip("/").rpartition("/")[2] for folder in self._level(prefix)[1])
        return sorted(name for name in names if not name.startswith("."))

    def walk(self, prefix: str) -> builtins.list[str]:
        """Keys of all objects below `prefix` (or of the object `prefix`), sorted, hidden ones too."""
        below = self._below(prefix)
        return below if below or not prefix or self.stat(prefix) is None else [prefix]

    def delete(self, key: str) -> None:
        """Remove an object and all below it; missing is fine."""
        below = self._below(key)
        for gone in [*below, key]:
            store_cache().drop(self.where(gone))
            _forget(self.where(gone))
        with self._guard(key):
            for one in ([*below, key], *([[one] for one in below])):
                try:
                    obstore().delete(self._client, one if len(one) > 1 else one[0])
                    break
                except FileNotFoundError:  # another runner was first: the rest one by one
                    continue

    def drop_empty(self, key: str) -> None:
        """Nothing: a folder without objects is none."""
        self._key(key)

    @property
    def _client(self) -> Any:
        return client_of(self._location)

    def _key(self, key: str) -> str:
        return check_key(key, self._location)

    def _guard(self, key: str) -> Any:
        return guarded(self.where(key), gone=GONE)

    def _create(self, key: str, data: bytes | memoryview, about: Mapping[str, str]) -> str | None:
        """The new object's ETag; None where another attempt was first."""
        mine = attempt_id()
        _forget(self.where(key))
        for number in range(TRIES):
            with self._guard(key):
                try:
                    made = obstore().put(self._client, key, data, mode="create", use_multipart=False,
                                         attributes={ATTEMPT: mine, **about})  # fmt: skip
                    return str(made["e_tag"])
                except obstore().exceptions.AlreadyExistsError:
                    with suppress(FileNotFoundError):
                        found = obstore().get(self._client, key)
                        return str(found.meta["e_tag"]) if found.attributes.get(ATTEMPT) == mine else None
            time.sleep(min(1.0, 0.01 * 2**number))  # two at a time, or removed meanwhile: the store asks to try again
        return None

    def _upload(self, key: str, path: Path) -> None:
        """A finished file to a new object. Raises StoreError where there is one."""
        size = path.stat().st_size
        if size > WHOLE_BYTES:
            if self.stat(key) is not None:
                raise self._there(key)
            with self._guard(key):
                obstore().put(self._client, key, path, attributes={WRITTEN: ONCE}, use_multipart=True,
                              chunk_size=PIECE_BYTES, max_concurrency=PIECES)  # fmt: skip
            return
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)) if size else memoryview(b"")
            if self._create(key, data, {WRITTEN: ONCE}) is None:
                raise self._there(key)

    def _there(self, key: str) -> StoreError:
        return StoreError("the store failed: File exists", where=self.where(key))

    def _cached(self, key: str) -> Path:
        """The path of the cache's copy; what may have been replaced is asked for again."""
        full, cache = self._key(key), store_cache()
        found = cache.find(self.where(key))
        if found is not None and found[1] == ONCE:
            used(found[0])
            return found[0]
        options = {"if_none_match": found[1]} if found else {}
        with cache.incoming() as path:
            with self._guard(key):
                try:
                    answer = again(lambda: _download(obstore().get(self._client, full, options=options), path))
                except obstore().exceptions.NotModifiedError:
                    return found[0] if found else path
            once = answer.attributes.get(WRITTEN) == ONCE
            return cache.take(path, self.where(key), ONCE if once else str(answer.meta["e_tag"]))

    def _level(self, prefix: str) -> tuple[builtins.list[str], builtins.list[str]]:
        """(keys of objects, folders) directly below `prefix`, each sorted."""
        objects, folders = level(self._client, self._key(prefix), self.where(prefix))
        return sorted(meta["path"] for meta in objects), sorted(folders)

    def _below(self, prefix: str) -> builtins.list[str]:
        """Keys of all objects below `prefix`, sorted."""
        return sorted(meta["path"] for meta in listed(self._client, self._key(prefix), self.where(prefix)))


def _stat_of(key: str, meta: Any) -> Stat:
    written = round(meta["last_modified"].timestamp() * 1e9)
    return Stat(size=meta["size"], modified_ns=written, bytes_id=(key, meta["e_tag"], meta["version"]))


def _remember(memory: dict[str, V], name: str, value: V) -> None:
    while len(memory) >= REMEMBERED:
        with suppress(KeyError, StopIteration, RuntimeError):  # another thread is at it
            del memory[next(iter(memory))]
    memory[name] = value


def _forget(name: str) -> None:
    _stamps.pop(name, None)
    _named.pop(name, None)


def _download(answer: Any, path: Path) -> Any:
    """The answer, its bytes in a file. Raises StoreError where fewer came than were announced."""
    with path.open("wb") as sink:
        for block in answer.stream(min_chunk_size=1 << 20):
            sink.write(block)
        got = sink.tell()
    if got != answer.meta["size"]:
        raise StoreError(f"{got} bytes came of {answer.meta['size']}", where=answer.meta["path"], hint="run again")
    return answer
