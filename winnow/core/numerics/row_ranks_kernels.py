"""Search of rows among ordered bounds, compiled: imported where there are many bounds."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt


@nb.njit(cache=True, nogil=True)
def count_into(
    code: npt.NDArray[np.int64], words: npt.NDArray[np.uint64], bound_code: npt.NDArray[np.int64],
    bounds: npt.NDArray[np.uint64], out: npt.NDArray[np.int64],
) -> None:  # fmt: skip
    """Number of bounds that are not above each row into `out`; bounds ascend by (code, word 0, 1, 2)."""
    for i in range(code.size):
        low, high = 0, bound_code.size
        while low < high:
            middle = (low + high) >> 1
            above = bound_code[middle] > code[i]
            if bound_code[middle] == code[i]:
                for word in range(words.shape[0]):
                    if bounds[word, middle] != words[word, i]:
                        above = bounds[word, middle] > words[word, i]
                        break
            if above:
                high = middle
            else:
                low = middle + 1
        out[i] = low
