"""What an ablation compares and how it trains: the fields of the stage, and what follows from them alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from winnow.core.operators import Composite, port
from winnow.trainers.ablation.arm_policies import Governed
from winnow.trainers.ablation.averaging import Averaging
from winnow.trainers.ablation.folding import Folding
from winnow.trainers.ablation.reading import Reading
from winnow.trainers.ablation.starts import Starting
from winnow.trainers.ablation.tuning import Tuning
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.compare.question import Asked
from winnow.trainers.evaluate.evaluate_gpt import Scoring
from winnow.trainers.model.proxies import ProxyName, changes
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.sizes import shape_of
from winnow.trainers.model.training import Training

ScaleTokens = Literal["proportional", "equal"]
Labels = dict[str, str] | tuple[str, ...]  # a name alone is its own label
CONTROL = "aa"


@dataclass(frozen=True, kw_only=True)
class Comparison(Averaging, Asked, Folding, Reading, Composite):
    """What is compared, on what, and how it is measured."""

    arms: Labels = port("refs")  # label -> selection, or {data: selection, policy: what acts on it while it trains}
    baseline: str = port("ref")
    eval: Labels = port("refs")  # label -> held-out rows or a `target_file`; the first is the declared primary target
    seeds: int = 6
    tokens: int = 400_000  # training tokens per run
    proxy: ProxyName = ""  # size, tokens and batch by one name; a field that is given beside it wins
    aa: bool = True
    wanted: float = 0.0  # a difference that must be found: the plan says how many seeds it needs
    reference: str = ""  # an arm that knows the target, as a yardstick: the others' gains as shares of its own
    learning_rates: tuple[float, ...] = (1.0,)  # factors on all rates ([0.5, 1, 2]); the whole grid is trained at each
    budgets: tuple[int, ...] = ()  # tokens of further baseline runs, for the token multiplier
    selection_flops: dict[str, float] | None = None  # arm -> what its selection cost, folded into the multiplier
    scales: tuple[str, ...] = ()  # model sizes by name, ascending; the verdict is that of the last one
    scale_tokens: ScaleTokens = "proportional"  # smaller sizes: fewer tokens in proportion to weights, or `equal`
    ensemble: bool = False  # also score the mean prediction of each arm's seeds
    distil: bool = False  # with `ensemble`: also train students on each arm's mean prediction
    student_size: str = ""  # with `distil`: width, layers and heads of a size by name; "": those of the teachers
    halving: dict[str, float] | None = None  # {keep: 0.5, first: 2}: more seeds for the better arms only
    may_overlap: tuple[str, ...] = ()  # targets whose overlap with a selection is reported, not refused
    size: str = ""  # a model size by name, instead of the five numbers `vocab` to `context`
    tokenizer_bytes: int = 8_000_000


@dataclass(frozen=True, kw_only=True)
class Design(Training, Scoring, Starting, Tuning, Governed, Comparison):
    """The fields of an ablation: a comparison, how each of its models is scored, and how it is trained."""

    def with_control(self) -> dict[str, str]:
        """The arms, with an A/A control where none is declared."""
        declared = labelled(self.arms)
        if self.aa and not any(self._repeats_baseline(label, stage) for label, stage in declared.items()):
            declared[CONTROL] = self.baseline
        return declared

    def compared(self) -> list[str]:
        """All labels beside the baseline: arms with runs of their own, the control, averages of others."""
        return [*self.with_control(), *self.soups()]

    def candidates(self) -> list[str]:
        """The arms that are no control."""
        return [label for label in labelled(self.arms) if not self.is_control(label)]

    def targets(self) -> dict[str, str]:
        """Label -> held-out stage; the first is the declared primary target."""
        return labelled(self.eval)

    def stage_of(self, label: str) -> str:
        """The selection behind a label."""
        return self.baseline if label == BASELINE else self.with_control()[label]

    def is_control(self, label: str) -> bool:
        """Whether a label repeats the baseline."""
        return label != BASELINE and self._repeats_baseline(label, self.with_control().get(label))

    def _repeats_baseline(self, label: str, stage: str | None) -> bool:
        if stage != self.baseline or self.policy_of(label) != self.policy_of(BASELINE):
            return False
        return label == CONTROL or self.begins(label) == self.begins(BASELINE)

    def bytes_read(self) -> int:
        """Bytes of each target that are read; 0: all."""
        passes = (1 + self.curve) * max(1.0, self.shape().context / (self.stride or self.shape().context))
        return self.bytes_of_each(targets=len(self.targets()), tokens=self.tokens, passes=passes)

    def shape(self) -> Shape:
        """The size of the model whose comparison gives the verdict."""
        named = self.scales[-1] if self.scales else self.size
        return shape_of(named) if named else super().shape()

    def student(self, teacher: Shape) -> Shape:
        """The size of a student of such a teacher, whose tokens and context it shares."""
        named = shape_of(self.student_size) if self.student_size else teacher
        return dataclasses.replace(named, vocab=teacher.vocab, context=teacher.context)

    def proxy_changes(self) -> list[str]:
        """What other fields change of the proxy that is named; empty where none is, or nothing is changed."""
        values = {**dataclasses.asdict(self.shape()), "batch": self.batch, "tokens": self.tokens}
        return changes(self.proxy, values)

    def tokens_of(self, shape: Shape) -> int:
        """Training tokens of a run of that shape: equal tokens per weight at every scale, or equal tokens."""
        if not self.scales or self.scale_tokens == "equal":
            return self.tokens
        return round(self.tokens * shape.parameters()[0] / self.shape().parameters()[0])


def labelled(names: Labels) -> dict[str, str]:
    """Label -> stage, in the given order."""
    return dict(names) if isinstance(names, Mapping) else {name: name for name in names}
