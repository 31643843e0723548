"""`causal_lm`: somebody else's language model, from a folder, as a stage that scorers and teachers name.

A path in a field that takes models (`lm_nats: {model: ./pythia-70m}`) is this stage, implied.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Kind, Scope, Sub
from winnow.core.operators.contract import Meaning
from winnow.core.store.locations import refuse_scheme
from winnow.trainers.data.encoder import FILE
from winnow.trainers.model.causal_files import CausalFiles
from winnow.trainers.model.causal_folder import WEIGHTS, check_folder

REST = "*.[jtm]*"  # .json .jinja .txt .model .md; no pickle and no code


@dataclass(frozen=True, kw_only=True)
class CausalLm(Composite):
    """A causal language model of transformers in a folder on disk: weights in safetensors, config.json, tokenizer.json.

    Nothing is copied: what names the stage reads the folder. Pickled weights are refused, a model's own code is never
    run, nothing comes from the network.

    Source: own
    """

    name: ClassVar[str] = "causal_lm"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.RESULT
    meaning: ClassVar[Mapping[str, Meaning]] = {"folder": "files"}

    folder: str

    def validate(self) -> None:
        """Check the folder, where it lies below the working directory or its path is whole.

        Raises:
            ConfigError: it is no folder, or what lies in it is no causal model in plain files.
        """
        refuse_scheme(self.folder, where="folder")
        here = Path(self.folder).expanduser()
        if here.is_dir():
            check_folder(sorted(here.iterdir()))
        elif here.exists() or here.is_absolute():
            what = "is a file" if here.exists() else "is not there"
            hint = "name the folder of the model" if here.exists() else "check the path"
            raise ConfigError(f"{self.folder} {what}", where="folder", hint=hint)

    def place(self) -> str:
        """The folder without wildcards and without a final slash."""
        return str(Path(self.folder).expanduser())

    def patterns(self) -> tuple[str, ...]:
        """Globs of the files that are the model."""
        here = glob.escape(self.place())
        return (f"{here}/*{WEIGHTS}", f"{here}/{REST}")

    def tokenizer_file(self) -> tuple[str, ...]:
        """The glob of its tokenizer."""
        return (f"{glob.escape(self.place())}/{FILE}",)

    def weights_gb(self) -> float:
        """Size of its weights in float32 at most, 1e9 bytes; 1 where the folder is not seen from here."""
        found = sum(path.stat().st_size for path in Path(self.place()).glob(f"*{WEIGHTS}"))
        return 2e-9 * found if found else 1.0

    def expand(self, scope: Scope) -> list[Sub]:
        """The look at its files."""
        return [Sub(name="folder", operator=CausalFiles(files=self.patterns(), base=self.place()))]
