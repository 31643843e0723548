"""What earlier stages of the same operator hold, for a stage that may take it over. The shapes import it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from winnow.core.store.manifest import Receipt, StageDir
from winnow.core.store.store import Store
from winnow.dags.recipe.nodes import Node


def held_by_siblings(
    store: Store, node: Node, held_by: Callable[[StageDir], list[Receipt]]
) -> dict[str, list[Receipt]]:
    """Key -> receipts that sibling stages hold. Cost: a manifest each; files are for the taker to look at."""
    out: dict[str, list[Receipt]] = {}
    for folder in store.folders():
        if folder.startswith(f"{node.operator.name}-") and folder != node.folder:
            for receipt in held_by(StageDir(store, folder)):
                out.setdefault(receipt.key, []).append(receipt)
    return out


def still_there(store: Store, held: Sequence[Receipt], phase: str) -> Receipt | None:
    """The last of these receipts that is of the phase and whose files are in the store. Cost: a look at each file."""
    for receipt in reversed(held):
        files = (file for one in receipt.files for file in one.layers())
        if receipt.phase == phase and all(store.exists(file.key) for file in files):
            return receipt
    return None
