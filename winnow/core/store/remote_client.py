"""Object stores through `obstore`: how one is reached, and what its errors mean in words.

Credentials, region and endpoint come from the environment alone, as the vendors' own tools name them: no location, file
or message holds any.
"""

from __future__ import annotations

import functools
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from winnow.core.errors import ConfigError, StoreError
from winnow.core.installing import how_to_install

T = TypeVar("T")
REMOTE = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}  # scheme -> what a person calls it
RETRY_S, TIMEOUT_S = "WINNOW_STORE_RETRY_S", "WINNOW_STORE_TIMEOUT_S"  # environment: of all tries, of one request
_DEFAULTS = {RETRY_S: 120.0, TIMEOUT_S: 300.0}
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SKIP_SIGNATURE")  # fmt: skip
_SAID = ("AWS_", "GOOGLE_", "AZURE_", "WINNOW_STORE_")  # what a client is made from
BROKEN = 5  # so often an answer may break off in the middle
_METADATA = "http://169.254.169.254"  # where a machine of the cloud asks for its role
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT",
              "AZURE_ENDPOINT")  # fmt: skip
_AGAIN = "a rerun goes on where this one stopped"
_REASONS = (  # what the store's answer holds -> (what happened, next action)
    (r"NoSuchBucket|ContainerNotFound|bucket does not exist", "the bucket does not exist",
     "make it with your store's own tool, or correct its name"),
    (r"RequestTimeTooSkewed", "the clock of this machine differs too much from the store's",
     "set the clock (NTP), then run again"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|AuthenticationFailed|401 Unauthorized",
     "the store does not accept these credentials",
     "set the credentials in the environment (docs/stores.md)"),
    (r"without LOCATION|PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|\b30[17]\b",
     "the bucket lies in another region", "set AWS_REGION to the bucket's region"),
    (r"\b403\b|AccessDenied|PermissionDenied|Forbidden", "the store forbids it",
     "give these credentials list, get, put and delete below this prefix"),
    (r"SlowDown|\b429\b|TooManyRequests|ServerBusy", "the store asks to slow down, again and again",
     f"use fewer workers; {_AGAIN}"),
    (r"501 Not Implemented|NotImplemented|not implemented|not supported", "the store lacks an operation", ""),
    (r"timed out|deadline has elapsed|RequestTimeout", "the store does not answer in time", _AGAIN),
    (r"error sending request|[Cc]onnection|dns error|connect error", "the store cannot be reached",
     f"check the network and the endpoint; {_AGAIN}"),
    (r"\b50[0234]\b", "the store failed again and again", _AGAIN),
)  # fmt: skip


def obstore() -> Any:
    """The library. Raises ConfigError where it is missing."""
    try:
        import obstore as library
        import obstore.store
    except ImportError as error:
        raise ConfigError("object stores need obstore", hint=how_to_install("obstore")) from error
    return library


def client_of(location: str) -> Any:
    """The `obstore` store of `s3://BUCKET/PREFIX` (gs, az); one per process, location and environment.

    Raises: ConfigError for a location that is none; StoreError where there are no credentials.
    """
    scheme, bucket, prefix = parts_of(location)
    if scheme == "s3":
        _check_aws(location)
    said = sorted((name, value) for name, value in os.environ.items() if name.startswith(_SAID))
    return _client(scheme, bucket, prefix, (os.getpid(), *said))


def parts_of(location: str) -> tuple[str, str, str]:
    """(scheme, bucket, prefix) of `s3://BUCKET/PREFIX`. Raises ConfigError where it holds anything else."""
    url = urlsplit(location)
    scheme, prefix = url.scheme.lower(), url.path.strip("/")
    if "@" in url.netloc or url.query or url.fragment:
        hint = f"write {scheme}://BUCKET/PREFIX alone; credentials come from the environment"
        raise ConfigError(f"a {scheme}:// location holds a bucket and a prefix", where=f"{scheme}://...", hint=hint)
    if not url.netloc or ":" in url.netloc or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        hint = f"write {scheme}://BUCKET/PREFIX; an endpoint of your own is named in the environment"
        raise ConfigError(f"{location!r} names no bucket and prefix", hint=hint)
    return scheme, url.netloc, prefix


@functools.lru_cache(maxsize=32)
def _client(scheme: str, bucket: str, prefix: str, _of: tuple[object, ...]) -> Any:
    library = obstore()
    classes = {"s3": library.store.S3Store, "gs": library.store.GCSStore, "az": library.store.AzureStore}
    more = {"copy_if_not_exists": "multipart"} if scheme == "s3" else {}
    try:
        return classes[scheme](bucket, prefix=prefix or None, **settings(), **more)
    except (library.exceptions.BaseError, ValueError) as error:
        raise explained(error, f"{scheme}://{bucket}") from error


def settings() -> dict[str, Any]:
    """How often and how long requests are tried: exponential backoff up to 5 s between tries."""
    plain = any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS)
    return {
        "client_options": {"timeout": timedelta(seconds=_seconds(TIMEOUT_S)), "connect_timeout": timedelta(seconds=5),
                           **({"allow_http": True} if plain else {})},
        "retry_config": {"max_retries": 50, "retry_timeout": timedelta(seconds=_seconds(RETRY_S)), "backoff": {
            "init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2}},
    }  # fmt: skip


@contextmanager
def guarded(where: str, *, gone: str = "") -> Iterator[None]:
    """Errors of calls of the library are StoreErrors with `where`; `gone` is the hint for what is missing."""
    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error) or not gone:
            raise explained(error, where) from error
        raise StoreError("the store failed: No such file", where=where, hint=gone) from error
    except (obstore().exceptions.BaseError, OSError, ValueError, NotImplementedError) as error:
        raise explained(error, where) from error


def again(act: Callable[[], T]) -> T:
    """What `act` gives; asked for again where an answer ends early, which the library leaves to its caller."""
    for _ in range(BROKEN):
        try:
            return act()
        except obstore().exceptions.GenericError as error:
            if "body" not in str(error).partition("\n\nDebug source")[0]:
                raise
    return act()


def listed(client: Any, prefix: str, where: str) -> list[Any]:
    """What the store says of all objects below `prefix`; an answer that breaks off is asked for again."""
    with guarded(where):
        return again(lambda: [m for page in obstore().list(client, prefix or None, chunk_size=1000) for m in page])


def level(client: Any, prefix: str, where: str) -> tuple[list[Any], list[str]]:
    """(objects, folders) directly below `prefix`; an answer that breaks off is asked for again."""
    with guarded(where):
        found = again(lambda: obstore().list_with_delimiter(client, prefix or None))
        return list(found["objects"]), list(found["common_prefixes"])


def explained(error: Exception, where: str) -> StoreError:
    """What an error of the store means, with the next action; addresses in it lose what stands behind `?`."""
    text = str(error).partition("\n\nDebug source")[0]
    for pattern, what, hint in _REASONS:
        if re.search(pattern, text, re.DOTALL):
            return StoreError(f"the store failed: {what}{_told(text)}", where=where, hint=hint)
    return StoreError(f"the store failed: {_first(text)}", where=where, hint=_AGAIN)


def _told(text: str) -> str:
    """What the server itself said, where it did: ` (503 SlowDown: Please reduce ...)`."""
    status = re.search(r"\b([345]\d\d) [A-Z][a-z]", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    message = re.search(r"<Message>([^<]{1,200})</Message>", text)
    said = " ".join(m[1] for m in (status, code) if m)
    return f" ({said}{': ' * bool(said and message)}{message[1] if message else ''})" if said or message else ""


def _first(text: str) -> str:
    """The first line of an error, without queries and tokens."""
    line = text.partition("\n")[0]
    return re.sub(r"\?\S+", "?...", line)[:300]


def _seconds(name: str) -> float:
    text = os.environ.get(name, "")
    try:
        value = float(text) if text else _DEFAULTS[name]
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{text!r} is no number of seconds", where=name, hint=f"as {_DEFAULTS[name]:g}")
    return value


@functools.lru_cache(maxsize=1)
def _role_of_machine(endpoint: str) -> bool:
    """True where this machine can ask its cloud for credentials."""
    url = urlsplit(endpoint)
    try:
        with socket.create_connection((url.hostname or "", url.port or 80), timeout=1.0):
            return True
    except OSError:
        return False


def _check_aws(location: str) -> None:
    """Raises StoreError where no credentials can be had: the library would ask for minutes where nobody answers."""
    if any(os.environ.get(name) for name in _AWS):
        return
    if not _role_of_machine(os.environ.get("AWS_METADATA_ENDPOINT") or _METADATA):
        hint = ("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or AWS_SKIP_SIGNATURE=true "
                "for a public bucket; profiles in files are not read: `eval \"$(aws configure export-credentials "
                "--format env)\"`")  # fmt: skip
        raise StoreError("there are no credentials in the environment", where=location, hint=hint)
