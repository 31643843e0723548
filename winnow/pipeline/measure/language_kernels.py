"""Kernels of the language identifier: one pass over UTF-8 bytes through an automaton, sums in integers.

Weights, tables and priors are integers held in f64 (below 2**53), so a sum is exact in any order and equal on
any machine.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
Model = tuple[U32, U32, npt.NDArray[np.int32], npt.NDArray[np.int16]]  # step, row_of, emits, table


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def class_sums(
    offsets: I64,
    data: npt.NDArray[np.uint8],
    model: Model,
    weight: F64,
) -> tuple[F64, I64]:
    """(class sums f64[rows, classes], distinct features i64[rows]) of every text; the sums hold integers.

    `step`[row_of[state] * 256 + byte] is the next state, `emits`[state] its feature or -1, `table`[feature,
    class] the feature's integer weight, `weight`[n] the integer worth of n occurrences.
    """
    step, row_of, emits, table = model
    rows = offsets.size - 1
    classes = table.shape[1]
    sums = np.zeros((rows, classes), dtype=np.float64)
    distinct = np.zeros(rows, dtype=np.int64)
    counts = np.zeros(table.shape[0], dtype=np.int32)
    seen = np.empty(weight.size, dtype=np.int64)
    for i in range(rows):
        state = np.int64(0)
        found = 0
        for at in range(offsets[i], offsets[i + 1]):
            state = np.int64(step[(np.int64(row_of[state]) << 8) + data[at]])
            feature = emits[state]
            if feature >= 0:
                if counts[feature] == 0:
                    seen[found] = feature
                    found += 1
                counts[feature] += 1
        total = sums[i]
        for k in range(found):
            feature = seen[k]
            worth = weight[counts[feature]]
            counts[feature] = 0
            line = table[feature]
            for c in range(classes):
                total[c] += worth * line[c]
        distinct[i] = found
    return sums, distinct


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def tempered(sums: F64, offsets: I64, scale: float) -> F64:
    """`sums` less their row's largest, over `scale` and the square root of the text's bytes; all <= 0."""
    out = np.empty_like(sums)
    for i in range(sums.shape[0]):
        top = sums[i, 0]
        for c in range(1, sums.shape[1]):
            top = max(top, sums[i, c])
        divisor = scale * np.sqrt(np.float64(max(offsets[i + 1] - offsets[i], 1)))
        for c in range(sums.shape[1]):
            out[i, c] = (sums[i, c] - top) / divisor
    return out


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def best_class(likelihood: F64, alias: I64) -> tuple[I64, F64]:
    """(class i64[rows], its share of the row's sum f64[rows] in (0, 1]); columns of one `alias` add up.

    Ties go to the class that comes first.
    """
    rows, classes = likelihood.shape
    chosen = np.zeros(rows, dtype=np.int64)
    share = np.zeros(rows, dtype=np.float64)
    folded = np.zeros(classes, dtype=np.float64)
    for i in range(rows):
        folded[:] = 0.0
        total = 0.0
        for c in range(classes):
            total += likelihood[i, c]
            folded[alias[c]] += likelihood[i, c]
        best = 0
        for c in range(1, classes):
            if folded[c] > folded[best]:
                best = c
        chosen[i] = best
        share[i] = min(folded[best] / total, 1.0)
    return chosen, share
