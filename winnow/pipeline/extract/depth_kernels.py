"""How deep the elements of a page nest, by one look at its bytes: no tree is built of a page that would break one."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
ENDS_BY_ITSELF = ("p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option", "optgroup", "html",
                  "head", "body", "rp", "rt", "colgroup")  # fmt: skip


def _code(name: str) -> int:
    """Up to eight bytes of a tag's name as one number."""
    return int.from_bytes(name.encode()[:8], "big")


_UNCOUNTED = np.array(sorted(_code(name) for name in (*VOID, *ENDS_BY_ITSELF)), dtype=np.uint64)


@nb.njit(cache=True)
def _counts(code: np.uint64, uncounted: npt.NDArray[np.uint64]) -> bool:
    at = np.searchsorted(uncounted, code)
    return bool(at == len(uncounted) or uncounted[at] != code)


@nb.njit(cache=True, nogil=True)
def _deepest(data: npt.NDArray[np.uint8], start: int, stop: int, uncounted: npt.NDArray[np.uint64]) -> int:
    depth, most, at = 0, 0, start
    while at < stop - 1:
        if data[at] != 60:  # <
            at += 1
            continue
        at += 1
        closing = data[at] == 47  # /
        if closing:
            at += 1
        code, length = np.uint64(0), 0
        while at < stop and length < 9:
            byte = data[at] | 32
            if not (97 <= byte <= 122 or (length and 48 <= data[at] <= 57)):
                break
            if length < 8:
                code = (code << np.uint64(8)) | np.uint64(byte if byte >= 97 else data[at])
            length += 1
            at += 1
        if length and _counts(code, uncounted):
            depth = max(0, depth - 1) if closing else depth + 1
            most = max(most, depth)
    return most


@nb.njit(cache=True, nogil=True)
def _depths(
    offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], uncounted: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    out = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(out)):
        out[row] = _deepest(data, offsets[row], offsets[row + 1], uncounted)
    return out


def depths(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The most elements that are open at once on each page, i64[rows]; those that end by themselves are not counted.

    An upper bound where markup is balanced; scripts that hold markup count as markup.
    Cost: one pass over the bytes.
    """
    found: npt.NDArray[np.int64] = _depths(offsets, data, _UNCOUNTED)
    return found
