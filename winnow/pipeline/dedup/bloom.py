"""Bloom filters in blocks of 64 bytes: their size for a stated rate, and the rate that a filled one has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.core.terminal import percent

BLOCK_BITS, BLOCK_WORDS = 512, 8
MOST_PROBES = 20
FINEST = 8  # parts of a bit per key in which sizes are tried
LEAST_RATE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Filtering:
    """How large the Bloom filter is."""

    capacity: int | None = None  # keys that it is made for; by default as many as there are
    false_positive_rate: float = 0.01  # of a look-up, when so many keys are in it

    def check_filter(self) -> None:
        """Raise ConfigError for a capacity below 1 or a rate that no filter has."""
        if self.capacity is not None and self.capacity < 1:
            raise ConfigError(f"capacity is {self.capacity}", where="capacity", hint="it must be 1 or more")
        if not LEAST_RATE <= self.false_positive_rate <= 0.5:
            found = f"false_positive_rate is {self.false_positive_rate}"
            raise ConfigError(found, where="false_positive_rate", hint=f"between {LEAST_RATE} and 0.5")


@dataclass(frozen=True, kw_only=True)
class Size:
    """Blocks of 512 bits, and the bits of a block that a key sets."""

    blocks: int
    probes: int

    @property
    def bytes(self) -> int:
        """Of all blocks."""
        return self.blocks * BLOCK_BITS // 8

    def words(self) -> npt.NDArray[np.uint64]:
        """An empty filter, u64[blocks * 8]."""
        return np.zeros(self.blocks * BLOCK_WORDS, dtype=np.uint64)


def size_for(capacity: int, rate: float) -> Size:
    """The smallest filter of which a look-up of another key is wrong with probability `rate` when it is full.

    Blocks hold unequal numbers of keys, as Poisson has it: that costs 4 % more bits than one large filter does at 1 %
    (a third at one in a million, twice the bits at 1e-9), and a key costs one line of memory. No libm: the size is the
    same on every machine.
    Cost: under a millisecond per rate. Source: blocked filters of Putze, Sanders, Singler 2007.
    """
    eighths, probes = _bits_per_key(rate)
    return Size(blocks=max(1, -(-max(capacity, 1) * eighths // (FINEST * BLOCK_BITS))), probes=probes)


@cache
def _bits_per_key(rate: float) -> tuple[int, int]:
    """(eighths of a bit per key, probes): the fewest bits that reach `rate`, with the probes that do so best."""
    low, high = FINEST, FINEST * BLOCK_BITS // 4
    while low < high:
        middle = (low + high) // 2
        if _best(middle)[0] <= rate:
            high = middle
        else:
            low = middle + 1
    return low, _best(low)[1]


@cache
def _best(eighths: int) -> tuple[float, int]:
    """(rate, probes) of the best number of probes for so many eighths of a bit per key."""
    return min((_rate(eighths, probes), probes) for probes in range(1, MOST_PROBES + 1))


def _rate(eighths: int, probes: int) -> float:
    """The share of look-ups that find what is not there: over blocks of a Poisson number of keys."""
    load = BLOCK_BITS * FINEST / eighths
    chance = float((-Decimal(load)).exp())
    stays = _power((BLOCK_BITS - 1) / BLOCK_BITS, probes)  # that one key leaves a bit as it is
    total, empty = 0.0, 1.0
    for keys in range(int(3 * load) + 60):
        total += chance * _power(1 - empty, probes)
        chance *= load / (keys + 1)
        empty *= stays
    return total


def _power(value: float, times: int) -> float:
    out = 1.0
    for _ in range(times):
        out *= value
    return out


def measured(words: npt.NDArray[np.uint64], size: Size) -> tuple[float, float]:
    """(share of the bits that are set, rate at which a look-up of another key is wrong), from the bits themselves."""
    ones = np.bitwise_count(words).reshape(-1, BLOCK_WORDS).sum(axis=1, dtype=np.int64)
    of_each = np.bincount(ones, minlength=BLOCK_BITS + 1) / size.blocks
    wrong = (np.arange(BLOCK_BITS + 1) / BLOCK_BITS) ** size.probes
    return float(ones.sum() / (size.blocks * BLOCK_BITS)), float(of_each @ wrong)


def note_filter(ctx: Context, words: npt.NDArray[np.uint64], size: Size, met: Mapping[str, int], found: str) -> None:
    """Note what a filter was made for and holds (`met`), the rate that its bits have now, and what was found."""
    fill, rate = measured(words, size)
    of_bits = {"bytes": size.bytes, "probes": size.probes, "fill": fill, "false_positive_rate": rate}
    ctx.note("bloom_filter", {**met, **of_bits})
    ctx.note("summary", f"{found}; filter {percent(fill)} full, {percent(rate)} of look-ups wrong")


def filter_remarks(metrics: Mapping[str, Any], stated: float, unit: str) -> Iterable[str]:
    """That more keys are in the filter than it was made for, with the rate that it has now."""
    held = metrics.get("bloom_filter")
    if held and held["keys"] > held["capacity"]:
        what = f"{held['keys']:,} {unit} are in a filter for {held['capacity']:,}: a look-up is wrong with probability"
        now = f"{what} {percent(held['false_positive_rate'])}, not {percent(stated)}"
        yield f"{now}; leave `capacity` out, and it is made for all {held['met']:,}"
