"""A policy in one run: what it is, what it was told, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.operators.config import dump
from winnow.core.terminal import percent
from winnow.trainers.data.batches import Batches
from winnow.trainers.data.numbering import account_of
from winnow.trainers.online.policy import Acting, Policy
from winnow.trainers.online.told import Told

LEAST_SHARE = 0.1  # of the samples: an effective number below it means that few documents train the model
LAST = 0.1  # of the steps, over which that is asked


@dataclass(frozen=True, kw_only=True)
class Record:
    """What came of a policy: arrays f64[steps], and what it tells itself.

    `plain_losses` are the losses without weights and soft labels of the policy, nats per token; `ess` is the effective
    number of samples, (sum w)^2 / sum w^2, as a share of those of the step: 1 where all count alike. Steps at which the
    policy was not asked have NaN.
    """

    plain_losses: npt.NDArray[np.float64]
    ess: npt.NDArray[np.float64]
    figures: dict[str, Any]
    columns: dict[str, npt.NDArray[np.float64]]
    own_remarks: tuple[str, ...] = ()
    idle: str = ""  # why nothing can have changed

    def facts(self) -> dict[str, Any]:
        """Metrics: the unweighted losses as a run tells its losses, effective sample sizes, the policy's figures."""
        asked, plain = np.isfinite(self.ess), self.plain_losses[np.isfinite(self.plain_losses)]
        out: dict[str, Any] = {"figures": self.figures}
        if len(plain):
            last = float(plain[-min(len(plain), 20) :].mean())
            out |= {"first_plain_loss": float(plain[0]), "last_plain_loss": last}
        if asked.any():
            out |= {
                "mean_ess_share": float(self.ess[asked].mean()), "least_ess_share": float(self.ess[asked].min()),
                "last_ess_share": self.last_ess(),
            }  # fmt: skip
        return out

    def last_ess(self) -> float:
        """Median effective share of the samples over the last tenth of the steps; NaN where nothing was weighed."""
        last = self.ess[-max(1, round(LAST * len(self.ess))) :]
        return float(np.median(last[np.isfinite(last)])) if np.isfinite(last).any() else float("nan")

    def remarks(self) -> tuple[str, ...]:
        """The policy's own, that it changed nothing, and that few samples trained the model in the end."""
        last, idle = self.last_ess(), (f"the policy changed nothing: {self.idle}",) if self.idle else ()
        if not last < LEAST_SHARE:
            return (*self.own_remarks, *idle)
        told = f"over the last tenth of the steps the effective sample size is {percent(last)} of a step's samples"
        few = f"{told}: the policy trains on few of them; raise its temperature, or cap its weights"
        return (*self.own_remarks, *idle, few)


@dataclass(kw_only=True)
class PolicyRun:
    """A policy for `fit(policy=...)`. `record` is there when the run is done.

    `digests` are those of what it reads (columns, texts, models) by name: with them, its name, fields, seed and number
    of steps a checkpoint knows it, and resuming under another one is refused.
    """

    policy: Policy
    told: Told
    digests: Mapping[str, str] = field(default_factory=dict)
    record: Record | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What it is, as JSON gives it back."""
        import orjson

        said = {
            "name": self.policy.name, "version": self.policy.version, "fields": dump(self.policy),
            "digests": dict(sorted(self.digests.items())), "steps": self.told.steps, "seed": self.told.seed,
        }  # fmt: skip
        out: dict[str, Any] = orjson.loads(orjson.dumps(said))
        return out

    def begin(self) -> Acting:
        """The policy at its first step."""
        return self.policy.begin(self.told)


def told_of(batches: Batches, *, vocab: int, context: int, batch: int, seed: int = 0, **more: Any) -> Told:
    """What a policy is told of these batches; `more` are other fields of `Told`."""
    account = account_of(batches)
    documents = None if account is None else account.doc_id
    return Told(steps=batches.num_steps, seed=seed, vocab=vocab, context=context, batch=batch,
                **{"doc_id": documents, **more})  # fmt: skip
