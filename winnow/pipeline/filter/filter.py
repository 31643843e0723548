"""The `filter` operator: named SQL clauses over columns, every one evaluated for every row.

A row is kept where all clauses are true. Clauses do not stop at the first failure, because the verdict of
each is what `winnow why` shows and what a change of threshold is judged by. A preset is a YAML file of
clauses in `presets/`; its keys `dialect` and `groups`, where it has them, say how `signals` measures its columns.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Columns, Context, Map, Schema, sql
from winnow.core.operators.sql_truth import check_truth
from winnow.core.store.no_value import frame_without_nan

PRESETS = Path(__file__).parent / "presets"
DIALECT, GROUPS = "dialect", "groups"  # keys of a preset that are no clauses: how `signals` is to measure its columns


@dataclass(frozen=True, kw_only=True)
class Filter(Map):
    """Which rows pass named rules: SQL over columns, or a preset (Gopher, C4, FineWeb, strict prose).

    `kept` is true where all clauses are; a clause whose value is null does not keep its row. A clause of
    `keep` replaces the preset clause of the same name.
    Source: own; each preset's file names the source of its thresholds.
    """

    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 2
    role: ClassVar[str] = "filter"
    columns_from: ClassVar[tuple[str, ...]] = ("keep", "preset")

    keep: dict[str, str] = field(default_factory=dict)  # clause name -> SQL that is true where the row stays
    preset: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """One preset may be given as a text."""
        presets = (self.preset,) if isinstance(self.preset, str) else tuple(self.preset or ())
        object.__setattr__(self, "preset", presets)

    def clauses(self) -> dict[str, str]:
        """Clause name -> SQL: the presets' clauses in order, then the own ones (which replace by name).

        Raises: ConfigError for an unknown preset, and where two presets mean different things by one name.
        """
        found: dict[str, str] = {}
        for name in self.preset:
            for clause, rule in load_preset(name).items():
                if clause not in self.keep and found.setdefault(clause, rule) != rule:
                    what = f"two presets have different clauses {clause!r}"
                    raise ConfigError(what, where="preset", hint=f"say which one under `keep: {{{clause}: ...}}`")
        return found | dict(self.keep)

    def data(self) -> dict[str, dict[str, str]]:
        """The presets' texts: an edited preset is another filter."""
        return {name: dict(load_preset(name)) for name in self.preset}

    def dialects(self) -> dict[str, str]:
        """Columns of the presets' clauses -> the dialect in which their limits are meant; own clauses have none.

        Raises: ConfigError where two presets mean one column in two dialects.
        """
        found: dict[str, str] = {}
        for name in self.preset:
            dialect = preset_dialect(name)
            rules = (rule for clause, rule in load_preset(name).items() if dialect and clause not in self.keep)
            for column in (column for rule in rules for column in sql.column_names(rule)):
                if found.setdefault(column, dialect) != dialect:
                    what = f"two presets mean {column!r} in different dialects, {found[column]} and {dialect}"
                    hint = "two filters, each below a `signals` stage of its dialect that it names among its `inputs`"
                    raise ConfigError(what, where="preset", hint=hint)
        return found

    def needs(self) -> tuple[str, ...]:
        """Columns of all clauses as written (`stage.column` is one name), in order of first appearance."""
        names = (column for rule in self.clauses().values() for column in sql.column_names(rule))
        return tuple(dict.fromkeys(names))

    def outputs(self) -> dict[str, pa.DataType]:
        """`kept`, never null, and one `pass_<clause>` per clause, null where the clause's value is."""
        return {"kept": pa.bool_()} | {f"pass_{clause}": pa.bool_() for clause in self.clauses()}

    def validate(self) -> None:
        """Raise ConfigError where no clause is given, a name is none, or a clause is not per-row SQL over columns."""
        clauses = self.clauses()
        if not clauses:
            raise ConfigError("a filter without clauses keeps all", where="keep", hint="add `keep:` or `preset:`")
        self.dialects()
        for clause, rule in clauses.items():
            if not (clause.isidentifier() and clause.isascii()):
                hint = "letters, digits and _ only: it becomes the column pass_<clause>"
                raise ConfigError(f"{clause!r} cannot name a clause", where="keep", hint=hint)
            sql.expression(rule, where=f"keep.{clause}" if clause in self.keep else f"preset clause {clause}")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a clause over columns of these types is no truth value."""
        for clause, rule in self.clauses().items():
            where = f"keep.{clause}" if clause in self.keep else f"preset clause {clause}"
            check_truth(rule, {name: types[name] for name in sql.column_names(rule)}, where=where)

    def open(self, ctx: Context) -> Columns:
        """Compile the clauses once.

        Raises: ConfigError if a clause's value is no truth value (when a batch shows it).
        """
        exprs = [
            sql.expression(rule, where=f"keep.{clause}").alias(f"pass_{clause}")
            for clause, rule in self.clauses().items()
        ]

        def columns(rows: pl.DataFrame) -> pl.DataFrame:
            passed = frame_without_nan(rows).select(exprs)
            for name, kind in passed.schema.items():
                if kind not in (pl.Boolean, pl.Null):
                    hint = "compare it with something: `... > 0`"
                    raise ConfigError(
                        f"the clause gives {kind}, not true or false", where=f"keep.{name[5:]}", hint=hint
                    )
            passed = passed.cast(pl.Boolean)
            kept = pl.all_horizontal(pl.all().fill_null(value=False)).alias("kept")
            return passed.select(kept, pl.all())

        return columns


def preset_names() -> list[str]:
    """Names of the presets that ship with winnow, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_preset(name: str) -> Mapping[str, str]:
    """Clause name -> SQL of a shipped preset.

    Raises: ConfigError if there is none of that name.
    """
    return {clause: rule for clause, rule in _said(name).items() if clause not in (DIALECT, GROUPS)}


def preset_dialect(name: str) -> str:
    """The dialect of `signals` that a shipped preset's limits are meant for; '' where any will do."""
    return _said(name).get(DIALECT, "")


def preset_groups(name: str) -> tuple[str, ...]:
    """The groups of columns that `signals` must be asked for beside its usual ones."""
    return tuple(_said(name).get(GROUPS, "").split())


@functools.cache
def _said(name: str) -> Mapping[str, str]:
    from ruamel.yaml import YAML

    if name not in preset_names():
        raise ConfigError(f"no preset {name!r}", where="preset", hint=did_you_mean(name, preset_names()))
    preset = YAML(typ="safe", pure=True).load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))
    return {str(clause): str(rule) for clause, rule in preset.items()}
