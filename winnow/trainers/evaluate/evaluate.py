"""What a trained model makes of a target: nats per item, bits per byte, accuracies.

Nats are kept per token until the members of an ensemble have been averaged, then summed per request in f64, so
that how windows are cut into batches changes the last bits alone.

Shape suffixes: R requests, I items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.trainers.evaluate import centring, multiple_choice, probes
from winnow.trainers.evaluate.suites import Tokenised, items_per_request
from winnow.trainers.evaluate.target_windows import BATCH_TOKENS, Plan, batches, device_of, hidden_of, plan_windows
from winnow.trainers.model.device import Machine, Precision, computing, one_thread, product_type
from winnow.trainers.model.head import Workspace, token_nats
from winnow.trainers.model.shape import Shape

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a model makes of a target, one value per item."""

    nats: Floats  # of the right answer
    num_bytes: Ints  # of the right answer
    num_tokens: int  # scored, of right answers
    correct: Floats | None = None  # in [0, 1]: ties share
    correct_per_char: Floats | None = None  # as `correct`, of nats over characters
    correct_per_byte: Floats | None = None
    untrained: Floats | None = None  # `correct` on features of untrained weights (labels)
    cut_contexts: int = 0
    long_answers: int = 0

    def arrays(self, label: str) -> dict[str, npt.NDArray[Any]]:
        """`{label}.nats`, `{label}.bytes` and what else there is, for one .npz of all targets."""
        named = {"nats": self.nats, "bytes": self.num_bytes, "correct": self.correct,
                 "correct_per_char": self.correct_per_char, "correct_per_byte": self.correct_per_byte,
                 "untrained": self.untrained}  # fmt: skip
        return {f"{label}.{name}": array for name, array in named.items() if array is not None}


def evaluate(
    models: Sequence[Any], shape: Shape, target: Tokenised, *, precision: Precision = "auto", stride: int = 0
) -> Scores:
    """Scores of one model, or of several as an ensemble (the mean of their probabilities).

    Raises:
        DataError: a loss is no number.
    Cost: one forward pass over context and answer of every request, per model.
    """
    plan = plan_windows(target, context=shape.context, stride=stride)
    gold = target.gold_requests
    shared: dict[str, Any] = {
        "num_bytes": target.num_bytes[gold],
        "cut_contexts": plan.cut_contexts,
        "long_answers": plan.long_answers,
    }
    if target.kind == "labels":
        nats, correct, untrained = probes.answers(models, shape, target, precision=precision)
        lengths = np.diff(target.offsets)
        return Scores(nats=nats, correct=correct, untrained=untrained, num_tokens=int(lengths[gold].sum()), **shared)
    greedy = target.kind == "continuation"
    nats_R, likeliest_R, tokens_R = request_nats(models, shape, target, plan, precision=precision, greedy=greedy)
    right = per_char = per_byte = None
    if target.kind == "choices":
        right, per_char, per_byte = (
            multiple_choice.correct(nats_R / size, target.first, target.gold)
            for size in (1, target.num_chars, target.num_bytes)
        )
    elif greedy:
        right = likeliest_R[gold].astype(np.float64)
    num_tokens = int(tokens_R[gold].sum())
    shared |= {"correct": right, "correct_per_char": per_char, "correct_per_byte": per_byte}
    return Scores(nats=nats_R[gold], num_tokens=num_tokens, **shared)


def summary(target: Tokenised, scores: Scores) -> dict[str, Any]:
    """`measures` (what the model reached) and `facts` (equal for all models of a shape and tokenizer), as JSON."""
    measures: dict[str, float] = {}
    if target.kind == "labels":
        measures["log_loss"] = float(scores.nats.mean())
    else:
        measures["bits_per_byte"] = bits_per_byte(scores.nats, scores.num_bytes)
    chance = float(target.chance.mean())
    if scores.correct is not None:
        measures["accuracy"] = float(scores.correct.mean())
        measures["centred"] = centring.centred(measures["accuracy"], chance)
    for name in ("per_char", "per_byte"):
        normalised = getattr(scores, f"correct_{name}")
        if normalised is not None:
            measures[f"accuracy_{name}"] = float(normalised.mean())
    if scores.untrained is not None and scores.correct is not None:
        measures["accuracy_untrained"] = float(scores.untrained.mean())
        measures["gap"] = float((scores.correct - scores.untrained).mean())
    facts = {
        "items": len(scores.nats),
        "bytes": int(scores.num_bytes.sum()),
        "tokens": scores.num_tokens,
        "chance": chance,
        "cut_contexts": scores.cut_contexts,
        "long_answers": scores.long_answers,
        "digest": target.digest,
        "items_found": target.items_found or len(scores.nats),
    }
    return {"kind": target.kind, "measures": measures, "facts": facts}


def bits_per_byte(nats: Floats, num_bytes: Ints) -> float:
    """All bits over all bytes; lower is better, 8 is a uniform guess over bytes."""
    return float(nats.sum() / (math.log(2) * num_bytes.sum()))


def request_nats(
    models: Sequence[Any], shape: Shape, target: Tokenised, plan: Plan, *, precision: Precision, greedy: bool = False
) -> tuple[Floats, Bools, Ints]:
    """(nats f64[R], whether every scored token was the likeliest bool[R], scored tokens i64[R]).

    Raises:
        DataError: a loss is no number.
    """
    nats = np.zeros((len(models), len(target.ids)), dtype=np.float64)
    likeliest = np.ones(len(target.ids), dtype=np.bool_)
    for row, model in enumerate(models):
        device = device_of(model)
        workspace = Workspace(shape.vocab, dtype=product_type(precision, device=device), device=device)
        room = BATCH_TOKENS[device]
        with computing(Machine(device=device)):
            for inputs, place, counts, _ in batches(target, plan, end=shape.vocab - 1, batch_tokens=room):
                hidden = hidden_of(model, inputs, precision=precision)[counts]
                answers = target.ids[place[counts]].astype(np.int64)
                nats[row, place[counts]] = _losses(model, hidden, answers, workspace)
                if greedy:
                    likeliest[place[counts]] &= _likeliest(model, hidden) == answers
    size = len(target.context_tokens)
    owner = np.repeat(np.arange(size), np.diff(target.offsets))
    scored = np.arange(len(owner)) - target.offsets[owner] >= target.context_tokens[owner]
    weights = mean_of_probabilities(nats)[scored]
    sums = np.asarray(np.bincount(owner[scored], weights=weights, minlength=size), dtype=np.float64)
    if not np.isfinite(sums).all():
        item = items_per_request(target.first)[int(np.flatnonzero(~np.isfinite(sums))[0])]
        raise DataError("the loss of an answer is no number", where=target.names[int(item)])
    missed = np.bincount(owner[scored & ~likeliest], minlength=size)
    return sums, np.asarray(missed == 0), np.bincount(owner[scored], minlength=size).astype(np.int64)


def mean_of_probabilities(nats: Floats) -> Floats:
    """Nats f64[tokens] of the mean of the members' probabilities, `nats` f64[members, tokens]; of one, its own."""
    if len(nats) == 1:
        return np.asarray(nats[0])
    least = nats.min(axis=0)
    return np.asarray(least - np.log(np.exp(least - nats).mean(axis=0)))


def _losses(model: Any, hidden: Any, answers: Ints, workspace: Workspace) -> Floats:
    import torch

    with one_thread(), torch.no_grad():
        answer = torch.from_numpy(answers).to(hidden.device)
        losses = token_nats(hidden, model.head.weight, answer, workspace=workspace)
        return np.asarray(losses.double().cpu().numpy())


def _likeliest(model: Any, hidden: Any) -> Ints:
    import torch

    with one_thread(), torch.no_grad():
        weight = model.head.weight
        best = [(part.to(weight.dtype) @ weight.T).argmax(dim=1) for part in hidden.split(128)]
        return np.asarray(torch.cat(best).cpu().numpy())
