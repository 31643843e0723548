"""Texts as directions by somebody's encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, RowError
from winnow.core.numerics import knn
from winnow.core.operators import Columns, Context, Exactness, Map, Resources, Schema, port
from winnow.core.operators.model_folder import PLAIN, linked, quiet
from winnow.scorers.static_vectors import cells
from winnow.scorers.transformer import (
    CHARS_PER_TOKEN,
    GROUP_TOKENS,
    ModelRun,
    length_groups,
    padded,
    token_limit,
)

Pooling = Literal["mean", "first", "last"]


@dataclass(frozen=True, kw_only=True)
class EncoderVectors(ModelRun, Map):
    """Pooled last hidden states of a transformer at unit length, on the grid of `core.numerics.knn`: `vector`.

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
            vectors = model.vectors(text.drop_nulls().str.head(CHARS_PER_TOKEN * model.max_length).to_list())
            grid[some] = np.rint(np.nan_to_num(vectors) * knn.UNIT).astype(np.int16)
            some[some] = ~np.isnan(vectors[:, 0])
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
            pooled = hidden[:, 0]
        elif self._pooling == "last":
            pooled = hidden[np.arange(len(hidden)), mask.sum(axis=1) - 1]
        else:
            pooled = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return np.asarray(pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12))


def _load(folder: Path) -> tuple[Any, Any, Any]:
    """(config, tokenizer, model) of a folder. Raises: ConfigError where they are not complete and plain."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder, **PLAIN)
        tokenizer = AutoTokenizer.from_pretrained(folder, **PLAIN)
        model, loading = AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **PLAIN
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"transformers cannot load the model: {str(error).splitlines()[0][:300] if str(error) else error!r}",
            where="model", hint="it must be an encoder checkpoint that needs no code of its own",
        ) from error  # fmt: skip
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ConfigError(f"the checkpoint lacks {len(missing)} weights, such as {missing[0]!r}", where="model")
    return config, tokenizer, model
