"""The loss of the output layer in chunks of rows, so that no step allocates [tokens, vocabulary].

With 1,024 tokens and 4,096 entries such an array has 16 MB: the allocator gives its pages back and faults
them in again in every step, which costs more than the arithmetic. The gradient is computed beside the loss,
chunk by chunk, in two buffers that live as long as the run.

Shape suffixes: N tokens, C tokens of a chunk, V vocabulary, D width.
"""

from __future__ import annotations

import functools
from typing import Any

CHUNK_TOKENS = 128


class Workspace:
    """Two buffers [C, V] for one thread: logits in the type of the products, shares in f32."""

    def __init__(self, vocab: int, *, dtype: Any) -> None:
        import torch

        self.dtype = dtype
        self.logits_CV = torch.empty((CHUNK_TOKENS, vocab), dtype=dtype)
        self.shares_CV = torch.empty((CHUNK_TOKENS, vocab), dtype=torch.float32)

    def score(self, x_CD: Any, weight_VD: Any, targets_C: Any) -> tuple[Any, Any]:
        """(loss of every token in nats f32[C], softmax f32[C, V], a view that the next call overwrites)."""
        import torch

        logits, shares = self.logits_CV[: len(x_CD)], self.shares_CV[: len(x_CD)]
        torch.mm(x_CD, weight_VD.T, out=logits)
        shares.copy_(logits)
        shares.sub_(shares.amax(dim=1, keepdim=True))
        picked = shares.gather(1, targets_C[:, None])[:, 0]
        total = shares.exp_().sum(dim=1)
        return total.log() - picked, shares.div_(total[:, None])


def head_loss(x_ND: Any, weight_VD: Any, targets_N: Any, *, workspace: Workspace) -> Any:
    """Mean loss in nats per token, with gradients for `x_ND` and `weight_VD`."""
    return _loss_class().apply(x_ND, weight_VD, targets_N, workspace)


def token_nats(x_ND: Any, weight_VD: Any, targets_N: Any, *, workspace: Workspace) -> Any:
    """Loss of every token in nats, f32[N]; no gradients."""
    import torch

    with torch.no_grad():
        x, weight = x_ND.to(workspace.dtype), weight_VD.to(workspace.dtype)
        return torch.cat([workspace.score(x[c], weight, targets_N[c])[0] for c in _chunks(len(targets_N))])


def _chunks(num_tokens: int) -> list[slice]:
    return [slice(start, start + CHUNK_TOKENS) for start in range(0, num_tokens, CHUNK_TOKENS)]


@functools.cache
def _loss_class() -> Any:
    """The autograd function; torch is imported here."""
    import torch

    class HeadLoss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x_ND: Any, weight_VD: Any, targets_N: Any, workspace: Workspace) -> Any:
            x, weight = x_ND.to(workspace.dtype), weight_VD.to(workspace.dtype)
            num_tokens = len(targets_N)
            dx, dweight = torch.empty_like(x), torch.zeros(weight.shape, dtype=torch.float32)
            total = torch.zeros((), dtype=torch.float64)
            for chunk in _chunks(num_tokens):
                target = targets_N[chunk]
                nats, shares = workspace.score(x[chunk], weight, target)
                total += nats.sum(dtype=torch.float64)
                shares[torch.arange(len(target)), target] -= 1.0
                gradient = workspace.logits_CV[: len(target)].copy_(shares.mul_(1.0 / num_tokens))
                torch.mm(gradient, weight, out=dx[chunk])
                dweight += gradient.T @ x[chunk]
            ctx.save_for_backward(dx, dweight)
            ctx.x_dtype = x_ND.dtype
            return (total / num_tokens).float()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            dx, dweight = ctx.saved_tensors
            return (dx * grads[0]).to(ctx.x_dtype), dweight * grads[0], None, None

    return HeadLoss
