"""The loss of every target under a model that winnow trained: what runs read from disk instead of asking the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Exactness, Map, Resources, Schema, port
from winnow.trainers.data.stored_losses import CONTEXT, NATS
from winnow.trainers.evaluate.gpt_nats import Gpt, trained
from winnow.trainers.evaluate.gpt_top_k import with_ends
from winnow.trainers.evaluate.model_nats import BATCH_ROWS, documents, score
from winnow.trainers.evaluate.nats_columns import without_tokens
from winnow.trainers.evaluate.token_nats import Wanted
from winnow.trainers.model.device import Device, Precision


@dataclass(frozen=True, kw_only=True)
class Read:
    """How documents are read; `token_losses` and what it expands into share these fields."""

    context: int = 0  # targets of a window; 0: the model's own
    precision: Precision = "auto"
    device: Device = field(default="auto", metadata={"identity": False})


def check_read(fields: Read) -> None:
    """Raise ConfigError for a context below 0."""
    if fields.context < 0:
        raise ConfigError(f"context is {fields.context}, and must be at least 0", where="context")


@dataclass(frozen=True, kw_only=True)
class GptTokenLosses(Read, Map):
    """Losses of the targets of documents in token ids under a model that winnow trained. References: `run_of`.

    Source: as token_losses
    """

    name: ClassVar[str] = "gpt_token_losses"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)
    warm: ClassVar[bool] = True
    batch_rows: ClassVar[int | None] = BATCH_ROWS

    run_of: str = port("ref", default="")

    def needs(self) -> tuple[str, ...]:
        """Token ids, and the bytes that they spell."""
        return ("tokens", "text_bytes")

    def outputs(self) -> Schema:
        """A list, and the length of the windows; null where a document has no ids."""
        return {NATS: pa.large_list(pa.float32()), CONTEXT: pa.int32()}

    def open(self, ctx: Context) -> Columns:
        """Batch of ids -> losses.

        Raises:
            ConfigError: a window is longer than the model's context, or ids are none of the model's.
        """
        model = Gpt(trained(ctx, device=self.device), precision=self.precision)
        if self.context > model.longest:
            raise ConfigError(f"context is {self.context}, and the model takes {model.longest} tokens",
                              where="context", hint="lower it, or leave it out")  # fmt: skip
        context = self.context or model.context

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            known = rows["tokens"].is_not_null().to_numpy()
            target = with_ends(documents(rows), known, model.vocab - 1)
            if len(target.ids) and int(target.ids.max()) >= model.vocab:
                raise ConfigError(f"a token has id {int(target.ids.max())}, and the model knows {model.vocab}: the "
                                  "tokenizer is another model's", where="model")  # fmt: skip
            found = score(model, target, context=context, stride=0, wanted=Wanted(), ctx=ctx)
            mask = None if known.all() else pa.array(~known)
            lists = pa.LargeListArray.from_arrays(
                pa.array(target.offsets), pa.array(found.nats.astype(np.float32)), mask=mask)  # fmt: skip
            windows = pl.Series(CONTEXT, np.full(len(rows), context, dtype=np.int32)).set(pl.Series(~known), None)
            return pl.DataFrame({NATS: pl.from_arrow(lists), CONTEXT: windows})

        return columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents without a loss."""
        return without_tokens(counts)
