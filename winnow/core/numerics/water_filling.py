"""An amount shared out among groups that can each take only so much, in whole units.

Every group gets its share; what a small group cannot take rises in the others, as water would. Arithmetic is in
integers and fractions, so that the same sizes give the same amounts anywhere and the amounts add up exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from winnow.core.errors import ConfigError


def water_fill(capacity: Sequence[int], total: int, weights: Sequence[float] | None = None) -> list[int]:
    """Whole amounts, one per group, that add up to min(total, sum(capacity)); none is above its capacity.

    Groups below their capacity have amounts in proportion to `weights` (default: alike) to within 1; earlier
    groups get the units that are left over. A weight of 0 gets nothing. With `capacity` = epochs x size this is
    UniMax: what remains of the budget is shared evenly, the smallest source first.

    Raises: ConfigError where a capacity, a weight or the total is negative, or a weight is not finite.
    Cost: O(n log n).
    Source: UniMax (Chung et al. 2023); hierarchical sampling (Vo et al. 2024).
    """
    shares = exact_shares([1] * len(capacity) if weights is None else weights)
    if len(shares) != len(capacity):
        raise ConfigError(f"{len(shares)} weights for {len(capacity)} groups")
    if total < 0 or min(capacity, default=0) < 0:
        raise ConfigError("amounts and capacities must be 0 or more", hint=f"found {total} over {list(capacity)[:5]}")
    amounts = [0] * len(capacity)
    asking = [i for i, share in enumerate(shares) if share and capacity[i]]
    asking.sort(key=lambda i: (Fraction(capacity[i]) / shares[i], i))
    left, weight_left = total, sum((shares[i] for i in asking), Fraction(0))
    for place, i in enumerate(asking):
        if left * shares[i] < capacity[i] * weight_left:  # from here on nobody is full
            rest = sorted(asking[place:])
            for j, amount in zip(rest, apportion(left, [shares[j] for j in rest]), strict=True):
                amounts[j] = amount
            return amounts
        amounts[i] = capacity[i]
        left -= capacity[i]
        weight_left -= shares[i]
    return amounts


def apportion(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Whole amounts in proportion to the shares that add up to `total` (0 where all shares are 0).

    What rounding down leaves goes to the largest remainders, the first of equal ones first.
    """
    weight = sum(shares, Fraction(0))
    if not weight:
        return [0] * len(shares)
    exact = [total * share / weight for share in shares]
    amounts = [int(x) for x in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (amounts[i] - exact[i], i))
    for i in by_remainder[: total - sum(amounts)]:
        amounts[i] += 1
    return amounts


def exact_shares(weights: Sequence[float]) -> list[Fraction]:
    """The weights as the fractions that their shortest decimals are: 0.1 is 1/10.

    Raises: ConfigError for a weight that is negative or not finite.
    """
    bad = [w for w in weights if not 0 <= w < float("inf")]
    if bad:
        raise ConfigError(f"{bad[0]} is no share", hint="shares are finite and 0 or more")
    return [Fraction(Decimal(repr(float(w)))) if isinstance(w, float) else Fraction(w) for w in weights]


def share_of(share: float | None, total: int) -> int:
    """The share of a total, rounded down."""
    assert share is not None
    return int(exact_shares([float(share)])[0] * total)


def check_share(share: float, field: str) -> None:
    """Raise ConfigError for a share outside (0, 1]."""
    if not 0 < share <= 1:
        raise ConfigError(f"{field} is {share}, and lies in (0, 1]", where=field)
