"""The table of shapes: a new shape is its file, its class in `winnow.core.operators.shapes`, and a line here.

By convention the file of shape `Fold` is `fold.py` and holds `FoldRun` (the driver's half) beside the tasks (the
worker's half). Classes are named as text and imported when they are first used, so that reading the table is cheap.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from winnow.core.errors import EngineError

if TYPE_CHECKING:
    from winnow.core.operators import Operator
    from winnow.dags.shapes.stage_run import StageRun
    from winnow.dags.shapes.unit_task import UnitTask


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One shape of operator."""

    name: str  # `Operator.shape_name`
    tasks: tuple[str, ...] = ()  # classes in its file; none where the driver does all
    no_rows: str = ""  # why its operators cannot be tried on rows alone; empty where they can

    def run_class(self) -> type[StageRun]:
        """What drives a stage of this shape."""
        cls: type[StageRun] = getattr(self._file(), f"{self.name}Run")
        return cls

    def task_class(self, name: str) -> type[UnitTask]:
        """One of its tasks."""
        cls: type[UnitTask] = getattr(self._file(), name)
        return cls

    def _file(self) -> Any:
        return importlib.import_module(f"winnow.dags.shapes.{self.name.lower()}")


SHAPES = {shape.name: shape for shape in (
    Shape(name="Derive", tasks=("ReadTask", "NumberTask", "NameTask"), no_rows="it reads files"),
    Shape(name="Map", tasks=("MapTask", "IsolatedMapTask", "AnswerRangeTask")),
    Shape(name="Fold", tasks=("SummariseTask", "MergeTask", "DecideTask", "FoldAtOnceTask")),
    Shape(name="Group", tasks=("SendKeysTask", "DealTask", "ResolveTask", "CollectTask")),
    Shape(name="Whole", tasks=("SolveTask",)),
    Shape(name="Linked", tasks=("LabelTask", "SendLinksTask", "SolvePiecesTask", "PlaceTask")),
    Shape(name="Fit", tasks=("SampleTask", "FitTask")),
    Shape(name="Job", tasks=("JobTask",), no_rows="it reads references"),
    Shape(name="Union", no_rows="it lists the parts of its inputs"),
    Shape(name="Rewrite", tasks=("CountTask", "SendRowsTask", "ShardTask"), no_rows="it writes what a run has kept"),
)}  # fmt: skip

_HOMES = {task: shape for shape in SHAPES.values() for task in shape.tasks}


def shape_of(operator: Operator | type[Operator]) -> Shape:
    """The shape of an operator. Composites have none: they are gone when a plan is made."""
    return SHAPES[operator.shape_name]


def task_class(name: object) -> type[UnitTask]:
    """The task of this name. Raises EngineError for a name that no shape has."""
    shape = _HOMES.get(str(name))
    if shape is None:
        hint = "driver and workers must run the same version of winnow"
        raise EngineError(f"no shape has a task {name!r}", hint=hint)
    return shape.task_class(str(name))
