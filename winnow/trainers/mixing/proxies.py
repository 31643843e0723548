"""Proxy runs: one small training per selection, by the grid of the ablations, with one tokenizer, order and seed.

A run is a sub-stage of its own, named by its number: with more runs the first ones are what they were, and a killed
stage goes on with those that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Exactness, Scope, Sub, port
from winnow.core.operators.budget import Unit
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.trainers.ablation.arms_overlap import ArmsOverlap
from winnow.trainers.ablation.design import Design, Labels
from winnow.trainers.ablation.grid import Cell, Grid, Runs
from winnow.trainers.ablation.target_overlap import TargetOverlap
from winnow.trainers.ablation.without_effect import check_read
from winnow.trainers.data.encoder import check_vocab
from winnow.trainers.data.pack import steps_of
from winnow.trainers.evaluate.evaluate_curve import EvaluateCurve
from winnow.trainers.evaluate.evaluate_gpt import Evaluate, Scoring
from winnow.trainers.mixing.collected_runs import CollectedRuns
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import shape_of
from winnow.trainers.model.training import Training


@dataclass(frozen=True, kw_only=True)
class ProxyDesign(Design):
    """The ablation whose arms are all made like one selection, and none of which is a control."""

    def is_control(self, label: str) -> bool:
        """None is."""
        return False

    def stage_of(self, label: str) -> str:
        """The selection that all are made like."""
        return self.baseline


@dataclass(frozen=True, kw_only=True)
class Proxies(Training, Scoring, Composite):
    """Fields of stages that train many small models on selections made like one."""

    meaning: ClassVar[Mapping[str, Meaning]] = {"size": "closed", "may_overlap": "closed"}
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)

    eval: Labels = port("refs")  # label -> held-out rows or a `target_file`: their losses are what is fitted
    tokens: int = 400_000  # training tokens per run
    size: str = ""  # a model size by name, instead of the five numbers `vocab` to `context`
    tokenizer_bytes: int = 8_000_000
    eval_bytes: int = 0  # of each target: a keyed sample of its items; 0: as many as cost what training costs at most
    may_overlap: tuple[str, ...] = ()  # targets whose overlap with the pool is reported, not refused
    curve: int = 0  # points of each run at which it is scored as well, for what reads losses on the way

    def like(self) -> str:
        """The selection that all runs' selections are made like."""
        raise NotImplementedError

    def shape(self) -> Shape:
        """The size of the models."""
        return shape_of(self.size) if self.size else super().shape()

    def design(self, labels: Sequence[str]) -> ProxyDesign:
        """The ablation that the runs are trained as."""
        return ProxyDesign(
            arms=dict.fromkeys(labels, self.like()), baseline=self.like(), eval=self.eval, seeds=1, aa=False,
            tokens=self.tokens, size=self.size, tokenizer_bytes=self.tokenizer_bytes, eval_bytes=self.eval_bytes,
            may_overlap=self.may_overlap, curve=self.curve, **part_of(self, Training), **part_of(self, Scoring),
        )  # fmt: skip

    def check_runs(self, runs: int) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range, or two fields do not go together.
        """
        if runs < 2:
            raise ConfigError(f"{runs} run{'s' * (runs != 1)} fit nothing", where="runs", hint="2 or more; 64, say")
        design = self.design(["m0"])
        if not design.targets():
            raise ConfigError("eval names nothing", where="eval", hint="give `label: stage`")
        design.recipe().check()
        check_vocab(self.shape().vocab)
        self.shape().check()
        steps_of(self.tokens, context=self.shape().context, batch=self.batch)
        Evaluate(**part_of(self, Scoring)).validate()
        if self.curve < 0:
            raise ConfigError(f"curve is {self.curve}, and must be at least 0", where="curve")
        for name in self.may_overlap:
            if name not in design.targets():
                raise ConfigError(f"{name!r} is none of {', '.join(design.targets())}", where="may_overlap")
        check_read(design)


class ProxyGrid(Grid):
    """The grid of proxy runs: each label has a selection that was made for it."""

    def __init__(self, stage: Proxies, scope: Scope, labels: Sequence[str]) -> None:
        super().__init__(stage.design(labels), scope)
        self.stage, self.made = stage, dict[str, str]()
        self.cell = Cell(prefix="", shape=stage.shape(), tokens=stage.tokens)

    def drawn(self, label: str, seed: int, *, factor: float = 1.0, purpose: str = "") -> str:
        """The selection that was made for a label."""
        return self.made[label]

    def trained(self, labels: Sequence[str]) -> Runs:
        """Runs and scores of labels whose selections are made, none of which may hold a target."""
        targets = self.ablation.targets()
        marks = {
            t: self.add(Sub(name=f"overlap_{t}", operator=TargetOverlap(), inputs=self.inputs, where=self.scope.where,
                            refs={"target": stage}))
            for t, stage in targets.items()
        }  # fmt: skip
        name = f"overlap_from_{labels[0]}"
        refs = {"selections": {label: self.made[label] for label in labels}, "overlaps": marks, "targets": targets}
        operator = ArmsOverlap(reported=self.ablation.may_overlap, compared=(labels[0],))
        self.checks = (self.add(Sub(name=name, operator=operator, refs=refs)),)
        return self.train(self.cell, labels, seeds=[0], gates={})

    def collected(self, name: str, runs: Runs, refs: Mapping[str, Any], *, unit: Unit = "tokens") -> str:
        """The table of runs."""
        targets = self.ablation.targets()
        more: dict[str, Any] = {"curves": self._curves(runs)} if self.stage.curve else {}
        operator = CollectedRuns(targets=tuple(targets), unit=unit)
        return self.add(Sub(name=name, operator=operator, refs={**runs.refs(), **refs, **more}))

    def _curves(self, runs: Runs) -> dict[str, str]:
        """{label/target}: losses along every run."""
        out = {}
        for key, run in runs.runs.items():
            label = key.rpartition("/")[0]
            for target in self.ablation.targets():
                operator = EvaluateCurve(**{n: getattr(self.ablation, n) for n in ("stride", "precision", "device")})
                refs = {"run_of": run, "targets": {target: self.target_tokens(target, self.cell.shape.vocab)}}
                out[f"{label}/{target}"] = self.add(Sub(name=f"curve_{label}_{target}", operator=operator, refs=refs))
        return out
