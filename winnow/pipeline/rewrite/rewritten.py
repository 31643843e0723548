"""`rewritten`: new documents of the texts that a `rewrite` stage made, which know what they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ROW_COLUMNS, Rewrite, Schema
from winnow.core.store.schema import contiguous

PROVENANCE = {"parent_ids": "doc_id", "rewrite_model": "rewrite_model", "rewrite_prompt": "rewrite_prompt"}


@dataclass(frozen=True, kw_only=True)
class Rewritten(Rewrite):
    """New documents of the rewritten texts that are faithful, in a row space of their own; `concat` unites them.

    Each has an id of its own (of its parent's, model and prompt), `parent_ids` (32 hex digits, as `why` takes them),
    `rewrite_model`, `rewrite_prompt`, and the columns that `carry` names. Over `concat` (`columns: union`) those are
    null in documents that nobody rewrote, and `mixture` caps the share of the others: `per: rewrite_model, without:
    first, most: {MODEL: 0.3}`.

    Cost: O(kept text), once.
    Source: own
    """

    name: ClassVar[str] = "rewritten"
    role: ClassVar[str] = "rewriter"
    new_ids: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("column", "keep", "carry")

    column: str = "rewritten"
    keep: str = "faithful"  # a column that is true where the text makes a document; "": all do
    carry: tuple[str, ...] = ()

    def after_decisions(self) -> bool:
        """True: a text that is not faithful makes no document."""
        return True

    def validate(self) -> None:
        """Raises: ConfigError where a carried column has the name of one that every such document has."""
        clash = [name for name in self.carry if name in ROW_COLUMNS or name in PROVENANCE]
        if clash:
            raise ConfigError(f"{clash[0]!r} is there anyway", where="carry", hint="leave it out")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where the column is no text, or what lets it through is no truth value."""
        gate = types.get(self.keep) if self.keep else None
        if gate is not None and not pa.types.is_boolean(gate):
            raise ConfigError(f"{self.keep!r} is {gate}, not true or false", where="keep", hint="`keep: faithful`")
        kind = types.get(self.column)
        if kind is not None and not (pa.types.is_large_string(kind) or pa.types.is_string(kind)):
            raise ConfigError(f"{self.column!r} is {kind}, not text", where="column", hint="the text of a `rewrite`")

    def needs(self) -> tuple[str, ...]:
        """Every row's own columns, the new text, what made it, and what is carried."""
        gate = [self.keep] if self.keep else []
        return tuple(dict.fromkeys([*ROW_COLUMNS, self.column, *gate, *PROVENANCE.values(), *self.carry]))

    def carried(self) -> Mapping[str, str]:
        """Name in the new row space -> the column that crosses over."""
        return {**PROVENANCE, **{name.replace(".", "_"): name for name in self.carry}}

    def by_source(self) -> bool:
        """True: a part of new documents per part of old ones."""
        return True

    def copies(self, rows: pa.Table) -> Any | None:
        """1 where there is a new text that is let through, else 0."""
        made = np.asarray(contiguous(rows.column(self.column)).is_valid())
        if self.keep:
            made &= np.asarray(contiguous(rows.column(self.keep)).fill_null(False))
        return made.astype(np.int64)

    def texts(self, rows: pa.Table) -> pa.Array | None:
        """The new texts."""
        return contiguous(rows.column(self.column)).cast(pa.large_string()).fill_null("")

    def ids(self, rows: pa.Table) -> pa.Array | None:
        """16 bytes of the parent's id, the model and the prompt."""
        columns = [contiguous(rows.column(n)).to_pylist() for n in ("doc_id", "rewrite_model", "rewrite_prompt")]
        return pa.array([_id(*values) for values in zip(*columns, strict=True)], ROW_COLUMNS["doc_id"])

    def shard_format(self) -> str:
        """Parquet."""
        return "parquet"


def _id(parent: bytes, model: str | None, prompt: str | None) -> bytes:
    made = f"rewritten\0{model}\0{prompt}\0".encode()
    return hashlib.blake2b(made + parent, digest_size=16).digest()
