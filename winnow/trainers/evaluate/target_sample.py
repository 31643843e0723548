"""A keyed sample of a target's items: which ones depends on their names alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.numerics.rng import uniform
from winnow.core.words.hashing import as_lanes, text_hash
from winnow.trainers.evaluate import suites


def smallest(suite: suites.Suite, count: int) -> np.ndarray:
    """Numbers of the items with the smallest draws keyed by their names, in the order of the file."""
    return np.sort(_drawn(suite)[:count])


def within(suite: suites.Suite, most_bytes: int) -> np.ndarray:
    """Numbers of the items with the smallest draws until they read `most_bytes`; more bytes hold all of fewer."""
    each = (suite.context.str.len_bytes() + suite.scored.str.len_bytes()).cast(pl.Int64).to_numpy()
    ends = np.concatenate(([0], np.cumsum(each)))
    sizes = np.diff(ends[suite.first])[_drawn(suite)]
    return np.sort(_drawn(suite)[np.cumsum(sizes) - sizes < most_bytes])


def _drawn(suite: suites.Suite) -> np.ndarray:
    """Numbers of all items in the order of their draws."""
    lanes = as_lanes(text_hash(pa.array(suite.names.to_list(), pa.large_string())))
    return np.argsort(uniform(lanes, seed=0, salt="target items"), kind="stable")
