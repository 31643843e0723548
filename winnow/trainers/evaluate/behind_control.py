"""What a model makes of a target when it is asked for a kind of text: each document behind a control token.

The control has no bytes and is not scored, so bits per byte compare with those of the bare text. Only a document's
first window begins with it, as in training; windows are one token shorter for it, and otherwise those of the bare text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from winnow.trainers.evaluate.evaluate import bits_per_byte, request_nats
from winnow.trainers.evaluate.suites import Tokenised
from winnow.trainers.evaluate.target_windows import Plan, plan_windows
from winnow.trainers.model.device import Precision
from winnow.trainers.model.shape import Shape


def with_control(target: Tokenised, control: int) -> Tokenised:
    """The target with an id before every request, which is read and not scored."""
    count = len(target.context_tokens)
    return replace(
        target, ids=np.insert(target.ids, target.offsets[:-1], control), offsets=target.offsets + np.arange(count + 1),
        context_tokens=target.context_tokens + 1, digest="",
    )  # fmt: skip


def shifted(plan: Plan) -> Plan:
    """The windows of a target for the same target `with_control`: the first of each request one token longer."""
    return replace(plan, start=plan.start + (plan.start > 0), stop=plan.stop + 1, score=plan.score + 1)


def asked(
    models: Sequence[Any], shape: Shape, target: Tokenised, controls: Mapping[str, int], *, precision: Precision,
    stride: int = 0,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Label -> bits per byte of the right answers behind its control; nothing for labelled texts.

    Raises:
        DataError: a loss is no number.
    """
    out: dict[str, dict[str, float]] = {}
    if target.kind == "labels":
        return out
    context = max(1, shape.context - 1)
    plan = shifted(plan_windows(target, context=context, stride=min(stride, context)))
    for label, control in controls.items():
        nats, _, _ = request_nats(models, shape, with_control(target, control), plan, precision=precision)
        gold = target.gold_requests
        out[label] = {"bits_per_byte": bits_per_byte(nats[gold], target.num_bytes[gold])}
    return out
