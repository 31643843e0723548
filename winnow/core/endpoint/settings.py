"""The fields of a stage that asks an endpoint, and what is checked of them before anything is sent."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from winnow.core.errors import ConfigError
from winnow.core.operators.contract import Meaning, Operator, port
from winnow.core.operators.effect import ReadAt, given


def beside(default: Any) -> Any:
    """A field that decides how one asks and not what comes out: no identity."""
    return field(default=default, metadata={"identity": False})


@dataclass(frozen=True, kw_only=True)
class Asks(Operator):
    """What every operator over an endpoint has: where it is, which model, what it may cost, how long one waits."""

    asks: ClassVar[bool] = True
    meaning: ClassVar[Mapping[str, Meaning]] = {"endpoint": "closed", "model": "free", "known_as": "free"}
    read_at: ClassVar[ReadAt] = {"cost_cap": ("price_out", given), "price_in": ("price_out", given)}

    endpoint: str = field(metadata={"identity": False})  # `https://HOST/v1`, below which `/chat/completions` lies
    model: str
    known_as: str = ""  # what the endpoint is called in identities; "" = its address
    key_env: str = port("secret", default="")  # name of the environment variable that holds the key
    temperature: float = 0.0
    max_tokens: int = 512  # of an answer
    token_cap: int | None = beside(None)  # tokens in and out that this model may use in this root
    cost_cap: float | None = beside(None)  # the same as money, by the prices
    price_in: float = beside(0.0)  # of a million tokens of questions
    price_out: float = beside(0.0)  # of a million tokens of answers
    concurrency: int = beside(8)  # questions under way at once, per task
    request_s: float = beside(60.0)  # for one request
    patience_s: float = beside(120.0)  # for one question: all its tries and waits
    unanswered: Literal["stop", "skip"] = "stop"  # where no try of a question was answered
    allow_http: bool = beside(default=False)  # without TLS to another machine

    def after_decisions(self) -> bool:
        """True: a refused document is not paid for."""
        return True

    def data(self) -> Any:
        """Who is asked: a name, or the address."""
        return {"asked_of": self.asked_of()}

    def asked_of(self) -> str:
        """What the endpoint is called where answers are kept."""
        return self.known_as or self.endpoint.rstrip("/")

    def validate(self) -> None:
        """Raises: ConfigError for an address that is none or not safe, no cap where one pays, numbers out of range."""
        local = check_address(self.endpoint, allow_http=self.allow_http)
        low = {"max_tokens": self.max_tokens, "concurrency": self.concurrency}
        for name, value in low.items():
            if value < 1:
                raise ConfigError(f"{name} is {value}", where=name, hint="at least 1")
        if not 0 <= self.temperature <= 2:
            raise ConfigError(f"temperature is {self.temperature:g}", where="temperature", hint="0 to 2")
        for name in ("request_s", "patience_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name):g}", where=name, hint="seconds, above 0")
        for name in ("token_cap", "cost_cap"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}", where=name, hint="above 0")
        if self.price_in < 0 or self.price_out < 0:
            raise ConfigError("a price is below 0", where="price_in" if self.price_in < 0 else "price_out")
        if not local and self.token_cap is None and self.cost_cap is None:
            raise ConfigError("nothing says how much this may cost", where="token_cap",
                              hint="`token_cap: 5m`, or `cost_cap: 5` with `price_in:` and `price_out:`")  # fmt: skip

    def key(self) -> str:
        """The key, from the environment of this process; '' where none is named.

        Raises: ConfigError where the variable is not set, or is no key.
        """
        if not self.key_env:
            return ""
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise ConfigError(f"the environment variable {self.key_env} is not set", where="key_env",
                              hint="set it where the workers run; the key itself stands in no recipe")  # fmt: skip
        if not key.isprintable() or not key.isascii():
            raise ConfigError(f"what {self.key_env} holds is no key", where="key_env", hint="plain printable letters")
        return key

    def parameters(self, **more: Any) -> dict[str, Any]:
        """What goes into every request beside the messages."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, **more}

    def per_document(self, text_bytes: float) -> tuple[int, float]:
        """(questions that a document takes, tokens of all of them), of a text of so many bytes; for plans."""
        raise NotImplementedError

    def asked_about(self, documents: int) -> int:
        """Of how many of so many documents it asks."""
        return documents

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost, by the prices."""
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6


def check_address(address: str, *, allow_http: bool) -> bool:
    """True where the endpoint lies on this machine.

    Raises: ConfigError for what is no address, holds a secret, or would send text and key in the open.
    """
    parts = urlsplit(address)
    try:
        port_number = parts.port
    except ValueError:
        port_number = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port_number == -1:
        raise ConfigError("`endpoint` is no address", where="endpoint", hint="https://HOST/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError("`endpoint` holds more than an address, which files and logs would show", where="endpoint",
                          hint="https://HOST/v1; a key goes into the variable that `key_env:` names")  # fmt: skip
    local = is_local(parts.hostname)
    if parts.scheme == "http" and not local and not allow_http:
        raise ConfigError(f"texts would go to {parts.hostname} in the open", where="endpoint",
                          hint="https, or `allow_http: true` within a network that you trust")  # fmt: skip
    return local


def is_local(host: str) -> bool:
    """True for names and numbers of this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
