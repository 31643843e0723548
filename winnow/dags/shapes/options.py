"""What a run may choose without changing any result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes of batches, buckets and parts; None where the data decide."""

    batch_rows: int = 1024
    buckets: int | None = None
    pieces: int | None = None  # most of an exchange of one level; rows that one task numbers
    part_bytes: int | None = None
    worker_gb: float | None = None  # memory that a worker may take: parts are cut for it
