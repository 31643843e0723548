"""Ablation: does a selection help? Small models on each arm, equal tokens, paired seeds, an honest interval.

Most of the noise of such a comparison is the drawn subset and little of it the training seed, so every seed
draws its own baseline, its own A/A control, and its own selection wherever the arm's selector draws lots. A
selection that does not draw is the same for all seeds, and its interval speaks of that selection only.

Sub-stages (`grid.py`): `tokenizer`, `tokens`, `target_*`, `overlap_*` and `overlap`, `draw_*` and `redraw_*`
(selections drawn anew), `train_*` (one per arm and seed), `score_*` (one per model and target), `compare`. Other
learning rates, sizes and budgets have sub-stages of the same names behind `rate1_`, `size0_`, `budget0_`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Exactness, Scope, Sub
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.trainers.ablation import fold_fields
from winnow.trainers.ablation.arm_policies import check_policies
from winnow.trainers.ablation.arms_overlap import ArmsOverlap
from winnow.trainers.ablation.averaging import check_soups
from winnow.trainers.ablation.check_arms import check_arms
from winnow.trainers.ablation.design import CONTROL, Design, labelled
from winnow.trainers.ablation.folding import check_folding
from winnow.trainers.ablation.grid import Cell, Grid, Runs
from winnow.trainers.ablation.redrawn import is_redrawn
from winnow.trainers.ablation.starts import check_curve, check_starting
from winnow.trainers.ablation.target_overlap import TargetOverlap
from winnow.trainers.ablation.tuning_grid import add_choices, cells_of, tuning_selections
from winnow.trainers.ablation.without_effect import check_read
from winnow.trainers.compare import ensembles
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.compare_arms import Compare
from winnow.trainers.compare.compare_variant import CompareVariant
from winnow.trainers.compare.halving import Halving, rung_of
from winnow.trainers.compare.halving_rung import Rung
from winnow.trainers.compare.multiplier import LEAST_BUDGETS
from winnow.trainers.compare.question import Asked
from winnow.trainers.compare.soups import fixed_soups
from winnow.trainers.compare.target_base_rate import BaseRate
from winnow.trainers.compare.token_multiplier import TokenMultiplier, label_of
from winnow.trainers.data.encoder import check_vocab
from winnow.trainers.data.pack import steps_of
from winnow.trainers.evaluate.evaluate_gpt import Evaluate, Scoring
from winnow.trainers.model.proxies import PRESETS
from winnow.trainers.model.sizes import SIZES, shape_of
from winnow.trainers.online.policy import MODEL


@dataclass(frozen=True, kw_only=True)
class Ablation(Design):
    """Effect of each selection on held-out bits per byte, with an interval and an A/A control.

    Source: paired t over seeds (own); model after modded-nanogpt: RoPE, QK-norm, ReLU^2, Muon
    """

    name: ClassVar[str] = "ablation"
    stage_only: ClassVar[Mapping[str, str]] = {"start": MODEL, "starts": MODEL}
    meaning: ClassVar[Mapping[str, Meaning]] = dict.fromkeys(
        ("soup", "reference", "selection_flops", "scales", "student_size", "halving", "may_overlap", "size", "tune",
         "tune_target", "replay_share", "roles"), "closed")  # fmt: skip
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers", "scipy")
    takes: ClassVar[tuple[str, ...]] = ("baseline", "arms", "replay")
    former: ClassVar[Mapping[str, str]] = {"oracle": "reference"}
    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = PRESETS

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: there is nothing to compare or to evaluate on, or a number is out of its range.
        """
        for name, value in (("arms", self.arms), ("eval", self.eval)):
            if not value:
                raise ConfigError(f"{name} names nothing", where=name, hint="give `label: stage`")
        for label, stage in labelled(self.arms).items():
            if label == BASELINE or (label == CONTROL and stage != self.baseline):
                raise ConfigError(f"{label!r} is not free for an arm", where="arms", hint="choose another label")
        if self.seeds < 1:
            raise ConfigError(f"seeds is {self.seeds}, and must be at least 1", where="seeds")
        self.check_reading()
        for where, names, known in (
            ("reference", (self.reference,), labelled(self.arms)),
            ("may_overlap", self.may_overlap, self.targets()),
        ):
            for name in names:
                if name and name not in known:
                    raise ConfigError(f"{name!r} is none of {', '.join(known)}", where=where)
        check_folding(self, seeds=self.seeds, budgets=self.budgets)
        starts = {label: self.begins(label)[0] for label in (BASELINE, *labelled(self.arms))}
        check_soups(self.soups(), starts=starts, taken=[BASELINE, *self.with_control()])
        check_policies(self, labelled(self.arms), averages=self.soups())
        self._check_models()
        self._check_variants()
        self._check_tuning()
        scratch = {"distil": self.distil, "scales": bool(self.scales)}
        check_starting(self, [BASELINE, *labelled(self.arms)], scratch=scratch)
        check_curve(self, self.targets())
        check_read(self)

    def _check_models(self) -> None:
        self.recipe().check()
        for name in self.scales:
            if name not in SIZES:
                raise ConfigError(f"no model size is called {name!r}", where="scales", hint=did_you_mean(name, SIZES))
        for shape in (self.shape(), *map(shape_of, self.scales)):
            check_vocab(shape.vocab)
            shape.check()
            steps_of(self.tokens_of(shape), context=shape.context, batch=self.batch)
        Evaluate(**part_of(self, Scoring)).validate()
        if self.stride > self.shape().context:
            raise ConfigError(f"stride is {self.stride}, the context {self.shape().context}", where="stride")

    def _check_variants(self) -> None:
        if 1.0 not in self.learning_rates or min(self.learning_rates) <= 0:
            raise ConfigError(f"learning_rates is {list(self.learning_rates)}", where="learning_rates",
                              hint="factors above 0, such as [0.5, 1, 2]: the verdict is that of factor 1")  # fmt: skip
        if self.budgets and len({*self.budgets, self.tokens}) < LEAST_BUDGETS:
            raise ConfigError(f"{len({*self.budgets, self.tokens})} budgets fix no law", where="budgets",
                              hint=f"give {LEAST_BUDGETS} or more, `tokens` among them")  # fmt: skip
        if self.budgets and min(self.budgets) < self.shape().context * self.batch:
            raise ConfigError(f"{min(self.budgets)} tokens are less than one batch", where="budgets")
        if self.ensemble and self.seeds < 2:
            raise ConfigError(f"an ensemble of {self.seeds} seed is its only model", where="ensemble",
                              hint="raise `seeds`, or leave it out")  # fmt: skip
        if self.distil and not self.ensemble:
            raise ConfigError("distil has no ensemble to learn from", where="distil", hint="add `ensemble: true`")
        if self.distil and self.soup:
            raise ConfigError("an average has no documents for a student to learn on", where="distil",
                              hint="leave out `distil`, or `soup`")  # fmt: skip
        if self.student_size and not self.distil:
            raise ConfigError("there are no students", where="student_size", hint="add `distil: true`")
        if self.student_size:
            self.student(self.shape()).check()
        named = [name for name in ("size", "scales", "proxy") if getattr(self, name)]
        if len(named) > 1:
            raise ConfigError(f"{' and '.join(named)} both name the model", where=named[0], hint="give one of them")
        if self.halving is not None:
            Halving.of(self.halving)
            for name, used in (("learning_rates", len(self.learning_rates) > 1), ("scales", bool(self.scales)),
                               ("ensemble", self.ensemble), ("soup", bool(self.soup))):  # fmt: skip
                if used:
                    raise ConfigError(f"halving does not go with {name}", where="halving",
                                      hint="halve first, then compare the arms that are left")  # fmt: skip

    def _check_tuning(self) -> None:
        once = "tune first, set what was chosen in the recipe, and ask that of it"
        self.check_tuning(tuple(self.targets()), {
            "learning_rates": (len(self.learning_rates) > 1, "put `learning_rate` factors into the grid of `tune`"),
            "scales": (bool(self.scales), once),
            "budgets": (bool(self.budgets), once),
            "distil": (self.distil, once),
            "folds": (self.folds, once),
            "replay": (bool(self.replay) and "epochs" in (self.tune or {}), "leave `epochs` out of the grid"),
        })  # fmt: skip
        for cell in cells_of(self, Cell(prefix="", shape=self.shape(), tokens=self.tokens)).values():
            dataclasses.replace(self.recipe(), **cell.fields_of(self)).check()

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokenizer, tokens, redrawn selections, runs and scores per arm and seed, and the comparison."""
        self._check_spaces(scope)
        check_arms({"baseline": self.baseline, **{f"arms.{a}": s for a, s in labelled(self.arms).items()}}, scope)
        grid = Grid(self, scope)
        self._add_overlap(grid)
        main = Cell(prefix="", shape=self.shape(), tokens=self.tokens)
        grid.cells = cells_of(self, main)
        checked = self._overlap_job(grid, main)
        grid.checks = (checked, *grid.check_old())
        grid.choices = add_choices(grid)
        runs = self._main_runs(grid, main)
        refs: dict[str, object] = dict(runs.refs())
        refs |= {"checks": {"arms": checked}, "lexical": grid.lexical(main, [BASELINE, *self.with_control()], runs)}
        refs |= {"tuning": grid.choices} if grid.choices else {}
        rates = {f"{f:g}": self._variant(grid, dataclasses.replace(main, prefix=f"rate{i}_", rate=f))
                 for i, f in enumerate(self.learning_rates) if f != 1.0}  # fmt: skip
        sizes = {name: self._variant(grid, Cell(prefix=f"size{i}_", shape=shape_of(name),
                                                tokens=self.tokens_of(shape_of(name))))
                 for i, name in enumerate(self.scales[:-1])}  # fmt: skip
        refs |= {"rates": rates} if rates else {}
        refs |= {"scales": sizes} if sizes else {}
        refs |= {"multiplier": self._multiplier(grid, main, runs)} if self.budgets else {}
        refs |= {"ensembles": self._ensembles(grid, main, runs)} if self.ensemble else {}
        refs |= {"curves": grid.curves(main, runs)} if self.curve else {}
        face = self._compare(grid, Compare)
        return [*grid.subs.values(), Sub(name="compare", operator=face, refs=refs)]

    def _main_runs(self, grid: Grid, cell: Cell) -> Runs:
        """All runs; with halving, rung by rung, each behind its decision."""
        everything = [BASELINE, *self.compared()]
        if self.halving is None:
            return grid.train(cell, everything, seeds=range(self.seeds), gates={})
        plan, runs, before = Halving.of(self.halving), Runs(), ""
        rungs = plan.rungs(self.seeds)
        gates: dict[int, str] = {}
        for seed in range(self.seeds):
            number = rung_of(rungs, seed)
            if number is not None and rungs[number] == seed:
                rung = Rung(arms=tuple(self.candidates()), always=tuple(filter(None, [self.reference])), seeds=seed,
                            keep=plan.keep, target=next(iter(self.targets())))  # fmt: skip
                refs = {**runs.of(self.candidates(), seeds=seed).refs(), **({"before": before} if before else {})}
                before = grid.add(Sub(name=f"halving_{seed}", operator=rung, refs=refs))
            gates[seed] = before
            runs = runs.merged(grid.train(cell, everything, seeds=[seed], gates=gates))
        return runs

    def _variant(self, grid: Grid, cell: Cell) -> str:
        """The whole grid trained in another way, and its comparison."""
        labels = [BASELINE, *self.compared()]
        runs = grid.train(cell, labels, seeds=range(self.seeds), gates={})
        operator = self._compare(grid, CompareVariant)
        read = {"lexical": grid.lexical(cell, [BASELINE], runs), "checks": {"arms": grid.checks[0]}}
        refs = {**runs.refs(), **read}
        return grid.add(Sub(name=f"{cell.prefix}compare", operator=operator, refs=refs))

    def _multiplier(self, grid: Grid, main: Cell, runs: Runs) -> str:
        budgets = tuple(sorted({*self.budgets, self.tokens}))
        for i, budget in enumerate(b for b in budgets if b != self.tokens):
            cell = dataclasses.replace(main, prefix=f"budget{i}_", tokens=budget)
            label = label_of(budget, self.tokens)
            runs = runs.merged(grid.train(cell, [label], seeds=range(self.seeds), gates={}))
        target = next(iter(self.targets()))
        operator = TokenMultiplier(
            arms=tuple(self.candidates()), budgets=budgets, tokens=self.tokens, seeds=self.seeds, target=target,
            selection_flops=self.selection_flops,
        )  # fmt: skip
        vocab = main.shape.vocab
        read = {"tokens": grid.tokens(vocab), "target": grid.target_tokens(target, vocab)}
        rate = grid.add(Sub(name="base_rate", operator=BaseRate(vocab=vocab), refs=read))
        labels = [*self.candidates(), *(label_of(b, self.tokens) for b in budgets)]
        wanted = runs.of(labels, seeds=self.seeds).refs()
        return grid.add(Sub(name="multiplier", operator=operator, refs={**wanted, "base_rate": rate}))

    def _ensembles(self, grid: Grid, main: Cell, runs: Runs) -> dict[str, str]:
        out = {}
        for label in (BASELINE, *self.compared()):
            for name, seeds in ensembles.members(self.seeds).items():
                models = {str(s): runs.runs[f"{label}/{s}"] for s in seeds}
                out[f"{label}/{name}"] = grid.score(main, f"ensemble_{label}_{name}", self.targets(), models)
            teachers = {str(s): runs.runs[f"{label}/{s}"] for s in range(self.seeds)}
            for number in range(min(self.seeds, ensembles.STUDENTS) if self.distil else 0):
                student = grid.distil(main, label, teachers, number=number)
                name = f"student_{label}_{number}"
                out[f"{label}/{ensembles.STUDENT}-{number}"] = grid.score(
                    main, name, self.targets(), {"student": student}
                )
        return out

    def _add_overlap(self, grid: Grid) -> None:
        for label, stage in self.targets().items():
            grid.add(Sub(name=f"overlap_{label}", operator=TargetOverlap(), inputs=grid.inputs, where=grid.scope.where,
                         refs={"target": stage}))  # fmt: skip

    def _overlap_job(self, grid: Grid, main: Cell) -> str:
        """Every distinct selection against every target, before anything is trained."""
        firsts: dict[str, str] = {}
        read: dict[str, str] = {}  # label/seed -> the stage that it trains on
        columns: dict[str, tuple[str, ...]] = {}
        arms = (BASELINE, *self.with_control())
        cells = [(label, main) for label in arms]
        cells += [(label_of(b, self.tokens), dataclasses.replace(main, tokens=b)) for b in self.budgets]
        for label, cell in cells:
            for seed in range(self.seeds):
                for key, stage in grid.selections(cell, label, seed).items():
                    read[key] = stage
                    columns[firsts.setdefault(stage, key)] = grid.trained_columns(label)
        compared = tuple(key for key in read if "@" not in key)
        for key, (label, stage) in tuning_selections(grid).items():
            columns[firsts.setdefault(stage, key)] = grid.trained_columns(label)
        refs = {
            "selections": {key: stage for stage, key in firsts.items()},
            "overlaps": {label: f".overlap_{label}" for label in self.targets()},
            "targets": self.targets(),
        }
        operator = ArmsOverlap(
            reported=self.may_overlap,
            labels={key: firsts[stage] for key, stage in read.items()},
            compared=compared,
            columns={key: names for key, names in columns.items() if names},
            **fold_fields.check_fields(grid, firsts),
        )
        folds = {"folds": grid.restated.fold()} if grid.restated else {}
        return grid.add(Sub(name="overlap", operator=operator, refs={**refs, **folds}))

    def _compare(self, grid: Grid, kind: type[Compare]) -> Compare:
        scope = grid.scope
        arms = self.with_control()
        fixed = {label for label in (BASELINE, *arms) if not is_redrawn(scope, self.stage_of(label))}
        soups = self.soups()
        fixed |= set(fixed_soups(soups, fixed))
        return kind(
            **part_of(self, Asked),
            arms=tuple(self.compared()),
            controls=tuple(label for label in arms if self.is_control(label)),
            fixed=tuple(label for label in self.compared() if label in fixed),
            baseline_fixed=BASELINE in fixed,
            targets=tuple(self.targets()),
            seeds=self.seeds,
            soups=soups or None,
            reference=self.reference,
            roles=self.roles,
            wanted=self.wanted,
            scale=self.scales[-1] if self.scales else "",
            **fold_fields.comparison_fields(grid),
            proxy=(self.proxy, *self.proxy_changes()) if self.proxy else (),
        )

    def _check_spaces(self, scope: Scope) -> None:
        first = (scope.inputs or (scope.space(self.baseline),))[0]
        pool = scope.space(first)
        for label, stage in {BASELINE: self.baseline, **labelled(self.arms)}.items():
            if scope.space(stage) != pool:
                raise ConfigError(
                    f"arm {label!r} selects from {scope.space(stage)!r}, the others from {pool!r}",
                    where="arms",
                    hint="all arms of an ablation select from the same rows",
                )
