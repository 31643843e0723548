"""The sub-stages of a tuning grid: every label at every cell, at seeds of their own, and a choice per label.

A choice reads the runs of its own label alone, so a new arm trains only itself.
"""

from __future__ import annotations

import dataclasses

from winnow.core.operators import Sub
from winnow.trainers.ablation.design import Design
from winnow.trainers.ablation.grid import Cell, Grid
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.tuning_choice import TUNING, TuningChoice, at_epochs

PURPOSE = "tune "  # what the seeds of tuning runs are derived for: none of the verdict's runs shares one


def cells_of(ablation: Design, main: Cell) -> dict[str, Cell]:
    """The grid's cells by name, as ways to train the verdict's runs."""
    return {
        name: dataclasses.replace(
            main, rate=values.get("learning_rate", 1.0), epochs=values.get("epochs"), decay=values.get("weight_decay")
        )
        for name, values in ablation.tuning_cells().items()
    }


def tuning_cells_of(grid: Grid) -> dict[str, Cell]:
    """The grid's cells as ways to train the runs that choose."""
    target = grid.ablation.tune_target or next(iter(grid.ablation.targets()))
    return {
        name: dataclasses.replace(cell, prefix=f"tune{number}_", purpose=PURPOSE, targets=(target,))
        for number, (name, cell) in enumerate(grid.cells.items())
    }


def tuning_selections(grid: Grid) -> dict[str, tuple[str, str]]:
    """What the runs that choose are trained on: {label, epochs and seed: (label, selection)}."""
    labels, seeds = (BASELINE, *grid.ablation.candidates()), range(grid.ablation.tune_seeds)
    return {
        f"{label}{at_epochs(cell.epochs)}{TUNING}/{seed}": (label, grid.selection(cell, label, seed))
        for cell in tuning_cells_of(grid).values() for label in labels for seed in seeds
    }  # fmt: skip


def add_choices(grid: Grid) -> dict[str, str]:
    """Label -> its choice, of the baseline and of every arm that is no control; nothing where nothing is tuned."""
    ablation, cells = grid.ablation, tuning_cells_of(grid)
    seeds = range(ablation.tune_seeds)
    choices = {}
    for label in (BASELINE, *ablation.candidates()) if cells else ():
        refs: dict[str, dict[str, str]] = {"runs": {}, "scores": {}}
        for name, cell in cells.items():
            runs = grid.train(cell, [label], seeds=seeds, gates={})
            for port, found in runs.refs().items():
                refs[port] |= {f"{name}/{key.removeprefix(label + '/')}": stage for key, stage in found.items()}
        target = next(iter(cells.values())).targets[0]
        operator = TuningChoice(
            cells=tuple(cells), values=ablation.tuning_cells(), seeds=ablation.tune_seeds, target=target,
            declared=_declared(grid, label),
        )  # fmt: skip
        choices[label] = grid.add(Sub(name=f"choice_{label}", operator=operator, refs=refs))
    return choices


def _declared(grid: Grid, label: str) -> str:
    """The cell that is the run as declared: its decay, its rates, its own selection; empty where the grid has none."""
    for name, values in grid.ablation.tuning_cells().items():
        share = grid.share(label, grid.cells[name])
        decay = values.get("weight_decay", grid.ablation.weight_decay)
        if share == values.get("learning_rate", 1.0) == 1.0 and decay == grid.ablation.weight_decay:
            return name
    return ""
