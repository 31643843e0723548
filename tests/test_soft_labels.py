"""Soft labels: a teacher's distribution as a second target, in chunks; kept entries with the tail in a bucket."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from winnow.trainers.model.head import CHUNK_TOKENS, Workspace, head_loss  # noqa: E402
from winnow.trainers.model.soft_labels import KeptLabels, SoftLabels  # noqa: E402

N, V, D = CHUNK_TOKENS + 37, 300, 16  # more than one chunk


def parts(seed: int = 0, *, scale: float = 1.0) -> tuple[Any, Any, Any]:
    made = torch.Generator().manual_seed(seed)
    x = torch.randn(N, D, generator=made) * scale
    return x, torch.randn(V, D, generator=made), torch.randint(0, V, (N,), generator=made)


def space() -> Workspace:
    return Workspace(V, dtype=torch.float32)


def gradients(x: Any, head: Any, targets: Any, extra: Any = None, weights: Any = None) -> tuple[Any, Any, Any]:
    x, head = x.clone().requires_grad_(), head.clone().requires_grad_()
    loss = head_loss(x, head, targets, workspace=space(), weights_N=weights, extra=extra)
    loss.backward()
    return loss.detach(), x.grad, head.grad


def taught(x: Any, head: Any, *, share: float, temperature: float = 1.0) -> SoftLabels:
    return SoftLabels(share=share, temperature=temperature, hidden=[x], heads=[head], workspace=space())


def plain(x: Any, head: Any, labels: Any, weights: Any = None) -> tuple[Any, Any, Any]:
    """Cross-entropy to labels [N, V] by torch alone."""
    x, head = x.clone().requires_grad_(), head.clone().requires_grad_()
    nats = -(labels * torch.log_softmax(x @ head.T, dim=1)).sum(dim=1)
    loss = (nats if weights is None else nats * weights).mean()
    loss.backward()
    return loss.detach(), x.grad, head.grad


@pytest.mark.parametrize(("share", "temperature"), [(0.667, 1.0), (0.25, 0.25), (1.0, 2.0)])
def test_loss_and_gradients_are_those_of_the_mixture_of_both_labels(share: float, temperature: float) -> None:
    x, head, targets = parts()
    tx, thead, _ = parts(1)
    weights = torch.rand(N, generator=torch.Generator().manual_seed(2))
    soft = torch.softmax(tx @ thead.T / temperature, dim=1)
    labels = share * soft + (1 - share) * torch.nn.functional.one_hot(targets, V)
    expected = plain(x, head, labels, weights)
    got = gradients(x, head, targets, taught(tx, thead, share=share, temperature=temperature), weights)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)


def test_a_teacher_that_is_the_student_pulls_nowhere() -> None:
    x, head, targets = parts()
    _, dx, dhead = gradients(x, head, targets, taught(x, head, share=1.0))
    assert float(dx.abs().max()) == 0.0
    assert float(dhead.abs().max()) == 0.0
    _, half, _ = gradients(x, head, targets, taught(x, head, share=0.5))
    _, whole, _ = gradients(x, head, targets)
    torch.testing.assert_close(half, whole * 0.5, rtol=1e-4, atol=1e-7)


def test_a_teacher_that_is_sure_of_the_truth_gives_the_plain_cross_entropy() -> None:
    x, head, targets = parts()
    sure = torch.nn.functional.one_hot(targets, V).float() * 200.0
    labels = taught(sure, torch.eye(V), share=0.7)
    for one, other in zip(gradients(x, head, targets, labels), gradients(x, head, targets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_the_mean_of_several_teachers_is_one_label() -> None:
    x, head, targets = parts()
    (a, wa, _), (b, wb, _) = parts(1), parts(2)
    mean = (torch.softmax(a @ wa.T, 1) + torch.softmax(b @ wb.T, 1)) / 2
    both = SoftLabels(share=1.0, temperature=1.0, hidden=[a, b], heads=[wa, wb], workspace=space())
    for one, other in zip(gradients(x, head, targets, both), plain(x, head, mean), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)


def kept_of(logits: Any, k: int) -> tuple[Any, Any]:
    probabilities, ids = torch.softmax(logits, dim=1).topk(k, dim=1)
    return ids, probabilities


def logit_gradient(extra: Any, logits: Any, targets: Any) -> Any:
    """Gradient of the loss for logits [N, V], times N."""
    return gradients(logits, torch.eye(V), targets, extra)[1] * N


def test_the_tail_bucket_has_the_full_gradient_at_kept_entries_and_over_the_tail() -> None:
    student, teacher = torch.randn(N, V), 3 * torch.randn(N, V)
    targets = torch.zeros(N, dtype=torch.int64)
    full = torch.softmax(student, 1) - torch.softmax(teacher, 1)
    ids, probabilities = kept_of(teacher, 8)
    none = torch.zeros(N, dtype=torch.bool)
    kept = KeptLabels(share=1.0, ids=ids, probabilities=probabilities, unknown=none, targets=targets)
    got = logit_gradient(kept, student, targets)
    torch.testing.assert_close(got.gather(1, ids), full.gather(1, ids), rtol=1e-4, atol=1e-6)
    in_tail = torch.ones(N, V).scatter_(1, ids, 0.0)
    torch.testing.assert_close((got * in_tail).sum(1), (full * in_tail).sum(1), rtol=1e-4, atol=2e-6)
    # what the bucket does not know: within the tail, the student's own proportions stay
    ratio = (got / torch.softmax(student, 1))[0][in_tail[0] > 0]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-3, atol=1e-5)


def test_dropping_the_tail_instead_pushes_the_kept_entries_up() -> None:
    student, teacher = torch.randn(N, V), torch.randn(N, V)
    targets = torch.zeros(N, dtype=torch.int64)
    ids, probabilities = kept_of(teacher, 8)
    none = torch.zeros(N, dtype=torch.bool)
    dropped = KeptLabels(share=1.0, ids=ids, probabilities=probabilities / probabilities.sum(1, keepdim=True),
                         unknown=none, targets=targets)  # fmt: skip
    full = (torch.softmax(student, 1) - torch.softmax(teacher, 1)).gather(1, ids).sum(1)
    naive = logit_gradient(dropped, student, targets).gather(1, ids).sum(1)
    tail = 1 - probabilities.sum(1)
    torch.testing.assert_close(full - naive, tail, rtol=1e-3, atol=1e-5)  # the bias is the tail's mass
    assert float(tail.mean()) > 0.5


def test_all_entries_kept_are_the_full_labels() -> None:
    x, head, targets = parts()
    tx, thead, _ = parts(1)
    ids, probabilities = kept_of(tx @ thead.T, V)
    none = torch.zeros(N, dtype=torch.bool)
    kept = KeptLabels(share=0.4, ids=ids, probabilities=probabilities, unknown=none, targets=targets)
    full = gradients(x, head, targets, taught(tx, thead, share=0.4))
    for one, other in zip(gradients(x, head, targets, kept), full, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_token_without_a_label_is_learned_from_its_true_token() -> None:
    x, head, targets = parts()
    ids, zeros = torch.zeros(N, 4, dtype=torch.int64), torch.zeros(N, 4)
    labels = KeptLabels(share=0.6, ids=ids, probabilities=zeros, unknown=torch.ones(N, dtype=torch.bool),
                        targets=targets)  # fmt: skip
    for one, other in zip(gradients(x, head, targets, labels), gradients(x, head, targets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_a_student_with_no_mass_in_the_tail_has_a_finite_loss() -> None:
    logits = torch.full((N, V), -200.0)
    logits[:, 0] = 200.0
    ids, probabilities = torch.zeros(N, 1, dtype=torch.int64), torch.full((N, 1), 0.5)
    none = torch.zeros(N, dtype=torch.bool)
    targets = torch.zeros(N, dtype=torch.int64)
    labels = KeptLabels(share=1.0, ids=ids, probabilities=probabilities, unknown=none, targets=targets)
    loss, dx, _ = gradients(logits, torch.eye(V), targets, labels)
    assert math.isfinite(float(loss))
    assert bool(torch.isfinite(dx).all())


@pytest.mark.parametrize("scale", [1.0, 1.0005])
def test_the_loss_is_the_cross_entropy_over_the_kept_entries_and_one_more(scale: float) -> None:
    """Entries that add up to more than 1, as rounding makes them, leave the tail nothing, and no less than that."""
    student = torch.randn(N, V, generator=torch.Generator().manual_seed(3))
    ids, probabilities = kept_of(3 * student.flip(0), 8 if scale == 1 else V)
    probabilities *= scale
    none, targets = torch.zeros(N, dtype=torch.bool), torch.zeros(N, dtype=torch.int64)
    labels = KeptLabels(share=1.0, ids=ids, probabilities=probabilities, unknown=none, targets=targets)
    shares = torch.softmax(student, dim=1)
    log_p = torch.log_softmax(student.double(), dim=1)
    rest = (1 - log_p.exp().gather(1, ids).sum(1)).clamp(min=1e-20)
    tail = (1 - probabilities.double().sum(1)).clamp(min=0)
    expected = -(probabilities * log_p.gather(1, ids)).sum(1) - tail * rest.log()
    nats, pull = labels.soft(slice(0, N), student, shares.clone(), student.logsumexp(1))
    torch.testing.assert_close(nats.double(), expected, rtol=1e-4, atol=1e-5)
    assert bool((pull >= 0).all())
    assert float(tail.max()) > 0.1 if scale == 1 else float(tail.max()) == 0
