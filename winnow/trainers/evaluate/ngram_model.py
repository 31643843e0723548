"""Smoothed n-gram models of token ids: what a text is worth to a model that knows its last one or two tokens.

Interpolated Witten-Bell, from unigrams up. With c the weight of an event, c(h) and T(h) the weight and the number of
distinct tokens behind a history h,

    p(w | h) = (c(h, w) + T(h) p(w | h without its oldest token)) / (c(h) + T(h))

down to the unigram, whose own lower order is a uniform guess over the vocabulary. A history that was never seen is
shortened. Every order sums to 1 over the vocabulary, so bits per byte compare with those of any model.

Source: Witten and Bell 1991; interpolated form as in Chen and Goodman 1999. Differs: events have weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.trainers.data.batches import Batch

ORDERS = (1, 2, 3)
NONE = -1  # a place of a history that lies before the beginning of what is read
MOST_VOCAB = 1 << 21  # three ids fit into one i64
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Events:
    """Predicted tokens and what stands before them, i64[n] each: `before`, `last`, `token`; `weight` f64[n].

    `last` is the token before, `before` the one before that, or -1 where the segment begins behind it.
    """

    before: Ints
    last: Ints
    token: Ints
    weight: Floats

    def __len__(self) -> int:
        """Predicted tokens."""
        return len(self.token)

    def history(self, order: int) -> Ints:
        """The last `order - 1` tokens as one number, i64[n]; -1 where one of them is missing."""
        if order == 1:
            return np.zeros(len(self), dtype=np.int64)
        if order == 2:
            return self.last
        return np.where(self.before < 0, NONE, self.before * MOST_VOCAB + self.last)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Counts of one order: distinct events sorted by (history, token), and their histories.

    `history`, `token` i64[events], `count` f64[events]; `seen` i64[histories] ascending, with `total` f64 and `kinds`
    i64, the weight and the number of distinct tokens behind each, and where its events begin, `first` i64 + 1 end.
    """

    history: Ints
    token: Ints
    count: Floats
    seen: Ints
    total: Floats
    kinds: Ints
    first: Ints


@dataclass(frozen=True, kw_only=True)
class NgramModel:
    """Interpolated Witten-Bell models of order 1 to 3 over ids below `vocab`."""

    vocab: int
    tables: tuple[Table, ...]

    def nats(self, events: Events) -> Floats:
        """Nats of every event at order 1, 2 and 3, f64[3, n]; the events' weights are not read."""
        below = np.full(len(events), 1.0 / self.vocab)
        out = np.empty((len(ORDERS), len(events)))
        for row, order in enumerate(ORDERS):
            below = _interpolated(self.tables[row], events.history(order), events.token, below)
            out[row] = -np.log(below)
        return out


def events_of(batches: Iterable[Batch]) -> Events:
    """The tokens that batches predict with a weight above 0, each with the tokens that the model may look back on.

    A piece of a document begins with the token before it as its input, so a bigram loses nothing there; the token
    before that lies in another piece and is not seen.
    """
    parts = [_events(batch) for batch in batches]
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)] or [np.zeros(0)] * 4
    before, last, token = (np.asarray(one, dtype=np.int64) for one in joined[:3])
    return Events(before=before, last=last, token=token, weight=np.asarray(joined[3], dtype=np.float64))


def _events(batch: Batch) -> tuple[Any, ...]:
    before = np.full(batch.ids.shape, NONE, dtype=np.int64)
    same = batch.segments[:, 1:] == batch.segments[:, :-1]
    before[:, 1:] = np.where(same, batch.ids[:, :-1], NONE)
    used = batch.weights > 0
    return before[used], batch.ids[used], batch.targets[used], batch.weights[used]


def events_in(ids: npt.NDArray[Any], offsets: Ints, *, end: int) -> Events:
    """Every token of texts ids[offsets[i] : offsets[i + 1]], the first of each predicted from `end`; weight 1."""
    wide = ids.astype(np.int64)
    place = np.arange(len(wide)) - np.repeat(offsets[:-1], np.diff(offsets))
    last = np.where(place == 0, end, np.roll(wide, 1))
    before = np.where(place == 0, NONE, np.where(place == 1, end, np.roll(wide, 2)))
    return Events(before=before, last=last, token=wide, weight=np.ones(len(wide)))


def fit(events: Events, *, vocab: int, passes: float = 1.0) -> NgramModel:
    """The models of some events. `passes`: how often the events repeat the same text; counts are those of one pass.

    Reading a text twice tells a counter nothing new, but would make it trust its counts twice as much.

    Raises:
        ConfigError: there is no event, or the vocabulary is too large.
    Cost: sorting, O(n log n) time, about 100 bytes per event.
    """
    if not len(events):
        raise ConfigError("there is no token to count", where="tokens")
    if not 1 <= vocab <= MOST_VOCAB:
        raise ConfigError(f"vocab is {vocab}, not in [1, {MOST_VOCAB}]", where="vocab")
    weight = events.weight / max(1.0, passes)
    tables = tuple(_table(events.history(order), events.token, weight) for order in ORDERS)
    return NgramModel(vocab=vocab, tables=tables)


def _table(history: Ints, token: Ints, weight: Floats) -> Table:
    used = np.flatnonzero(history >= 0)
    order = used[np.lexsort((token[used], history[used]))]
    history, token, weight = history[order], token[order], weight[order]
    begins = np.flatnonzero(_changes(history) | _changes(token))
    count = np.add.reduceat(weight, begins) if len(begins) else np.zeros(0)
    history, token = history[begins], token[begins]
    first = np.flatnonzero(_changes(history))
    total = np.add.reduceat(count, first) if len(first) else np.zeros(0)
    ends = np.append(first, len(history)).astype(np.int64)
    return Table(history=history, token=token, count=count, seen=history[first], total=total,
                 kinds=np.diff(ends), first=ends)  # fmt: skip


def _changes(values: Ints) -> npt.NDArray[np.bool_]:
    """Whether a value differs from the one before it; the first does."""
    out = np.ones(len(values), dtype=np.bool_)
    out[1:] = values[1:] != values[:-1]
    return out


def _interpolated(table: Table, history: Ints, token: Ints, below: Floats) -> Floats:
    """Probabilities of `token` behind `history`, f64[n], given those of the next lower order."""
    if not len(table.seen):
        return below
    at = np.minimum(np.searchsorted(table.seen, history), len(table.seen) - 1)
    known = table.seen[at] == history
    place = _find(table, at, token)
    count = np.where((place >= 0) & known, table.count[place], 0.0)
    kinds = table.kinds[at]
    return np.where(known, (count + kinds * below) / (table.total[at] + kinds), below)


def _find(table: Table, at: Ints, token: Ints) -> Ints:
    """The event of a token behind history number `at`, i64[n]; -1 where it was never seen."""
    number = np.repeat(np.arange(len(table.seen)), table.kinds)
    keys, wanted = number * MOST_VOCAB + table.token, at * MOST_VOCAB + token
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)
