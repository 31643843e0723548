"""What runs began from and what they replayed, as sentences beside a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def start_facts(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`start` (of each seed; null from scratch) and `replay` of a label's runs, where there is any."""
    out: dict[str, Any] = {}
    for name in ("start", "replay"):
        if any(name in run for run in runs):
            out[name] = [run.get(name) for run in runs]
    return out


def starts_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Label -> its runs' `start`, of the labels that continue a model."""
    labels = {"baseline": metrics["baseline"], **metrics["arms"], **metrics["aa"]}
    return {label: arm["start"] for label, arm in labels.items() if arm.get("start")}


def start_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A sentence per way of beginning, and a warning where arms had unequal tokens before."""
    labels = {"baseline": metrics["baseline"], **metrics["arms"], **metrics["aa"]}
    said: dict[str, list[str]] = {}
    for label, arm in labels.items():
        said.setdefault(_sentence(arm), []).append(label)
    if all("start" not in arm and "replay" not in arm for arm in labels.values()):
        return
    yield from (f"{', '.join(names)}: {sentence}" for sentence, names in said.items())
    before = {label: _before(arm) for label, arm in labels.items()}
    if len(set(before.values())) > 1:
        yield "arms had read unequal tokens before: a difference holds that reading as well: no equal compute"


def _sentence(arm: Mapping[str, Any]) -> str:
    tokens, replay = arm["tokens"], arm.get("replay")
    mixed = ""
    if replay and replay[0]:
        mixed = f", {replay[0]['tokens']:,} of them ({100 * replay[0]['share']:.3g} %) replayed"
    if not arm.get("start"):
        return f"from scratch, {tokens:,} tokens{mixed}"
    before = _before(arm)
    seen = "an unknown number of" if before is None else f"{before:,}"
    digest = arm["start"][0]["digest"][:8]
    return f"continues model {digest}, {seen} tokens before and {tokens:,} new ones{mixed}"


def _before(arm: Mapping[str, Any]) -> int | None:
    """Tokens before the runs; 0 from scratch, None where nobody knows."""
    start = arm.get("start")
    return 0 if not start else start[0]["tokens"]
