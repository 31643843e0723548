"""A tokenizer that was given instead of fitted."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Job, Kind, port
from winnow.core.operators.contract import Meaning
from winnow.trainers.data.coder import coder_of, json_of
from winnow.trainers.data.encoder import FILE
from winnow.trainers.data.token_meta import with_end


@dataclass(frozen=True, kw_only=True)
class TokenizerFile(Job):
    """A tokenizer.json that was given, as a stage.

    Source: own
    """

    name: ClassVar[str] = "tokenizer_file"
    meaning: ClassVar[Mapping[str, Meaning]] = {"end_mark": "labels"}
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)

    files: tuple[str, ...] = port("files")
    end_mark: str | None = field(default=None, metadata={"identity": False})  # "": a new id; None: none is needed

    def check_files(self, paths: Sequence[str]) -> None:
        """Check that it has the end mark that is asked for, or can be given one.

        Raises:
            ConfigError: it does not.
        """
        if self.end_mark is not None and len(paths) == 1:
            text = json_of(paths[0])
            with_end(text, coder_of(paths[0], end=self.end_mark or None).end)

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
