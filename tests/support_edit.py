"""Editors on texts, without a run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.operators import Context
from winnow.core.operators.edit import Edit
from winnow.core.words.hashing import text_hash


def batch_of(texts: list[str | None], **more: pa.Array) -> pa.RecordBatch:
    """The columns that an editor reads."""
    text = pa.array(texts, pa.large_string())
    sizes = pc.binary_length(text)
    return pa.record_batch({"text": text, "text_hash": text_hash(text), "text_bytes": sizes, **more})


def edited(operator: Edit, texts: list[str | None], tmp: Path = Path(), **more: pa.Array) -> tuple[list[Any], dict]:
    """(texts after the editor, its columns as lists)."""
    operator.validate()
    batch = batch_of(texts, **more)
    out = operator.open(Context(seed=0, work=tmp))(batch)
    new = pc.coalesce(out.column("text"), batch.column("text"))
    assert out.schema.names == list(operator.outputs())
    assert out.column("text_hash").equals(text_hash(new)), "the hash is that of the new text"
    assert out.column("text_bytes").equals(pc.binary_length(new)), "the bytes are those of the new text"
    columns = {name: out.column(name).to_pylist() for name in out.schema.names}
    for was, now, row in zip(texts, new.to_pylist(), range(len(texts)), strict=True):
        assert applied(was, columns, row) == now, "the changes make the new text of the old one"
    return new.to_pylist(), columns


def applied(text: str | None, columns: dict, row: int) -> str | None:
    """The text with the changes of a row made one by one, from the last to the first."""
    starts, stops, new = (columns[name][row] for name in ("edit_starts", "edit_stops", "edit_texts"))
    if starts is None or text is None:
        return text
    data = text.encode()
    for start, stop, said in reversed(list(zip(starts, stops, new, strict=True))):
        data = data[:start] + said.encode() + data[stop:]
    return data.decode()


def random_texts(seed: int, pieces: tuple[str, ...], number: int, most: int = 60) -> list[str]:
    """Texts of random pieces, short ones and long ones."""
    draw = random.Random(seed)
    return ["".join(draw.choices(pieces, k=draw.randrange(most))) for _ in range(number)]
