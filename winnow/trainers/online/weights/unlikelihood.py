"""Unlikelihood: what is well scored is made likelier, what is badly scored less likely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators.effect import ReadAt, given
from winnow.trainers.data.batches import Batch
from winnow.trainers.online.by_score import Floats, Task, Tasks, alike, column_of, missing, silent
from winnow.trainers.online.column_policy import ColumnPolicy
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.token_scores import TokenScores, token_scores
from winnow.trainers.online.told import Told

LEAST = 1e-20  # of 1 - p
TREATED = "they are learned by likelihood"


@dataclass(frozen=True, kw_only=True)
class Unlikelihood(ColumnPolicy):
    """Loss of tokens by their score: -log p up to `tau`, -alpha log(1 - p) above; the reported loss is that one.

    Its gradient is that of the cross-entropy times 1, or times -alpha p / (1 - p). A token has the score of its
    document (`score`), or of the sentence or line in which its first byte lies (`segment_scores` and `segment_ends`,
    lists as the operator `segment_scores` gives them). What has no score is learned by likelihood, and counted.

    Raises:
        DataError: the lists are not of the text that is trained on.
    Cost: a look at the softmax of the tokens above `tau`; nothing more where there is none.
    Source: Korbak et al. 2023, section 2.1, after Welleck et al. 2020. Their code takes a `tau` of 0 for "no threshold"
        and mixes both losses by the score; here 0 is a threshold
    """

    name: ClassVar[str] = "unlikelihood"
    does: ClassVar[str] = "some made less likely"
    seam: ClassVar[Seam] = "weights"
    tells_missing: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("score", "segment_scores", "segment_ends")
    read_at: ClassVar[ReadAt] = {"segment_ends": ("segment_scores", given)}
    presets: ClassVar[Tasks] = {
        "task": {
            "toxicity": {"tau": 7.8e-4, "alpha": 1.0}, "pii": {"tau": 0.0, "alpha": 1.0},
            "pep8": {"tau": 0.0, "alpha": 0.01},
        }
    }  # fmt: skip

    score: str = ""  # SQL: the misalignment of a document
    segment_scores: str = ""  # a column of lists instead: that of each segment
    segment_ends: str = ""  # and where each ends, in bytes
    task: Task = ""  # published numbers of this task for the fields that are left out
    tau: float | None = None  # the largest score that is learned by likelihood; .inf: all
    alpha: float = 1.0  # weight of the unlikelihood

    def validate(self) -> None:
        """Raise ConfigError without a threshold, without or with two scores, or for a weight below 0."""
        if self.tau is None or np.isnan(self.tau):
            raise ConfigError("no threshold", where="tau", hint="give `tau:`, or `task: toxicity`, `pii` or `pep8`")
        if bool(self.score) == bool(self.segment_scores):
            raise ConfigError("a score of documents or of segments, one of them", where="score",
                              hint="give `score:`, or `segment_scores:` with `segment_ends:`")  # fmt: skip
        if self.segment_scores and not self.segment_ends:
            raise ConfigError("scores of segments without their ends", where="segment_ends",
                              hint="the operator `segment_scores` gives both")  # fmt: skip
        if not 0 <= self.alpha < float("inf"):
            raise ConfigError(f"alpha is {self.alpha}, and must be at least 0", where="alpha")

    def numbers(self) -> Mapping[str, str]:
        """The score, where documents have one."""
        return {"score": self.score} if self.score else {}

    def lists(self) -> Mapping[str, str]:
        """The lists, where segments have one."""
        both = {"segment_scores": self.segment_scores, "segment_ends": self.segment_ends}
        return both if self.segment_scores else {}

    def spells(self) -> bool:
        """Where segments have the scores."""
        return bool(self.segment_scores)

    def begin(self, told: Told) -> Acting:
        """What tells the tokens of a run apart."""
        assert self.tau is not None
        if self.score:
            return Unlikely(policy=self, score=column_of(told, "score"))
        tokens = told.spelt()
        scores = token_scores(told.columns["segment_scores"], told.columns["segment_ends"], tokens=tokens.ids,
                              offsets=tokens.offsets, token_bytes=tokens.bytes)  # fmt: skip
        none = told.columns["segment_scores"].is_null().to_numpy()
        return Unlikely(policy=self, score=np.where(none, np.nan, 0.0), of_tokens=scores)


@dataclass(kw_only=True)
class Unlikely(Acting):
    """The two losses in a run; its state are counts."""

    policy: Unlikelihood
    score: Floats  # of documents; of segments: whether there are any
    of_tokens: TokenScores | None = None
    tokens: int = 0
    above: int = field(default=0)

    besides = True
    weighs = True  # for the figures: the plain loss beside the one trained on

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """The rows' own weights; counts what is above `tau`."""
        at = seen.rows.weights > 0
        self.tokens, self.above = self.tokens + int(at.sum()), self.above + int(self.misaligned(seen.rows)[at].sum())
        return seen.rows.weights

    def misaligned(self, rows: Batch) -> npt.NDArray[np.bool_]:
        """Whether a target's score is above the threshold, bool[B, T]."""
        tau = self.policy.tau
        assert tau is not None
        if self.of_tokens is not None:
            return np.asarray(self.of_tokens.of(rows) > tau)
        documents = rows.documents
        return np.asarray((documents >= 0) & (self.score[np.maximum(documents, 0)] > tau))

    def head_extra(self, step: int, rows: Batch, device: str) -> Any:
        """The unlikelihood of the tokens above `tau`; None where there is none."""
        import torch

        above = self.misaligned(rows)
        if not above.any():
            return None
        targets = torch.from_numpy(np.ascontiguousarray(rows.targets)).flatten().to(device)
        return Unlikeness(above=torch.from_numpy(above).flatten().to(device), targets=targets, alpha=self.policy.alpha)

    def state(self) -> dict[str, Any]:
        """The counts so far."""
        return {"tokens": self.tokens, "above": self.above}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.tokens, self.above = int(state["tokens"]), int(state["above"])

    def figures(self) -> dict[str, Any]:
        """Tokens seen, the share of them above `tau`, documents without a score."""
        return {**missing(self.score, TREATED), "tokens": self.tokens, "tau": self.policy.tau,
                "misaligned_share": self.above / self.tokens if self.tokens else 0.0}  # fmt: skip

    def remarks(self) -> tuple[str, ...]:
        """Documents without a score, and a threshold that all tokens are above."""
        said = silent(self.figures(), self._name())
        return (*said, self._one_side("all")) if self.tokens and self.above == self.tokens else said

    def idle(self) -> str:
        """That no token is above the threshold."""
        if self.above or not self.tokens:
            return ""
        return alike(self.score, self._name()) if np.isnan(self.score).all() else self._one_side("none")

    def _one_side(self, which: str) -> str:
        told = f"{which} of {self.tokens:,} tokens lie above tau {self.policy.tau:g}"
        return f"{told}: look at the unit and the direction of `{self._name()}`"

    def _name(self) -> str:
        return "score" if self.policy.score else "segment_scores"


@dataclass(frozen=True, kw_only=True)
class Unlikeness:
    """-alpha log(1 - p) in place of -log p for some tokens of a pass (implements `model.head.Extra`).

    1 - p is added up of the other shares, so that a sure model's is known; its gradient for the logits is alpha p at
    the token and -alpha p x share / (1 - p) elsewhere, which stays within alpha however small 1 - p is.
    """

    above: Any  # bool[N]
    targets: Any  # i64[N]
    alpha: float
    share: float = 1.0

    def soft(self, chunk: slice, logits_CV: Any, shares_CV: Any, log_total_C: Any, /) -> tuple[Any, Any]:
        """(losses f32[C], softmax less gradient f32[C, V])."""
        import torch

        above, target = self.above[chunk], self.targets[chunk][:, None]
        nats = log_total_C - logits_CV.gather(1, target)[:, 0].float()
        pull = torch.zeros_like(shares_CV).scatter_(1, target, 1.0)
        if not bool(above.any()):
            return nats, pull
        rows, at = above.nonzero()[:, 0], target[above]
        others = shares_CV[rows].scatter(1, at, 0.0)
        rest = others.sum(dim=1)
        p = shares_CV[rows].gather(1, at)[:, 0]
        push = torch.where(rest >= LEAST, self.alpha * p, 0.0)  # where 1 - p is clamped nothing is learned
        gradient = others * (-push / rest.clamp_min(LEAST))[:, None]
        gradient.scatter_(1, at, push[:, None])
        nats[rows] = -self.alpha * rest.clamp_min(LEAST).log()
        pull[rows] = shares_CV[rows] - gradient
        return nats, pull
