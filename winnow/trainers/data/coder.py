"""How text becomes token ids: bytes, a tokenizer file, or a tokenizer object; always with an end mark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.store.ids import digest_bytes
from winnow.trainers.data.encoder import FILE, ByteEncoder, Encoder, Ids, id_type

BYTES = "bytes"


@dataclass(frozen=True, kw_only=True)
class Coder:
    """Texts -> (ids without an end mark, offsets). `vocab` counts the end mark."""

    encode: Callable[[pl.Series], tuple[Ids, npt.NDArray[np.int64]]]
    vocab: int
    end: int
    digest: str

    @property
    def dtype(self) -> Any:
        """The numpy type of an id."""
        return id_type(self.vocab)


def coder_of(tokenizer: Any, *, end: int | str | None = None) -> Coder:
    """The coder of `"bytes"`, a `tokenizer.json` (or its folder), a `tokenizers` or a fast `transformers` tokenizer.

    `end` is the id or the text of the token that ends a document; by default a transformers tokenizer's own, else the
    first id behind the vocabulary, which no text can spell.
    Raises:
        ConfigError: it is none of these, or has no such token.
    """
    if tokenizer == BYTES:
        encoder: Any = ByteEncoder()
        identity = BYTES.encode()
    else:
        source = json_of(tokenizer)
        encoder = Encoder(source)
        identity = source.encode()
        end = getattr(tokenizer, "eos_token_id", None) if end is None else end
    if isinstance(end, str):
        found = encoder.id_of(end) if isinstance(encoder, Encoder) else None
        if found is None:
            raise ConfigError(f"the tokenizer has no token {end!r}", where="end", hint="leave `end` out for a new id")
        end = found
    mark = encoder.vocab if end is None else int(end)
    if mark < 0:
        raise ConfigError(f"end is {mark}, and must be an id", where="end")
    vocab = max(encoder.vocab, mark + 1)
    digest = digest_bytes(identity, f"\0{mark}".encode())
    return Coder(encode=encoder, vocab=vocab, end=mark, digest=digest)


def json_of(tokenizer: Any) -> str:
    """The JSON text of a tokenizer."""
    if isinstance(tokenizer, str | Path):
        path = Path(tokenizer) / FILE if Path(tokenizer).is_dir() else Path(tokenizer)
        if not path.is_file():
            hint = "`bytes`, a tokenizer.json, its folder, or a fast tokenizer object"
            raise ConfigError(f"no tokenizer at {tokenizer}", where="tokenizer", hint=hint)
        return path.read_text("utf-8")
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        raise ConfigError(
            f"{type(tokenizer).__name__} is no tokenizer that winnow can read",
            where="tokenizer",
            hint="a fast transformers tokenizer, or `tokenizers.Tokenizer`",
        )
    text: str = backend.to_str()
    return text
