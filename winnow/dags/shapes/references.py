"""The values of reference ports: committed stages as operators see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.core.store.committed_stage import CommittedStage
from winnow.core.store.store import Store


def open_refs(store: Store, refs: Any, files: dict[str, list[str]]) -> dict[str, Any]:
    """Port -> CommittedStage, {label: CommittedStage}, or list of file paths."""
    opened: dict[str, Any] = dict(files)
    for port, value in refs.items():
        opened[port] = _open(store, value) if "folder" in value else {k: _open(store, v) for k, v in value.items()}
    return opened


def _open(store: Store, value: Mapping[str, str]) -> CommittedStage:
    return CommittedStage(store, value["folder"], value["kind"], value["space"])
