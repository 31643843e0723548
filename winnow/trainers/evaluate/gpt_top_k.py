"""The likeliest entries of every target under a model that winnow trained: soft labels that runs read from disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Exactness, Map, Resources, Schema, port
from winnow.core.terminal import percent
from winnow.trainers.data.stored_labels import IDS, PROBABILITIES, TAIL
from winnow.trainers.evaluate.gpt_nats import trained
from winnow.trainers.evaluate.model_nats import MOST_PADDING, documents
from winnow.trainers.evaluate.suites import Tokenised
from winnow.trainers.evaluate.target_windows import BATCH_TOKENS, batches, device_of, hidden_of, plan_windows
from winnow.trainers.model.device import Device, Machine, Precision, computing, product_type
from winnow.trainers.model.head import Workspace

BATCH_ROWS = 128  # documents whose labels are in memory together


@dataclass(frozen=True, kw_only=True)
class Entries:
    """Which labels; `teacher_top_k` and what it expands into share these fields."""

    k: int = 16  # entries per target
    temperature: float = 1.0
    context: int = 0  # most targets of a window; 0: the teacher's own
    stride: int = 0  # targets between windows; 0: no overlap
    precision: Precision = "auto"
    device: Device = field(default="auto", metadata={"identity": False})


def check_entries(fields: Entries) -> None:
    """Raise ConfigError for a number out of its range."""
    for name, least in (("k", 1), ("context", 0), ("stride", 0)):
        if getattr(fields, name) < least:
            raise ConfigError(f"{name} is {getattr(fields, name)}, and must be at least {least}", where=name)
    if not 0 < fields.temperature < float("inf"):
        raise ConfigError(f"temperature is {fields.temperature}, and must be above 0", where="temperature")
    if fields.context and fields.stride > fields.context:
        raise ConfigError(f"stride is {fields.stride}, above the context of {fields.context}", where="stride")


@dataclass(frozen=True, kw_only=True)
class GptTopK(Entries, Map):
    """Soft labels of documents in token ids under a model that winnow trained. References: `run_of`.

    Source: as teacher_top_k
    """

    name: ClassVar[str] = "gpt_top_k"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)
    warm: ClassVar[bool] = True
    batch_rows: ClassVar[int | None] = BATCH_ROWS

    wide: bool = False  # ids of 32 bits
    run_of: str = port("ref", default="")

    def needs(self) -> tuple[str, ...]:
        """Token ids, and the bytes that they spell."""
        return ("tokens", "text_bytes")

    def outputs(self) -> Schema:
        """Three lists; null where a document has no ids."""
        ids = pa.uint32() if self.wide else pa.uint16()
        return {IDS: pa.large_list(ids), PROBABILITIES: pa.large_list(pa.float16()), TAIL: pa.large_list(pa.float16())}

    def open(self, ctx: Context) -> Columns:
        """Batch of ids -> labels.

        Raises:
            ConfigError: `k` is more than the model's ids, or a window longer than its context.
        """
        model = trained(ctx, device=self.device)
        vocab, longest = model.shape.vocab, model.shape.context
        if self.k > vocab:
            raise ConfigError(f"k is {self.k}, and the teacher knows {vocab} ids", where="k", hint="lower it")
        if max(self.context, self.stride) > longest:
            raise ConfigError(f"a window of {max(self.context, self.stride)}, and the teacher takes {longest} tokens",
                              where="context", hint="lower it, or leave it out")  # fmt: skip
        space = Workspace(vocab, dtype=product_type(self.precision, device=device_of(model)), device=device_of(model))

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            known = rows["tokens"].is_not_null().to_numpy()
            target = with_ends(documents(rows), known, vocab - 1)
            if len(target.ids) and int(target.ids.max()) >= vocab:
                raise ConfigError(f"a token has id {int(target.ids.max())}, and the teacher knows {vocab}",
                                  where="model", hint="the tokenizer is another model's")  # fmt: skip
            return self._lists(self._labels(model, space, target, ctx), target.offsets, known)

        return columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """That the tail weighs more than what is kept."""
        targets = counts.get("label_targets", 0)
        tail = counts.get("label_tail_thousandths", 0) / 1000 / targets if targets else 0.0
        if tail <= 0.5:
            return ()
        told = f"the {self.k} likeliest entries hold {percent(1 - tail, 0)} of the teacher's mass, the rest is a tail"
        return (f"{told}; raise `k`, or lower `temperature`",)

    def _labels(self, model: Any, space: Workspace, target: Tokenised, ctx: Context) -> tuple[Any, Any, Any]:
        """(ids u32[N, K], probabilities f16[N, K], tail f16[N]) of all targets."""
        count, context = len(target.ids), self.context or model.shape.context
        ids = np.zeros((count, self.k), dtype=np.uint32)
        kept, tail = np.zeros((count, self.k), dtype=np.float16), np.zeros(count, dtype=np.float16)
        plan = plan_windows(target, context=context, stride=self.stride)
        room = BATCH_TOKENS[device_of(model)]
        some = batches(target, plan, end=model.shape.vocab - 1, batch_tokens=room, most_padding=MOST_PADDING)
        for inputs, place, counts, _ in some if count else ():
            at = place[counts]
            ids[at], kept[at], tail[at] = self._of(model, space, inputs, counts)
        ctx.count("label_targets", count)
        ctx.count("label_tail_thousandths", round(1000 * float(tail.sum(dtype=np.float64))))
        return ids, kept, tail

    def _of(
        self, model: Any, space: Workspace, inputs: npt.NDArray[np.int64], counts: npt.NDArray[np.bool_]
    ) -> tuple[Any, Any, Any]:
        import torch

        with computing(Machine(device=device_of(model))), torch.no_grad():
            hidden_BLD = hidden_of(model, inputs, precision=self.precision)
            x_ND = hidden_BLD[torch.from_numpy(counts).to(hidden_BLD.device)].to(space.dtype)
            head, ids, kept, tail = model.head.weight.to(space.dtype), [], [], []
            for chunk in space.chunks(len(x_ND)):
                shares = space.softmax(x_ND[chunk], head, temperature=self.temperature)
                if not bool(torch.isfinite(shares).all()):
                    raise ConfigError("the teacher's logits are no finite numbers", where="model",
                                      hint="train it again, or name another model")  # fmt: skip
                most, at = shares.topk(self.k, dim=1)
                ids.append(at.to(torch.int32))
                kept.append(most.half())
                tail.append(shares.scatter_(1, at, 0.0).sum(dim=1).half())  # added up: 1 - kept would be noise
            return tuple(torch.cat(part).cpu().numpy() for part in (ids, kept, tail))  # type: ignore[return-value]

    def _lists(
        self, labels: tuple[Any, Any, Any], offsets: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]
    ) -> pl.DataFrame:
        ids, kept, tail = labels
        mask = None if known.all() else pa.array(~known)
        own = {IDS: ids.astype(np.uint32 if self.wide else np.uint16), PROBABILITIES: kept, TAIL: tail}
        out = {}
        for name, values in own.items():
            each = 1 if name == TAIL else self.k
            out[name] = pl.from_arrow(
                pa.LargeListArray.from_arrays(pa.array(offsets * each), pa.array(values.ravel()), mask=mask)
            )
        return pl.DataFrame(out)


def with_ends(target: Tokenised, known: npt.NDArray[np.bool_], end: int) -> Tokenised:
    """The documents with the end mark as their last target; those without ids stay without."""
    ids = np.insert(target.ids, target.offsets[1:][known], end)
    return replace(target, ids=ids, offsets=target.offsets + np.concatenate(([0], np.cumsum(known))))
