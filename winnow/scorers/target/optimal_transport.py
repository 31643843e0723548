"""Entropic optimal transport: potentials of two samples, and their extension to any other point.

Shape suffixes: N source points, M target points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError

Floats = npt.NDArray[np.float64]
ABSORB = 50.0  # nats by which the scalings may grow before they go into the potentials
STAGES = 8  # of annealing: epsilon halves from one to the next
STAGE_ITERATIONS = 200
BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Potentials:
    """Dual potentials in the unit of the cost; f + c and g - c are the same plan."""

    source: Floats  # f64[N]
    target: Floats  # f64[M]
    epsilon: float
    error: float  # sum of absolute differences between the plan's and the given target masses
    iterations: int
    value: float  # transport cost of the plan, without the entropy


def sinkhorn(
    cost_NM: Floats, *, source: Floats | None = None, target: Floats | None = None, epsilon: float,
    tolerance: float = 1e-3, max_iterations: int = 5000,
) -> Potentials:  # fmt: skip
    """Potentials of the entropic problem between the masses `source` and `target` (uniform by default).

    The regularisation is annealed from the cost's scale down to `epsilon`. Stabilised scalings: the iteration is
    two matrix-vector products, and what grows too large is absorbed into the potentials.

    Raises:
        DataError: a mass is not positive, the masses differ, or a cost is not finite.
    Cost: 2 N M multiply-adds per iteration; N M exponentials per stage; memory 2 matrices.
    Source: Cuturi 2013; stabilisation after Schmitzer 2019.
    """
    log_a, log_b = _log_mass(source, cost_NM.shape[0]), _log_mass(target, cost_NM.shape[1])
    if not np.isfinite(cost_NM).all():
        raise DataError("a transport cost is not finite")
    if abs(float(np.exp(log_a).sum() - np.exp(log_b).sum())) > 1e-9:
        raise DataError("the masses of source and target differ")
    f, g = np.zeros(len(log_a)), np.zeros(len(log_b))
    error, spent = float("inf"), 0
    for stage in reversed(range(STAGES)):
        now = epsilon * 2.0**stage
        limit = max_iterations - spent if stage == 0 else STAGE_ITERATIONS
        f, g, error, used = _stage(cost_NM, f, g, log_a, log_b, epsilon=now, tolerance=tolerance, limit=limit)
        spent += used
    plan = np.exp((f[:, None] + g[None, :] - cost_NM) / epsilon + log_a[:, None] + log_b[None, :])
    value = float((plan * cost_NM).sum())
    return Potentials(source=f, target=g, epsilon=epsilon, error=error, iterations=spent, value=value)


def extend(cost_block: Floats, g: Floats, *, epsilon: float, target: Floats | None = None) -> Floats:
    """The source potential at other points, f64[rows of `cost_block`]: the soft c-transform of `g`.

    -epsilon ln sum_j b_j exp((g_j - C_j) / epsilon); at epsilon 0 the hard one, min_j C_j - g_j.
    """
    if epsilon == 0:
        return np.asarray((cost_block - g).min(axis=1))
    return -epsilon * _log_sum((g - cost_block) / epsilon + _log_mass(target, len(g)))


def calibrated(f: Floats) -> Floats:
    """Gradient of the transport cost by a point's mass, taken evenly from all others: f_i - mean of the others.

    Source: Just et al. 2023 (calibrated gradients); Kang et al. 2024 (arXiv 2405.02774).
    """
    if len(f) < 2:
        return np.zeros(len(f))
    return np.asarray(f - (f.sum() - f) / (len(f) - 1))


def _stage(
    cost: Floats, f: Floats, g: Floats, log_a: Floats, log_b: Floats, *, epsilon: float, tolerance: float, limit: int
) -> tuple[Floats, Floats, float, int]:
    """(f, g, error, iterations) at one epsilon; potentials are relative to the product of the masses."""
    f = -epsilon * _log_sum((g[None, :] - cost) / epsilon + log_b[None, :])
    a, b = np.exp(log_a), np.exp(log_b)
    u, v = np.ones_like(a), np.ones_like(b)
    kernel = _kernel(cost, f, g, log_a, log_b, epsilon)
    error, spent = float("inf"), 0
    while spent < limit:
        spent += 1
        columns = u @ kernel
        error = float(np.abs(v * columns - b).sum())
        if error < tolerance:
            break
        v = b / np.maximum(columns, 1e-300)
        u = a / np.maximum(kernel @ v, 1e-300)
        if max(np.abs(np.log(u)).max(), np.abs(np.log(v)).max()) > ABSORB:
            f, g = f + epsilon * np.log(u), g + epsilon * np.log(v)
            u, v = np.ones_like(a), np.ones_like(b)
            kernel = _kernel(cost, f, g, log_a, log_b, epsilon)
    return f + epsilon * np.log(u), g + epsilon * np.log(v), error, spent


def _kernel(cost: Floats, f: Floats, g: Floats, log_a: Floats, log_b: Floats, epsilon: float) -> Floats:
    return np.asarray(np.exp((f[:, None] + g[None, :] - cost) / epsilon + log_a[:, None] + log_b[None, :]))


def _log_sum(exponents: Floats) -> Floats:
    """Log of the sum of exponentials over the last axis, block by block."""
    out = np.empty(len(exponents))
    for low in range(0, len(exponents), BLOCK):
        block = exponents[low : low + BLOCK]
        top = block.max(axis=1, keepdims=True)
        out[low : low + BLOCK] = np.log(np.exp(block - top).sum(axis=1)) + top[:, 0]
    return out


def _log_mass(mass: Floats | None, size: int) -> Floats:
    if mass is None:
        return np.full(size, -np.log(size))
    if len(mass) != size or not (np.asarray(mass) > 0).all():
        raise DataError("masses must be positive, one per point")
    return np.asarray(np.log(mass))
