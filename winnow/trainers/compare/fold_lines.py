"""What it means and costs that every seed selected from a fold of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.trainers.compare.arms import BASELINE


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What a comparison knows of its folds from the recipe."""

    folds: bool = False  # every seed selects from a fold of the pool of its own
    refitted: bool = False  # what a selection reads was fitted on the fold as well
    fold_budgets: dict[str, str] | None = None  # label -> budget in one fold, and what it was declared as
    saw_the_pool: dict[str, tuple[str, ...]] | None = None  # label -> stages that were fitted on the whole pool

    def told_budgets(self) -> list[str]:
        """Every budget with the labels that have it, which are left out where all have one."""
        budgets = self.fold_budgets or {}
        names = {told: [label for label, own in budgets.items() if own == told] for told in budgets.values()}
        if len(names) == 1 and len(budgets) == len(self.saw_the_pool or {}):
            return list(names)
        return [f"{told} ({', '.join(labels)})" for told, labels in names.items()]


def fold_facts(comparison: Folded, checked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`folds`: their number and sizes, budgets, and what saw all of the pool; nothing where there are none."""
    if not comparison.folds:
        return {}
    found: Mapping[str, Any] = next((one["folds"] for one in checked if "folds" in one), {})
    seen = {label: list(names) for label, names in (comparison.saw_the_pool or {}).items() if names}
    told = {"refitted": comparison.refitted, "budgets": comparison.told_budgets(), "saw_the_pool": seen}
    return {"folds": {**found, **told}}


def fold_forecast(comparison: Folded, *, seeds: int, tokens: int) -> dict[str, Any]:
    """`folds`: what is known of them before a run; nothing where there are none."""
    if not comparison.folds:
        return {}
    return {"folds": {"num": seeds, "budgets": comparison.told_budgets(), "tokens": tokens}}


def fold_forecast_lines(known: Mapping[str, Any]) -> Iterator[str]:
    """A line on how small the parts of the pool and their budgets will be."""
    folds = known.get("folds")
    if folds:
        budgets = ", ".join(folds["budgets"])
        yield (f"folds: every seed selects from 1/{folds['num']} of the pool" + (f": {budgets}" if budgets else "")
               + f"; a run trains on {folds['tokens']:,} tokens")  # fmt: skip


def fold_notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """The folds' sizes, the budgets in them, how often that is passed, and what was fitted on the whole pool."""
    folds = metrics.get("folds")
    if not folds:
        return
    if "documents" in folds:
        documents, tokens = folds["documents"], _tokens(folds, metrics)
        size = f"{min(documents):,} to {max(documents):,} documents, about {tokens:,} tokens each"
        yield f"folds: every seed selects from its own part of the pool, {folds['num']} parts of {size}"
    budgets = ", ".join(folds["budgets"])
    if budgets:
        yield f"folds: budgets are divided by {metrics['seeds']}: {budgets}; {_passes(metrics)}"
    seen = dict.fromkeys(name for names in folds["saw_the_pool"].values() for name in names)
    if seen:
        left = "which a fold cannot fit anew" if folds["refitted"] else "and a fold did not fit anew"
        rest = "" if folds["refitted"] else "; `refit: true` does, and adds the noise of fitting"
        yield (f"folds: the whole pool was looked at by {', '.join(seen)}, {left}: the interval leaves out what "
               f"another pool would make of {'it' if len(seen) == 1 else 'them'}{rest}")  # fmt: skip


def _tokens(folds: Mapping[str, Any], metrics: Mapping[str, Any]) -> int:
    """Tokens of a fold on average, from the tokens per byte of the baseline's selections; three digits."""
    own = metrics["baseline"]["selection_tokens"]
    read = sum(folds["selected"].get(f"{BASELINE}/{seed}", 0) for seed in range(len(own)))
    tokens = sum(own) / read * sum(folds["bytes"]) / folds["num"] if read else 0.0
    return int(float(f"{tokens:.3g}"))


def _passes(metrics: Mapping[str, Any]) -> str:
    most = [max(row["epochs"]) for row in (metrics["baseline"], *metrics["arms"].values())]
    return f"at most {max(most):.2f} epochs in {metrics['tokens']:,} training tokens"
