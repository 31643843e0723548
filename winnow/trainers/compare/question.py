"""What a comparison is asked of its arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Question = Literal["method", "selection"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The field that an ablation and its comparison share."""

    question: Question = "method"  # what verdicts answer: is the rule better, or only this one selection of it?
