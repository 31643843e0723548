"""Many arms against one baseline: p values adjusted together, knowing that all differences share the baseline.

Holm takes the comparisons as if nothing were known of their dependence. Differences to one baseline share its noise:
two of them correlate with the product of their shared parts, l_i x l_j, where l_i squared is the share of the
baseline in the variance of difference i. So the largest of them has the distribution of a multivariate t with a
product correlation, which is two nested integrals: over the baseline's part (given it, arms are independent) and over
the estimated standard deviation. Step-down: the smallest p is adjusted for all arms, the next for the others.

Source: Dunnett 1955; step-down as in Dunnett and Tamhane 1991; quadrature of Gauss and Legendre on quantiles
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
NODES = 40  # of each integral
TAIL_DF = 5.0
LARGEST_PART = 0.999  # of the baseline in a difference


def adjusted(p: float, df: float, shared: Sequence[float], *, apart: int = 0) -> float:
    """Probability that the smallest of several p values is at most `p` where no arm differs from the baseline.

    `shared` holds l in [0, 1] of every comparison with a common estimate of the noise, which has `df` degrees of
    freedom. `apart` comparisons more have a noise of their own and count as independent, which is never too few.
    """
    from scipy import special

    if not 0.0 < p < 1.0 or len(shared) + apart <= 1:
        return float(p)
    alone = -np.expm1(apart * np.log1p(-p))
    if not shared:
        return float(alone)
    critical = -special.stdtrit(df, p / 2)
    part = np.minimum(np.asarray(shared, dtype=np.float64), LARGEST_PART)
    rest = np.sqrt(1 - part**2)
    baseline, sd, mass = _nodes(float(df))
    edge = critical * sd[:, None]
    inside = np.ones((len(sd), len(baseline)))
    for own, left in zip(part, rest, strict=True):  # fixed order
        inside *= special.ndtr((edge - own * baseline) / left) - special.ndtr((-edge - own * baseline) / left)
    together = max(p, 1 - float(mass[0] @ inside @ mass[1]))
    return min(1.0, 1 - (1 - together) * (1 - float(alone)))


def one_draw(p: float) -> float:
    """The p value of a difference that rests on one draw, where it is adjusted together with others.

    More seeds do not average one draw, so the far tail of its noise is not the normal one: it is taken as that of a t
    distribution with 5 degrees of freedom and the same variance. .05 hardly changes (.052), .001 becomes .008.
    """
    from scipy import special

    return float(max(p, 2 * special.stdtr(TAIL_DF, special.ndtri(p / 2) * np.sqrt(TAIL_DF / (TAIL_DF - 2)))))


def one_draw_level(level: float) -> float:
    """The p value that `one_draw` makes `level` of: its inverse."""
    from scipy import special

    return float(min(level, 2 * special.ndtr(special.stdtrit(TAIL_DF, level / 2) / np.sqrt(TAIL_DF / (TAIL_DF - 2)))))


def level(alpha: float, df: float, shared: Sequence[float]) -> float:
    """The p value that is `alpha` after adjusting it for all of these comparisons: the level of the first step."""
    low, high = alpha / len(shared) / 2, alpha
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if adjusted(middle, df, shared) < alpha else (low, middle)
    return high


def step_down(
    p: Sequence[float | None], df: Sequence[float], shared: Sequence[float | None], *, others: int = 0
) -> list[float | None]:
    """Adjusted p of every comparison that has one, in the given order; never below its own.

    `shared` is l of a comparison, None for one with a noise of its own. `others` comparisons more belong to the family,
    whose p are not known: they count as the largest ones, each for itself.
    """
    known = sorted((value, i) for i, value in enumerate(p) if value is not None)
    out: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, i) in enumerate(known):
        left = [j for _, j in known[rank:]]
        parts = {j: part for j in left if (part := shared[j]) is not None}
        free = df[i] if i in parts else min((df[j] for j in parts), default=1.0)
        largest = max(largest, adjusted(value, free, list(parts.values()), apart=len(left) - len(parts) + others))
        out[i] = largest
    return out


@functools.lru_cache(maxsize=256)
def _nodes(df: float) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
    """(normal values [N], standard deviations over their true value [M], (masses [M], masses [N]))."""
    from scipy import special

    x, mass = np.polynomial.legendre.leggauss(NODES)
    normal, weight = 8.0 * x, 8.0 * mass * np.exp(-32.0 * x * x) / np.sqrt(2 * np.pi)
    share = (x + 1) / 2
    sd = np.sqrt(special.chdtri(df, 1 - share) / df)
    return normal, sd, (mass / 2, weight / weight.sum())
