"""Fields of `minhash` and its sub-stages, each declared once for all that have it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from winnow.core.errors import ConfigError
from winnow.core.installing import how_to_install
from winnow.core.operators import port
from winnow.core.operators.effect import ReadAt

Linkage = Literal["leader", "components"]
Sketch = Literal["winnow", "datasketch_affine32", "datasketch_legacy"]


@dataclass(frozen=True, kw_only=True)
class Shingling:
    """What a text's shingles are."""

    ngram: int = 5  # words
    sketch: Sketch = "winnow"  # how signatures are made; as datasketch does, for its indexes (slow)


@dataclass(frozen=True, kw_only=True)
class Banding:
    """How signatures are cut into bands; documents that share one are compared."""

    num_bands: int = 14
    rows_per_band: int = 8


@dataclass(frozen=True, kw_only=True)
class Proposing:
    """Which pairs of the documents that share a band are compared."""

    all_pairs: bool = False  # also of more than 128 documents: quadratic in the largest group of near-copies


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """What counts as a near-duplicate."""

    threshold: float = 0.75


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Which document of a cluster is kept."""

    keeper: str = "longest"  # or "smallest_id", or ORDER BY: `quality desc, length(text) desc`


@dataclass(frozen=True, kw_only=True)
class Containing:
    """What a kept document must have of a dropped one."""

    contained: float | None = None  # the least share of a dropped document's shingles that the kept one must have


@dataclass(frozen=True, kw_only=True)
class Keeping(Containing, Keeper):
    """Which document of a cluster is kept, and what makes a cluster."""

    linkage: Linkage = "leader"


KEEPING_AT: ReadAt = {"contained": ("linkage", ("leader",))}


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Which documents are compared at all."""

    per: tuple[str, ...] = ()  # only those with equal values of these columns


@dataclass(frozen=True, kw_only=True)
class Against:
    """Earlier data that new documents are compared with besides each other."""

    of_runs: ClassVar[Mapping[str, tuple[str, ...]]] = {"against": ("minhash_index", "datasketch_index")}

    against: tuple[str, ...] = port("files", default=())  # RUN/STAGE of a `dedup_index`, or a folder of its files


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What an index leaves for other tools."""

    lean_minhash: bool = False  # `minhashes.parquet` too: ids and the bytes of datasketch's LeanMinHash


def check_at_least_one(operator: Any, *fields: str) -> None:
    """Raise ConfigError for a field below 1."""
    for field in fields:
        if getattr(operator, field) < 1:
            raise ConfigError(f"{field} is {getattr(operator, field)}", where=field, hint="it must be 1 or more")


def check_sketch(sketch: Sketch) -> None:
    """Raise ConfigError where signatures are to be datasketch's, and it is not installed."""
    if sketch != "winnow" and importlib.util.find_spec("datasketch") is None:
        hint = how_to_install("datasketch")
        raise ConfigError("datasketch makes these signatures, and is not installed", where="sketch", hint=hint)


def check_contained(value: float | None) -> None:
    """Raise ConfigError for a share outside (0, 1]."""
    if value is not None and not 0 < value <= 1:
        raise ConfigError(f"contained is {value}", where="contained", hint="a share lies in (0, 1]")


def check_threshold(value: float) -> None:
    """Raise ConfigError for a threshold outside (0, 1]."""
    if not 0 < value <= 1:
        raise ConfigError(f"threshold is {value}", where="threshold", hint="a Jaccard index lies in (0, 1]")
