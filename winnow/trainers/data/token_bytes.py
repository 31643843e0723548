"""How many bytes each id of a vocabulary spells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.trainers.data.encoder import BYTES_VOCAB


def token_bytes(tokenizer: Path | None, *, vocab: int) -> npt.NDArray[np.int64]:
    """Bytes of text that each id spells, i64[vocab]; 0 for the end mark and ids that no text has. None: plain bytes.

    Raises:
        ConfigError: the tokenizer is not byte-level, or changes the text: bytes cannot be counted by its ids.
    """
    out = np.zeros(vocab, dtype=np.int64)
    if tokenizer is None:
        out[: min(vocab, BYTES_VOCAB - 1)] = 1
        return out
    read = json.loads(tokenizer.read_text("utf-8"))
    if not _spells_bytes(read):
        hint = "a byte-level tokenizer without a normalizer, such as winnow's own or GPT-2's"
        raise ConfigError("the tokenizer does not spell a text byte by byte", where=str(tokenizer.name), hint=hint)
    for token, number in read["model"]["vocab"].items():
        out[number] = len(token)  # one character of the byte alphabet per byte
    for added in read.get("added_tokens") or ():
        out[added["id"]] = 0 if added.get("special") else len(added["content"].encode())
    return out


def _spells_bytes(read: dict[str, Any]) -> bool:
    steps = read.get("pre_tokenizer") or {}
    parts = steps.get("pretokenizers", [steps])
    byte_level = [part for part in parts if part.get("type") == "ByteLevel"]
    return (
        read["model"].get("type") == "BPE"
        and not read.get("normalizer")
        and bool(byte_level)
        and not any(part.get("add_prefix_space") for part in byte_level)
    )
