"""Input files that lie on object stores and web servers: listed by globs, read by byte ranges, known by their ETags.

Every range is asked for under the ETag that was seen when the run was planned, so an object that is replaced while it
is read is an error that names it and never half of each.
"""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from winnow.core.errors import ConfigError, DataError, StoreError
from winnow.core.store.remote_client import REMOTE, again, client_of, guarded, listed, obstore, settings

WEB = ("https", "http")
BY_ETAG = "etag:"  # how the digest of a file begins that its store's word stands for
BLOCK_BYTES, LEAST_BYTES = 4 << 20, 64 << 10  # asked for at once where a file is read on; where it is looked at
REPLACED = "let the objects come to rest, then run again"


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """What a store says of an object: equal ETags (and versions) are taken for equal bytes."""

    path: str
    size: int
    etag: str
    modified_ns: int

    @property
    def digest(self) -> str:
        """What stands for its bytes."""
        return f"{BY_ETAG}{self.etag}"

    @property
    def stamp(self) -> tuple[int, int, int, int, int]:
        """As of a file on a disk: inode (here of the ETag), size, written, changed, device."""
        from winnow.core.store.ids import digest_bytes

        return int(digest_bytes(self.etag.encode())[:12], 16), self.size, self.modified_ns, 0, 0


def is_remote(path: str) -> bool:
    """True for `s3://`, `gs://`, `az://`, `https://` and `http://`."""
    return path.partition("://")[0].lower() in (*REMOTE, *WEB) and "://" in path


def look_at(path: str, where: str = "") -> RemoteFile | None:
    """What the store says of one object now; None where it is missing. Raises StoreError where it does not answer."""
    client, key = _place(path)
    with guarded(where or path):
        try:
            return _file(path, obstore().head(client, key))
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None


def seen(path: str, where: str = "") -> RemoteFile:
    """As `look_at`. Raises: DataError where it is missing."""
    found = look_at(path, where)
    if found is None:
        raise DataError(f"{path} is not there", where=where or path, hint="restore it, or leave it out; then run again")
    return found


def below(folder: str, where: str = "") -> Iterator[RemoteFile]:
    """All objects below `s3://BUCKET/PREFIX/`, in order. Raises ConfigError for a web server: it has no listing."""
    scheme, bucket, prefix = place_of_file(folder)
    if scheme in WEB:
        hint = "name every file; a list of them goes into the recipe as `files: [https://..., https://...]`"
        raise ConfigError(f"{scheme}:// has no listing, so globs cannot work: {folder!r}", where=where, hint=hint)
    for meta in listed(client_of(f"{scheme}://{bucket}"), prefix.rstrip("/"), folder):
        yield _file(f"{scheme}://{bucket}/{meta['path']}", meta)


def open_input(path: str, digest: str = "") -> io.BufferedReader:
    """An input file for reading, wherever it lies; `digest` is what it was when the run was planned.

    Raises: OSError for a file on a disk; DataError where an object is missing or is another one.
    """
    if not is_remote(path):
        return Path(path).open("rb")
    return io.BufferedReader(_Ranges(seen(path), digest), LEAST_BYTES)


class _Ranges(io.RawIOBase):
    """An object as a seekable file: what is read is fetched, in blocks where it is read on."""

    def __init__(self, file: RemoteFile, digest: str) -> None:
        self.file, self._at = file, 0
        self._held, self._start = b"", 0
        self._client, self._key = _place(file.path)
        if digest.startswith(BY_ETAG) and digest != file.digest:
            raise _replaced(file.path)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new position, in bytes from the start."""
        self._at = max(0, offset + (0, self._at, self.file.size)[whence])
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """How many bytes were put into the buffer."""
        wanted = min(len(buffer), self.file.size - self._at)
        if wanted <= 0:
            return 0
        end = self._start + len(self._held)
        if not self._start <= self._at < end:
            most = max(wanted, BLOCK_BYTES if self._at == end else LEAST_BYTES)
            self._held, self._start = self._fetch(self._at, min(most, self.file.size - self._at)), self._at
        inside = self._at - self._start
        piece = self._held[inside : inside + wanted]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _fetch(self, start: int, length: int) -> bytes:
        options: dict[str, Any] = {"range": (start, start + length)}
        if self.file.etag.startswith('"'):
            options["if_match"] = self.file.etag
        path = self.file.path
        with guarded(path):
            try:
                meta, data = again(lambda: _answered(obstore().get(self._client, self._key, options=options)))
            except (FileNotFoundError, obstore().exceptions.PreconditionError) as error:
                raise _replaced(path) from error
            except (NotImplementedError, obstore().exceptions.NotSupportedError) as error:
                hint = "download the file, or name a server that answers ranges"
                raise StoreError("this server does not answer byte ranges", where=path, hint=hint) from error
        if len(data) != length or _file(path, meta).digest != self.file.digest:
            raise _replaced(path)
        return data


def _answered(answer: Any) -> tuple[Any, bytes]:
    return answer.meta, bytes(answer.bytes())


def _replaced(path: str) -> DataError:
    return DataError(f"{path} was changed after its ETag was taken", where=path, hint=REPLACED)


def _file(path: str, meta: Any) -> RemoteFile:
    """Where a server names no ETag, the size and time of writing stand in for it."""
    modified = round(meta["last_modified"].timestamp() * 1e9)
    etag = meta["e_tag"] or f"{meta['size']}-{modified}"
    version = f"+{meta['version']}" if meta["version"] else ""
    return RemoteFile(path=path, size=meta["size"], etag=f"{etag}{version}", modified_ns=modified)


def _place(path: str) -> tuple[Any, str]:
    """(client, key) of an object."""
    scheme, bucket, key = place_of_file(path)
    if scheme in WEB:
        return _web(f"{scheme}://{bucket}", os.getpid()), unquote(key)
    return client_of(f"{scheme}://{bucket}"), key


def place_of_file(path: str) -> tuple[str, str, str]:
    """(scheme, bucket or host, key). Raises ConfigError where it may hold a secret, which would be recorded."""
    scheme, _, rest = path.partition("://")
    host, _, key = rest.partition("/")
    signed = scheme.lower() in WEB and ("?" in key or "#" in key)
    if "@" in host or signed or not host:
        safe = re.sub(r"//[^/]*@", "//...@", path.partition("?")[0])
        hint = "credentials come from the environment; a signed address would be written into the run's records"
        raise ConfigError(f"{safe} holds more than a place", where=safe, hint=hint)
    return scheme.lower(), host, key


@functools.lru_cache(maxsize=32)
def _web(address: str, _pid: int) -> Any:
    more = settings()
    more["client_options"] |= {"allow_http": urlsplit(address).scheme == "http"}
    return obstore().store.HTTPStore(address, **more)
