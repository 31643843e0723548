"""Inner products of samples' gradients with a direction: three ways against gradients made one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from winnow.core.errors import ConfigError, DataError
from winnow.trainers.data.batches import Batch
from winnow.trainers.model.shape import Shape
from winnow.trainers.online import alignment
from winnow.trainers.online.aligning import _per_sample
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Told

torch = pytest.importorskip("torch")
from winnow.trainers.model.derivatives import ghost_products, tangent_nats  # noqa: E402
from winnow.trainers.model.initialise import build  # noqa: E402

SHAPE = Shape(vocab=37, width=16, layers=2, heads=2, context=12)
TOLD = Told(steps=10, seed=0, vocab=37, context=12, batch=3)


class Mlp(torch.nn.Module):
    """Position by position: an embedding, two layers, a head."""

    def __init__(self, vocab: int, width: int) -> None:
        super().__init__()
        self.attention = "auto"
        self.embedding = torch.nn.Embedding(vocab, width)
        self.first, self.second = torch.nn.Linear(width, width), torch.nn.Linear(width, width, bias=False)
        self.head = torch.nn.Linear(width, vocab, bias=False)

    def hidden(self, ids, segments=None):
        return self.second(torch.tanh(self.first(self.embedding(ids))))


def trained(dtype, *, seed: int = 1):
    """A GPT whose outputs are not zero any more."""
    model, draw = build(SHAPE, init_seed=seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=draw))
    return model.to(dtype)


def packed() -> Batch:
    """Three rows: three documents, one, and two with a token behind the budget and two of fill."""
    draw = np.random.default_rng(3)
    segments = np.array([[0] * 5 + [1] * 4 + [2] * 3, [0] * 12, [0] * 7 + [1] * 3 + [-1] * 2], dtype=np.int32)
    documents = np.array([[4] * 5 + [0] * 4 + [2] * 3, [1] * 12, [3] * 7 + [5] * 3 + [-1] * 2], dtype=np.int64)
    weights = np.where(segments >= 0, np.array([1.5, 1, 0.5])[np.maximum(segments, 0)], 0).astype(np.float32)
    weights[2, 9] = 0
    ids, targets = draw.integers(0, 37, (2, 3, 12))
    return Batch(ids=ids, targets=targets, segments=segments, documents=documents, weights=weights)


def tensors(rows: Batch):
    return tuple(torch.from_numpy(array) for array in (rows.ids, rows.targets, rows.segments, rows.weights > 0))


def losses(model, rows: Batch, *, segments=True):
    ids, targets, seg, _ = tensors(rows)
    logits = model.head(model.hidden(ids, seg if segments else None))
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(ids.shape)


def one_by_one(model, seen: Seen, direction) -> np.ndarray:
    """<direction, gradient of the sample's mean loss>, a backward pass for every sample."""
    nats, out = losses(model, seen.rows), []
    for sample in range(len(seen.tokens)):
        mean = nats[torch.from_numpy(seen.sample == sample)].mean()
        names, weights = zip(*model.named_parameters(), strict=True)
        found = torch.autograd.grad(mean, weights, retain_graph=True, allow_unused=True)
        products = [
            (g.double() * direction[n].double()).sum() for n, g in zip(names, found, strict=True) if g is not None
        ]
        out.append(float(sum(products)))
    return np.array(out)


def feedback_direction(model, *, seed: int = 9):
    """The unit direction of another text's gradient."""
    draw = np.random.default_rng(seed)
    ids, targets = draw.integers(0, 20, (2, 3, 12))
    whole = np.zeros((3, 12), dtype=np.int32)
    rows = Batch(ids=ids, targets=targets, segments=whole, documents=whole.astype(np.int64),
                 weights=np.ones((3, 12), dtype=np.float32))  # fmt: skip
    names, weights = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(losses(model, rows).mean(), weights)
    return alignment.unit(dict(zip(names, found, strict=True)))


def seen_of(model, rows: Batch) -> Seen:
    return Seen(step=0, rows=rows, nats=losses(model, rows).detach().float().numpy(), told=TOLD)


def difference(model, rows: Batch, direction, step: float) -> np.ndarray:
    """Central difference of every target's loss."""

    def at(scale):
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.add_(direction[name], alpha=scale)
            found = losses(model, rows).double().numpy()
            for name, weight in model.named_parameters():
                weight.sub_(direction[name], alpha=scale)
        return found

    return (at(step) - at(-step)) / (2 * step)


def test_an_mlp_in_double_precision_gives_the_spec_s_figures():
    torch.manual_seed(2)
    model, rows = Mlp(37, 16).double(), packed()
    direction = feedback_direction(model)
    seen = seen_of(model, rows)
    exact = one_by_one(model, seen, direction)
    ids, targets, segments, counted = tensors(rows)
    nats, forward = tangent_nats(model, ids, targets, segments, direction)
    np.testing.assert_allclose(nats.numpy(), losses(model, rows).detach().numpy(), atol=1e-13)
    assert np.abs(seen.mean_of(forward.numpy()) - exact).max() <= 1e-15 * max(1, np.abs(exact).max()) * 100
    assert np.abs(seen.mean_of(forward.numpy()) - exact).max() <= 1e-12
    central = seen.mean_of(difference(model, rows, direction, 1e-4))
    assert 1e-14 < np.abs(central - exact).max() <= 4e-9
    with pytest.raises(ConfigError, match=r"first\.bias"):
        ghost_products(model, ids, targets, segments, counted, direction)


def test_a_step_on_weighted_samples_takes_off_the_feedback_s_loss_what_alignments_say():
    torch.manual_seed(4)
    model, rows = Mlp(37, 16).double(), packed()
    ids, targets, segments, _ = tensors(rows)
    seen, feedback = seen_of(model, rows), packed()
    feedback = Batch(**{**vars(feedback), "targets": (feedback.targets + 5) % 37})
    names, parameters = zip(*model.named_parameters(), strict=True)
    before = losses(model, feedback).mean()
    down = dict(zip(names, torch.autograd.grad(before, parameters), strict=True))
    _, slopes = tangent_nats(model, ids, targets, segments, down)
    a = seen.mean_of(slopes.numpy())
    weights = np.exp((a - a.max()) / 0.1)
    weights /= weights.sum()
    nats = losses(model, rows)
    means = [nats[torch.from_numpy(seen.sample == s)].mean() for s in range(len(a))]
    step = torch.autograd.grad(sum(w * m for w, m in zip(weights, means, strict=True)), parameters)
    rate = 1e-4
    with torch.no_grad():
        for weight, gradient in zip(parameters, step, strict=True):
            weight -= rate * gradient
    gained = float((before - losses(model, feedback).mean()).detach()) / rate
    assert gained == pytest.approx(float(weights @ a), rel=1e-3)  # the spec: .737021 of .737178
    assert gained != pytest.approx(float(a.mean()), rel=1e-2), "uniform weights gain something else"


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 3e-6)])
def test_on_the_gpt_all_ways_are_the_explicit_inner_products(dtype, bound):
    model, rows = trained(getattr(torch, dtype)), packed()
    direction, seen = feedback_direction(model), seen_of(model, rows)
    assert seen.documents.tolist() == [4, 0, 2, 1, 3, 5]
    exact = one_by_one(model, seen, direction)
    assert np.abs(exact).min() > 1e-3
    ids, targets, segments, counted = tensors(rows)
    nats, forward = tangent_nats(model, ids, targets, segments, direction)
    own, ghost = ghost_products(model, ids, targets, segments, counted, direction)
    for found in (nats, own):
        np.testing.assert_allclose(found.numpy(), losses(model, rows).detach().numpy(), atol=10 * bound)
    np.testing.assert_allclose(seen.mean_of(forward.numpy()), exact, atol=bound)
    np.testing.assert_allclose(_per_sample(seen, ghost.numpy(), by="ghost"), exact, atol=bound)
    step, apart, taken = alignment.halved(lambda e: seen.mean_of(difference(model, rows, direction, e)))
    central = seen.mean_of(difference(model, rows, direction, step))
    assert np.abs(central - exact).max() <= (1e-5 if dtype == "float64" else 2e-3) * np.abs(exact).max()
    assert apart < 1e-2
    assert 3 <= taken <= len(alignment.STEPS)
    assert model.attention == "auto"
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("part", ["head.weight", "embedding.weight", "blocks.1.qkv.weight", "blocks.0.down.weight"])
def test_every_kind_of_weight_is_in_all_ways(part):
    model, rows = trained(torch.float64), packed()
    direction, seen = feedback_direction(model), seen_of(model, rows)
    alone = {name: tensor if name == part else torch.zeros_like(tensor) for name, tensor in direction.items()}
    exact = one_by_one(model, seen, alone)
    assert np.abs(exact).max() > 1e-4
    ids, targets, segments, counted = tensors(rows)
    for given in (alone, {part: direction[part]}):
        _, ghost = ghost_products(model, ids, targets, segments, counted, given)
        _, forward = tangent_nats(model, ids, targets, segments, given)
        np.testing.assert_allclose(_per_sample(seen, ghost.numpy(), by="ghost"), exact, atol=1e-13)
        np.testing.assert_allclose(seen.mean_of(forward.numpy()), exact, atol=1e-13)


def test_a_token_without_weight_inside_a_sample_still_carries_its_part_of_the_gradient():
    model, rows = trained(torch.float64), packed()
    weights = rows.weights.copy()
    weights[1, 3:6] = 0  # of one document: read, not learned
    rows = Batch(**{**vars(rows), "weights": weights})
    direction, seen = feedback_direction(model), seen_of(model, rows)
    ids, targets, segments, counted = tensors(rows)
    _, ghost = ghost_products(model, ids, targets, segments, counted, direction)
    exact = one_by_one(model, seen, direction)
    np.testing.assert_allclose(_per_sample(seen, ghost.numpy(), by="ghost"), exact, atol=1e-12)
    assert np.abs(seen.mean_of(ghost.numpy()) - exact).max() > 1e-3


def test_documents_that_see_one_another_have_no_ghost_products():
    rows = packed()
    one = np.where(rows.segments >= 0, 0, -1).astype(np.int32)
    seen = seen_of(trained(torch.float64), Batch(**{**vars(rows), "segments": one}))
    with pytest.raises(DataError, match="2 of 3 rows"):
        _per_sample(seen, np.zeros((3, 12)), by="ghost")
    assert len(_per_sample(seen, np.zeros((3, 12)), by="jvp")) == 6


def test_the_step_of_a_difference_is_where_halving_changes_least():
    curved = alignment.halved(lambda e: np.array([1.0 + 40 * e**2, -2.0 + 9 * e**2]))
    assert curved[0] == alignment.STEPS[-1]
    assert curved[2] == len(alignment.STEPS)
    rough = [(-1) ** k for k in range(len(alignment.STEPS))]
    noisy = alignment.halved(lambda e: np.array([1.0, -2.0]) + 40 * e**2 + 1e-4 / e * rough[round(-math.log2(e))])
    assert 2**-7 <= noisy[0] <= 2**-5
    assert noisy[2] < len(alignment.STEPS)
    assert not np.isfinite(alignment.halved(lambda e: np.zeros(3))[1])
