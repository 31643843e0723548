"""One request and what came of it: an answer, a question that is refused, or a failure that another try may cure.

No redirect is followed: it would carry key and text to whom nobody named. No proxy of the environment is used, answers
are read up to a bound and a time, and the key is taken out of whatever the endpoint says before anybody sees it.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from winnow.core.endpoint.question import BYTES_PER_TOKEN, Answer, Question, Refused
from winnow.core.errors import ConfigError
from winnow.core.installing import how_to_install

MOST_BYTES = 8 << 20  # of a response
SHOWN = 200  # characters of what an endpoint says
CONNECT_S = 10.0
_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)
_THIS_QUESTION = (400, 413, 422)
_BLOCK = 1 << 16


class Failed(Exception):  # noqa: N818 - a try that failed, not an error of anybody yet
    """Another try may succeed; `wait_s` is how long the endpoint asks to be left alone, 0 where it does not say.

    `maybe_paid`: the endpoint may have made an answer that did not arrive.
    """

    def __init__(self, why: str, wait_s: float = 0.0, *, maybe_paid: bool = False) -> None:
        super().__init__(why)
        self.why, self.wait_s, self.maybe_paid = why, wait_s, maybe_paid


@dataclass(frozen=True)
class Transport:
    """A pool of connections to one endpoint."""

    address: str
    key: str
    pool: Any

    @classmethod
    def to(cls, address: str, *, key: str, connections: int) -> Transport:
        """Connections to the endpoint at `address`. Raises ConfigError where the library is missing."""
        try:
            import urllib3
        except ImportError as error:
            hint = how_to_install("urllib3")
            raise ConfigError("asking an endpoint needs `urllib3`, which is not installed", hint=hint) from error
        pool = urllib3.PoolManager(num_pools=1, maxsize=connections, block=False, retries=False)
        return cls(address.rstrip("/"), key, pool)

    def ask(self, question: Question, *, seconds: float) -> Answer | Refused:
        """The answer to one request within `seconds`. Raises Failed, and ConfigError for what no try will cure."""
        import urllib3

        until = time.monotonic() + seconds
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        limit = urllib3.Timeout(connect=min(CONNECT_S, seconds), read=seconds)
        data = json.dumps(question.body()).encode("utf-8", "replace")
        try:
            reply = self.pool.request("POST", f"{self.address}/chat/completions", body=data, headers=headers,
                                      timeout=limit, redirect=False, preload_content=False)  # fmt: skip
            try:
                body = self._read(reply, until)
            finally:
                reply.close()
        except urllib3.exceptions.HTTPError as error:
            unsent = isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
            raise Failed(self._plain(f"{type(error).__name__}: {error}"), maybe_paid=not unsent) from None
        if body is None and reply.status == 200:
            return Answer(problem="too_large", tokens_in=question.tokens_in(), tokens_out=question.tokens_out(),
                          estimated=True)  # fmt: skip
        return self._judged(question, reply.status, reply.headers, body or b"")

    def _read(self, reply: Any, until: float) -> bytes | None:
        """The whole body, without the key; None where it is longer than anybody wants. Raises Failed when late."""
        pieces, size = [], 0
        while block := reply.read1(_BLOCK, decode_content=False):
            pieces.append(block)
            size += len(block)
            if size > MOST_BYTES:
                return None
            if time.monotonic() > until:
                raise Failed("the answer did not end in time", maybe_paid=True)
        body = b"".join(pieces)
        return body.replace(self.key.encode(), b"***") if self.key else body

    def _judged(self, question: Question, status: int, headers: Any, body: bytes) -> Answer | Refused:
        if status == 200:
            return answer_of(question, body)
        said = self._plain(body[:4096].decode("utf-8", "replace"))
        if 300 <= status < 400:
            to = urlsplit(headers.get("Location", "")).hostname or "somewhere else"
            raise ConfigError(f"the endpoint sends us on to {to} ({status}), where key and texts do not go",
                              where="endpoint", hint="name the address that it means, if you trust it")  # fmt: skip
        if status in _THIS_QUESTION:
            return Refused(status=status, message=said)
        if status in _AGAIN or status >= 500:
            raise Failed(f"status {status}: {said}", wait_s=waits(headers.get("Retry-After", "")))
        where = "key_env" if status in (401, 403) else "model" if status == 404 else "endpoint"
        raise ConfigError(f"the endpoint refuses with status {status}: {said}", where=where,
                          hint="look at `endpoint:`, `model:` and the key; answers so far are kept")  # fmt: skip

    def _plain(self, said: str) -> str:
        """One short line without the key."""
        said = said.replace(self.key, "***") if self.key else said
        return re.sub(r"\s+", " ", said).strip()[:SHOWN]


def waits(header: str) -> float:
    """Seconds of a `Retry-After`, which is a number or a date; 0 for what is neither."""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", header.strip()):
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def answer_of(question: Question, body: bytes) -> Answer:
    """The answer in a response. Raises Failed where that is no such response."""
    try:
        held = json.loads(body)
        choice = held["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise Failed(f"the response is no answer ({type(error).__name__})", maybe_paid=True) from None
    if text is not None and not isinstance(text, str):
        raise Failed("the response is no answer (no text)", maybe_paid=True)
    usage = held.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    known = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**40 for n in counts)
    about = (question.tokens_in(), -(-len((text or "").encode("utf-8", "replace")) // BYTES_PER_TOKEN))
    tokens_in, tokens_out = (int(n or 0) for n in counts) if known else about
    return Answer(text=text or "", ended=str(choice.get("finish_reason") or ""), tokens_in=tokens_in,
                  tokens_out=int(tokens_out), estimated=not known, problem="" if text else "no_text")  # fmt: skip
