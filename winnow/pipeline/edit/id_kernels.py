"""Matching of `id_shapes`, and their checks: compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from winnow.pipeline.edit.id_shapes import CHECKS, LONGEST, IdShape
from winnow.pipeline.edit.pii_kernels import DIGIT, NO, UPPER, free, luhn

NONE, LUHN, MOD97, MOD11_10, LETTER23, ELEVEN, CPF, VERHOEFF, MOD11_2, PESEL, SSN = range(len(CHECKS))
NINE, CAPITAL, EITHER, MARK, HYPHEN = (np.uint8(ord(char)) for char in "9AX-=")
LETTERS_23 = np.frombuffer(b"TRWAGMYFPDXBNJZSQVHLCKE", dtype=np.uint8)
_PERMUTED = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
for _row in range(2, 8):
    _PERMUTED.append([_PERMUTED[_row - 1][_PERMUTED[1][k]] for k in range(10)])
PERMUTED = np.array(_PERMUTED, dtype=np.int64)


def _dihedral(j: int, k: int) -> int:
    """The product of two elements of the symmetries of a pentagon, turns 0 to 4 and flips 5 to 9."""
    if j < 5:
        return (j + k) % 5 if k < 5 else 5 + (j + k - 5) % 5
    return 5 + (j - 5 - k) % 5 if k < 5 else (j - k) % 5


PRODUCTS = np.array([[_dihedral(j, k) for k in range(10)] for j in range(10)], dtype=np.int64)


def packed(shapes: Sequence[IdShape]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(shapes as bytes u8[n, LONGEST], their sizes, their checks)."""
    forms = np.zeros((len(shapes), LONGEST), dtype=np.uint8)
    for row, one in enumerate(shapes):
        forms[row, : len(one.shape)] = np.frombuffer(one.shape.encode(), dtype=np.uint8)
    sizes = np.array([len(one.shape) for one in shapes], dtype=np.int64)
    return forms, sizes, np.array([CHECKS.index(one.check) for one in shapes], dtype=np.int64)


@njit(cache=True, nogil=True, _nrt=False)
def weighted(v: Any, count: Any, first: Any, step: Any) -> Any:
    """Sum of digits times first, first + step, ..."""
    total, weight = 0, first
    for k in range(count):
        total += v[k] * weight
        weight += step
    return total


@njit(cache=True, nogil=True, _nrt=False)
def remainder(v: Any, first: Any, stop: Any, by: Any) -> Any:
    """The number that some digits spell, modulo another one."""
    rest = np.int64(0)
    for k in range(first, stop):
        rest = (rest * 10 + v[k]) % by
    return rest


@njit(cache=True, nogil=True, _nrt=False)
def check_cpf(v: Any, n: Any) -> Any:
    """Brazil's two check digits; equal digits all through are none."""
    if n != 11:
        return False
    same = True
    for k in range(1, 11):
        same &= v[k] == v[0]
    one = weighted(v, 9, 10, -1) * 10 % 11 % 10
    two = weighted(v, 10, 11, -1) * 10 % 11 % 10
    return not same and v[9] == one and v[10] == two


@njit(cache=True, nogil=True, _nrt=False)
def check_mod11_10(v: Any, n: Any) -> Any:
    """ISO 7064 MOD 11,10; the first digit is not 0."""
    product = 10
    for k in range(n - 1):
        total = (v[k] + product) % 10
        product = (total or 10) * 2 % 11
    return v[0] > 0 and (11 - product) % 10 == v[n - 1]


@njit(cache=True, nogil=True, _nrt=False)
def check_mod11_2(v: Any, n: Any) -> Any:
    """ISO 7064 MOD 11-2, where X (33 as a letter) is ten."""
    rest = 0
    for k in range(n - 1):
        rest = (rest + v[k]) * 2 % 11
    last = 10 if v[n - 1] == 33 else v[n - 1]
    return last <= 10 and (rest + last) % 11 == 1


@njit(cache=True, nogil=True, _nrt=False)
def check_verhoeff(v: Any, n: Any) -> Any:
    """Verhoeff's check digit; the first digit is neither 0 nor 1."""
    state = 0
    for k in range(n):
        state = PRODUCTS[state, PERMUTED[k % 8, v[n - 1 - k]]]
    return v[0] > 1 and state == 0


@njit(cache=True, nogil=True, _nrt=False)
def check_others(check: Any, v: Any, n: Any) -> Any:
    """The checks that are one sum."""
    if check == LETTER23:
        return n == 9 and LETTERS_23[remainder(v, 0, 8, 23)] == v[8] + 0x37
    if check == ELEVEN:
        return n == 9 and (weighted(v, 8, 9, -1) - v[8]) % 11 == 0 and remainder(v, 0, 9, 1000000007) > 0
    if check == PESEL:
        total = v[0] + 3 * v[1] + 7 * v[2] + 9 * v[3] + v[4] + 3 * v[5] + 7 * v[6] + 9 * v[7] + v[8] + 3 * v[9] + v[10]
        month, day = (v[2] * 10 + v[3]) % 20, v[4] * 10 + v[5]
        return n == 11 and total % 10 == 0 and 1 <= month <= 12 and 1 <= day <= 31
    area, middle, last = remainder(v, 0, 3, 1000), remainder(v, 3, 5, 100), remainder(v, 5, 9, 10000)
    return n == 9 and 0 < area < 900 and area != 666 and middle > 0 and last > 0


@njit(cache=True, nogil=True, _nrt=False)
def passes(check: Any, v: Any, n: Any) -> Any:
    """Whether digits and letters (A is 10) pass a check."""
    if check == NONE:
        return True
    if check == LUHN:
        return luhn(v, n)
    if check == MOD97:
        return n > 2 and 97 - remainder(v, 0, n - 2, 97) == v[n - 2] * 10 + v[n - 1]
    if check == MOD11_10:
        return check_mod11_10(v, n)
    if check == CPF:
        return check_cpf(v, n)
    if check == VERHOEFF:
        return check_verhoeff(v, n)
    if check == MOD11_2:
        return check_mod11_2(v, n)
    return check_others(check, v, n)


@njit(cache=True, nogil=True, _nrt=False)
def shaped(data: Any, at: Any, stop: Any, table: Any, form: Any, size: Any, check: Any, v: Any) -> Any:
    """End of a number of one shape that passes its check, or -1."""
    n = 0
    for k in range(size):
        want = form[k]
        here = data[at] if at < stop else np.uint8(0)
        if want == MARK:
            at += here in (0x20, 0x2D, 0x2E, 0x2F)
            continue
        what = table[here] if at < stop else np.uint8(0)
        digit, capital = what & DIGIT != 0, what & UPPER != 0
        good = (want == NINE and digit) or (want == CAPITAL and capital) or (want == EITHER and (digit or capital))
        plain = want not in (NINE, CAPITAL, EITHER)
        if not good and not (plain and at < stop and here == (0x2D if want == HYPHEN else want)):
            return NO
        if good:
            v[n] = np.int64(here) - (0x30 if digit else 0x37)
            n += 1
        at += 1
    return at if free(data, at, stop, table) and passes(check, v, n) else NO


@njit(cache=True, nogil=True, _nrt=False)
def national(data: Any, at: Any, stop: Any, table: Any, shapes: Any, v: Any) -> Any:
    """End of the first kind of number that begins at a place, or -1."""
    forms, sizes, checks = shapes
    for one in range(sizes.size):
        end = shaped(data, at, stop, table, forms[one], sizes[one], checks[one], v)
        if end > 0:
            return end
    return NO
