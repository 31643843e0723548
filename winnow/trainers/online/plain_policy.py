"""Policies that need nothing of the documents but their losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.operators import Context, Job
from winnow.trainers.online.policy import Policy


@dataclass(frozen=True, kw_only=True)
class PlainPolicy(Policy, Job):
    """A policy without columns: its stage says its name and fields, and a run does the rest."""

    role: ClassVar[str] = "policy"

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `policy`, as a person reads it."""
        return {"policy": self.said()}
