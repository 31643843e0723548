"""LEGO, a synthetic language of skills that build on each other: chains of variables, shuffled, and a question.

    c = not a, a = 1, b = val c ; b ? 0          (skill 2: the third variable of the chain a, c, b)

A document has `chain` clauses of three tokens in random order, the name of one variable, and its value. The first
variable of a chain is given, each further one is the value of the one before it or its opposite, so the answer of
skill i takes i + 1 steps. Every other token is random, and only answers are trained on and scored.

Source: LEGO (Zhang et al. 2022) as Skill-It uses it (Chen et al., NeurIPS 2023); written anew.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl

from winnow.trainers.data import pack
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.pack import PackedBatches

ZERO, ONE, VAL, NOT, SAME = 8, 9, 10, 11, 12  # tokens below are variables
END, VOCAB = 13, 14


def chains(skill: int, *, count: int, chain: int, seed: int) -> np.ndarray[Any, Any]:
    """Token ids of documents of one skill, i64[count, 3 x chain + 2]."""
    rng = np.random.Generator(np.random.Philox(key=seed * 100 + skill))
    flips = rng.integers(0, 2, (count, chain))
    value = np.cumsum(flips, axis=1) % 2  # the first flip is the first value
    clause = np.empty((count, chain, 3), dtype=np.int64)
    clause[:, :, 0] = np.arange(chain)
    clause[:, 0, 1], clause[:, 0, 2] = SAME, ZERO + flips[:, 0]
    clause[:, 1:, 1], clause[:, 1:, 2] = VAL + flips[:, 1:], np.arange(chain - 1)
    order = np.argsort(rng.random((count, chain)), axis=1)
    shuffled = np.take_along_axis(clause, order[:, :, None], axis=1).reshape(count, -1)
    asked = np.full((count, 1), skill)
    return np.concatenate([shuffled, asked, ZERO + value[:, skill : skill + 1]], axis=1)


class Answers(PackedBatches):
    """Rows of which the answers alone are learned: the token after the question."""

    def filled(self, rows: Any, limits: Any) -> Batch:
        """As plain rows, with weight on a document's last token but the end."""
        import dataclasses

        made = super().filled(rows, limits)
        answer = np.zeros(made.weights.shape, dtype=bool)
        answer[:, :-1] = (made.targets[:, 1:] == END) & (made.segments[:, 1:] == made.segments[:, :-1])
        return dataclasses.replace(made, weights=np.where(answer, made.weights, 0).astype(np.float32))


def packed(
    skills: list[int], *, count: int, chain: int, seed: int, batch: int, steps: int = 0, order_seed: int = 0
) -> tuple[Answers, pl.Series]:
    """Documents of these skills, one a row, as batches, and the skill of every document; `steps` 0: one epoch."""
    ids = np.concatenate([chains(s, count=count, chain=chain, seed=seed) for s in skills])
    labels = np.repeat([f"skill{s}" for s in skills], count)
    names = [hashlib.blake2b(row.tobytes() + bytes([i % 251]), digest_size=16).digest() for i, row in enumerate(ids)]
    frame = pl.DataFrame({"doc_id": names, "tokens": pl.Series(ids.tolist(), dtype=pl.List(pl.UInt16)),
                          "skill": labels}).unique("doc_id").sort("doc_id")  # fmt: skip
    context = 3 * chain + 3
    documents = pack.documents_of(frame.select("doc_id"), frame.select("doc_id", "tokens"))
    tokens = steps * batch * context if steps else documents.num_tokens
    plain = pack.batches_of(documents, context=context, batch=batch, tokens=tokens, end=END, seed=order_seed)
    return Answers(**{name: getattr(plain, name) for name in plain.__dataclass_fields__}), frame["skill"]


def texts(*, chain: int, count: int, seed: int) -> dict[str, list[Batch]]:
    """Held-out rows of every skill."""
    out = {}
    for skill in range(chain):
        rows, _ = packed([skill], count=count, chain=chain, seed=seed, batch=count)
        out[f"skill{skill}"] = [rows.batch(k) for k in range(rows.num_steps)]
    return out
