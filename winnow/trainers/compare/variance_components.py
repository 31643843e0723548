"""How sure a mean difference between two arms is, when training and the draw of documents are both noise.

A score has two sources of noise: training (initialisation, order), variance t, and the documents that were drawn,
variance d. Scores of one or two labels share the latter as far as their selections have documents in common:
Cov = d x O + t x I, with O the matrix of common shares in [0, 1]. The variance within label a over its seeds has the
mean t + d x w_a, where w_a is one minus the mean share that two of its seeds have in common: 1 where draws have nothing
in common, 0 where all seeds train on one selection. The variance of a difference of means is gt x t + gd x d, with
known gt and gd (`weights_of`), so it is estimated from all labels together. Two cases:

* it is a sum of measured variances with positive weights (two drawn arms; a fixed arm taken as it is): weighted least
  squares, t distribution with the degrees of freedom of Satterthwaite;
* the draw must be told apart from training by subtraction (a fixed arm as one draw of its method): the variance is no
  longer chi-square. Given the ratio of t to t + d everything is a t distribution; it is averaged over what the
  variances say of that ratio, under the reference prior 1 / (t (t + d)) on d >= 0. Coverage is then at least as stated:
  close to it where the draw is most of the noise, above it where the draw is little of it.

Everything is computed for many comparisons at once (leading axis R), so that simulations run what comparisons run.
Shape suffixes: R comparisons, L labels, G points of the ratio.

Source: Satterthwaite 1946; Box and Tiao 1973 (random effects, reference prior); the matrix of common shares is own
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
POINTS = 64  # of the ratio of training noise to all noise, evenly on its logarithm
SMALLEST_RATIO, LARGEST_START = 1e-8, 1e-3
ROUNDS = 4  # of reweighting
CONTRAST = 0.03  # standard deviation of w below which training and draw cannot be told apart
SUBTRACTED = 0.1  # share of the variance that may be subtracted before the ratio is averaged over
LEAST_DRAWN = 0.05  # w of a label that counts as drawn at all
BELOW, ABOVE, FAR_ABOVE = 0.05, 0.5, 0.001  # levels over all labels of being out of line
DOUBLINGS, BISECTIONS = 100, 60


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Variances over seeds of all labels of a comparison on one measure.

    variances f64[R, L]; df f64[R, L] their degrees of freedom, 0 for a label that is left out; within f64[L] is w.
    """

    variances: Floats
    df: Floats
    within: Floats


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """Distribution of a difference's error: a mixture of scaled t distributions, each f64[R, G]; weights sum to 1."""

    weights: Floats
    variances: Floats
    df: Floats

    @property
    def variance(self) -> Floats:
        """Of the difference, f64[R]: the mean over the mixture."""
        return np.asarray((self.weights * self.variances).sum(axis=1))

    def plus(self, variance: Floats, df: float) -> Uncertainty:
        """With an independent variance f64[R] more, of so many degrees of freedom (Satterthwaite at every point)."""
        more = np.asarray(variance, dtype=np.float64)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            both = (self.variances + more) ** 2 / (self.variances**2 / self.df + more**2 / df)
        free = np.where(more > 0, both, self.df)
        return Uncertainty(weights=self.weights, variances=self.variances + more, df=free)

    def p_values(self, differences: Floats) -> Floats:
        """Two-sided p of f64[R] differences, in [0, 1]; 1 where there is no noise to compare with."""
        from scipy import special

        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.abs(differences)[:, None] / np.sqrt(self.variances)
        far = np.where(self.variances > 0, far, 0.0)
        return np.asarray(np.minimum(1.0, 2 * (self.weights * special.stdtr(self.df, -far)).sum(axis=1)))

    def half_widths(self, *, alpha: float) -> Floats:
        """Half the width of the interval of level 1 - alpha, f64[R]: where the two-sided p is alpha."""
        low = np.zeros(len(self.weights))
        high = np.sqrt(self.variances.max(axis=1))
        noisy = high > 0
        for _ in range(DOUBLINGS):
            narrow = noisy & (self.p_values(high) > alpha)
            if not narrow.any():
                break
            high = np.where(narrow, 2 * high, high)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            inside = self.p_values(middle) > alpha
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return np.asarray(high)

    def effective_df(self, half_widths: Floats, *, alpha: float) -> Floats:
        """Degrees of freedom f64[R] of the one t distribution with this variance and these half-widths, at most the
        largest of the mixture.
        """
        from scipy import special

        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = half_widths / np.sqrt(self.variance)
        low, high = np.full(len(ratio), 0.0), np.log(self.df.max(axis=1))
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            wide = special.stdtrit(np.exp(middle), 1 - alpha / 2) > ratio
            low, high = np.where(wide, middle, low), np.where(wide, high, middle)
        return np.asarray(np.exp(high))


def within_of(common: Floats) -> float:
    """Of a label whose seeds have these shares in common, f64[n, n]: 1 minus the mean share of two different seeds."""
    n = len(common)
    return float(1 - (common.sum() - np.trace(common)) / (n * (n - 1))) if n > 1 else 0.0


def weights_of(arm: Floats, baseline: Floats, between: Floats) -> tuple[float, float]:
    """(gt, gd): the variance of the difference of the two means is gt x t + gd x d.

    Shares in common f64[n, n], f64[m, m] and f64[n, m]. An arm that is one selection counts as one draw.
    """
    n, m = between.shape
    return 1 / n + 1 / m, max(0.0, float(arm.mean() + baseline.mean() - 2 * between.mean()))


def own_weights(common: Floats) -> tuple[float, float]:
    """(gt, gd) of the mean of one label about what its draws have in common: what more seeds would average out."""
    return 1 / len(common), within_of(common) / len(common)


def coefficients(spread: Spread, gt: float, gd: float) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """(c f64[R, L] with gt t + gd d = sum of c x variances, the expected variances f64[R, L], and b[R]: whether the
    variance is such a sum without subtracting).

    Least squares, every variance weighted by its degrees of freedom over the square of what is expected of it.
    """
    w, df = spread.within[None, :], spread.df
    total = df.sum(axis=1, keepdims=True)
    mean_w = (df * w).sum(axis=1, keepdims=True) / total
    contrast = np.sqrt((df * (w - mean_w) ** 2).sum(axis=1, keepdims=True) / total)
    pooled = (df * spread.variances).sum(axis=1, keepdims=True) / total
    relative = spread.variances / _safe(pooled)
    flat = df / total
    alike = np.abs(gd - gt * mean_w) <= SUBTRACTED * (gt * mean_w + gt * 1e-6)
    weights = df
    c = _solved(weights, w, gt, gd)
    without = np.where(contrast < CONTRAST, alike, _subtracted(c) <= SUBTRACTED)
    expected = np.ones_like(df)
    for _ in range(ROUNDS):
        at_zero = _solved(weights, w, 1.0, 0.0)
        t = np.maximum(0.0, (at_zero * relative).sum(axis=1, keepdims=True))
        slope = _solved(weights, w, 0.0, 1.0)
        d = np.maximum(0.0, (slope * relative).sum(axis=1, keepdims=True))
        expected = np.where(contrast < CONTRAST, 1.0, np.maximum(t + d * w, 1e-6))
        weights = df / expected**2
        c = _solved(weights, w, gt, gd)
    return np.where(contrast < CONTRAST, gt * flat, c), expected * pooled, without[:, 0]


def uncertainty(spread: Spread, gt: float, gd: float, *, extra: Sequence[tuple[Floats, float]] = ()) -> Uncertainty:
    """The error of a difference whose variance is gt t + gd d, plus `extra` independent variances (f64[R], df)."""
    c, expected, without = coefficients(spread, gt, gd)
    by_sum = _satterthwaite((c * spread.variances).sum(axis=1), c, expected, spread.df)
    even = np.full(len(by_sum[0]), 1 / POINTS)
    weights, variances, df = (np.broadcast_to(x[:, None], (len(x), POINTS)) for x in (even, *by_sum))
    if not without.all():
        averaged = _over_ratios(spread, gt, gd)
        pick = without[:, None]
        weights, variances, df = (np.where(pick, a, b) for a, b in zip((weights, variances, df), averaged, strict=True))
    found = Uncertainty(weights=weights, variances=variances, df=df)
    for variance, own in extra:
        found = found.plus(variance, own)
    return found


@dataclass(frozen=True, kw_only=True)
class Own:
    """A label of a difference that keeps its own variance where `rows` b[R] says so: its place among the labels, its
    number of seeds, and (gt, gd) of its own mean (`own_weights`), which the others' variances need not explain then.
    """

    label: int
    seeds: int
    less: tuple[float, float]
    rows: npt.NDArray[np.bool_]


def keeping_own(
    spread: Spread, gt: float, gd: float, own: Sequence[Own], *, extra: Sequence[tuple[Floats, float]] = ()
) -> Uncertainty:
    """As `uncertainty`, where labels out of line keep the variance that they showed themselves (Welch)."""
    weights, variances, df = (np.zeros((len(spread.df), POINTS)) for _ in range(3))
    for picked in itertools.product((False, True), repeat=len(own)):
        rows = np.ones(len(spread.df), dtype=np.bool_)
        for one, keeps in zip(own, picked, strict=True):
            rows &= one.rows == keeps
        if not rows.any():
            continue
        some = Spread(variances=spread.variances[rows], df=spread.df[rows], within=spread.within)
        t, d, more = gt, gd, [(variance[rows], free) for variance, free in extra]
        for one in itertools.compress(own, picked):
            t, d = t - one.less[0], max(0.0, d - one.less[1])
            more.append((some.variances[:, one.label] / one.seeds, one.seeds - 1.0))
        found = uncertainty(some, t, d, extra=more)
        weights[rows], variances[rows], df[rows] = found.weights, found.variances, found.df
    return Uncertainty(weights=weights, variances=variances, df=df)


def components(spread: Spread) -> tuple[Floats, Floats]:
    """(t, d) f64[R] each: estimated variances of training and of the draw, floored at 0. Where labels do not differ in
    what their seeds have in common, all of it is counted as the draw's.
    """
    _, expected, _ = coefficients(spread, 1.0, 0.0)
    w = spread.within
    low, high = int(np.argmin(w)), int(np.argmax(w))
    if w[high] - w[low] < CONTRAST:
        zero = np.zeros(len(expected))
        pooled = expected[:, high]
        return (zero, pooled / w[high]) if w[high] >= LEAST_DRAWN else (pooled, zero)
    d = (expected[:, high] - expected[:, low]) / (w[high] - w[low])
    return np.maximum(0.0, expected[:, low] - d * w[low]), np.maximum(0.0, d)


def out_of_line(spread: Spread) -> npt.NDArray[np.int64]:
    """How the variance of a label lies to that of the labels alike in w (within 0.1), i64[R, L].

    0: in line. 1: above; it keeps its own variance. 2: far above; it keeps its own and leaves the pool. -1: below; it
    leaves the pool, so that others are not judged by it, and is judged by theirs. The levels are those at which null
    families keep 5 %, with heavy tails and with one arm that is noisier (`benchmarks/bench_intervals.py`): taking a
    label's own variance needs little evidence, dropping it from the pool much, for the pool would shrink.
    """
    below, above, far = (_beyond(spread, alpha=alpha) for alpha in (BELOW, ABOVE, FAR_ABOVE))
    found = np.where(far > 0, 2, np.where(above > 0, 1, 0))
    return np.where(below < 0, -1, found).astype(np.int64)


def _beyond(spread: Spread, *, alpha: float) -> npt.NDArray[np.int64]:
    """-1, 0 or 1 i64[R, L]: F test of each label against those like it, two-sided, level alpha over the number of
    labels; the farthest one leaves and the others are tested again.
    """
    from scipy import special

    found = np.zeros(spread.variances.shape, dtype=np.int64)
    alike = (np.abs(spread.within[:, None] - spread.within[None, :]) <= 0.1).astype(np.float64)
    labels = spread.df.shape[1]
    for _ in range(labels - 1):
        df = np.where(found == 0, spread.df, 0.0)
        sums, counts = (df * spread.variances) @ alike, df @ alike
        others, free = sums - df * spread.variances, counts - df
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = spread.variances / (others / free)
        tested = (df > 0) & (free > 0) & (others > 0)
        ratio, own, free = (np.where(tested, x, 1.0) for x in (ratio, df, free))
        above = special.fdtrc(own, free, ratio)
        p = np.where(tested, 2 * np.minimum(above, 1 - above), 1.0)
        worst = p.argmin(axis=1)[:, None]
        hit = np.take_along_axis(p, worst, axis=1) < alpha / labels
        if not hit.any():
            break
        side = np.where(np.take_along_axis(above, worst, axis=1) < 0.5, 1, -1)
        marked = np.where(hit, side, np.take_along_axis(found, worst, axis=1))
        np.put_along_axis(found, worst, marked, axis=1)
    return found


def _over_ratios(spread: Spread, gt: float, gd: float) -> tuple[Floats, Floats, Floats]:
    """The mixture over the ratio f = t / (t + d) in (0, 1], evenly on its logarithm: weights, variances, df [R, G]."""
    s, df = spread.variances, spread.df
    known = np.where(df > 0, s, np.nan)
    least, most = np.nanmin(known, axis=1), np.nanmax(known, axis=1)
    start = np.clip(least / _safe(most) / 10, SMALLEST_RATIO, LARGEST_START)
    at = 1 - (np.arange(POINTS) + 0.5) / POINTS
    f = np.exp(np.log(start)[:, None] * at[None, :])
    k = f[:, :, None] + (1 - f)[:, :, None] * spread.within[None, None, :]
    total = df.sum(axis=1, keepdims=True)
    squares = _safe((df * s)[:, None, :] / k, least=0.0).sum(axis=2)
    squares = _safe(squares)
    log = -0.5 * (df[:, None, :] * np.log(k)).sum(axis=2) - 0.5 * total * np.log(squares)
    weights = np.exp(log - log.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights, (gt * f + gd * (1 - f)) * squares / total, np.broadcast_to(total, f.shape)


def _satterthwaite(variance: Floats, c: Floats, expected: Floats, df: Floats) -> tuple[Floats, Floats]:
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(df > 0, (c * expected) ** 2 / df, 0.0).sum(axis=1)
        free = np.where(parts > 0, (c * expected).sum(axis=1) ** 2 / parts, df.sum(axis=1))
    return np.maximum(variance, 0.0), np.clip(free, 1.0, np.maximum(1.0, df.sum(axis=1)))


def _solved(weights: Floats, w: Floats, gt: float, gd: float) -> Floats:
    """Coefficients f64[R, L] of gt t + gd d by weighted least squares on 1 and w."""
    s0, s1, s2 = (np.sum(weights * w**k, axis=1, keepdims=True) for k in range(3))
    det = s0 * s2 - s1**2
    det = np.where(det > 1e-12 * s0 * s2, det, np.inf)
    return np.asarray(weights * ((s2 * gt - s1 * gd) + (s0 * gd - s1 * gt) * w) / det)


def _subtracted(parts: Floats) -> Floats:
    """Share that is subtracted, f64[R, 1]: the negative parts over the positive ones."""
    positive = np.maximum(parts, 0).sum(axis=1, keepdims=True)
    return np.asarray(-np.minimum(parts, 0).sum(axis=1, keepdims=True) / _safe(positive))


def _safe(values: Floats, *, least: float = 1e-300) -> Floats:
    return np.maximum(values, least)
