"""On how many processes a run is trained: no part of what it is, as results agree up to the order of a sum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from winnow.core.errors import ConfigError

Launcher = Literal["processes", "ray"]


@dataclass(frozen=True, kw_only=True)
class Distributed:
    """Processes that share the rows of every step, and who starts them."""

    workers: int = field(default=1, metadata={"identity": False})
    launcher: Launcher = field(default="processes", metadata={"identity": False})  # ray: workers of Ray Train


def check_distributed(fields: Distributed, *, batch: int) -> None:
    """Check that every worker has a row of each step.

    Raises:
        ConfigError: there are no workers, or more than rows.
    """
    if not 1 <= fields.workers <= batch:
        raise ConfigError(f"{fields.workers} workers for a batch of {batch} rows", where="workers",
                          hint="each worker takes rows of every step: from 1 to `batch`")  # fmt: skip
    if fields.launcher == "ray" and fields.workers == 1:
        raise ConfigError("one worker is this process: Ray would start nothing", where="launcher",
                          hint="raise `workers`, or leave `launcher` out")  # fmt: skip
