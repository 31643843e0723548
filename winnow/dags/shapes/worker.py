"""The work function of every engine: a payload names what to do, the answer is small; the receipt is the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from winnow.dags.shapes import derive, fit, fold, group, job, rewrite, whole
from winnow.dags.shapes import map as mapping
from winnow.dags.shapes.isolate import map_isolated

Do = Callable[[Mapping[str, Any]], dict[str, Any]]

WORK: dict[str, Do] = {
    "read": derive.read,
    "number": derive.number,
    "map": mapping.run_map,
    "answer_range": mapping.answer_range,
    "map_isolated": map_isolated,
    "summarise": fold.summarise,
    "merge": fold.merge,
    "decide": fold.decide,
    "send": group.send,
    "resolve": group.resolve,
    "collect": group.collect,
    "solve": whole.solve,
    "sample": fit.sample,
    "fit": fit.fit,
    "job": job.job,
    "count": rewrite.count,
    "write_send": rewrite.send,
    "write_shard": rewrite.shard,
}


def execute(payload: dict[str, Any]) -> dict[str, Any]:
    """Do one task; raises what went wrong (engines turn exceptions into data)."""
    return WORK[payload["do"]](payload)
