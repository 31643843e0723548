"""An editor that ends its own process once, in the middle of its work."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.operators import Context
from winnow.core.operators.edit import Edit, Edited
from winnow.core.words.splice import removed
from winnow.core.words.text import utf8_buffers


@dataclass(frozen=True, kw_only=True)
class Fragile(Edit):
    """Without the first letter of each text; at the text that begins with `!` the process is killed, once.

    Source: own
    """

    name: ClassVar[str] = "fragile"

    flag: str = field(default="", metadata={"identity": False})  # file that says that it has happened

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        def edit(batch: pa.RecordBatch) -> Edited:
            offsets, data = utf8_buffers(batch.column("text"))
            first = data[offsets[:-1]]
            if self.flag and (first == ord("!")).any() and not Path(self.flag).exists():
                Path(self.flag).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            rows = np.arange(len(first) + 1)
            return Edited(spans=removed(rows, np.zeros(len(first), np.int64), np.ones(len(first), np.int64)))

        return edit
