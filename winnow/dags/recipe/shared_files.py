"""Files that two readers of one recipe take the same documents from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import Derive
from winnow.dags.recipe.nodes import Node
from winnow.dags.recipe.resolve import named_by

# fields of readers that do not change which text of a record is the document
_NOT_THE_TEXT = {"files", "base", "source", "id", "columns", "only", "exclude", "first", "limit", "min_bytes",
                 "max_bytes", "max_record_mb", "on_truncated"}  # fmt: skip


def refuse_shared_files(node: Node) -> None:
    """Raise ConfigError where two readers that meet in a `concat` take the same documents of one file."""
    readers = [n for n in named_by(node) if isinstance(n.operator, Derive)]  # what is rewritten is another document
    for number, reader in enumerate(readers):
        for other in readers[:number]:
            shared = _shared(other, reader)
            if shared:
                raise ConfigError(
                    f"{_named(shared)} would be in `concat` twice: {other.name!r} and {reader.name!r} both read "
                    f"{'it' if len(shared) == 1 else 'them'}",
                    where=f"stages.{node.name}.inputs", hint="name each file under one reader",
                )  # fmt: skip


def tell_shared_files(nodes: Sequence[Node]) -> None:
    """Note at every reader that an earlier one takes the same documents."""
    readers = [n for n in nodes if isinstance(n.operator, Derive)]
    for number, node in enumerate(readers):
        for other in readers[:number]:
            shared = _shared(other, node)
            if shared and other.fingerprint != node.fingerprint:
                node.told.append(
                    f"reads {_named(shared)} as {other.name!r} does: a document of both is selected and measured with "
                    "itself; give each stage files of its own"
                )


def _shared(one: Node, two: Node) -> list[str]:
    """Paths of files that both read in the same way."""
    if _reading(one) is None or _reading(one) != _reading(two):
        return []
    first = {(f.stamp[4], f.stamp[0]) for f in one.files.get("files", ())}
    return [f.path for f in two.files.get("files", ()) if (f.stamp[4], f.stamp[0]) in first]


def _reading(node: Node) -> Any:
    if not isinstance(node.operator, Derive):
        return None
    kept = {f.name: getattr(node.operator, f.name) for f in dataclasses.fields(node.operator)}
    return node.operator.name, sorted((k, repr(v)) for k, v in kept.items() if k not in _NOT_THE_TEXT)


def _named(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths):,} files ({paths[0]}, ...)"
