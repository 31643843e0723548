"""The `classifier` operator: somebody else's model as a column, by path, by pinned name, or as a preset.

A preset is a YAML file in `presets/`: which model, which of its labels, what its numbers mean and whence each of
these facts is known. Weights are not part of winnow: `model:` is a folder (transformers) or a .bin or .ftz file
(fastText) on disk; a name is looked up in the local cache of the Hugging Face Hub at a pinned commit.
"""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.installing import how_to_install
from winnow.core.operators import Composite, Exactness, Schema, Scope, Sub
from winnow.core.operators.contract import Meaning
from winnow.scorers.fasttext_classifier import FastTextClassifier
from winnow.scorers.fasttext_labels import Lines
from winnow.scorers.label_columns import Labelled, output_columns
from winnow.scorers.sequence_classifier import Activation, SequenceClassifier
from winnow.scorers.transformer import ModelRun

PRESETS = Path(__file__).parent / "presets"
FASTTEXT = (".bin", ".ftz")
WEIGHTS, REST = "*.safetensors", "*.[jstm][!d]*"  # .json .jinja .txt .model .safetensors, not .md .bin .py .pt
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_DOWNLOADED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True, kw_only=True)
class Classifier(ModelRun, Lines, Labelled, Composite):
    """Scores by a given model: a transformer with a classification or regression head, or a fastText file.

    `label: X` gives `score`, the probability of X; `labels: {column: X}` one column each; `top: true` the likeliest
    `label` with its `label_score`; a model with a single output gives it as `score`. `preset` fills in what is
    known of a public model (see `winnow/scorers/presets`), `model` says where it lies: a path, or a Hub name with
    `revision:` (a full commit), read from the local cache; only `download: true` uses the network, while planning.
    Weights must be safetensors (or fastText's format); a model's own code is never run.

    Source: own; each preset's file names its model's.
    """

    name: ClassVar[str] = "classifier"
    meaning: ClassVar[Mapping[str, Meaning]] = {
        "labels": "labels", "label": "labels", "preset": "closed", "model": "files", "revision": "free",
        "file": "files",
    }  # fmt: skip
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(atol=1e-3)

    preset: str = ""
    model: str = ""
    revision: str = ""
    file: str = ""  # of a named fastText repository
    label: str = ""
    top: bool | None = None
    activation: Activation | None = None
    download: bool = False

    def outputs(self) -> Schema:
        """One column per label, or `score`; `label` and `label_score` where `top`."""
        return output_columns(self._labels(), top=self._top())

    def validate(self) -> None:
        """Raises: ConfigError where fields contradict each other or no model is named."""
        known = self._preset()
        if self.label and self.labels:
            raise ConfigError("`label` and `labels` say the same thing", where="label", hint="keep one of them")
        if self.max_length < 0:
            raise ConfigError(f"max_length is {self.max_length}", where="max_length", hint="tokens, or 0")
        for column in self.labels:
            if not column.isidentifier() or column in ("label", "label_score", "state"):
                raise ConfigError(
                    f"a column cannot be called {column!r}", where=f"labels.{column}", hint="a plain name"
                )
        if not (self.model or known.get("name")):
            raise ConfigError("no model is named", where="model", hint="a path, a name with `revision:`, or `preset:`")
        if known.get("remote_code") and not self.model:
            raise ConfigError(
                f"the published {known['name']} runs code from its repository, which winnow never does",
                where="preset", hint="convert it to an architecture of transformers and give its folder as `model:`",
            )  # fmt: skip
        self._check_place()
        if self._kind() == "fasttext" and not (self._labels() or self._top()):
            raise ConfigError("which label's probability?", where="label", hint="`label:`, `labels:` or `top: true`")

    def expand(self, scope: Scope) -> list[Sub]:
        """One scorer: a transformer's or a fastText model's."""
        rows: dict[str, Any] = {"inputs": scope.inputs, "where": scope.where}
        place = self._place()
        if self._kind() == "fasttext":
            fast = FastTextClassifier(
                model_file=(glob.escape(place),),
                base=str(Path(place).parent),
                labels=self._labels(),
                top=self._top(),
                words=self.words,
            )
            return [Sub(name="score", operator=fast, **rows)]
        known = self._preset()
        folder = glob.escape(place.rstrip("/"))
        neural = SequenceClassifier(
            files=(f"{folder}/{WEIGHTS}", f"{folder}/{REST}"),
            base=place,
            labels=self._labels(),
            top=self._top(),
            activation=self.activation or known.get("activation", "auto"),
            max_length=self.max_length or int(known.get("max_length", 0)),
            device=self.device,
        )
        return [Sub(name="score", operator=neural, **rows)]

    def _check_place(self) -> None:
        """Raises: ConfigError unless the model is a path, or a name with a commit."""
        if self.revision and not _COMMIT.match(self.revision):
            hint = "40 hex digits: branches and tags move"
            raise ConfigError(f"revision {self.revision!r} is no commit", where="revision", hint=hint)
        if self.revision and not _NAME.match(self._named()):
            raise ConfigError(f"{self._named()!r} is no name on the Hub", where="revision", hint="a path has none")
        if not self.revision and not (self.model and self._is_path()):
            raise ConfigError(
                f"{self._named()!r} is no folder or file here, and a model of that name needs `revision:`",
                where="model", hint="pin a commit of the Hub, or write a path beside the recipe as ./name",
            )  # fmt: skip

    def _preset(self) -> Mapping[str, Any]:
        return load_preset(self.preset) if self.preset else {}

    def _labels(self) -> dict[str, str]:
        if self.label:
            return {"score": self.label}
        if self.labels or self.top:
            return dict(self.labels)
        return {str(k): str(v) for k, v in self._preset().get("labels", {}).items()}

    def _top(self) -> bool:
        chosen = bool(self.label or self.labels)
        return bool(self._preset().get("top", False)) and not chosen if self.top is None else self.top

    def _named(self) -> str:
        return self.model or str(self._preset().get("name", ""))

    def _kind(self) -> str:
        """`sequence` or `fasttext`."""
        kind = self._preset().get("kind")
        fast = (self.file or self.model).endswith(FASTTEXT)
        return str(kind or ("fasttext" if fast else "sequence"))

    def _is_path(self) -> bool:
        return self.model.endswith(FASTTEXT) or not _NAME.match(self.model) or Path(self.model).exists()

    def _place(self) -> str:
        """Path of the folder or file. Raises: ConfigError where a named model is not in the local cache."""
        if not self.revision:
            return str(Path(self.model).expanduser())
        name, file = self._named(), self.file or str(self._preset().get("file", ""))
        folder = cached(name, self.revision)
        if self.download and not folder.is_dir():
            _fetch(name, self.revision, file)
        if not folder.is_dir():
            command = f"hf download {name} {file}".rstrip() + f" --revision {self.revision}"
            raise ConfigError(
                f"{name} at {self.revision[:12]} is not in the local cache", where="model",
                hint=f"`{command}`, or `download: true`, or give its folder as `model:`",
            )  # fmt: skip
        return str(folder / file) if file else str(folder)


def preset_names() -> list[str]:
    """Names of the presets that ship with winnow, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


@functools.cache
def load_preset(name: str) -> Mapping[str, Any]:
    """What is known of a public model: see the comments in the file.

    Raises: ConfigError if there is none of that name.
    """
    from ruamel.yaml import YAML

    if name not in preset_names():
        raise ConfigError(f"no preset {name!r}", where="preset", hint=did_you_mean(name, preset_names()))
    preset: dict[str, Any] = YAML(typ="safe", pure=True).load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))
    return preset


def cached(name: str, revision: str) -> Path:
    """Folder of a commit of a Hub repository in the local cache (which may not be there)."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    return hub / f"models--{name.replace('/', '--')}" / "snapshots" / revision


def _fetch(name: str, revision: str, file: str) -> None:
    """Bring a pinned commit's data files (no code, no pickles) into the local cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ConfigError(
            "`download` needs huggingface_hub", where="download", hint=how_to_install("huggingface_hub")
        ) from None
    try:
        snapshot_download(name, revision=revision, allow_patterns=[file] if file else list(_DOWNLOADED))
    except Exception as error:  # the library raises its own, the network's and requests' errors
        raise ConfigError(f"cannot download {name}: {str(error).splitlines()[0][:300]}", where="download") from error
