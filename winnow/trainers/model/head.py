"""The loss of the output layer in chunks of rows, so that no step allocates [tokens, vocabulary].

With 1,024 tokens and 4,096 entries such an array has 16 MB: the allocator gives its pages back and faults
them in again in every step, which costs more than the arithmetic. The gradient is computed beside the loss,
chunk by chunk, in two buffers that live as long as the run.

Shape suffixes: N tokens, C tokens of a chunk, V vocabulary, D width.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np

CHUNK_TOKENS = 128
CHUNK_TOKENS_GPU = 4096
MOST_KEPT = 1 << 28  # bytes of logits that wait between the losses of a step and its gradients


class Extra(Protocol):
    """What the tokens of one forward pass are to be learned from beside the true ones: a distribution for each."""

    @property
    def share(self) -> float:
        """Of the loss, in (0, 1]; the rest is that of the true tokens."""

    def soft(self, chunk: slice, logits_CV: Any, shares_CV: Any, log_total_C: Any, /) -> tuple[Any, Any]:
        """(cross-entropy to the distribution in nats f32[C], minus its gradient's pull: f32[C, V] that adds up to 1).

        Logits, softmax and log normaliser are the student's, to read; the gradient for its logits is softmax - pull.
        """


class Workspace:
    """Two buffers [C, V] for one thread: logits in the type of the products, shares in f32."""

    def __init__(self, vocab: int, *, dtype: Any, device: str = "cpu") -> None:
        import torch

        self.dtype, self.device = dtype, device
        self.num_rows = CHUNK_TOKENS if device == "cpu" else CHUNK_TOKENS_GPU
        self.logits_CV = torch.empty((self.num_rows, vocab), dtype=dtype, device=device)
        self._kept_NV: Any = None
        self._products_CV: Any = None
        self.shares_CV = torch.empty((self.num_rows, vocab), dtype=torch.float32, device=device)

    def kept(self, num_tokens: int) -> Any | None:
        """Room for the logits of all tokens of a pass, [N, V], the same every time; None where that is too much."""
        import torch

        vocab = self.logits_CV.shape[1]
        if num_tokens * vocab * self.logits_CV.element_size() > MOST_KEPT:
            return None
        if self._kept_NV is None or len(self._kept_NV) < num_tokens:
            self._kept_NV = torch.empty((num_tokens, vocab), dtype=self.dtype, device=self.device)
        return self._kept_NV[:num_tokens]

    def score(self, x_CD: Any, weight_VD: Any, targets_C: Any) -> tuple[Any, Any]:
        """(loss of every token in nats f32[C], softmax f32[C, V], a view that the next call overwrites)."""
        nats, shares, _ = self.measure(x_CD, weight_VD, targets_C)
        return nats, shares

    def measure(self, x_CD: Any, weight_VD: Any, targets_C: Any, logits_CV: Any | None = None) -> tuple[Any, Any, Any]:
        """`score` and the logarithm of every token's normaliser, f32[C]; `logits_CV` where they are known already."""
        import torch

        shares = self.shares_CV[: len(x_CD)]
        if logits_CV is None:
            logits_CV = torch.mm(x_CD, weight_VD.T, out=self.logits_CV[: len(x_CD)])
        shares.copy_(logits_CV)
        most = shares.amax(dim=1, keepdim=True)
        shares.sub_(most)
        picked = shares.gather(1, targets_C[:, None])[:, 0]
        total = shares.exp_().sum(dim=1)
        log_total = total.log()
        return log_total - picked, shares.div_(total[:, None]), log_total + most[:, 0]

    def softmax(self, x_CD: Any, weight_VD: Any, *, temperature: float = 1.0) -> Any:
        """Shares f32[C, V] of logits / temperature, a view that the next call overwrites; at 1 as in `measure`."""
        import torch

        logits, shares = self.logits_CV[: len(x_CD)], self.shares_CV[: len(x_CD)]
        torch.mm(x_CD, weight_VD.T, out=logits)
        shares.copy_(logits)
        if temperature != 1.0:
            shares.div_(temperature)
        shares.sub_(shares.amax(dim=1, keepdim=True))
        return shares.div_(shares.exp_().sum(dim=1)[:, None])

    def dots(self, one_CV: Any, other_CV: Any) -> Any:
        """Inner products of rows, f32[C], with the products in a buffer: allocating one costs thrice that."""
        import torch

        if self._products_CV is None:
            self._products_CV = torch.empty_like(self.shares_CV)
        return torch.mul(one_CV, other_CV, out=self._products_CV[: len(one_CV)]).sum(dim=1)

    def nats(self, x_CD: Any, weight_VD: Any, targets_C: Any, out_CV: Any | None = None) -> Any:
        """Loss of every token in nats f32[C], where no softmax is wanted: bfloat16 on a CPU by a compiled kernel.

        The logits go to `out_CV` where that is given.
        """
        import torch

        logits = self.logits_CV[: len(x_CD)] if out_CV is None else out_CV
        torch.mm(x_CD, weight_VD.T, out=logits)
        if self.device != "cpu" or self.dtype != torch.bfloat16:
            return self.measure(x_CD, weight_VD, targets_C, logits)[0]
        from winnow.trainers.model.head_kernels import log_sums

        sums = torch.from_numpy(log_sums(logits.view(torch.int16).numpy().view(np.uint16)))
        return (sums - logits.gather(1, targets_C[:, None])[:, 0]).float()

    def chunks(self, num_tokens: int) -> list[slice]:
        """Slices of `num_tokens` rows that fit the buffers."""
        return [slice(start, start + self.num_rows) for start in range(0, num_tokens, self.num_rows)]


def head_loss(
    x_ND: Any,
    weight_VD: Any,
    targets_N: Any,
    *,
    workspace: Workspace,
    weights_N: Any | None = None,
    num_tokens: float | None = None,
    z_loss: float = 0.0,
    extra: Extra | None = None,
    logits_NV: Any | None = None,
    hard: Any | None = None,
) -> Any:
    """Loss in nats: the sum over tokens of weight x nats, over `num_tokens`; gradients for `x_ND` and `weight_VD`.

    Default: every weight 1, and `num_tokens` those that are here, so the mean. `z_loss` x (log normaliser)^2 per
    token, weighted alike, enters the gradients and not the value. With an `extra` a token's nats are
    (1 - share) x those of the true token + share x the cross-entropy to the extra's distribution; `hard`, a scalar f64,
    is then raised by the loss of the true tokens alone.
    """
    count = len(targets_N) if num_tokens is None else num_tokens
    return _loss_class().apply(x_ND, weight_VD, targets_N, workspace, weights_N, count, z_loss, extra, logits_NV, hard)


def token_nats(x_ND: Any, weight_VD: Any, targets_N: Any, *, workspace: Workspace, logits_NV: Any | None = None) -> Any:
    """Loss of every token in nats, f32[N]; no gradients. `logits_NV` takes the logits, for the `head_loss` after it."""
    import torch

    with torch.no_grad():
        x, weight = x_ND.to(workspace.dtype), weight_VD.to(workspace.dtype)
        kept = (lambda c: None) if logits_NV is None else logits_NV.__getitem__
        parts = [workspace.nats(x[c], weight, targets_N[c], kept(c)) for c in workspace.chunks(len(targets_N))]
        return torch.cat(parts)


@functools.cache
def _loss_class() -> Any:
    """The autograd function; torch is imported here."""
    import torch

    class HeadLoss(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, x_ND: Any, weight_VD: Any, targets_N: Any, space: Workspace, weights_N: Any, count: float,
            z: float, extra: Extra | None, logits_NV: Any, hard_total: Any,
        ) -> Any:  # fmt: skip
            x, weight = x_ND.to(space.dtype), weight_VD.to(space.dtype)
            dx, dweight = torch.empty_like(x), torch.zeros(weight.shape, dtype=torch.float32, device=x.device)
            total = torch.zeros((), dtype=torch.float64, device=x.device)
            factor_N = None if weights_N is None else (weights_N.double() / count).float()[:, None]
            for chunk in space.chunks(len(targets_N)):
                target = targets_N[chunk]
                known = None if logits_NV is None else logits_NV[chunk]
                nats, shares, log_total = space.measure(x[chunk], weight, target, known)
                hard, pull = 1.0, None
                if extra is not None:
                    soft_nats, pull = extra.soft(
                        chunk, space.logits_CV[: len(target)] if known is None else known, shares, log_total
                    )
                    hard = 1.0 - extra.share
                    if hard_total is not None:
                        true = nats if weights_N is None else nats * weights_N[chunk]
                        hard_total += true.sum(dtype=torch.float64) / count
                    nats = hard * nats + extra.share * soft_nats
                total += (nats if weights_N is None else nats * weights_N[chunk]).sum(dtype=torch.float64)
                if z:
                    shares.mul_((1.0 + 2.0 * z * log_total)[:, None])
                if extra is not None:
                    shares.sub_(pull, alpha=extra.share)
                shares[torch.arange(len(target), device=x.device), target] -= hard
                shares.mul_(1.0 / count if factor_N is None else factor_N[chunk])
                gradient = space.logits_CV[: len(target)].copy_(shares)
                torch.mm(gradient, weight, out=dx[chunk])
                dweight += gradient.T @ x[chunk]
            ctx.save_for_backward(dx, dweight)
            ctx.x_dtype = x_ND.dtype
            return (total / count).float()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            dx, dweight = ctx.saved_tensors
            return (dx * grads[0]).to(ctx.x_dtype), dweight * grads[0], None, None, None, None, None, None, None, None

    return HeadLoss
