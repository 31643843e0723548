"""Reducible loss: documents that the model has yet to learn, and that can be learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators.effect import ReadAt, left_out
from winnow.trainers.online.by_score import alike, column_of, missing, silent
from winnow.trainers.online.column_policy import ColumnPolicy
from winnow.trainers.online.excess import Floats, best, soft
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.seen import Per, Seen
from winnow.trainers.online.told import Told

TREATED = "they stand at the median of their step"


@dataclass(frozen=True, kw_only=True)
class Rho(ColumnPolicy):
    """Weights of samples by their excess loss: the model's mean nats per token less `reference`, a column of the same.

    Without a `temperature` the `keep` share of a step's samples with the largest excess have weight 1 and the others 0
    (at least one; of equal ones the first in the step); with one, weights are softmax(excess / temperature). Noise is
    hard for the reference too and has no excess; what is learned already has none either. Weights keep the step's sum.

    `reference` is the loss under a model of other, held-out data in nats per token of the run's own tokenizer, such as
    `lm_nats` gives: `base.nats_per_token`. Of a document that is cut into pieces every piece is held against the whole
    document's. A document without it stands at the median of its step, and is counted.

    Cost: a look at the losses of the step, a sort of its samples.
    Source: Mindermann et al. 2022 (RHO-loss, b = 10 % of B); weights instead of a cut own
    """

    name: ClassVar[str] = "rho"
    seam: ClassVar[Seam] = "weights"
    columns_from: ClassVar[tuple[str, ...]] = ("reference",)
    tells_missing: ClassVar[bool] = True
    read_at: ClassVar[ReadAt] = {"keep": ("temperature", left_out)}

    reference: str  # SQL: nats per token under the reference
    keep: float = 0.1  # share of a step's samples; 1: all
    temperature: float = 0.0  # in nats; 0: a cut; .inf: all weights equal
    per: Per = "token"  # what a weight multiplies: every token, so that long samples count more, or the sample

    def numbers(self) -> Mapping[str, str]:
        """The reference's loss."""
        return {"reference": self.reference}

    def validate(self) -> None:
        """Raise ConfigError for a share or a temperature that is none."""
        if not 0 < self.keep <= 1:
            raise ConfigError(f"keep is {self.keep}, not a share in (0, 1]", where="keep")
        if not self.temperature >= 0:
            raise ConfigError(f"temperature is {self.temperature}, and must be at least 0", where="temperature")

    def begin(self, told: Told) -> Acting:
        """What weighs the samples of a run."""
        return Reducing(policy=self, reference=column_of(told, "reference"), blind=math.log(told.vocab))


@dataclass(kw_only=True)
class Reducing(Acting):
    """The excess losses of a run; its state are figures alone."""

    policy: Rho
    reference: Floats
    blind: float  # loss of a model that knows nothing, in nats per token
    samples: int = 0
    unknown: int = 0  # samples without a reference
    total: float = 0.0  # of excesses

    weighs = True
    todo = "lower `keep` or `temperature`, give a step more documents, or leave it out"

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """Weights of tokens f32[B, T]; those of the rows where all weights are equal."""
        excess = seen.loss - self.reference[seen.documents]
        known = np.isfinite(excess)
        self.samples, self.unknown = self.samples + len(excess), self.unknown + int((~known).sum())
        self.total += float(excess[known].sum())
        if not known.any():
            return seen.rows.weights
        excess[~known] = np.median(excess[known])
        policy = self.policy
        weights = soft(excess, policy.temperature) if policy.temperature else best(excess, policy.keep)
        return seen.spread(weights, per=policy.per)

    def state(self) -> dict[str, Any]:
        """The figures so far."""
        return {"samples": self.samples, "unknown": self.unknown, "total": self.total}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.samples, self.unknown, self.total = int(state["samples"]), int(state["unknown"]), float(state["total"])

    def idle(self) -> str:
        """That no document has a reference."""
        return "" if np.isfinite(self.reference).any() else alike(self.reference, "reference")

    def figures(self) -> dict[str, Any]:
        """Documents without a reference, samples seen, their mean excess in nats per token."""
        known = self.samples - self.unknown
        return {**missing(self.reference, TREATED), "samples": self.samples, "unknown_samples": self.unknown,
                "mean_excess": self.total / known if known else None}  # fmt: skip

    def remarks(self) -> tuple[str, ...]:
        """Documents without a reference; a reference of another unit."""
        said = silent(self.figures(), "reference")
        known = self.reference[np.isfinite(self.reference)]
        if len(known) and (same := alike(self.reference, "reference")):
            said += (f"the excess is the model's own loss, which noise has too: {same}",)
        if not len(known) or np.median(known) <= self.blind:
            return said
        median = (
            f"the median `reference` is {np.median(known):.3g} nats per token, above the {self.blind:.3g} of a model "
        )
        return (*said, median + "that knows nothing: it may be per document, or in another unit; give `nats_per_token`")
