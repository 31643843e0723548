"""The work function of every engine: a payload holds one task, the answer is small; the receipt is the truth."""

from __future__ import annotations

from typing import Any

from winnow.dags.shapes.table import task_class
from winnow.dags.shapes.unit_task import KIND, from_wire


def execute(payload: dict[str, Any]) -> dict[str, Any]:
    """Do one task; raises what went wrong (engines turn exceptions into data)."""
    return from_wire(payload, task_class(payload.get(KIND))).run()
