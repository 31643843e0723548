"""`winnow sweep`: what another clause or budget would keep, decided again from stored columns; no text is read.

    {"run", "root", "sweeps": [{"stage", "field", "rule", "number", "asked", "tokens_from", "not_recomputed", "end",
     "values": [{"value", "rule", "own", "kept", "tokens", "bytes", "added", "removed", "added_tokens",
                 "removed_tokens", "refuses", "only", "null", "end_refused"}]}]}

The first of `values` is the run's own. `only` are rows that nothing but the clause refuses. `end_refused` counts
documents that this run kept to its end (`end`) and that the value would refuse; what it would newly admit was never
shown to the stages named in `not_recomputed`, so their answers, a dedup's above all, are not recomputed.

A variation is `STAGE.CLAUSE=SQL`, `STAGE.CLAUSE:0.65=0.5,0.6,0.7` (that number of the clause), `STAGE.CLAUSE:NUMBER=..`
(the only number in it), or a field of a selector: `best.budget=1M tokens,2M tokens`. Each one is varied alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Fold, Kind, sql
from winnow.core.store.no_value import frame_without_nan
from winnow.core.store.parts import frame_of, mask_of
from winnow.core.terminal import Lines, escaped, grid
from winnow.dags.looking.address import chain_to, decision_of, last_decision
from winnow.dags.looking.finished import Column, FinishedRun, FinishedStage, Mask
from winnow.dags.looking.sweep_select import variants, verdicts_of
from winnow.dags.recipe.records import RunRecord

ONLY_NUMBER = ("", "number")


@dataclass(frozen=True, kw_only=True)
class Vary:
    """One `--vary`: a clause or field of a stage, the number in it where only that varies, and the new texts."""

    stage: str
    field: str
    number: str | None
    text: str

    @property
    def target(self) -> tuple[str, str, str | None]:
        """What varies."""
        return self.stage, self.field, self.number


@dataclass(kw_only=True)
class Tally:
    """What one value would keep, summed over parts."""

    value: str
    rule: str
    own: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, **counts: int) -> None:
        """More of each."""
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count


def sweep_json(record: RunRecord, vary: Sequence[str]) -> dict[str, Any]:
    """What every value of every variation would keep; see the module.

    Raises: ConfigError for an unknown stage, clause or column and for what cannot be decided again; StoreError where
    the stage is not complete. Cost: the columns that the rules name, once; 10 values on 1M rows take about a second.
    """
    if not vary:
        raise ConfigError("nothing varies", where="--vary", hint="for example --vary clean.long:NUMBER=40,50,60")
    run = FinishedRun(record)
    grouped: dict[tuple[str, str, str | None], list[Vary]] = {}
    for text in vary:
        one = parse_vary(text)
        grouped.setdefault(one.target, []).append(one)
    return {
        "run": record.name, "root": record.store.location,
        "sweeps": [_sweep(run, many) for many in grouped.values()],
    }  # fmt: skip


def parse_vary(text: str) -> Vary:
    """The parts of `STAGE.CLAUSE[:NUMBER]=VALUES`. Raises ConfigError where a text is not of this form."""
    left, equals, right = text.partition("=")
    stage, dot, rest = left.strip().partition(".")
    name, colon, number = rest.partition(":")
    if not (equals and dot and stage and name.strip() and right.strip()):
        hint = "STAGE.CLAUSE=SQL, STAGE.CLAUSE:0.65=0.5,0.6 or STAGE.budget=1M tokens"
        raise ConfigError(f"--vary {text!r} says nothing that varies", where="--vary", hint=hint)
    return Vary(stage=stage, field=name.strip(), number=number.strip() if colon else None, text=right.strip())


def _sweep(run: FinishedRun, many: Sequence[Vary]) -> dict[str, Any]:
    """All values of one clause or field."""
    first = many[0]
    view = decision_of(run, first.stage)
    rules = view.rules
    counter = _Counter(run, view)
    if rules:
        if first.field not in rules:
            hint = did_you_mean(first.field, rules)
            raise ConfigError(f"stage {first.stage!r} has no clause {first.field!r}", where="--vary", hint=hint)
        rule = rules[first.field]
        tallies = _clause_tallies(first.field, rule, many)
        _count_clauses(counter, first.field, tallies)
    elif isinstance(view.operator, Fold):
        rule, made = variants(view, first.field, [(v.number, v.text) for v in many])
        tallies = [Tally(value=rule, rule=rule, own=True), *(Tally(value=v, rule=v) for v, _ in made)]
        offered = counter.offered(list(dict.fromkeys(n for _, operator in made for n in operator.needs())))
        for tally, (_, operator) in zip(tallies[1:], made, strict=True):
            for unit, kept in verdicts_of(view, operator, offered).items():
                counter.count(tally, unit, kept)
        for unit in view.parts:
            counter.count(tallies[0], unit, view.kept(unit))
    else:
        raise ConfigError(
            f"{view.operator_name!r} cannot decide again from stored columns", where=f"--vary {first.stage}",
            hint="filters and selectors can; for others run with --set: what has not changed is reused",
        )  # fmt: skip
    asked = sum(int(view.asked(unit).sum()) for unit in view.parts)
    return {
        "stage": view.shown, "field": first.field, "rule": rule, "number": first.number, "asked": asked,
        "tokens_from": counter.tokens_from, "not_recomputed": _after(run, view),
        "end": counter.end.shown if counter.end else None, "values": [_value_json(t, counter) for t in tallies],
    }  # fmt: skip


def _value_json(tally: Tally, counter: _Counter) -> dict[str, Any]:
    names = ["kept", "tokens", "bytes", "added", "removed", "added_tokens", "removed_tokens", "refuses", "only", "null"]
    counts = {n: tally.counts.get(n) for n in [*names, "end_refused"]}
    if counter.tokens_from is None:
        counts |= dict.fromkeys(("tokens", "added_tokens", "removed_tokens"))
    return {"value": tally.value, "rule": tally.rule, "own": tally.own, **counts}


def _clause_tallies(clause: str, rule: str, many: Sequence[Vary]) -> list[Tally]:
    """The run's own clause, then every new one; all are read before anything is counted."""
    out = [Tally(value=rule, rule=rule, own=True)]
    for one in many:
        if one.number is None:
            out.append(Tally(value=one.text, rule=one.text))
            continue
        at = _which(clause, rule, one.number)
        if one is many[0]:
            out[0].value = sql.numbers(rule)[at]
        for value in (v.strip() for v in one.text.split(",")):
            _as_number(value)
            out.append(Tally(value=value, rule=sql.replace_number(rule, at, value)))
    for tally in out:
        sql.expression(tally.rule, where=f"--vary {clause}")
    return out


def _which(clause: str, rule: str, number: str) -> int:
    """The place of a number among those of a clause."""
    found = sql.numbers(rule)
    only = number.lower() in ONLY_NUMBER
    places = [i for i, text in enumerate(found) if only or float(text) == _as_number(number)]
    if len(places) == 1:
        return places[0]
    what = f"clause {clause!r} ({rule}) has {len(places)} such numbers"
    hint = f"numbers in it: {', '.join(found) or 'none'}; or write the whole clause: STAGE.{clause}=SQL"
    raise ConfigError(what, where=f"--vary ...:{number}", hint=hint)


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a number", where="--vary", hint="for example :0.65=0.5,0.6") from None


def _count_clauses(counter: _Counter, clause: str, tallies: Sequence[Tally]) -> None:
    """One pass: every rule over the rows that the stage was asked about."""
    view, names = counter.view, list(dict.fromkeys(n for t in tallies[1:] for n in sql.column_names(t.rule)))
    columns = {n: counter.source(n) for n in names}
    exprs = [sql.expression(t.rule).alias(str(i)) for i, t in enumerate(tallies[1:])]
    for unit in view.parts:
        asked = view.asked(unit)
        rows = counter.frame(columns, unit)
        try:
            found = frame_without_nan(rows if asked.all() else rows.filter(pl.Series(asked))).select(exprs)
        except pl.exceptions.PolarsError as error:
            what = f"a rule cannot be worked out: {str(error).strip().splitlines()[0][:200]}"
            raise ConfigError(what, where=f"--vary {view.shown}.{clause}", hint="TRY_CAST gives null") from error
        able, others = asked & ~view.failed(unit), asked.copy()
        for other in view.rules:
            if other != clause:
                others &= mask_of(view.array(f"pass_{other}", unit))
        own = view.array(f"pass_{clause}", unit)
        nulls = ~np.asarray(own.is_valid(), dtype=bool) & asked
        _count_clause(counter, tallies[0], unit, mask_of(own) & able, others, nulls)
        for tally, series in zip(tallies[1:], found.get_columns(), strict=True):
            if series.dtype not in (pl.Boolean, pl.Null):
                hint = "compare it with something: `... > 0`"
                raise ConfigError(f"{tally.rule!r} gives {series.dtype}, not true or false", where="--vary", hint=hint)
            true, null = np.zeros(len(asked), dtype=bool), np.zeros(len(asked), dtype=bool)
            true[asked] = series.cast(pl.Boolean).fill_null(value=False).to_numpy()
            null[asked] = series.is_null().to_numpy()
            _count_clause(counter, tally, unit, true & able, others, null)


def _count_clause(counter: _Counter, tally: Tally, unit: str, passed: Mask, others: Mask, null: Mask) -> None:
    asked = counter.view.asked(unit)
    counter.count(tally, unit, passed & others)
    refused = asked & ~passed
    tally.add(refuses=int(refused.sum()), only=int((refused & others).sum()), null=int(null.sum()))


def _after(run: FinishedRun, view: FinishedStage) -> list[str]:
    """Stages whose rows this decision chose, in order of the data."""
    found = [v for v in run.stages if v.folder != view.folder and not v.hidden]
    return [v.shown for v in found if view.folder in run.decisions_behind(v)]


class _Counter:
    """What values of a variation would keep of one decision's rows, part by part; `text` is never read."""

    def __init__(self, run: FinishedRun, view: FinishedStage) -> None:
        self.view, self.space = view, run.at(view.space)
        last = last_decision(run)
        self.end = last if last.folder != view.folder and view in chain_to(run, last) else None
        beside = [s for s in run.beside(view) if s.kind is Kind.COLUMNS and "token_count" in s.outputs]
        counting = [s for s in beside if s.manifest and "tokens" in s.manifest.counts]
        self.tokens = view.read_as("token_count") or next((Column(stage=s, name="token_count") for s in counting), None)
        self.tokens_from = self.tokens.stage.shown if self.tokens else None

    def frame(self, columns: Mapping[str, Column], unit: str) -> pl.DataFrame:
        """Columns as a rule names them, all rows of a part."""
        return frame_of(pa.table({name: column.part(unit) for name, column in columns.items()}))

    def offered(self, names: Sequence[str]) -> dict[str, tuple[Mask, pl.DataFrame]]:
        """Unit -> the rows that the stage was asked about, and their columns; all parts in memory."""
        columns, out = {n: self.source(n) for n in names}, {}
        for unit in self.view.parts:
            asked = self.view.asked(unit)
            out[unit] = (asked, self.frame(columns, unit).filter(pl.Series(asked)))
        return out

    def count(self, tally: Tally, unit: str, kept: Mask) -> None:
        """Add what a value keeps of a part, and how that differs from the run."""
        own = self.view.kept(unit)
        added, removed = kept & ~own, own & ~kept
        tally.add(kept=int(kept.sum()), added=int(added.sum()), removed=int(removed.sum()))
        tally.add(bytes=_sum(self.space.array("text_bytes", unit), kept))
        if self.tokens is not None:
            tokens = self.tokens.part(unit)
            tally.add(tokens=_sum(tokens, kept), added_tokens=_sum(tokens, added), removed_tokens=_sum(tokens, removed))
        if self.end is not None:
            last = mask_of(self.end.array("kept", unit))
            tally.add(end_refused=int((last & ~kept).sum()))

    def source(self, name: str) -> Column:
        """Where a column of a rule is stored. Raises ConfigError where that is nowhere or not clear, or the text."""
        found = self.view.find(name, where="--vary")
        if found is None:
            hint = did_you_mean(name, self.view.known_names())
            raise ConfigError(f"no complete stage of these rows has a column {name!r}", where="--vary", hint=hint)
        if found.name == "text":
            raise ConfigError("a sweep reads no text", where="--vary", hint="measure it first: `signals`, a scorer")
        return found


def _sum(column: Any, keep: Mask) -> int:
    values = column.fill_null(0) if column.null_count else column
    return int(np.asarray(values, dtype=np.int64)[keep].sum())


def sweep_lines(answer: Mapping[str, Any], *, width: int) -> Lines:
    """(style, line) of a sweep for a terminal."""
    yield "bold", f"{answer['run']}  {answer['root']}"
    for sweep in answer["sweeps"]:
        yield "", ""
        number = f" :{sweep['number']}" if sweep["number"] else ""
        yield "bold", f"{sweep['stage']}.{sweep['field']}{number}  {escaped(sweep['rule'])}"
        yield "dim", f"  {sweep['asked']:,} documents were asked about"
        lines = grid([_titles(sweep), *(_cells(sweep, v) for v in sweep["values"])])
        for line, value in zip(lines, [None, *sweep["values"]], strict=True):
            yield ("dim" if value is None else "green" if value["own"] else ""), line
        if sweep["not_recomputed"]:
            names = ", ".join(sweep["not_recomputed"])
            yield "yellow", f"  not recomputed: {names} (they saw only what this run kept)"


def _titles(sweep: Mapping[str, Any]) -> list[str]:
    tokens = ["tokens", "change"] if sweep["tokens_from"] else []
    clause = ["refuses", "only it", "null"] if sweep["values"][0]["only"] is not None else []
    end = [f"{sweep['end']} loses"] if sweep["end"] else []
    return ["value", "kept", "change", *tokens, *clause, *end]


def _cells(sweep: Mapping[str, Any], value: Mapping[str, Any]) -> list[str]:
    shown = escaped(str(value["value"]))
    out = [f"{shown if len(shown) <= 60 else shown[:57] + '...'}{' (this run)' if value['own'] else ''}"]
    out += [f"{value['kept']:,}", _change(value["added"], value["removed"])]
    if sweep["tokens_from"]:
        out += [f"{value['tokens']:,}", _change(value["added_tokens"], value["removed_tokens"])]
    if value["only"] is not None:
        out += [f"{value[n]:,}" for n in ("refuses", "only", "null")]
    return out + ([f"{value['end_refused']:,}"] if sweep["end"] else [])


def _change(added: int, removed: int) -> str:
    parts = [f"+{added:,}"] * (added > 0) + [f"-{removed:,}"] * (removed > 0)
    return " ".join(parts) or "0"
