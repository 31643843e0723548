"""A proxy that reads more of the domains in which it is behind a reference model: its mean shares are the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.shares import excess_step, smoothed
from winnow.core.operators.contract import Meaning
from winnow.trainers.online.mixing import Averaging, Domains, Floats, Mixing, MixturePolicy, check_numbers, check_steps
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class DoremiProxy(MixturePolicy):
    """Shares that rise with the excess loss of a domain over a reference model's: group DRO on the run itself.

    `reference` is the loss of each document under the reference, in nats of the whole document: `nll` of an `lm_nats`
    stage. A sample's excess is max(0, nats per token - the reference's), of a domain the mean over its tokens in the
    step, or the last one known where it has none. Shares become softmax(log share + eta x excess), less `smoothing`
    spread over all. The result's `weights` are the mean of all shares: give the run to `mixture` as `weights_from`.
    `doremi` does the same offline with two columns of losses, for a proxy that does not react to the shares.

    What differs from the paper: rows are drawn by the shares, where it draws domains alike and weighs their losses by
    the shares, which is the same on average; excess is clipped per piece of a document, not per token, because the
    reference is known per document; a piece is compared with its document's mean.

    Cost: one look at the losses of every `every`-th step: a pass through the head.
    Source: DoReMi (Xie et al. 2023); smoothing 1e-4 in its code, 1e-3 from memory for the paper.
    """

    name: ClassVar[str] = "doremi_proxy"
    meaning: ClassVar[Mapping[str, Meaning]] = {"reference": "columns"}

    reference: str  # SQL: nats of the document under the reference model
    eta: float = 1.0
    smoothing: float = 1e-3
    every: int = 1  # steps between looks at the losses

    def numbers(self) -> Mapping[str, str]:
        """The reference's nats."""
        return {"reference": self.reference}

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        check_steps(self.every)
        check_numbers(self, eta=0.0)
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"smoothing is {self.smoothing}, and lies in [0, 1)", where="smoothing")

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """Even shares at first.

        Raises:
            DataError: no document has a reference.
        """
        nats = told.column("reference")
        if not np.isfinite(nats).any():
            raise DataError(f"none of {len(nats):,} documents has a loss under the reference", where="reference",
                            hint="name the column of an `lm_nats` stage over the same rows")  # fmt: skip
        return Exceeding(told=told, domains=domains, policy=self, nats=nats)


@dataclass(kw_only=True)
class Exceeding(Averaging):
    """Shares by excess losses."""

    policy: DoremiProxy
    nats: Floats  # f64[documents]
    now: int = 0
    last: Floats = field(init=False)  # excess of every domain, f64[domains]

    def __post_init__(self) -> None:
        self.last = np.zeros(len(self.domains.names))

    @property
    def weighs(self) -> bool:  # type: ignore[override]
        """At every `every`-th step."""
        return self.now % self.policy.every == 0

    def shares(self, step: int) -> Floats:
        """Shares of a step."""
        self.now = step
        return self.p

    def noted(self, seen: Seen, weights: npt.NDArray[np.float32]) -> None:
        """Excess losses of the step, and the next shares."""
        tokens = np.diff(self.data.pace.data.offsets)[seen.documents] + 1  # a document's end is predicted as well
        found = excess_of(seen, self.nats[seen.documents] / tokens, self.domains)
        self.last = np.where(np.isnan(found), self.last, found)
        gains, smoothing = self.policy.eta * self.last, self.policy.smoothing
        equal = bool((gains == gains[0]).all())  # then nothing moves, not even by a rounding
        self.move(smoothed(self.p, smoothing) if equal else excess_step(self.p, gains, smoothing=smoothing))

    def state(self) -> dict[str, Any]:
        """Shares and excess."""
        return {**super().state(), "last": self.last.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        super().restore(state)
        self.last = np.array(state["last"], dtype=np.float64)

    def figures(self) -> dict[str, Any]:
        """With the last excess of every domain, and documents without a reference."""
        lacking = int((~np.isfinite(self.nats)).sum())
        return {**super().figures(), "excess": self.domains.named(self.last), "without_reference": lacking}

    def remarks(self) -> tuple[str, ...]:
        """Documents without a reference, and a proxy that is nowhere behind it."""
        lacking = int((~np.isfinite(self.nats)).sum())
        what = f"{lacking:,} of {len(self.nats):,} documents have no reference loss and count in no excess"
        worse = "no domain has excess loss in the end, so the shares say nothing of where there is most to learn"
        return (
            *super().remarks(),
            *((f"{what}: give `reference` a column over all rows",) if lacking else ()),
            *((f"{worse}: train the reference longer",) if self.moves and not self.last.any() else ()),
        )


def excess_of(seen: Seen, reference: Floats, domains: Domains) -> Floats:
    """Mean of max(0, loss - reference) over the tokens of every domain in a step, f64[domains]; NaN for none."""
    number = domains.number[seen.documents]
    there = np.isfinite(reference)
    tokens = np.bincount(number[there], weights=seen.tokens[there], minlength=len(domains.names))
    excess = np.maximum(0.0, seen.loss - reference)[there] * seen.tokens[there]
    total = np.bincount(number[there], weights=excess, minlength=len(domains.names))
    return np.where(tokens > 0, total / np.maximum(tokens, 1.0), np.nan)
