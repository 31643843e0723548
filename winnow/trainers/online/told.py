"""What a policy is told before the first step of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.trainers.data.batches import Batch


@dataclass(frozen=True, kw_only=True)
class Told:
    """The run, its documents, and what the policy's stages hold; the same on every rank.

    `documents` are numbered as `Batch.documents`: ascending doc_id of the selection. `columns` are the policy stage's
    own, one value per document.
    """

    steps: int
    seed: int  # of the run's lots: the order seed
    vocab: int
    context: int
    batch: int  # rows of a step
    doc_id: pl.Series | None = (
        None  # None: the run's documents are of several sources, and have no numbers of their own
    )
    columns: Mapping[str, pl.Series] = field(default_factory=dict)
    texts: Mapping[str, Sequence[Batch]] = field(default_factory=dict)  # label -> packed rows of held-out texts
    models: Mapping[str, Path] = field(default_factory=dict)  # port -> weights.npz of a trained model
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # port -> result of the stage it names
    code: Path | None = None  # folder of the user's module

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """Values of all documents of the selection, f64[documents]; NaN where there is none.

        Raises:
            ConfigError: the policy's stage has no such column.
        """
        if name not in self.columns:
            raise ConfigError(
                f"the policy has no column {name!r}", where="policy", hint=f"it has {sorted(self.columns)}"
            )
        values: npt.NDArray[np.float64] = self.columns[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return values
