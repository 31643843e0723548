"""The values of reference ports: committed stages as operators see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.core.operators.retext import TEXT_OF
from winnow.core.store.committed_stage import CommittedStage
from winnow.core.store.store import Store


def open_refs(store: Store, refs: Any, files: dict[str, list[str]]) -> dict[str, Any]:
    """Port -> CommittedStage, {label: CommittedStage}, or list of file paths; with the texts that count there."""
    opened: dict[str, Any] = dict(files)
    for port, value in refs.items():
        if port.endswith(TEXT_OF):
            continue
        text = refs.get(f"{port}{TEXT_OF}", {})
        if "folder" in value:
            opened[port] = _open(store, value, text)
        else:
            opened[port] = {label: _open(store, one, text.get(label, {})) for label, one in value.items()}
    return opened


def _open(store: Store, value: Mapping[str, str], text: Mapping[str, str]) -> CommittedStage:
    beside = _open(store, text, {}) if text else None
    return CommittedStage(store, value["folder"], value["kind"], value["space"], beside)
