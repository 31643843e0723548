"""How much memory a stage over all rows wants, and its refusal where there is less.

What is wanted is a function of rows and columns; what there is belongs to the machine. So the machine may refuse a
stage, and never changes what it gives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pyarrow as pa

from winnow.core.errors import ConfigError, WinnowError
from winnow.core.operators import Whole
from winnow.core.store.parts import PartColumns
from winnow.dags.recipe.records import shown
from winnow.dags.shapes.stage_file import read_stage
from winnow.dags.shapes.stage_run import Item, StageRun
from winnow.dags.shapes.work import mask


def refusal(item: Item, most: Callable[[], float]) -> ConfigError | None:
    """Why a task over all rows must not start where it may have `most()` gigabytes; None for all that fit.

    Cost: the masks of all rows are read where the stage fits only without the rows that it is not asked about.
    """
    if not item.task.all_rows:
        return None
    operator, limit = _operator(item.run), most()
    if wanted_gb(item.run) <= limit:
        return None
    rows, width = asked_rows(item.run), looked_up_width(item.run)
    wanted = operator.memory_gb(rows, width)
    if wanted <= limit:
        return None
    node = item.run.node
    ways = [operator.less_memory] if operator.less_memory else []
    ways += ["fewer rows (`where:`)", "a larger machine", "`--memory GB`, if it may take more than seems free"]
    of = f" of {width:,.0f} bytes each" if width else ""
    return ConfigError(
        f"{operator.name} wants {wanted:,.1f} GB of memory for {rows:,} rows{of}, and {limit:,.1f} GB are free",
        where=f"stages.{shown(node.name, node.face_of, hidden=node.hidden)}", hint="; ".join(ways),
    )  # fmt: skip


def wanted_gb(run: StageRun) -> float:
    """Memory that the one task of a stage over all rows wants, in 1e9 bytes, if it is asked about all of them."""
    rows = sum(receipt.rows for receipt in run.inputs[0].parts.values())
    return _operator(run).memory_gb(rows, looked_up_width(run))


def asked_rows(run: StageRun) -> int:
    """How many rows the stage is asked about; all of its inputs must be complete."""
    stage, total = read_stage(run.store.location, run.node.folder), 0
    for unit, receipt in run.inputs[0].parts.items():
        keep = mask(stage, run.store, run.inputs_of(unit) or [])
        total += receipt.rows if keep is None else int(keep.sum())
    return total


def looked_up_width(run: StageRun) -> float:
    """Bytes per row in the columns that the stage looks up, as in the first part that has rows; 0 if none can be read.

    Cost: those columns of one part.
    """
    width = 0.0
    for unit, first in run.inputs[0].parts.items():
        receipts = run.inputs_of(unit)
        if not first.rows or receipts is None:
            continue
        for name in _operator(run).looks_up():
            number, column = run.node.columns[name]
            with contextlib.suppress(WinnowError):  # whoever works on a file that is gone or broken reports it
                part = PartColumns(run.store, [{name: (receipts[number], column)}])
                width += _width(part.column(name, 0))
        break
    return width


def _operator(run: StageRun) -> Whole:
    assert isinstance(run.operator, Whole)
    return run.operator


def _width(column: pa.Array) -> float:
    """Bytes per row that has a value."""
    if pa.types.is_fixed_size_binary(column.type):
        return float(column.type.byte_width)
    fixed = pa.types.is_fixed_size_list(column.type)
    return float(column.nbytes) / max(len(column) - (0 if fixed else column.null_count), 1)
