"""A model of `neural` that was given as a file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Job, Kind, port
from winnow.pipeline.extract.neural_model import MODEL, loaded


@dataclass(frozen=True, kw_only=True)
class NeuralFile(Job):
    """The model of a `neural` extractor, from the file that a `neural_fit` wrote: checked and copied.

    Raises: ConfigError where there is not one file; DataError where it is no such model.
    Source: own
    """

    name: ClassVar[str] = "neural_file"
    role: ClassVar[str] = "extractor"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    uses: ClassVar[tuple[str, ...]] = ("torch", "safetensors")

    files: tuple[str, ...] = port("files")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the model; metrics: its parameters."""
        paths = [Path(path) for path in ctx.refs.get("files", self.files)]
        if len(paths) != 1:
            raise ConfigError(f"model names {len(paths)} files", where="model", hint="name exactly one")
        number = sum(tensor.numel() for tensor in loaded(paths[0]).parameters())
        shutil.copyfile(paths[0], ctx.work / MODEL)
        ctx.note("summary", f"{number:,} parameters")
        return {"parameters": number}
