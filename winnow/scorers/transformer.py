"""What scorers by somebody else's transformer share: how much of a text they read, and padded groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError

CHARS_PER_TOKEN = 50  # of a text's head that is looked at, for each token of `max_length`
MAX_LENGTH = 512  # where neither the recipe nor the model asks for less
Device = Literal["auto", "cpu", "cuda"]
GROUP_TOKENS = {"cpu": 8192, "cuda": 131_072}


@dataclass(frozen=True, kw_only=True)
class ModelRun:
    """How much of a text a transformer reads, and where it runs."""

    max_length: int = 0  # tokens; 0: 512, or what the model takes
    device: Device = field(default="auto", metadata={"identity": False})


def padded(rows: Sequence[Sequence[int]], width: int, fill: int) -> npt.NDArray[np.int64]:
    """Token lists as one matrix i64[rows, width], filled up on the right."""
    matrix = np.full((len(rows), width), fill, dtype=np.int64)
    for at, row in enumerate(rows):
        matrix[at, : len(row)] = row
    return matrix


def length_groups(order: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], room: int) -> Iterator[list[int]]:
    """Rows in order of length, in groups of at most `room` padded tokens (at least one row)."""
    group: list[int] = []
    for row in order.tolist():
        if group and (len(group) + 1) * int(lengths[row]) > room:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def token_limit(asked: int, config: Any, tokenizer: Any) -> int:
    """Tokens that are read of a text. Raises: ConfigError where the model takes fewer."""
    limits = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    most = min(limit for limit in (*limits, 1 << 30) if limit and limit > 0)
    if asked > most:
        raise ConfigError(f"max_length is {asked}, the model takes {most} tokens", where="max_length", hint="lower it")
    return int(asked or min(MAX_LENGTH, most))
