"""What the runs of an ablation cost before they are made: how many are left, of which proxy, and CPU seconds of each.

`winnow plan --json` has it under `price`: stage -> {"runs", "tuning_runs" (of them), "parameters", "tokens",
"operations", "weights" (in words), "changed" (the proxy that was asked for, what other fields change of it), "proxy",
"cpu_seconds"} of the runs that are not committed yet; the last two are null where the fields are none of a proxy's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from winnow.core.store.store import Store
from winnow.dags.driver.session import shown_name
from winnow.dags.recipe.nodes import Node


def prices(nodes: Sequence[Node], store: Store) -> dict[str, dict[str, Any]]:
    """Stage -> price of every ablation among `nodes` that has runs left; see the module."""
    from winnow.trainers.model.proxies import PROXIES, named
    from winnow.trainers.model.sizes import weights_text

    out: dict[str, dict[str, Any]] = {}
    for node in nodes:
        if node.operator.in_comparison != "comparison":
            continue
        verdict = _left(node, store)
        tuning = [run for choice in _refs(node, "tuning") for run in _left(choice, store)]
        left = [*verdict, *tuning]
        if left:
            shape, tokens = left[0].shape(), left[0].tokens_per_run
            fields = {**dataclasses.asdict(shape), "batch": left[0].batch, "tokens": tokens}
            proxy = named(fields)
            out[shown_name(node)] = {
                "runs": len(left),
                "tuning_runs": len(tuning),
                "parameters": shape.parameters()[0],
                "weights": weights_text(shape.parameters()[0]),
                "changed": list(getattr(node.operator, "proxy", ())),
                "tokens": tokens,
                "operations": shape.operations(tokens),
                "proxy": proxy or None,
                "cpu_seconds": PROXIES[proxy].cpu_seconds if proxy else None,
            }
    return out


def price_text(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(style, line) of prices, for a console."""
    return [("", f"{stage}: {_line(one)}") for stage, one in found.items()]


def _left(node: Node, store: Store) -> list[Any]:
    """The runs that a comparison or a choice reads and that are not committed, each once."""
    runs = {run.folder: run.operator for run in _refs(node, "runs")}
    return [one for folder, one in runs.items() if not store.exists(f"{folder}/manifest.json")]


def _refs(node: Node, port: str) -> list[Node]:
    refs = node.refs.get(port, {})
    return list(refs.values()) if isinstance(refs, dict) else []


def _line(one: Mapping[str, Any]) -> str:
    runs = "1 run" if one["runs"] == 1 else f"{one['runs']} runs"
    runs += f" ({one['tuning_runs']} of them for tuning)" if one["tuning_runs"] else ""
    size = f"{one['weights']} parameters, {one['tokens']:,} tokens"
    if one["cpu_seconds"] is None:
        asked, *changed = one["changed"] or [""]
        what = f", proxy {asked} with {'; '.join(changed)}" if changed else ""
        return f"{runs} of {size}{what}: {one['operations']:.1e} operations each, a size without a measured price"
    total = one["runs"] * one["cpu_seconds"] / 60
    return (f"{runs} of proxy {one['proxy']} ({size}): about {one['cpu_seconds']:g} CPU s each with evaluation on the "
            f"machine of the docs, {total:,.0f} CPU min in all")  # fmt: skip
