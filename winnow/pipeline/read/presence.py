"""Which declared columns the records have: how many lack each, and what they have instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.operators import Lacks, Tell
from winnow.pipeline.read.json_fields import loads

MOST_NAMES = 50
MOST_LOOKED_AT = 20  # records of a unit whose names are told


class Presence:
    """Counts, over the documents of one unit, how many records lack a declared column. Cost: a sum per block."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._lacking = np.zeros(len(columns), dtype=np.int64)
        self._documents = 0
        self._some: list[bytes | Mapping[str, Any]] = []

    def add_block(self, lacking: npt.NDArray[np.bool_], lines: Iterator[bytes]) -> None:
        """bool[documents, columns], and their lines."""
        if self._columns:
            self._lacking += lacking.sum(axis=0)
            self._documents += len(lacking)
            self._some += islice(lines, MOST_LOOKED_AT - len(self._some))

    def add_record(self, lacking: Sequence[bool], record: Mapping[str, Any]) -> None:
        """One document and its record."""
        if self._columns:
            self._lacking += lacking
            self._documents += 1
            self._some += [record] if len(self._some) < MOST_LOOKED_AT else []

    def tell(self, tell: Tell) -> None:
        """Report the columns that some document lacks; of those that all lack, with names that there are."""
        for column, count in zip(self._columns, self._lacking.tolist(), strict=True):
            if count:
                names = self._names() if count == self._documents else ()
                tell(Lacks(column=column, records=count, names=names))

    def _names(self) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for some in self._some:
            record = loads(some) if isinstance(some, bytes) else some
            names |= dict.fromkeys(record)
            inner = [(key, value) for key, value in record.items() if isinstance(value, dict)]
            names |= {f"{key}.{name}": None for key, value in inner for name in value}
        return tuple(names)[:MOST_NAMES]
