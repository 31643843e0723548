"""What every transformer of somebody else needs: a folder of plain files, quiet loading, padded groups.

Only safetensors weights are loaded, no code from the folder, nothing from the network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError

CHARS_PER_TOKEN = 50  # of a text's head that is looked at, for each token of `max_length`
MAX_LENGTH = 512  # where neither the recipe nor the model asks for less
Device = Literal["auto", "cpu", "cuda"]
GROUP_TOKENS = {"cpu": 8192, "cuda": 131_072}
PLAIN: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}


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


@contextlib.contextmanager
def linked(files: Sequence[Path], work: Path) -> Iterator[Path]:
    """A folder with exactly these files, so that nothing is read whose content the stage does not know."""
    import tempfile

    if not any(path.name.endswith(".safetensors") for path in files):
        raise ConfigError(
            "the model has no .safetensors file; pickled weights are never loaded",
            where="model", hint="save it again: model.save_pretrained(folder)",
        )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=work) as name:
        for path in files:
            (Path(name) / path.name).symlink_to(path.resolve())
        yield Path(name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and notices of transformers while it loads."""
    from transformers import utils

    logging: Any = utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def token_limit(asked: int, config: Any, tokenizer: Any) -> int:
    """Tokens that are read of a text. Raises: ConfigError where the model takes fewer."""
    limits = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    most = min(limit for limit in (*limits, 1 << 30) if limit and limit > 0)
    if asked > most:
        raise ConfigError(f"max_length is {asked}, the model takes {most} tokens", where="max_length", hint="lower it")
    return int(asked or min(MAX_LENGTH, most))
