"""Ratio estimates over clusters with their errors, and the estimate of a plan as lines.

For each reader the total is B * sum(y) / sum(b) over the sampled units (y counted, b bytes, B bytes of the input), with
the variance of a ratio over clusters and the finite-population correction; readers add. Intervals are 95 % of Student's
t with one degree of freedom less per reader; they need two units per reader, and few units give poor coverage.
Source: Cochran, Sampling Techniques, 3rd ed., sections 6.4 and 9A.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from winnow.core.numerics.binomial import LEVEL, wilson
from winnow.core.operators.budget import Budget
from winnow.core.terminal import Lines, grid, percent

Estimate = dict[str, Any]  # {"value", "low", "high"}; bounds are None where the sample gives none


def totals(values: Sequence[np.ndarray], sizes: Sequence[np.ndarray], total_bytes: Sequence[int]) -> Estimate:
    """The total over all readers of something counted per unit."""
    value, variance, free, known = 0.0, 0.0, 0, True
    for y, b, whole in zip(values, sizes, total_bytes, strict=True):
        read, units = float(b.sum()), len(b)
        if not read:
            continue
        ratio = float(y.sum()) / read
        value += whole * ratio
        left = max(0.0, 1.0 - read / whole)
        if units > 1:
            spread = float(((y - ratio * b) ** 2).sum()) * units / (units - 1) / read**2
            variance += whole**2 * left * spread
            free += units - 1
        elif left:
            known = False
    if not known or (variance and not free):
        return {"value": value, "low": None, "high": None}
    half = t_quantile(free) * math.sqrt(variance) if variance else 0.0
    return {"value": value, "low": max(0.0, value - half), "high": value + half}


def kept_share(
    kept: Sequence[np.ndarray], asked: Sequence[np.ndarray], sizes: Sequence[np.ndarray], total_bytes: Sequence[int]
) -> Estimate:
    """The share of asked rows that are kept, its 95 % interval the wider of the binomial and the clustered one."""
    k, n = sum(float(x.sum()) for x in kept), sum(float(x.sum()) for x in asked)
    if not n:
        return {"value": None, "low": None, "high": None}
    whole = totals(kept, sizes, total_bytes)["value"] / max(totals(asked, sizes, total_bytes)["value"], 1e-300)
    low, high = wilson(k, n)
    rest = [y - whole * a for y, a in zip(kept, asked, strict=True)]  # linearised: its total is zero
    error = totals(rest, sizes, total_bytes)
    if error["high"] is not None:
        half = (error["high"] - error["value"]) / max(totals(asked, sizes, total_bytes)["value"], 1e-300)
        low, high = min(low, whole - half), max(high, whole + half)
    if sum(float(s.sum()) for s in sizes) >= sum(total_bytes):
        low = high = whole  # everything was read
    return {"value": whole, "low": max(0.0, low), "high": min(1.0, high)}


def t_quantile(free: int) -> float:
    """The 97.5 % quantile of Student's t, within 0.5 % of it. Source: Cornish-Fisher; exact for 1 and 2."""
    if free <= 2:
        return 12.7062 if free <= 1 else 4.3027
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / free + second / free**2 + third / free**3 + fourth / free**4


def capped(found: Mapping[str, Estimate], budget: Budget) -> dict[str, Estimate]:
    """What comes out, where a selection takes at most `budget` of it; epochs say nothing about that.

    A budget bounds the total of its own unit alone; a share is one of documents.
    """
    units = {"tokens": "tokens_out", "bytes": "bytes_out", "docs": "documents_out", "share": "documents_out"}
    total = units.get(budget.unit)
    if total is None:
        return {}
    before = found[total]
    share = budget.unit == "share"
    most = {k: v if v is None else v * budget.amount if share else min(v, budget.amount) for k, v in before.items()}
    return {total: most}


def summed(many: Sequence[Estimate]) -> Estimate:
    """The sum of estimates; one without bounds counts with its value, and bounds that none has are None."""
    out: Estimate = {"value": sum(float(e["value"]) for e in many)}
    for key in ("low", "high"):
        known = any(e[key] is not None for e in many)
        out[key] = sum(float(e["value"] if e[key] is None else e[key]) for e in many) if known else None
    return out


def estimate_lines(estimate: Mapping[str, Any]) -> Lines:
    """(style, line) of an estimate for a terminal."""
    sample, found = estimate["sample"], estimate["totals"]
    read = f"{sample['bytes'] / 1e6:,.2f} of {sample['input_bytes'] / 1e6:,.2f} MB ({percent(sample['share'], 2)})"
    size = f"{sample['documents']:,} documents, {sample['units']} units, {sample['seconds']:.1f} s"
    yield "bold", f"estimate from {read}: {size}"
    rows = [["stage", "kept share", "core time", "disk", "memory", ""]]
    for stage in estimate["stages"]:
        note = "" if stage["covered"] else "time only"
        memory = "" if stage["memory_gb"] is None else f"{stage['memory_gb']:,.1f} GB"
        cells = [_share(stage["kept_share"]), _time(stage["core_seconds"]), _size(stage["disk_bytes"]), memory]
        rows.append([stage["stage"], *cells, note])
    for line in grid(rows):
        yield "", line
    yield "", ""
    for name, key in (("documents in", "documents"), ("documents out", "documents_out"), ("tokens out", "tokens_out")):
        most = "at most " if key != "documents" and estimate["bounds"] else ""
        yield "bold", f"{name}: {most}{_count(found[key])}"
    if estimate["passed"]["tokens"] != found["tokens_out"] or estimate["passed"]["documents"] != found["documents_out"]:
        passed = estimate["passed"]
        yield "", f"before selection: {_count(passed['documents'])} documents, {_count(passed['tokens'])} tokens"
    yield "dim", f"  tokens by {estimate['tokens_from']}; text out {_size(found['bytes_out'])}"
    wall = estimate["wall_seconds"]["value"]
    yield (
        "bold",
        f"time: {_time(found['core_seconds'])} of one core; at best {seconds(wall)} on {estimate['workers']} cores",
    )
    yield "bold", f"disk: {_size(found['disk_bytes'])} of stages"
    free = estimate["memory_free_gb"]
    for stage in estimate["stages"]:
        if (stage["memory_gb"] or 0) > free:
            yield "red", f"  {stage['stage']} wants {stage['memory_gb']:,.1f} GB of memory, and {free:,.1f} GB are free"
    for bound in estimate["bounds"]:
        yield "yellow", f"  {bound['stage']}: {bound['bound']}"
    for why, stages in _by_reason(estimate["not_timed"]).items():
        yield "yellow", f"  not in the time: {', '.join(stages)}: {why}"
    if sample["heads"]:
        names = ", ".join(sample["heads"][:3]) + (", ..." if len(sample["heads"]) > 3 else "")
        yield "yellow", f"  only the beginning of {names} was read: a compressed file cannot be cut"
    if sample["bad"]:
        yield "yellow", f"  {sample['bad']:,} records of the sample are unreadable"


def _by_reason(left: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Reason -> stages, a composite's many sub-stages under its name."""
    out: dict[str, dict[str, None]] = {}
    for entry in left:
        needs = entry["why"].startswith("it needs ")
        why = "what they read was not sampled" if needs else entry["why"]
        out.setdefault(why, {})[entry["stage"].partition(".")[0]] = None
    return {why: list(stages) for why, stages in out.items()}


def _share(e: Estimate | None) -> str:
    if e is None or e["value"] is None:
        return ""
    return f"{percent(e['value'])} ({percent(e['low'])} to {percent(e['high'])})"


def _count(e: Estimate) -> str:
    if e["low"] is None:
        return f"{e['value']:,.0f} (no error: too few units)"
    return f"{e['value']:,.0f} ({e['low']:,.0f} to {e['high']:,.0f})"


def _time(e: Estimate) -> str:
    spread = "" if e["low"] is None else f" ({seconds(e['low'])} to {seconds(e['high'])})"
    return f"{seconds(e['value'])}{spread}"


def seconds(value: float) -> str:
    """'0.4 s', '12 min', '3.1 h'."""
    if value < 100:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 6000 else f"{value / 3600:,.1f} h"


def _size(e: Estimate) -> str:
    spread = "" if e["low"] is None else f" ({e['low'] / 1e6:,.1f} to {e['high'] / 1e6:,.1f})"
    return f"{e['value'] / 1e6:,.1f} MB{spread}"
