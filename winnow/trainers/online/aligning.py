"""A run that weighs its samples by how their gradients align with that of a feedback set.

At every look: the feedback's gradient joins a running mean, whose unit direction v gives an alignment to every sample
of the step that comes; a designer learns from the latest of them, and its weights hold until the next look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.core.terminal import counted, percent
from winnow.trainers.data.batches import Batch
from winnow.trainers.online import alignment as measures
from winnow.trainers.online.alignment import Memory, RunningMeans
from winnow.trainers.online.designer import Designer, shares_of
from winnow.trainers.online.feedback import Feedback
from winnow.trainers.online.policy import Acting, Learner
from winnow.trainers.online.sample_features import SampleFeatures
from winnow.trainers.online.seen import Per, Seen
from winnow.trainers.online.told import Told

Way = Literal["ghost", "difference", "jvp"]
WeighBy = Literal["features", "document", "group"]
Floats = npt.NDArray[np.float64]
BOTH_EVERY = 10  # looks between two that measure with and without the optimiser's scale
COPIES, LEAST_SHARED = 2.0, 0.01  # times, and share of phrases, above which what is favoured copies the feedback
LEAST_KNOWN = 0.5  # of the samples, where documents have weights of their own
HIDDEN = ("group_weights", "weighed", "known")  # counts that figures are made of
DIRECTION, DESIGNER = "direction.", "designer."


@dataclass(kw_only=True)
class Aligning(Acting):
    """`value_alignment` at work; its fields are those of the operator."""

    told: Told
    features: SampleFeatures
    feedback: Feedback
    designer: Designer
    memory: Memory
    documents: RunningMeans  # standardised alignments of every document: what comes back as a column
    units: RunningMeans  # of what `weigh_by` names
    by: Way
    weigh_by: WeighBy
    kl: float
    updates: int
    momentum: float
    preconditioned: bool
    normalise: Per
    looks_every: int = 20
    weighs: bool = True
    looks: int = 0
    step_of_difference: float = 0.0
    direction: dict[str, Any] = field(default_factory=dict)
    told_of: dict[str, Any] = field(default_factory=dict)

    todo = "lower `kl` or `every`, give a step more documents, or leave it out"

    def look(self, step: int, learner: Learner) -> None:
        """Measure the alignments of the samples that are trained on now, and learn from them."""
        gradient = learner.gradient(rows := self.feedback.rows(self.looks), rows.weights)
        self._remember(gradient)
        scaled = learner.preconditioned(self.direction)
        plain, moved = measures.unit(self.direction), measures.unit(scaled)
        here = learner.rows(step)
        nats, slopes = self._along(learner, here, moved if self.preconditioned else plain)
        seen = Seen(step=step, rows=here, nats=nats, told=self.told)
        alignment = _per_sample(seen, slopes, by=self.by)
        if self.looks % BOTH_EVERY == 0:
            self._compare(learner, seen, alignment, plain if self.preconditioned else moved)
            self.told_of["cosine_preconditioned"] = measures.cosine(plain, moved)
        self._learn(seen, alignment)
        self.told_of["feedback_examples"] = self.told_of.get("feedback_examples", 0) + self.feedback.examples(
            self.looks
        )
        self.looks += 1

    def weigh(self, seen: Seen) -> npt.NDArray[np.floating[Any]]:
        """Weights of tokens f32[B, T]: softmax or sigmoid of the designer's logits over the samples of the step."""
        if not np.isfinite(self.kl) or not self.looks:
            return seen.rows.weights
        if self.weigh_by != "features":
            self._count("weighed", len(seen.tokens))
            self._count("known", int((self.units.count[self._units(seen)] > 0).sum()))
        return seen.spread(shares_of(self._logits(seen), self.designer.link), per=self.normalise)

    def noted(self, seen: Seen, weights: npt.NDArray[np.float32]) -> None:
        """Count, at every look, phrases of the feedback in what was favoured, and the weight of every group."""
        if seen.step % self.looks_every:
            return
        self.feedback.compare(seen.rows, weights)
        if len(self.features.groups) > 1:
            own = np.bincount(
                self.features.group[seen.rows.documents[seen.sample >= 0]],
                weights=weights[seen.sample >= 0], minlength=len(self.features.groups) + 1,
            )  # fmt: skip
            before = np.asarray(self.told_of.get("group_weights", [0.0] * len(own)))
            self.told_of["group_weights"] = (before * measures.KEEP + own).tolist()

    def _remember(self, gradient: Mapping[str, Any]) -> None:
        """The running mean of the feedback's gradient, each of norm 1: it shrinks as the model learns.

        Raises:
            DataError: it is no number any more.
        """
        if not np.isfinite(size := measures.norm(gradient)):
            raise DataError(
                f"the gradient of the feedback is {size} at look {self.looks}", where="feedback",
                hint="lower the learning rates: the model's loss on the feedback is no number",
            )  # fmt: skip
        own = measures.unit(gradient)
        if not self.direction:
            self.direction = {name: tensor.clone() for name, tensor in own.items()}
            return
        for name, tensor in own.items():
            self.direction[name].mul_(self.momentum).add_(tensor, alpha=1 - self.momentum)

    def _along(
        self, learner: Learner, rows: Batch, direction: Mapping[str, Any]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.floating[Any]]]:
        """(losses, derivatives along the direction), each [B, T]."""
        if self.by == "difference":
            return self._difference(learner, rows, direction)
        return learner.slopes(rows, direction, by=self.by)

    def _difference(
        self, learner: Learner, rows: Batch, direction: Mapping[str, Any]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.floating[Any]]]:
        """Central differences, with the step that agreed best with its half at the last such look."""
        seen = Seen(step=0, rows=rows, nats=rows.weights, told=self.told)

        def both(scale: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
            return learner.shifted_nats(rows, direction, scale), learner.shifted_nats(rows, direction, -scale)

        def slopes(scale: float) -> Floats:
            above, below = both(scale)
            return seen.mean_of((above.astype(np.float64) - below) / (2 * scale))

        if self.looks % BOTH_EVERY == 0:
            chosen, apart, taken = measures.halved(slopes)
            self.step_of_difference = chosen
            self.told_of |= {"difference_step": chosen, "halving_disagreement": apart, "differences": taken}
        above, below = both(self.step_of_difference)
        middle = ((above.astype(np.float64) + below) / 2).astype(np.float32)
        return middle, (above.astype(np.float64) - below) / (2 * self.step_of_difference)

    def _compare(self, learner: Learner, seen: Seen, alignment: Floats, other: Mapping[str, Any]) -> None:
        """Note how alike the samples are ranked with and without the optimiser's scale."""
        slopes = self._along(learner, seen.rows, other)[1]
        self.told_of["rank_correlation_preconditioned"] = _rank_correlation(
            alignment, _per_sample(seen, slopes, by=self.by)
        )

    def _learn(self, seen: Seen, alignment: Floats) -> None:
        x_SF = self.features.of(seen)
        self._count("no_numbers", self.memory.add(x_SF, seen.tokens, alignment))
        self._count("samples", len(alignment))
        if not len(self.memory.kept):
            return
        standard = self.memory.standard(seen.tokens, alignment)
        self.documents.add(seen.documents, standard)
        self.units.add(self._units(seen), standard)
        if self.weigh_by == "features" and np.isfinite(self.kl):
            self.designer.learn(*self.memory.learned(), kl=self.kl, updates=self.updates)
        weights = shares_of(self._logits(seen), self.designer.link)
        self.told_of["value"] = float(np.nansum(weights * standard))

    def _count(self, name: str, more: int) -> None:
        self.told_of[name] = self.told_of.get(name, 0) + more

    def _logits(self, seen: Seen) -> Floats:
        if self.weigh_by == "features":
            return self.designer.logits(self.features.of(seen))
        return self.units.of_units(self._units(seen)) / self.kl

    def _units(self, seen: Seen) -> npt.NDArray[np.int64]:
        return seen.documents if self.weigh_by == "document" else self.features.units(seen)

    def state(self) -> dict[str, Any]:
        """Counters and what is told."""
        self.told_of = {name: _json(value) for name, value in self.told_of.items()}
        return {
            "looks": self.looks, "difference_step": self.step_of_difference, "updates": self.designer.updates,
            "mean": self.memory.mean, "square": self.memory.square, "memory_looks": self.memory.looks,
            "told": dict(self.told_of), "overlap": self.feedback.state(),
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.looks, self.step_of_difference = int(state["looks"]), float(state["difference_step"])
        self.designer.updates = int(state["updates"])
        self.memory.mean, self.memory.square = float(state["mean"]), float(state["square"])
        self.memory.looks = int(state["memory_looks"])
        self.told_of = dict(state["told"])
        self.feedback.restore(state["overlap"])

    @cached_property
    def _means(self) -> dict[str, RunningMeans]:
        return {"documents": self.documents, "units": self.units}

    def tensors(self) -> dict[str, Any]:
        """The direction, the designer, the memory and the running means."""
        import torch

        held: dict[str, Any] = {DESIGNER + name: value for name, value in self.designer.tensors().items()}
        held["memory"] = self.memory.kept
        for name, means in self._means.items():
            held |= {f"{name}.total": means.total, f"{name}.count": means.count}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in held.items()}
        return {**tensors, **{DIRECTION + name: tensor for name, tensor in self.direction.items()}}

    def restore_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Go on from `tensors`."""
        given = {name: tensor for name, tensor in tensors.items() if not name.startswith(DIRECTION)}
        held = {name: tensor.cpu().numpy().copy() for name, tensor in given.items()}
        inside = {name.removeprefix(DESIGNER): value for name, value in held.items() if name.startswith(DESIGNER)}
        self.designer.restore(inside, self.designer.updates)
        self.memory.kept = held["memory"]
        for name, means in self._means.items():
            means.total, means.count = held[f"{name}.total"], held[f"{name}.count"]
        self.direction = {
            name.removeprefix(DIRECTION): tensor.clone()
            for name, tensor in tensors.items()
            if name.startswith(DIRECTION)
        }

    def figures(self) -> dict[str, Any]:
        """What was measured how, how good the measure was, and what was favoured."""
        told = {name: _json(value) for name, value in self.told_of.items() if name not in HIDDEN}
        if self.told_of.get("weighed"):
            told["known_share"] = self.told_of["known"] / self.told_of["weighed"]
        weights = np.asarray(self.told_of.get("group_weights", []))
        if weights.sum() > 0:
            names = (*self.features.groups, "other groups")
            told["groups"] = {n: float(w / weights.sum()) for n, w in zip(names, weights, strict=True) if w > 0}
        return {"by": self.by, "looks": self.looks, **told, **self.feedback.figures()}

    def idle(self) -> str:
        """That it was asked to weigh nothing, or never looked."""
        if not np.isfinite(self.kl):
            return (
                f"`kl` is .inf, so that alignments were measured at {counted(self.looks, 'look')} and nothing weighed"
            )
        return "" if self.looks else "it never looked at the feedback: lower `every`"

    def remarks(self) -> tuple[str, ...]:
        """A designer that takes near-copies of the feedback, documents seen once, alignments that are no numbers."""
        told, found = self.figures(), []
        plain, weighed = told["phrases_shared"], told["phrases_shared_weighed"]
        if weighed > max(COPIES * plain, LEAST_SHARED):
            found.append(
                f"of what was favoured {percent(weighed)} of the {measures.NGRAM}-token phrases are in the feedback, "
                f"of all text {percent(plain)}: the policy takes near-copies; decontaminate the pool against it"
            )
        if self.weigh_by == "document" and told.get("known_share", 1.0) < LEAST_KNOWN:
            found.append(
                f"{percent(told['known_share'], 0)} of weighed samples were of documents whose alignment was known, "
                "and the others had the mean: lower `every`, or `weigh_by: features`"
            )
        if told.get("no_numbers"):
            found.append(
                f"{told['no_numbers']} of {told['samples']} alignments were no numbers and were left out: look for "
                "documents whose loss is not finite"
            )
        if self.features.missing:
            found.append(f"{self.features.missing:,} values of `scores` are no numbers, and count as the mean: fill "
                         "them in SQL, or leave such documents out of the arm")  # fmt: skip
        if bare := self.features.without_group:
            found.append(f"{counted(bare, 'document')} have no value of `per`, and are a group of their own: give them "
                         "one, or leave them out of the arm")  # fmt: skip
        return tuple(found)

    def columns(self) -> dict[str, npt.NDArray[np.float64]]:
        """`alignment`: mean of a document's standardised alignments."""
        return {"alignment": self.documents.values()}


def _json(value: Any) -> Any:
    """What JSON gives back: None for what is no number."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _per_sample(seen: Seen, slopes: npt.NDArray[np.floating[Any]], *, by: Way) -> Floats:
    """Alignment of every sample, f64[S]. Ghost products lie at the positions that a sample's loss depends on.

    Raises:
        DataError: documents of one row see one another, so that ghost products are of no document.
    """
    if by != "ghost":
        return seen.mean_of(slopes)
    rows = seen.rows
    mixed = (rows.segments[:, 1:] == rows.segments[:, :-1]) & (rows.documents[:, 1:] != rows.documents[:, :-1])
    if mixed.any():
        raise DataError(
            f"{int(mixed.any(axis=1).sum())} of {len(rows.ids)} rows hold documents that see one another (`packing: "
            "concat`), and ghost products belong to positions", where="by",
            hint="`packing: best_fit`, or `by: difference`",
        )  # fmt: skip
    fresh = np.ones(rows.segments.shape, dtype=bool)
    fresh[:, 1:] = (rows.segments[:, 1:] != rows.segments[:, :-1]) | (rows.documents[:, 1:] != rows.documents[:, :-1])
    piece = np.cumsum(fresh.ravel()) - 1
    whole = np.bincount(piece, weights=slopes.ravel().astype(np.float64))  # positions without a loss of their own too
    of_sample = np.zeros(len(seen.tokens), dtype=np.int64)
    used = seen.sample.ravel() >= 0
    of_sample[seen.sample.ravel()[used]] = piece[used]
    return np.asarray(whole[of_sample] / seen.tokens)


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's; NaN where nothing varies."""
    good = np.isfinite(one) & np.isfinite(other)
    first, second = (np.argsort(np.argsort(values[good], kind="stable"), kind="stable") for values in (one, other))
    if good.sum() < 2 or any(np.ptp(values[good]) == 0 for values in (one, other)):
        return float("nan")
    return float(np.corrcoef(first.astype(np.float64), second.astype(np.float64))[0, 1])
