"""Domains as the arms of a bandit whose reward is their loss: what is still hard is read more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.numerics import numeric
from winnow.core.operators.effect import ReadAt
from winnow.trainers.online.mixing import Domains, Floats, Mixing, MixturePolicy, check_steps
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

Update = Literal["odm", "exp3"]
KEPT = 256  # rewards by which later ones are rescaled
LOW, HIGH = 0.2, 0.8  # their quantiles that become -1 and 1


@dataclass(frozen=True, kw_only=True)
class Bandit(MixturePolicy):
    """Shares by an adversarial bandit: the reward of a domain is the training loss of its rows in a step.

    `update: odm` keeps a running mean of each domain's reward over its share and explores with
    eps_t = min(1 / K, sqrt(ln K / (K t))): shares are (1 - K eps_t) softmax(eps_(t-1) reward) + eps_t. `exp3` rescales
    rewards to [-1, 1] between the 20th and 80th percentile of the last 256, multiplies a domain's weight by
    exp(gamma reward / (K share)), and explores with `gamma`; `forget` gives a part of all weight back to each, so that
    a domain that has become the best one is found.

    Every domain that has rows in a step is rewarded by their mean loss; the papers draw one domain per step. Losses are
    looked at every `every` steps.

    Cost: one look at the losses of every `every`-th step: a pass through the head.
    Source: ODM (Albalak et al. 2023, arXiv 2312.02406); EXP3 and EXP3.S (Auer et al. 2002), the percentiles from
    automated curricula (Graves et al. 2017) as cross-lingual supervision uses them (arXiv 2305.11778).
    """

    name: ClassVar[str] = "bandit"
    read_at: ClassVar[ReadAt] = {
        "decay": ("update", ("odm",)), "gamma": ("update", ("exp3",)), "forget": ("update", ("exp3",)),
    }  # fmt: skip

    update: Update = "odm"
    decay: float = 0.9  # odm: of the running mean, per look
    gamma: float = 0.1  # exp3: share of exploration; 1 is uniform
    forget: float = 0.01  # exp3: part of all weight that comes back to each domain, per look, over K
    every: int = 1  # steps between looks at the losses

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        for name, low, high in (("decay", 0.0, 1.0), ("gamma", 0.0, 1.0), ("forget", 0.0, 1.0)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, and lies in [0, 1]", where=name)
        check_steps(self.every)

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """The bandit at its first step."""
        return Pulling(told=told, domains=domains, policy=self)


@dataclass(kw_only=True)
class Pulling(Mixing):
    """The bandit in a run."""

    policy: Bandit
    now: int = 0
    looks: int = 0
    value: Floats = field(init=False)  # odm: mean rewards; exp3: logs of weights
    rewards: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.value = np.zeros(len(self.domains.names))

    @property
    def weighs(self) -> bool:  # type: ignore[override]
        """At every `every`-th step."""
        return self.now % self.policy.every == 0

    def shares(self, step: int) -> Floats:
        """Shares of a step."""
        self.now = step
        return self.p

    def noted(self, seen: Seen, weights: npt.NDArray[np.float32]) -> None:
        """Reward the domains of the step."""
        loss = domain_losses(seen, self.domains)
        self.looks += 1
        if self.policy.update == "odm":
            seen_now = np.isfinite(loss)
            decay = self.policy.decay
            moved = decay * self.value + (1.0 - decay) * np.where(seen_now, loss, 0.0) / np.maximum(self.p, 1e-12)
            self.value = np.where(seen_now, moved, self.value)
            self.p = odm_shares(self.value, self.looks)
            return
        for arm in np.flatnonzero(np.isfinite(loss)):
            reward = rescaled(float(loss[arm]), self.rewards)
            self.rewards = [*self.rewards, float(loss[arm])][-KEPT:]
            self.value = exp3_step(self.value, int(arm), reward, self.p, gamma=self.policy.gamma)
        self.value = shared_back(self.value, self.policy.forget)
        self.p = exp3_shares(self.value, self.policy.gamma)

    def state(self) -> dict[str, Any]:
        """Shares, rewards and their number."""
        return {**super().state(), "value": self.value.tolist(), "looks": self.looks, "rewards": self.rewards}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        super().restore(state)
        self.value, self.looks = np.array(state["value"], dtype=np.float64), int(state["looks"])
        self.rewards = [float(reward) for reward in state["rewards"]]

    def figures(self) -> dict[str, Any]:
        """With the domains' values: mean rewards (odm) or logs of weights (exp3), and the number of looks."""
        return {**super().figures(), "values": self.domains.named(self.value), "looks": self.looks}


def domain_losses(seen: Seen, domains: Domains) -> Floats:
    """Mean nats per token of every domain's rows in a step, f64[domains]; NaN where it has none."""
    at = seen.rows.weights > 0
    number = domains.number[seen.rows.documents[at]]
    count = np.bincount(number, minlength=len(domains.names))
    total = np.bincount(number, weights=seen.nats[at].astype(np.float64), minlength=len(domains.names))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def odm_rate(looks: int, arms: int) -> float:
    """Exploration after so many looks: min(1 / K, sqrt(ln K / (K t)))."""
    return 1.0 / arms if looks < 1 else min(1.0 / arms, math.sqrt(math.log(arms) / (arms * looks)))


def odm_shares(reward: Floats, looks: int) -> Floats:
    """Shares f64[K] of mean rewards f64[K] after so many looks."""
    arms = len(reward)
    if arms == 1:
        return np.ones(1)
    now, before = odm_rate(looks + 1, arms), odm_rate(looks, arms)
    heights = numeric.exp(before * (reward - reward.max()))
    return np.asarray((1.0 - arms * now) * heights / numeric.sum_in_order(heights) + now)


def exp3_shares(logs: Floats, gamma: float) -> Floats:
    """Shares (1 - gamma) w / sum w + gamma / K of logs of weights f64[K]."""
    heights = numeric.exp(logs - logs.max())
    return np.asarray((1.0 - gamma) * heights / numeric.sum_in_order(heights) + gamma / len(logs))


def exp3_step(logs: Floats, arm: int, reward: float, shares: Floats, *, gamma: float) -> Floats:
    """Logs of weights after an arm of share p gave a reward in [-1, 1]: gamma reward / (K p) more for it."""
    out = logs.copy()
    out[arm] += gamma * reward / (len(logs) * max(float(shares[arm]), 1e-12))
    return np.asarray(out - out.max())


def shared_back(logs: Floats, forget: float) -> Floats:
    """Logs of weights after each got `forget` / K of all weight: EXP3.S."""
    if not forget:
        return logs
    weights = numeric.exp(logs - logs.max())
    return np.asarray(numeric.log(weights + forget / len(logs) * numeric.sum_in_order(weights)))


def rescaled(reward: float, before: list[float]) -> float:
    """A reward on [-1, 1], linear between the 20th and 80th percentile of those before; 0 where they are equal."""
    if not before:
        return 0.0
    low, high = np.quantile(before, (LOW, HIGH))
    return 0.0 if high <= low else float(np.clip(2.0 * (reward - low) / (high - low) - 1.0, -1.0, 1.0))
