"""More weight for what moves the model the way that a feedback set asks for, and never a step on the feedback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from winnow.core.errors import ConfigError
from winnow.core.operators import port
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt
from winnow.trainers.online.aligning import Aligning, Way, WeighBy
from winnow.trainers.online.alignment import Memory, RunningMeans
from winnow.trainers.online.column_policy import ColumnPolicy
from winnow.trainers.online.designer import Designer, Link
from winnow.trainers.online.feedback import Feedback
from winnow.trainers.online.policy import Acting, Seam
from winnow.trainers.online.sample_features import features_of
from winnow.trainers.online.seen import Per
from winnow.trainers.online.told import Told

GROUP = "group"


@dataclass(frozen=True, kw_only=True)
class ValueAlignment(ColumnPolicy):
    """Weights of samples by how their gradients align with that of `feedback` texts, which are never trained on.

    Every `every` steps the gradient of some feedback joins a running mean of direction v, and every sample of the step
    gets its alignment <v, gradient of its mean loss>. A designer, a small network over features of a sample (its loss,
    columns `scores`, the group that `per` names), learns weights that maximise sum(w x alignment) less kl x KL(w ||
    uniform) on the latest `memory` alignments; what length explains is taken off them. `weigh_by: document` or `group`
    has no designer: softmax of running means of alignments over `kl`. `kl: .inf` weighs nothing and only measures.

    `by`: `ghost` (exact for all of the model's weights, one backward pass without their gradients; documents of a row
    must not see one another), `jvp` (forward mode, f32), `difference` (central, with the step that agrees best with
    its half). The feedback must share no document with the targets that the run is judged by. Columns back:
    `alignment`, the mean of a document's standardised alignments.

    Raises:
        DataError: the feedback is empty, its gradient is no number, or documents see one another under `ghost`.
    Cost: per look the gradient of as much feedback as a step has, and about one step for the alignments.
    Source: V-Pretraining (arXiv 2601.22108), realised for weights; ghost products after In-Run Data Shapley (arXiv
    2406.11011). Own: the designer's features and memory, length taken off, the mean over looks.
    """

    name: ClassVar[str] = "value_alignment"
    seam: ClassVar[Seam] = "weights"
    texts: ClassVar[tuple[str, ...]] = ("feedback",)
    tells_missing: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    columns_from: ClassVar[tuple[str, ...]] = ("scores", "per")
    meaning: ClassVar[Mapping[str, Meaning]] = {"features": "closed"}
    read_at: ClassVar[ReadAt] = {
        "scores": ("weigh_by", ("features",)),
        "features": ("weigh_by", ("features",)),
        "hidden": ("weigh_by", ("features",)),
        "rate": ("weigh_by", ("features",)),
        "updates": ("weigh_by", ("features",)),
    }

    feedback: str = port("ref")
    every: int = 20  # steps between looks
    by: Way = "ghost"
    feedback_rows: int = 0  # rows of feedback at a look; 0: as many as a step has
    momentum: float = 0.9  # of the running mean of the feedback's gradient, per look
    preconditioned: bool = False  # v as AdamW would scale it: what its step does, where the gradient is not its step
    weigh_by: WeighBy = "features"
    scores: tuple[str, ...] = ()  # SQL over columns, as in `where:`
    per: tuple[str, ...] = ()  # columns whose values are groups
    features: tuple[str, ...] = ("loss",)  # of the step: loss, length
    kl: float = 0.1  # price of a nat of distance from uniform weights, in deviations of the alignments
    link: Link = "softmax"
    hidden: int = 16  # units of the designer; 0: linear
    rate: float = 0.01  # of its Adam
    updates: int = 50  # of the designer at every look
    memory: int = 2048  # samples that it learns from
    normalise: Per = "token"  # what a weight multiplies: every token, so that long samples count more, or the sample

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range, or a field misses another.
        """
        for name in ("every", "memory"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be at least 1", where=name)
        for name in ("feedback_rows", "hidden", "updates"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be at least 0", where=name)
        unknown = sorted(set(self.features) - {"loss", "length"})
        if unknown:
            raise ConfigError(
                f"features has {unknown[0]!r}", where="features", hint="loss, length; columns are `scores`"
            )
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum is {self.momentum}, and must be in [0, 1)", where="momentum")
        if not self.kl > 0:
            raise ConfigError(f"kl is {self.kl}, and must be above 0", where="kl", hint="`.inf` weighs nothing")
        if not 0 < self.rate < np.inf:
            raise ConfigError(f"rate is {self.rate}, and must be above 0", where="rate")
        if self.weigh_by == "group" and not self.per:
            raise ConfigError("weigh_by: group has no groups", where="per", hint="name their columns")
        if self.weigh_by == "document" and self.per:
            raise ConfigError("`per` has no part in `weigh_by: document`", where="per", hint="leave it out")
        if self.weigh_by == "features" and not (self.scores or self.per or self.features):
            raise ConfigError("the designer has no feature", where="features", hint="give scores, per, or [loss]")

    def numbers(self) -> Mapping[str, str]:
        """`score_0`, `score_1`, ..."""
        return {f"score_{n}": text for n, text in enumerate(self.scores)}

    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """`group`, where there are groups."""
        return {GROUP: self.per} if self.per else {}

    def begin(self, told: Told) -> Acting:
        """What acts in one run.

        Raises:
            DataError: the feedback is empty. ConfigError: documents have no numbers, and it needs them.
        """
        documents = 0 if told.doc_id is None else len(told.doc_id)
        if told.doc_id is None and (self.scores or self.per or self.weigh_by != "features"):
            raise ConfigError("this run's documents are of several sources, and cannot be told apart", where="policy",
                              hint="leave `scores`, `per` and `weigh_by` out")  # fmt: skip
        scores = tuple(self.numbers()) if self.scores else ()
        features = features_of(
            told, documents=documents, scores=scores, group=GROUP if self.per else None, measured=self.features,
        )  # fmt: skip
        width, units = len(features.names), documents if self.weigh_by == "document" else len(features.groups) + 1
        per_look = self.feedback_rows or told.batch
        return Aligning(
            told=told, features=features,
            feedback=Feedback.of(told.texts.get("feedback", ()), per_look=per_look, seed=told.seed),
            designer=Designer(features=width, hidden=self.hidden, seed=told.seed, rate=self.rate, link=self.link),
            memory=Memory(features=width, capacity=self.memory),
            documents=RunningMeans.of(documents, keep=1), units=RunningMeans.of(units, keep=self.momentum),
            by=self.by, weigh_by=self.weigh_by, kl=self.kl, updates=self.updates, momentum=self.momentum,
            preconditioned=self.preconditioned, normalise=self.normalise, looks_every=self.every,
            weighs=bool(np.isfinite(self.kl)),
        )  # fmt: skip
