"""What operators share that score documents in token ids, part by part: windows, batches by length, measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, RowError
from winnow.core.operators import Columns, Context, Exactness, Map, Resources, Schema
from winnow.core.terminal import percent
from winnow.trainers.evaluate.nats_columns import without_tokens
from winnow.trainers.evaluate.suites import Tokenised
from winnow.trainers.evaluate.target_windows import BATCH_TOKENS, batches, plan_windows
from winnow.trainers.evaluate.token_nats import RANKED, Ints, Measure, TokenNats, Values, Wanted, measured
from winnow.trainers.model.device import Device, Precision

MOST_PADDING = 0.1  # of the forward passes
FEWEST_PASSES = 100  # below which small ones are worth no remark
SMALL_PASS = BATCH_TOKENS["cpu"] // 16  # tokens of a pass below which its fixed cost weighs
BATCH_ROWS = 512  # documents whose windows are sorted by length together


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How documents are scored; `lm_nats` and what it expands into share these fields."""

    measures: tuple[Measure, ...] = ("nll", "bits_per_byte", "nats_per_token", "scored_tokens")
    context: int = 0  # most predicted tokens of a window; 0: the model's own, of a folder's at most 2048
    stride: int = 0  # tokens between windows: later ones see at least `context - stride` before them; 0: no overlap
    top_k: int = 10  # of `learnable_median` and `top_k_share`
    least_learnable: int = 16  # tokens below which `learnable_median` is null
    precision: Precision = "auto"
    device: Device = field(default="auto", metadata={"identity": False})


def check_measured(fields: Measured) -> None:
    """Check the fields.

    Raises:
        ConfigError: a number is out of its range, a measure is named twice, or a field has no effect.
    """
    if not fields.measures or len(set(fields.measures)) < len(fields.measures):
        raise ConfigError("`measures` names columns, each once", where="measures", hint="for example [nll]")
    for name, least in (("context", 0), ("stride", 0), ("top_k", 1), ("least_learnable", 1)):
        if getattr(fields, name) < least:
            raise ConfigError(f"{name} is {getattr(fields, name)}, and must be at least {least}", where=name)
    if fields.context and fields.stride > fields.context:
        raise ConfigError(f"stride is {fields.stride}, above the context of {fields.context}", where="stride")
    for name, readers in (("top_k", RANKED), ("least_learnable", RANKED[:1])):
        if getattr(fields, name) != getattr(Measured, name) and not set(readers) & set(fields.measures):
            raise ConfigError(f"{name} has no effect without {' or '.join(readers)}", where=name,
                              hint=f"leave it out, or add {readers[0]} to `measures`")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelNats(Measured, Map):
    """Losses of documents that are token ids already. A subclass opens the model."""

    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)
    warm: ClassVar[bool] = True
    batch_rows: ClassVar[int | None] = BATCH_ROWS

    def needs(self) -> tuple[str, ...]:
        """Token ids, and the bytes that they spell."""
        return ("tokens", "text_bytes")

    def outputs(self) -> Schema:
        """The measures; null where a document has no tokens."""
        return {name: pa.int64() if name == "scored_tokens" else pa.float64() for name in self.measures}

    def model(self, ctx: Context) -> TokenNats:
        """The model, opened once per process."""
        raise NotImplementedError

    def open(self, ctx: Context) -> Columns:
        """Batch of ids -> measures.

        Raises:
            ConfigError: the context is longer than the model's, or ids are none of the model's.
        """
        model = self.model(ctx)
        context = self._context(model)
        wanted = Wanted.by(self.measures)

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            target = documents(batch)
            if len(target.ids) and int(target.ids.max()) >= model.vocab:
                raise ConfigError(f"a token has id {int(target.ids.max())}, and the model knows {model.vocab}: the "
                                  "tokenizer is another model's", where="model")  # fmt: skip
            values = score(model, target, context=context, stride=self.stride, wanted=wanted, ctx=ctx)
            found = measured(values, target.offsets, target.num_bytes, self.measures, top_k=self.top_k,
                             least_learnable=self.least_learnable)  # fmt: skip
            frame = pl.DataFrame(found).select(pl.all().fill_nan(None))
            if "scored_tokens" not in found:
                return frame
            told = batch["tokens"].is_not_null()
            return frame.with_columns(pl.when(told).then(pl.col("scored_tokens").cast(pl.Int64)).alias("scored_tokens"))

        return columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents without a loss, and forward passes of few tokens: parts of few documents, none alike in length."""
        read, passes, told = counts.get("read_tokens", 0), counts.get("forward_passes", 0), without_tokens(counts)
        if passes < FEWEST_PASSES or read >= SMALL_PASS * passes:
            return told
        fill = percent((padded := counts.get("padded_tokens", 0)) / (read + padded))
        small = f"{passes:,} forward passes held {round(read / passes):,} tokens each and {fill} fill"
        return (*told, f"{small}: few documents of a part are alike in length; fewer, larger input files are faster")

    def _context(self, model: TokenNats) -> int:
        if self.context > model.longest:
            raise ConfigError(f"context is {self.context}, and the model takes {model.longest} tokens",
                              where="context", hint="lower it, or leave it out")  # fmt: skip
        context = self.context or model.context
        if self.stride > context:
            raise ConfigError(f"stride is {self.stride}, above the model's context of {context}", where="stride")
        return context


def score(
    model: TokenNats, target: Tokenised, *, context: int, stride: int, wanted: Wanted, ctx: Context | None = None
) -> Values:
    """Values of all tokens of the documents, each scored in one window.

    Raises:
        RowError: a loss is no number.
    Cost: one forward pass over the text, in batches of which less than a tenth is padding.
    """
    plan = plan_windows(target, context=context, stride=stride)
    out = Values.empty(len(target.ids), wanted)
    padded = read = passes = 0
    some = batches(target, plan, end=model.first, batch_tokens=model.room, most_padding=MOST_PADDING)
    for inputs, place, counts, _ in some if len(target.ids) else ():
        at: Ints = place[counts]
        out.put(at, model.values(inputs, counts, target.ids[at].astype(np.int64), wanted))
        padded += inputs.size
        read += int(counts.sum())
        passes += 1
    if not np.isfinite(out.nats).all():
        raise RowError("the model's loss is no finite number", hint="its weights may be broken")
    if ctx is not None:
        ctx.count("read_tokens", int((plan.stop - plan.start).sum()))
        ctx.count("padded_tokens", padded - int((plan.stop - plan.start).sum()))
        ctx.count("scored_tokens", read)
        ctx.count("forward_passes", passes)
    return out


def documents(rows: pl.DataFrame) -> Tokenised:
    """Documents in `tokens`, some of them without any, as the requests of a target; `text_bytes` are their bytes."""
    count = len(rows)
    zeros = np.zeros(count, dtype=np.int64)
    lengths = rows["tokens"].list.len().fill_null(0).to_numpy().astype(np.int64)
    return Tokenised(
        kind="documents", names=pl.Series("names", [""], dtype=pl.String).new_from_index(0, count),
        first=np.arange(count + 1), gold=zeros, chance=np.zeros(count),
        ids=rows["tokens"].drop_nulls().list.explode(empty_as_null=False).to_numpy(),
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64), context_tokens=zeros,
        num_bytes=rows["text_bytes"].fill_null(0).to_numpy().astype(np.int64), num_chars=zeros + 1, digest="",
    )  # fmt: skip
