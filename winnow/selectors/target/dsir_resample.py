"""A draw in proportion to importance weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.selectors.score.sample import Sample


@dataclass(frozen=True, kw_only=True)
class DsirResample(Sample):
    """Documents drawn in proportion to their importance weight toward a target: `kept`, `weight` 1 or 0.

    `sample` on the column of a `dsir` stage. Sums over whole documents of different length drown the draw's
    noise (a standard deviation of 1.28) and favour the extremes: cut the corpus into texts of equal length,
    take `per: ngram` there with a `temperature` here, or accept what is nearly `top_k`.

    Source: Xie et al. 2023 (arXiv 2302.03169), Gumbel top-k; budgets in tokens own.
    """

    name: ClassVar[str] = "dsir_resample"

    by: str = "dsir_log_weight"
