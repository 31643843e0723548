"""What mixture policies have in common: domains of a selection by columns, and their shares in one run.

    class Doge(MixturePolicy):
        def acting(self, told: Told, domains: Domains) -> Mixing: ...

`rewrite` makes the run's batches `Mixed`; `Mixing` answers their shares step by step, from the policy's state alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError, did_you_mean
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.mixed import Mixed, mixed_of
from winnow.trainers.data.pack import PackedBatches
from winnow.trainers.online.column_policy import ColumnPolicy
from winnow.trainers.online.policy import Acting, Learner, Seam
from winnow.trainers.online.told import Told

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Labels = dict[str, str] | tuple[str, ...]  # a name alone is its own label
MOST_DOMAINS = 1000  # each is packed for itself
DOMAIN = "per"  # the column of domains


@dataclass(frozen=True, kw_only=True)
class Domains:
    """Domains by name, ascending, and the number of each document's, i64[documents]; -1: it has none."""

    names: tuple[str, ...]
    number: Ints

    @property
    def left_out(self) -> int:
        """Documents of no domain: they are not trained on."""
        return int((self.number < 0).sum())

    def named(self, values: Floats) -> dict[str, float]:
        """Values f64[domains] by name."""
        return dict(zip(self.names, np.asarray(values, dtype=np.float64).tolist(), strict=True))


def domains_of(told: Told) -> Domains:
    """The domains of a run's documents, from the policy's column `per`.

    Raises:
        DataError: no document has one, or there are too many of them.
    """
    labels = told.columns[DOMAIN].cast(pl.String)
    names = labels.drop_nulls().unique().sort().to_list()
    if not names:
        raise DataError(f"none of {len(labels):,} documents of the selection has a domain", where=DOMAIN,
                        hint="name a column that has values there")  # fmt: skip
    if len(names) > MOST_DOMAINS:
        first = ", ".join(repr(name) for name in names[:3])
        raise DataError(f"{len(names):,} domains ({first}, ...), and a mixture takes {MOST_DOMAINS:,}", where=DOMAIN,
                        hint="name a column with fewer values")  # fmt: skip
    number = labels.replace_strict(names, list(range(len(names))), default=-1, return_dtype=pl.Int64)
    return Domains(names=tuple(names), number=number.fill_null(-1).to_numpy().astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class MixturePolicy(ColumnPolicy):
    """A policy over domains: the values of `per`, joined by " | " where it names several columns."""

    seam: ClassVar[Seam] = "mixture"
    does: ClassVar[str] = "in shares of its own"
    columns_from: ClassVar[tuple[str, ...]] = ("per",)
    rewrites: ClassVar[bool] = True
    tells_missing: ClassVar[bool] = True

    per: tuple[str, ...]  # the columns whose values are the domains
    max_repeats: float = 4.0  # passes over a domain, after which its share goes to the others

    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """The domain of every document."""
        return {DOMAIN: self.per}

    def validate(self) -> None:
        """Raise ConfigError without domains, or for repeats below 1."""
        if not self.per:
            raise ConfigError("no domains", where="per", hint="name the column whose values get shares")
        if not 1 <= self.max_repeats < 2**20:
            raise ConfigError(f"max_repeats is {self.max_repeats}, and must be 1 or more", where="max_repeats")

    def rewrite(self, batches: PackedBatches, told: Told) -> Batches:
        """The selection as a mixture of its domains."""
        domains = domains_of(told)
        return mixed_of(batches, domains.number, domains.names, max_repeats=self.max_repeats)

    def begin(self, told: Told) -> Acting:
        """What gives the shares of a run."""
        return self.acting(told, domains_of(told))

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """The same, of these domains."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Mixing(Acting):
    """Shares in one run: `p` f64[domains], which `first` begins and subclasses move."""

    told: Told
    domains: Domains
    p: Floats = field(init=False)
    data: Mixed = field(init=False)

    def reads(self, data: Batches) -> None:
        """The run's batches, before the first step."""
        assert isinstance(data, Mixed), "a mixture policy rewrites the batches of its run"
        data.reset()
        self.data = data
        self.p = self.first()

    @property
    def sizes(self) -> list[int]:
        """Tokens of every domain."""
        return [source.plan.num_tokens for source in self.data.sources]

    def first(self) -> Floats:
        """Shares of the first step: even ones."""
        return np.full(len(self.domains.names), 1.0 / len(self.domains.names))

    def shares(self, step: int) -> Floats:
        """Shares of a step, adding up to 1."""
        return self.p

    def weights(self) -> Floats:
        """The shares that a later mixture should have: those of the end."""
        return self.p

    def state(self) -> dict[str, Any]:
        """The shares."""
        return {"p": self.p.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.p = np.array(state["p"], dtype=np.float64)

    def figures(self) -> dict[str, Any]:
        """`weights`; what was read of every domain, and their shares over time; documents of no domain."""
        out = {"weights": self.domains.named(self.weights()), **self.data.figures()}
        return {**out, "left_out": self.domains.left_out}

    def remarks(self) -> tuple[str, ...]:
        """Domains that were used up, and documents of none."""
        left = self.domains.left_out
        what = f"{left:,} of {len(self.domains.number):,} documents have no domain and are not trained on"
        todo = "give them a value of `per`, or leave them out of the selection"
        return (*self.data.remarks(), *((f"{what}: {todo}",) if left else ()))


@dataclass(kw_only=True)
class Averaging(Mixing):
    """Shares whose mean over all their values is what a later mixture should have."""

    total: Floats = field(init=False)
    moves: int = field(init=False, default=0)

    def reads(self, data: Batches) -> None:
        """The run's batches, before the first step."""
        super().reads(data)
        self.total = np.zeros(len(self.p))

    def move(self, shares: Floats) -> None:
        """The next shares."""
        self.p = shares
        self.total, self.moves = self.total + shares, self.moves + 1

    def weights(self) -> Floats:
        """The mean over all moves; the first shares where there was none."""
        return self.total / self.moves if self.moves else self.p

    def state(self) -> dict[str, Any]:
        """Shares, their sum and number."""
        return {**super().state(), "total": self.total.tolist(), "moves": self.moves}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        super().restore(state)
        self.total, self.moves = np.array(state["total"], dtype=np.float64), int(state["moves"])


def text_loss(learner: Learner, rows: Sequence[Batch]) -> float:
    """Mean nats per token of a text under the model, by the rows' weights."""
    total = weight = 0.0
    for batch in rows:
        total += float((learner.nats(batch).astype(np.float64) * batch.weights).sum())
        weight += float(batch.weights.sum(dtype=np.float64))
    return total / weight


def inner(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """Inner product of two gradients, parameter by parameter."""
    return float(sum(float((a[name].double() * b[name].double()).sum()) for name in sorted(a)))


def check_labels(labels: Sequence[str], known: Sequence[str], *, where: str, what: str = "domain") -> None:
    """Check that texts are given for all domains, and for no others.

    Raises:
        ConfigError: one is missing, or is none of them.
    """
    for label in labels:
        if label not in known:
            raise ConfigError(f"there is a text for {label!r}, a {what} that no document of the selection has",
                              where=f"{where}.{label}", hint=did_you_mean(label, known))  # fmt: skip
    for name in known:
        if name not in labels:
            missing = [one for one in known if one not in labels]
            more = f" (nor have {len(missing) - 1:,} more)" if len(missing) > 1 else ""
            hint = f"held-out texts for each of {', '.join(known)}: `{where}: {{{name}: STAGE, ...}}`"
            raise ConfigError(f"the {what} {name!r} has no text{more}", where=where, hint=hint)


def check_steps(every: int) -> None:
    """Raise ConfigError for less than one step between updates."""
    if every < 1:
        raise ConfigError(f"every is {every}, and must be 1 or more", where="every")


def check_numbers(policy: Any, **least: float) -> None:
    """Raise ConfigError where a field is not a finite number of at least so much."""
    for name, low in least.items():
        value = getattr(policy, name)
        if not low <= value < float("inf"):
            raise ConfigError(f"{name} is {value}, and must be {low:g} or more", where=name)
