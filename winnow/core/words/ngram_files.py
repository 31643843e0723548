"""Files of n-gram language models, opened by what they hold: an artefact of winnow, an ARPA file, a binary of KenLM."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from winnow.core.errors import DataError
from winnow.core.words.arpa import is_arpa, read_arpa
from winnow.core.words.backoff_model import ABOUT, TABLE, VERSION, BackoffModel, TextForm
from winnow.core.words.kenlm_model import KenlmModel, is_kenlm

KENLM = "kenlm.bin"  # in an artefact: a file that only KenLM reads
OWN = ("version", "order", "closed", "form")  # of what stands in `ngram.json`, the model's own fields
HINT = "name an `ngram_lm` stage, or the folder that it wrote"
Ngram = BackoffModel | KenlmModel


def open_ngram(model: Mapping[str, Path] | Path | str) -> Ngram:
    """The model of an `ngram_lm` stage: its files by name (`ctx.ref(...).files()`), or the folder with them.

    The table is mapped, not read.
    Raises: DataError where it is none, or one of another version; ConfigError where it needs KenLM and there is none.
    """
    files = model if isinstance(model, Mapping) else {path.name: path for path in sorted(Path(model).glob("*"))}
    for name in (ABOUT, KENLM if KENLM in files else TABLE):
        if name not in files:
            raise DataError(f"no n-gram model: there is no {name}", where=str(model), hint=HINT)
    about = _about(files[ABOUT])
    form = TextForm(**about["form"])
    if KENLM in files:
        return KenlmModel(files[KENLM], form=form)
    try:
        table = np.load(files[TABLE], mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{TABLE} cannot be read: {error}", where=str(files[TABLE]), hint=HINT) from error
    if table.dtype != np.uint64 or table.ndim != 2 or table.shape[1] != 2:
        found = f"{table.dtype}{list(table.shape)}"
        raise DataError(f"{TABLE} is {found}, not uint64[slots, 2]", where=str(files[TABLE]), hint=HINT)
    rest = {name: value for name, value in about.items() if name not in OWN}
    return BackoffModel(np.asarray(table), order=about["order"], form=form, closed=about["closed"], about=rest)


def _about(path: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{ABOUT} cannot be read: {error}", where=str(path), hint=HINT) from error
    if about.get("version") != VERSION:
        said = f"the model has layout {about.get('version')}, and this winnow reads {VERSION}"
        raise DataError(said, where=str(path), hint="fit it again")
    return about


def read_model(path: Path, form: TextForm) -> Ngram:
    """The model of an ARPA file (plain, .gz, .zst) or, through the `kenlm` module, of KenLM's own binary file.

    Raises: DataError where it is neither; ConfigError where KenLM is needed and is not installed.
    """
    if is_arpa(path):
        return read_arpa(path, form)
    if is_kenlm(path):
        return KenlmModel(path, form=form)
    raise DataError(f"{path.name} is neither an ARPA file nor a binary of KenLM", where=str(path),
                    hint="give what lmplz or build_binary wrote: .arpa, .arpa.gz or .bin")  # fmt: skip


def save_model(model: Ngram, folder: Path) -> None:
    """Write the artefact that `open_ngram` opens; of a binary of KenLM a copy."""
    if isinstance(model, BackoffModel):
        model.save(folder)
        return
    shutil.copyfile(model.path, folder / KENLM)
    said = {"version": VERSION, "order": model.order, "form": asdict(model.form), "source": "kenlm"}
    (folder / ABOUT).write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", encoding="utf-8")
