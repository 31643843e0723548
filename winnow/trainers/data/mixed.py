"""A run whose next rows come from domains by shares that may change at every step.

Each domain is packed for itself and read by a cursor of its own. Row number j of the run comes from the domain that a
draw keyed by (seed, j) hits among the shares of its step, so the stream is a function of the seed and of the shares
alone: a resumed run needs the cursors, and ranks need nothing of each other.

The plain run over the same documents is the pacemaker: the mixture has as many steps, reads as many tokens in all, and
a step takes a row more or less where domains that fill their rows otherwise have put it a whole row behind or ahead.
With one domain it is the plain run, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.rng import uniform
from winnow.core.store.ids import digest_bytes
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.numbering import Account
from winnow.trainers.data.pack import PackedBatches
from winnow.trainers.data.packing import make_plan

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
POINTS = 64  # at most so many steps at which the shares are kept for the record


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one step: domain of each (-1: fill), its place in the domain's plan, how many of its tokens count."""

    step: int
    domain: Ints
    place: Ints
    limit: Ints
    tokens: Ints


@dataclass(kw_only=True, eq=False)
class Mixed:
    """Batches of several domains (implements `batches.Batches`); `take` opens the next step, in order.

    `pace` is the plain run over all documents; `sources` are the domains' own documents, one row per step, under
    `names`. A domain that was read `max_repeats` times gives its share to the others in proportion to theirs.

    Raises:
        ConfigError: no domain, or a budget above what all domains together may give.
    """

    pace: PackedBatches
    sources: tuple[PackedBatches, ...]
    names: tuple[str, ...]
    max_repeats: float = 4.0
    cursors: Ints = field(init=False)  # rows read of each domain
    tokens: Ints = field(init=False)  # predicted tokens read of each domain
    step: int = field(init=False, default=0)  # the next one
    ahead: int = field(init=False, default=0)  # tokens more than the pacemaker's
    capped: dict[str, int] = field(init=False, default_factory=dict)  # domain -> the step at which it was used up
    points: list[tuple[int, list[float]]] = field(init=False, default_factory=list)
    given: Ints = field(init=False)  # tokens of the steps that were taken
    shares: Floats = field(init=False)  # of the step that was taken last
    _rows: Rows | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.names):
            raise ConfigError(f"{len(self.sources)} domains under {len(self.names)} names", where="sources")
        self.reset()
        held = sum(source.plan.num_tokens for source in self.sources)
        if len(self.sources) > 1 and held * self.max_repeats < self.pace.tokens:
            times = self.pace.tokens / held
            raise ConfigError(
                f"{self.pace.tokens:,} tokens are {times:.2f} passes over all domains, and max_repeats is "
                f"{self.max_repeats:g}", where="max_repeats", hint=f"raise it well above {times:.2f}",
            )  # fmt: skip

    def reset(self) -> None:
        """Begin again at the first step."""
        self.cursors = np.zeros(len(self.sources), dtype=np.int64)
        self.tokens = np.zeros(len(self.sources), dtype=np.int64)
        self.given = np.zeros(self.num_steps, dtype=np.int64)
        self.shares = np.full(len(self.sources), 1.0 / len(self.sources))
        self.step, self.ahead, self.capped, self.points, self._rows = 0, 0, {}, [], None

    @property
    def num_steps(self) -> int:
        """Optimiser steps: those of the plain run."""
        return self.pace.num_steps

    @property
    def num_tokens(self) -> int:
        """The token budget."""
        return self.pace.tokens

    @property
    def epochs(self) -> float:
        """`num_tokens` over the tokens of all domains."""
        return self.num_tokens / sum(source.plan.num_tokens for source in self.sources)

    @property
    def account(self) -> Account:
        """The documents of the plain run, those of no domain among them."""
        return self.pace.account

    @cached_property
    def digest(self) -> str:
        """32 hex digits of the pacemaker, the domains, their names and the cap; not of the shares."""
        import orjson

        parts = [self.pace.digest, *(source.digest for source in self.sources)]
        return digest_bytes(orjson.dumps(["mixed", *parts, list(self.names), self.max_repeats]))

    def take(self, step: int, shares: Floats | None) -> None:
        """Open a step: its rows come from the domains by `shares` f64[domains], and the cursors move on.

        None: the shares stay what they were, even ones at first.
        Raises:
            ConfigError: it is not the next step, or the shares are none.
        """
        if step != self.step or step >= self.num_steps:
            raise ConfigError(f"step {step} is asked for, and step {self.step} of {self.num_steps} is next",
                              where="step", hint="restore the state of the checkpoint first")  # fmt: skip
        self.shares = self.shares if shares is None else self._checked(shares)
        if step % -(-self.num_steps // POINTS) == 0 or step == self.num_steps - 1:
            self.points.append((step, self.shares.tolist()))
        self._rows = self._drawn(step, self.shares)
        taken = self._rows.domain >= 0
        self.cursors += np.bincount(self._rows.domain[taken], minlength=len(self.names))
        read = np.bincount(self._rows.domain[taken], weights=self._rows.tokens[taken], minlength=len(self.names))
        self.tokens += read.astype(np.int64)
        self.given[step] = int(read.sum())
        self.ahead += int(self.given[step]) - self.pace.step_tokens(step)
        self.step += 1

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of a step that was taken.

        Raises:
            ConfigError: it was not.
        """
        if not 0 <= step < self.step:
            raise ConfigError(f"step {step} was not taken", where="step", hint="call `take` with its shares first")
        return int(self.given[step])

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows rank::world of the step that was taken last.

        Raises:
            ConfigError: it is another step, or there is no such rank.
        """
        rows = self._rows
        if rows is None or rows.step != step:
            raise ConfigError(f"step {step} is not the one that was taken last", where="step", hint="call `take` first")
        if not 0 <= rank < world <= self.pace.batch_rows:
            raise ConfigError(f"rank {rank} of {world} has no rows of a batch of {self.pace.batch_rows}", where="rank",
                              hint="raise `batch`")  # fmt: skip
        return self._filled(rows.domain[rank::world], rows.place[rank::world], rows.limit[rank::world])

    def probe(self, domain: int, step: int, rows: int) -> Batch:
        """`rows` rows of a domain, drawn by (seed, domain, step) from all of its rows; the cursors stay."""
        source = self.sources[domain]
        ids = np.stack((np.arange(rows), np.full(rows, step)), axis=1).astype(np.uint64)
        drawn = uniform(ids, seed=self.pace.seed, salt=f"winnow.mixed.probe\0{self.names[domain]}")
        places = (drawn * source.plan.num_rows).astype(np.int64)
        return source.filled(places, np.full(rows, source.plan.context, dtype=np.int64))

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold, as JSON: cursors, tokens, the pace, and the record of shares."""
        return {
            "step": self.step, "cursors": self.cursors.tolist(), "tokens": self.tokens.tolist(), "ahead": self.ahead,
            "given": self.given[: self.step].tolist(), "shares": self.shares.tolist(),
            "capped": dict(self.capped), "points": [[step, shares] for step, shares in self.points],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`.

        Raises:
            DataError: it is of other domains.
        """
        if len(state["cursors"]) != len(self.names):
            raise DataError(f"the state is of {len(state['cursors'])} domains, and there are {len(self.names)}",
                            where="mixture", hint="train from the start in another folder")  # fmt: skip
        self.step, self.ahead = int(state["step"]), int(state["ahead"])
        self.cursors = np.array(state["cursors"], dtype=np.int64)
        self.tokens = np.array(state["tokens"], dtype=np.int64)
        self.given[: self.step] = state["given"]
        self.shares = np.array(state["shares"], dtype=np.float64)
        self.capped = {str(name): int(step) for name, step in state["capped"].items()}
        self.points = [(int(step), list(shares)) for step, shares in state["points"]]
        self._rows = None

    def figures(self) -> dict[str, Any]:
        """JSON: rows, tokens, epochs and share of the tokens of every domain, and its shares over time."""
        total = max(1, int(self.tokens.sum()))
        return {
            "domains": {
                name: {"rows": int(rows), "tokens": int(tokens), "epochs": int(tokens) / source.plan.num_tokens,
                       "token_share": int(tokens) / total, "documents": source.unique_documents}
                for name, rows, tokens, source in zip(self.names, self.cursors, self.tokens, self.sources, strict=True)
            },
            "shares": [{"step": step, "shares": dict(zip(self.names, shares, strict=True))}
                       for step, shares in self.points],
            "over_cap": dict(self.capped),
        }  # fmt: skip

    def read(self) -> dict[str, Any]:
        """How much of the documents was read so far, as a run tells it: `epochs` over all domains, distinct tokens and
        documents; of a domain that was not read to its end as many documents as it has.
        """
        pairs = [(int(tokens), source) for tokens, source in zip(self.tokens, self.sources, strict=True)]
        return {
            "epochs": self.epochs, "unique_tokens": sum(min(tokens, source.unique_tokens) for tokens, source in pairs),
            "unique_documents": sum(source.unique_documents for tokens, source in pairs if tokens),
        }  # fmt: skip

    def remarks(self) -> tuple[str, ...]:
        """Domains that were used up, with the step and the next action."""
        return tuple(
            f"{name!r} was read {self.max_repeats:g} times by step {step:,} of {self.num_steps:,} and gave its share "
            "to the others: `max_repeats` allows more"
            for name, step in self.capped.items()
        )

    def _checked(self, shares: Floats) -> Floats:
        wanted = np.asarray(shares, dtype=np.float64)
        if (
            wanted.shape != (len(self.names),)
            or not np.isfinite(wanted).all()
            or (wanted < 0).any()
            or not wanted.any()
        ):
            raise ConfigError(
                f"these are no shares of {len(self.names)} domains: {wanted.tolist()[:8]}", where=f"step {self.step}",
                hint="a mixture's `shares` returns f64[domains] of 0 or more, not all 0",
            )  # fmt: skip
        return np.asarray(wanted / wanted.sum())

    def _drawn(self, step: int, shares: Floats) -> Rows:
        """The rows of a step; the last one takes what the budget needs, to the token."""
        batch, last = self.pace.batch_rows, step == self.num_steps - 1
        left = self.num_tokens - int(self.tokens.sum()) - (self.num_steps - 1 - step)  # a token for each later step
        many = max(1, batch - int(self.ahead / self.pace.plan.context)) if not last else batch
        cursors, read = self.cursors.copy(), 0
        pieces: list[tuple[Ints, Ints, Ints]] = []
        while not pieces or (last and read < left):
            domain, number = self._some(step, shares, cursors, many)
            place, tokens = self._places(domain, number)
            pieces.append((domain, place, tokens))
            cursors += np.bincount(domain, minlength=len(cursors))
            read += int(tokens.sum())
        domain, place, tokens = (np.concatenate(one) for one in zip(*pieces, strict=True))
        return self._cut(step, domain, place, tokens, left)

    def _cut(self, step: int, domain: Ints, place: Ints, tokens: Ints, left: int) -> Rows:
        """The first rows of those, up to `left` tokens; as many rows as a batch has, the rest of them fill."""
        ends = np.cumsum(tokens)
        count = min(len(ends), int(np.searchsorted(ends, left)) + 1)
        limit = np.full(count, self.pace.plan.context, dtype=np.int64)
        if ends[count - 1] >= left:
            limit[-1] = left - (int(ends[count - 2]) if count > 1 else 0)
        counted = np.minimum(tokens[:count], limit)
        more = max(0, self.pace.batch_rows - count)
        none = np.zeros(more, dtype=np.int64)
        domain, place, limit, counted = (
            np.concatenate((one, fill)) if more else one
            for one, fill in ((domain[:count], none - 1), (place[:count], none), (limit, none), (counted, none))
        )
        return Rows(step=step, domain=domain, place=place, limit=limit, tokens=counted)

    def _some(self, step: int, shares: Floats, cursors: Ints, many: int) -> tuple[Ints, Ints]:
        """(domain, number in it) i64[many] of the next rows; a domain that is used up leaves the draw at that row."""
        first = int(cursors.sum())
        ids = np.stack((np.arange(first, first + many), np.zeros(many)), axis=1).astype(np.uint64)
        lots = uniform(ids, seed=self.pace.seed, salt="winnow.mixed.rows")
        domain, number, done = np.empty(many, dtype=np.int64), np.empty(many, dtype=np.int64), 0
        cursors = cursors.copy()
        while done < many:
            left = self._caps - cursors
            drawn = drawn_by(self._open(step, shares, left), lots[done:])
            nth = occurrence(drawn, len(self.names))
            over = (nth >= left[drawn]) & (left > 0).any()
            fits = int(over.argmax()) if over.any() else len(drawn)
            domain[done : done + fits] = drawn[:fits]
            number[done : done + fits] = cursors[drawn[:fits]] + nth[:fits]
            cursors += np.bincount(drawn[:fits], minlength=len(self.names))
            done += fits
        return domain, number

    def _open(self, step: int, shares: Floats, left: Ints) -> Floats:
        """Shares of the domains that are not used up; where those have none, the same for each of them."""
        for k in np.flatnonzero((left <= 0) & (shares > 0)):
            self.capped.setdefault(self.names[k], step)
        if not (left > 0).any():  # by a few tokens, where the cap falls into a row
            return shares
        still = np.where(left > 0, shares, 0.0)
        return still if still.any() else (left > 0).astype(np.float64)

    @cached_property
    def _caps(self) -> Ints:
        """Rows that a domain may give; one domain alone has nobody to give its share to."""
        rows = np.array([source.plan.num_rows for source in self.sources], dtype=np.float64)
        if len(rows) == 1:
            return np.full(1, np.iinfo(np.int64).max // 2)
        return np.minimum(np.ceil(rows * self.max_repeats), 2.0**62).astype(np.int64)

    def _places(self, domain: Ints, number: Ints) -> tuple[Ints, Ints]:
        """(row of its domain's plan, predicted tokens) i64[n] of every row."""
        place, tokens = np.empty(len(domain), dtype=np.int64), np.empty(len(domain), dtype=np.int64)
        for k in np.flatnonzero(np.bincount(domain)):
            at, source = domain == k, self.sources[k]
            place[at] = rows = source.plan_rows(number[at])
            tokens[at] = source.row_tokens(rows)
        return place, tokens

    def _filled(self, domain: Ints, place: Ints, limit: Ints) -> Batch:
        """The rows themselves; domain -1 is fill."""
        whole = self.sources[0].filled(np.where(domain == 0, place, -1), limit)
        for k in np.flatnonzero(np.bincount(domain[domain > 0])):
            self.sources[k].fill_into(whole, np.where(domain == k, place, -1), limit)
        return whole


def mixed_of(pace: PackedBatches, domain: Ints, names: Sequence[str], *, max_repeats: float = 4.0) -> Mixed:
    """A plain run's documents as a mixture: document d belongs to `names[domain[d]]`, and to none where that is -1.

    Copies of a document (weights that repeat) and loss weights are those of the plain run.

    Raises:
        ConfigError: those of `Mixed`. DataError: a domain has no document.
    Cost: packing all documents a second time, domain by domain; tokens are shared, plans are not.
    """
    plan, sources = pace.plan, []
    order = plan.document[plan.start == 0].astype(np.int64)  # a piece that starts at 0 begins a copy of its document
    order = np.sort(order) if plan.packing == "best_fit" else order
    of_rows = np.asarray(domain, dtype=np.int64)[order]
    counts = np.bincount(of_rows[of_rows >= 0], minlength=len(names))
    if not counts.all():
        empty = names[int(np.flatnonzero(counts == 0)[0])]
        there = ", ".join(repr(name) for name, count in zip(names, counts, strict=True) if count) or "none"
        raise DataError(f"no document of the selection is of the domain {empty!r}", where="per",
                        hint=f"those that have documents: {there}")  # fmt: skip
    lengths = np.diff(pace.data.offsets)
    for k in range(len(names)):
        own = make_plan(lengths, context=plan.context, packing=plan.packing, order=order[of_rows == k],
                        source=pace.data.digest)  # fmt: skip
        sources.append(replace(pace, plan=own, batch_rows=1, tokens=own.num_tokens))
    return Mixed(pace=pace, sources=tuple(sources), names=tuple(names), max_repeats=max_repeats)


def drawn_by(shares: Floats, lots: Floats) -> Ints:
    """The domain that each lot in (0, 1) hits, i64[n], among shares f64[domains] that need not add up to 1."""
    ends = np.cumsum(shares)
    last = int(np.flatnonzero(shares)[-1])
    found = np.searchsorted(ends, lots * ends[-1], side="right")
    hit: Ints = np.minimum(found, last).astype(np.int64)
    return hit


def occurrence(values: Ints, many: int) -> Ints:
    """How often each value stood before it, i64[n]; values lie in [0, many)."""
    order = np.argsort(values, kind="stable")
    counts = np.bincount(values, minlength=many)
    out = np.empty(len(values), dtype=np.int64)
    out[order] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    return out
