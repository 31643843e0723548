"""The work function of every engine: a payload names what to do, the answer is small; the receipt is the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from winnow.dags.work import derive as work_read
from winnow.dags.work import fold as work_fold
from winnow.dags.work import group as work_group
from winnow.dags.work import map as work_map
from winnow.dags.work import one as work_one
from winnow.dags.work import rewrite as work_write
from winnow.dags.work.isolate import map_isolated

Do = Callable[[Mapping[str, Any]], dict[str, Any]]

WORK: dict[str, Do] = {
    "read": work_read.read,
    "number": work_read.number,
    "map": work_map.run_map,
    "answer_range": work_map.answer_range,
    "map_isolated": map_isolated,
    "summarise": work_fold.summarise,
    "merge": work_fold.merge,
    "decide": work_fold.decide,
    "send": work_group.send,
    "resolve": work_group.resolve,
    "collect": work_group.collect,
    "solve": work_one.solve,
    "sample": work_one.sample,
    "fit": work_one.fit,
    "job": work_one.job,
    "count": work_write.count,
    "write_send": work_write.send,
    "write_shard": work_write.shard,
}


def execute(payload: dict[str, Any]) -> dict[str, Any]:
    """Do one task; raises what went wrong (engines turn exceptions into data)."""
    return WORK[payload["do"]](payload)
