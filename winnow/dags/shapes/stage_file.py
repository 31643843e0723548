"""`stage.json`: what a worker needs to know of a stage, committed before its first task."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from winnow.core.errors import DataError, StoreError
from winnow.core.operators import Kind, Operator
from winnow.core.operators.config import build, by_todays_names, dump
from winnow.core.operators.fingerprint import code_digest
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import StageDir
from winnow.core.store.store import Store
from winnow.dags.recipe.registry import class_named

if TYPE_CHECKING:
    from winnow.dags.recipe.nodes import Node


@dataclass(frozen=True, kw_only=True)
class StageFile:
    """A stage as a worker sees it: folders and columns on disk, never names of stages."""

    store: Store
    folder: str
    operator_name: str
    config: Mapping[str, Any]
    seed: int
    family: str
    inputs: tuple[str, ...]
    space: str  # folder of the row space; '' where there is none
    columns: Mapping[str, tuple[int, str]]
    where: str | None
    where_columns: Mapping[str, tuple[int, str]]
    population: tuple[tuple[int, str], ...]
    refs: Mapping[str, Any]
    outputs: Mapping[str, pa.DataType]
    code: Path | None
    timeout_s: float

    @functools.cached_property
    def operator(self) -> Operator:
        """The operator, imported when it is first asked for. Raises WinnowError or ImportError where it is gone."""
        cls = class_named(self.operator_name)
        return build(cls, by_todays_names(cls, self.config), where=self.folder)

    @property
    def dir(self) -> StageDir:
        """The stage's folder."""
        return StageDir(self.store, self.folder)


def stage_json(node: Node) -> bytes:
    """The content of `stage.json` for a node."""
    body = {
        "operator": node.operator.name,
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


def read_stage(root: str, folder: str) -> StageFile:
    """The stage in `folder` (cached per process until its record is refreshed)."""
    return _read_stage(root, folder, open_store(root).stamp(f"{folder}/stage.json"))


@functools.lru_cache(maxsize=256)
def _read_stage(root: str, folder: str, stamp: tuple[int, int] | None) -> StageFile:
    store = open_store(root)
    raw = orjson.loads(store.get(f"{folder}/stage.json"))
    schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(raw["outputs"])))
    return StageFile(
        store=store,
        folder=folder,
        operator_name=operator_name(raw),
        config=raw["config"],
        seed=raw["seed"],
        family=raw["family"],
        inputs=tuple(raw["inputs"]),
        space=raw.get("space", ""),
        columns={k: (i, c) for k, (i, c) in raw["columns"].items()},
        where=raw["where"],
        where_columns={k: (i, c) for k, (i, c) in raw["where_columns"].items()},
        population=tuple((i, c) for i, c in raw["population"]),
        refs=raw["refs"],
        outputs={f.name: f.type for f in schema},
        code=store.local_copy(raw["code"]) if raw["code"] else None,
        timeout_s=raw["timeout_s"],
    )


def refresh_record(store: Store, node: Node) -> None:
    """Let `stage.json` say what this version says of a stage that is reused: fields may have been added since.

    The fingerprint is equal, so whatever differs decides no result.
    """
    key, body = f"{node.folder}/stage.json", stage_json(node)
    if store.find(key) != body:
        store.put(key, body)


def operator_name(raw: Mapping[str, Any]) -> str:
    """Name of the operator in a raw `stage.json`; before it had a field of its own it stood in the identity."""
    return str(raw.get("operator") or raw["identity"]["operator"])


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


def references_of(refs: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """{"folder", "kind", "space"} of every stage behind the reference ports of a record, port by port."""
    for value in refs.values():
        yield from [value] if "folder" in value else value.values()


def folders_read(raw: Mapping[str, Any]) -> list[str]:
    """Folders of the stages that a raw `stage.json` names: its inputs, then its references."""
    return [*raw.get("inputs", ()), *(ref["folder"] for ref in references_of(raw.get("refs", {})))]


def snapshot_code(store: Store, node: Node) -> None:
    """Copy the user's module and its siblings below the root, by digest.

    Raises: DataError where they were edited since the run was planned.
    """
    if node.user is None:
        return
    folder = f"code/{node.user.digest}"
    for path in node.user.files:
        store.put_new(f"{folder}/{path.name}", path.read_bytes())
    copied, _ = code_digest(store.local_copy(folder) / node.user.path.name, package=node.user.package)
    if copied != node.user.digest:
        store.delete(folder)
        raise DataError(f"{node.user.path} was edited while the run began", where=node.name, hint="run again")


def _refs(value: Node | Mapping[str, Node]) -> Any:
    if isinstance(value, Mapping):
        return {label: _refs(node) for label, node in value.items()}
    return {
        "folder": value.folder,
        "kind": value.kind.value,
        "space": (value.folder if value.kind is Kind.ROWS else value.space.folder if value.space else ""),
    }
