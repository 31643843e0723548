"""Compiled reading of ARPA files: lines of n-grams to keys and float32, without a line in Python.

numba's cache watches this file alone: whoever changes what a key is removes `__pycache__/*_kernels*.nb?`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from winnow.core.words.backoff_kernels import BOS, EOS, UNK, longer, word_key
from winnow.core.words.hashing_kernels import U8

KEYS, SINGLES = types.uint64[::1], types.float32[::1]
TENS = 10.0 ** np.arange(23)  # exact as float64


@njit(cache=True, nogil=True)
def is_blank(byte: Any) -> Any:
    """What separates the fields of a line."""
    return byte in {32, 9, 13, 0}


@njit(cache=True, nogil=True)
def field(data: Any, at: Any, stop: Any) -> Any:
    """(start, end) of the next field of data[at:stop]; both `stop` where there is none."""
    while at < stop and is_blank(data[at]):
        at += 1
    end = at
    while end < stop and not is_blank(data[end]):
        end += 1
    return at, end


@njit(cache=True, nogil=True)
def whole_number(data: Any, at: Any, stop: Any) -> Any:
    """(number, place after it) of a sign and digits at data[at:stop]; the place is `at` where there is no digit."""
    sign, value, first = 1, 0, at
    if at < stop and data[at] in {43, 45}:
        sign, at = (-1 if data[at] == 45 else 1), at + 1
    begin = at
    while at < stop and 48 <= data[at] <= 57:
        value, at = min(value * 10 + data[at] - 48, 100_000), at + 1
    return sign * value, (at if at > begin else first)


@njit(cache=True, nogil=True)
def digits(data: Any, at: Any, stop: Any) -> Any:
    """(digits as a number, power of ten that it is to be shifted by, how many, place after them) of data[at:stop]."""
    value, shift, count, behind = np.float64(0), 0, 0, False
    while at < stop and (48 <= data[at] <= 57 or (data[at] == 46 and not behind)):
        if data[at] == 46:
            behind = True
        elif count < 18:
            value, shift, count = value * 10.0 + np.float64(data[at] - 48), shift - behind, count + 1
        else:
            shift += not behind
        at += 1
    return value, shift, count, at


@njit(cache=True, nogil=True)
def shifted(value: Any, shift: Any) -> Any:
    """`value` times a power of ten."""
    while shift < -22 and value > 0:
        value, shift = value / TENS[22], shift + 22
    if value == 0:
        return value
    if shift > 22:
        return np.inf
    return value / TENS[-shift] if shift < 0 else value * TENS[shift]


@njit(cache=True, nogil=True)
def decimal(data: Any, at: Any, stop: Any) -> Any:
    """The number that data[at:stop] writes, NaN where it writes none; the last digit of a float64 may be off."""
    sign = 1.0
    if at < stop and data[at] in {43, 45}:
        sign, at = (-1.0 if data[at] == 45 else 1.0), at + 1
    if stop - at == 3 and (data[at] | 32) == 105 and (data[at + 1] | 32) == 110 and (data[at + 2] | 32) == 102:
        return sign * np.inf
    value, shift, count, at = digits(data, at, stop)
    if at < stop and (data[at] | 32) == 101:
        power, end = whole_number(data, at + 1, stop)
        shift, at = shift + power, (end if end > at + 1 else at)
    return sign * shifted(value, shift) if count and at == stop else np.nan


@njit(cache=True, nogil=True)
def listed_key(data: Any, start: Any, end: Any) -> Any:
    """The key of a word in a model's file: its markers are what they mark there."""
    key = word_key(data, start, end)
    if key == UNK:
        return EOS if data[start + 1] == 47 else (BOS if data[start + 1] == 115 else UNK)
    capital = end - start == 5 and data[start] == 60 and data[start + 1] == 85 and data[start + 2] == 78
    return UNK if capital and data[start + 3] == 75 and data[end - 1] == 62 else key  # <UNK>


@njit(
    types.UniTuple(types.int64, 2)(U8, types.int64, types.int64, KEYS, KEYS, SINGLES, SINGLES, types.int64),
    cache=True,
    nogil=True,
)
def read_ngrams(data: Any, at: Any, order: Any, keys: Any, endings: Any, probs: Any, backoffs: Any, filled: Any) -> Any:
    """(where reading ended, n-grams so far): whole lines of data[at:] with n-grams of `order` words, from `filled` on.

    It ends at the beginning of the line that is not whole, is empty or begins with a backslash, or where the arrays are
    full. A line that is none gives -1 - its place.
    """
    size, words = len(data), np.zeros(order, dtype=np.uint64)
    while at < size and filled < len(keys):
        stop = at
        while stop < size and data[stop] != 10:
            stop += 1
        start, end = field(data, at, stop)
        if stop in {size, start} or data[start] == 92:
            break
        prob = decimal(data, start, end)
        for place in range(order):
            start, end = field(data, end, stop)
            if start == stop:
                return -1 - at, filled
            words[place] = listed_key(data, start, end)
        start, end = field(data, end, stop)
        backoff = decimal(data, start, end) if start < stop else 0.0
        if np.isnan(prob) or np.isnan(backoff) or field(data, end, stop)[0] < stop:
            return -1 - at, filled
        key = words[order - 1]
        for place in range(order - 2, -1, -1):
            endings[filled] = key
            key = longer(key, words[place])
        keys[filled], probs[filled], backoffs[filled] = key, prob, backoff
        filled, at = filled + 1, stop + 1
    return at, filled
