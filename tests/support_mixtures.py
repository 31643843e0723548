"""Runs of a small model on domains, with a mixture policy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl

from tests.support_policies import END, SHAPE, documents
from winnow.trainers.data import pack
from winnow.trainers.data.batches import Batch
from winnow.trainers.online.policy import Policy
from winnow.trainers.online.policy_run import PolicyRun, told_of


def pool(count: int = 90, *, tokens: int = 1800, batch: int = 4, seed: int = 5) -> pack.PackedBatches:
    """Random documents of 1 to 29 tokens as plain batches."""
    lengths = np.random.Generator(np.random.Philox(key=seed)).integers(1, 30, size=count).tolist()
    made = documents(lengths, seed=seed)
    return pack.batches_of(made, context=SHAPE.context, batch=batch, tokens=tokens, end=END, seed=0)


def labels(count: int, names: str = "abc") -> pl.Series:
    """A domain for every document, in turn."""
    return pl.Series([names[i % len(names)] for i in range(count)], dtype=pl.String)


def text(seed: int, count: int = 6) -> list[Batch]:
    """A held-out text as packed rows."""
    made = documents([20] * count, seed=seed)
    rows = pack.batches_of(made, context=SHAPE.context, batch=4, tokens=made.num_tokens, end=END, seed=0)
    return [rows.batch(step) for step in range(rows.num_steps)]


def mixing(policy: Policy, plain: pack.PackedBatches, **told: Any) -> tuple[Any, PolicyRun]:
    """(batches, policy) for `fit`, as `train` makes them."""
    known = told_of(plain, vocab=SHAPE.vocab, context=SHAPE.context, batch=plain.batch_rows, **told)
    data = policy.rewrite(plain, known)
    return data, PolicyRun(policy=policy, told=dataclasses.replace(known, steps=data.num_steps))
