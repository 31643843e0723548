"""The packing plan: which pieces of which documents make up each row, computed once and stored as Arrow.

A document of n tokens has n + 1 positions (`batches.py`). Documents longer than the context are cut
into whole rows and a rest, and pieces are packed best-fit decreasing: nothing is cropped, and on real lengths over
99 % of all positions hold a token. `concat` cuts the stream of all documents every context positions instead: no
position is empty, but documents are torn anywhere and share a row unmasked.

A piece takes 12 bytes; the file is memory-mapped, so opening a plan of any size costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError, StoreError
from winnow.core.store.ids import digest_bytes

Packing = Literal["best_fit", "concat"]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]

_FIELDS = ("document", "start", "length")
_PIECES = pa.large_list(pa.struct([pa.field(name, pa.uint32(), nullable=False) for name in _FIELDS]))
_FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Rows of pieces: row r holds pieces row_offsets[r] .. row_offsets[r + 1] in that order.

    Shapes: `row_offsets` i64[rows + 1]; `document`, `start`, `length` u32[pieces], in positions of a document.
    """

    context: int
    packing: Packing
    source: str  # digest of the documents that were packed
    row_offsets: I64
    document: U32
    start: U32
    length: U32

    @property
    def num_rows(self) -> int:
        """Rows of one epoch."""
        return len(self.row_offsets) - 1

    @property
    def num_tokens(self) -> int:
        """Predicted tokens of one epoch, the ends of documents included."""
        return int(self.length.sum(dtype=np.int64))

    @property
    def utilisation(self) -> float:
        """Share of all positions that predict a token, in (0, 1]."""
        return self.num_tokens / (self.num_rows * self.context)

    @cached_property
    def digest(self) -> str:
        """32 hex digits over all pieces, the context and the digest of what was packed."""
        import orjson

        head = orjson.dumps([_FORMAT, self.context, self.packing, self.source])
        return array_digest(self.row_offsets, self.document, self.start, self.length, head=head)

    def row_tokens(self) -> I64:
        """Predicted tokens of every row, i64[rows]."""
        found: I64 = np.add.reduceat(self.length, self.row_offsets[:-1], dtype=np.int64)
        return found

    def report(self) -> dict[str, Any]:
        """JSON: rows, pieces, tokens, utilisation, and how many documents are cut into how many pieces."""
        pieces = np.bincount(self.document)
        pieces = pieces[pieces > 0]
        return {
            "packing": self.packing,
            "context": self.context,
            "rows": self.num_rows,
            "pieces": len(self.document),
            "documents": len(pieces),
            "documents_cut": int((pieces > 1).sum()),
            "tokens": self.num_tokens,
            "utilisation": self.utilisation,
        }

    def write(self, sink: IO[bytes]) -> None:
        """One uncompressed Arrow file: a row per row, a list of (document, start, length) each."""
        import orjson

        columns = [pa.array(getattr(self, name)) for name in _FIELDS]
        pieces = pa.StructArray.from_arrays(columns, fields=list(_PIECES.value_type))
        rows = pa.Array.from_buffers(
            _PIECES, self.num_rows, [None, pa.py_buffer(np.ascontiguousarray(self.row_offsets))], children=[pieces]
        )
        head = {"format": _FORMAT, "context": self.context, "packing": self.packing, "source": self.source}
        schema = pa.schema([pa.field("pieces", _PIECES)], metadata={"winnow.plan": orjson.dumps(head)})
        with pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays([rows], schema=schema))

    @staticmethod
    def read(source: pa.NativeFile, *, where: str = "") -> Plan:
        """The plan that `write` wrote, mapped and not copied.

        Raises:
            StoreError: the file is not a plan of this version.
        """
        import orjson

        try:
            table = pa.ipc.open_file(source).read_all()
            head = orjson.loads((table.schema.metadata or {})[b"winnow.plan"])
            rows = table.column("pieces").chunk(0)
        except (pa.ArrowInvalid, KeyError, IndexError) as error:
            raise StoreError(
                f"this is no packing plan: {error}", where=where, hint="remove it: it is made anew"
            ) from error
        if head.pop("format") != _FORMAT:
            raise StoreError("this plan was made by another version", where=where, hint="remove it: it is made anew")
        offsets = np.frombuffer(rows.buffers()[1], dtype=np.int64)[: len(rows) + 1]
        pieces: dict[str, Any] = {name: np.asarray(rows.values.field(name)) for name in _FIELDS}
        return Plan(row_offsets=offsets, **pieces, **head)


def array_digest(*arrays: npt.NDArray[Any], head: bytes = b"") -> str:
    """xxh3-128 of `head` and the arrays' values one after the other, 32 hex digits."""
    views: list[Any] = [memoryview(np.ascontiguousarray(a).reshape(-1)).cast("B") for a in arrays if a.size]  # type: ignore[arg-type]
    return digest_bytes(head, *views)


def make_plan(
    num_tokens: I64, *, context: int, packing: Packing = "best_fit", order: I64 | None = None, source: str = ""
) -> Plan:
    """The rows of one epoch of documents of `num_tokens` tokens i64[documents] each.

    `order` i64[n] lists the documents to pack (default: each once): `concat` keeps it, and a document that it names
    twice is packed twice.
    Raises:
        ConfigError: the context holds nothing. DataError: there is nothing to pack.
    Cost: O(n log context) time, about 80 bytes per piece.
    """
    if context < 1:
        raise ConfigError(f"context is {context}, and must be at least 1", where="context")
    document = np.arange(len(num_tokens), dtype=np.int64) if order is None else np.asarray(order, dtype=np.int64)
    if not len(document):
        raise DataError("there is no document to pack", hint="the selection is empty, or all its weights are 0")
    positions = np.asarray(num_tokens, dtype=np.int64)[document] + 1
    if len(num_tokens) >= 1 << 32 or positions.max() >= 1 << 32:
        raise DataError("a plan numbers documents and their tokens with 32 bits", hint="pack fewer documents at once")
    made = _cut_stream if packing == "concat" else _best_fit
    offsets, which, start, length = made(positions, context)
    return Plan(
        context=context,
        packing=packing,
        source=source,
        row_offsets=offsets,
        document=document[which].astype(np.uint32),
        start=start.astype(np.uint32),
        length=length.astype(np.uint32),
    )


def _best_fit(positions: I64, context: int) -> tuple[I64, I64, I64, I64]:
    """(row offsets, and per piece its place in `positions`, start, length)."""
    from winnow.trainers.data.packing_kernels import best_fit, by_row

    counts = -(-positions // context)
    which = np.repeat(np.arange(len(positions), dtype=np.int64), counts)
    start = (np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)) * context
    length = np.minimum(context, positions[which] - start)
    descending = np.argsort(-length, kind="stable")
    row_of, rows = best_fit(length[descending], context)
    grouped, offsets = by_row(row_of, rows)
    order = descending[grouped]
    return offsets, which[order], start[order], length[order]


def _cut_stream(positions: I64, context: int) -> tuple[I64, I64, I64, I64]:
    """As `_best_fit`, for one stream of all documents cut every `context` positions."""
    ends = np.cumsum(positions)
    begins = ends - positions
    counts = (ends - 1) // context - begins // context + 1
    which = np.repeat(np.arange(len(positions), dtype=np.int64), counts)
    number = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = begins[which]
    start = np.maximum(number * context - begin % context, 0)
    length = np.minimum(context - (begin + start) % context, positions[which] - start)
    rows = -(-int(ends[-1]) // context)
    offsets = np.searchsorted((begin + start) // context, np.arange(rows + 1))
    return offsets.astype(np.int64), which, start, length
