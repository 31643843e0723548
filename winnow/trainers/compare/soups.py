"""Averages of other arms in a comparison: what was trained for them, and what they have in common with the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from winnow.core.terminal import percent
from winnow.trainers.compare.common_documents import Common

Soups = Mapping[str, Mapping[str, float]]  # label -> arm -> its weight


def soup_of_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`soup` {arm: its share of the weights} and `tokens_each` of an arm that is an average; {} of any other."""
    return {key: runs[0][key] for key in ("soup", "tokens_each") if runs and key in runs[0]}


def soup_notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line per average: its members, and how many tokens were trained for it."""
    for label, arm in metrics["arms"].items():
        if "soup" in arm:
            members = arm["soup"]
            alike = len({round(share, 9) for share in members.values()}) == 1
            named = ", ".join(
                member if alike else f"{member} ({percent(share, 0)})" for member, share in members.items()
            )
            yield (
                f"{label}: the average of the weights of {named} at each seed; {arm['tokens']:,} tokens were trained "
                f"for it, {arm['tokens'] / arm['tokens_each']:.1f} times those of another arm"
            )


def fixed_soups(soups: Soups, fixed: Collection[str]) -> list[str]:
    """The averages all of whose arms have one selection at all seeds."""
    return [label for label, members in soups.items() if set(members) <= set(fixed)]


def with_soups(common: Common, soups: Soups, *, seeds: int) -> Common:
    """The shares of text in common, with those of averages beside them.

    To first order an average moves with a draw as its arms do, so what it has in common with another label is the
    weighted mean of what they have, scaled so that it has everything in common with itself.
    """
    places, rows = dict(common.places), [np.eye(len(common.places))]
    for label, members in soups.items():
        total = sum(members.values())
        for seed in range(seeds):
            row = np.zeros((1, len(common.places)))
            for member, weight in members.items():
                row[0, common.places[f"{member}/{seed}"]] = weight / total
            rows.append(row)
            places[f"{label}/{seed}"] = len(places)
    mixed = np.concatenate(rows)
    shares = mixed @ common.shares @ mixed.T
    own = np.diagonal(shares)
    scaled = np.minimum(shares / np.sqrt(own[:, None] * own[None, :]), 1.0)
    scaled[: len(common.places), : len(common.places)] = common.shares
    near = np.abs(scaled - 1) < 1e-9  # rounding of sums
    return Common(places=places, shares=np.where(near, 1.0, scaled))
