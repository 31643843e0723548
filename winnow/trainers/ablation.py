"""Ablation: does a selection help? Small models on each arm, equal tokens, paired seeds, an honest interval.

Most of the noise of such a comparison is the drawn subset and little of it the training seed, so every seed
draws its own baseline, its own A/A control, and its own selection wherever the arm's selector draws lots. A
selection that does not draw is the same for all seeds, and its interval speaks of that selection only.

Sub-stages: `tokenizer`, `tokens`, `draw_*` and `redraw_*` (selections drawn anew), `train_*` (one per arm and
seed), `compare`. A run knows its selection, seeds and targets and nothing of the other arms: a new arm trains
only itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Exactness, Operator, Scope, Sub, port
from winnow.trainers.compare import Compare
from winnow.trainers.loop import Precision, Recipe
from winnow.trainers.model import Shape
from winnow.trainers.pack import steps_of
from winnow.trainers.run import Train
from winnow.trainers.tokens import Tokenizer, Tokens, check_vocab

Labels = dict[str, str] | tuple[str, ...]  # a name alone is its own label
BASELINE = "baseline"
CONTROL = "aa"


@dataclass(frozen=True, kw_only=True)
class Ablation(Composite):
    """Effect of each selection on held-out bits per byte, with an interval and an A/A control.

    Source: paired t over seeds (own); model after modded-nanogpt: RoPE, QK-norm, ReLU^2, Muon
    """

    name: ClassVar[str] = "ablation"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers", "scipy")

    arms: Labels = port("refs")  # label -> selection
    baseline: str = port("ref")
    eval: Labels = port("refs")  # label -> held-out rows; the first is the declared primary target
    seeds: int = 6
    tokens: int = 250_000  # training tokens per run
    aa: bool = True
    vocab: int = 4096
    width: int = 96
    layers: int = 3
    heads: int = 3
    context: int = 128
    batch: int = 8
    lr_hidden: float = 2e-2
    lr_embedding: float = 2e-2
    lr_head: float = 8e-3
    warmup_share: float = 0.05
    precision: Precision = "auto"
    tokenizer_bytes: int = 8_000_000

    def validate(self) -> None:
        """Nothing, where the fields can make an ablation.

        Raises:
            ConfigError: there is nothing to compare or to evaluate on, or a number is out of its range.
        """
        for field, value in (("arms", self.arms), ("eval", self.eval)):
            if not value:
                raise ConfigError(f"{field} names nothing", where=field, hint="give `label: stage`")
        for label, stage in labelled(self.arms).items():
            if label == BASELINE or (label == CONTROL and stage != self.baseline):
                raise ConfigError(f"{label!r} is not free for an arm", where="arms", hint="choose another label")
        if self.seeds < 1:
            raise ConfigError(f"seeds is {self.seeds}, and must be at least 1", where="seeds")
        check_vocab(self.vocab)
        self._shape().check()
        self._recipe().check()
        steps_of(self.tokens, context=self.context, batch=self.batch)

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokenizer, tokens, redrawn selections, one training run per arm and seed, and the comparison."""
        inputs = scope.inputs or (scope.space(self.baseline),)
        self._check_spaces(scope, inputs[0])
        tokenizer = Tokenizer(vocab=self.vocab, sample_bytes=self.tokenizer_bytes)
        subs = {
            "tokenizer": Sub(name="tokenizer", operator=tokenizer, inputs=inputs, where=scope.where),
            "tokens": Sub(
                name="tokens",
                operator=Tokens(),
                inputs=inputs,
                where=scope.where,
                refs={"tokenizer": ".tokenizer"},
            ),
        }
        runs: dict[str, str] = {}
        arms = self._with_control()
        for label, stage in {BASELINE: self.baseline, **arms}.items():
            for seed in range(self.seeds):
                drawn = _drawn(scope, stage, seed, control=self._is_control(label))
                if drawn is not None:
                    subs[drawn.name] = drawn
                train = self._train(scope, label, stage if drawn is None else f".{drawn.name}", seed)
                subs[train.name] = train
                runs[f"{label}/{seed}"] = f".{train.name}"
        compare = Compare(
            arms=tuple(arms),
            controls=tuple(label for label in arms if self._is_control(label)),
            fixed=tuple(label for label in arms if not _draws(scope.lookup(arms[label]).operator)),
            baseline_fixed=not _draws(scope.lookup(self.baseline).operator),
            targets=tuple(labelled(self.eval)),
            seeds=self.seeds,
        )
        return [*subs.values(), Sub(name="compare", operator=compare, refs={"runs": runs})]

    def _with_control(self) -> dict[str, str]:
        """The arms, with an A/A control where none is declared."""
        declared = labelled(self.arms)
        if self.aa and self.baseline not in declared.values():
            declared[CONTROL] = self.baseline
        return declared

    def _is_control(self, label: str) -> bool:
        return label != BASELINE and self._with_control()[label] == self.baseline

    def _train(self, scope: Scope, label: str, selection: str, seed: int) -> Sub:
        fixed_control = self._is_control(label) and not _draws(scope.lookup(self.baseline).operator)
        replica = seed + (self.seeds if fixed_control else 0)  # a fixed baseline has only training noise to show
        train = Train(
            init_seed=derived_seed(scope.seed, "init", replica),
            order_seed=derived_seed(scope.seed, "order", replica),
            tokens_per_run=self.tokens,
            **_shared(self, Train, skip=("tokens", "eval")),
        )
        refs: Mapping[str, Any] = {
            "selection": selection,
            "tokens": ".tokens",
            "tokenizer": ".tokenizer",
            "eval": labelled(self.eval),
        }
        return Sub(name=f"train_{label}_{seed}", operator=train, refs=refs)

    def _check_spaces(self, scope: Scope, first: str) -> None:
        pool = scope.space(first)
        for label, stage in {BASELINE: self.baseline, **labelled(self.arms)}.items():
            if scope.space(stage) != pool:
                raise ConfigError(
                    f"arm {label!r} selects from {scope.space(stage)!r}, the others from {pool!r}",
                    where="arms",
                    hint="all arms of an ablation select from the same rows",
                )

    def _shape(self) -> Shape:
        return Shape(**_shared(self, Shape))

    def _recipe(self) -> Recipe:
        return Recipe(**_shared(self, Recipe))


def labelled(names: Labels) -> dict[str, str]:
    """Label -> stage, in the given order."""
    return dict(names) if isinstance(names, Mapping) else {name: name for name in names}


def derived_seed(seed: int, purpose: str, number: int) -> int:
    """A seed in [0, 2^31) for one purpose and number: no names of stages or arms enter."""
    digest = hashlib.blake2b(f"{int(seed)}\0{purpose}\0{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def _draws(operator: Operator) -> bool:
    return operator.seeded and not isinstance(operator, Composite)


def _drawn(scope: Scope, stage: str, number: int, *, control: bool) -> Sub | None:
    """The selection of `stage` drawn anew for one seed; None where it does not draw lots."""
    declared = scope.lookup(stage)
    if not _draws(declared.operator):
        return None
    base = scope.seed if declared.seed is None else declared.seed
    seed = derived_seed(base, "control" if control else "draw", number)
    name = f"{'redraw' if control else 'draw'}_{stage}_{number}"
    return dataclasses.replace(declared, name=name, seed=seed)


def _shared(source: Any, target: type, *, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Fields of `source` that `target` has under the same name."""
    names = {f.name for f in dataclasses.fields(source)}
    return {f.name: getattr(source, f.name) for f in dataclasses.fields(target) if f.name in names - set(skip)}
