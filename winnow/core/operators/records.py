"""Where answers are kept: small records under names, of which the first writer wins."""

from __future__ import annotations

from typing import Protocol


class Records(Protocol):
    """Records that outlive the attempt which made them, shared by all who work on a root."""

    def get(self, key: str) -> bytes | None:
        """The record of that name; None where there is none."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Keep a record; False, and nothing changes, where there is one of that name."""

    def put(self, key: str, data: bytes) -> None:
        """Keep a record in place of the one of that name."""

    def names(self, folder: str) -> list[str]:
        """Names of the records in a folder, sorted."""


class MemoryRecords:
    """Records of one process, for where there is no run root."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """The record of that name."""
        return self.held.get(key)

    def put_new(self, key: str, data: bytes) -> bool:
        """Keep a record where there is none of that name."""
        return self.held.setdefault(key, data) is data

    def put(self, key: str, data: bytes) -> None:
        """Keep a record."""
        self.held[key] = data

    def names(self, folder: str) -> list[str]:
        """Names of the records in a folder, sorted."""
        return sorted(key for key in self.held if key.rpartition("/")[0] == folder)
