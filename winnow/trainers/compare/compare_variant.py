"""The comparison of an ablation's other learning rates and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.trainers.compare.compare_arms import Compare


@dataclass(frozen=True, kw_only=True)
class CompareVariant(Compare):
    """The same comparison at another learning rate or model size: a part of an ablation's comparison.

    Source: as compare_arms
    """

    name: ClassVar[str] = "compare_variant"
