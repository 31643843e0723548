"""How every sample's loss moves along a direction in the space of weights: its gradient's inner product with it.

Two ways without a gradient per sample: forward mode (a tangent rides along with every product, so attention is written
out, as fused kernels have none), and ghost products: a layer's output y = x W' becomes y + e x V', with one number
e = 0 per position, and the derivative for e is the sum over layers of <dy, x V'>, which is the inner product of that
position's part of the gradient with V. No gradient of a weight is ever made.

Shape suffixes: B rows, T context, D width, N tokens, C tokens of a chunk, V vocabulary.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from winnow.core.errors import ConfigError

CHUNK_TOKENS = 256
HEAD, EMBEDDING = "head.weight", "embedding.weight"


def tangent_nats(
    model: Any, ids_BT: Any, targets_BT: Any, segments_BT: Any | None, direction: Mapping[str, Any]
) -> tuple[Any, Any]:
    """(loss of every target in nats, its derivative along the direction), each [B, T], by forward-mode differentiation.

    `direction` holds a tensor per moved weight, by the name that the model has for it; other weights stay.
    Cost: about three forward passes, and [B, heads, T, T] of attention, which is written out.
    """
    import torch
    from torch.func import functional_call

    forward_ad = _forward_mode()
    before, model.attention = model.attention, "written"
    try:
        with torch.no_grad(), forward_ad.dual_level():
            moved = {
                name: forward_ad.make_dual(weight.detach(), direction[name].to(weight))
                if name in direction
                else weight.detach()
                for name, weight in model.named_parameters()
            }
            hidden = functional_call(_trunk(model), _inside(moved), (ids_BT, segments_BT))
            found = [
                forward_ad.unpack_dual(_nats(x_CD, moved[HEAD], targets_C))
                for x_CD, targets_C in _chunks(hidden.flatten(0, 1), targets_BT.flatten())
            ]
            nats = torch.cat([part.primal for part in found])
            tangents = torch.cat(
                [torch.zeros_like(part.primal) if part.tangent is None else part.tangent for part in found]
            )
    finally:
        model.attention = before
    return nats.view(ids_BT.shape), tangents.view(ids_BT.shape)


def ghost_products(
    model: Any, ids_BT: Any, targets_BT: Any, segments_BT: Any | None, counted_BT: Any, direction: Mapping[str, Any]
) -> tuple[Any, Any]:
    """(loss of every target in nats, what every position adds to the inner product with the direction), each [B, T].

    The gradient is that of the sum of the losses where `counted_BT` is true. A sample's inner product is the sum over
    its positions, where no other sample sees them: documents of one row must lie in segments of their own. Exact for
    all weights of linear layers and embeddings, the head among them.

    Raises:
        ConfigError: the direction moves a weight of another kind of layer.
    Cost: two forward passes and a backward pass without the weights' gradients.
    """
    import torch
    from torch.func import functional_call

    fixed = {name: weight.detach() for name, weight in model.named_parameters()}
    shift_BT = torch.zeros(ids_BT.shape, dtype=fixed[HEAD].dtype, device=ids_BT.device, requires_grad=True)
    with _shifted(model, direction, shift_BT), torch.enable_grad():
        hidden = functional_call(_trunk(model), _inside(fixed), (ids_BT, segments_BT))
    along_head = direction.get(HEAD)
    nats, own, slopes = [], [], []
    with torch.no_grad():
        x_ND, counted_N = hidden.detach().flatten(0, 1), counted_BT.flatten()
        for number, (x_CD, targets_C) in enumerate(_chunks(x_ND, targets_BT.flatten())):
            head = fixed[HEAD].to(x_CD.dtype)
            logits_CV = _wide(x_CD @ head.T)
            slope_CV = logits_CV.softmax(dim=1)
            nats.append(logits_CV.logsumexp(dim=1) - logits_CV.gather(1, targets_C[:, None])[:, 0])
            slope_CV[torch.arange(len(targets_C), device=slope_CV.device), targets_C] -= 1.0
            slope_CV *= counted_N[number * CHUNK_TOKENS :][: len(targets_C), None]
            if along_head is not None:
                own.append((slope_CV * (x_CD @ along_head.to(x_CD).T)).sum(dim=1))
            slopes.append(slope_CV.to(x_CD.dtype) @ head)
    if hidden.requires_grad:
        hidden.backward(torch.cat(slopes).view(hidden.shape).to(hidden.dtype))
    products = torch.zeros_like(shift_BT) if shift_BT.grad is None else shift_BT.grad
    if own:
        products = products + torch.cat(own).view(shift_BT.shape)
    return torch.cat(nats).view(ids_BT.shape), products.detach()


@functools.cache
def _forward_mode() -> Any:
    """Torch's forward mode, loaded without the warning of what it compiles for itself on first use."""
    import warnings

    import torch
    from torch.autograd import forward_ad

    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
    return forward_ad


def _wide(logits_CV: Any) -> Any:
    """The logits in f32, where they are not f64."""
    import torch

    return logits_CV if logits_CV.dtype == torch.float64 else logits_CV.float()


def _nats(x_CD: Any, head_VD: Any, targets_C: Any) -> Any:
    logits_CV = _wide(x_CD @ head_VD.to(x_CD.dtype).T)
    return logits_CV.logsumexp(dim=1) - logits_CV.gather(1, targets_C[:, None])[:, 0]


def _chunks(x_ND: Any, targets_N: Any) -> Iterator[tuple[Any, Any]]:
    for at in range(0, len(targets_N), CHUNK_TOKENS):
        yield x_ND[at : at + CHUNK_TOKENS], targets_N[at : at + CHUNK_TOKENS]


@contextlib.contextmanager
def _shifted(model: Any, direction: Mapping[str, Any], shift_BT: Any) -> Iterator[None]:
    """Every layer that the direction moves adds `shift` x (its input by its direction) to its output."""
    from torch import nn
    from torch.nn import functional

    left = set(direction) - {HEAD}
    hooks = []
    try:
        for name, module in model.named_modules():
            weight = f"{name}.weight"
            if weight not in left:
                continue
            if isinstance(module, nn.Linear):
                hooks.append(module.register_forward_hook(_adding(functional.linear, direction[weight], shift_BT)))
            elif isinstance(module, nn.Embedding):
                hooks.append(module.register_forward_hook(_adding(functional.embedding, direction[weight], shift_BT)))
            else:
                continue
            left.discard(weight)
        if left:
            raise ConfigError(
                f"{min(left)!r} is no weight of a linear layer or an embedding, and ghost products are for these alone",
                where="by", hint="`by: difference` moves any weight",
            )  # fmt: skip
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _adding(product: Callable[[Any, Any], Any], along: Any, shift_BT: Any) -> Callable[[Any, Any, Any], Any]:
    def hook(module: Any, given: Any, out: Any) -> Any:
        read = given[0].detach()
        moved = product(read, along.to(read.dtype if read.is_floating_point() else out.dtype))
        return out + shift_BT[..., None].to(out.dtype) * moved.to(out.dtype)

    return hook


def _inside(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {f"model.{name}": weight for name, weight in weights.items()}


@functools.cache
def _trunk_class() -> Any:
    """The module class; torch is imported here."""
    from torch import nn

    class Trunk(nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids_BT: Any, segments_BT: Any) -> Any:
            return self.model.hidden(ids_BT, segments_BT)

    return Trunk


def _trunk(model: Any) -> Any:
    """The model up to its head, as a module: what can be called with other weights."""
    return _trunk_class()(model)
