"""Compiled greedy selection on integer vectors: farthest first, herding, and the log determinant."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from winnow.core.numerics.knn_kernels import dot
from winnow.core.numerics.numeric_kernels import log1
from winnow.selectors.coverage.lazy_greedy_kernels import drop, heaped, key_of, sink
from winnow.selectors.coverage.walk_kernels import ENDED, PASSED, verdict

_UNIT = 2048.0
_SUMMED = 256  # similarities, at most 2^22 each, whose sum 32 bits hold


@njit(cache=True, nogil=True)
def squares(grid: Any) -> Any:
    """Squared length of every row, i32[rows]."""
    out = np.empty(grid.shape[0], dtype=np.int32)
    for row in range(out.size):
        out[row] = dot(grid[row], grid[row])
    return out


@njit(cache=True, nogil=True)
def most_central(grid: Any, sums: Any) -> Any:
    """The first of the rows with the largest product with `sums` (i64[dim])."""
    best, most = 0, np.int64(-(2**62))
    for row in range(grid.shape[0]):
        total = np.int64(0)
        for at in range(grid.shape[1]):
            total += np.int64(grid[row, at]) * sums[at]
        if total > most:
            best, most = row, total
    return best


@njit(cache=True, nogil=True)
def _farthest(grid: Any, length: Any, rows: Any, centres: Any, lengths: Any, num: Any, least: Any) -> Any:
    """The largest squared distance of one of the rows to the nearest of `num` centres, or `least`."""
    for row in rows:
        nearest = 2.0**31
        for at in range(num):
            nearest = min(nearest, np.float64(length[row] + lengths[at] - 2 * dot(grid[row], centres[at])))
        least = max(least, nearest)
    return least


@njit(cache=True, nogil=True)
def farthest_first(grid: Any, first: int, cost: Any, budget: int) -> Any:
    """(order, squared distance to the nearest earlier pick, the largest one left): a walk until all are near.

    `seen[row]` picks were compared with the row, so that its distance is an upper bound; the top of the heap is
    compared with the rest, as long as it may stay on top. Distances are whole numbers. Copies are not picked.
    """
    rows = grid.shape[0]
    length = squares(grid)
    far = np.full(rows, 2.0**31)
    far[first] = 2.0**32
    seen = np.zeros(rows, dtype=np.int32)
    items = heaped(far)
    centres = np.empty((64, grid.shape[1]), dtype=np.int16)
    lengths = np.empty(64, dtype=np.int32)
    order = np.empty(rows, dtype=np.int64)
    reach = np.empty(rows, dtype=np.float64)
    passed = np.empty(rows, dtype=np.int64)
    num, spent, limit, size, over = 0, 0, budget, rows, 0
    while size > 0:
        row = items[0]
        rival = -1.0
        for child in range(1, min(size, 5)):
            rival = max(rival, far[child])
        at = seen[row]
        while at < num and far[0] >= rival:
            away = np.float64(length[row] + lengths[at] - 2 * dot(grid[row], centres[at]))
            far[0] = min(far[0], away)
            at += 1
        seen[row] = at
        sink(far, items, 0, size)
        if items[0] != row or seen[row] < num:
            continue
        if far[0] == 0.0:
            break
        said, limit = verdict(cost[row], spent, limit, budget)
        if said == ENDED:
            break
        away = far[0]
        size = drop(far, items, size)
        if said == PASSED:
            passed[over] = row
            over += 1
            continue
        spent += cost[row]
        order[num], reach[num] = row, away
        if num == centres.shape[0]:
            more = np.empty((2 * num, grid.shape[1]), dtype=np.int16)
            more[:num] = centres
            longer = np.empty(2 * num, dtype=np.int32)
            longer[:num] = lengths
            centres, lengths = more, longer
        centres[num], lengths[num] = grid[row], length[row]
        num += 1
    left = _farthest(grid, length, passed[:over], centres, lengths, num, far[0] if size > 0 else 0.0)
    return order[:num].copy(), reach[:num].copy(), left


@njit(cache=True, nogil=True)
def _rounded(direction: Any, out: Any) -> None:
    """The direction in whole units that fit 32 bits: up to 2^8 of them per grid unit."""
    largest = 0.0
    for at in range(out.size):
        largest = max(largest, abs(direction[at]))
    scale = 256.0
    while largest * scale >= 2147483647.0:
        scale *= 0.5
    for at in range(out.size):
        out[at] = np.int32(np.rint(direction[at] * scale))


@njit(cache=True, nogil=True)
def herd(grid: Any, sums: Any, cost: Any, budget: int) -> Any:
    """(order, f64 squared distance of the picks' mean to that of all, the same before the first pick).

    A walk under the budget: the next pick is the row most along `picks + 1` times the mean less the sum of the picks,
    ties by number.
    """
    rows, dim = grid.shape
    taken = np.zeros(rows, dtype=np.bool_)
    chosen = np.zeros(dim, dtype=np.int64)
    direction, whole = np.empty(dim, dtype=np.float64), np.empty(dim, dtype=np.int32)
    order = np.empty(rows, dtype=np.int64)
    apart = np.empty(rows, dtype=np.float64)
    num, spent, limit, gone, whole_away = 0, 0, budget, 0, 0.0
    for at in range(dim):
        gap = sums[at] / max(rows, 1) / _UNIT
        whole_away += gap * gap
    while gone < rows:
        for at in range(dim):
            direction[at] = (num + 1) * (sums[at] / rows) - chosen[at]
        _rounded(direction, whole)
        best, most = -1, np.int64(0)
        for row in range(rows):
            total = np.int64(0)
            for at in range(dim):
                total += np.int64(grid[row, at]) * np.int64(whole[at])
            if not taken[row] and (best < 0 or total > most):
                best, most = row, total
        said, limit = verdict(cost[best], spent, limit, budget)
        if said == ENDED:
            break
        taken[best] = True  # or passed over
        gone += 1
        if said == PASSED:
            continue
        spent += cost[best]
        away = 0.0
        for at in range(dim):
            chosen[at] += grid[best, at]
            gap = (sums[at] / rows - chosen[at] / (num + 1)) / _UNIT
            away += gap * gap
        order[num], apart[num] = best, away
        num += 1
    return order[:num].copy(), apart[:num].copy(), whole_away


@njit(cache=True, nogil=True)
def _spread(vector: Any, picks: Any, num: Any, inverse: Any, ridge: Any, out: Any) -> Any:
    """The product x' P x, x the vector at unit length; P = I / ridge less the picks' outer products.

    `out` is lent. With fewer picks than dimensions by the picks (`picks[dim, pick]`), else by P itself. Sums run
    along rows, in one order, so that they vectorise without being regrouped.
    """
    dim = vector.size
    total = 0.0
    if num < dim:
        along = np.zeros(num, dtype=np.float64)
        for at in range(dim):
            x = vector[at] / _UNIT
            total += x * x
            for pick in range(num):
                along[pick] += x * picks[at, pick]
        total /= ridge
        for pick in range(num):
            total -= along[pick] * along[pick]
        return total
    out[:] = 0.0
    for at in range(dim):
        x = vector[at] / _UNIT
        for other in range(dim):
            out[other] += x * inverse[at, other]
    for at in range(dim):
        total += out[at] * (vector[at] / _UNIT)
    return total


@njit(cache=True, nogil=True)
def _direction(vector: Any, inverse: Any, out: Any) -> None:
    out[:] = 0.0
    for at in range(vector.size):
        x = vector[at] / _UNIT
        for other in range(vector.size):
            out[other] += x * inverse[at, other]


@njit(cache=True, nogil=True)
def log_det(grid: Any, ridge: float, cost: Any, per_cost: bool, budget: int) -> Any:
    """(order, gains, what every row would still add, evaluations): lazily, a walk under the budget.

    A row's gain is log(1 + x' P x); a pick with u = P x / sqrt(1 + x' P x) makes P less by u u'.
    """
    rows, dim = grid.shape
    inverse = np.eye(dim) / ridge
    picks = np.zeros((dim, dim), dtype=np.float64)
    work = np.empty(dim, dtype=np.float64)
    keys = np.empty(rows, dtype=np.float64)
    for row in range(rows):
        keys[row] = key_of(
            log1(1.0 + max(_spread(grid[row], picks, 0, inverse, ridge, work), 0.0)), cost[row], per_cost
        )
    items = heaped(keys)
    order = np.empty(rows, dtype=np.int64)
    gains = np.empty(rows, dtype=np.float64)
    chosen = np.zeros(rows, dtype=np.bool_)
    num, spent, limit, size, evaluations = 0, 0, budget, rows, rows
    while size > 0:
        row = items[0]
        spread = max(_spread(grid[row], picks, num, inverse, ridge, work), 0.0)
        gain = log1(1.0 + spread)
        keys[0] = key_of(gain, cost[row], per_cost)
        evaluations += 1
        sink(keys, items, 0, size)
        if items[0] != row:
            continue
        if gain == 0.0:
            break
        said, limit = verdict(cost[row], spent, limit, budget)
        if said == ENDED:
            break
        size = drop(keys, items, size)
        if said == PASSED:
            continue
        spent += cost[row]
        chosen[row] = True
        order[num], gains[num] = row, gain
        _direction(grid[row], inverse, work)
        scale = 1.0 / np.sqrt(1.0 + spread)
        for at in range(dim):
            if num < dim:
                picks[at, num] = work[at] * scale
            for other in range(dim):
                inverse[at, other] -= (work[at] * scale) * (work[other] * scale)
        num += 1
    left = np.zeros(rows, dtype=np.float64)
    for row in range(rows):
        if not chosen[row]:
            left[row] = log1(1.0 + max(_spread(grid[row], picks, num, inverse, ridge, work), 0.0))
    return order[:num].copy(), gains[:num].copy(), left, evaluations


@njit(cache=True, nogil=True)
def excess(products: Any, base: Any, number: Any, coverage: Any, weight: Any, one: Any, out: Any) -> None:
    """`out[base + row]` = by how much a row's similarities f32[rows, demand] exceed the coverage, weighted sum."""
    for row in range(products.shape[0]):
        total = np.int64(0)
        if weight.size == 0:
            for at in range(products.shape[1]):
                similar = min(np.int32(products[row, at]), one)
                total += max(similar - coverage[at], np.int32(0))
        else:
            for at in range(products.shape[1]):
                similar = min(np.int32(products[row, at]), one)
                total += np.int64(weight[at]) * max(similar - coverage[at], np.int32(0))
        own = number[base + row]
        if own >= 0:
            more = np.int64(one - max(min(np.int32(products[row, own]), one), coverage[own]))
            total += more * weight[own] if weight.size else more
        out[base + row] = total


@njit(cache=True, nogil=True)
def _similar(vector: Any, along: Any, own: Any, one: Any, sums: Any, out: Any) -> None:
    """`out` = the products of a vector and `along` (f32[dim, demand]), at most `one`; `sums` (f32[demand]) is lent.

    Four dimensions at a time over all of the demand: no sum leaves the whole numbers that 32 bits hold exactly.
    """
    dim = vector.size
    sums[:] = 0.0
    for first in range(0, dim - dim % 4, 4):
        x, y = np.float32(vector[first]), np.float32(vector[first + 1])
        z, u = np.float32(vector[first + 2]), np.float32(vector[first + 3])
        a, b, c, d = along[first], along[first + 1], along[first + 2], along[first + 3]
        for at in range(sums.size):
            sums[at] += (x * a[at] + y * b[at]) + (z * c[at] + u * d[at])
    for last in range(dim - dim % 4, dim):
        x = np.float32(vector[last])
        for at in range(sums.size):
            sums[at] += x * along[last, at]
    for at in range(sums.size):
        out[at] = min(np.int32(sums[at]), one)
    if own >= 0:
        out[own] = one


@njit(cache=True, nogil=True)
def _adds(similar: Any, coverage: Any, weight: Any) -> Any:
    gain = np.int64(0)
    if weight.size == 0:
        for low in range(0, similar.size, _SUMMED):
            part = np.int32(0)
            for at in range(low, min(low + _SUMMED, similar.size)):
                part += np.int32(max(similar[at] - coverage[at], np.int32(0)))
            gain += part
    else:
        for at in range(similar.size):
            gain += np.int64(weight[at]) * max(similar[at] - coverage[at], np.int32(0))
    return gain


@njit(cache=True, nogil=True)
def cover_demand(
    grid: Any, asked: Any, number: Any, gains: Any, weight: Any, cost: Any, per_cost: bool, budget: int, most: int,
    one: Any,
) -> Any:  # fmt: skip
    """(order, gains, i32 coverage of the demand, evaluations, no more fits): lazily, a walk until nothing adds.

    `asked` are the demand's vectors, `number` a row's place among them or -1, `gains` those of the empty selection,
    `weight` how much each of them asks (none: each once). At most `most` picks.
    """
    along = asked.astype(np.float32).T.copy()
    coverage, similar = np.zeros(asked.shape[0], dtype=np.int32), np.empty(asked.shape[0], dtype=np.int32)
    sums = np.empty(asked.shape[0], dtype=np.float32)
    keys = np.empty(gains.size, dtype=np.float64)
    for row in range(gains.size):
        keys[row] = key_of(gains[row], cost[row], per_cost)
    items = heaped(keys)
    order = np.empty(gains.size, dtype=np.int64)
    picked = np.empty(gains.size, dtype=np.int64)
    num, spent, limit, size, evaluations, full = 0, 0, budget, gains.size, gains.size, False
    while size > 0 and num < most:
        row = items[0]
        _similar(grid[row], along, number[row], one, sums, similar)
        gain = _adds(similar, coverage, weight)
        keys[0] = key_of(gain, cost[row], per_cost)
        evaluations += 1
        sink(keys, items, 0, size)
        if items[0] != row:
            continue
        if gain == 0:
            break
        said, limit = verdict(cost[row], spent, limit, budget)
        if said == ENDED:
            full = True
            break
        size = drop(keys, items, size)
        if said == PASSED:
            continue
        spent += cost[row]
        order[num], picked[num] = row, gain
        num += 1
        for at in range(similar.size):
            coverage[at] = max(coverage[at], similar[at])
    return order[:num].copy(), picked[:num].copy(), coverage, evaluations, full


@njit(cache=True, nogil=True)
def nearest_similarity(products: Any, one: Any, out: Any) -> None:
    """`out[row]` = the largest product of a row and those before, in [0, one]."""
    for row in range(products.shape[0]):
        most = out[row]
        for at in range(products.shape[1]):
            most = max(most, np.int32(products[row, at]))
        out[row] = min(most, one)


@njit(cache=True, nogil=True)
def cover_in_turn(products: Any, base: Any, order: Any, weight: Any, one: Any, out: Any, gains: Any) -> None:
    """As `nearest_similarity` for rows from `base` on, and what every pick adds to them after those before it."""
    for row in range(products.shape[0]):
        most = out[row]
        mass = np.int64(weight[base + row]) if weight.size else np.int64(1)
        for at in range(order.size):
            similar = one if order[at] == base + row else min(np.int32(products[row, at]), one)
            if similar > most:
                gains[at] += mass * (similar - most)
                most = similar
        out[row] = most


@njit(cache=True, nogil=True)
def similarities_of_lists(grid: Any, starts: Any, neighbours: Any, one: Any, out: Any) -> None:
    """`out` = the similarity of every row to those that its list names, at most `one`; 0 where it names no row."""
    for row in range(starts.size - 1):
        for at in range(starts[row], starts[row + 1]):
            out[at] = min(dot(grid[row], grid[neighbours[at]]), one) if neighbours[at] >= 0 else 0
