"""Texts -> token ids: a fitted tokenizer file, or plain bytes.

The id `vocab - 1` is the end of a document; it is not part of the tokenizer, so no text can spell it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.words.text import utf8_buffers
from winnow.core.words.token_ids import TokenIds

FILE = "tokenizer.json"
MIN_VOCAB, MAX_VOCAB = 257, 1 << 24
NARROW_VOCAB = 1 << 16  # ids of a larger vocabulary need 32 bits
BYTES_VOCAB = 257  # every byte is its own id, and 256 is the end mark

Ids = npt.NDArray[Any]  # u16, or u32 where the vocabulary is larger than NARROW_VOCAB


class Encoder:
    """Texts -> (ids u16 or u32 [total], offsets i64[texts + 1]) by a fitted tokenizer file or its JSON text.

    `count` is told how many documents which library encoded (`token_ids.COUNTED`).
    """

    def __init__(self, source: Path | str, *, count: Callable[[str, int], None] | None = None) -> None:
        from tokenizers import Tokenizer as HfTokenizer

        known: Any = HfTokenizer
        self._tokenizer = known.from_file(str(source)) if isinstance(source, Path) else known.from_str(source)
        self._tokenizer.encode_special_tokens = True  # text that looks like a special token stays text
        self.vocab: int = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self.dtype = id_type(self.vocab)
        self._ids = TokenIds(self._tokenizer, count=count)

    def __call__(self, texts: pl.Series) -> tuple[Ids, npt.NDArray[np.int64]]:
        """The ids of all texts, one after the other, and where each begins; memory beside them: see `TokenIds`."""
        lengths, parts = np.zeros(len(texts), dtype=np.int64), [np.zeros(0, dtype=self.dtype)]
        for rows, ids, counts in self._ids(texts):
            parts.append(ids.astype(self.dtype))
            np.add.at(lengths, rows, counts)
        return np.concatenate(parts), np.concatenate(([0], np.cumsum(lengths)))

    @property
    def counted(self) -> Mapping[str, int]:
        """How many documents which library encoded, and why: see `token_ids.slow_remarks`."""
        return self._ids.counted

    def decode(self, ids: Iterable[npt.ArrayLike]) -> list[str]:
        """The text of each list of ids; bytes that are no UTF-8 become U+FFFD."""
        return list(self._tokenizer.decode_batch([np.asarray(one).tolist() for one in ids], skip_special_tokens=False))

    def id_of(self, token: str) -> int | None:
        """The id of a token by its text; None where the vocabulary has none."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found


class ByteEncoder:
    """Texts -> (UTF-8 bytes as u16 ids, offsets i64[texts + 1]); needs no fitting and no library."""

    vocab = BYTES_VOCAB - 1
    dtype = np.uint16

    def __call__(self, texts: pl.Series) -> tuple[Ids, npt.NDArray[np.int64]]:
        """The bytes of all texts, one after the other, and where each begins."""
        offsets, data = utf8_buffers(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))
        return data[offsets[0] : offsets[-1]].astype(np.uint16), (offsets - offsets[0]).astype(np.int64)


def id_type(vocab: int) -> Any:
    """The numpy type of ids below `vocab`: u16 up to 65536 of them, else u32."""
    return np.uint16 if vocab <= NARROW_VOCAB else np.uint32


def check_vocab(vocab: int) -> None:
    """Check that `vocab` holds all bytes and an end mark.

    Raises:
        ConfigError: it does not.
    """
    if not MIN_VOCAB <= vocab <= MAX_VOCAB:
        raise ConfigError(f"vocab is {vocab}, not in [{MIN_VOCAB}, {MAX_VOCAB}]", where="vocab")
