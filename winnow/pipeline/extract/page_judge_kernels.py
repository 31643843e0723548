"""Two rounds of trees over the blocks of a page, and the text of those that are kept."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from winnow.pipeline.extract.page_features_kernels import (
    CHARS,
    FEATURES,
    H1_TAG,
    Measures,
    Sums,
    features,
    joined,
    keeping,
    scored,
    second,
)
from winnow.pipeline.extract.page_scan_kernels import ELEMENT, TAG, Bytes, Longs2, Numbers


@nb.njit(cache=True, nogil=True)
def judged(
    text: Bytes, block: Numbers, element: Longs2, num: int, elements: int, m: Measures, sums: Sums,
    mark: npt.NDArray[np.int32], one: Any, two: Any, least: int,
) -> Bytes:  # fmt: skip
    """The text of blocks that the second trees score above `least`, as bytes. Cost: two passes over the blocks."""
    first, again = np.empty(num, np.int64), np.empty(num, np.int64)
    rows, place, since = np.zeros((num, FEATURES), np.int32), 0, -1
    for i in range(num):
        since = 0 if element[block[i, ELEMENT], TAG] == H1_TAG else since + (since >= 0)
        features(i, num, block, element, m, sums, mark, place, since, rows[i])
        place += m[i, CHARS]
        first[i] = scored(rows[i], one[0], one[1], one[2])
    kept, near = keeping(num, block, element, elements, m, sums, first)
    for i in range(num):
        second(i, num, block, element, m, sums, first, kept, near, rows[i])
        again[i] = scored(rows[i], two[0], two[1], two[2])
    return joined(text, block, num, again, least)  # type: ignore[no-any-return]
