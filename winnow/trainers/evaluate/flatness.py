"""How flat the loss is around trained weights: the trace of its Hessian, by Hutchinson's estimate.

The mean over Rademacher vectors v of v' H v is the trace; one vector costs two backward passes. Vectors are keyed
by (seed, number), so equal models give equal numbers. Traces compare at equal loss and for one shape alone: under
normalisation the same function has flat and sharp weights.

The Fisher trace is the same number where the model's probabilities are right: the squared gradient of the log
probability of labels that the model itself draws. Per draw it costs one backward pass, because gradients of
different tokens are uncorrelated under the model.

Source: Hutchinson 1989; Liu et al. 2022 (arXiv 2210.14199) on flatness beside equal loss
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.trainers.evaluate.suites import Tokenised
from winnow.trainers.evaluate.target_windows import batches, plan_windows
from winnow.trainers.model.shape import Shape

Ints = npt.NDArray[np.int64]


def sample(target: Tokenised, shape: Shape, *, num_tokens: int) -> tuple[Ints, Ints]:
    """(inputs i64[B, L], answers i64[B, L], -1 where nothing is scored): the first windows, about `num_tokens`."""
    plan = plan_windows(target, context=shape.context)
    sizes = np.cumsum(plan.stop - plan.start)
    keep = slice(0, max(1, int(np.searchsorted(sizes, num_tokens, side="right"))))
    parts = {name: getattr(plan, name)[keep] for name in ("request", "start", "stop", "score")}
    first = type(plan)(**parts, cut_contexts=0, long_answers=0)
    everything = len(first.start) * shape.context
    inputs, place, counts, _ = next(batches(target, first, end=shape.vocab - 1, batch_tokens=everything))
    return inputs, np.where(counts, target.ids[place].astype(np.int64), -1)


def rademacher(size: int, *, seed: int, number: int) -> npt.NDArray[np.float64]:
    """Plus or minus one, f64[size], as a function of (seed, number)."""
    bits = np.random.Generator(np.random.Philox(key=[seed, number])).bytes(-(-size // 8))
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size).astype(np.float64) * 2 - 1


def hutchinson(product: Callable[[Any], Any], size: int, *, probes: int, seed: int) -> npt.NDArray[np.float64]:
    """One value of v' H v for each of `probes` vectors, f64[probes]; `product` maps v f64[size] to H v."""
    out = np.empty(probes)
    for number in range(probes):
        v = rademacher(size, seed=seed, number=number)
        out[number] = float(v @ product(v))
    return out


def hessian_trace(model: Any, inputs: Ints, answers: Ints, *, probes: int, seed: int) -> dict[str, Any]:
    """{"trace", "standard_error", "loss" (nats per token), "probes", "tokens"} of the mean loss at all weights."""
    weights = [weight for _, weight in sorted(model.named_parameters())]
    found = hutchinson(
        hessian_product(lambda: mean_loss(model, inputs, answers), weights),
        sum(weight.numel() for weight in weights),
        probes=probes,
        seed=seed,
    )
    spread = float(found.std(ddof=1) / np.sqrt(probes)) if probes > 1 else None
    loss = float(mean_loss(model, inputs, answers).detach())
    return {"trace": float(found.mean()), "standard_error": spread, "loss": loss, "probes": probes,
            "tokens": int((answers >= 0).sum())}  # fmt: skip


def hessian_product(loss: Callable[[], Any], weights: Sequence[Any]) -> Callable[[Any], Any]:
    """The function v -> H v, both f64[size], of a scalar loss of these weights, in the order given."""
    import torch

    def product(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        with _one_way():
            gradients = torch.autograd.grad(loss(), weights, create_graph=True)
            at, inner = 0, 0.0
            for gradient in gradients:
                piece = torch.from_numpy(v[at : at + gradient.numel()]).to(gradient)
                inner = inner + (gradient * piece.view_as(gradient)).sum()
                at += gradient.numel()
            second = torch.autograd.grad(inner, weights, materialize_grads=True)
        return np.concatenate([part.detach().double().cpu().numpy().ravel() for part in second])

    return product


def mean_loss(model: Any, inputs: Ints, answers: Ints) -> Any:
    """Mean nats per scored token as a tensor that can be differentiated twice."""
    from torch.nn import functional

    return functional.nll_loss(*_log_shares(model, inputs, answers))


def fisher_trace(model: Any, inputs: Ints, answers: Ints, *, draws: int, seed: int) -> npt.NDArray[np.float64]:
    """Estimates f64[draws] of the Fisher information's trace per scored token, labels drawn by the model."""
    import torch

    weights = [weight for _, weight in sorted(model.named_parameters())]
    out = np.empty(draws)
    for number in range(draws):
        with _one_way():
            log_shares, _ = _log_shares(model, inputs, answers)
            uniform = np.random.Generator(np.random.Philox(key=[seed, number])).random(len(log_shares))
            ends = log_shares.detach().double().exp().cumsum(dim=1)
            point = torch.from_numpy(uniform)[:, None].to(ends) * ends[:, -1:]
            drawn = torch.searchsorted(ends, point).clamp(max=log_shares.shape[1] - 1)
            total = log_shares.gather(1, drawn).sum()
            gradients = torch.autograd.grad(total, weights, materialize_grads=True)
        out[number] = sum(float(g.double().square().sum()) for g in gradients) / len(drawn)
    return out


def _log_shares(model: Any, inputs: Ints, answers: Ints) -> tuple[Any, Any]:
    """(log shares [tokens, V], right ids i64[tokens]) of the scored tokens."""
    import torch

    device = model.head.weight.device
    right = torch.from_numpy(answers).to(device)
    hidden = model.hidden(torch.from_numpy(inputs).to(device))
    return torch.log_softmax(hidden[right >= 0] @ model.head.weight.T, dim=1), right[right >= 0]


def _one_way() -> Any:
    """Attention that can be differentiated twice, and one thread."""
    import contextlib

    from torch.nn.attention import SDPBackend, sdpa_kernel

    from winnow.trainers.model.device import one_thread

    stack = contextlib.ExitStack()
    stack.enter_context(one_thread())
    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
    return stack
