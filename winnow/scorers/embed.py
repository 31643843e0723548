"""The `embed` operator: a direction per text, from a table trained on the corpus or from somebody's encoder."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Schema, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.scorers.encoder_vectors import EncoderVectors, Pooling
from winnow.scorers.static_fit import StaticFit, TableSizes, VectorSize
from winnow.scorers.static_vectors import StaticVectors
from winnow.scorers.transformer import ModelRun

FILES = ("*.safetensors", "*.[jstm][!d]*")
POOLING = "1_Pooling/config.json"  # of a sentence-transformers folder


@dataclass(frozen=True, kw_only=True)
class Embed(ModelRun, TableSizes, Composite):
    """Direction of each text: `vector`, `dim` int16 of length 2048 (2 bytes per number, exact products).

    Without `model`, a static embedding is trained on the population: hashed words and word pairs of a document
    sample, a truncated SVD, and for each text the sum of its n-grams' table rows (`fit`, then `vectors`; more
    documents do not refit). With `model`, a folder with a transformer encoder (sentence-transformers or plain):
    its last hidden states, pooled as the folder says or by `pooling`; safetensors only, no code of theirs.

    Vectors can be compared only under one table: a target in another row space takes the pool's with
    `table: STAGE.fit`, where STAGE is the pool's `embed` stage.

    `vector` is what `knn_graph`, `clusters` and the target-aware selectors take.

    Source: latent semantic analysis (Deerwester et al. 1990) with SIF weights (Arora et al. 2017); own.
    """

    name: ClassVar[str] = "embed"
    meaning: ClassVar[Mapping[str, Meaning]] = {"model": "files"}
    role: ClassVar[str] = "signal"
    seeded: ClassVar[bool] = True

    model: str = ""
    table: str = port("ref", default="")  # a table fitted elsewhere
    pooling: Literal["auto", "mean", "first", "last"] = "auto"

    def after_decisions(self) -> bool:
        """True where a table is fitted on the rows."""
        return not (self.model or self.table)

    def outputs(self) -> Schema:
        """`vector`, 2 * dim bytes."""
        return {"vector": pa.binary(2 * (_hidden_size(self.model) if self.model else self.dim))}

    def validate(self) -> None:
        """Raises: ConfigError for sizes that make no table, or a folder that holds no model."""
        if not 8 <= self.dim <= 1024:
            raise ConfigError(f"dim is {self.dim}, not in [8, 1024]", where="dim")
        if not 256 <= self.num_buckets <= 1 << 20:
            raise ConfigError(f"num_buckets is {self.num_buckets}, not in [256, 1048576]", where="num_buckets")
        if self.sample_documents < 1:
            raise ConfigError("a table needs at least one document", where="sample_documents")
        if self.max_length < 0:
            raise ConfigError(f"max_length is {self.max_length}", where="max_length", hint="tokens, or 0")
        if self.model and self.table:
            raise ConfigError("`model` and `table` say two different things", where="table", hint="keep one of them")
        if self.model:
            _hidden_size(self.model)

    def expand(self, scope: Scope) -> list[Sub]:
        """`fit` and `vectors`, or one encoder."""
        rows: dict[str, Any] = {"inputs": scope.inputs, "where": scope.where}
        if self.model:
            folder = glob.escape(str(Path(self.model).expanduser()).rstrip("/"))
            encoder = EncoderVectors(
                files=tuple(f"{folder}/{pattern}" for pattern in FILES),
                dim=_hidden_size(self.model),
                pooling=_pooling(self.model) if self.pooling == "auto" else self.pooling,
                **part_of(self, ModelRun),
            )
            return [Sub(name="vectors", operator=encoder, **rows)]
        if self.table:
            vectors = StaticVectors(table=self.table, **part_of(self, VectorSize))
            return [Sub(name="vectors", operator=vectors, refs={"table": self.table}, **rows)]
        vectors = StaticVectors(table=".fit", **part_of(self, VectorSize))
        return [
            Sub(name="fit", operator=StaticFit(**part_of(self, TableSizes)), **rows),
            Sub(name="vectors", operator=vectors, refs={"table": ".fit"}, **rows),
        ]


def _hidden_size(model: str) -> int:
    """Dimensions of the model in a folder. Raises: ConfigError where it holds no configuration."""
    config = _json(Path(model).expanduser() / "config.json")
    size = config.get("hidden_size", config.get("n_embd", config.get("d_model")))
    if not isinstance(size, int):
        raise ConfigError(
            f"{model!r} holds no config.json with a hidden size",
            where="model", hint="give the folder of a transformer encoder (save_pretrained), or leave `model` out",
        )  # fmt: skip
    return size


def _pooling(model: str) -> Pooling:
    """What a sentence-transformers folder says; `mean` elsewhere."""
    config = _json(Path(model).expanduser() / POOLING)
    if config.get("pooling_mode_cls_token"):
        return "first"
    return "last" if config.get("pooling_mode_lasttoken") else "mean"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
