"""Histograms of scores with the cuts that were made on them. Two passes over a column: its range, then counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.operators import Kind
from winnow.dags.looking.finished import Column, FinishedRun, FinishedStage

Floats = npt.NDArray[np.float64]

BINS = 60
FAR = 3.0  # times the range of the data: cuts further away are named, not drawn
SAMPLED = 50_000  # rows that decide the range of an axis
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CUT = re.compile(rf'"?([A-Za-z_][\w.]*)"?\s*(>=|<=|>|<)\s*({_NUMBER})(?![\w.])')
_BETWEEN = re.compile(rf'"?([A-Za-z_][\w.]*)"?\s+BETWEEN\s+({_NUMBER})\s+AND\s+({_NUMBER})(?![\w.])', re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A bound on a column: rows are kept on its `keeps` side ('above' or 'below')."""

    value: float
    keeps: str
    label: str


@dataclass(kw_only=True)
class Histogram:
    """Rows per bin of one column; `kept` of them per selection made on it."""

    title: str
    column: str
    view: FinishedStage  # holds the column
    asked_by: FinishedStage  # rows it was asked about are counted
    by: FinishedStage | None = None  # the selection
    descending: bool = True
    cuts: list[Cut] = field(default_factory=list)
    edges: Floats = field(default_factory=lambda: np.zeros(0))
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    kept: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    whole: bool = False  # integers
    num_rows: int = 0
    num_null: int = 0
    num_kept: int = 0
    below: int = 0  # rows left and right of the axis
    above: int = 0
    low: float = np.inf
    high: float = -np.inf
    kept_range: tuple[float, float] = (np.inf, -np.inf)
    dropped_range: tuple[float, float] = (np.inf, -np.inf)


def histograms(
    run: FinishedRun, units: Sequence[str], decisions: Sequence[FinishedStage]
) -> tuple[list[Histogram], list[Histogram]]:
    """(scores with the selections made on them, columns that clauses cut), counted."""
    scores = [*_selected(decisions), *_unused(run, decisions)]
    clauses = list(_cut_by_clauses(decisions))
    _count([*scores, *clauses], units)
    return [h for h in scores if h.num_rows], [h for h in clauses if h.num_rows]


def cuts_of(rule: str) -> list[tuple[str, float, str, str]]:
    """(column, value, 'above' or 'below', operator) of a clause that is a conjunction of simple bounds; else none."""
    if re.search(r"\b(OR|NOT|CASE|XOR|IF)\b|[+*/(]", rule, re.IGNORECASE):
        return []
    out = []
    for column, low, high in _BETWEEN.findall(rule):
        out += [(column, float(low), "above", ">="), (column, float(high), "below", "<=")]
    for column, sign, number in _CUT.findall(rule):
        out.append((column, float(number), "above" if sign[0] == ">" else "below", sign))
    return out


def _selected(decisions: Sequence[FinishedStage]) -> Iterator[Histogram]:
    """One per selector that ranks by a column."""
    for view in decisions:
        by = getattr(view.operator, "by", None)
        if view.role != "selector" or not isinstance(by, str):
            continue
        found = _column(view, by)
        if found is not None:
            yield Histogram(
                title=f"{by}: selected by {view.shown}", column=found.name, view=found.stage, asked_by=view, by=view,
                descending=bool(getattr(view.operator, "descending", True)),
            )  # fmt: skip


def _unused(run: FinishedRun, decisions: Sequence[FinishedStage]) -> Iterator[Histogram]:
    """One per score that no selector ranks by."""
    if not decisions:
        return
    used = {(h.view.folder, h.column) for h in _selected(decisions)}
    space = decisions[0].space
    for view in {
        v.folder: v for v in run.stages if v.kind is Kind.COLUMNS and v.complete and v.space == space
    }.values():
        if view.role != "scorer":
            continue
        for name, kind in view.outputs.items():
            if (pa.types.is_floating(kind) or pa.types.is_integer(kind)) and (view.folder, name) not in used:
                face = view.shown if name in ("score", view.shown) else f"{view.shown}.{name}"
                yield Histogram(title=face, column=name, view=view, asked_by=view)


def _cut_by_clauses(decisions: Sequence[FinishedStage]) -> Iterator[Histogram]:
    """One per filter and column that a simple clause bounds."""
    for view in decisions:
        found: dict[tuple[str, str], Histogram] = {}
        for clause, rule in view.rules.items():
            for name, value, keeps, sign in cuts_of(rule):
                place = _column(view, name)
                if place is None:
                    continue
                fresh = Histogram(title=f"{view.shown}: {name}", column=place.name, view=place.stage, asked_by=view)
                one = found.setdefault((place.stage.folder, place.name), fresh)
                one.cuts.append(Cut(value=value, keeps=keeps, label=f"{clause}: {sign} {value:g}"))
        yield from found.values()


def _column(view: FinishedStage, name: str) -> Column | None:
    """A numeric column as a stage says it, where it is stored."""
    column = view.read_as(name)
    if column is None or not column.stage.complete:
        return None
    kind = column.stage.columns.get(column.name)
    numeric = kind is None or pa.types.is_floating(kind) or pa.types.is_integer(kind)
    stored = any(r.file_of(column.name) for r in list(column.stage.parts.values())[:1])
    return column if numeric and stored else None


def _values(one: Histogram, unit: str) -> tuple[Floats, npt.NDArray[np.bool_]] | None:
    """(values of a part's rows that were asked about, NaN for null; kept by the selection); None where it has none."""
    source = one.view.parts.get(unit)
    if source is None or unit not in one.asked_by.parts or source.file_of(one.column) is None:
        return None
    column = one.view.array(one.column, unit)
    one.whole = pa.types.is_integer(column.type)
    values = np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan), dtype=np.float64)
    here = one.asked_by.asked(unit)
    kept = one.asked_by.kept(unit)[here] if one.by else np.zeros(int(here.sum()), bool)
    return values[here], kept


def _count(many: Sequence[Histogram], units: Sequence[str]) -> None:
    """Two passes over the parts, all columns of a part together."""
    samples: list[list[Floats]] = [[] for _ in many]
    for unit in units:
        for one, sample in zip(many, samples, strict=True):
            found = _values(one, unit)
            if found is not None:
                sample.append(_range(one, *found))
    for one, sample in zip(many, samples, strict=True):
        if one.num_rows:
            _mark_cut(one)
            one.edges = _edges(np.concatenate(sample), one)
            one.counts, one.kept = np.zeros(len(one.edges) - 1, np.int64), np.zeros(len(one.edges) - 1, np.int64)
    for unit in units:
        for one in many:
            found = _values(one, unit) if one.num_rows else None
            if found is not None:
                _fill(one, *found)


def _range(one: Histogram, values: Floats, kept: npt.NDArray[np.bool_]) -> Floats:
    """What the first pass learns of a part; some of its values."""
    known = np.isfinite(values)
    one.num_rows += int(known.sum())
    one.num_null += int((~known).sum())
    one.num_kept += int((kept & known).sum())
    one.low, one.high = _widened((one.low, one.high), values[known])
    if one.by is not None:
        one.kept_range = _widened(one.kept_range, values[known & kept])
        one.dropped_range = _widened(one.dropped_range, values[known & ~kept])
    whole = sum(r.rows for r in one.view.parts.values())
    return values[known][:: max(1, whole // SAMPLED)]


def _fill(one: Histogram, values: Floats, kept: npt.NDArray[np.bool_]) -> None:
    """The counts of a part."""
    known = np.isfinite(values)
    one.below += int((values[known] < one.edges[0]).sum())
    one.above += int((values[known] > one.edges[-1]).sum())
    one.counts += np.histogram(values[known], bins=one.edges)[0]
    if one.by is not None:
        one.kept += np.histogram(values[known & kept], bins=one.edges)[0]


def _mark_cut(one: Histogram) -> None:
    """Where a selection took all rows on one side of a value, that value is its cut."""
    if one.by is None or not one.num_kept or one.num_kept == one.num_rows:
        return
    (kept_low, kept_high), (low, high) = one.kept_range, one.dropped_range
    if one.descending and kept_low >= high:
        one.cuts.append(Cut(value=kept_low, keeps="above", label=f"cut {kept_low:.4g}"))
    elif not one.descending and kept_high <= low:
        one.cuts.append(Cut(value=kept_high, keeps="below", label=f"cut {kept_high:.4g}"))


def _edges(sample: Floats, one: Histogram) -> Floats:
    """Bins over what 99.6 % of rows have, cuts that are not far away, and all rows where they go little further."""
    low, high = (float(q) for q in np.quantile(sample if len(sample) else [one.low, one.high], [0.002, 0.998]))
    reach = FAR * (high - low) if high > low else np.inf
    near = [c for c in one.cuts if low - reach <= c.value <= high + reach]
    low, high = min([low, *(c.value for c in near)]), max([high, *(c.value for c in near)])
    room = high - low
    low = min(low, one.low) if low - one.low < 0.3 * room else low
    high = max(high, one.high) if one.high - high < 0.3 * room else high
    if high <= low:
        return np.asarray([low - 0.5, low + 0.5])
    if one.whole and high - low <= BINS:
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    low = min([low, *(c.value - 0.08 * room for c in near if c.keeps == "above" and c.value > one.low)])
    high = max([high, *(c.value + 0.08 * room for c in near if c.keeps == "below")])
    return np.linspace(low, high, BINS + 1, dtype=np.float64)


def _widened(bounds: tuple[float, float], values: Floats) -> tuple[float, float]:
    return (min(bounds[0], float(values.min())), max(bounds[1], float(values.max()))) if len(values) else bounds
