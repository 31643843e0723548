"""Somebody else's transformer as a folder of plain files: safetensors weights alone, no code, no network, no noise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError

PLAIN: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}


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
