"""Which stage run drives an operator of which shape."""

from __future__ import annotations

from winnow.core.operators import Composite, Derive, Fit, Fold, Group, Job, Map, MapArrow, Rewrite, Union, Whole
from winnow.dags.shapes.derive import DeriveRun
from winnow.dags.shapes.fit import FitRun
from winnow.dags.shapes.fold import FoldRun
from winnow.dags.shapes.group import GroupRun
from winnow.dags.shapes.job import JobRun
from winnow.dags.shapes.map import MapRun
from winnow.dags.shapes.rewrite import RewriteRun
from winnow.dags.shapes.stage_run import StageRun
from winnow.dags.shapes.union import UnionRun
from winnow.dags.shapes.whole import WholeRun

SHAPES: tuple[tuple[type, type[StageRun]], ...] = (
    (Derive, DeriveRun), (Map, MapRun), (MapArrow, MapRun), (Fold, FoldRun), (Group, GroupRun),
    (Whole, WholeRun), (Fit, FitRun), (Job, JobRun), (Union, UnionRun), (Rewrite, RewriteRun),
)  # fmt: skip


def run_class(operator: object) -> type[StageRun]:
    """The stage run of an operator's shape."""
    assert not isinstance(operator, Composite)
    return next(run for shape, run in SHAPES if isinstance(operator, shape))
