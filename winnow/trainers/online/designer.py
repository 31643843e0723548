"""A designer of weights: a small function of a sample's features, taught to favour what aligns with a goal.

The value of weights w over samples is sum(w_i a_i): to first order what a step of training on them takes off the loss
of the feedback, where a_i is the inner product of the sample's gradient with the feedback's. The designer maximises it
less `kl` x KL(w || uniform). With features that tell all samples apart the answer is softmax(a / kl).

Shape suffixes: S samples, F features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Link = Literal["softmax", "sigmoid"]
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # of Adam
PARTS = ("straight", "inner", "offset", "outer")


def shares_of(logits_S: Floats, link: Link) -> Floats:
    """Weights that add up to 1, f64[S]: softmax of the logits, or their sigmoids over the sum of these."""
    if link == "softmax":
        raw = np.exp(logits_S - logits_S.max(initial=-np.inf))
    else:
        raw = 0.5 * (1.0 + np.tanh(0.5 * logits_S))
    return np.asarray(raw / raw.sum())


def effective_share(weights_S: Floats) -> float:
    """Effective sample size over the number of samples, in (0, 1]: (sum w)^2 / (n sum w^2)."""
    return float(weights_S.sum() ** 2 / (len(weights_S) * (weights_S**2).sum()))


def objective(logits_S: Floats, alignment_S: Floats, *, kl: float, link: Link) -> tuple[float, Floats]:
    """(-sum w a + kl x KL(w || uniform), its derivative for every logit f64[S])."""
    shares = shares_of(logits_S, link)
    surprise = np.log(np.maximum(shares, 1e-300) * len(shares))
    price = kl * surprise - alignment_S
    bend = 1.0 if link == "softmax" else 1.0 - 0.5 * (1.0 + np.tanh(0.5 * logits_S))
    return float(shares @ price), shares * bend * (price - shares @ price)


@dataclass(kw_only=True)
class Designer:
    """logit = features . straight + tanh(features . inner + offset) . outer; every sample alike at the beginning."""

    features: int
    hidden: int
    seed: int
    rate: float
    link: Link = "softmax"
    weights: dict[str, Floats] = field(init=False)
    moments: dict[str, Floats] = field(init=False)
    updates: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        draw = np.random.Generator(np.random.Philox(key=self.seed))
        bound = 1.0 / max(self.features, 1) ** 0.5
        self.weights = {
            "straight": np.zeros(self.features),
            "inner": draw.uniform(-bound, bound, (self.features, self.hidden)),
            "offset": draw.uniform(-bound, bound, self.hidden),
            "outer": np.zeros(self.hidden),
        }
        self.moments = {f"{kind}.{name}": np.zeros_like(w) for name, w in self.weights.items() for kind in ("m", "v")}

    def logits(self, x_SF: Floats) -> Floats:
        """Logit of every sample, f64[S]."""
        return np.asarray(x_SF @ self.weights["straight"] + self._hidden(x_SF) @ self.weights["outer"])

    def learn(self, x_SF: Floats, alignment_S: Floats, *, kl: float, updates: int) -> float:
        """Take some steps of Adam on the objective over these samples; returns its value before the last one."""
        value = 0.0
        for _ in range(updates):
            hidden = self._hidden(x_SF)
            logits = x_SF @ self.weights["straight"] + hidden @ self.weights["outer"]
            value, slope = objective(logits, alignment_S, kl=kl, link=self.link)
            back = slope[:, None] * self.weights["outer"] * (1.0 - hidden**2)
            self._update(
                {
                    "straight": x_SF.T @ slope,
                    "inner": x_SF.T @ back,
                    "offset": back.sum(axis=0),
                    "outer": hidden.T @ slope,
                }
            )
        return value

    def tensors(self) -> dict[str, Floats]:
        """Weights and moments by name."""
        return {**self.weights, **self.moments}

    def restore(self, tensors: Mapping[str, Floats], updates: int) -> None:
        """Go on from `tensors` after `updates` steps."""
        self.weights = {name: np.array(tensors[name], dtype=np.float64) for name in self.weights}
        self.moments = {name: np.array(tensors[name], dtype=np.float64) for name in self.moments}
        self.updates = updates

    def _hidden(self, x_SF: Floats) -> Floats:
        return np.asarray(np.tanh(x_SF @ self.weights["inner"] + self.weights["offset"]))

    def _update(self, gradient: Mapping[str, Floats]) -> None:
        self.updates += 1
        for name, slope in gradient.items():
            first, second = self.moments[f"m.{name}"], self.moments[f"v.{name}"]
            first += (1 - BETA_1) * (slope - first)
            second += (1 - BETA_2) * (slope**2 - second)
            scale = np.sqrt(second / (1 - BETA_2**self.updates)) + EPSILON
            self.weights[name] = self.weights[name] - self.rate * first / (1 - BETA_1**self.updates) / scale
