"""What acted on the data of an arm while it trained, beside a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from winnow.core.terminal import percent

LACKING = ("left_out_share", "zero_weight_share")  # of the documents that a run selects, or has read


def policy_of_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`policy` of an arm: what it is, and means over its runs of what each tells of its own; {} where none acted."""
    told = [run["policy"] for run in runs if "policy" in run]
    if not told:
        return {}
    shares = ("mean_ess_share", "least_ess_share", "last_ess_share", "first_plain_loss", "last_plain_loss")
    means = {name: float(np.mean([one[name] for one in told])) for name in shares if all(name in one for one in told)}
    losses = {"last_loss": float(np.mean([run["last_loss"] for run in runs if "policy" in run]))}
    lacking = {name: float(np.mean([one.get(name, 0.0) for one in told])) for name in LACKING}
    return {
        "policy": {
            "said": told[0]["said"],
            "does": told[0].get("does", ""),
            **means,
            **lacking,
            **losses,
            "figures": [one["figures"] for one in told],
        }
    }


def policy_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line per arm with a policy: which, its effective sample size, and its loss with and without weights."""
    for label, arm in {"baseline": metrics["baseline"], **metrics["arms"], **metrics["aa"]}.items():
        if "policy" in arm:
            yield f"{label}: {policy_text(arm['policy'])}"


def policy_text(policy: Mapping[str, Any]) -> str:
    """`policy lin_upper (r 0.4), effective sample size 71% (least 40%), training loss 3.21, without weights 3.05`."""
    told = f"policy {policy['said']}{''.join(f', {part}' for part in _lacking(policy))}"
    if "mean_ess_share" not in policy:
        return f"{told}, training loss {policy['last_loss']:.3f}"
    told += f", effective sample size {percent(policy['mean_ess_share'], 0)} of a step's samples"
    told += f" (least {percent(policy['least_ess_share'], 0)})"
    return told + f", training loss {policy['last_loss']:.3f}, without weights {policy['last_plain_loss']:.3f}"


def handled(metrics: Mapping[str, Any], label: str) -> str:
    """`filtered (some left out: 5% of them)`, or the label alone, where its documents are trained on as they are."""
    row: Mapping[str, Any] = {"baseline": metrics.get("baseline", {}), **metrics.get("arms", {}), **metrics["aa"]}.get(
        label, {}
    )
    if "policy" not in row:
        return label
    parts = [part for part in (row["policy"]["does"], *_lacking(row["policy"])) if part]
    return f"{label} ({', '.join(parts)})" if parts else label


def _lacking(policy: Mapping[str, Any]) -> Iterator[str]:
    if policy.get("left_out_share"):
        yield f"{percent(policy['left_out_share'])} of the documents left out"
    if policy.get("zero_weight_share"):
        yield f"{percent(policy['zero_weight_share'])} of the documents read had weight 0"
