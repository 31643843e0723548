"""`write`: the selected documents as shards that other trainers read.

Rows go to shards by the top bits of a keyed hash of doc_id and are sorted by that hash inside, so shards come out
globally shuffled and byte-equal for any layout of the input. The kept text is written twice in all (once into the
exchange, once into its shard); `order: source` is the one-pass option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics.rng import keys, uniform
from winnow.core.operators import ROW_COLUMNS, Rewrite, Schema
from winnow.core.operators.budget import parse_bytes
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given
from winnow.core.store.formats import format_named
from winnow.core.store.schema import contiguous
from winnow.pipeline.write.segment_controls import with_controls

SALT = "winnow.write"
MOST_COPIES = 1_000_000  # of one document
CONTROL_FORM = "<|{}|>"
OLDEST = pl.CompatLevel.oldest()  # large_string, not views


@dataclass(frozen=True, kw_only=True)
class Write(Rewrite):
    """Shards of the population as Parquet, Arrow or JSON Lines, globally shuffled; an index lies beside them.

    Opens a row space of its own; `carry` names the columns that cross over. `repeat: weight` writes a row
    floor(weight) times and once more with the probability of the rest, drawn by doc_id. `control: tags.control` puts
    the label of each document before its text (`<|aligned|>The ...`), for a trainer of your own: give its tokenizer
    the controls as special tokens. A column of lists puts one before each segment, whose ends in bytes `control_ends`
    gives (`tags.control_ends` of `per: sentence`). Ids stay those of the documents; text, its hash and its bytes are
    those written.

    Raises: ConfigError where `repeat` names no column to repeat by.
    Cost: O(kept text), twice.
    Source: own
    """

    name: ClassVar[str] = "write"
    version: ClassVar[int] = 3  # 2: pages of Parquet are cut by content; 3: ids are hex digits
    meaning: ClassVar[Mapping[str, Meaning]] = {"format": "closed", "shard_bytes": "closed", "control_form": "free"}
    columns_from: ClassVar[tuple[str, ...]] = ("carry", "repeat", "control", "control_ends")
    read_at: ClassVar[ReadAt] = {
        "shard_bytes": ("order", ("shuffled",)),  # by source a shard is a part of the input
        "control_form": ("control", given),
        "control_ends": ("control", given),
    }

    format: str = "parquet"  # `parquet`, `arrow`, `jsonl.zst` or `jsonl`
    shard_bytes: str = "256MB"
    order: Literal["shuffled", "source"] = "shuffled"
    carry: tuple[str, ...] | dict[str, str] = ()  # columns, or new name -> column: `{first_origin: origin}`
    repeat: str | None = None
    control: str | None = None  # a column of labels, put before the text: `tags.control` of a `conditional` stage
    control_ends: str | None = None  # where it holds lists: a column of the ends of the segments that they label
    control_form: str = CONTROL_FORM  # how a label is written

    def validate(self) -> None:
        """The format must be known, sizes be sizes, and carried names not clash with the columns every row has."""
        format_named(self.format)
        parse_bytes(self.shard_bytes)
        clash = [n for n in self.carried() if n in ROW_COLUMNS]
        if clash:
            hint = f"leave it out, or carry it under another name: `carry: {{first_{clash[0]}: {clash[0]}}}`"
            raise ConfigError(f"{clash[0]!r} is written anyway", where="carry", hint=hint)
        if self.control_form.count("{}") != 1:
            raise ConfigError(f"control_form is {self.control_form!r}", where="control_form",
                              hint="write `{}` once, where the label stands: `<|{}|>`")  # fmt: skip
        wrong = [n for n in self.carried() if not n or n.startswith("_")]
        if wrong:
            raise ConfigError(f"a column cannot be called {wrong[0]!r}", where="carry", hint="begin with a letter")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where `repeat` is no number, or `control` no text or whole number, nor lists of them."""
        label = types.get(self.control, pa.large_string()) if self.control else pa.large_string()
        listed = pa.types.is_list(label) or pa.types.is_large_list(label)
        if self.control in types and listed != (self.control_ends is not None):
            what = f"{self.control!r} is {label}" + ("" if listed else ", and no list: it has no `control_ends`")
            raise ConfigError(what, where="control" if listed else "control_ends",
                              hint="`control_ends: tags.control_ends`" if listed else "leave it out")  # fmt: skip
        label = label.value_type if listed else label
        if not (pa.types.is_large_string(label) or pa.types.is_string(label) or pa.types.is_integer(label)):
            raise ConfigError(f"{self.control!r} is {label}, not a label", where="control", hint="a column of text")
        kind = types[self.repeat] if self.repeat else pa.float64()
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            raise ConfigError(f"{self.repeat!r} is {kind}, not a number", where="repeat", hint="a selector's `weight`")

    def needs(self) -> tuple[str, ...]:
        """Every row's own columns, what is carried, the weight to repeat by, and the label to put before the text."""
        more = [name for name in (self.repeat, self.control, self.control_ends) if name]
        return tuple(dict.fromkeys([*ROW_COLUMNS, *self.carried().values(), *more]))

    def outputs(self) -> Schema:
        """Carried columns get their types when the recipe is planned."""
        return {}

    def carried(self) -> Mapping[str, str]:
        """Name in the shards -> the column that crosses over."""
        return self.carry if isinstance(self.carry, Mapping) else {name.replace(".", "_"): name for name in self.carry}

    def by_source(self) -> bool:
        """True for `order: source`."""
        return self.order == "source"

    def num_shards(self, rows: int, text_bytes: int) -> int:
        """The next power of two of text bytes over `shard_bytes`, at least 1."""
        wanted = max(1, -(-text_bytes // parse_bytes(self.shard_bytes)))
        return 1 << (wanted - 1).bit_length() if rows else 1

    def place(self, doc_id: pa.Array, num_shards: int) -> tuple[Any, Any]:
        """(shard i64[rows], sort key u64[rows]): the top bits and all bits of one keyed hash."""
        hashed = keys(doc_id, seed=0, salt=SALT)
        bits = num_shards.bit_length() - 1
        shard = (hashed >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(hashed), dtype=np.int64)
        return shard, hashed

    def copies(self, rows: pa.Table) -> Any | None:
        """floor(weight), plus one where a draw by doc_id falls under the rest, i64[rows]; null counts as 0."""
        if self.repeat is None:
            return None
        column = pc.fill_null(contiguous(rows.column(self.repeat)).cast(pa.float64()), 0.0)
        weight = np.asarray(column)
        wrong = weight[~((weight >= 0) & (weight <= MOST_COPIES))]
        if len(wrong):
            what = f"`repeat: {self.repeat}` has the weight {wrong[0]:g}, not one from 0 to {MOST_COPIES:,}"
            raise ConfigError(what, where="repeat", hint="name the `weight` of a selector")
        draw = uniform(contiguous(rows.column("doc_id")), seed=0, salt=f"{SALT}.repeat")
        return np.floor(weight).astype(np.int64) + (draw < weight - np.floor(weight))

    def texts(self, rows: pa.Table) -> pa.Array | None:
        """The texts with their controls before them; null and "" put nothing there.

        Raises:
            DataError: a text begins with its control already: it would be there twice.
        """
        if self.control is None:
            return None
        if self.control_ends is not None:
            columns = (contiguous(rows.column(name)) for name in ("text", self.control, self.control_ends))
            return with_controls(*columns, form=self.control_form)
        before, behind = self.control_form.split("{}")
        frame = pl.DataFrame({"label": contiguous(rows.column(self.control)), "text": contiguous(rows.column("text"))})
        label = pl.col("label").cast(pl.String)
        none = label.is_null() | (label == "")
        control = pl.when(none).then(pl.lit("")).otherwise(pl.lit(before) + label + pl.lit(behind))
        frame = frame.select("text", control.alias("control"), none.alias("none"))
        twice = frame.select((~pl.col("none") & pl.col("text").str.starts_with(pl.col("control"))).sum()).item()
        if twice:
            raise DataError(
                f"{twice:,} of {len(frame):,} documents begin with their control already", where="control",
                hint="they were written with `control` before: leave it out here",
            )  # fmt: skip
        return frame.select(pl.col("control") + pl.col("text")).to_series().to_arrow(compat_level=OLDEST)

    def shard_format(self) -> str:
        """The field `format`."""
        return self.format
