"""What a policy is told before the first step of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.stored_labels import StoredLabels
from winnow.trainers.data.stored_losses import StoredLosses


class Reference(Protocol):
    """A trained model that a policy asks about the rows of a step."""

    def nats(self, rows: Batch, /) -> npt.NDArray[np.float32]:
        """Its loss of every target, f32[B, T]."""


@dataclass(frozen=True, kw_only=True)
class Spelt:
    """The ids of all documents, one after the other, and how many bytes of text each id stands for."""

    ids: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]  # [documents + 1]
    bytes: npt.NDArray[np.int64]  # [vocabulary]


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
    references: Mapping[str, Reference] = field(default_factory=dict)  # port -> the same model, to be asked
    spelling: Spelt | None = None  # None: the tokenizer does not spell a text byte by byte
    shapes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # port -> the fields of that model's `Shape`
    labels: Mapping[str, StoredLabels] = field(default_factory=dict)  # port -> soft labels of the documents
    losses: Mapping[str, StoredLosses] = field(default_factory=dict)  # port -> token losses of the documents
    parameters: int = 0  # of the model that is trained; 0: not known
    code: Path | None = None  # folder of the user's module

    def reference(self, port: str) -> Reference:
        """The trained model behind a port, or the losses that one left of the documents.

        Raises:
            ConfigError: there is none.
        """
        if port in self.losses:
            return self.losses[port]
        if port not in self.references:
            raise ConfigError("no trained model to ask", where=f"policy.{port}", hint="name a stage that trained one")
        return self.references[port]

    def spelt(self) -> Spelt:
        """The documents' ids with their bytes.

        Raises:
            ConfigError: bytes cannot be counted by ids.
        """
        if self.spelling is None:
            hint = "a byte-level tokenizer without a normalizer, on documents of one source"
            raise ConfigError("tokens do not spell the text byte by byte", where="policy", hint=hint)
        return self.spelling

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
