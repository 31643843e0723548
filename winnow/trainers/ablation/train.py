"""`train`: one model on one selection, as a stage of its own.

It is one run of an ablation's grid, with the seeds of its first: where the fields and a selection that draws no lots
are equal, a `train` and an `ablation` share the run. Sub-stages: `tokenizer`, `tokens`, `target_*`, `overlap*`, `run`
(a `train_gpt`), `score_*` and `curve_*` per target, and the stage's face, which publishes the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Exactness, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.trainers.ablation.arm_policies import ArmPolicies, Governed
from winnow.trainers.ablation.arms_overlap import ArmsOverlap
from winnow.trainers.ablation.check_arms import check_arms
from winnow.trainers.ablation.design import Design, Labels
from winnow.trainers.ablation.grid import Cell, Grid
from winnow.trainers.ablation.starts import check_curve, check_starting
from winnow.trainers.ablation.target_overlap import TargetOverlap
from winnow.trainers.ablation.trained_model import TrainedModel
from winnow.trainers.ablation.without_effect import check_read
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.data.encoder import check_vocab
from winnow.trainers.data.pack import steps_of
from winnow.trainers.data.tokenizer_file import TokenizerFile
from winnow.trainers.evaluate.evaluate_gpt import Evaluate, Scoring
from winnow.trainers.model.distributed import Distributed, check_distributed
from winnow.trainers.model.held import Held, held
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import shape_of
from winnow.trainers.model.train_gpt import Train
from winnow.trainers.model.training import Training
from winnow.trainers.online.policy import MODEL

RUN = "run"


@dataclass(frozen=True, kw_only=True)
class TrainModel(Training, Scoring, Distributed, Composite):
    """A model trained on a selection: weights, tokenizer and shape in files, with its losses on targets.

    Files, in the stage's folder `model/`: weights.npz, tokenizer.json, model.json (what `model_file` reads).
    `selection` names a selection, rows, or shards that were written earlier ("out/shards/*.parquet").

    Source: own; model after modded-nanogpt: RoPE, QK-norm, ReLU^2, Muon
    """

    name: ClassVar[str] = "train"
    stage_only: ClassVar[Mapping[str, str]] = {"start": MODEL}
    meaning: ClassVar[Mapping[str, Meaning]] = {"size": "closed", "may_overlap": "closed"}
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")
    takes: ClassVar[tuple[str, ...]] = ("selection", "replay")

    selection: str = port("ref")
    eval: Labels = port("refs", default=())  # label -> held-out rows or a `target_file`, scored when it is trained
    tokens: int = 400_000  # predicted tokens to train on
    size: str = ""  # a model size by name, instead of the five numbers `vocab` to `context`
    tokenizer: tuple[str, ...] = port("files", default=())  # default: the start's, or fitted on the pool
    tokenizer_bytes: int = 8_000_000
    eval_bytes: int = 0  # of each target: a keyed sample of its items; 0: all
    may_overlap: tuple[str, ...] = ()  # targets whose overlap with the selection is reported, not refused
    start: str = port("ref", default="")  # a trained model that is continued; default: from scratch
    replay: str = port("ref", default="")  # an old selection, mixed evenly into the own data
    replay_share: float = 0.0  # of the tokens
    curve: int = 0  # points of training at which every target is scored, besides the one before the first step
    policy: str = port("ref", default="")  # what acts on the data while it trains: a policy's stage, or {use: ...}

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range, or two fields do not go together.
        """
        design = self.design()
        design.recipe().check()
        shape = design.shape()
        check_vocab(shape.vocab)
        shape.check()
        steps_of(self.tokens, context=shape.context, batch=self.batch)
        Evaluate(**part_of(self, Scoring)).validate()
        check_distributed(self, batch=self.batch)
        check_starting(design, [BASELINE], scratch={})
        check_curve(design, design.targets())
        check_read(design)
        if self.start and self.tokenizer:
            raise ConfigError("the tokenizer is that of the start", where="tokenizer", hint="leave it out")
        if self.tokenizer and self.tokenizer_bytes != TrainModel.tokenizer_bytes:
            raise ConfigError("a given tokenizer is fitted on nothing", where="tokenizer_bytes", hint="leave it out")
        if not self.eval:
            for name in ("curve", "eval_bytes", "may_overlap", "stride", "flatness_probes"):
                if getattr(self, name):
                    raise ConfigError(f"{name} is of targets, and there are none", where=name, hint="add `eval:`")
        for name in self.may_overlap:
            if name not in design.targets():
                raise ConfigError(f"{name!r} is none of {', '.join(design.targets())}", where="may_overlap")

    def shape(self) -> Shape:
        """The size of the model."""
        return shape_of(self.size) if self.size else super().shape()

    def design(self) -> Design:
        """The ablation of one arm and one seed that this is."""
        return Design(
            arms={}, baseline=self.selection, eval=self.eval, seeds=1, aa=False, tokens=self.tokens, size=self.size,
            tokenizer_bytes=self.tokenizer_bytes, eval_bytes=self.eval_bytes, eval_share=1,
            may_overlap=self.may_overlap,
            start=self.start, replay=self.replay, replay_share=self.replay_share, curve=self.curve,
            policies={BASELINE: self.policy} if self.policy else None,
            **part_of(self, Training), **part_of(self, Scoring),
        )  # fmt: skip

    def held(self, stage: Sub, scope: Scope) -> Held:
        """Where the parts of its model lie."""
        before = stage.refs.get("start") or self.start
        earlier = held(scope, before) if before else None
        replay = stage.refs.get("replay") or self.replay
        own = (stage.refs.get("selection") or self.selection, *((replay,) if replay else ()))
        return Held(
            model=f"{stage.name}.{RUN}", tokenizer=self._tokenizer(stage, scope, earlier),
            shape=self.shape(), selections=(*own, *(earlier.selections if earlier else ())),
        )  # fmt: skip

    def _tokenizer(self, stage: Sub, scope: Scope, start: Held | None) -> str:
        """The stage of its tokenizer: the start's, that of a model which its policy reads, or its own."""
        policy = stage.refs.get("policy") or self.policy
        read = ArmPolicies(Governed(policies={BASELINE: policy}), scope).tokenizer if policy and start is None else ""
        return start.tokenizer if start else read or f"{stage.name}.tokenizer"

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokenizer, tokens, overlap checks, the run, its scores, and the published model."""
        pool = scope.space((scope.inputs or (self.selection,))[0])
        check_arms({"selection": self.selection}, scope)
        if scope.space(self.selection) != pool:
            raise ConfigError(f"{self.selection!r} selects from {scope.space(self.selection)!r}, not from {pool!r}",
                              where="selection", hint="leave `inputs` out, or name the selection's rows")  # fmt: skip
        grid = OneRun(self, scope)
        cell = Cell(prefix="", shape=self.shape(), tokens=self.tokens)
        grid.checks = (*self._overlaps(grid), *grid.check_old())
        runs = grid.train(cell, [BASELINE], seeds=[0], gates={})
        name = runs.runs[f"{BASELINE}/0"]
        scores = {key.rpartition("/")[2]: score for key, score in runs.scores.items()}
        curves = grid.curves(cell, runs) if self.curve else {}
        refs: dict[str, Any] = {"run_of": name, "tokenizer": grid.tokenizer(cell.shape.vocab)}
        refs |= {"scores": scores} if scores else {}
        refs |= {"curves": {key.rpartition("/")[2]: curve for key, curve in curves.items()}} if curves else {}
        grid.add(Sub(name="model", operator=TrainedModel(), refs=refs))
        return renamed(list(grid.subs.values()))

    def _overlaps(self, grid: Grid) -> tuple[str, ...]:
        targets = grid.ablation.targets()
        if not targets:
            return ()
        marks = {
            label: grid.add(Sub(name=f"overlap_{label}", operator=TargetOverlap(), inputs=grid.inputs,
                                where=grid.scope.where, refs={"target": stage}))
            for label, stage in targets.items()
        }  # fmt: skip
        refs = {"selections": {"selection": self.selection}, "overlaps": marks, "targets": targets}
        return (grid.add(Sub(name="overlap", operator=ArmsOverlap(reported=self.may_overlap), refs=refs)),)


class OneRun(Grid):
    """The grid of one run: its selection as it is, its own tokenizer, and the processes that it is trained on."""

    def __init__(self, stage: TrainModel, scope: Scope) -> None:
        super().__init__(stage.design(), scope)
        self.stage = stage

    def drawn(self, label: str, seed: int, *, factor: float = 1.0, purpose: str = "") -> str:
        """The selection as it was drawn."""
        return self.stage.selection

    def tokenizer(self, vocab: int) -> str:
        """The given tokenizer, the start's, or one fitted on the pool."""
        if not self.stage.tokenizer:
            return super().tokenizer(vocab)
        if self.policies.tokenizer:
            raise ConfigError("the tokenizer is that of the model that the policy reads", where="tokenizer",
                              hint="leave it out")  # fmt: skip
        return self.add(Sub(name="tokenizer", operator=TokenizerFile(files=self.stage.tokenizer)))

    def add(self, sub: Sub) -> str:
        """The reference of a sub-stage; a run is trained on the stage's processes."""
        if isinstance(sub.operator, Train):
            processes = {"workers": self.stage.workers, "launcher": self.stage.launcher}
            sub = dataclasses.replace(sub, operator=dataclasses.replace(sub.operator, **processes))  # type: ignore[arg-type]
        return super().add(sub)


def renamed(subs: list[Sub]) -> list[Sub]:
    """The sub-stages under names that say nothing of arms and seeds."""
    names = {sub.name: sub.name.replace(f"train_{BASELINE}_0", RUN).replace(f"_{BASELINE}_0", "") for sub in subs}

    def of(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: of(one) for key, one in value.items()}
        return f".{names[value[1:]]}" if value.startswith(".") else value

    return [
        dataclasses.replace(sub, name=names[sub.name], inputs=tuple(map(of, sub.inputs)), refs=of(sub.refs),
                            after=tuple(map(of, sub.after)))
        for sub in subs
    ]  # fmt: skip
