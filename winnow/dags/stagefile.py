"""`stage.json`: what a worker needs to know of a stage, committed before its first task."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from winnow.core.config import build, dump
from winnow.core.errors import StoreError
from winnow.core.manifest import StageDir
from winnow.core.operators import Kind, Operator
from winnow.core.store import Store
from winnow.dags.registry import class_at, path_of

if TYPE_CHECKING:
    from winnow.dags.nodes import Node


@dataclass(frozen=True, kw_only=True)
class StageFile:
    """A stage as a worker sees it: folders and columns on disk, never names of stages."""

    store: Store
    folder: str
    operator: Operator
    seed: int
    family: str
    inputs: tuple[str, ...]
    columns: Mapping[str, tuple[int, str]]
    where: str | None
    where_columns: Mapping[str, tuple[int, str]]
    population: tuple[tuple[int, str], ...]
    refs: Mapping[str, Any]
    outputs: Mapping[str, pa.DataType]
    code: Path | None
    timeout_s: float

    @property
    def dir(self) -> StageDir:
        """The stage's folder."""
        return StageDir(self.store, self.folder)


def stage_json(node: Node) -> bytes:
    """The content of `stage.json` for a node."""
    body = {
        "class": path_of(type(node.operator)),
        "config": dump(node.operator),
        "kind": node.kind.value,
        "exactness": str(node.operator.exactness),
        "seed": node.seed,
        "family": node.family,
        "fingerprint": node.fingerprint,
        "identity": node.identity,
        "space": node.space.folder if node.space else "",
        "inputs": [n.folder for n in node.inputs],
        "columns": node.columns,
        "where": node.where,
        "where_columns": node.where_columns,
        "population": node.population,
        "refs": {port: _refs(value) for port, value in node.refs.items()},
        "outputs": pa.schema(list(node.outputs.items())).serialize().to_pybytes().hex(),
        "code": f"code/{node.user.digest}" if node.user else "",
        "timeout_s": node.timeout_s,
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


@functools.lru_cache(maxsize=256)
def read_stage(root: str, folder: str) -> StageFile:
    """The stage in `folder` (cached per process: the file never changes)."""
    store = Store(root)
    raw = orjson.loads(store.get(f"{folder}/stage.json"))
    cls = class_at(raw["class"])
    operator = build(cls, _without_none(cls, raw["config"]), where=folder)
    schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(raw["outputs"])))
    return StageFile(
        store=store,
        folder=folder,
        operator=operator,
        seed=raw["seed"],
        family=raw["family"],
        inputs=tuple(raw["inputs"]),
        columns={k: (i, c) for k, (i, c) in raw["columns"].items()},
        where=raw["where"],
        where_columns={k: (i, c) for k, (i, c) in raw["where_columns"].items()},
        population=tuple((i, c) for i, c in raw["population"]),
        refs=raw["refs"],
        outputs={f.name: f.type for f in schema},
        code=store.path(raw["code"]) if raw["code"] else None,
        timeout_s=raw["timeout_s"],
    )


def raw_stage(store: Store, folder: str) -> dict[str, Any] | None:
    """`stage.json` as plain values, or None where the folder has none."""
    key = f"{folder}/stage.json"
    if not store.exists(key):
        return None
    try:
        loaded = orjson.loads(store.get(key))
    except (orjson.JSONDecodeError, StoreError):
        return None
    return loaded if isinstance(loaded, dict) else None


def snapshot_code(store: Store, node: Node) -> None:
    """Copy the user's module and its siblings below the root, by digest."""
    if node.user is None:
        return
    for path in node.user.files:
        store.put_new(f"code/{node.user.digest}/{path.name}", path.read_bytes())


def _refs(value: Node | Mapping[str, Node]) -> Any:
    if isinstance(value, Mapping):
        return {label: _refs(node) for label, node in value.items()}
    return {
        "folder": value.folder,
        "kind": value.kind.value,
        "space": (value.folder if value.kind is Kind.ROWS else value.space.folder if value.space else ""),
    }


def _without_none(cls: type[Operator], config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if v is not None}
