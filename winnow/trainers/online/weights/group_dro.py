"""Distributionally robust optimisation over groups: the group with the largest loss counts most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.online.by_score import column_of
from winnow.trainers.online.column_policy import ColumnPolicy
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

Floats = npt.NDArray[np.float64]
MOST_SHOWN = 64  # groups in the figures
LEAST = 1e-6  # of a share


@dataclass(frozen=True, kw_only=True)
class GroupDro(ColumnPolicy):
    """Weights of groups of documents that follow their losses: shares q rise by exp(step_size x loss) at every step.

    The loss of a step is the sum of q x the mean loss of each group's tokens, scaled to the step's sum of weights. q
    starts even. To a group's loss `adjustment` / sqrt(its documents) is added, against groups so small that they are
    learned by heart. A group that is absent from a step keeps its share, and those present divide the rest between
    them. Documents without a group keep their own weight, and are counted; with one group nothing is changed.

    Raises:
        DataError: no document has a group.
    Cost: a look at the losses of the step, O(tokens + groups).
    Source: Sagawa et al. 2020 (group DRO), algorithm 1 and section 3.3; absent groups own: there their loss counts as 0
    """

    name: ClassVar[str] = "group_dro"
    seam: ClassVar[Seam] = "weights"
    columns_from: ClassVar[tuple[str, ...]] = ("per",)
    tells_missing: ClassVar[bool] = True

    per: tuple[str, ...]  # columns whose values are the groups
    step_size: float = 0.01  # of the exponentiated gradient; 0: all groups count alike for good
    adjustment: float = 0.0  # C of C / sqrt(n)

    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """The group."""
        return {"group": self.per}

    def validate(self) -> None:
        """Raise ConfigError without groups, or for numbers below 0."""
        if not self.per:
            raise ConfigError("no groups", where="per", hint="name the column whose values are the groups")
        for name in ("step_size", "adjustment"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be at least 0", where=name)

    def begin(self, told: Told) -> Acting:
        """What weighs the groups of a run."""
        if "group" in told.columns and told.doc_id is not None:
            labels = told.columns["group"].cast(pl.String)
        else:
            column_of(told, "group")  # says what is missing
            raise AssertionError("a column without labels")
        names = sorted(labels.drop_nulls().unique().to_list())
        if not names:
            raise DataError(f"none of {len(labels):,} documents has a group", where="policy.per",
                            hint="name a column that has values")  # fmt: skip
        number = labels.replace_strict({name: i for i, name in enumerate(names)}, default=-1, return_dtype=pl.Int64)
        return Robust(policy=self, names=names, group=number.fill_null(-1).to_numpy())


@dataclass(kw_only=True)
class Robust(Acting):
    """The shares in a run."""

    policy: GroupDro
    names: list[str]
    group: npt.NDArray[np.int64]  # of every document, -1 where it has none
    shares: Floats = field(init=False)  # type: ignore[assignment]
    steps: npt.NDArray[np.int64] = field(init=False)  # in which each group was seen
    last: Floats = field(init=False)  # mean nats per token of each group when it was seen last
    sizes: npt.NDArray[np.int64] = field(init=False)

    weighs = True
    todo = "raise `step_size`, give a step more documents, or leave it out"

    def __post_init__(self) -> None:
        count = len(self.names)
        self.shares, self.last = np.full(count, 1.0 / count), np.full(count, np.nan)
        self.steps = np.zeros(count, dtype=np.int64)
        self.sizes = np.bincount(self.group[self.group >= 0], minlength=count)

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """Weights of tokens f32[B, T]; those of the rows where one group is present alone."""
        own = seen.rows.weights.astype(np.float64)
        of_token = np.where(own > 0, self.group[np.maximum(seen.rows.documents, 0)], -1)
        at = of_token >= 0
        mass = np.bincount(of_token[at], weights=own[at], minlength=len(self.names))
        loss = np.bincount(of_token[at], weights=(own * seen.nats)[at], minlength=len(self.names))
        present = np.flatnonzero(mass)
        self.steps[present] += 1
        self.last[present] = loss[present] / mass[present]
        if len(present) == 0 or len(self.names) == 1:
            return seen.rows.weights
        self.shares = raised(self.shares, self.last, present, step_size=self.policy.step_size,
                             adjustment=self.policy.adjustment, sizes=self.sizes)  # fmt: skip
        if len(present) == 1:
            return seen.rows.weights
        factor = np.ones(len(self.names) + 1)  # the last one: tokens of no group
        taken = self.shares[present] / self.shares[present].sum()
        factor[present] = taken * mass[present].sum() / mass[present]
        return (own * factor[of_token]).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """The shares, and what was seen of each group."""
        last = [None if np.isnan(value) else float(value) for value in self.last]
        return {"shares": self.shares.tolist(), "steps": self.steps.tolist(), "last": last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.shares = np.array(state["shares"], dtype=np.float64)
        self.steps = np.array(state["steps"], dtype=np.int64)
        self.last = np.array([np.nan if value is None else value for value in state["last"]])

    def idle(self) -> str:
        """That there is one group."""
        if len(self.names) > 1:
            return ""
        number = int((self.group >= 0).sum())
        return (
            f"{self.names[0]!r} is the only group, of {number:,} documents, so that nothing is reweighed: look at `per`"
        )

    def figures(self) -> dict[str, Any]:
        """Final share and last loss of each group (of the first 64 by name), documents without one, groups not seen."""
        shown = range(min(len(self.names), MOST_SHOWN))
        unseen = [self.names[i] for i in np.flatnonzero(self.steps == 0)]
        return {
            "groups": len(self.names), "documents": len(self.group), "without_group": int((self.group < 0).sum()),
            "weights": {self.names[i]: float(self.shares[i]) for i in shown},
            "last_losses": {self.names[i]: float(self.last[i]) for i in shown if self.steps[i]},
            "not_seen": unseen[:MOST_SHOWN],
        }  # fmt: skip

    def remarks(self) -> tuple[str, ...]:
        """Groups that no step had, documents of no group."""
        unseen = [self.names[i] for i in np.flatnonzero(self.steps == 0)]
        bare = int((self.group < 0).sum())
        out = []
        if unseen:
            which = f"{len(unseen):,} of {len(self.names):,} groups ({', '.join(unseen[:3])})"
            out.append(f"{which} were in no step: their shares stand where they began; raise `tokens`, or join small "
                       "groups")  # fmt: skip
        if bare:
            out.append(f"{bare:,} of {len(self.group):,} documents have no group and keep their own weight; leave them "
                       "out of the arm, or give them one")  # fmt: skip
        return tuple(out)


def raised(
    shares: Floats, loss: Floats, present: npt.NDArray[np.int64], *, step_size: float, adjustment: float = 0.0,
    sizes: npt.NDArray[np.int64] | None = None,
) -> Floats:  # fmt: skip
    """Shares f64[groups] after a step: those present divide what they had by exp(step_size x loss); others stay.

    No share falls below 1e-6 of what is divided, or one wild loss would end a group for good.
    """
    steps = loss[present] + (adjustment / np.sqrt(sizes[present]) if adjustment and sizes is not None else 0.0)
    grown = shares[present] * np.exp(step_size * (steps - steps.max()))
    grown = np.maximum(grown / grown.sum(), LEAST)
    out = shares.copy()
    out[present] = shares[present].sum() * grown / grown.sum()
    return out
