"""`winnow diff`: documents that are kept in one run and dropped in another, and what did it.

    {"a": {"run", "root", "at"}, "b": {...}, "both", "only_a", "only_b", "kept_in_both", "dropped_in_both",
     "kept_to_dropped", "dropped_to_kept",
     "reasons": [{"change", "stage", "documents", "clauses": [{"clause", "documents", "only"}], "fields", "behind",
                  "examples": [{"doc_id", "origin", "text", "a", "b"}]}],
     "moved": [{"a", "b", "documents"}], "fields": {stage: [{"field", "was", "now"}]}}

Documents are matched by doc_id, so the two runs may lie in one root or in two. A document's side is whether it reached
stage `at` (default: the last `write`, else the last decision) of its run. The reason is the first stage, in the order
of the data, that did not keep it in the run that dropped it: the other run kept it there. `fields` of a reason are
what differs in the recipe of that stage, `behind` what differs in the stages it reads; `moved` are documents dropped in
both runs, by different stages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, WinnowError
from winnow.core.numerics import rng
from winnow.core.operators import Kind
from winnow.core.store.parts import mask_of
from winnow.dags.looking.address import (
    chain_to,
    deciding_values,
    last_decision,
    refuse_incomplete,
    stage_of,
)
from winnow.dags.looking.diff_fields import changed_fields, shared_stages, stages_behind
from winnow.dags.looking.excerpts import excerpts
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.recipe.records import RunRecord

SALT = "looking"
LINE_CHARS = 160
KEPT, NOT_WRITTEN = 255, 254  # fates; below these the number of the stage in the chain
FATES = {"row": pl.Int64, "high": pl.UInt64, "low": pl.UInt64, "fate": pl.UInt8, "part": pl.Int64}


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Documents that changed side at one stage of the run that dropped them."""

    change: str
    stage: str
    view: FinishedStage | None  # None: the `write` itself, by its `where`
    rows: pl.DataFrame


class Side:
    """One run: the fate of every document of its row space."""

    def __init__(self, record: RunRecord, stage: str | None) -> None:
        self.run = FinishedRun(record)
        try:
            self.at = _end(self.run) if stage is None else stage_of(self.run, stage)
            if not (self.at.is_write or self.at.decides):
                hint = "name a filter, a dedup, a selector or a write"
                raise ConfigError(f"stage {stage!r} neither decides nor writes", hint=hint)
            self.space = self.run.at(self.at.source_space)
            self.chain = [v for v in chain_to(self.run, self.at) if v.space == self.space.folder]
        except WinnowError as error:
            raise error.at(f"{record.name} in {record.store.location}") from error

    @property
    def as_json(self) -> dict[str, str]:
        """Which run this is."""
        return {"run": self.run.record.name, "root": self.run.store.location, "at": self.at.shown}

    @cached_property
    def fates(self) -> pl.DataFrame:
        """`high`, `low` (doc_id), `fate`, `part`, `row` of every document."""
        pieces = []
        written = self._written() if self.at.is_write else None
        for number, unit in enumerate(self.space.parts):
            lanes = rng.lanes(self.space.array("doc_id", unit))
            fate = np.full(len(lanes), KEPT, dtype=np.uint8)
            for place, view in enumerate(self.chain):
                kept = mask_of(view.array("kept", unit))
                fate[(fate == KEPT) & ~kept] = place
            row = np.arange(len(lanes))
            columns = {
                "row": row,
                "high": lanes[:, 0],
                "low": lanes[:, 1],
                "fate": fate,
                "part": np.full_like(row, number),
            }
            pieces.append(pl.DataFrame(columns, schema=FATES))
        out = pl.concat(pieces) if pieces else pl.DataFrame(schema=FATES)
        if written is None:
            return out
        here = out.join(written, on=["high", "low"], how="left", maintain_order="left")["written"].is_not_null()
        gone = (pl.col("fate") == KEPT) & ~pl.Series(here)
        return out.with_columns(fate=pl.when(gone).then(pl.lit(NOT_WRITTEN, pl.UInt8)).otherwise("fate"))

    def _written(self) -> pl.DataFrame:
        lanes = [rng.lanes(self.at.array("doc_id", unit)) for unit in self.at.parts]
        ids = np.concatenate(lanes) if lanes else np.zeros((0, 2), dtype=np.uint64)
        return pl.DataFrame({"high": ids[:, 0], "low": ids[:, 1]}).unique().with_columns(written=pl.lit(value=True))

    def name_of(self, fate: int) -> str:
        """The stage that a fate means."""
        return self.at.shown if fate >= NOT_WRITTEN else self.chain[fate].shown

    def view_of(self, fate: int) -> FinishedStage | None:
        """The decision that a fate means; None where the `write` left the document out."""
        return None if fate >= NOT_WRITTEN else self.chain[fate]

    def unit(self, part: int) -> str:
        """Name of a part."""
        return list(self.space.parts)[part]


def diff_json(a: RunRecord, b: RunRecord, *, stage: str | None = None, n: int = 3) -> dict[str, Any]:
    """What changed side between two runs, and why, with `n` examples per reason; see the module.

    Raises: ConfigError for an unknown stage; StoreError where a run is not complete that far or of another version.
    Cost: doc_id and `kept` columns of both runs, about 40 bytes of memory per document.
    """
    one, two = Side(a, stage), Side(b, stage)
    fields = changed_fields(one.run, two.run)
    joined = one.fates.join(two.fates, on=["high", "low"], how="inner", suffix="_b")
    kept_a, kept_b = pl.col("fate") == KEPT, pl.col("fate_b") == KEPT
    sides = joined.select(
        both=(kept_a & kept_b).sum(), neither=(~kept_a & ~kept_b).sum(),
        lost=(kept_a & ~kept_b).sum(), won=(~kept_a & kept_b).sum(),
    ).row(0, named=True)  # fmt: skip
    reasons = [*_reasons("kept to dropped", two, joined.filter(kept_a & ~kept_b), "fate_b"),
               *_reasons("dropped to kept", one, joined.filter(~kept_a & kept_b), "fate")]  # fmt: skip
    return {
        "a": one.as_json, "b": two.as_json, "both": joined.height,
        "only_a": one.fates.height - joined.height, "only_b": two.fates.height - joined.height,
        "kept_in_both": sides["both"], "dropped_in_both": sides["neither"],
        "kept_to_dropped": sides["lost"], "dropped_to_kept": sides["won"],
        "reasons": [_reason_json(r, one, two, fields, n) for r in reasons],
        "moved": list(_moved(one, two, joined.filter(~kept_a & ~kept_b))), "fields": fields,
    }  # fmt: skip


def _end(run: FinishedRun) -> FinishedStage:
    """The last `write`, else the last decision. Raises StoreError where a stage before results is not complete."""
    if any(not v.complete and v.kind in (Kind.ROWS, Kind.COLUMNS, Kind.TABLE) for v in run.stages):
        raise refuse_incomplete(run, "a run that is not complete has no end to compare")
    writes = [v for v in run.stages if v.is_write and v.source_space]
    return writes[-1] if writes else last_decision(run)


def _reasons(change: str, dropping: Side, rows: pl.DataFrame, fate: str) -> Iterator[Reason]:
    """The changed documents by the stage that dropped them, the most telling first."""
    counts = rows.group_by(fate).len().sort(["len", fate], descending=[True, False])
    for value in counts[fate].to_list():
        here = rows.filter(pl.col(fate) == value)
        yield Reason(change=change, stage=dropping.name_of(value), view=dropping.view_of(value), rows=here)


def _reason_json(
    reason: Reason, one: Side, two: Side, fields: Mapping[str, list[dict[str, Any]]], n: int
) -> dict[str, Any]:
    dropping, suffix = (two, "_b") if reason.change == "kept to dropped" else (one, "")
    names = _names(reason.stage, one, two)
    behind = stages_behind([one.run, two.run], names)
    own = {s for s in fields if any(s == name or s.startswith(f"{name}.") for name in names)}
    return {
        "change": reason.change, "stage": reason.stage, "documents": reason.rows.height,
        "clauses": _clauses(dropping, reason, suffix),
        "fields": [{"stage": s, **c} for s in fields if s in own for c in fields[s]],
        "behind": [{"stage": s, **c} for s in fields if s in behind - own for c in fields[s]],
        "examples": [_example(reason, names, one, two, row) for row in _smallest(reason.rows, n)],
    }  # fmt: skip


def _clauses(side: Side, reason: Reason, suffix: str) -> list[dict[str, Any]]:
    """How many of the documents every clause refuses, and how many it alone does."""
    rules = reason.view.rules if reason.view is not None else {}
    if not rules or reason.view is None:
        return []
    fails = np.zeros((len(rules), 0), dtype=bool)
    for (part,), rows in reason.rows.group_by([f"part{suffix}"], maintain_order=True):
        unit, index = side.unit(int(str(part))), rows[f"row{suffix}"].to_numpy()
        asked = reason.view.asked(unit)[index]
        here = [~mask_of(reason.view.array(f"pass_{c}", unit))[index] & asked for c in rules]
        fails = np.concatenate([fails, np.stack(here)], axis=1)
    alone = fails & (fails.sum(axis=0) == 1)
    if not fails.any():
        return []
    found = [{"clause": c, "rule": rules[c], "documents": int(f.sum()), "only": int(o.sum())}
             for c, f, o in zip(rules, fails, alone, strict=True)]  # fmt: skip
    return sorted((c for c in found if c["documents"]), key=lambda c: -int(str(c["documents"])))


def _smallest(rows: pl.DataFrame, n: int) -> list[dict[str, Any]]:
    """The rows with the smallest keyed hash of their doc_id."""
    keys: npt.NDArray[np.uint64] = rng.keys(rows.select("high", "low").to_numpy(), seed=0, salt=SALT)
    return rows[np.argsort(keys, kind="stable")[:n]].to_dicts()


def _names(stage: str, one: Side, two: Side) -> set[str]:
    """What one stage is called in the two runs."""
    return {stage, *(name for pair in shared_stages(one.run, two.run).items() if stage in pair for name in pair)}


def _example(reason: Reason, names: set[str], one: Side, two: Side, row: Mapping[str, Any]) -> dict[str, Any]:
    unit = one.unit(row["part"])
    text = excerpts(one.space.store, one.space.parts[unit], [row["row"]], LINE_CHARS)[row["row"]]
    return {
        "doc_id": text.doc_id, "origin": text.origin, "text": text.text,
        "a": _verdict(one, names, unit, row["row"]),
        "b": _verdict(two, names, two.unit(row["part_b"]), row["row_b"]),
    }  # fmt: skip


def _verdict(side: Side, names: set[str], unit: str, row: int) -> dict[str, Any] | None:
    """What a run's stage of that name looked at; None where it has none that decides over these rows."""
    view = next((v for v in side.chain if v.shown in names), None)
    return None if view is None else deciding_values(view, unit, row)


def _moved(one: Side, two: Side, rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Documents that both runs dropped, where the stages differ by more than their names."""
    before = shared_stages(one.run, two.run)
    counts = rows.group_by(["fate", "fate_b"]).len().sort(["len", "fate", "fate_b"], descending=[True, False, False])
    for fate, fate_b, documents in counts.rows():
        name = two.name_of(fate_b)
        if one.name_of(fate) != before.get(name, name):
            yield {"a": one.name_of(fate), "b": two.name_of(fate_b), "documents": documents}


__all__: Sequence[str] = ["diff_json"]
