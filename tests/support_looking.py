"""A small finished run grown to many rows: every part of one row space becomes a draw of its rows, with fresh ids."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.operators import Kind
from winnow.core.store.manifest import StageDir
from winnow.core.store.parts import read_columns, save_table
from winnow.core.store.store import Store
from winnow.dags.looking.finished import FinishedRun
from winnow.dags.recipe.records import latest_record

TEXT_CHARS = 80


def grow(store: Store, rows: int, parts: int, *, seed: int = 5) -> None:
    """Rewrite the reader and the columns stages of the root's latest run; verdicts stay those of the drawn rows."""
    run = FinishedRun(latest_record(store))
    space = run.spaces()[0]
    (unit,) = space.parts
    draw = np.random.default_rng(seed)
    each = rows // parts
    takes = [pa.array(draw.integers(0, space.parts[unit].rows, each)) for _ in range(parts)]
    ids = [
        pa.array([bytes(i) for i in draw.integers(0, 256, (each, 16), dtype=np.uint8)], pa.binary(16)) for _ in takes
    ]
    for view in run.stages:
        if view.folder != space.folder and (view.kind is not Kind.COLUMNS or view.space != space.folder):
            continue
        own, manifest, stage = view.parts[unit], view.manifest, StageDir(store, view.folder)
        assert manifest is not None
        table = read_columns(store, {c: (own, c) for f in own.files for c in f.columns})
        receipts = []
        for number, (take, doc_id) in enumerate(zip(takes, ids, strict=True)):
            piece = table.take(take)
            if view.folder == space.folder:
                piece = piece.set_column(piece.column_names.index("doc_id"), "doc_id", doc_id)
                short = pc.utf8_slice_codeunits(piece.column("text"), 0, TEXT_CHARS)
                piece = piece.set_column(piece.column_names.index("text"), "text", short)
            name = f"{number:05d}.000"
            files = save_table(stage, "part", name, piece)
            receipts.append(dataclasses.replace(own, unit=name, rows=each, files=files))
        store.delete(f"{view.folder}/manifest.json")
        stage.finish(dataclasses.replace(manifest, rows=rows, receipts=tuple(receipts)))
