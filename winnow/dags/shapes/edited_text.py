"""What a committed part of a stage that gives another text has besides its answers.

Whole hashes, the text that lies under its own, and where an extractor failed an empty text: a page is none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.operators.edit import EDITED
from winnow.core.operators.retext import EMPTIED, TEXTS, whole_texts
from winnow.core.store.manifest import FileRef
from winnow.core.store.schema import STATE, STATE_MASKED, contiguous
from winnow.dags.shapes.work import Work, input_receipts


def with_all_rows(out: pa.Table, rows: pa.Table, *, whole: bool) -> pa.Table:
    """The part with hash and bytes of the text as it was in rows that have no answer: masked ones, failed ones.

    Where texts are `whole`, those that failed have an empty one.
    """
    if whole:
        out = _empty_where_failed(out)
    for name in ("text_hash", "text_bytes"):
        out = _with(out, name, _first_known(contiguous(out.column(name)), contiguous(rows.column(name))))
    return out


def _empty_where_failed(out: pa.Table) -> pa.Table:
    asked = np.asarray(contiguous(out.column(STATE))) != STATE_MASKED
    lost = pa.array(asked & ~np.asarray(out.column("text").is_valid()))
    if not lost.true_count:
        return out
    for name, none in whole_texts(pa.array([""], TEXTS["text"])).items():
        column = contiguous(out.column(name))
        known = np.arange(len(column))
        known[np.asarray(lost)] = len(column)
        out = _with(out, name, pa.concat_arrays([column, none.cast(column.type)]).take(pa.array(known)))
    return out


def _with(out: pa.Table, name: str, column: pa.Array) -> pa.Table:
    at = out.schema.get_field_index(name)
    return out.set_column(at, out.schema.field(at), column)


def _first_known(column: pa.Array, was: pa.Array) -> pa.Array:
    """`pc.coalesce`, which pyarrow does not have of fixed bytes."""
    if not column.null_count:
        return column
    index = np.arange(len(column))
    index[~np.asarray(column.is_valid())] += len(column)
    return pa.concat_arrays([column, was.cast(column.type)]).take(pa.array(index))


def counts_of(out: pa.Table, rows: pa.Table, *, whole: bool) -> dict[str, int]:
    """Documents that an editor changed, and those of which nothing is left."""
    before = np.asarray(pc.fill_null(contiguous(rows.column("text_bytes")), 0))
    after = np.asarray(pc.fill_null(contiguous(out.column("text_bytes")), 0))
    text = contiguous(out.column("text"))
    if whole:
        return {EMPTIED: int((np.asarray(text.is_valid()) & (after == 0)).sum())}
    return {EDITED: len(text) - text.null_count, EMPTIED: int(((before > 0) & (after == 0)).sum())}


def over_the_text(work: Work, files: Sequence[FileRef], out: pa.Table, *, whole: bool) -> tuple[FileRef, ...]:
    """The files of a part, the one of new texts over the file that holds the text as it was.

    Not where every text is whole: nobody need read the pages again.
    """
    if whole and not out.column("text").null_count:
        return tuple(files)
    number, column = work.stage.columns["text"]
    under = input_receipts(work)[number].file_of(column)
    return tuple(dataclasses.replace(f, under=under) if "text" in f.columns else f for f in files)
