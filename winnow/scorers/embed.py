"""The `embed` operator: a direction per text, from a table trained on the corpus or from somebody's encoder."""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, RowError
from winnow.core.numerics import knn
from winnow.core.operators import Columns, Composite, Context, Exactness, Map, Resources, Schema, Scope, Sub, port
from winnow.scorers.static_embedding import StaticFit, StaticVectors, cells
from winnow.scorers.transformer import (
    CHARS_PER_TOKEN,
    GROUP_TOKENS,
    PLAIN,
    length_groups,
    linked,
    padded,
    quiet,
    token_limit,
)

Pooling = Literal["mean", "first", "last"]
Device = Literal["auto", "cpu", "cuda"]
FILES = ("*.safetensors", "*.[jstm][!d]*")
POOLING = "1_Pooling/config.json"  # of a sentence-transformers folder


@dataclass(frozen=True, kw_only=True)
class Embed(Composite):
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
    role: ClassVar[str] = "signal"
    seeded: ClassVar[bool] = True

    model: str = ""
    table: str = port("ref", default="")  # a table fitted elsewhere
    dim: int = 128  # of the static table; a model has its own
    num_buckets: int = 32_768
    sample_documents: int = 20_000
    pooling: Literal["auto", "mean", "first", "last"] = "auto"
    max_length: int = 0  # tokens; 0: 512, or what the model takes
    device: Device = "auto"

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
                max_length=self.max_length,
                device=self.device,
            )
            return [Sub(name="vectors", operator=encoder, **rows)]
        if self.table:
            vectors = StaticVectors(table=self.table, dim=self.dim)
            return [Sub(name="vectors", operator=vectors, refs={"table": self.table}, **rows)]
        sizes = {"dim": self.dim, "num_buckets": self.num_buckets, "sample_documents": self.sample_documents}
        vectors = StaticVectors(table=".fit", dim=self.dim)
        return [
            Sub(name="fit", operator=StaticFit(**sizes), **rows),
            Sub(name="vectors", operator=vectors, refs={"table": ".fit"}, **rows),
        ]


@dataclass(frozen=True, kw_only=True)
class EncoderVectors(Map):
    """Pooled last hidden states of a transformer at unit length, on the grid of `core.knn`: `vector`.

    `mean` averages over a text's tokens, `first` takes the first (BERT's [CLS]), `last` the last. Null for a null
    text and for one without a token. What a row gets differs with its neighbours in the last bits alone.

    Source: own; mean pooling as in Reimers and Gurevych 2019 (Sentence-BERT).
    """

    name: ClassVar[str] = "encoder_vectors"
    role: ClassVar[str] = "signal"
    uses: ClassVar[tuple[str, ...]] = ("transformers", "tokenizers")
    exactness: ClassVar[Exactness] = Exactness(atol=2.0)  # units of the grid
    resources: ClassVar[Resources] = Resources(memory_gb=4)
    warm: ClassVar[bool] = True
    batch_rows: ClassVar[int | None] = 256

    files: tuple[str, ...] = port("files")
    dim: int
    pooling: Pooling = "mean"
    max_length: int = 0
    device: Device = field(default="auto", metadata={"identity": False})

    def __post_init__(self) -> None:
        """Where a GPU is asked for, tasks wait for one."""
        if self.device == "cuda":
            object.__setattr__(self, "resources", Resources(gpus=1, memory_gb=4))

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`vector`, 2 * dim bytes."""
        return {"vector": pa.binary(2 * self.dim)}

    def open(self, ctx: Context) -> Columns:
        """Batch -> vectors; the model is loaded once.

        Raises: ConfigError where the files are no encoder of `dim` dimensions.
        """
        model = _Encoder(self, [Path(path) for path in ctx.refs.get("files", self.files)], ctx.work)

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            text = batch["text"]
            grid = np.zeros((batch.height, self.dim), dtype=np.int16)
            some = text.is_not_null().to_numpy().copy()
            found = model.vectors(text.drop_nulls().str.head(CHARS_PER_TOKEN * model.max_length).to_list())
            grid[some] = np.rint(np.nan_to_num(found) * knn.UNIT).astype(np.int16)
            some[some] = ~np.isnan(found[:, 0])
            return pl.DataFrame({"vector": pl.from_arrow(cells(grid, some).cast(pa.large_binary()))})

        return columns


class _Encoder:
    """A loaded encoder: texts -> unit vectors f64[texts, dim]."""

    def __init__(self, operator: EncoderVectors, files: Sequence[Path], work: Path) -> None:
        import torch

        self._torch, self._pooling = torch, operator.pooling
        self._device = operator.device if operator.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        with linked(files, work) as folder, quiet():
            config, self._tokenizer, model = _load(folder)
        if config.hidden_size != operator.dim:
            raise ConfigError(f"the model has {config.hidden_size} dimensions, not {operator.dim}", where="model")
        self._model = model.to(self._device).eval()
        self.max_length = token_limit(operator.max_length, config, self._tokenizer)
        self._pad = self._tokenizer.pad_token_id
        self.dim = int(config.hidden_size)

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Unit vectors; NaN for a text without a token.

        Raises: RowError where the model answers with something that is no number.
        """
        out = np.full((len(texts), self.dim), np.nan)
        if not texts:
            return out
        encoded = self._tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        room = 0 if self._pad is None else GROUP_TOKENS[self._device]
        for rows in length_groups(order[lengths[order] > 0], lengths, room):
            width = int(lengths[rows].max())
            ids = self._torch.from_numpy(padded([encoded[r] for r in rows], width, self._pad or 0))
            mask = self._torch.from_numpy((np.arange(width)[None, :] < lengths[rows][:, None]).astype(np.int64))
            with self._torch.inference_mode():
                hidden = self._model(input_ids=ids.to(self._device), attention_mask=mask.to(self._device))[0].double()
            out[rows] = self._pooled(hidden.cpu().numpy(), mask.numpy())
            if not np.isfinite(out[rows]).all():
                raise RowError("the model's answer is no finite number", hint="its weights may be broken")
        return out

    def _pooled(self, hidden: npt.NDArray[np.float64], mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        if self._pooling == "first":
            found = hidden[:, 0]
        elif self._pooling == "last":
            found = hidden[np.arange(len(hidden)), mask.sum(axis=1) - 1]
        else:
            found = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def _load(folder: Path) -> tuple[Any, Any, Any]:
    """(config, tokenizer, model) of a folder. Raises: ConfigError where they are not complete and plain."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder, **PLAIN)
        tokenizer = AutoTokenizer.from_pretrained(folder, **PLAIN)
        model, told = AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **PLAIN
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"transformers cannot load the model: {str(error).splitlines()[0][:300] if str(error) else error!r}",
            where="model", hint="it must be an encoder checkpoint that needs no code of its own",
        ) from error  # fmt: skip
    missing = sorted(key for key in told["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ConfigError(f"the checkpoint lacks {len(missing)} weights, such as {missing[0]!r}", where="model")
    return config, tokenizer, model


def _hidden_size(model: str) -> int:
    """Dimensions of the model in a folder. Raises: ConfigError where it holds no configuration."""
    found = _json(Path(model).expanduser() / "config.json")
    size = found.get("hidden_size", found.get("n_embd", found.get("d_model")))
    if not isinstance(size, int):
        raise ConfigError(
            f"{model!r} holds no config.json with a hidden size",
            where="model", hint="give the folder of a transformer encoder (save_pretrained), or leave `model` out",
        )  # fmt: skip
    return size


def _pooling(model: str) -> Pooling:
    """What a sentence-transformers folder says; `mean` elsewhere."""
    told = _json(Path(model).expanduser() / POOLING)
    if told.get("pooling_mode_cls_token"):
        return "first"
    return "last" if told.get("pooling_mode_lasttoken") else "mean"


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
