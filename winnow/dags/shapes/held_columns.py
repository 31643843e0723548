"""Whether units that are on disk hold the columns that their operator declares today.

An operator whose columns change without a new `version` has the same keys as before. What an earlier version (or one
of a user's module) left under them is not taken up then: later stages would look for columns that are not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from winnow.core.operators import Kind, Rewrite
from winnow.core.store.manifest import Receipt

if TYPE_CHECKING:
    from winnow.dags.recipe.nodes import Node


def lacking(node: Node, receipts: Iterable[Receipt]) -> list[str]:
    """Columns that a stage declares and some of its parts do not hold, in order of their declaration."""
    if node.kind not in (Kind.COLUMNS, Kind.ROWS) or isinstance(node.operator, Rewrite):
        return []
    parts = [receipt.content for receipt in receipts if receipt.phase == "part"]
    return [name for name in node.outputs if any(name not in content for content in parts)]


def told_of(names: list[str]) -> str:
    """The line of a stage that was computed again because its columns have changed."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"computed again: what an earlier run left here lacks {', '.join(names[:3])}{more}"
