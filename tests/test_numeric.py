"""Portable logarithms, exact sums and sortable bits."""

import hashlib
import itertools
import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.core.errors import DataError
from winnow.core.numerics import numeric, rng

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def inputs() -> tuple[np.ndarray, np.ndarray]:
    """Arguments for (log, exp) over their whole ranges, edges included; from portable operations alone."""
    lanes = np.arange(12_000, dtype=np.uint64).reshape(-1, 2)
    u, v = (rng.uniform(lanes, seed=1, salt=salt) for salt in "uv")
    near_one = 1 + np.ldexp(u - 0.5, -(np.arange(len(u)) % 52).astype(np.int32))
    bits = (rng.keys(lanes, seed=1, salt="bits") % np.uint64(0x7FF0000000000000)).view(np.float64)
    tiny = np.array([5e-324, 1e-310, 2.2250738585072014e-308, 1.7976931348623157e308, 1.0, math.sqrt(0.5)])
    log_x = np.concatenate([0.4 + 1.7 * v, near_one, bits[bits > 0], tiny])
    edges = np.array([0.0, -0.0, 709.782712893384, -745.1332191019411, 0.34657359027997264, 1e-300])
    exp_x = np.concatenate([2 * u - 1, -745 + 1454.7 * v, edges])
    return log_x, exp_x


def worst_ulps(found: np.ndarray, x: np.ndarray, exact) -> float:
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(60):
        truths = [exact(mpmath)(mpmath.mpf(float(v))) for v in x]
        return max(
            float(abs(mpmath.mpf(float(f)) - t) / mpmath.mpf(math.ulp(float(t))))
            for f, t in zip(found, truths, strict=True)
        )


def test_log_and_exp_are_within_one_ulp_of_sixty_digits():
    log_x, exp_x = inputs()
    assert worst_ulps(numeric.log(log_x), log_x, lambda m: m.log) < 0.8
    assert worst_ulps(numeric.exp(exp_x), exp_x, lambda m: m.exp) < 0.9


def test_special_values_follow_ieee():
    inf, nan = math.inf, math.nan
    assert numeric.log([0.0, -0.0, inf, 1.0]).tolist() == [-inf, -inf, inf, 0.0]
    assert np.isnan(numeric.log([-1.0, -inf, nan])).all()
    assert numeric.exp([-inf, inf, 0.0, -0.0, 710.0, -746.0]).tolist() == [0.0, inf, 1.0, 1.0, inf, 0.0]
    assert np.isnan(numeric.exp([nan])).all()
    assert math.copysign(1.0, numeric.log([1.0])[0]) == 1.0


def test_shapes_and_strides_do_not_change_the_bits():
    x = np.random.default_rng(1).uniform(0.01, 9, (40, 30))
    whole = numeric.log(x)
    assert (numeric.log(x[::3, ::2]) == whole[::3, ::2]).all()
    assert (numeric.log(x.T) == whole.T).all()
    assert all(numeric.log([v])[0] == w for v, w in zip(x[0], whole[0], strict=True))
    assert numeric.log(np.float64(2.0)).shape == ()
    assert numeric.log([]).shape == (0,)


def digest() -> str:
    log_x, exp_x = inputs()
    bits = numeric.log(log_x).tobytes() + numeric.exp(exp_x).tobytes()
    return hashlib.blake2b(bits, digest_size=16).hexdigest()


@pytest.mark.parametrize(
    "machine",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
        {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX X86_V4"},
        {"NUMBA_DISABLE_JIT": "1"},
    ],
)
def test_bits_are_equal_on_other_kinds_of_processor(machine, tmp_path):
    code = f"import sys; sys.path[:0] = {sys.path!r}; from {__name__} import digest; print(digest())"
    env = {**os.environ, **machine, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == digest(), run.stderr[-2000:]


def test_the_bits_are_pinned():
    assert digest() == "08bc5bb83a5e86d4de98197d5341ca85"


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.randoms(use_true_random=False))
def test_exact_sums_do_not_depend_on_order_or_grouping(values, shuffle):
    whole = numeric.exact_sum(values, grid_bits=20)
    mixed = list(values)
    shuffle.shuffle(mixed)
    cut = shuffle.randint(0, len(mixed))
    assert numeric.exact_sum(mixed[:cut], grid_bits=20) + numeric.exact_sum(mixed[cut:], grid_bits=20) == whole
    assert whole == sum(round(Fraction(v) * 2**20) for v in values)


def test_exact_sums_of_many_large_values_do_not_overflow():
    assert numeric.exact_sum(np.full(1000, 2.0**61), grid_bits=0) == 1000 * 2**61
    assert numeric.exact_sum(np.full(1000, -(2.0**61)), grid_bits=0) == -1000 * 2**61
    assert numeric.exact_sum([], grid_bits=30) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2.0**62])
def test_values_that_do_not_fit_the_grid_are_refused(bad):
    with pytest.raises(DataError, match="fixed-point"):
        numeric.exact_sum([1.0, bad], grid_bits=0)


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=20))
def test_sortable_bits_sort_like_the_floats_and_come_back(values):
    bits = numeric.sortable(values)
    assert bits.dtype == np.uint64
    for (a, x), (b, y) in itertools.combinations(zip(bits.tolist(), values, strict=True), 2):
        assert ((a > b) - (a < b)) == ((x > y) - (x < y))
    assert numeric.unsortable(bits).tolist() == values


def test_zero_has_one_key_and_nan_has_none():
    assert numeric.sortable(-0.0) == numeric.sortable(0.0)
    with pytest.raises(DataError, match="NaN"):
        numeric.sortable([1.0, math.nan])
