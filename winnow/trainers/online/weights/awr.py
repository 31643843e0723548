"""Advantage-weighted regression: documents count by how much better they score than the model expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators.effect import ReadAt, below_one
from winnow.trainers.data.batches import Batch
from winnow.trainers.online.by_score import (
    MOST,
    ByScore,
    Floats,
    Tasks,
    advantage_weights,
    alike,
    column_of,
    missing,
    silent,
)
from winnow.trainers.online.policy import Acting
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told
from winnow.trainers.online.value_head import ValueHead

TREATED = "they are learned with the weight `alpha`, and teach the value nothing"


@dataclass(frozen=True, kw_only=True)
class Awr(ByScore):
    """Weights of tokens by their advantage A = R - V, alpha x min(exp(A / beta), 1000), beside a value V that learns R.

    R is minus the document's score. V is a linear function of what the model's head reads at each token (behind minus a
    sigmoid, for scores in [0, 1]; `value: linear` for others), zero at first, and learns by (1 - alpha) x the mean of
    (R - V)^2, whose gradient reaches the whole model unless `detach`. The reported loss is the sum of both. The weights
    multiply the loss as they are. With alpha 1 no value is learned, and A = R as in `rwr`. V's tensors lie in the
    checkpoints; the model that comes out has none.

    Raises:
        ConfigError: scores outside of [0, 1] under a sigmoid.
    Cost: a product of the hidden states with one vector, twice.
    Source: Korbak et al. 2023, section 2.1 (AWR; Peng et al. 2019), and their configurations: a value head of one
        vector, zero at first, not detached. With alpha 1 their code still takes off its untrained output
    """

    name: ClassVar[str] = "awr"
    read_at: ClassVar[ReadAt] = dict.fromkeys(("value", "value_lr", "detach"), ("alpha", below_one))
    presets: ClassVar[Tasks] = {
        "task": {
            "toxicity": {"alpha": 0.5, "beta": 10.0}, "pii": {"alpha": 0.5, "beta": 0.1},
            "pep8": {"alpha": 0.05, "beta": 1.0},
        }
    }  # fmt: skip

    alpha: float = 0.5  # of the language model's part of the loss
    beta: float = 10.0  # temperature; .inf: all weights alpha
    most: float = MOST  # no exp(A / beta) is larger
    value: Literal["sigmoid", "linear"] = "sigmoid"
    value_lr: float = 0.004  # peak learning rate of the value's vector, by AdamW
    detach: bool = False  # whether the value's gradient stays out of the model

    def validate(self) -> None:
        """Raise ConfigError for shares, temperatures, caps and rates that are none."""
        if not 0 < self.alpha <= 1:
            raise ConfigError(f"alpha is {self.alpha}, not in (0, 1]", where="alpha")
        if not self.beta > 0:
            raise ConfigError(f"beta is {self.beta}, and must be above 0", where="beta", hint="as 10")
        for name in ("most", "value_lr"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be a number above 0", where=name)

    def begin(self, told: Told) -> Acting:
        """What weighs the tokens of a run, and learns the value."""
        score = column_of(told, "score")
        known = score[np.isfinite(score)]
        if self.value == "sigmoid" and self.alpha < 1 and len(known) and not 0 <= known.min() <= known.max() <= 1:
            raise ConfigError(f"scores lie in [{known.min():g}, {known.max():g}], and a sigmoid in [0, 1]",
                              where="policy.value", hint="give `value: linear`, or scale the score")  # fmt: skip
        head = ValueHead(sigmoid=self.value == "sigmoid", rate=self.value_lr) if self.alpha < 1 else None
        return Expecting(policy=self, score=score, head=head)


@dataclass(kw_only=True)
class Expecting(Acting):
    """The value in a run, and the weights that it gives."""

    policy: Awr
    score: Floats
    head: ValueHead | None
    tokens: int = 0
    error: float = 0.0  # sum of (R - V)^2 over tokens
    capped: int = field(default=0)

    weighs = True
    todo = "lower `beta` or `alpha`, or leave it out"

    @property
    def besides(self) -> bool:  # type: ignore[override]
        """Where a value is learned beside the tokens."""
        return self.head is not None

    def idle(self) -> str:
        """That all scores are one: the value learns it, and no document is better than expected."""
        return alike(self.score, "score")

    def rewards(self, rows: Batch) -> Floats:
        """Reward of every target's document, f64[B, T]; NaN where there is none."""
        return np.where(rows.documents >= 0, -self.score[np.maximum(rows.documents, 0)], np.nan)

    def measured(self, hidden_ND: Any) -> Any:
        """V of every token of a pass, f32[N]."""
        return None if self.head is None else self.head.value(hidden_ND)

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """Weights of tokens f32[B, T]."""
        own, policy = seen.rows.weights, self.policy
        advantage = self.rewards(seen.rows)
        if self.head is not None:
            assert seen.measured is not None
            advantage = advantage - seen.measured
        known = np.isfinite(advantage) & (own > 0)
        self.tokens += int(known.sum())
        self.error += float((advantage[known] ** 2).sum())
        each = policy.alpha * advantage_weights(advantage, beta=policy.beta, most=policy.most)
        self.capped += int((each[known] >= policy.alpha * policy.most).sum())
        return own if (each[own > 0] == 1.0).all() else np.asarray(own * each, dtype=np.float32)

    def beside(self, step: int, rows: Batch, hidden_ND: Any, num_tokens: float) -> Any:
        """(1 - alpha) x the sum of (R - V)^2 of a pass over the tokens of the step, with gradients; None: no value."""
        if self.head is None:
            return None
        reward = self.rewards(rows)
        weights = np.where(np.isnan(reward), 0.0, rows.weights > 0) * (1.0 - self.policy.alpha) / num_tokens
        hidden_ND = hidden_ND.detach() if self.policy.detach else hidden_ND
        return self.head.error(hidden_ND, np.nan_to_num(reward), weights)

    def learned(self) -> list[Any]:
        """The value's vector."""
        return [] if self.head is None else self.head.parameters()

    def stepped(self, rate: float) -> None:
        """Move the value's vector by its gradient."""
        if self.head is not None:
            self.head.step(rate)

    def state(self) -> dict[str, Any]:
        """The figures so far, and the number of the value's steps."""
        steps = 0 if self.head is None else self.head.steps
        return {"tokens": self.tokens, "error": self.error, "capped": self.capped, "value_steps": steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.tokens, self.error, self.capped = int(state["tokens"]), float(state["error"]), int(state["capped"])
        if self.head is not None:
            self.head.steps = int(state["value_steps"])

    def tensors(self) -> dict[str, Any]:
        """The value's vector and its moments; none before the first step."""
        return {} if self.head is None else self.head.tensors()

    def restore_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Go on from `tensors`."""
        if self.head is not None:
            self.head.restore(tensors)

    def figures(self) -> dict[str, Any]:
        """Documents without a score, the mean squared error of V (of R alone with alpha 1), tokens at the cap."""
        error = self.error / self.tokens if self.tokens else None
        return {**missing(self.score, TREATED), "value_error": error, "capped_tokens": self.capped}

    def remarks(self) -> tuple[str, ...]:
        """Documents without a score; an alpha that learns no value."""
        said = silent(self.figures(), "score")
        return said if self.head is not None else (*said, "alpha 1 learns no value: this is `rwr` by tokens")
