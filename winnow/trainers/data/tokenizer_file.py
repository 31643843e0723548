"""A tokenizer that was given instead of fitted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Job, Kind, port
from winnow.trainers.data.coder import coder_of
from winnow.trainers.data.encoder import FILE


@dataclass(frozen=True, kw_only=True)
class TokenizerFile(Job):
    """A tokenizer.json that was given, as a stage.

    Source: own
    """

    name: ClassVar[str] = "tokenizer_file"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)

    files: tuple[str, ...] = port("files")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write tokenizer.json; metrics: `vocab`.

        Raises:
            ConfigError: there are several files, or it is no tokenizer.
        """
        paths = [Path(path) for path in ctx.refs.get("files", self.files)]
        if len(paths) != 1:
            raise ConfigError(f"{len(paths)} tokenizer files", where="tokenizer", hint="name one tokenizer.json")
        shutil.copyfile(paths[0], ctx.work / FILE)
        return {"vocab": coder_of(ctx.work / FILE).vocab - 1}
