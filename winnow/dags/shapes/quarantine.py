"""What readers and operators put aside: records that could not be read, rows that have no answer."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from winnow.core.errors import DataError, StoreError
from winnow.core.store.manifest import FileRef, Receipt, StageDir
from winnow.core.store.names import data_folders
from winnow.core.store.parts import read_file, save_file
from winnow.core.store.schema import write_ipc
from winnow.core.store.store import Store
from winnow.core.terminal import cut_to

if TYPE_CHECKING:
    from winnow.dags.recipe.nodes import Node

MESSAGE_CHARS = 500  # of a message that is kept
MOST_CHARS = 160  # of a message in one line


def save_quarantine(stage: StageDir, unit: str, table: pa.Table) -> FileRef:
    """Quarantined rows or records of one unit as a file named by its receipt."""
    write = functools.partial(write_ipc, table=table, compress=True)
    return save_file(stage, "quarantine", unit, ".arrow", write, columns=tuple(table.column_names))


def quarantine_of(store: Store, folder: str) -> str:
    """Where the quarantine of a stage's folder is, or would be."""
    known = data_folders(folder, "quarantine")
    return next((key for key in known if store.exists(key)), known[0])


def put_aside(store: Store, receipts: Iterable[Receipt]) -> Iterator[dict[str, str]]:
    """{"place", "error", "message"} of every record put aside; `place` is an origin, or a doc_id in hex.

    Raises: StoreError where a file of the quarantine cannot be read.
    """
    for receipt in receipts:
        if receipt.quarantine is None:
            continue
        for row in read_file(store, receipt.quarantine).to_pylist():
            place = row.get("origin") or row.get("doc_id", b"")
            name = place.hex() if isinstance(place, bytes) else str(place)
            yield {"place": name, "error": str(row.get("error", "")), "message": str(row.get("message", ""))}


def first_record(store: Store, receipts: Iterable[Receipt]) -> str:
    """`; first: a.jsonl#17: null_text: text is null`, or '' where nothing is put aside or it cannot be read."""
    try:
        first = next(put_aside(store, receipts), None)
    except StoreError:
        return ""
    return f"; first: {as_line(first)}" if first else ""


def as_line(bad: Mapping[str, str]) -> str:
    """One record put aside as one line."""
    message = cut_to(" ".join(bad["message"].split()), MOST_CHARS)
    return f"{bad['place']}: {bad['error']}" + (f": {message}" if message else "")


def counts_by_error(counts: Mapping[str, int]) -> str:
    """`invalid_json 2, null_text 1`, of a stage's counts."""
    return ", ".join(f"{k.removeprefix('bad:')} {v:,}" for k, v in counts.items() if k.startswith("bad:"))


def refuse_bad_share(store: Store, node: Node, counts: Mapping[str, int], receipts: Iterable[Receipt]) -> None:
    """Raise DataError where more rows of a stage failed than its `max_bad_share` allows."""
    failed = counts.get("failed", 0) + counts.get("bad", 0)
    asked = counts.get("rows", 0) - counts.get("masked", 0) + counts.get("bad", 0)
    allowed = node.max_bad_share * asked
    if failed and failed > (allowed if node.strict else max(allowed, 1)):
        kinds = f" ({counts_by_error(counts)})" if counts.get("bad") else ""
        raise DataError(
            f"{failed} of {asked} rows of stage {node.name!r} failed{kinds}, more than the allowed share "
            f"{node.max_bad_share:g}{first_record(store, receipts)}",
            where=f"quarantine: {store.where(quarantine_of(store, node.folder))}",
            hint=f"`winnow sample {store.where()} --bad` shows them; `max_bad_share:` on the stage allows more",
        )
