"""The sub-stages of an ablation: who is trained on what, and what is scored; comparisons read it by label and seed.

A cell is one way to train (a size, learning rates, a number of tokens). Every cell trains every wanted label at every
seed with the same initialisation and order seeds, and every trained model is scored on every target by a job of its
own: a new target trains nothing, a new arm trains only itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators import Operator, Scope, Sub, TrainingPart
from winnow.core.operators.config import part_of
from winnow.core.operators.training_part import check_parts
from winnow.trainers.ablation.arm_policies import ArmPolicies
from winnow.trainers.ablation.arms_overlap import ArmsOverlap
from winnow.trainers.ablation.check_feedback import CheckFeedback
from winnow.trainers.ablation.check_starts import CheckStarts
from winnow.trainers.ablation.design import Design, labelled
from winnow.trainers.ablation.redrawn import draws, is_redrawn, made_of
from winnow.trainers.ablation.restated import Restated, expanded
from winnow.trainers.ablation.scaling import scaled
from winnow.trainers.ablation.starts import Starts
from winnow.trainers.ablation.target_overlap import TargetOverlap
from winnow.trainers.ablation.tuning import budget_share
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.tuning_choice import at_epochs
from winnow.trainers.data.encoder import NARROW_VOCAB
from winnow.trainers.data.tokenizer import Tokenizer
from winnow.trainers.data.tokens import Tokens
from winnow.trainers.evaluate.distil_gpt import Distil
from winnow.trainers.evaluate.evaluate_curve import EvaluateCurve
from winnow.trainers.evaluate.evaluate_gpt import Evaluate, Scoring
from winnow.trainers.evaluate.ngram_scores import DATA_REFS, NgramScores, data_fields
from winnow.trainers.evaluate.soup_gpt import Soup
from winnow.trainers.evaluate.target_tokens import TargetTokens
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.train_gpt import Train
from winnow.trainers.model.training import Training

RATES = ("lr_hidden", "lr_embedding", "lr_head", "lr_adamw")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way to train. Names of its sub-stages begin with `prefix`."""

    prefix: str
    shape: Shape
    tokens: int
    rate: float = 1.0
    decay: float | None = None  # None: as the ablation says
    epochs: float | None = None  # passes: selections have tokens / epochs; None: their own budgets
    purpose: str = ""  # what the seeds of its runs are derived for, beside the verdict
    targets: tuple[str, ...] = ()  # what its models are scored on; none: all

    def fields_of(self, ablation: Design) -> dict[str, Any]:
        """The fields of a training recipe that this way sets."""
        rates = {name: getattr(ablation, name) * self.rate for name in RATES}
        return rates if self.decay is None else {**rates, "weight_decay": self.decay}


@dataclass(kw_only=True)
class Runs:
    """References of a cell's runs: {label/seed} and {label/seed/target}."""

    runs: dict[str, str] = field(default_factory=dict)
    scores: dict[str, str] = field(default_factory=dict)

    def merged(self, other: Runs) -> Runs:
        """Both."""
        return Runs(runs={**self.runs, **other.runs}, scores={**self.scores, **other.scores})

    def of(self, labels: Iterable[str], *, seeds: int) -> Runs:
        """Those of some labels and of seeds below `seeds`."""
        wanted = {f"{label}/{seed}" for label in labels for seed in range(seeds)}
        return Runs(
            runs={k: v for k, v in self.runs.items() if k in wanted},
            scores={k: v for k, v in self.scores.items() if k.rpartition("/")[0] in wanted},
        )

    def refs(self) -> dict[str, Mapping[str, str]]:
        """Ports `runs` and `scores`."""
        return {"runs": self.runs, "scores": self.scores}


class Grid:
    """Collects the sub-stages of one ablation by name, in an order in which every one comes after what it reads."""

    def __init__(self, ablation: Design, scope: Scope) -> None:
        self.ablation, self.scope = ablation, scope
        self.inputs = scope.inputs or (scope.space(ablation.baseline),)
        self.subs: dict[str, Sub] = {}
        self.pool = scope.space(self.inputs[0])
        self.starts = Starts(ablation, scope, ablation.shape())
        self.policies = ArmPolicies(ablation, scope)
        self.checks: tuple[str, ...] = ()  # what must have passed before anything is trained
        self.cells: Mapping[str, Cell] = {}  # of the tuning grid, as ways to train the verdict's runs
        self.choices: Mapping[str, str] = {}  # label -> the choice of its cell, which the verdict's runs wait for

    @cached_property
    def restated(self) -> Restated | None:
        """What makes selections again in the fold of a seed; None where all seeds have the same pool."""
        if not self.ablation.folds:
            return None
        seed = derived_seed(self.scope.seed, "folds", self.ablation.seeds)
        return Restated(
            self.scope, self.pool, folds=self.ablation.seeds, seed=seed, refit=self.ablation.refit, add=self.add
        )

    def add(self, sub: Sub) -> str:
        """The reference of a sub-stage that is now part of the grid."""
        self.subs.setdefault(sub.name, sub)
        return f".{sub.name}"

    def drawn(self, label: str, seed: int, *, factor: float = 1.0, purpose: str = "") -> str:
        """The selection of a label for one seed, drawn anew where it draws lots, its budget times `factor`; with folds
        that of the seed's fold.
        """
        stage, kind = self.ablation.stage_of(label), "redraw" if self.ablation.is_control(label) else "draw"
        if self.restated is not None:
            redrawn = draws(self.scope.lookup(stage).operator)
            name = f"{kind}_{stage}" if redrawn else stage
            return self.restated.selection(stage, seed, name=name, seed=self._lots(stage, seed, kind, purpose))
        return self._drawn(stage, seed, kind, factor=factor, purpose=purpose)

    def _drawn(self, stage: str, seed: int, kind: str, *, factor: float = 1.0, purpose: str = "") -> str:
        """A selection and those that it is made of, drawn anew where they draw lots."""
        declared = self.scope.lookup(stage)
        before = {name: self._drawn(name, seed, kind, purpose=purpose) for name in made_of(self.scope, stage)}
        redrawn = draws(declared.operator) or bool(before)
        if not redrawn and factor == 1.0:
            return stage
        operator = declared.operator
        name = f"{purpose.replace(' ', '_')}{kind}_{stage}_{seed}" if redrawn else stage
        if factor != 1.0:
            operator, name = scaled(operator, factor), f"{name}_x{factor:g}"
        inputs = [before.pop(one, one) for one in declared.inputs]
        sub = dataclasses.replace(
            declared, name=name, seed=self._lots(stage, seed, kind, purpose), operator=operator, repeats=stage,
            inputs=(*inputs, *before.values()),
        )  # fmt: skip
        return [self.add(one) for one in expanded(sub, self.scope, pool=self.pool)][-1]

    def _lots(self, stage: str, seed: int, kind: str, purpose: str) -> int:
        """The seed of a selection's lots; its own where it draws none."""
        declared = self.scope.lookup(stage)
        base = self.scope.seed if declared.seed is None else declared.seed
        what = f"{purpose}{'control' if kind == 'redraw' else 'draw'}"
        return derived_seed(base, what, seed) if draws(declared.operator) else base

    def train(self, cell: Cell, labels: Sequence[str], *, seeds: Sequence[int], gates: Mapping[int, str]) -> Runs:
        """All runs of a cell. `gates` maps a seed to the halving decision that its runs wait for."""
        runs, soups = Runs(), self.ablation.soups()
        for seed in seeds:
            for label in labels:
                members = soups.get(label)
                gate = gates.get(seed, "") if label in self.ablation.candidates() else ""
                name = (
                    self._soup(cell, label, seed, {m: runs.runs[f"{m}/{seed}"] for m in members}, members)
                    if members
                    else self._train(cell, label, seed, gate)
                )
                runs.runs[f"{label}/{seed}"] = name
                for target in cell.targets or self.ablation.targets():
                    key = f"{label}/{seed}/{target}"
                    runs.scores[key] = self.score(cell, f"{label}_{seed}_{target}", [target], {"model": name})
        return runs

    def selection(self, cell: Cell, label: str, seed: int) -> str:
        """What a run trains on; a baseline at a larger budget draws more with the same lots."""
        return self.drawn(label.partition("@")[0], seed, factor=self.share(label, cell), purpose=cell.purpose)

    def share(self, label: str, cell: Cell) -> float:
        """Factor on the budget of a label's selection in a cell."""
        name, _, budget = label.partition("@")
        selector = self.scope.lookup(self.ablation.stage_of(name)).operator
        if cell.epochs is not None:
            return budget_share(name, selector, tokens=cell.tokens, epochs=cell.epochs)
        return max(1.0, cell.tokens / self.ablation.tokens) if budget and draws(selector) else 1.0

    def selections(self, cell: Cell, label: str, seed: int) -> dict[str, str]:
        """What a run may be trained on: {label/seed: selection}, with tuned epochs {label at epochs/seed: ...}."""
        cells = self.cells.values() or (cell,)
        return {f"{label}{at_epochs(c.epochs)}/{seed}": self.selection(c, label, seed) for c in cells}

    def trained_columns(self, label: str) -> tuple[str, ...]:
        """Columns of a label's selection, besides doc_id, that decide what is trained on."""
        declared = self.scope.lookup(self.ablation.stage_of(label.partition("@")[0]))
        parts = [part.column for part in declared.operator.training_parts()]
        return tuple(dict.fromkeys([*(n for n in declared.operator.outputs() if n == "weight"), *parts]))

    def distil(self, cell: Cell, label: str, teachers: Mapping[str, str], *, number: int) -> str:
        """A student of the mean prediction of a label's runs, on the selection of seed `number`."""
        fields = part_of(self._operator(cell, label, number), Train) | {"policed": None}
        fields |= dataclasses.asdict(self.ablation.student(cell.shape))
        fields["init_seed"] = derived_seed(self.scope.seed, "student", number)
        refs = {"selection": self.drawn(label, number), "tokens": self.tokens(cell.shape.vocab), "teachers": teachers}
        return self.add(Sub(name=f"{cell.prefix}distil_{label}_{number}", operator=Distil(**fields), refs=refs))

    def score(self, cell: Cell, name: str, targets: Iterable[str], models: Mapping[str, str]) -> str:
        """Scores of a model, or of several as an ensemble, on some targets."""
        known = {target: self.target_tokens(target, cell.shape.vocab) for target in targets}
        single = len(models) == 1 and next(iter(known)) == next(iter(self.ablation.targets())) and not cell.targets
        scoring = part_of(self.ablation, Scoring) | ({} if single else {"flatness_probes": 0})
        operator = Evaluate(precision=self.ablation.precision, device=self.ablation.device, **scoring)
        refs = {"models": models, "targets": known}
        return self.add(Sub(name=f"{cell.prefix}score_{name}", operator=operator, refs=refs))

    def curves(self, cell: Cell, runs: Runs) -> dict[str, str]:
        """{label/seed/target}: scores along every run of a cell on every target."""
        out = {}
        for label in (BASELINE, *self.ablation.with_control()):
            for seed in range(self.ablation.seeds):
                for target in self.ablation.targets():
                    operator = EvaluateCurve(
                        **{n: getattr(self.ablation, n) for n in ("stride", "precision", "device")}
                    )
                    refs = {"run_of": runs.runs[f"{label}/{seed}"],
                            "targets": {target: self.target_tokens(target, cell.shape.vocab)}}  # fmt: skip
                    sub = Sub(name=f"curve_{label}_{seed}_{target}", operator=operator, refs=refs)
                    out[f"{label}/{seed}/{target}"] = self.add(sub)
        return out

    def lexical(self, cell: Cell, labels: Iterable[str], runs: Runs) -> dict[str, str]:
        """{label/seed}: n-gram models of the training tokens of those labels' runs, scored on all targets; none of a
        run whose policy weighs or chooses its rows by a model.

        Another learning rate sees the same tokens, so its runs share the jobs of the cell that it repeats.
        """
        wanted, known = set(labels), {t: self.target_tokens(t, cell.shape.vocab) for t in self.ablation.targets()}
        prefix = cell.prefix if cell.rate == 1.0 else ""
        out = {}
        for key, name in runs.runs.items():
            label, _, seed = key.rpartition("/")
            if label in wanted and self.policies.is_blind(label):
                run = self.subs[name.removeprefix(".")]
                refs = {port: run.refs[port] for port in DATA_REFS if port in run.refs} | {"targets": known}
                operator = NgramScores(**data_fields(run.operator))
                sub = Sub(name=f"{prefix}ngram_{label}_{seed}", operator=operator, refs=refs, after=self.checks)
                out[key] = self.add(sub)
        return out

    def tokenizer(self, vocab: int) -> str:
        """The tokenizer of that size: that of a start or of what a policy reads, else one fitted on the pool."""
        if given := self.starts.tokenizer or self.policies.tokenizer:
            self.policies.check_room(given, vocab)
            return given
        fit = Tokenizer(vocab=self.policies.fitted(vocab), sample_bytes=self.ablation.tokenizer_bytes)
        return self.add(Sub(name=f"tokenizer{self._suffix(vocab)}", operator=fit, inputs=self.inputs,
                            where=self.scope.where))  # fmt: skip

    def tokens(self, vocab: int) -> str:
        """The pool in tokens."""
        operator = Tokens(wide=vocab > NARROW_VOCAB)
        refs = {"tokenizer": self.tokenizer(vocab)}
        return self.add(Sub(name=f"tokens{self._suffix(vocab)}", operator=operator, inputs=self.inputs,
                            where=self.scope.where, refs=refs))  # fmt: skip

    def replay_tokens(self, vocab: int) -> str:
        """The rows of what is replayed in tokens; those of the pool where it lies there; empty without a replay."""
        name = self.ablation.replay
        if not name:
            return ""
        if self.scope.where is None and self.scope.space(name) == self.scope.space(self.inputs[0]):
            return self.tokens(vocab)
        return self.add(Sub(name=f"tokens_replay{self._suffix(vocab)}", operator=Tokens(wide=vocab > NARROW_VOCAB),
                            inputs=(self.scope.space(name),), refs={"tokenizer": self.tokenizer(vocab)}))  # fmt: skip

    def check_old(self) -> tuple[str, ...]:
        """Checks of the starts, and of the selections behind them and of the replay against every target."""
        held = self.starts.held
        out = []
        if held:
            refs = {"models": {label: found.model for label, found in held.items()},
                    "tokenizers": {label: found.tokenizer for label, found in held.items()}}  # fmt: skip
            operator = CheckStarts(**dataclasses.asdict(self.ablation.shape()))
            out.append(self.add(Sub(name="check_starts", operator=operator, refs=refs)))
        spaces: dict[str, dict[str, str]] = {}
        for label, stage in self.starts.old().items():
            spaces.setdefault(self.scope.space(stage), {})[label] = stage
        for number, (space, selections) in enumerate(spaces.items()):
            targets = self.ablation.targets()
            marks = {t: self._marks(t, stage, space, number) for t, stage in targets.items()}
            old = ArmsOverlap(reported=self.ablation.may_overlap)
            refs = {"selections": selections, "overlaps": marks, "targets": targets}
            out.append(self.add(Sub(name=f"overlap_old{number}", operator=old, refs=refs)))
        return (*out, *self._check_feedback())

    def _check_feedback(self) -> tuple[str, ...]:
        """The check of what policies read; none where they read neither texts nor models."""
        tokenizers, texts = self.policies.tokenizers(self.starts.tokenizer), self.policies.texts()
        refs: dict[str, Any] = {"tokenizers": tokenizers} if len(tokenizers) > 1 else {}
        refs |= {"texts": texts, "targets": self.ablation.targets()} if texts else {}
        operator = CheckFeedback(reported=self.ablation.may_overlap)
        return (self.add(Sub(name="check_feedback", operator=operator, refs=refs)),) if refs else ()

    def _marks(self, target: str, stage: str, space: str, number: int) -> str:
        """Documents of a row space that repeat a target; those of the pool are marked already."""
        if self.scope.where is None and space == self.scope.space(self.inputs[0]):
            return f".overlap_{target}"
        return self.add(Sub(name=f"overlap_{target}_old{number}", operator=TargetOverlap(), inputs=(space,),
                            refs={"target": stage}))  # fmt: skip

    def target_tokens(self, target: str, vocab: int) -> str:
        """A target in tokens."""
        refs = {"target": self.ablation.targets()[target], "tokenizer": self.tokenizer(vocab)}
        operator = TargetTokens(most_bytes=self.ablation.bytes_read())
        return self.add(Sub(name=f"target_{target}{self._suffix(vocab)}", operator=operator, refs=refs))

    def _train(self, cell: Cell, label: str, seed: int, gate: str) -> str:
        train = dataclasses.replace(self._operator(cell, label, seed), arm=label if gate else "")
        vocab, begins = cell.shape.vocab, self._begins(label)
        refs: dict[str, Any] = {"tokens": self.tokens(vocab), **({"gate": gate} if gate else {})}
        refs |= self.starts.run_refs(begins, self.replay_tokens(vocab) if self.starts.share(begins) else "")
        refs |= self.policies.refs(self, label, cell.shape)
        choice = self.choices.get(BASELINE if self.ablation.is_control(label) else label)
        if choice is None:
            refs["selection"] = self.selection(cell, label, seed)
        else:
            operators = {name: self._operator(c, label, seed) for name, c in self.cells.items()}
            train = dataclasses.replace(train, cells={name: changed(train, o) for name, o in operators.items()})
            refs["choice"] = choice
            refs["selections"] = {name: self.selection(c, label, seed) for name, c in self.cells.items()}
        name = f"{cell.prefix}train_{label}_{seed}"
        code = self.policies.stages.get(label, "")
        return self.add(Sub(name=name, operator=train, refs=refs, after=self.checks, code=code))

    def _soup(self, cell: Cell, label: str, seed: int, runs: Mapping[str, str], weights: Mapping[str, float]) -> str:
        """The average of other labels' models of the same cell and seed."""
        even = len(set(weights.values())) == 1
        operator = Soup(weights=None if even else dict(weights))
        return self.add(Sub(name=f"{cell.prefix}soup_{label}_{seed}", operator=operator, refs={"models": runs}))

    def _operator(self, cell: Cell, label: str, seed: int) -> Train:
        """One run's recipe; arms differ in their selections alone."""
        ablation = self.ablation
        declared = self.scope.lookup(ablation.stage_of(label.partition("@")[0])).operator
        stage = ablation.stage_of(label.partition("@")[0])
        fixed_control = ablation.is_control(label) and not is_redrawn(self.scope, stage)
        replica = seed + (ablation.seeds if fixed_control else 0)  # a fixed baseline has only training noise to show
        seeds = {
            "init_seed": derived_seed(self.scope.seed, f"{cell.purpose}init", replica),
            "order_seed": derived_seed(self.scope.seed, f"{cell.purpose}order", replica),
            **self.starts.run_fields(self._begins(label)),
            **self.policies.fields_of(label),
            "curve": 0 if cell.prefix else ablation.curve,
        }
        own = part_of(ablation, Training) | ({"loss_at": ()} if cell.prefix else {})
        return Train(
            tokens_per_run=cell.tokens,
            weighted="weight" in declared.outputs(),
            parts=tuple(dataclasses.asdict(part) for part in self._parts(cell, label, declared)),
            **{**seeds, **own, **dataclasses.asdict(cell.shape), **cell.fields_of(ablation)},
        )

    def _parts(self, cell: Cell, label: str, declared: Operator) -> tuple[TrainingPart, ...]:
        """The parts in which a label's selection is trained. Raises ConfigError where a run of the cell cannot be."""
        parts = declared.training_parts()
        if parts:
            self.starts.refuse_parts(self._begins(label))
            self.policies.refuse_parts(label, "is trained in phases or redraws")
        if self.starts.share(self._begins(label)):
            self.policies.refuse_parts(label, "replays an old selection")
        step = cell.shape.context * self.ablation.batch
        try:
            check_parts(parts, declared.outputs(), tokens=cell.tokens, step_tokens=step)
        except ConfigError as error:
            name = label.partition("@")[0]
            stage, declared_arm = self.ablation.stage_of(name), name in labelled(self.ablation.arms)
            where = f"stages.{self.scope.stage}.{f'arms.{name}' if declared_arm else BASELINE}"
            raise ConfigError(f"{stage}: {error.what}", where=where, hint=error.hint) from error
        return parts

    def _begins(self, label: str) -> str:
        """The label whose start and replay a label has: a control and another budget have the baseline's."""
        name = label.partition("@")[0]
        return BASELINE if self.ablation.is_control(name) else name

    def _suffix(self, vocab: int) -> str:
        return "" if vocab == self.ablation.shape().vocab else f"_{vocab}"


def changed(train: Train, other: Train) -> dict[str, float]:
    """The numbers of `other` that are not those of `train`: what a cell of a tuning grid sets."""
    names = [f.name for f in dataclasses.fields(Training)]
    return {name: getattr(other, name) for name in names if getattr(other, name) != getattr(train, name)}


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """A seed in [0, 2^31) for one purpose and number: no names of stages or arms enter."""
    digest = hashlib.blake2b(f"{int(seed)}\0{purpose}\0{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1
