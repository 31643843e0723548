"""What is asked and what came back, and the name under which an answer is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from winnow.core.errors import StoreError

BYTES_PER_TOKEN = 3  # of a prompt, where its tokens are not known yet: on the safe side of English's 4


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request: who is asked (`asked_of`, `model`), the messages, and the parameters of the answer."""

    asked_of: str  # the address, or the name that it goes by
    model: str
    messages: tuple[tuple[str, str], ...]  # (role, text)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The request as JSON."""
        messages = [{"role": role, "content": text} for role, text in self.messages]
        return {"model": self.model, "messages": messages, **self.parameters}

    def digest(self) -> str:
        """32 hex digits that only equal questions to the same model share."""
        text = json.dumps([self.asked_of, self.body()], sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def tokens_in(self) -> int:
        """About how many tokens the messages have."""
        return sum(-(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN) + 4 for _, text in self.messages)

    def tokens_out(self) -> int:
        """The most tokens that the answer may have."""
        return int(self.parameters.get("max_tokens", 0))

    def again(self, answer: str, wrong: str) -> Question:
        """The question that follows an answer which is not what was asked for."""
        more = (("assistant", answer), ("user", f"That answer cannot be used: {wrong}. Answer again, as it was asked."))
        return Question(asked_of=self.asked_of, model=self.model, messages=(*self.messages, *more),
                        parameters=self.parameters)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model answered; `problem` where there is a paid answer that cannot be read."""

    text: str = ""
    ended: str = ""  # what the endpoint says of the end: `stop`, `length`, ...
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False  # True: the endpoint did not say how many tokens
    problem: str = ""

    def packed(self) -> bytes:
        """As it is kept."""
        return json.dumps(asdict(self), sort_keys=True).encode()


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The endpoint takes this question for wrong: nothing was answered, another try would end the same."""

    status: int
    message: str


def unpacked(data: bytes, *, where: str) -> Answer:
    """The answer of `packed`. Raises StoreError where the bytes are something else."""
    try:
        return Answer(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreError("a kept answer cannot be read", where=where, hint="remove this file: it is asked again"
                         ) from error  # fmt: skip
