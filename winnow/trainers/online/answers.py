"""What a policy answers, checked before anything is trained with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ContractError
from winnow.trainers.online.policy import Acting
from winnow.trainers.online.seen import Seen

HINT = "return weights of tokens f32[B, T], such as `seen.rows.weights` times whatever it says, or of samples f64[S]"


def weights_of(acting: Acting, seen: Seen, *, where: str) -> npt.NDArray[np.float32]:
    """The policy's weights of a step, f32[B, T]; those of samples are spread over their tokens.

    Raises:
        ContractError: they are not finite numbers of 0 or more (any, where the policy says that it is `signed`) in the
            shape of tokens or samples, give weight to what has none, or are all 0.
    """
    answer = acting.weigh(seen)
    own = seen.rows.weights
    if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "fiub":
        what = f"{answer.dtype} numbers" if isinstance(answer, np.ndarray) else f"a {type(answer).__name__}"
        raise _wrong(f"the policy returned {what} for weights", seen, where)
    if answer.shape not in (own.shape, seen.tokens.shape):
        shapes = f"{list(own.shape)}, tokens, or {list(seen.tokens.shape)}, samples"
        raise _wrong(f"the policy returned weights of shape {list(answer.shape)}, not {shapes}", seen, where)
    _check(answer, {"not finite": ~np.isfinite(answer), "negative": (answer < 0) & ~np.bool_(acting.signed)},
           seen, where)  # fmt: skip
    if answer.shape == own.shape:
        _check(answer, {"not 0 on fill": (own == 0) & (answer != 0)}, seen, where)
    if own.any() and not answer.any():
        raise _wrong("the policy gave every token of the step the weight 0: there is nothing to learn", seen, where)
    if answer.shape == own.shape:
        return answer.astype(np.float32, copy=False)
    return seen.spread(np.asarray(answer, dtype=np.float64))


def effective_share(seen: Seen, weights: npt.NDArray[np.float32]) -> float:
    """(sum w)^2 / sum w^2 over the samples' weights relative to their own, as a share of the samples; NaN for none."""
    if weights is seen.rows.weights:
        return 1.0 if len(seen.tokens) else float("nan")
    at = seen.sample >= 0
    number, count = seen.sample[at], len(seen.tokens)
    given = np.bincount(number, weights=np.abs(weights[at]).astype(np.float64), minlength=count)
    own = np.bincount(number, weights=seen.rows.weights[at].astype(np.float64), minlength=count)
    each = given / own
    squares = float((each**2).sum())
    return float(each.sum() ** 2 / squares / count) if squares else float("nan")


def plain_loss(seen: Seen, tokens: int) -> float:
    """The loss of the step without the policy, in nats per token."""
    return float((seen.rows.weights.astype(np.float64) * seen.nats).sum() / tokens)


def _check(answer: npt.NDArray[Any], wrong: dict[str, npt.NDArray[np.bool_]], seen: Seen, where: str) -> None:
    for name, at in wrong.items():
        if at.any():
            what = f"the policy returned {int(at.sum()):,} of {answer.size:,} weights that are {name}"
            raise _wrong(what, seen, where)


def _wrong(what: str, seen: Seen, where: str) -> ContractError:
    return ContractError(f"{what} (step {seen.step} of {seen.steps})", where=where, hint=HINT)
