"""Transformer classifiers and regressors from a folder on disk: safetensors weights, no code of theirs, no network.

Rows of a batch are taken in order of their length and padded in groups of a fixed number of tokens. What a row gets
differs with its neighbours in the last bits alone, hence `bounded`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, RowError, did_you_mean
from winnow.core.operators import Columns, Context, Exactness, Map, Resources, Schema, port
from winnow.core.operators.model_folder import PLAIN, linked, quiet
from winnow.scorers.fasttext_labels import placed
from winnow.scorers.label_columns import Labelled, output_columns
from winnow.scorers.transformer import (
    CHARS_PER_TOKEN,
    GROUP_TOKENS,
    ModelRun,
    length_groups,
    padded,
    token_limit,
)

Activation = Literal["auto", "softmax", "sigmoid", "none"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SequenceClassifier(ModelRun, Labelled, Map):
    """A transformer's verdict on the first `max_length` tokens: probability per label, or a regression's value.

    `labels` maps output columns to the model's labels (names or numbers); without it the model must have a single
    output, which becomes `score`. `top` adds the likeliest `label` and its `label_score` (near ties may fall either
    way on another machine; the stored column is what later stages read). Null for a null text and for one without
    a token.

    Source: own; the model's own card says what its scores mean.
    """

    name: ClassVar[str] = "sequence_classifier"
    role: ClassVar[str] = "scorer"
    uses: ClassVar[tuple[str, ...]] = ("transformers", "tokenizers")
    exactness: ClassVar[Exactness] = Exactness(atol=1e-3)
    resources: ClassVar[Resources] = Resources(memory_gb=4)
    warm: ClassVar[bool] = True
    batch_rows: ClassVar[int | None] = 256

    files: tuple[str, ...] = port("files")
    base: str = field(default="", metadata={"identity": False})  # their folder
    top: bool = False
    activation: Activation = "auto"

    def __post_init__(self) -> None:
        """Where a GPU is asked for, tasks wait for one."""
        if self.device == "cuda":
            object.__setattr__(self, "resources", Resources(gpus=1, memory_gb=4))

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """The columns of `labels` (or `score`), then `label` and `label_score` where `top`."""
        return output_columns(self.labels, top=self.top)

    def open(self, ctx: Context) -> Columns:
        """Batch -> scores; the model is loaded once.

        Raises: ConfigError where the files are no such model or its labels are others.
        """
        model = _Model(self, [Path(path) for path in ctx.refs.get("files", self.files)], ctx.work)
        names = list(self.labels) or ([] if self.top else ["score"])

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            text = batch["text"]
            scores = model.scores(text.drop_nulls().str.head(CHARS_PER_TOKEN * model.max_length).to_list())
            some = pl.Series(~np.isnan(scores[:, 0]))
            found: dict[str, Any] = {n: scores[:, at] for n, at in zip(names, model.chosen, strict=True)}
            if self.top:
                best = np.nan_to_num(scores).argmax(axis=1)
                found |= {"label": pl.Series(model.labels, dtype=pl.String).gather(best)}
                found |= {"label_score": scores[np.arange(len(best)), best]}
            return placed(text, pl.DataFrame(found).select(pl.when(some).then(pl.all())))

        return columns


class _Model:
    """A loaded model: texts -> f64[texts, outputs]."""

    def __init__(self, operator: SequenceClassifier, files: Sequence[Path], work: Path) -> None:
        import torch

        self._torch = torch
        self._device = operator.device if operator.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        with linked(files, work) as folder, quiet():
            config, self._tokenizer, self._model = _load(folder)
        self._model = self._model.to(self._device).eval()
        self.max_length = token_limit(operator.max_length, config, self._tokenizer)
        self.labels = [str(config.id2label.get(i, i)) for i in range(config.num_labels)]
        self.chosen = _chosen(operator, self.labels)
        self._activate = _activation(operator.activation, config)
        pad = self._tokenizer.pad_token_id
        self._alone = pad is None or config.pad_token_id is None  # such a model cannot tell padding from text
        self._pads = {"input_ids": pad or 0}

    def scores(self, texts: Sequence[str]) -> Floats:
        """Scores of each text, f64[texts, outputs]; NaN for a text without a token.

        Raises: RowError where the model answers with something that is no number.
        """
        out = np.full((len(texts), len(self.labels)), np.nan)
        if not texts:
            return out
        encoded = self._tokenizer(list(texts), truncation=True, max_length=self.max_length)
        lengths = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        for rows in length_groups(order, lengths, 0 if self._alone else GROUP_TOKENS[self._device]):
            width = int(lengths[rows].max())
            inputs = {name: self._padded(name, [encoded[name][r] for r in rows], width) for name in encoded}
            with self._torch.inference_mode():
                logits = self._model(**inputs).logits.float().reshape(len(rows), -1)
            out[rows] = self._activate(logits).cpu().numpy()
            if not np.isfinite(out[rows]).all():
                raise RowError("the model's answer is no finite number", hint="its weights may be broken")
        return out

    def _padded(self, name: str, rows: Sequence[Sequence[int]], width: int) -> Any:
        return self._torch.from_numpy(padded(rows, width, self._pads.get(name, 0))).to(self._device)


def _load(folder: Path) -> tuple[Any, Any, Any]:
    """(config, tokenizer, model) of a folder. Raises: ConfigError where they are not complete and plain."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder, **PLAIN)
        tokenizer = AutoTokenizer.from_pretrained(folder, **PLAIN)
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **PLAIN
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"transformers cannot load the model: {str(error).splitlines()[0][:300] if str(error) else error!r}",
            where="model", hint="it must be a sequence classification checkpoint that needs no code of its own",
        ) from error  # fmt: skip
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ConfigError(
            f"the checkpoint lacks {len(missing)} weights, such as {missing[0]!r}",
            where="model", hint="a base model without a trained classification head would score at random",
        )  # fmt: skip
    return config, tokenizer, model


def _chosen(operator: SequenceClassifier, labels: Sequence[str]) -> list[int]:
    """The model's outputs that the columns hold. Raises: ConfigError for labels it does not have."""
    if not operator.labels:
        if operator.top:
            return []
        if len(labels) > 1:
            raise ConfigError(
                f"the model has {len(labels)} labels", where="labels",
                hint=f"name one in `label:`, some in `labels:`, or say `top: true`; it has {', '.join(labels[:30])}",
            )  # fmt: skip
        return [0]
    places = []
    for label in operator.labels.values():
        if label in labels:
            places.append(list(labels).index(label))
        elif label.isdecimal() and int(label) < len(labels):
            places.append(int(label))
        else:
            raise ConfigError(f"the model has no label {label!r}", where="labels", hint=did_you_mean(label, labels))
    return places


def _activation(asked: Activation, config: Any) -> Callable[[Any], Any]:
    """Logits -> scores."""
    kind = asked
    if kind == "auto":
        problem = getattr(config, "problem_type", None)
        one = problem == "regression" or (problem is None and config.num_labels == 1)
        kind = "none" if one else "sigmoid" if problem == "multi_label_classification" else "softmax"
    if kind == "softmax" and config.num_labels == 1:
        raise ConfigError("softmax over one output is always 1", where="activation", hint="use sigmoid or none")
    if kind == "softmax":
        return lambda logits: logits.softmax(dim=-1)
    return (lambda logits: logits.sigmoid()) if kind == "sigmoid" else (lambda logits: logits)
