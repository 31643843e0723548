"""A pool in token ids on disk, selections of it and targets: what `prepare` writes and a bare machine reads.

A folder of `pool.npz` and one `TARGET.npz` each (of `suites.save_tokens`). Reading it and training on it need torch,
numpy, pyarrow, polars and numba alone: no tokenizer, no digests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.trainers.data import pack
from winnow.trainers.data.packing import Packing, make_plan
from winnow.trainers.evaluate import suites

POOL = "pool.npz"


@dataclass(frozen=True, kw_only=True)
class TokenPool:
    """Documents in ids, the documents of each selection (ascending row numbers), and targets; the first is primary."""

    documents: pack.Documents
    selections: Mapping[str, npt.NDArray[np.int64]]
    targets: Mapping[str, suites.Tokenised]
    vocab: int
    told: Mapping[str, Any]  # where it comes from, in words and numbers

    def selected(self, name: str) -> pack.Documents:
        """The documents of a selection."""
        rows, whole = self.selections[name], self.documents
        lengths = np.diff(whole.offsets)[rows]
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        places = np.repeat(whole.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return pack.Documents(doc_id=whole.doc_id.gather(rows), tokens=whole.tokens[places], offsets=offsets)


def save(pool: TokenPool, folder: Path) -> None:
    """Write the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = pool.documents
    head = {"vocab": pool.vocab, "targets": list(pool.targets), "told": pool.told}
    np.savez_compressed(
        folder / POOL, allow_pickle=False, head=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8),
        tokens=whole.tokens, offsets=whole.offsets,
        doc_id=np.frombuffer(b"".join(whole.doc_id.to_list()), dtype=np.uint8),
        **{f"selection.{name}": rows.astype(np.int32) for name, rows in pool.selections.items()},
    )  # fmt: skip
    for name, target in pool.targets.items():
        suites.save_tokens(target, folder / f"{name}.npz")


def load(folder: Path) -> TokenPool:
    """What `save` wrote."""
    with np.load(folder / POOL, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    head = json.loads(arrays["head"].tobytes())
    raw = arrays["doc_id"].tobytes()
    names = pl.Series([raw[at : at + 16] for at in range(0, len(raw), 16)], dtype=pl.Binary)
    chosen = {n.partition(".")[2]: a.astype(np.int64) for n, a in arrays.items() if n.startswith("selection.")}
    return TokenPool(
        documents=pack.Documents(doc_id=names, tokens=arrays["tokens"], offsets=arrays["offsets"]),
        selections=chosen, vocab=head["vocab"], told=head["told"],
        targets={name: suites.load_tokens(folder / f"{name}.npz") for name in head["targets"]},
    )  # fmt: skip


def batches(
    documents: pack.Documents,
    *,
    context: int,
    rows: int,
    tokens: int,
    end: int,
    seed: int,
    packing: Packing = "best_fit",
) -> pack.PackedBatches:
    """What `pack.batches_of` gives, but for the digest of what was packed: a bare machine has no library for it."""
    count = len(documents.doc_id)
    order = pack.order_of(documents.doc_id, None, weighting="loss", packing=packing, seed=seed)
    plan = make_plan(np.diff(documents.offsets), context=context, packing=packing, order=order)
    loss = pack.loss_weights(plan, None, num_documents=count, weighting="loss")
    return pack.PackedBatches(plan=plan, data=documents, end=end, batch_rows=rows, tokens=tokens, seed=seed, loss=loss)


def two_kinds(*, vocab: int = 300, documents: int = 400, drawn: int = 3, seed: int = 5) -> TokenPool:
    """A pool of two kinds of text, for the small check: ids that step by 1 or by 2, and noise. `best` is one kind, as is
    the target; `plain_*` are random halves.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))

    def some(kind: int, size: int) -> list[npt.NDArray[np.uint16]]:
        start = generator.integers(0, vocab - 1, size=size)
        steps = np.where(
            generator.random((size, 60)) < 0.85, 1 + kind, generator.integers(0, vocab - 1, size=(size, 60))
        )
        return list(((start[:, None] + np.cumsum(steps, axis=1)) % (vocab - 1)).astype(np.uint16))

    texts = [text for kind in (0, 1) for text in some(kind, documents // 2)]
    offsets = np.arange(documents + 1) * 60
    names = pl.Series(sorted(generator.bytes(16) for _ in texts), dtype=pl.Binary)
    halves = {f"plain_{k}": np.sort(generator.permutation(documents)[: documents // 2]) for k in range(drawn)}
    held = np.concatenate(some(0, 40))
    counts = np.full(40, 60)
    target = suites.Tokenised(
        kind="documents", names=pl.Series([str(i) for i in range(40)]), first=np.arange(41), gold=np.zeros(40, np.int64),
        chance=np.zeros(40), ids=held, offsets=np.arange(41) * 60, context_tokens=np.zeros(40, np.int64),
        num_bytes=counts.copy(), num_chars=counts.copy(), digest="",
    )  # fmt: skip
    return TokenPool(
        documents=pack.Documents(doc_id=names, tokens=np.concatenate(texts), offsets=offsets),
        selections={"best": np.arange(documents // 2), **halves}, targets={"like": target}, vocab=vocab,
        told={"pool": "made up: two kinds of sequences"},
    )  # fmt: skip
