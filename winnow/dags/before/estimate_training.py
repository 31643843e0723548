"""`winnow plan --estimate` of what trains: runs, seconds by a short calibration here, and evaluation beside training.

    [{"stage", "runs", "runs_left", "parameters", "tokens", "training_seconds", "evaluation_seconds",
      "evaluation_share", "targets": [{"target", "tokens", "most"}], "seconds_left", "why"}]

Seconds are of one core (a GPU where there is one): `training_seconds` and `evaluation_seconds` of one run of the size
that gives the verdict, `seconds_left` of all runs that are not committed, with their evaluation. `why` says why nothing
is estimated. The pace is measured once per size and machine and kept in the user's cache folder.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import orjson

from winnow.core.errors import WinnowError
from winnow.core.installing import install_extra
from winnow.core.operators.fingerprint import fingerprint
from winnow.core.store.locations import open_store
from winnow.core.store.parts import committed
from winnow.core.store.store import Store
from winnow.core.terminal import Lines, percent
from winnow.dags.before.estimate_totals import seconds
from winnow.dags.recipe.nodes import Node

MOST_SHARE = 0.1


def training_estimates(nodes: Sequence[Node], store: Store) -> list[dict[str, Any]]:
    """What every stage that trains will cost; see the module. Cost: some seconds per size that was never measured."""
    out = []
    for face in _faces(nodes):
        own = [n for n in nodes if n.face_of == face]
        runs = _once(n for n in own if n.operator.in_comparison == "run")
        if runs:
            out.append({"stage": face, **_of_stage(own, runs, store)})
    return out


def _faces(nodes: Sequence[Node]) -> list[str]:
    return list(dict.fromkeys(n.face_of for n in nodes if n.face_of))


def _once(nodes: Any) -> list[Node]:
    """Nodes of different folders."""
    return list({n.folder: n for n in nodes}.values())


def _of_stage(own: Sequence[Node], runs: Sequence[Node], store: Store) -> dict[str, Any]:
    left: list[Any] = [n.operator for n in runs if not store.exists(f"{n.folder}/manifest.json")]
    every: list[Any] = [n.operator for n in runs]
    main = max(every, key=lambda o: (o.shape().parameters()[0], o.tokens_per_run))
    told: dict[str, Any] = {"runs": len(runs), "runs_left": len(left), "parameters": main.shape().parameters()[0],
                            "tokens": main.tokens_per_run, "targets": [], "why": ""}  # fmt: skip
    if find_spec("torch") is None:
        return told | {"why": f"torch is not installed: {install_extra('train')}"}
    told["targets"] = [_target(n, store) for n in _once(n for n in own if n.operator.name == "target_tokens")]
    known = [t["tokens"] for t in told["targets"] if t["tokens"]]
    paces = {key: _pace(operator) for key, operator in {_key(o): o for o in every}.items()}

    def of(one: Any) -> tuple[float, float]:
        pace = paces[_key(one)]
        return one.tokens_per_run * pace["training"], sum(known) * (1 + one.curve) * pace["evaluation"]

    training, reading = of(main)
    total = sum(sum(of(one)) for one in left)
    return told | {"training_seconds": training, "evaluation_seconds": reading,
                   "evaluation_share": reading / max(training + reading, 1e-9), "seconds_left": total}  # fmt: skip


def _target(node: Node, store: Store) -> dict[str, Any]:
    """Tokens that a target is read with: exact where it was read before, else what it is read with at most."""
    from winnow.trainers.ablation.reading import TOKEN_BYTES

    operator: Any = node.operator
    name = node.name.rpartition(".")[2].removeprefix("target_")
    with suppress(WinnowError):
        receipt = next(iter(committed(store, node.folder).named("artefact").values()))
        return {"target": name, "tokens": receipt.extra["metrics"]["tokens"], "most": False}
    return {"target": name, "tokens": operator.most_bytes // TOKEN_BYTES, "most": True}


def _key(operator: Any) -> str:
    """What decides the pace of a run: size, recipe and machine, not its data or seeds."""
    shape, recipe = dataclasses.asdict(operator.shape()), dataclasses.asdict(operator.recipe())
    return fingerprint([shape, recipe, dataclasses.asdict(operator.machine()), _here()])


def _here() -> list[str]:
    import torch

    import winnow

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return [platform.node(), platform.machine(), platform.processor(), gpu, torch.__version__, winnow.__version__]


def _pace(operator: Any) -> dict[str, float]:
    """Seconds per token of training and of evaluation, measured here once."""
    from winnow.core.store.local_cache import user_cache
    from winnow.trainers.evaluate.calibration import measure

    store, key = open_store(user_cache()), f"calibration/{_key(operator)}.json"
    with suppress(WinnowError, orjson.JSONDecodeError, KeyError, TypeError):
        if store.exists(key):
            held = orjson.loads(store.get(key))
            return {"training": float(held["training"]), "evaluation": float(held["evaluation"])}
    pace = dataclasses.asdict(measure(operator.shape(), operator.recipe(), operator.machine()))
    with suppress(WinnowError):
        store.create()
        store.put(key, orjson.dumps(pace))
    return pace


def training_lines(found: Sequence[Mapping[str, Any]]) -> Lines:
    """(style, line) of the estimates, for a terminal."""
    for one in found:
        size = f"{one['runs']} runs of {one['parameters'] / 1e6:.1f}M weights and {one['tokens']:,} tokens"
        done = f", {one['runs'] - one['runs_left']} of them are there" if one["runs_left"] < one["runs"] else ""
        if one["why"]:
            yield "yellow", f"{one['stage']}: {size}{done}; not timed: {one['why']}"
            continue
        each = f"{seconds(one['training_seconds'])} of training each"
        yield (
            "bold",
            f"{one['stage']}: {size}{done}: {each}, {seconds(one['seconds_left'])} of one core for what is left",
        )
        yield from _reading_lines(one)


def _reading_lines(one: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    unknown = [t["target"] for t in one["targets"] if not t["tokens"]]
    if unknown:
        yield "yellow", f"  {', '.join(unknown)}: read whole, and how long it is nobody has looked yet; not in the time"
    most = "at most " if any(t["most"] for t in one["targets"]) else ""
    share = percent(one["evaluation_share"], 0)
    line = f"  evaluation: {most}{seconds(one['evaluation_seconds'])} per run, {most}{share} of its time"
    over = one["evaluation_share"] > MOST_SHARE
    hint = " (`eval_share` and `eval_bytes` say how much of each target is read)" if over else ""
    yield ("yellow" if over else "dim"), f"{line}{hint}"
