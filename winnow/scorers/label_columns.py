"""The labels of a classifier, and the columns that they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from winnow.core.operators import Schema


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Which labels of a model become columns."""

    labels: dict[str, str] = field(default_factory=dict)  # column -> the model's label


def output_columns(labels: Mapping[str, str], *, top: bool) -> Schema:
    """Column -> type of a classifier with these fields."""
    named: dict[str, pa.DataType] = dict.fromkeys(labels or ([] if top else ["score"]), pa.float64())
    return named | ({"label": pa.large_string(), "label_score": pa.float64()} if top else {})
