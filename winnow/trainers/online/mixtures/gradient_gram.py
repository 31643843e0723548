"""Domains by the Gram matrix of their gradients: a graph of what helps what, measured while training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.numerics.shares import floored, temperature_shares, tilted
from winnow.trainers.online.mixing import (
    Domains,
    Floats,
    Mixing,
    MixturePolicy,
    check_numbers,
    check_steps,
    inner,
)
from winnow.trainers.online.policy import Learner
from winnow.trainers.online.told import Told


@dataclass(frozen=True, kw_only=True)
class GradientGram(MixturePolicy):
    """Shares in proportion to size x exp(eta x G q): G_ij = <g_i, g_j> of the domains' gradients, q their sizes.

    G is a running mean over looks (`decay`) in units of its own mean diagonal, so eta is free of scale; q, the shares
    of the domains in the selection, says what the model is to be good at. A domain whose gradient helps the large ones
    is read more. Shares begin anew from the sizes at every look and are not multiplied up; each is at least `p_min`.
    The field's other half, domains as clusters of embeddings, is `clusters`: name its column in `per`.

    What differs from the paper [from memory]: it accumulates gradients of training steps that happen anyhow, weighs
    domains by evaluation proportions, and has a round of its own per update; here gradients come from `probe_rows` rows
    per domain that are drawn for it.

    Cost: forward and backward over domains x `probe_rows` rows every `every` steps, and that many gradients in memory.
    Source: R&B (Ge et al. 2025, arXiv 2505.00358), Balance, from memory of the abstract; the form of the update own.
    """

    name: ClassVar[str] = "gradient_gram"

    eta: float = 1.0
    decay: float = 0.5  # of the running mean, per look
    every: int = 50
    probe_rows: int = 4
    p_min: float | None = None  # least share of a domain; default: a tenth of an even one

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range.
        """
        super().validate()
        check_steps(self.every)
        check_numbers(self, eta=0.0, probe_rows=1)
        if not 0 <= self.decay < 1:
            raise ConfigError(f"decay is {self.decay}, and lies in [0, 1)", where="decay")
        if self.p_min is not None and not 0 <= self.p_min < 1:
            raise ConfigError(f"p_min is {self.p_min}, not a share in [0, 1)", where="p_min")

    def acting(self, told: Told, domains: Domains) -> Mixing:
        """Shares by size at first."""
        return Gramming(told=told, domains=domains, policy=self)


@dataclass(kw_only=True)
class Gramming(Mixing):
    """Shares by the running Gram matrix."""

    policy: GradientGram
    gram: list[list[float]] = field(default_factory=list)  # f64[domains, domains]; empty before the first look

    @property
    def looks_every(self) -> int:  # type: ignore[override]
        """As the policy says."""
        return self.policy.every

    def first(self) -> Floats:
        """Shares by size."""
        return np.array(temperature_shares(self.sizes, 1.0))

    def look(self, step: int, learner: Learner) -> None:
        """The Gram matrix of now, and the next shares."""
        found = []
        for k in range(len(self.domains.names)):
            rows = self.data.probe(k, step, self.policy.probe_rows)
            found.append(learner.gradient(rows, rows.weights))
        new = gram_of(found)
        old = np.array(self.gram) if self.gram else new
        now = self.policy.decay * old + (1.0 - self.policy.decay) * new
        self.gram = now.tolist()
        self.p = gram_shares(now, self.first(), eta=self.policy.eta, p_min=self.policy.p_min)

    def state(self) -> dict[str, Any]:
        """Shares and Gram matrix."""
        return {**super().state(), "gram": self.gram}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        super().restore(state)
        self.gram = [list(row) for row in state["gram"]]

    def figures(self) -> dict[str, Any]:
        """With the Gram matrix of the end, in units of its mean diagonal."""
        rows = scaled(np.array(self.gram)).tolist() if self.gram else []
        gram = {name: dict(zip(self.domains.names, row, strict=True))
                for name, row in zip(self.domains.names, rows, strict=False)}  # fmt: skip
        return {**super().figures(), "gram": gram}


def gram_of(gradients: list[dict[str, Any]]) -> Floats:
    """Inner products of all pairs, f64[n, n], symmetric to the bit."""
    out = np.zeros((len(gradients), len(gradients)))
    for i, one in enumerate(gradients):
        for j in range(i + 1):
            out[i, j] = out[j, i] = inner(one, gradients[j])
    return out


def scaled(gram: Floats) -> Floats:
    """The matrix over its mean diagonal."""
    return np.asarray(gram / max(float(np.trace(gram)) / len(gram), 1e-30))


def gram_shares(gram: Floats, sizes: Floats, *, eta: float, p_min: float | None = None) -> Floats:
    """Shares f64[n] in proportion to sizes x exp(eta G sizes), none below `p_min` (default: 1 / (10 n))."""
    gains = eta * (scaled(gram) * sizes).sum(axis=1)
    least = 0.1 / len(sizes) if p_min is None else p_min
    moved = tilted(sizes, gains)
    return moved if moved is sizes else floored(moved, least)
