"""Muon: momentum whose matrix is made orthogonal by five Newton-Schulz steps before it is applied.

Matrices of one shape are stacked and orthogonalised together, as many at once as `MOST_STACKED` weights hold: the
copies that this takes do not grow with the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_STACKED = 1 << 23  # weights of one stack: 32 MB in f32, and five times that beside it
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic with the steepest slope at 0 that keeps values near 1


def orthogonal(g_NRC: Any, *, steps: int = 5) -> Any:
    """Matrices of the same singular vectors with singular values near 1 (about 0.7 to 1.2); [N, R, C].

    Source: Muon optimizer (Jordan et al. 2024), Newton-Schulz iteration with its published coefficients.
    """
    import torch

    a, b, c = COEFFICIENTS
    wide = g_NRC.shape[-2] <= g_NRC.shape[-1]
    x = g_NRC if wide else g_NRC.transpose(-2, -1).contiguous()
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True).to(x.dtype) + 1e-7)
    for _ in range(steps):  # a x + (b G + c G G) x, G = x x': sums ride along with the products
        gram = x @ x.transpose(-2, -1)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.transpose(-2, -1)


class Muon:
    """Updates hidden matrices in place; holds one momentum buffer per matrix."""

    def __init__(
        self, matrices: Sequence[Any], *, momentum: float = 0.95, weight_decay: float = 0.0, dtype: Any
    ) -> None:
        import torch

        by_shape: dict[tuple[int, int], list[Any]] = {}
        for weight in matrices:
            for piece in _square_pieces(weight):
                by_shape.setdefault((piece[0].shape[0], piece[0].shape[1]), []).append(piece)
        self._groups = [by_shape[shape] for shape in sorted(by_shape)]
        self.buffers = [
            torch.zeros((len(group), *group[0][0].shape), dtype=torch.float32, device=group[0][0].device)
            for group in self._groups
        ]
        self._momentum, self._weight_decay, self._dtype = momentum, weight_decay, dtype

    def step(self, lr: float) -> None:
        """Apply one update of learning rate `lr` from the gradients that `backward` left."""
        import torch

        with torch.no_grad():
            for group, whole in zip(self._groups, self.buffers, strict=True):
                count = max(1, MOST_STACKED // whole[0].numel())
                for start in range(0, len(group), count):
                    self._stack(group[start : start + count], whole[start : start + count], lr)

    def _stack(self, group: list[tuple[Any, Any, slice]], buffer: Any, lr: float) -> None:
        """Update matrices of one shape; `buffer` holds their momentum."""
        import torch

        gradient = torch.stack([weight.grad[rows] for _, weight, rows in group])
        buffer.lerp_(gradient, 1 - self._momentum)
        update = orthogonal(gradient.lerp_(buffer, self._momentum).to(self._dtype)).float()
        scale = lr * max(1.0, buffer.shape[1] / buffer.shape[2]) ** 0.5
        for (piece, _, _), delta in zip(group, update, strict=True):
            if self._weight_decay:
                piece.mul_(1.0 - lr * self._weight_decay)
            piece.sub_(delta, alpha=scale)


def _square_pieces(weight: Any) -> list[tuple[Any, Any, slice]]:
    """(view, weight, its rows): query, key and value are three matrices, all others one."""
    rows, columns = weight.shape
    count = 3 if rows == 3 * columns else 1
    size = rows // count
    cuts = [slice(i * size, (i + 1) * size) for i in range(count)]
    return [(weight.detach()[cut], weight, cut) for cut in cuts]
