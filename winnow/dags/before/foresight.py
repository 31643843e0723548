"""What the ablations of a plan will be able to find, from the noise of comparisons that a root already holds.

`winnow plan --json` has it under `power`: stage -> {"sd", "df", "origin", "arms", "seeds", "mde", "mde_among",
"wanted", "seeds_needed", "alpha", "power", ...}; `winnow run` says it before it trains.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from winnow.core.errors import WinnowError
from winnow.core.store.parts import committed
from winnow.core.store.store import Store
from winnow.dags.driver.session import shown_name
from winnow.dags.recipe.nodes import Node


def forecasts(nodes: Sequence[Node], store: Store) -> dict[str, dict[str, Any]]:
    """Stage -> forecast of every ablation among `nodes` whose comparison is not committed yet.

    Empty without scipy: nothing could be trained either.
    """
    wanted = [
        n for n in nodes if n.operator.in_comparison == "comparison" and not store.exists(f"{n.folder}/manifest.json")
    ]
    if not wanted or find_spec("scipy") is None:
        return {}
    from winnow.trainers.compare.fold_lines import fold_forecast
    from winnow.trainers.compare.power import Labels, forecast, pooled_noise

    earlier = _comparisons(store, {n.operator.name for n in wanted})
    out = {}
    for node in wanted:
        operator: Any = node.operator
        train: Any = next((n.operator for n in _runs(node)), None)
        tokens, parameters = (train.tokens_per_run, train.shape().parameters()[0]) if train else (0, None)
        noise = pooled_noise(
            earlier, operator.targets[0], tokens=tokens, parameters=parameters, fixed=operator.baseline_fixed
        )
        labels = Labels.of(operator)
        known = forecast(noise, seeds=operator.seeds, wanted=operator.wanted or None, labels=labels)
        out[shown_name(node)] = {**known, **fold_forecast(operator, seeds=operator.seeds, tokens=tokens)}
    return out


def forecast_text(power: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(style, line) of forecasts, for a console."""
    if not power:
        return []
    from winnow.trainers.compare.fold_lines import fold_forecast_lines
    from winnow.trainers.compare.power import forecast_lines

    return [
        ("", f"{stage}: {line}")
        for stage, one in power.items()
        for line in (*forecast_lines(one), *fold_forecast_lines(one))
    ]


def _runs(node: Node) -> list[Any]:
    runs = node.refs.get("runs", {})
    return [run for run in runs.values() if run.operator.in_comparison == "run"] if isinstance(runs, dict) else []


def _comparisons(store: Store, operators: Collection[str]) -> list[Mapping[str, Any]]:
    """Metrics of all comparisons that are committed in a root, by folder; a broken one says nothing here."""
    found = []
    for folder in sorted(store.folders("")):
        if folder.rpartition("-")[0] not in operators or not store.exists(f"{folder}/manifest.json"):
            continue
        try:
            receipts = committed(store, folder).named("result").values()
        except WinnowError:
            continue
        found += [receipt.extra.get("metrics", {}) for receipt in receipts]
    return found
