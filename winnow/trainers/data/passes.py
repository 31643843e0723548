"""Where a pass over a data set begins: a loaded state counts for one pass, whichever processes make it.

Loader workers hold copies of the data set, so what was used up lies in memory that all of them share.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from winnow.core.errors import ConfigError

MOST_WORKERS = 4096


@dataclass(kw_only=True)
class Pass:
    """One iteration: the step that it began with, and how many items it has given out in this process."""

    start: int
    given: int = 0


class Passes:
    """The step that the next pass begins with: the one of a loaded state, once; else the first."""

    def __init__(self) -> None:
        self._head = torch.zeros(3, dtype=torch.int64).share_memory_()  # the loaded step, is it used up, by workers
        self._claims = torch.zeros(MOST_WORKERS, dtype=torch.int16).share_memory_()  # 1 + workers of the pass, by slot

    def resume(self, step: int) -> None:
        """Let the next pass begin with `step`."""
        self._claims.zero_()
        self._head[0], self._head[1] = step, 0

    def begin(self, worker: int, workers: int) -> Pass:
        """A pass begins in one of `workers` loader workers (0: in the process itself).

        Whoever comes a second time, or beside a pass of another number of workers, is in a later pass.
        """
        if workers > MOST_WORKERS:
            raise ConfigError(f"{workers:,} loader workers are more than {MOST_WORKERS:,}", where="num_workers")
        if workers:
            self._head[2] = 1
        mark, taken = workers + 1, self._claims[self._claims != 0]
        if self._head[1] or self._claims[worker] or bool((taken != mark).any()):
            self._head[1] = 1
            return Pass(start=0)
        self._claims[worker] = mark
        return Pass(start=int(self._head[0]))

    @property
    def in_workers(self) -> bool:
        """True where loader workers have iterated a copy: only they know how far they are."""
        return bool(self._head[2])
