"""How well the two halves of a record fit, by a vector of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError, RowError
from winnow.core.numerics import knn
from winnow.core.operators import ArrowColumns, Context, MapArrow, Schema


@dataclass(frozen=True, kw_only=True)
class PairScore(MapArrow):
    """Cosine of two vectors of a document, `pair_score` in [-1, 1]: of an image and its caption, or a text and its
    translation.

    `left` and `right` are columns of vectors of one model, or of two that were trained together: `image.vector` and
    `caption.vector`, as `vectors_from` makes them of what came with the data, `embed` and `ngram_vectors` of the text.
    Null where one of the two is missing.

    Raises: ConfigError for one column twice, a column that holds no vectors, or vectors of two lengths.
    Cost: 3 multiply-adds per number, and the batch three times.
    Source: Radford et al. 2021 (CLIP, section 2.3: cosine of two encoders); as a filter of web pairs Schuhmann et al.
        2021 (LAION-400M, from 0.3 on). Vectors are on the grid of `core.numerics.knn`: within 0.001 of it.
    """

    name: ClassVar[str] = "pair_score"
    role: ClassVar[str] = "scorer"
    columns_from: ClassVar[tuple[str, ...]] = ("left", "right")

    left: str
    right: str

    def needs(self) -> tuple[str, ...]:
        """The vectors."""
        return (self.left, self.right)

    def outputs(self) -> Schema:
        """`pair_score`, f64."""
        return {"pair_score": pa.float64()}

    def validate(self) -> None:
        """Raise ConfigError for a column that is compared with itself."""
        if self.left == self.right:
            raise ConfigError(f"both are {self.left!r}", where="right", hint="name the vectors of the other half")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a column holds no vectors, or the two are of different lengths."""
        for where in ("left", "right"):
            kind = types[getattr(self, where)]
            if not (pa.types.is_fixed_size_binary(kind) or _is_list(kind)):
                raise ConfigError(f"{getattr(self, where)!r} is {kind}, and no vector", where=where,
                                  hint="`vectors_from` makes vectors of lists that came with the data")  # fmt: skip
        one, other = types[self.left], types[self.right]
        if pa.types.is_fixed_size_binary(one) and pa.types.is_fixed_size_binary(other) and one != other:
            sizes = [kind.byte_width // 2 for kind in (one, other)]
            raise ConfigError(f"{self.left!r} has {sizes[0]} numbers, {self.right!r} {sizes[1]}", where="right",
                              hint="both halves need vectors of one model, or of a pair of models")  # fmt: skip

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> cosines."""

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            try:
                (one, here), (other, there) = (knn.to_grid(batch.column(name)) for name in self.needs())
            except DataError as error:
                raise RowError(error.what, hint=error.hint) from error
            both = here & there
            if both.any() and one.shape[1] != other.shape[1]:
                raise RowError(
                    f"a vector of {self.left!r} has {one.shape[1]} numbers, one of {self.right!r} {other.shape[1]}"
                )
            score = np.zeros(len(both))
            if both.any():
                score[both] = _cosines(one[both].astype(np.int64), other[both].astype(np.int64))
            return pa.record_batch({"pair_score": pa.array(score, pa.float64(), mask=~both)})

        return columns


def _cosines(one: knn.Grid, other: knn.Grid) -> np.ndarray:
    """f64[rows]; sums of whole numbers, so that no layout changes a bit."""
    dot, left, right = ((a * b).sum(axis=1) for a, b in ((one, other), (one, one), (other, other)))
    cosines: np.ndarray = np.clip(dot / (np.sqrt(left) * np.sqrt(right)), -1.0, 1.0)
    return cosines


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
