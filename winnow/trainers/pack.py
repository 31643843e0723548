"""Which tokens a training run sees, in which order: a pure function of (documents, tokens, seed, step).

A selection's documents, in a keyed order and each followed by the end mark, make one stream per epoch. It is
cut every T tokens into rows of T + 1 (the last token of a row is the first of the next: every token but the
first is predicted once), and rows are put in a keyed order within their epoch. A run takes the first `rows`
of them, so two arms of equal size differ in content alone, and a run shorter than an epoch samples the whole
selection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.rng import uniform

Tokens = npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Token ids of a selection, one document after the other in ascending doc_id."""

    doc_id: pl.Series
    tokens: Tokens
    offsets: npt.NDArray[np.int64]

    @property
    def num_tokens(self) -> int:
        """Tokens of one epoch, end marks included."""
        return len(self.tokens) + len(self.doc_id)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Rows u16[steps x B, T + 1] in training order, and how often the selection was passed."""

    rows: Tokens
    num_tokens: int  # predicted tokens
    epochs: float  # predicted tokens / tokens of the selection; below 1: not all of it was seen


def steps_of(num_tokens: int, *, context: int, batch: int) -> int:
    """Optimizer steps in `num_tokens` training tokens.

    Raises:
        ConfigError: not even one step.
    """
    steps = num_tokens // (context * batch)
    if steps < 1:
        raise ConfigError(
            f"{num_tokens} tokens are less than one batch of {batch} x {context}",
            where="tokens",
            hint=f"give at least {context * batch} tokens",
        )
    return steps


def documents_of(selection: pl.DataFrame, tokens: pl.DataFrame) -> Documents:
    """The tokens of the selected documents. `selection` has doc_id; `tokens` has doc_id, tokens.

    Raises:
        DataError: nothing is selected, or a selected document has no tokens.
    """
    joined = selection.select("doc_id").join(tokens, on="doc_id", how="left", maintain_order="left")
    missing = joined["tokens"].null_count()
    if missing:
        first = joined.filter(pl.col("tokens").is_null())["doc_id"][0]
        raise DataError(
            f"{missing} of {len(joined)} selected documents have no tokens",
            where=f"document {first.hex()}",
            hint="tokens are made for the rows of the ablation's `inputs` and `where`: widen them",
        )
    joined = joined.sort("doc_id")
    offsets = np.zeros(len(joined) + 1, dtype=np.int64)
    np.cumsum(joined["tokens"].list.len().to_numpy(), out=offsets[1:])
    if offsets[-1] == 0:
        raise DataError("the selection is empty: there is nothing to train on", hint="raise its budget")
    flat = joined["tokens"].list.explode(empty_as_null=False).to_numpy().astype(np.uint16)
    return Documents(doc_id=joined["doc_id"], tokens=flat, offsets=offsets)


def pack(documents: Documents, *, num_rows: int, context: int, end: int, order_seed: int) -> Packed:
    """`num_rows` rows in training order; epochs follow one another without mixing.

    Cost: O(rows x context) time and memory, and one epoch of tokens.
    """
    blocks: list[Tokens] = []
    have, epoch = 0, 0
    tail = np.zeros(0, dtype=np.uint16)  # tokens of an epoch too short to fill a row begin the next
    while have < num_rows:
        stream = np.concatenate((tail, _stream(documents, end=end, seed=order_seed, epoch=epoch)))
        count = (len(stream) - 1) // context
        if count:
            rows = np.lib.stride_tricks.sliding_window_view(stream, context + 1)[::context][:count]
            blocks.append(rows[_row_order(count, seed=order_seed, epoch=epoch)[: num_rows - have]])
            have += len(blocks[-1])
        tail = stream[count * context :]
        epoch += 1
    predicted = num_rows * context
    return Packed(rows=np.concatenate(blocks), num_tokens=predicted, epochs=predicted / documents.num_tokens)


def batch_of(packed: Packed, step: int, *, batch: int) -> Tokens:
    """The rows of one step, u16[B, T + 1]: resuming at any step needs no state."""
    return packed.rows[step * batch : (step + 1) * batch]


def _stream(documents: Documents, *, end: int, seed: int, epoch: int) -> Tokens:
    """All documents in the keyed order of this epoch, each followed by `end`."""
    order = np.argsort(uniform(documents.doc_id, seed=seed, salt=f"documents/{epoch}"), kind="stable")
    lengths = np.diff(documents.offsets)[order]
    starts = np.cumsum(lengths + 1) - lengths - 1
    out = np.full(documents.num_tokens, end, dtype=np.uint16)
    source = np.repeat(documents.offsets[:-1][order], lengths) + _within(lengths)
    out[np.repeat(starts, lengths) + _within(lengths)] = documents.tokens[source]
    return out


def _within(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0, 1, ..., length - 1 for every length, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(ends - lengths, lengths)


def _row_order(count: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A keyed permutation of row numbers."""
    lanes = np.zeros((count, 2), dtype=np.uint64)
    lanes[:, 0] = np.arange(count, dtype=np.uint64)
    return np.argsort(uniform(lanes, seed=seed, salt=f"rows/{epoch}"), kind="stable")
