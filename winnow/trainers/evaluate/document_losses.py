"""Losses of documents that are token ids already, part by part."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Columns, Context, Exactness, Map, Resources, Schema, port
from winnow.trainers.evaluate import evaluate
from winnow.trainers.evaluate.evaluate_gpt import opened, untrained
from winnow.trainers.evaluate.suites import Tokenised
from winnow.trainers.evaluate.target_windows import plan_windows
from winnow.trainers.model.device import Device, Precision, resolve_device

Measure = Literal["nats_per_token", "bits_per_byte"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How documents are scored; `document_loss` and `document_losses` share these fields."""

    measure: Measure = "nats_per_token"
    precision: Precision = "auto"
    device: Device = field(default="auto", metadata={"identity": False})


@dataclass(frozen=True, kw_only=True)
class DocumentLosses(Measured, Map):
    """Loss of each document under a trained model, in nats per token or bits per byte; null where it has no tokens.

    References: `run_of`, a trained model. The end of a document is not scored, because it has no bytes.

    Source: own
    """

    name: ClassVar[str] = "document_losses"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)

    run_of: str = port("ref", default="")

    def needs(self) -> tuple[str, ...]:
        """Token ids, and the bytes that they spell."""
        return ("tokens", "text_bytes")

    def outputs(self) -> Schema:
        """One column, with the measure's name."""
        return {self.measure: pa.float32()}

    def open(self, ctx: Context) -> Columns:
        """Batch of ids -> losses.

        Raises:
            DataError: the reference holds no model, or a loss is no number.
        """
        source = ctx.ref("run_of")
        missing = untrained({"model": source})
        if missing:
            raise DataError(f"the model was not trained: {missing['model']}", where="model")
        models, shape = opened({"model": source}, device=resolve_device(self.device))

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            lengths = batch["tokens"].list.len().fill_null(0).to_numpy().astype(np.int64)
            loss = np.full(len(batch), np.nan)
            some = np.flatnonzero(lengths)
            if len(some):
                target = _documents(batch[some], lengths[some])
                plan = plan_windows(target, context=shape.context)
                nats, _, _ = evaluate.request_nats(models, shape, target, plan, precision=self.precision)
                per = lengths[some] if self.measure == "nats_per_token" else target.num_bytes * math.log(2)
                loss[some] = nats / per
            return pl.DataFrame({self.measure: pl.Series(loss, dtype=pl.Float32).fill_nan(None)})

        return columns


def _documents(rows: pl.DataFrame, lengths: np.ndarray) -> Tokenised:
    """Documents of at least one token as the requests of a target."""
    count = len(rows)
    ones = np.zeros(count, dtype=np.int64)
    return Tokenised(
        kind="documents", names=pl.Series("names", [str(i) for i in range(count)]), first=np.arange(count + 1),
        gold=ones, chance=np.zeros(count), ids=rows["tokens"].list.explode(empty_as_null=False).to_numpy(),
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64), context_tokens=ones,
        num_bytes=rows["text_bytes"].to_numpy().astype(np.int64), num_chars=ones + 1, digest="",
    )  # fmt: skip
