"""A compiled kernel of evaluation: the logarithm of the normaliser of bfloat16 logits, row by row.

A row of logits stays in the first cache from its maximum to its sum, where array operations read and write the whole
chunk once each: less than half of their time (`python benchmarks/bench_evaluation.py --head`).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

LANES = 64  # partial sums: independent of one another, so the compiler may keep them in vector registers
INFINITE = 0x7F80  # bits of +inf; greater ones are no number
LOG2_E = np.float32(1.4426950408889634)
HALF = np.float32(0.5)
LEAST = np.float32(-126.0)  # powers of two below are not worth a bit of the sum
C0, C1, C2 = np.float32(1.0), np.float32(0.69314718), np.float32(0.24022651)
C3, C4, C5 = np.float32(0.05550411), np.float32(0.009618129), np.float32(0.0013333558)  # 2^f for |f| <= 1/2, to 2e-7


@numba.njit(cache=True, nogil=True)
def log_sums(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
    """Logarithm of the sum of exponentials of every row of bfloat16 bits u16[rows, V], to 3e-6; NaN where one is NaN
    or +inf, f64[rows].
    """
    num_rows, size = bits.shape
    whole = size // LANES * LANES
    words = np.empty(size, dtype=np.int32)  # as f32: logits, later powers of two
    parts = np.empty(size, dtype=np.float32)
    sums = np.empty(LANES, dtype=np.float32)
    out = np.empty(num_rows, dtype=np.float64)
    single = words.view(np.float32)
    for row in range(num_rows):
        high = np.int32(-(1 << 16))
        for j in range(size):  # bits of floats are ordered like integers, those below zero backwards
            word = np.int32(bits[row, j])
            words[j] = word << 16
            high = max(high, word if word < 0x8000 else np.int32(0x7FFF) - word)
        if high >= INFINITE:  # a NaN of the other sign comes through the sum
            out[row] = np.nan
            continue
        words_high = high if high >= 0 else np.int32(0x7FFF) - high
        most = _value(words_high)
        for j in range(size):
            power = max((single[j] - most) * LOG2_E, LEAST)
            nearest = np.floor(power + HALF)
            f = power - nearest
            parts[j] = ((((C5 * f + C4) * f + C3) * f + C2) * f + C1) * f + C0
            words[j] = (np.int32(nearest) + 127) << 23
        sums[:] = 0.0
        for start in range(0, whole, LANES):
            for k in range(LANES):
                sums[k] += parts[start + k] * single[start + k]
        total = 0.0
        for k in range(LANES):
            total += sums[k]
        for j in range(whole, size):
            total += parts[j] * single[j]
        out[row] = most + np.log(total)
    return out


@numba.njit(cache=True, nogil=True)
def _value(word: int) -> Any:
    """The number whose bfloat16 bits are `word`."""
    one = np.empty(1, dtype=np.int32)
    one[0] = np.int32(word) << 16
    return one.view(np.float32)[0]
