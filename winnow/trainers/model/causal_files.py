"""What the files of somebody else's language model say of it, without loading it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import orjson

from winnow.core.operators import Context, Job, port
from winnow.trainers.data.encoder import FILE, Encoder
from winnow.trainers.model.causal_folder import CONFIG, check_folder, first_id, position_limit


@dataclass(frozen=True, kw_only=True)
class CausalFiles(Job):
    """What the files of a causal model's folder say of it.

    Source: own
    """

    name: ClassVar[str] = "causal_files"
    role: ClassVar[str] = "trainer"
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)

    files: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})  # their folder

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where the files are no causal model in plain files."""
        check_folder(paths)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `architecture`, `vocab` of the tokenizer, `positions` (0: no limit), `first`: the id before a text.

        Raises:
            ConfigError: weights, configuration or tokenizer are missing.
        """
        files = {Path(path).name: Path(path) for path in ctx.refs.get("files", self.files)}
        check_folder([*files])
        config = orjson.loads(files[CONFIG].read_bytes())
        kind = ", ".join(config.get("architectures") or [str(config.get("model_type"))])
        found = {"architecture": kind, "vocab": Encoder(files[FILE]).vocab, "positions": position_limit(config),
                 "first": first_id(files)}  # fmt: skip
        ctx.note("summary", f"{kind}, {found['vocab']:,} ids, windows of up to {found['positions'] or 'any'} tokens")
        return found
