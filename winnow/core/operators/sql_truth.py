"""Whether a SQL rule over columns of some types is a truth value for every row, found out before there are rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators.sql import casts, expression


def check_truth(sql: str, types: Mapping[str, pa.DataType], *, where: str = "") -> None:
    """Check that `sql` over columns of these types is a truth value. Raises: ConfigError otherwise."""
    empty = pl.from_arrow(pa.schema(list(types.items())).empty_table())
    assert isinstance(empty, pl.DataFrame)
    of_types = ", ".join(f"{name} is {kind}" for name, kind in types.items())
    try:
        rule = expression(sql, where=where)
        nulls = empty.clear(2).select(rule)
        kind = nulls.dtypes[0]
        if not casts(sql):  # what casts may refuse single values; anything else fails for all values of a type
            empty.clear(2).with_columns(_two_values(name, empty.schema[name]) for name in empty.columns).select(rule)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        problem = str(error).strip().splitlines()[0]
        raise ConfigError(f"`{sql}` cannot be worked out: {problem}", where=where, hint=of_types) from error
    if kind not in (pl.Boolean, pl.Null):
        hint = f"compare it with something: `... > 0`; {of_types}"
        raise ConfigError(f"`{sql}` gives {kind}, not true or false", where=where, hint=hint)
    if nulls.height != 2:  # Polars folds what is the same for all rows of these types into one value
        raise ConfigError(f"`{sql}` says the same of every row", where=where, hint=of_types)


def _two_values(name: str, kind: pl.DataType) -> pl.Expr:
    """Two values of a type, one of them true: of nulls, Polars takes a text for a truth (`NOT name`), and of values
    it does not; a branch that no row takes is not looked at.
    """
    values: list[Any]
    if isinstance(kind, pl.String | pl.Binary):
        values = ["a", ""] if isinstance(kind, pl.String) else [b"a", b""]
    elif isinstance(kind, pl.List | pl.Array):
        values = [[n] * getattr(kind, "size", 1) for n in (1, 0)]
    elif kind.is_numeric() or kind.is_temporal() or isinstance(kind, pl.Boolean):
        return pl.lit(pl.Series([1, 0])).cast(kind).alias(name)
    else:
        return pl.col(name)
    return pl.lit(pl.Series(values, dtype=kind)).alias(name)
