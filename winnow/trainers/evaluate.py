"""Bits per byte of held-out documents: nats over ln 2 over UTF-8 bytes, independent of the tokenizer.

A document's tokens are cut into windows of the context without overlap; its first token is predicted from the
end mark; the end mark after it is not scored, because it has no bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import DataError
from winnow.trainers.head import Workspace, token_nats
from winnow.trainers.loop import Precision, autocast, one_thread, product_type
from winnow.trainers.model import Shape
from winnow.trainers.tokens import Encoder

WINDOWS_PER_BATCH = 32
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Held:
    """Tokenised held-out documents of one target, in ascending doc_id."""

    doc_id: pl.Series
    ids: npt.NDArray[np.uint16]
    offsets: npt.NDArray[np.int64]
    num_bytes: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Inputs and targets i64[N, T], and the document of each row; targets are -1 where nothing is scored."""

    inputs: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    document: npt.NDArray[np.int64]


def held_of(rows: pl.DataFrame, encode: Encoder, *, target: str) -> Held:
    """Columns doc_id, text -> tokens; documents without text are left out.

    Raises:
        DataError: no document has text.
    """
    rows = rows.filter(pl.col("text").str.len_bytes() > 0).sort("doc_id")
    if rows.is_empty():
        raise DataError("no held-out document has text", where=f"eval target {target!r}")
    ids, offsets = encode(rows["text"])
    num_bytes = rows["text"].str.len_bytes().cast(pl.Int64).to_numpy()
    return Held(doc_id=rows["doc_id"], ids=ids, offsets=offsets, num_bytes=num_bytes)


def windows_of(held: Held, *, context: int, end: int) -> Windows:
    """Windows of `context` tokens of every document, without overlap, the last one filled up."""
    lengths = np.diff(held.offsets)
    per_doc = -(-lengths // context)
    document = np.repeat(np.arange(len(lengths)), per_doc)
    first = np.cumsum(per_doc) - per_doc
    start = (np.arange(len(document)) - first[document]) * context
    position = start[:, None] + np.arange(context)[None, :]
    scored = position < lengths[document][:, None]
    source = np.minimum(held.offsets[document][:, None] + position, len(held.ids) - 1)
    targets = np.where(scored, held.ids[source].astype(np.int64), -1)
    before = np.where(position == 0, end, held.ids[np.maximum(source - 1, 0)].astype(np.int64))
    return Windows(inputs=np.where(scored, before, end), targets=targets, document=document)


def document_nats(model: Any, shape: Shape, held: Held, *, precision: Precision) -> Floats:
    """Loss of every held-out document in nats, f64[documents]."""
    import torch

    windows = windows_of(held, context=shape.context, end=shape.vocab - 1)
    nats = np.zeros(len(held.num_bytes), dtype=np.float64)
    workspace = Workspace(shape.vocab, dtype=product_type(precision))
    with one_thread(), torch.no_grad():
        for start in range(0, len(windows.document), WINDOWS_PER_BATCH):
            part = slice(start, start + WINDOWS_PER_BATCH)
            with autocast(precision):
                hidden = model.hidden(torch.from_numpy(windows.inputs[part])).flatten(0, 1)
            targets = torch.from_numpy(windows.targets[part]).flatten()
            scored = targets >= 0
            losses = token_nats(hidden[scored], model.head.weight, targets[scored], workspace=workspace)
            owner = np.repeat(windows.document[part], shape.context)[scored.numpy()]
            nats += np.bincount(owner, weights=losses.double().numpy(), minlength=len(nats))
    return nats


def bits_per_byte(nats: Floats, num_bytes: npt.NDArray[np.int64]) -> float:
    """All bits over all bytes; lower is better, 8 is a uniform guess over bytes."""
    return float(nats.sum() / (math.log(2) * num_bytes.sum()))
