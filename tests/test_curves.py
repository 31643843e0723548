"""Losses over the tokens of runs: how high they rise, of which seeds, and where they are back."""

from __future__ import annotations

import pytest
from test_trainers import Source

from winnow.trainers.compare.curves import Curved, curve_lines, curve_metrics

TOKENS = (0, 10, 40, 90, 100)


def scored(values: list[float], tokens: tuple[int, ...] = TOKENS) -> Source:
    points = [{"step": i, "tokens": t} for i, t in enumerate(tokens)]
    return Source(metrics={"points": points, "targets": {"old": {"measure": "bits_per_byte", "values": values}}})


def curve_of(*seeds: Source, start: bool = True) -> dict:
    curves = {f"arm/{s}/old": source for s, source in enumerate(seeds)}
    found = curve_metrics(Curved(roles={"old": "old"}), curves, {"arm": [{}]} if start else {})
    return found["curve"]["arm"]["old"]


def test_rise_and_return_are_those_of_the_mean_and_every_seed_has_its_own_rise():
    row = curve_of(scored([2.0, 2.6, 2.2, 1.9, 1.8]), scored([2.2, 2.0, 2.8, 2.5, 2.0]))
    assert row["mean"] == pytest.approx([2.1, 2.3, 2.5, 2.2, 1.9])
    assert (row["rise"], row["rise_at"], row["back_at"]) == (pytest.approx(0.4), 40, 100)
    assert row["rises"] == pytest.approx([0.6, 0.6])
    assert row["end"] == pytest.approx(-0.2)
    (line,) = list(curve_lines({"curve": {"arm": {"old": row}}}))[1:]
    assert line.endswith("2.100 -> 1.900, up to +0.400 at 40 tokens, back at 100")
    never = curve_of(scored([2.0, 1.9, 1.9, 1.9, 1.8]))
    assert (never["rise"], never["rise_at"], never["back_at"]) == (0.0, 0, 0)


def test_a_return_before_the_largest_rise_is_none():
    row = curve_of(scored([2.0, 2.1, 1.9, 2.6, 2.4]))
    assert (row["rise_at"], row["back_at"]) == (90, None)


def test_seeds_with_other_points_are_read_between_theirs():
    row = curve_of(scored([2.0, 2.0, 1.0], (0, 25, 100)), scored([2.0, 3.0, 1.0], (0, 50, 100)))
    assert row["tokens"] == [0, 25, 100]
    assert row["seeds"][1] == pytest.approx([2.0, 2.5, 1.0])


def test_runs_from_scratch_forget_nothing():
    row = curve_of(scored([2.0, 2.6, 2.2, 1.9, 1.8]), start=False)
    assert [row[key] for key in ("rise", "rise_at", "rises", "back_at")] == [None] * 4
