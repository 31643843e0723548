"""A run that waits for a choice: which cell of a grid it is, decided by other runs.

As a halving decision can say that a run is not trained any more (`gate`), a choice says how it is trained and on what.
Which cells there can be is known when the plan is made; which one it is, when the runs that choose are done.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

from winnow.core.errors import DataError
from winnow.core.operators import Context, port

T = TypeVar("T", bound="Chosen")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """`choice` names a job whose metrics say under `chosen` which cell this run is; null: none, and `why`.

    `cells` {cell: the fields of the run that it sets} and `selections` {cell: what it trains on} say what that means.
    """

    cells: dict[str, dict[str, float]] | None = None  # only where there is a choice
    selections: dict[str, str] | None = port("refs", default=None)
    choice: str = port("ref", default="")

    def chosen(self: T, ctx: Context) -> tuple[T, Context]:
        """The run and its references at the chosen cell, as if both had been declared so; as they are without a choice.

        Raises:
            DataError: the choice has no cell, or one that this run does not know.
        """
        if "choice" not in ctx.refs:
            return self, ctx
        found: dict[str, Any] = ctx.ref("choice").result()
        cells, cell = self.cells or {}, found["chosen"]
        if cell not in cells:
            raise DataError(f"the choice is {cell!r}, and this run has the cells {', '.join(cells)}", where="choice")
        refs = {name: source for name, source in ctx.refs.items() if name not in ("choice", "selections")}
        refs["selection"] = ctx.refs["selections"][cell]
        fields: dict[str, Any] = {**cells[cell], "cells": None}
        return dataclasses.replace(self, **fields), dataclasses.replace(ctx, refs=refs)
