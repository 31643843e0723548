"""Languages of texts of any length: looks at more and more of a text, until one is sure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from winnow.pipeline.measure.language_judges import Judge

LOOKS = (192, 640)  # bytes of the first looks at a long text
_SURE = 0.95  # a look of this probability is the last one
_PIECES, _PIECE = 6, 64  # most pieces of a look, fewest bytes of one

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


def judged_in_looks(
    judge: Judge, spans: tuple[I64, I64], data: npt.NDArray[np.uint8], most: I64, looks: tuple[int, ...]
) -> tuple[I64, F64]:
    """(ids, probabilities) of the texts: looks of so many bytes, `most` at most, until one is sure.

    A text of up to twice a look is read whole.
    """
    sizes = spans[1] - spans[0]
    ids, shares = np.zeros(len(sizes), dtype=np.int64), np.zeros(len(sizes))
    left = np.argsort(sizes, kind="stable")  # texts of one size are walked side by side
    for look in looks:
        limits = np.minimum(np.where(sizes[left] <= 2 * look, sizes[left], look), most[left])
        pieces = min(max(look // _PIECE, 1), _PIECES)
        ids[left], shares[left] = judge((spans[0][left], spans[1][left]), data, limits, pieces)
        left = left[(shares[left] < _SURE) & (limits < most[left])]
        if not len(left):
            break
    return ids, shares
