"""Which stage run drives an operator of which shape."""

from __future__ import annotations

from winnow.core.operators import Composite, Derive, Fit, Fold, Group, Job, Map, MapArrow, Rewrite, Union, Whole
from winnow.dags.driver.derive_run import DeriveRun
from winnow.dags.driver.exchange_runs import FoldRun, GroupRun, RewriteRun
from winnow.dags.driver.shape_runs import FitRun, JobRun, MapRun, UnionRun, WholeRun
from winnow.dags.driver.stage_run import StageRun

SHAPES: tuple[tuple[type, type[StageRun]], ...] = (
    (Derive, DeriveRun), (Map, MapRun), (MapArrow, MapRun), (Fold, FoldRun), (Group, GroupRun),
    (Whole, WholeRun), (Fit, FitRun), (Job, JobRun), (Union, UnionRun), (Rewrite, RewriteRun),
)  # fmt: skip


def run_class(operator: object) -> type[StageRun]:
    """The stage run of an operator's shape."""
    assert not isinstance(operator, Composite)
    return next(run for shape, run in SHAPES if isinstance(operator, shape))
