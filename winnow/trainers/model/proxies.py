"""Proxies by name: a size with the tokens and rates at which it has learned more than a bigram of the same tokens.

A proxy is a model small enough to be trained many times, whose ranking of selections is to hold for larger ones. One
that knows pairs of tokens and no more ranks by lexical match, which a bigram counts in a second, so these are sized to
be below it; by how much each is on the built-in `quickstart`, and how that was measured: docs/measure.md.

`screen` has the default of every field, so an ablation that names neither a proxy nor a size is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ProxyName = Literal["", "screen", "small", "solid"]


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """Fields of an ablation, and what one run of them costs and reaches, measured on the built-in `quickstart`."""

    fields: Mapping[str, Any]
    cpu_seconds: float  # of one run and its evaluation, one thread of the docs' machine
    below_bigram: tuple[float, float] | None  # on both targets, a share of the bigram's bits per byte; None: unmeasured


PROXIES: dict[str, Proxy] = {
    "screen": Proxy(
        fields={"vocab": 4096, "width": 96, "layers": 3, "heads": 3, "context": 128, "batch": 8, "tokens": 400_000},
        cpu_seconds=32, below_bigram=(0.037, 0.071),
    ),
    "small": Proxy(
        fields={"vocab": 4096, "width": 128, "layers": 4, "heads": 4, "context": 128, "batch": 8, "tokens": 1_000_000},
        cpu_seconds=125, below_bigram=(0.091, 0.164),
    ),
    "solid": Proxy(
        fields={"vocab": 4096, "width": 256, "layers": 4, "heads": 4, "context": 256, "batch": 8, "tokens": 2_000_000},
        cpu_seconds=650, below_bigram=None,
    ),
}  # fmt: skip
PRESETS: dict[str, dict[str, Mapping[str, Any]]] = {"proxy": {name: one.fields for name, one in PROXIES.items()}}


def changes(name: str, fields: Mapping[str, Any]) -> list[str]:
    """What a recipe's own fields change of the proxy that it names: `tokens 100,000, not 400,000`."""
    if not name:
        return []
    return [f"{key} {_shown(fields[key])}, not {_shown(value)}" for key, value in PROXIES[name].fields.items()
            if fields[key] != value]  # fmt: skip


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def named(fields: Mapping[str, Any]) -> str:
    """The proxy that has exactly these fields; '' where none has."""
    return next((name for name, one in PROXIES.items() if not changes(name, fields)), "")
