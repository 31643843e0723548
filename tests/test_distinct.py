"""Distinct values are those of NumPy, and no module hashes what it may sort."""

import ast
from pathlib import Path

import numpy as np
import pytest

import winnow
from winnow.core.words.distinct import distinct


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint64])
def test_the_same_as_numpy(dtype):
    drawn = np.random.default_rng(0)
    for size, top in ((0, 1), (1, 5), (1000, 7), (1000, 1 << 31)):
        values = drawn.integers(0, top, size).astype(dtype)
        found = distinct(values.reshape(-1, 1))
        assert found.dtype == dtype
        assert found.tolist() == np.unique(values).tolist()


def test_rows_of_documents_are_not_hashed_by_numpy():
    """`np.unique` of one array alone hashes, 70 times as slow as sorting where most values differ: few rows may."""
    few = {  # parts, groups, points of a plot, steps: tens of values
        "curriculum.py", "check_feedback.py", "effects.py", "picking.py",
        "length_matched.py", "knn.py", "protected.py",
    }  # fmt: skip
    found = set()
    for path in Path(winnow.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.unique":
                bare = not any(key.arg == "axis" or (key.arg or "").startswith("return_") for key in node.keywords)
                found |= {path.name} if bare else set()
    assert found <= few, "use winnow.core.words.distinct.distinct"
