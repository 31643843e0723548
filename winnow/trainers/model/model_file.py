"""A trained model that was given as files: what a run continues from, where no stage of the recipe trained it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context, Job, Kind, Resources, Scope, Sub, port
from winnow.core.operators.contract import Meaning
from winnow.trainers.data.encoder import FILE, Encoder
from winnow.trainers.model.held import Held
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import shape_of
from winnow.trainers.model.start import WEIGHTS, check_shape, read_weights, weights_digest

SUFFIXES = (".safetensors", ".npz")
OPTIMIZER = "optimizer.safetensors"  # of a checkpoint's folder: not read


@dataclass(frozen=True, kw_only=True)
class ModelFile(Job):
    """A trained model from files: weights (.safetensors or .npz), tokenizer.json, and its shape.

    `files` name a checkpoint's folder (`ckpt/*`) or the files one by one. The shape is that of a `state.json` or
    `model.json` among them, else `size`, else what the weights say with `heads` and `context`. Name the stage as the
    `start` of a `train` or an `ablation`: its tokenizer is the one that they use.

    Source: own
    """

    name: ClassVar[str] = "model_file"
    meaning: ClassVar[Mapping[str, Meaning]] = {"size": "closed"}
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    uses: ClassVar[tuple[str, ...]] = ("safetensors", "tokenizers", "torch")
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)

    files: tuple[str, ...] = port("files")
    size: str = ""  # a model size by name
    heads: int = 0
    context: int = 0
    tokens: int = 0  # that it has read, for the comparison's lines; 0: nobody knows

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: the shape is said twice or by half, or a number is negative.
        """
        if self.size:
            shape_of(self.size)
        if self.size and (self.heads or self.context):
            raise ConfigError("size and heads or context both say the shape", where="size", hint="give one of them")
        for name in ("heads", "context", "tokens"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must not be negative", where=name)

    def held(self, stage: Sub, scope: Scope) -> Held:
        """The stage itself holds weights and tokenizer."""
        return Held(model=stage.name, tokenizer=stage.name)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write weights.npz and tokenizer.json; metrics: `shape`, `parameters`, `tokens`, `digest` of the weights.

        Raises:
            ConfigError: files are missing or there are several of a kind. DataError: they do not fit each other.
        """
        paths = [Path(path) for path in ctx.refs.get("files", self.files)]
        weights = read_weights(_one(paths, SUFFIXES, "weights"))
        shape = self._shape(paths, weights)
        tokenizer = _one(paths, (FILE,), "tokenizer")
        ids = Encoder(tokenizer).vocab
        if ids >= shape.vocab:
            raise DataError(f"the tokenizer has {ids} ids and the model {shape.vocab} with its end mark", where="files",
                            hint="name the tokenizer that the model was trained with")  # fmt: skip
        shutil.copyfile(tokenizer, ctx.work / FILE)
        np.savez(ctx.work / WEIGHTS, allow_pickle=False, **{name: weights[name] for name in sorted(weights)})  # type: ignore[arg-type]
        left = [p.name for p in paths if p.name == OPTIMIZER]
        digest = weights_digest(weights)
        more = "; its optimiser is not taken over" if left else ""
        ctx.note("summary", f"{shape.parameters()[0]:,} parameters, weights {digest[:8]}{more}")
        return {"shape": asdict(shape), "parameters": shape.parameters()[0], "tokens": self.tokens or None,
                "digest": digest}  # fmt: skip

    def _shape(self, paths: list[Path], weights: Mapping[str, np.ndarray]) -> Shape:
        said = _said(paths)
        named = shape_of(self.size) if self.size else None
        if said is not None and named is not None:
            check_shape(said, named)
        shape = said or named or self._inferred(weights)
        shape.check()
        wanted = (shape.vocab, shape.width, shape.layers)
        found = _of_weights(weights)
        if wanted != found:
            raise DataError(f"the weights have (vocab, width, layers) {found}, the shape says {wanted}", where="files",
                            hint="name the files of one model")  # fmt: skip
        return shape

    def _inferred(self, weights: Mapping[str, np.ndarray]) -> Shape:
        if not (self.heads and self.context):
            raise ConfigError("nothing says the model's heads and context", where="heads",
                              hint="add state.json or model.json to `files`, or `size`, or both numbers")  # fmt: skip
        vocab, width, layers = _of_weights(weights)
        return Shape(vocab=vocab, width=width, layers=layers, heads=self.heads, context=self.context)


def _of_weights(weights: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
    """(vocab, width, layers)."""
    if "embedding.weight" not in weights:
        raise DataError(f"the weights are of another kind of model: {', '.join(sorted(weights)[:4])}, ...",
                        where="files", hint="weights that winnow trained")  # fmt: skip
    vocab, width = weights["embedding.weight"].shape
    layers = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
    return int(vocab), int(width), len(layers)


def _said(paths: list[Path]) -> Shape | None:
    """The shape in a JSON file beside the weights."""
    for path in paths:
        if path.suffix == ".json" and path.name != FILE:
            found = orjson.loads(path.read_bytes())
            if isinstance(found, dict) and isinstance(found.get("shape"), dict):
                return Shape(**found["shape"])
    return None


def _one(paths: list[Path], suffixes: tuple[str, ...], what: str) -> Path:
    found = [p for p in paths if p.name.endswith(suffixes) and p.name != OPTIMIZER]
    if len(found) != 1:
        named = ", ".join(p.name for p in found) or "none"
        raise ConfigError(f"the files hold {len(found)} files of {what}: {named}", where="files",
                          hint=f"name one that ends in {' or '.join(suffixes)}")  # fmt: skip
    return found[0]
