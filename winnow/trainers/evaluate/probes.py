"""Frozen-feature probes: what a linear reader makes of a tiny model's hidden states.

A text's feature is the mean over its tokens of what the model's head reads. A multinomial logistic regression on
standardised features answers out of fold; the gap to the same probe on untrained weights is what training gave.
The regression is convex and solved in f64 to a slope of 1e-8, so it has no seed; the folds are keyed by names.

Shape suffixes: I items, D width, K classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.numerics.rng import uniform
from winnow.trainers.evaluate.suites import Tokenised
from winnow.trainers.evaluate.target_windows import batches, device_of, hidden_of, plan_windows
from winnow.trainers.model.device import Precision, one_thread
from winnow.trainers.model.initialise import build
from winnow.trainers.model.shape import Shape

FOLDS = 5
UNTRAINED_SEED = 0
PENALTY = 1.0  # on half the squared weights, beside the summed loss
SLOPE, MOST_STEPS, MOST_PRODUCTS = 1e-8, 100, 200
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def answers(
    models: Sequence[Any], shape: Shape, target: Tokenised, *, precision: Precision
) -> tuple[Floats, Floats, Floats]:
    """(nats of the right label f64[I], 1 where it is likeliest f64[I], the same on untrained features f64[I]).

    Several models are a committee: the mean of their logits.

    Raises:
        DataError: there are fewer than two labels, or fewer items of one than folds.
    """
    fold = folds(target)
    shares = committee([_shares(model, shape, target, fold, precision) for model in models])
    untrained = build(shape, init_seed=UNTRAINED_SEED).to(device_of(models[0]))
    plain = _shares(untrained, shape, target, fold, precision)
    nats = -shares[np.arange(len(fold)), target.gold]
    return nats, *((table.argmax(axis=1) == target.gold).astype(np.float64) for table in (shares, plain))


def committee(log_shares: Sequence[Floats]) -> Floats:
    """Log shares f64[I, K] of the mean of the members' logits; of members that agree, their own."""
    if all(np.array_equal(one, log_shares[0]) for one in log_shares):
        return log_shares[0]
    return _log_softmax(np.mean(log_shares, axis=0))


def folds(target: Tokenised) -> Ints:
    """Fold of every item, i64[I]: every label is dealt evenly over the folds, in an order keyed by the items' names.

    Raises:
        DataError: there are fewer than two labels, or fewer items of one than folds.
    """
    from winnow.core.words.hashing import as_lanes, text_hash

    counts = np.bincount(target.gold)
    if len(counts) < 2 or counts.min() < FOLDS:
        raise DataError(f"a probe needs two labels with {FOLDS} items each; the target has {counts.tolist()}",
                        hint="leave rare labels out of the file")  # fmt: skip
    lanes = as_lanes(text_hash(pa.array(target.names.to_list(), pa.large_string())))
    draws = uniform(lanes, seed=0, salt="probe folds")
    order = np.lexsort((draws, target.gold))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank % FOLDS


def features(model: Any, shape: Shape, target: Tokenised, *, precision: Precision) -> Floats:
    """Mean over each text's tokens of what the head reads, f64[I, D]."""
    extended = _with_end(target, end=shape.vocab - 1)
    plan = plan_windows(extended, context=shape.context)
    out = np.zeros((len(target.names), shape.width))
    first = extended.offsets[:-1]
    for inputs, place, counts, request in batches(extended, plan, end=shape.vocab - 1):
        read = counts & (place > first[request][:, None])  # the end mark before a text tells nothing
        hidden = hidden_of(model, inputs, precision=precision).float().cpu().numpy()
        np.add.at(out, request, np.einsum("bld,bl->bd", hidden, read, dtype=np.float64))
    return out / np.diff(target.offsets)[:, None]


def fit_probe(x_ID: Floats, gold: Ints, *, num_labels: int) -> tuple[Floats, Floats]:
    """(weights f64[D, K], bias f64[K]) that minimise the summed loss plus the penalty, by Newton's method.

    Cost: about ten steps of some dozen products of I x D x K each; one thread, no matrix beside the features.
    """
    import torch

    with one_thread(), torch.no_grad():
        x = torch.cat((torch.from_numpy(x_ID), torch.ones(len(x_ID), 1, dtype=torch.float64)), dim=1)
        right = torch.nn.functional.one_hot(torch.from_numpy(gold), num_labels).double()
        weighed = torch.full((x.shape[1], 1), PENALTY, dtype=torch.float64)
        weighed[-1] = 0.0  # the bias is free
        table = torch.zeros((x.shape[1], num_labels), dtype=torch.float64)

        def loss(at: Any) -> float:
            return float(PENALTY / 2 * at[:-1].square().sum() - (torch.log_softmax(x @ at, dim=1) * right).sum())

        for _ in range(MOST_STEPS):
            shares = torch.softmax(x @ table, dim=1)
            slope = x.T @ (shares - right) + weighed * table
            if float(slope.abs().max()) < SLOPE:
                break
            step = _newton_step(x, shares, weighed, slope)
            length, before, gain = 1.0, loss(table), float((slope * step).sum())
            while loss(table - length * step) > before - 1e-4 * length * gain and length > 1e-8:
                length /= 2
            table = table - length * step
    return table[:-1].numpy(), table[-1].numpy()


def _newton_step(x: Any, shares: Any, weighed: Any, slope: Any) -> Any:
    """The solution of H step = slope by conjugate gradients; H is never formed."""
    import torch

    def product(v: Any) -> Any:
        moved = shares * (x @ v)
        return x.T @ (moved - shares * moved.sum(dim=1, keepdim=True)) + weighed * v

    step, rest = torch.zeros_like(slope), slope.clone()
    way, size = rest.clone(), float(rest.square().sum())
    enough = size * 1e-8
    for _ in range(MOST_PRODUCTS):
        curved = product(way)
        length = size / float((way * curved).sum())
        step, rest = step + length * way, rest - length * curved
        before, size = size, float(rest.square().sum())
        if size <= enough:
            break
        way = rest + size / before * way
    return step


def _shares(model: Any, shape: Shape, target: Tokenised, fold: Ints, precision: Precision) -> Floats:
    """Out-of-fold log shares f64[I, K] of a probe on the model's features."""
    x = features(model, shape, target, precision=precision)
    num_labels = int(target.gold.max()) + 1
    out = np.zeros((len(x), num_labels))
    for number in range(FOLDS):
        train, test = fold != number, fold == number
        centre, spread = x[train].mean(axis=0), x[train].std(axis=0)
        scaled = (x - centre) / np.where(spread > 0, spread, 1.0)
        weights, bias = fit_probe(scaled[train], target.gold[train], num_labels=num_labels)
        out[test] = _log_softmax(scaled[test] @ weights + bias)
    return out


def _log_softmax(x: Floats) -> Floats:
    shifted = x - x.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _with_end(target: Tokenised, *, end: int) -> Tokenised:
    """The target with an end mark after every text, so that a model reads all of its tokens."""
    lengths = np.diff(target.offsets)
    offsets = target.offsets + np.arange(len(target.offsets))
    ids = np.full(int(offsets[-1]), end, dtype=np.int64)
    ids[np.arange(len(target.ids)) + np.repeat(np.arange(len(lengths)), lengths)] = target.ids
    return dataclasses.replace(target, ids=ids, offsets=offsets)
