"""The legs of a walk among listed rows, and the range behind them that the next leg goes on in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from winnow.core.numerics.row_ranks import WORDS
from winnow.core.numerics.walk import MOST_LEGS, walk

TOP = 2**64 - 1
LOW, HIGH = [f"low_{word}" for word in WORDS], [f"high_{word}" for word in WORDS]


def walked(cut: dict[str, Any], piece: Mapping[str, np.ndarray], overflow: str) -> list[dict[str, Any]]:
    """The legs that end among the listed rows, and the one that goes on behind them."""
    number, left = cut["cut"], cut["budget"] - cut["kept_cost"]
    legs = MOST_LEGS - number if overflow == "pass" else 1
    found = walk(piece["cost"], cut["budget"], left=left, limit=cut["limit"], legs=legs)
    out, leg = [], cut
    for stop in found.stops:
        kept = {"kept_rows": cut["kept_rows"] + stop.rows, "kept_cost": cut["budget"] - stop.left}
        at = {f"low_{word}": int(piece[word][stop.place]) for word in WORDS}
        out.append(leg | kept | at | {"phase": "done"})
        leg = cut | {"cut": leg["cut"] + 1, "limit": stop.left}
    if found.ended:
        return out
    kept = {"kept_rows": cut["kept_rows"] + int(found.taken.sum()), "kept_cost": cut["budget"] - found.left}
    return [*out, behind(leg | kept)]


def behind(leg: dict[str, Any]) -> dict[str, Any]:
    """The leg over all that ranks behind its range."""
    behind = sum(leg[name] << (64 * (2 - i)) for i, name in enumerate(HIGH)) + 1
    if behind >> (64 * len(WORDS)):
        return leg | {"phase": "done", "all_kept": True}
    low = {name: (behind >> (64 * (2 - i))) & TOP for i, name in enumerate(LOW)}
    return leg | low | dict.fromkeys(HIGH, TOP) | {"phase": "bins"}
