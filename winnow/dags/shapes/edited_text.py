"""What a committed part of an editor has besides its answers: whole hashes, and the text that lies under its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.operators.edit import EDITED, EMPTIED, TEXTS
from winnow.core.store.manifest import FileRef
from winnow.core.store.schema import contiguous
from winnow.dags.shapes.work import Work, input_receipts


def with_all_rows(out: pa.Table, rows: pa.Table) -> pa.Table:
    """The part with hash and bytes of the text as it was in rows that have no answer: masked ones, failed ones."""
    for name in ("text_hash", "text_bytes"):
        at = out.schema.get_field_index(name)
        column, was = contiguous(out.column(name)), contiguous(rows.column(name)).cast(TEXTS[name])
        out = out.set_column(at, out.schema.field(at), _first_known(column, was))
    return out


def _first_known(column: pa.Array, was: pa.Array) -> pa.Array:
    """`pc.coalesce`, which pyarrow does not have of fixed bytes."""
    if not column.null_count:
        return column
    index = np.arange(len(column))
    index[~np.asarray(column.is_valid())] += len(column)
    return pa.concat_arrays([column, was]).take(pa.array(index))


def counts_of(out: pa.Table, rows: pa.Table) -> dict[str, int]:
    """Documents that were changed, and those of which nothing is left."""
    before = np.asarray(pc.fill_null(contiguous(rows.column("text_bytes")), 0))
    after = np.asarray(pc.fill_null(contiguous(out.column("text_bytes")), 0))
    text = contiguous(out.column("text"))
    return {EDITED: len(text) - text.null_count, EMPTIED: int(((before > 0) & (after == 0)).sum())}


def over_the_text(work: Work, files: Sequence[FileRef]) -> tuple[FileRef, ...]:
    """The files of a part, the one of changed texts over the file that holds the text as it was."""
    number, column = work.stage.columns["text"]
    under = input_receipts(work)[number].file_of(column)
    return tuple(dataclasses.replace(f, under=under) if "text" in f.columns else f for f in files)
