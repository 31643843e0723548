"""Training data made of other training data: plain rows, a mixture of sources, a branch that leaves a trunk."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.store.ids import digest_bytes
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.numbering import Account, Numbering


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainRows:
    """Rows u16[steps x B, T + 1] in training order, every token read and predicted; text runs on inside a row."""

    rows: npt.NDArray[np.unsignedinteger]
    batch_rows: int

    @property
    def num_steps(self) -> int:
        """Whole batches in the rows."""
        return len(self.rows) // self.batch_rows

    @property
    def num_tokens(self) -> int:
        """Predicted tokens of all steps."""
        return self.num_steps * self.step_tokens(0)

    @property
    def epochs(self) -> float:
        """1: rows are given as they are read."""
        return 1.0

    @cached_property
    def digest(self) -> str:
        """32 hex digits over rows and batch."""
        import orjson

        head = orjson.dumps([self.batch_rows, *self.rows.shape, str(self.rows.dtype)])
        return digest_bytes(head, np.ascontiguousarray(self.rows).tobytes())

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of a step."""
        return self.batch_rows * (int(self.rows.shape[1]) - 1)

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows rank::world of one step."""
        rows = self.rows[step * self.batch_rows : (step + 1) * self.batch_rows][rank::world].astype(np.int64)
        shape = (len(rows), rows.shape[1] - 1)
        return Batch(
            ids=rows[:, :-1], targets=rows[:, 1:], segments=np.zeros(shape, dtype=np.int32),
            documents=np.zeros(shape, dtype=np.int64), weights=np.ones(shape, dtype=np.float32),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Interleaved:
    """All rows of several sources, evenly spread, `batch_rows` per step; each source keeps its own order.

    Sources have one row per step, so a source that is reshuffled every epoch stays so, and every token of every
    source is read as often as the source says. The last step is filled up with nothing: it has fewer rows.
    `numbering` gives the documents of all sources numbers of their own; without it each source numbers its own.
    """

    sources: tuple[Batches, ...]
    batch_rows: int
    numbering: Numbering | None = None

    @property
    def num_steps(self) -> int:
        """Steps until all rows were read."""
        return -(-len(self._order) // self.batch_rows)

    @property
    def num_tokens(self) -> int:
        """Predicted tokens of all sources."""
        return sum(source.num_tokens for source in self.sources)

    @property
    def account(self) -> Account | None:
        """The documents of all sources, where these have one numbering."""
        return None if self.numbering is None else self.numbering.account

    @property
    def epochs(self) -> float:
        """Passes over the first source's selection."""
        return self.sources[0].epochs

    @cached_property
    def digest(self) -> str:
        """32 hex digits of the sources and the batch."""
        import orjson

        return digest_bytes(orjson.dumps([self.batch_rows, *(source.digest for source in self.sources)]))

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of a step."""
        return sum(self.sources[source].step_tokens(row) for source, row in self._rows(step, 0, 1))

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows rank::world of one step; `documents` are numbered as `numbering` says.

        Raises:
            ConfigError: a source gives several rows at once.
        """
        rows = [self._row(source, row) for source, row in self._rows(step, rank, world)]
        rows = rows or [_nothing(self.sources[0].batch(0))]  # the last step may have fewer rows than ranks
        if any(len(row.ids) != 1 for row in rows):
            raise ConfigError("a source of a mixture has more than one row per step", where="sources")
        names = [field.name for field in fields(Batch)]
        return Batch(**{name: np.concatenate([getattr(row, name) for row in rows]) for name in names})

    def _row(self, source: int, row: int) -> Batch:
        found = self.sources[source].batch(row)
        return found if self.numbering is None else self.numbering.of(source, found)

    def _rows(self, step: int, rank: int, world: int) -> list[tuple[int, int]]:
        chosen = self._order[step * self.batch_rows : (step + 1) * self.batch_rows][rank::world]
        return [(int(source), int(row)) for source, row in chosen]

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        """(source, row) i64[rows, 2]: row j of n lies at (j + 1/2) / n of the run."""
        counts = [source.num_steps for source in self.sources]
        source = np.repeat(np.arange(len(counts)), counts)
        row = np.concatenate([np.arange(count) for count in counts])
        place = (2 * row + 1) / (2.0 * np.asarray(counts)[source])
        return np.stack((source, row), axis=1)[np.argsort(place, kind="stable")]


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch:
    """The first `at` steps of `trunk`, then all of `own`: candidates decayed from one checkpoint.

    `decay` steps at the end lower the learning rate; default: all own steps. 0 goes on at the trunk's rate, which
    makes the branch the trunk of others.
    """

    trunk: Batches
    at: int
    own: Batches
    decay: int = -1

    @property
    def decay_steps(self) -> int:
        """Steps of the decay.

        Raises:
            ConfigError: it is longer than the branch, or the branch leaves behind the trunk's end.
        """
        if not 0 <= self.at <= self.trunk.num_steps:
            raise ConfigError(f"a branch at step {self.at} of {self.trunk.num_steps}", where="at")
        if self.decay > self.own.num_steps:
            raise ConfigError(f"a decay of {self.decay} steps in a branch of {self.own.num_steps}", where="decay")
        return self.own.num_steps if self.decay < 0 else self.decay

    @property
    def trunk_steps(self) -> int:
        """Steps that the warm-up is a share of: those of the first trunk."""
        return self.trunk.trunk_steps if isinstance(self.trunk, Branch) else self.trunk.num_steps

    @property
    def num_steps(self) -> int:
        """Steps of the trunk up to the branch, and of the branch."""
        return self.at + self.own.num_steps

    @cached_property
    def num_tokens(self) -> int:
        """Predicted tokens of all steps."""
        return sum(self.trunk.step_tokens(step) for step in range(self.at)) + self.own.num_tokens

    @property
    def epochs(self) -> float:
        """Passes over the branch's own selection."""
        return self.own.epochs

    @cached_property
    def digest(self) -> str:
        """32 hex digits of trunk, step, own data and decay."""
        import orjson

        return digest_bytes(orjson.dumps([self.trunk.digest, self.at, self.own.digest, self.decay_steps]))

    def step_tokens(self, step: int) -> int:
        """Predicted tokens of a step."""
        return self.trunk.step_tokens(step) if step < self.at else self.own.step_tokens(step - self.at)

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """Rows rank::world of one step."""
        if step < self.at:
            return self.trunk.batch(step, rank=rank, world=world)
        return self.own.batch(step - self.at, rank=rank, world=world)


def _nothing(row: Batch) -> Batch:
    """A batch of the same form that is all fill."""
    fill = np.full_like(row.segments, -1)
    return replace(row, segments=fill, documents=fill.astype(np.int64), weights=np.zeros_like(row.weights))


def equal_until(data: Batches, step: int) -> tuple[str, ...]:
    """Digests of data whose first `step` steps are those of `data`, as far as `data` knows."""
    if isinstance(data, Branch) and step <= data.at:
        return (data.digest, *equal_until(data.trunk, step))
    return (data.digest,)
