"""Parts of documents as a reader's tasks make them: cut by bytes of text, named by the reader's rule, committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import DataError
from winnow.core.operators import Bad, Derive
from winnow.core.store.ids import content_ids, digest_bytes, field_ids, kept_ids, ordinals, position_ids
from winnow.core.store.manifest import FileRef, Receipt
from winnow.core.store.no_value import without_nan
from winnow.core.store.parts import content_of, keep_warm, read_columns, save_table
from winnow.core.store.schema import contiguous
from winnow.dags.shapes.quarantine import MESSAGE_CHARS, save_quarantine
from winnow.dags.shapes.work import Work, operator_of

SHOWN = 3  # records of one id, in an error
MAX_QUARANTINED = 100_000  # rows written out per unit; all are counted


def id_rule(operator: Derive) -> str:
    """How documents are named: 'position', 'content' or 'field:NAME'."""
    return str(getattr(operator, "id", "position"))


def keeps_ids(operator: Derive) -> bool:
    """True where the records' own doc_ids stay what they are."""
    return id_rule(operator) in ("doc_id", "field:doc_id")


def recut(tables: Iterator[pa.Table], target: int) -> Iterator[pa.Table]:
    """Tables re-cut where the accumulated text reaches `target` bytes: a pure function of the records."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        held.append(table)
        size += _text_bytes(table).sum()
        while size >= target:
            whole = _whole(held)
            cut = int(np.searchsorted(np.cumsum(_text_bytes(whole)), target, side="left")) + 1
            part, held = whole.slice(0, cut), [whole.slice(cut)] if cut < whole.num_rows else []
            size = sum(int(_text_bytes(t).sum()) for t in held)
            del whole  # what it was made of went with `held`: a part is in memory once while it is committed
            yield part
            del part
    if sum(t.num_rows for t in held):
        yield _whole(held)


def _whole(tables: list[pa.Table]) -> pa.Table:
    """The rows of all tables as one whose columns are one array each."""
    rows = pa.concat_tables(tables)
    return pa.table({name: contiguous(rows.column(name)) for name in rows.column_names})


def _text_bytes(table: pa.Table) -> np.ndarray:
    return np.asarray(pc.binary_length(contiguous(table.column("text"))), dtype=np.int64)


def commit_part(work: Work, unit: str, table: pa.Table) -> None:
    """Commit one part of documents; without their ids where those need a look at all records."""
    from winnow.core.words.hashing import row_digest, text_hash

    operator = operator_of(work, Derive)
    rule = id_rule(operator)
    phase = "part" if rule == "position" else "raw"
    if work.stage.dir.receipt(phase, unit, work.key):
        return
    text = contiguous(table.column("text"))
    hashes = text_hash(text)
    columns: dict[str, pa.Array] = {}
    if rule == "position":
        columns["doc_id"] = position_ids(_source(operator), *(contiguous(table.column(c)) for c in ("rel", "locator")))
    elif rule != "content":
        named = contiguous(table.column("_id" if "_id" in table.column_names else "id"))
        make = kept_ids if keeps_ids(operator) else field_ids
        columns["doc_id"] = make(_source(operator), named)
    columns |= {"text_hash": hashes, "text_bytes": pa.array(_text_bytes(table), pa.int64())}
    columns |= {"text": text, "origin": contiguous(table.column("origin"))}
    columns |= {name: contiguous(table.column(name)).cast(kind) for name, kind in operator.outputs().items()}
    out, odd = without_nan(pa.table(columns))
    doc_id = columns.get("doc_id")
    files = save_table(work.stage.dir, phase, unit, out)
    work.commit(
        phase,
        unit=unit,
        rows=out.num_rows,
        row_digest=row_digest(doc_id) if doc_id is not None and phase == "part" else "",
        content=content_of(doc_id, out) if phase == "part" else {"text_hash": digest_bytes(hashes.buffers()[1])},
        files=files,
        counts={"rows": out.num_rows, "text_bytes": int(_text_bytes(out).sum())} | odd,
    )
    keep_warm(work.store, files, out)


def _source(operator: Derive) -> str:
    return str(getattr(operator, "source", ""))


def numbered_ids(work: Work, receipts: Sequence[Receipt]) -> pa.Array:
    """The doc_id of every record of the raw parts, in their order: binary(16)[rows].

    Raises: DataError where a field that should be unique repeats.
    """
    from winnow.core.words.hashing import from_lanes

    pieces = [lanes_of(work, r) for r in receipts]
    lanes = np.concatenate(pieces) if pieces else np.zeros((0, 2), dtype=np.uint64)
    operator = operator_of(work, Derive)
    if id_rule(operator) == "content":
        return content_ids(lanes, ordinals(lanes), _source(operator))
    _refuse_duplicates(work, receipts, lanes)
    return from_lanes(lanes)


def lanes_of(work: Work, raw: Receipt) -> np.ndarray:
    """What names the records of a raw part: the hash of their text, or of their own id; u64[rows, 2]."""
    from winnow.core.words.hashing import as_lanes

    name = "text_hash" if id_rule(operator_of(work, Derive)) == "content" else "doc_id"
    return as_lanes(contiguous(read_columns(work.store, {name: (raw, name)}).column(name)))


def _refuse_duplicates(work: Work, receipts: Sequence[Receipt], lanes: np.ndarray) -> None:
    repeated = np.flatnonzero(ordinals(lanes) > 0)
    if not len(repeated):
        return
    origins = np.concatenate([read_columns(work.store, {"o": (r, "origin")}).column("o").to_numpy() for r in receipts])
    same = np.flatnonzero((lanes == lanes[int(repeated[0])]).all(axis=1))[:SHOWN]
    raise repeats(len(repeated), [str(origins[i]) for i in same])


def repeats(number: int, origins: Sequence[str]) -> DataError:
    """So many records have an id that an earlier one has; `origins` of the first of them and its like."""
    return DataError(
        f"{number:,} record{'s repeat' if number > 1 else ' repeats'} an id, first: {', '.join(origins)}",
        hint="use a unique field, or `id: content` / `id: position`",
    )


def commit_numbered(work: Work, raw: Receipt, ids: pa.Array) -> None:
    """Commit a part that shares the files of its raw part and adds the ids."""
    from winnow.core.words.hashing import row_digest

    doc_id = pa.concat_arrays([ids])
    names = [c for f in raw.files for c in f.columns if c != "doc_id"]
    table = read_columns(work.store, {n: (raw, n) for n in names if n != "text"})
    content = content_of(doc_id, table)
    content["text"] = content["text_hash"]
    own = save_table(work.stage.dir, "part", work.unit, pa.table({"doc_id": doc_id}))
    files: tuple[FileRef, ...] = own + tuple(_without_id(f) for f in raw.files)
    work.commit(
        "part",
        rows=raw.rows,
        row_digest=row_digest(doc_id),
        content={"doc_id": content_of(doc_id, pa.table({"doc_id": doc_id}))["doc_id"], **content},
        files=files,
        counts=raw.counts,
    )


def _without_id(ref: FileRef) -> FileRef:
    columns = tuple(c for c in ref.columns if c != "doc_id")
    return FileRef(key=ref.key, columns=columns, name=ref.name, size=ref.size, digest=ref.digest)


def save_bad(work: Work, bad: Sequence[Bad]) -> FileRef:
    """The quarantine of a unit: at most MAX_QUARANTINED of its bad records."""
    shown = bad[:MAX_QUARANTINED]
    table = pa.table(
        {
            "origin": pa.array([b.origin for b in shown], pa.large_string()),
            "error": pa.array([b.error for b in shown], pa.large_string()),
            "message": pa.array([b.message[:MESSAGE_CHARS] for b in shown], pa.large_string()),
        }
    )
    return save_quarantine(work.stage.dir, work.unit, table)
