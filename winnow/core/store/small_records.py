"""Small records of a run root that no stage owns: answers that were paid for, and what they used.

They lie in the folder `answers` and belong to no run: `gc` leaves them, since another recipe may ask the same, and what
was paid for cannot be computed again. Whoever wants to be asked anew removes that folder.
"""

from __future__ import annotations

from dataclasses import dataclass

from winnow.core.store.store import Store

FOLDER = "answers"


@dataclass(frozen=True)
class StoreRecords:
    """`Records` in a store."""

    store: Store

    def get(self, key: str) -> bytes | None:
        """The record of that name; None where there is none."""
        place = f"{FOLDER}/{key}"
        return self.store.get(place) if self.store.exists(place) else None

    def put_new(self, key: str, data: bytes) -> bool:
        """Keep a record, durably; False, and nothing changes, where there is one of that name."""
        return self.store.put_new(f"{FOLDER}/{key}", data)

    def put(self, key: str, data: bytes) -> None:
        """Keep a record in place of the one of that name."""
        self.store.put(f"{FOLDER}/{key}", data)

    def names(self, folder: str) -> list[str]:
        """Names of the records in a folder, sorted."""
        return [key.removeprefix(f"{FOLDER}/") for key in self.store.list(f"{FOLDER}/{folder}")]
